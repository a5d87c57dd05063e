"""The radio scans while somebody waits and nobody connects, for all who wait, and outlives scans that fail or die."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError
from radio_parts import SERVICE, beats, now_s, radio

from edge.errors import SensorLost
from edge.radio.adapter import ADOPT_S, ANSWER_S_MAX, HEARD_MAX, NOT_HEARD_DBM, Found, Radio
from edge.radio.scan import SCAN_S, START_S_MAX, SWITCH_S_MAX
from edge.radio.trouble import Trouble
from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, open_central
from hw_sim.sensors.heart_rate_strap import HeartRateStrap

ONE, OTHER, ABSENT = "F0:00:00:00:00:01", "F0:00:00:00:00:02", "F0:00:00:00:00:09"


async def find(ours: Radio, address: str, timeout_s: float = 1e6) -> Found | None:
    async with ours.search(address, SERVICE) as search:
        return await search.wait(timeout_s)


async def address_of(ours: Radio, address: str) -> str | None:
    found = await find(ours, address)
    return found and found.device.address


async def two_straps() -> tuple[Air, Central, Radio]:
    air = Air()
    for address in (ONE, OTHER):
        await HeartRateStrap(air, address, beats(), begin_s=0.0).start()
    central = await open_central(air, bonds=None)
    return air, central, radio(central)


# One scan for all


def test_each_finds_its_own_and_then_the_scan_ends() -> None:
    async def main() -> None:
        _, central, ours = await two_straps()
        assert not central.device.is_scanning
        found = await asyncio.gather(address_of(ours, ONE), address_of(ours, OTHER))
        assert found == [ONE, OTHER]
        assert not central.device.is_scanning

    run(main())


def test_who_gives_up_ends_the_scan_only_if_nobody_else_waits() -> None:
    async def main() -> None:
        air, central, ours = await two_straps()
        air.set_reachable(OTHER, False)
        absent, late = (asyncio.ensure_future(address_of(ours, address)) for address in (ABSENT, OTHER))
        await asyncio.sleep(5)
        absent.cancel()
        await asyncio.wait({absent})
        assert central.device.is_scanning
        air.set_reachable(OTHER, True)
        assert await late == OTHER
        assert not central.device.is_scanning

    run(main())


@pytest.mark.parametrize("turns", range(0, 40, 3))
def test_giving_up_at_any_moment_leaves_no_scan_behind(turns: int) -> None:
    async def main() -> None:
        _, central, ours = await two_straps()
        search = asyncio.ensure_future(find(ours, ABSENT))
        for _ in range(turns):
            await asyncio.sleep(0)
        search.cancel()
        await asyncio.wait({search})
        assert search.cancelled()
        assert not central.device.is_scanning
        assert await address_of(ours, ONE) == ONE
        assert not central.device.is_scanning

    run(main())


@pytest.mark.parametrize("turns", range(0, 30, 2))
def test_one_may_begin_to_search_whenever_another_has_ended(turns: int) -> None:
    async def main() -> None:
        _, central, ours = await two_straps()
        first = asyncio.ensure_future(find(ours, ABSENT))
        await asyncio.sleep(1)
        first.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await address_of(ours, ONE) == ONE
        await asyncio.wait({first})
        assert not central.device.is_scanning

    run(main())


# A scanner that does what an operating system's does


class Bluetooth:
    """Scans, one at a time, as BlueZ does; `on_start` is told which one it is, and says whether it hears something.

    A scan whose start was interrupted goes on for ever, and cannot be stopped.
    """

    def __init__(self, on_start: Callable[[int], Awaitable[bool]], rssi: int = -50) -> None:
        self.starts = self.stops = 0
        self.scanning: set[object] = set()
        self.held: list[str] = []
        self.asked_s: list[float] = []
        bluetooth = self

        class Scanner(BaseBleakScanner):
            def __init__(
                self, callback: object, service_uuids: object, scanning_mode: str, **_: object
            ) -> None:
                super().__init__(callback, service_uuids)  # type: ignore[arg-type]

            async def start(self) -> None:
                bluetooth.starts += 1
                try:
                    hears = await on_start(bluetooth.starts)
                except asyncio.CancelledError:
                    bluetooth.scanning.add(object())
                    raise
                assert not bluetooth.scanning, "org.bluez.Error.InProgress"
                bluetooth.scanning.add(self)
                if hears:
                    data = AdvertisementData(None, {}, {}, [], None, rssi, ())
                    self.call_detection_callbacks(BLEDevice(ONE, None, None), data)

            async def stop(self) -> None:
                bluetooth.stops += 1
                bluetooth.scanning.discard(self)

        class Adapter(BaseBleakAdapter):
            @classmethod
            async def get(cls, **_: Any) -> "Adapter":
                return cls()

            async def get_connected_devices(self, service_uuids: frozenset[str]) -> list[BLEDevice]:
                bluetooth.asked_s.append(now_s())
                return [BLEDevice(address, None, None) for address in bluetooth.held]

        self.radio = Radio(Scanner, None, Adapter)


async def deaf(_: int) -> bool:
    return False


def test_a_scan_that_died_silently_is_begun_anew() -> None:
    async def hears_from_the_third_on(start: int) -> bool:
        return start >= 3

    async def main() -> None:
        bluetooth = Bluetooth(hears_from_the_third_on)
        assert await address_of(bluetooth.radio, ONE) == ONE
        assert 2 * SCAN_S <= now_s() <= 2 * SCAN_S + 2 * ADOPT_S
        assert (bluetooth.starts, bluetooth.stops, bluetooth.scanning) == (3, 3, set())

    run(main())


def test_two_who_wait_share_the_new_scan() -> None:
    async def main() -> None:
        bluetooth = Bluetooth(deaf)
        searches = [asyncio.ensure_future(find(bluetooth.radio, address)) for address in (ONE, OTHER)]
        await asyncio.sleep(1.5 * SCAN_S)
        assert (bluetooth.starts, bluetooth.stops) == (2, 1)
        for search in searches:
            search.cancel()
        await asyncio.wait(searches)
        assert bluetooth.stops == 2

    run(main())


@pytest.mark.parametrize("error", [BleakError("no adapter"), FileNotFoundError(2, "no bus"), EOFError()])
def test_a_scan_that_does_not_start_is_an_error_for_all_now_and_no_obstacle_later(error: Exception) -> None:
    async def fails_at_first(start: int) -> bool:
        if start == 1:
            raise error
        return True

    async def main() -> None:
        bluetooth = Bluetooth(fails_at_first)
        searches = [find(bluetooth.radio, address) for address in (ONE, OTHER)]
        assert await asyncio.gather(*searches, return_exceptions=True) == [error, error]
        assert await address_of(bluetooth.radio, ONE) == ONE

    run(main())


@pytest.mark.parametrize("start_s", [15.0, 45.0])
def test_a_scan_that_starts_after_its_time_is_stopped_if_nobody_wants_it_any_more(start_s: float) -> None:
    async def slow(start: int) -> bool:
        await asyncio.sleep(start_s if start == 1 else 0.0)
        return True

    async def main() -> None:
        bluetooth = Bluetooth(slow)
        with pytest.raises(SensorLost) as late:
            await find(bluetooth.radio, ONE)
        assert late.value.trouble is Trouble.SERVICE_SILENT
        assert SWITCH_S_MAX <= now_s() <= 2 * SWITCH_S_MAX
        await asyncio.sleep(start_s)
        assert (bluetooth.starts, bluetooth.stops, bluetooth.scanning) == (1, 1, set())
        assert await address_of(bluetooth.radio, ONE) == ONE
        assert bluetooth.scanning == set()

    run(main())


@pytest.mark.parametrize("after_s", [0.0, 1.0, 9.0])
def test_a_scan_whose_search_is_given_up_while_it_starts_is_stopped(after_s: float) -> None:
    async def slow(_: int) -> bool:
        await asyncio.sleep(9.5)
        return False

    async def main() -> None:
        bluetooth = Bluetooth(slow)
        search = asyncio.ensure_future(find(bluetooth.radio, ONE))
        await asyncio.sleep(after_s)
        search.cancel()
        await asyncio.wait({search})
        assert bluetooth.scanning == set()
        await asyncio.sleep(100)
        assert bluetooth.scanning == set()
        assert bluetooth.starts == bluetooth.stops

    run(main())


def test_a_scan_that_still_starts_is_waited_for_and_not_begun_beside() -> None:
    async def slow(_: int) -> bool:
        await asyncio.sleep(25)
        return True

    async def main() -> None:
        bluetooth = Bluetooth(slow)
        with pytest.raises(SensorLost):
            await find(bluetooth.radio, ONE)
        assert await address_of(bluetooth.radio, ONE) == ONE
        assert (bluetooth.starts, now_s()) == (1, 25.0)

    run(main())


def test_a_start_that_never_ends_holds_nobody_up_for_ever() -> None:
    async def hangs_at_first(start: int) -> bool:
        if start == 1:
            await asyncio.get_running_loop().create_future()
        return True

    async def main() -> None:
        bluetooth = Bluetooth(hangs_at_first)
        while True:
            try:
                assert await address_of(bluetooth.radio, ONE) == ONE
                break
            except SensorLost:
                bluetooth.scanning.clear()
                await asyncio.sleep(1)
        assert now_s() <= START_S_MAX + SWITCH_S_MAX
        assert (bluetooth.starts, bluetooth.stops) == (2, 2), "the one that hung is told to stop, too"

    run(main())


def test_a_system_that_does_not_say_what_it_holds_holds_nobody_up() -> None:
    class Silent(BaseBleakAdapter):
        @classmethod
        async def get(cls, **_: Any) -> "Silent":
            return await asyncio.get_running_loop().create_future()

    async def main() -> None:
        _, central, _ = await two_straps()
        ours = Radio(central.scanner_backend, central.client_backend, Silent)
        with pytest.raises(SensorLost) as late:
            await find(ours, ONE)
        assert (late.value.trouble, now_s()) == (Trouble.SERVICE_SILENT, ANSWER_S_MAX)

    run(main())


def test_what_nobody_foresaw_reaches_who_searches() -> None:
    async def wrong(_: int) -> bool:
        raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await find(Bluetooth(wrong).radio, ONE)

    run(main())


def test_a_failure_that_nobody_waits_for_any_more_is_no_complaint() -> None:
    complaints: list[Any] = []

    async def fails_late(_: int) -> bool:
        await asyncio.sleep(5)
        raise BleakError("failed")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with Bluetooth(fails_late).radio.search(ONE, SERVICE):
            await asyncio.sleep(20)

    run(main())
    gc.collect()
    assert complaints == []


# What the system holds


def test_the_system_is_asked_first_and_then_now_and_then_what_it_holds() -> None:
    async def main() -> None:
        bluetooth = Bluetooth(deaf)
        bluetooth.held = [ONE.lower()]
        found = await find(bluetooth.radio, ONE)
        assert found is not None
        assert (found.is_held, bluetooth.starts, now_s()) == (True, 0, 0.0)
        bluetooth.held = []
        asyncio.get_running_loop().call_later(33, bluetooth.held.append, ONE)
        found = await find(bluetooth.radio, ONE)
        assert found is not None
        assert found.is_held
        assert 33 <= now_s() <= 33 + ADOPT_S
        assert bluetooth.scanning == set()
        gaps_s = [b - a for a, b in zip(bluetooth.asked_s[1:], bluetooth.asked_s[2:], strict=False)]
        assert set(gaps_s) == {ADOPT_S}

    run(main())


def test_who_comes_to_search_is_not_left_waiting_for_the_next_round() -> None:
    async def main() -> None:
        bluetooth = Bluetooth(deaf)
        first = asyncio.ensure_future(find(bluetooth.radio, ABSENT))
        await asyncio.sleep(1)
        bluetooth.held = [ONE]
        found = await find(bluetooth.radio, ONE)
        assert found is not None
        assert (found.is_held, now_s()) == (True, 1.0)
        first.cancel()
        await asyncio.wait({first})

    run(main())


# What is heard


def test_a_device_that_changes_without_being_heard_is_not_heard() -> None:
    async def hears(_: int) -> bool:
        return True

    async def main() -> None:
        async with Bluetooth(hears, NOT_HEARD_DBM).radio.search(ONE, SERVICE) as search:
            assert await search.wait(100) is None
            assert (search.others, search.silent_s) == (0, None)

    run(main())


def test_of_a_street_full_of_phones_only_the_newest_are_remembered() -> None:
    async def main() -> None:
        ours = Bluetooth(deaf).radio
        async with ours.search(ONE, SERVICE) as search:
            for n in range(2 * HEARD_MAX):
                device = BLEDevice(f"F1:00:00:00:{n >> 8:02X}:{n & 255:02X}", None, None)
                ours._on_advertisement(device, AdvertisementData(None, {}, {}, [], None, -50, ()))
            assert search.others == HEARD_MAX

    run(main())


# Connecting


def test_scanning_pauses_while_one_connects_and_goes_on_after() -> None:
    async def main() -> None:
        _, central, _ = await two_straps()
        scanning: list[bool] = []

        async def connect(self: Any, pair: bool, **how: Any) -> None:
            scanning.append(central.device.is_scanning)
            await kept(self, pair, **how)
            scanning.append(central.device.is_scanning)

        kept = central.client_backend.connect
        client = type("Watched", (central.client_backend,), {"connect": connect})
        ours = Radio(central.scanner_backend, client, central.adapter_backend)
        search = asyncio.ensure_future(find(ours, ABSENT))
        for address in (ONE, OTHER):
            found = await find(ours, address)
            assert found is not None
            assert central.device.is_scanning
            await ours.connect(found.device, lambda: None, 20.0)
            await asyncio.sleep(0.1)
            assert central.device.is_scanning
        assert scanning == [False] * 4
        search.cancel()
        await asyncio.wait({search})

    run(main())


def test_attempts_take_turns_and_one_that_fails_lets_the_next_have_its_turn() -> None:
    async def main() -> None:
        air, central, ours = await two_straps()
        under_way: list[int] = []

        async def connect(self: Any, pair: bool, **how: Any) -> None:
            under_way.append(1)
            assert len(under_way) == 1
            try:
                await kept(self, pair, **how)
            finally:
                under_way.pop()

        kept = central.client_backend.connect
        ours = Radio(
            central.scanner_backend,
            type("Counted", (central.client_backend,), {"connect": connect}),
            central.adapter_backend,
        )
        found = [await find(ours, address) for address in (ONE, OTHER)]
        air.set_reachable(ONE, False)
        outcomes = await asyncio.gather(
            *(ours.connect(f.device, lambda: None, 20.0) for f in found if f is not None),
            return_exceptions=True,
        )
        assert isinstance(outcomes[0], TimeoutError)
        assert not isinstance(outcomes[1], BaseException)
        assert outcomes[1].is_connected

    run(main())
