"""Scripts: a store is opened, steps are written one after the other, and it is closed; and what is true afterwards.

Contract: a script begins from a directory that `prepare` makes. `play` says "opened" when the store is open, and after
each commit how many steps are acknowledged; a step that was refused is tried again. Whatever happens to a script, at
any moment, a later start must find the contents after the last acknowledged step, or after the one that was under way:
`judge` says in a word what is wrong.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from edge.errors import ConfigError, StoreCorrupt, StoreGone, StoreUnavailable
from edge.identity import Identity
from edge.store.database import Database
from edge.store.door import Store
from edge.store.opening import open_for_writing
from edge.workers import inline
from tools.rig.power.steps import BEGINNING, DAY, HANDING_ON, LEAVING, SENDING, Step

IDENTITY: Final = Identity(bytes(range(32)))
STORE: Final = "store.db"
TRIES: Final = 3
OLD_STORES: Final = Path(__file__).parents[3] / "tests" / "stores"


class Script(NamedTuple):
    """What is there before, and what is done.

    Attributes:
        before: steps that were done before it, by a process that closed the store.
        steps: what is done.
        hot: the process before it was killed, so that its log is still there.
        old: instead of `before`, a store of an earlier version.
        real: the process before it was for real sensors, and has noted nothing.
    """

    before: tuple[Step, ...] | None
    steps: tuple[Step, ...]
    hot: bool = False
    old: str | None = None
    real: bool = False


SCRIPTS: Final = {
    "new": Script(None, BEGINNING),
    "day": Script(BEGINNING, DAY),
    "sending": Script((*BEGINNING, *DAY), SENDING),
    "handing-on": Script((*BEGINNING, *DAY), HANDING_ON),
    "leaving": Script((*BEGINNING, *DAY, *SENDING, *HANDING_ON), LEAVING),
    "after-kill": Script((*BEGINNING, *DAY), SENDING[:2], hot=True),
    "other-world": Script((), BEGINNING[:1], real=True),
    "from-version-1": Script(None, (), old="version_1.db"),
    "from-version-2": Script(None, (), old="version_2.db"),
    "from-version-3": Script(None, (), old="version_3.db"),
}


def prepare(script: Script, directory: Path) -> None:
    """Make the directory in which it begins."""
    directory.mkdir(parents=True)
    if script.old is not None:
        shutil.copy(OLD_STORES / script.old, directory / STORE)
    elif script.before is not None:
        store = Store(directory / STORE, IDENTITY, simulated=not script.real, workers=inline())
        for step in script.before:
            with store.tables.database.transaction():
                step.work(store.tables)
        if script.hot:
            killed = directory.with_name(directory.name + ".killed")
            shutil.copytree(directory, killed)
            store.close()
            shutil.rmtree(directory)
            killed.rename(directory)
        else:
            store.close()


def contents(database: Database) -> str:
    """A digest of all rows. What is drawn at random is left out: the store's id, and ids that a migration made."""
    digest = hashlib.blake2b(digest_size=12)
    for (table,) in database.read("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"):
        rows = database.read(f"SELECT * FROM {table}")  # noqa: S608
        if table == "meta":
            rows = [row for row in rows if row[0] != "id"]
        if table in ("alert_events", "sessions"):
            rows = [(row[0], *row[2:]) for row in rows]
        digest.update(repr((table, rows)).encode())
    return digest.hexdigest()


def states(script: Script, directory: Path) -> list[str]:
    """The contents after opening, and after each step, when nothing goes wrong. `directory` is free to be used."""
    prepare(script, directory)
    found: list[str] = []
    store = Store(directory / STORE, IDENTITY, simulated=True, workers=inline())
    found.append(contents(store.tables.database))
    for step in script.steps:
        with store.tables.database.transaction():
            step.work(store.tables)
        found.append(contents(store.tables.database))
    store.close()
    shutil.rmtree(directory)
    return found


def play(script: Script, directory: Path, tell: Callable[[str], None]) -> int:
    """Open, write and close; the exit code: 0 done, 3 the disk did not let it, 4 a fault was taken for damage."""
    try:
        store = Store(directory / STORE, IDENTITY, simulated=True, workers=inline())
    except (StoreUnavailable, StoreCorrupt, ConfigError):
        return 3
    if store.quarantined or store.log_copy:
        tell("quarantined")
        return 4
    tell("acked 0")
    try:
        return asyncio.run(_write(store, script.steps, tell))
    finally:
        store.close()


async def _write(store: Store, steps: Sequence[Step], tell: Callable[[str], None]) -> int:
    running = asyncio.ensure_future(store.run())
    try:
        for number, step in enumerate(steps, 1):
            for _ in range(TRIES):
                with suppress(StoreUnavailable):
                    await store.write(step.work)
                    tell(f"acked {number}")
                    break
                tell(f"refused {number}")
            else:
                return 3
    except StoreCorrupt:
        # What could not be read looks damaged to this connection; the next start has to find that it is whole.
        tell("stopped")
        return 3
    except StoreGone:
        tell("gone")
        return 4
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return 0


def judge(directory: Path, expected: Sequence[str], acked: int | None) -> str | None:
    """What is wrong with what a later start finds; None: nothing. It changes the directory as a start does.

    Args:
        directory: what was left.
        expected: what `states` says.
        acked: how many steps were acknowledged; None: the store was not even said to be open.
    """
    try:
        opened = open_for_writing(directory / STORE, IDENTITY, simulated=True)
    except (ConfigError, StoreUnavailable, StoreCorrupt) as failure:
        return f"cannot be opened: {failure}"
    try:
        # Or by a start before this one, which then failed and said nothing.
        if opened.quarantined or any(directory.glob(f"{STORE}.corrupt-*")):
            return "set aside as damaged"
        if opened.log_copy:
            return "its log taken for damaged"
        problems = opened.database.read("PRAGMA integrity_check")
        if problems != [("ok",)]:
            return f"corrupt: {problems[0][0]}"
        found = contents(opened.database)
    except StoreCorrupt as failure:
        return f"corrupt: {failure}"
    finally:
        opened.database.close()
    least = acked or 0
    if found in expected[least : least + 2]:
        return None
    return "acknowledged steps are lost" if found in expected[:least] else "half of a step"
