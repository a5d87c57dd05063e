"""`vitalgate reprocess`: the history computed anew, from a store that a whole gateway has left."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from edge import config, identity, workers
from edge.clock import SystemClock
from edge.config import Config
from edge.history import reprocessing
from edge.lock import lock
from edge.store.door import Store
from edge.store.summaries import Summary
from hw_sim.clock import run
from tools import reprocess
from tools.cli import app
from tools.rig.home.world import open_world
from tools.rig.language.scenario import CGM, STRAP, home_of

HOURS = 3
# By the time of the machine that reprocesses, the window and the day are over in which the gateway was stopped.
OPEN = 2
# The clock here is this machine's, long after that of the simulation.
KEPT = "raw_retention_days = 3650\nretention_days = 3650\n"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a gateway leaves that was killed twice; its day is not over yet."""
    directory = tmp_path_factory.mktemp("left")

    async def live() -> None:
        async with open_world(home_of(STRAP, CGM, hours=HOURS), directory) as world:
            for hour in (1, 2):
                await world.until_s(hour * 3600.0)
                await world.machine.kill()
                await world.for_s(900.0)
                world.machine.start()
            await world.until_s(HOURS * 3600.0)
            await world.until_settled()

    run(live())
    return directory


@pytest.fixture
def home(left: Path, tmp_path: Path) -> Path:
    """A copy of it, which may be changed."""
    shutil.copytree(left, tmp_path / "home")
    file = tmp_path / "home/gateway.toml"
    text = file.read_text().replace(str(left), str(tmp_path / "home"))
    assert "[gateway]" in text
    text = text.replace("[gateway]", "[gateway]\ntrust_clock = true", 1)
    file.write_text(
        text.replace("[limits]", f"[limits]\n{KEPT}") if "[limits]" in text else f"{text}\n[limits]\n{KEPT}"
    )
    return tmp_path / "home"


def vitalgate(home: Path) -> Result:
    return CliRunner().invoke(app, ["reprocess", "--config", str(home / "gateway.toml"), "--json"])


def said(home: Path) -> dict[str, int]:
    done = vitalgate(home)
    assert done.exit_code == 0, done.output
    found: dict[str, int] = json.loads(done.stdout)
    return found


def checked(home: Path) -> Config:
    return config.load(home / "gateway.toml")


def with_store(home: Path) -> Iterator[Store]:
    known = checked(home)
    secret = identity.load(known.key_file, known.database)
    store = Store(known.database, secret, simulated=True, workers=workers.inline())
    yield store
    store.close()


def summaries(home: Path) -> dict[tuple[Any, ...], Summary]:
    for store in with_store(home):
        found = [s for kind in ("heart_5min", "glucose_day") for s in store.tables.summaries.between(kind)]
    return {tuple(summary.key): summary for summary in found}


def spoil(home: Path) -> None:
    """The summaries are those of other code."""
    for store in with_store(home):
        with store.tables.database.transaction():
            store.tables.database.write("UPDATE summaries SET body = '{\"old\": 1}'")
            store.tables.database.write("DELETE FROM deliveries")


def bodies(found: dict[tuple[Any, ...], Summary]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {key: summary.body for key, summary in found.items()}


def test_what_the_gateway_said_is_said_again_and_twice_changes_nothing(home: Path) -> None:
    before = summaries(home)
    assert {key[0] for key in before} == {"heart_5min"}
    assert len(before) > 28
    found = said(home)
    after = summaries(home)
    assert {key: after[key] for key in before} == before
    assert {key[0] for key in after.keys() - before.keys()} == {"heart_5min", "glucose_day"}
    assert len(after) == len(before) + OPEN
    assert found["amended"] == OPEN
    # The strap's first packet may tell of the window before, and say nothing of it.
    assert len(after) <= found["periods"] <= len(after) + 1
    again = said(home)
    assert again == {**found, "amended": 0}
    assert summaries(home) == after


def test_what_other_code_said_is_amended_and_announced(home: Path) -> None:
    before = summaries(home)
    spoil(home)
    found = said(home)
    after = summaries(home)
    assert found["amended"] == len(after) == len(before) + OPEN
    for key, summary in before.items():
        assert after[key].body == summary.body
        assert (after[key].id, after[key].rev) == (summary.id, summary.rev + 1)
        assert after[key].status == "amended"
    for store in with_store(home):
        ((waiting,),) = store.tables.database.read("SELECT count(*) FROM deliveries WHERE state = 'pending'")
    assert waiting == len(after)
    assert said(home)["amended"] == 0


def test_what_is_interrupted_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reprocessing, "SLICE", 3)
    said(home)
    before = bodies(summaries(home))
    spoil(home)
    left_over = []
    for steps in (1, 2, 4, 3):
        with reprocess.opened(checked(home), SystemClock(vouched=True)) as work:
            run_of = work.run(reprocess.code())
            progress = [next(run_of) for _ in range(steps)]
            run_of.close()
        left_over.append(progress[0].periods)
    assert left_over[1:] == [left_over[0], left_over[0] - 3, left_over[0] - 3 - 9]
    rest = said(home)
    assert rest["periods"] == left_over[-1] - 3 * 2
    assert rest["amended"] <= rest["periods"]
    assert bodies(summaries(home)) == before
    assert said(home)["amended"] == 0
    # Other code begins anew.
    with reprocess.opened(checked(home), SystemClock(vouched=True)) as work:
        next(work.run("one"))
    with reprocess.opened(checked(home), SystemClock(vouched=True)) as work:
        assert next(work.run("another")).periods == left_over[0]


def test_a_slow_heart_is_judged_as_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a window alone sees fewer beats around it, both ways must look at the same."""
    said(home)
    before = summaries(home)
    monkeypatch.setattr(reprocessing, "BEATS_BEFORE", 1 << 30)
    assert said(home)["amended"] == 0
    assert summaries(home) == before


def test_a_gateway_that_runs_a_store_that_is_not_there_and_a_clock_that_nobody_trusts(
    home: Path, tmp_path: Path
) -> None:
    held = lock(home / "state")
    done = vitalgate(home)
    assert done.exit_code == 2
    assert "a gateway is running" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    os.close(held)
    (home / "state/store.db").rename(tmp_path / "away")
    done = vitalgate(home)
    assert (done.exit_code, "holds no store" in done.stderr) == (2, True)
    assert not (home / "state/store.db").exists()
