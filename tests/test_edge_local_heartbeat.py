"""The heartbeat: it beats while the loop turns and not otherwise, and says where the process is."""

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from edge.local.heartbeat import BEAT_S, LINE_BYTES, Heartbeat, Phase, file_of_service
from hw_sim.clock import run


def said(path: Path) -> dict[str, Any]:
    line = path.read_bytes()
    assert len(line) == LINE_BYTES
    fields: dict[str, Any] = json.loads(line)
    return fields


def test_it_beats_every_15_s_and_says_since_when_it_is_in_its_phase(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"

    async def life() -> None:
        heartbeat = Heartbeat(path, "this-boot")
        await asyncio.sleep(7.0)
        heartbeat.start()
        assert said(path) == {"boot": "this-boot", "phase": "starting", "since_s": 7.0, "at_s": 7.0}
        await asyncio.sleep(50.0)
        assert said(path) == {"boot": "this-boot", "phase": "starting", "since_s": 7.0, "at_s": 52.0}
        heartbeat.enter(Phase.RUNNING)
        assert said(path) == {"boot": "this-boot", "phase": "running", "since_s": 57.0, "at_s": 57.0}
        for _ in range(1000):
            await asyncio.sleep(1.0)
            assert asyncio.get_running_loop().time() - said(path)["at_s"] < 15.0
        heartbeat.enter(Phase.STOPPING)
        last = said(path)
        heartbeat.stop()
        await asyncio.sleep(100.0)
        assert said(path) == last

    run(life())


def test_everybody_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    async def life() -> None:
        before = os.umask(0o077)
        heartbeat = Heartbeat(tmp_path / "heartbeat", "b")
        heartbeat.start()
        os.umask(before)
        heartbeat.stop()

    run(life())
    assert stat.S_IMODE((tmp_path / "heartbeat").stat().st_mode) == 0o644


def test_a_file_or_directory_that_was_removed_is_there_again_at_the_next_beat(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "run"
    place.mkdir()

    async def life() -> None:
        heartbeat = Heartbeat(place / "heartbeat", "b")
        heartbeat.start()
        (place / "heartbeat").unlink()
        await asyncio.sleep(BEAT_S)
        assert said(place / "heartbeat")["at_s"] == BEAT_S
        (place / "heartbeat").unlink()
        place.rmdir()
        await asyncio.sleep(10 * BEAT_S)
        (line,) = caplog.records
        assert line.getMessage() == (
            f"the heartbeat cannot be written to {place / 'heartbeat'}: No such file or directory"
        )
        place.mkdir()
        await asyncio.sleep(BEAT_S)
        assert said(place / "heartbeat")["at_s"] == 12 * BEAT_S
        heartbeat.stop()

    run(life())
    assert len(caplog.records) == 1


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_what_is_no_file_of_ours_is_left_alone(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, other = tmp_path / "heartbeat", tmp_path / "other"
    other.write_text("of somebody else")
    {"directory": path.mkdir, "link": lambda: path.symlink_to(other), "pipe": lambda: os.mkfifo(path)}[kind]()

    async def life() -> None:
        heartbeat = Heartbeat(path, "b")
        heartbeat.start()
        await asyncio.sleep(100.0)
        heartbeat.stop()

    run(life())
    assert len(caplog.records) == 1
    assert other.read_text() == "of somebody else"


def test_where_nobody_watches_nothing_is_written_and_one_timer_runs(tmp_path: Path) -> None:
    async def life() -> None:
        before = len(asyncio.all_tasks())
        heartbeat = Heartbeat(None, "b")
        heartbeat.start()
        heartbeat.enter(Phase.RUNNING)
        # The thread that watches the loop wants to know that it turns.
        assert len(asyncio.get_running_loop()._scheduled) == 1  # type: ignore[attr-defined]
        assert len(asyncio.all_tasks()) == before
        heartbeat.stop()

    run(life())


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, None),
        ("", None),
        ("/run/vitalgate", Path("/run/vitalgate/heartbeat")),
        ("/run/a:/run/b", Path("/run/a/heartbeat")),
    ],
)
def test_it_lies_in_the_first_directory_that_the_service_manager_made(
    value: str | None, path: Path | None
) -> None:
    assert file_of_service({} if value is None else {"RUNTIME_DIRECTORY": value}) == path
