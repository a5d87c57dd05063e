"""The contact with a sensor that only advertises: what is heard of it, and what is said when nothing is."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError
from radio_parts import DirectWorld, Talker, end, now_s, own_lines, until

from edge.config import SensorConfig
from edge.contact import Phase
from edge.kinds import KINDS, Kind
from edge.radio.adapter import NOT_HEARD_DBM, Radio
from edge.radio.inbox import Inbox, Notification
from edge.radio.listening import SEARCH_S_MAX, STEADY_S, Listening
from edge.radio.trouble import Trouble
from edge.sensors.sensor import SensorLive
from hw_sim.clock import VirtualClock, run
from protocols import aidex

NAME = "LinX-22222DXJ9C"
ONE, OTHER = "C4:00:00:00:00:01", "C4:00:00:00:00:02"


@dataclass
class Taker:
    """A sensor whose taking in is done by the test."""

    kind: Kind = KINDS["aidex"]
    config: SensorConfig = field(default_factory=lambda: SensorConfig("cgm", "aidex", NAME, "anna"))
    battery_pct: int | None = None
    why_not: str | None = None
    records: int = 0

    @property
    def stale_s(self) -> float:
        return self.kind.stale_s

    def take(self, notification: Notification) -> None:
        raise NotImplementedError

    def flush(self) -> None:
        raise NotImplementedError

    def live(self) -> SensorLive:
        return SensorLive(self.records)


class Air:
    """A scanner that hears what the test says."""

    def __init__(self, fails: Callable[[], Exception | None] = lambda: None) -> None:
        self.scanning: list[BaseBleakScanner] = []
        air = self

        class Scanner(BaseBleakScanner):
            def __init__(self, callback: Any, service_uuids: Any, scanning_mode: str, **_: Any) -> None:
                super().__init__(callback, service_uuids)

            async def start(self) -> None:
                if (error := fails()) is not None:
                    raise error
                air.scanning.append(self)

            async def stop(self) -> None:
                air.scanning.remove(self)

        self.radio = Radio(Scanner)

    def say(
        self,
        payload: bytes,
        *,
        address: str = ONE,
        name: str | None = NAME,
        rssi: int = -50,
        company: int = aidex.COMPANY,
    ) -> None:
        data = AdvertisementData(name, {company: payload}, {}, [], None, rssi, ())
        for scanner in self.scanning:
            scanner.call_detection_callbacks(BLEDevice(address, name, None), data)


class Room:
    """A contact that runs."""

    def __init__(
        self, taker: Taker | None = None, fails: Callable[[], Exception | None] = lambda: None
    ) -> None:
        self.taker, self.air, self.inbox = taker or Taker(), Air(fails), Inbox(64)
        self.contact = Listening(self.taker, self.air.radio, self.inbox, VirtualClock(0, "boot-1"))
        self.task = asyncio.ensure_future(self.contact.run())

    @property
    def heard(self) -> list[bytes]:
        return [notification.payload for notification in self.inbox.queue]

    async def read(self, payload: bytes) -> None:
        """Something comes that can be read."""
        await asyncio.sleep(1)
        self.air.say(payload)
        self.taker.records += 1
        await asyncio.sleep(2)


def test_the_scan_runs_as_long_as_somebody_listens() -> None:
    async def main() -> None:
        room = Room()
        await asyncio.sleep(1)
        assert len(room.air.scanning) == 1
        await asyncio.sleep(1000)
        assert len(room.air.scanning) == 1
        await end(room.task)
        assert room.air.scanning == []

    run(main())


def test_what_fits_is_stamped_and_taken_once_whatever_the_address() -> None:
    async def main() -> None:
        room = Room()
        await asyncio.sleep(5)
        for _ in range(3):
            room.air.say(b"first")
            room.air.say(b"first", address=OTHER)
        room.air.say(b"second", address=OTHER)
        room.air.say(b"other", name="LinX-OTHER0001")
        room.air.say(b"other", name=None)
        room.air.say(b"other", company=0x004C)
        assert room.heard == [b"first", b"second"]
        notification = room.inbox.queue[0]
        assert (notification.sensor_id, notification.characteristic) == ("cgm", aidex.PART)
        assert notification.boot_ns == 5 * 10**9
        assert notification.link == room.inbox.newest_link["cgm"]
        await end(room.task)

    run(main())


def test_what_the_system_only_remembers_is_not_heard() -> None:
    async def main() -> None:
        room = Room()
        for _ in range(40):
            await asyncio.sleep(10)
            room.air.say(b"old", rssi=NOT_HEARD_DBM)
        assert room.heard == []
        assert room.contact.state.trouble is Trouble.NOTHING_HEARD
        await end(room.task)

    run(main())


def test_data_are_fresh_for_a_while_and_then_it_is_searched_for() -> None:
    async def main() -> None:
        room = Room()
        await room.read(b"1")
        state = room.contact.state
        assert (state.phase, state.connects) == (Phase.STREAMING, 1)
        await asyncio.sleep(room.taker.stale_s - 10)
        await room.read(b"2")
        await asyncio.sleep(room.taker.stale_s - 10)
        assert state.phase is Phase.STREAMING
        # Repeated payloads are nothing new.
        for _ in range(20):
            room.air.say(b"2", address=OTHER)
            await asyncio.sleep(1)
        assert (state.phase, state.losses) == (Phase.SEARCHING, 1)
        await room.read(b"3")
        assert (state.phase, state.connects) == (Phase.STREAMING, 2)
        await end(room.task)

    run(main())


@pytest.mark.parametrize(
    ("say", "trouble", "words"),
    [
        ({}, Trouble.NO_DATA, "checksum"),
        ({"name": "Phone"}, Trouble.NOT_HEARD, "1 other devices"),
        (None, Trouble.NOTHING_HEARD, "nothing read for 2 min"),
    ],
)
def test_why_nothing_can_be_read_is_said_once(
    say: dict[str, Any] | None, trouble: Trouble, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        room = Room(Taker(why_not="checksum 1 should be 2"))
        for n in range(100):
            if say is not None:
                room.air.say(bytes([n]), **say)
            await asyncio.sleep(SEARCH_S_MAX / 20)
            if n == 24:
                assert room.contact.state.trouble is trouble
                assert words in str(room.contact.state.detail)
        assert room.contact.state.phase is Phase.SEARCHING
        assert [trouble.cause in line for line in own_lines(caplog)] == [True]
        await end(room.task)

    run(main())


def test_one_that_is_away_most_of_the_time_is_no_trouble() -> None:
    async def main() -> None:
        room = Room(Taker(KINDS["xiaomi_scale"], SensorConfig("scale", "xiaomi_scale", ONE, "anna")))
        await asyncio.sleep(1000)
        room.air.say(b"x")
        await asyncio.sleep(200)
        assert room.contact.state.trouble is None
        room.taker.why_not = "too few octets"
        for _ in range(20):
            room.air.say(b"y")
            await asyncio.sleep(10)
        assert room.contact.state.trouble is Trouble.NO_DATA
        await end(room.task)

    run(main())


def test_without_bluetooth_it_says_so_and_is_there_when_bluetooth_is() -> None:
    errors: list[Exception] = [BleakError("no adapter"), FileNotFoundError(2, "no bus")]

    async def main() -> None:
        room = Room(fails=lambda: errors.pop(0) if errors else None)
        await asyncio.sleep(1)
        assert room.contact.state.phase is Phase.WAITING
        assert room.contact.state.trouble is Trouble.SCAN_REFUSED
        await asyncio.sleep(STEADY_S)
        assert room.contact.state.trouble is Trouble.NO_SERVICE
        await asyncio.sleep(STEADY_S)
        await room.read(b"1")
        assert room.contact.state.phase is Phase.STREAMING
        assert now_s() < 20
        await end(room.task)

    run(main())


def test_a_scan_that_fails_later_is_begun_again() -> None:
    is_off = False

    async def main() -> None:
        nonlocal is_off
        room = Room(fails=lambda: BleakError("off") if is_off else None)
        await room.read(b"1")
        is_off = True
        await asyncio.sleep(200)
        assert room.contact.state.trouble is Trouble.SCAN_REFUSED
        is_off = False
        await asyncio.sleep(10)
        await room.read(b"2")
        assert room.contact.state.phase is Phase.STREAMING
        await end(room.task)

    run(main())


def test_nobody_is_connected_while_it_scans_and_a_session_goes_on_beside() -> None:
    async def main() -> None:
        world = DirectWorld(connect_s=2.0)
        ours = Radio(*world.backends)
        listening = Listening(Taker(), ours, world.inbox, VirtualClock(0, "boot-1"))
        session = world.session(Talker(), ours)
        tasks = [asyncio.ensure_future(listening.run()), asyncio.ensure_future(session.run())]
        await until_settled(session)
        assert world.stack.connects_while_scanning == 0
        assert world.stack._scanners
        world.stack.cut(world.strap.address)
        await asyncio.sleep(30)
        assert world.stack.connects[world.strap.address] >= 2
        assert world.stack.connects_while_scanning == 0
        assert world.stack._scanners
        for task in tasks:
            await end(task)
        assert not world.stack._scanners

    async def until_settled(session: Any) -> None:
        await until(session.state, Phase.SETTLING)
        await asyncio.sleep(10)

    run(main())
