"""Every notification reaches its sensor; nonsense and leftovers are counted, and cost neither the link nor the loop."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from edge.radio.inbox import Inbox, Notification
from edge.radio.intake import TURN_NS, Intake
from hw_sim.clock import VirtualClock, run
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


class HandClock(VirtualClock):
    """A clock that is set by hand."""

    now_ns = 0

    def boot_ns(self) -> int:
        return self.now_ns


class Line:
    """An inbox with an intake that hands on to recorders; each sensor has a link."""

    def __init__(self, **sensors: Recorder) -> None:
        self.inbox = Inbox(2000)
        self.links = {sensor_id: self.inbox.open_link(sensor_id) for sensor_id in sensors}
        self.clock = HandClock(0, "boot-1")
        take = {sensor_id: sensor.take for sensor_id, sensor in sensors.items()}
        self.intake = Intake(self.inbox, take, self.clock)

    def notification(self, sensor_id: str, payload: bytes, link: int | None = None) -> Notification:
        return Notification(sensor_id, link or self.links[sensor_id], "characteristic", 0, payload)

    def process(self, sensor_id: str, payload: bytes, link: int | None = None) -> None:
        self.intake.process(self.notification(sensor_id, payload, link))


def test_each_sensor_gets_its_own_in_order_and_rubbish_is_counted() -> None:
    strap, cgm = Recorder(), Recorder()
    line = Line(strap=strap, cgm=cgm)
    for sensor_id, payload in [("strap", b"1"), ("cgm", b"2"), ("strap", RUBBISH), ("strap", b"3")]:
        line.process(sensor_id, payload)
    assert (strap.taken, cgm.taken) == ([b"1", b"3"], [b"2"])
    assert (line.intake.undecodable["strap"], line.intake.undecodable["cgm"]) == (1, 0)


def test_what_a_link_left_behind_is_counted_and_not_read_on_the_next() -> None:
    strap, cgm = Recorder(), Recorder()
    line = Line(strap=strap, cgm=cgm)
    line.process("strap", b"old, but its link is the newest")
    newer = line.inbox.open_link("strap")
    line.process("strap", b"left behind")
    line.process("strap", RUBBISH)
    line.process("strap", b"new", newer)
    line.process("cgm", b"another's")
    assert strap.taken == [b"old, but its link is the newest", b"new"]
    assert cgm.taken == [b"another's"]
    assert line.intake.leftovers == {"strap": 2}
    assert line.intake.undecodable == {}


def test_days_of_rubbish_are_a_few_lines_and_none_shows_the_bytes(caplog: pytest.LogCaptureFixture) -> None:
    line = Line(strap=Recorder())
    with caplog.at_level(logging.WARNING):
        for _ in range(1234):
            line.process("strap", RUBBISH)
    assert [record.message for record in caplog.records] == [
        f"strap: packet dropped, {n} so far: Heart Rate Measurement: not understood"
        for n in (1, 10, 100, 1000)
    ]
    assert line.intake.undecodable["strap"] == 1234


def test_a_full_inbox_does_not_stop_the_rest_of_the_gateway() -> None:
    async def main() -> None:
        turns = 0
        turns_at: list[int] = []

        def take_a_third_of_a_turn() -> None:
            line.clock.now_ns += TURN_NS // 3 + 1
            turns_at.append(turns)

        strap = Recorder(take_a_third_of_a_turn)
        line = Line(strap=strap)
        for _ in range(999):
            line.inbox.put(line.notification("strap", b"x"))
        running = asyncio.ensure_future(line.intake.run())
        while len(strap.taken) < 999:
            turns += 1
            await asyncio.sleep(0)
        running.cancel()
        assert turns_at == [turn for turn in range(1, 334) for _ in range(3)]

    run(main())


@pytest.mark.parametrize("filled_first", [False, True])
def test_a_reader_cancelled_at_any_moment_leaves_everything_to_the_next(filled_first: bool) -> None:
    async def main() -> None:
        strap = Recorder()
        line = Line(strap=strap)
        running = asyncio.ensure_future(line.intake.run())
        await asyncio.sleep(1)
        if filled_first:  # it is about to read when the cancellation comes
            line.inbox.put(line.notification("strap", b"1"))
        running.cancel()
        await asyncio.wait({running})
        if not filled_first:
            line.inbox.put(line.notification("strap", b"1"))
        line.inbox.put(line.notification("strap", b"2"))
        again = asyncio.ensure_future(line.intake.run())
        await asyncio.sleep(1)
        line.inbox.put(line.notification("strap", b"3"))
        await asyncio.sleep(1)
        assert strap.taken == [b"1", b"2", b"3"]
        again.cancel()

    run(main())


def test_what_nobody_foresaw_is_not_swallowed() -> None:
    def crash() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        line = Line(strap=Recorder(crash))
        line.inbox.put(line.notification("strap", b"1"))
        await line.intake.run()

    with pytest.raises(ZeroDivisionError):
        run(main())
