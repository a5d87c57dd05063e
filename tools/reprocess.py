"""`vitalgate reprocess`: the summaries of a stopped gateway's history computed anew, with the code of today.

What comes out otherwise than before is amended, and sent when the gateway runs again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from dsp.mode import digest
from edge import config, identity, workers
from edge.anchors import Anchor
from edge.clock import NS_PER_S, Clock, SystemClock
from edge.config import Config
from edge.errors import ConfigError
from edge.history import reprocessing
from edge.history.closing import Now
from edge.history.reprocessing import Reprocessing
from edge.lock import is_locked, lock
from edge.store.door import Store
from tools.terminal import ended_by_interrupt, print_json


def command(config_file: Path, *, json: bool) -> None:
    checked = config.load(config_file)
    clock = SystemClock(vouched=checked.gateway.trust_clock)
    bar = Progress(
        TextColumn("reprocessing"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} periods"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=json,
    )
    with opened(checked, clock) as run, bar:
        task, done = bar.add_task("periods", total=0), reprocessing.Progress(0, 0, 0)
        steps = run.run(code())
        while True:
            with ended_by_interrupt():
                step = next(steps, None)
            if step is None:
                break
            done = step
            bar.update(task, total=done.periods, completed=done.closed)
    if json:
        print_json({"periods": done.periods, "amended": done.revisions})
    else:
        print(f"{done.periods} periods computed, {done.revisions} of them said something new")


def code() -> str:
    """Which code computes: what was interrupted goes on only with the same."""
    return f"{version('vitalgate')} {digest()}"


@contextmanager
def opened(checked: Config, clock: Clock) -> Iterator[Reprocessing]:
    """A run over the store of a gateway that is stopped, and stays so meanwhile.

    Raises:
        ConfigError: a gateway runs, there is no store, or nobody vouches for the clock.
        StoreCorrupt, StoreUnavailable: the store cannot be used.
    """
    state_dir = checked.gateway.state_dir
    if not checked.database.exists():
        raise ConfigError("gateway.state_dir", f"{state_dir} holds no store", "run the gateway first")
    error_ms = clock.utc_error_ms()
    if error_ms is None:
        raise ConfigError(
            "gateway.trust_clock",
            "nothing vouches for this machine's clock",
            "synchronise it, or set trust_clock if it is right",
        )
    if is_locked(state_dir):
        raise ConfigError(
            "gateway.state_dir", f"a gateway is running on {state_dir}", "stop it while this runs"
        )
    held = lock(state_dir)
    try:
        secret = identity.load(checked.key_file, checked.database)
        looked_at = Store(checked.database, secret, simulated=None, workers=workers.inline())
        simulated = looked_at.simulated
        looked_at.close()
        store = Store(checked.database, secret, simulated=simulated, workers=workers.inline())
        try:
            tables = store.tables
            with tables.database.transaction():
                boot_no = tables.boots.note(clock.boot_id)
                if not tables.boots.timeline().is_trusted(boot_no):
                    tables.boots.add_anchor(
                        Anchor(boot_no, clock.boot_ns(), clock.utc_ns(), error_ms, "system")
                    )
            now = Now(clock.utc_ns() // NS_PER_S, boot_no, clock.boot_ns())
            yield Reprocessing(checked, secret, tables, tables.boots.timeline(), now)
        finally:
            store.close()
    finally:
        os.close(held)
