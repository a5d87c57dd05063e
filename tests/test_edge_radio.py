"""The radio scans only while somebody waits, for all who wait, and outlives scans that fail, hang or die."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError

from edge.radio import SCAN_S, SWITCH_TIMEOUT_S, Radio
from hw_sim.air import Air
from hw_sim.central import Central, open_central
from hw_sim.clock import run
from hw_sim.sensors.heart_rate_strap import HeartRateStrap

ONE, OTHER, ABSENT = "F0:00:00:00:00:01", "F0:00:00:00:00:02", "F0:00:00:00:00:09"


async def two_straps() -> tuple[Air, Central, Radio]:
    air = Air()
    for address in (ONE, OTHER):
        await HeartRateStrap(air, address, iter(()), begin_s=0.0).start()
    central = await open_central(air, bonds=None)
    return air, central, Radio(central.scanner_backend, central.client_backend)


def test_each_finds_its_own_and_then_the_scan_ends() -> None:
    async def main() -> None:
        _, central, radio = await two_straps()
        assert not central.device.is_scanning
        found = await asyncio.gather(radio.find(ONE), radio.find(OTHER))
        assert [device.address for device in found] == [ONE, OTHER]
        assert not central.device.is_scanning

    run(main())


def test_who_gives_up_ends_the_scan_only_if_nobody_else_waits() -> None:
    async def main() -> None:
        air, central, radio = await two_straps()
        air.set_reachable(OTHER, False)
        absent, late = (asyncio.ensure_future(radio.find(address)) for address in (ABSENT, OTHER))
        await asyncio.sleep(5)
        absent.cancel()
        await asyncio.wait({absent})
        assert central.device.is_scanning
        air.set_reachable(OTHER, True)
        assert (await late).address == OTHER
        assert not central.device.is_scanning

    run(main())


@pytest.mark.parametrize("turns", range(0, 40, 3))
def test_giving_up_at_any_moment_leaves_no_scan_behind(turns: int) -> None:
    async def main() -> None:
        _, central, radio = await two_straps()
        search = asyncio.ensure_future(radio.find(ABSENT))
        for _ in range(turns):
            await asyncio.sleep(0)
        search.cancel()
        await asyncio.wait({search})
        assert search.cancelled()
        await asyncio.sleep(1)
        assert not central.device.is_scanning
        assert (await radio.find(ONE)).address == ONE

    run(main())


class Adapter:
    """What an operating system's Bluetooth does with scans; `on_start` is told which one it is."""

    def __init__(self, on_start: Callable[[int], Awaitable[bool]]) -> None:
        self.starts = self.stops = 0
        adapter = self

        class Scanner(BaseBleakScanner):
            def __init__(
                self, callback: object, service_uuids: object, scanning_mode: str, **_: object
            ) -> None:
                super().__init__(callback, service_uuids)  # type: ignore[arg-type]

            async def start(self) -> None:
                adapter.starts += 1
                if await on_start(adapter.starts):
                    data = AdvertisementData(None, {}, {}, [], None, -50, ())
                    self.call_detection_callbacks(BLEDevice(ONE, None, None), data)

            async def stop(self) -> None:
                adapter.stops += 1

        self.radio = Radio(Scanner)


def test_a_scan_that_died_silently_is_begun_anew() -> None:
    async def hears_from_the_third_on(start: int) -> bool:
        return start >= 3

    async def main() -> None:
        adapter = Adapter(hears_from_the_third_on)
        device = await adapter.radio.find(ONE)
        assert device.address == ONE
        assert asyncio.get_running_loop().time() == 2 * SCAN_S
        assert (adapter.starts, adapter.stops) == (3, 3)

    run(main())


def test_two_who_wait_share_the_new_scan() -> None:
    async def deaf(_: int) -> bool:
        return False

    async def main() -> None:
        adapter = Adapter(deaf)
        searches = [asyncio.ensure_future(adapter.radio.find(address)) for address in (ONE, OTHER)]
        await asyncio.sleep(1.5 * SCAN_S)
        assert (adapter.starts, adapter.stops) == (2, 1)
        for search in searches:
            search.cancel()
        await asyncio.wait(searches)
        assert adapter.stops == 2

    run(main())


@pytest.mark.parametrize("error", [BleakError("no adapter"), FileNotFoundError(2, "no bus"), EOFError()])
def test_a_scan_that_does_not_start_is_an_error_now_and_no_obstacle_later(error: Exception) -> None:
    async def fails_at_first(start: int) -> bool:
        if start == 1:
            raise error
        return True

    async def main() -> None:
        adapter = Adapter(fails_at_first)
        with pytest.raises(type(error)):
            await adapter.radio.find(ONE)
        assert (await adapter.radio.find(ONE)).address == ONE

    run(main())


def test_a_bus_that_never_answers_holds_nobody_up_for_ever() -> None:
    async def hangs_at_first(start: int) -> bool:
        if start == 1:
            await asyncio.get_running_loop().create_future()
        return True

    async def main() -> None:
        adapter = Adapter(hangs_at_first)
        asyncio.get_running_loop().call_later(3600, lambda: None)
        with pytest.raises(TimeoutError):
            await adapter.radio.find(ONE)
        assert asyncio.get_running_loop().time() == SWITCH_TIMEOUT_S
        assert (await adapter.radio.find(ONE)).address == ONE

    run(main())
