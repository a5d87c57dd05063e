"""Every notification reaches its sensor; nonsense is counted, and costs neither the link nor the loop."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from edge.inbox import Inbox, Notification
from edge.pipeline import Pipeline
from hw_sim.clock import run
from protocols.errors import DecodeError

RUBBISH = b"\xde\xad\xbe\xef"


class Recorder:
    """Takes what it understands."""

    def __init__(self, on_take: Callable[[], None] = lambda: None) -> None:
        self.taken: list[bytes] = []
        self.on_take = on_take

    def take(self, notification: Notification) -> None:
        if notification.payload == RUBBISH:
            raise DecodeError("Heart Rate Measurement", notification.payload, "not understood")
        self.taken.append(notification.payload)
        self.on_take()


def notification(sensor_id: str, payload: bytes) -> Notification:
    return Notification(sensor_id, "characteristic", 0, payload)


def pipeline(inbox: Inbox, **sensors: Recorder) -> Pipeline:
    return Pipeline(inbox, sensors)  # type: ignore[arg-type]


def test_each_sensor_gets_its_own_in_order_and_rubbish_is_counted() -> None:
    strap, cgm = Recorder(), Recorder()
    line = pipeline(Inbox(16), strap=strap, cgm=cgm)
    for sensor_id, payload in [("strap", b"1"), ("cgm", b"2"), ("strap", RUBBISH), ("strap", b"3")]:
        line.process(notification(sensor_id, payload))
    assert (strap.taken, cgm.taken) == ([b"1", b"3"], [b"2"])
    assert (line.undecodable["strap"], line.undecodable["cgm"]) == (1, 0)


def test_days_of_rubbish_are_a_few_lines_and_none_shows_the_bytes(caplog: pytest.LogCaptureFixture) -> None:
    line = pipeline(Inbox(16), strap=Recorder())
    with caplog.at_level(logging.WARNING):
        for _ in range(1234):
            line.process(notification("strap", RUBBISH))
    assert [record.message for record in caplog.records] == [
        f"strap: packet dropped, {n} so far: Heart Rate Measurement: not understood"
        for n in (1, 10, 100, 1000)
    ]
    assert line.undecodable["strap"] == 1234


def test_a_full_inbox_does_not_stop_the_rest_of_the_gateway() -> None:
    async def main() -> None:
        inbox = Inbox(1000)
        turns = 0
        turns_at: list[int] = []
        strap = Recorder(lambda: turns_at.append(turns))
        for _ in range(1000):
            inbox.put(notification("strap", b"x"))
        running = asyncio.ensure_future(pipeline(inbox, strap=strap).run())
        while len(strap.taken) < 1000:
            turns += 1
            await asyncio.sleep(0)
        running.cancel()
        assert turns_at == list(range(1, 1001))

    run(main())


def test_what_nobody_foresaw_is_not_swallowed() -> None:
    def crash() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        inbox = Inbox(16)
        inbox.put(notification("strap", b"1"))
        await pipeline(inbox, strap=Recorder(crash)).run()

    with pytest.raises(ZeroDivisionError):
        run(main())
