"""When the event loop stands still, the log says where; once."""

import asyncio
import logging
import threading

import pytest

from edge.local.heartbeat import BEAT_S, Heartbeat
from edge.loop_watch import STALL_S, LoopWatch


class Listening(logging.Handler):
    """Says when something was logged."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.set()


def stand_still(until: threading.Event) -> None:
    assert until.wait(20)


def test_a_loop_that_stands_still_is_named_with_the_place(caplog: pytest.LogCaptureFixture) -> None:
    listening = Listening()
    logging.getLogger("edge.loop_watch").addHandler(listening)

    async def life() -> None:
        heartbeat = Heartbeat(None, "boot")
        heartbeat.start()
        # The heartbeat lies by its interval in the past, so nobody has to wait for it.
        heartbeat.beat_s -= BEAT_S
        watch = LoopWatch(heartbeat, asyncio.get_running_loop().time, look_s=0.01, stall_s=0.05)
        watch.start()
        stand_still(listening.heard)
        watch.stop()
        heartbeat.stop()

    asyncio.run(life())
    (record,) = caplog.records
    assert record.levelname == "CRITICAL"
    assert "the event loop stands still for 0 s, in " in record.message
    assert " stand_still < tests/test_edge_loop_watch.py:" in record.message
    assert "\n" not in record.message


def test_it_is_said_once_and_once_more_when_it_turns_again(caplog: pytest.LogCaptureFixture) -> None:
    heartbeat, now_s = Heartbeat(None, "boot"), 0.0
    watch = LoopWatch(heartbeat, lambda: now_s)
    for second in range(200):
        now_s = float(second)
        heartbeat.beat_s = now_s if second < 60 or second >= 150 else 59.0
        watch.look()
    first, second_line = (record.message for record in caplog.records)
    assert first.startswith(f"the event loop stands still for {STALL_S:.0f} s, in ")
    assert second_line == "the event loop turns again, after 91 s"


def test_a_loop_that_turns_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    heartbeat, now_s = Heartbeat(None, "boot"), 0.0
    watch = LoopWatch(heartbeat, lambda: now_s)
    for second in range(10_000):
        now_s = float(second)
        heartbeat.beat_s = now_s // BEAT_S * BEAT_S
        watch.look()
    assert caplog.records == []
