"""The machine of a gateway: how its lives begin and end, its clock, and its disk."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

import pytest
from edge_parts import minimal_config

from edge.contact import Phase
from hw_sim.clock import run
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from protocols import heart_rate
from tools.rig.home.machine import GatewayEnded, Machine, direct

ZERO_UTC_S = 1_772_409_600.0
PACKET = heart_rate.encode(heart_rate.HeartRateMeasurement(60, contact=True, rr_ticks=(1024,)))

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

Told = Callable[["Home"], Coroutine[Any, Any, None]]


class Home:
    """A machine with a strap that beats once a second."""

    def __init__(self, directory: Path) -> None:
        config = minimal_config(directory)
        address = next(sensor.address for sensor in config.sensors if sensor.kind == "heart_rate")
        self.address = address
        self.stack = DirectStack()
        self.strap = DirectStrap(address)
        self.stack.add(self.strap)
        self.machine = Machine(
            lambda: config, direct(self.stack), zero_utc_s=ZERO_UTC_S, new_rng=lambda life: Random(life)
        )

    async def beat(self) -> None:
        while True:
            self.strap.send(PACKET)
            await asyncio.sleep(1.0)

    @property
    def phase(self) -> Phase:
        return self.machine.gateway.contacts["strap"].state.phase

    def stored(self) -> int:
        """Packets in the store."""
        row = next(row.no for row in self.machine.gateway.rows if row.id == "strap")
        chunks = self.machine.gateway.store.tables.raw_chunks.spans(row, 1)
        return len(chunks)


def at_home(directory: Path, told: Told) -> None:
    async def main() -> None:
        home = Home(directory)
        beating = asyncio.ensure_future(home.beat())
        home.machine.start()
        await home.machine.for_s(10.0)
        assert home.phase is Phase.STREAMING
        await told(home)
        beating.cancel()
        await home.machine.stop()

    run(main())


def test_what_is_stopped_has_stored_what_it_had(tmp_path: Path) -> None:
    async def told(home: Home) -> None:
        assert home.stored() == 0  # the minute is open
        await home.machine.stop()
        assert home.stack.links == {}
        home.machine.start()
        assert home.stored() == 1
        assert (len(home.machine.starts_s), home.machine.stops_s, home.machine.kills_s) == (2, [10.0], [])

    at_home(tmp_path, told)


def test_what_is_killed_stores_nothing_more_and_its_link_stays(tmp_path: Path) -> None:
    async def told(home: Home) -> None:
        await home.machine.kill()
        assert home.machine.now_s == 10.0
        assert list(home.stack.links) == [home.address]
        home.machine.start()
        assert home.stored() == 0
        await home.machine.for_s(5.0)
        assert home.phase is Phase.STREAMING
        assert home.stack.connects[home.address] == 1
        assert home.machine.kills_s == [10.0]

    at_home(tmp_path, told)


def test_a_reboot_is_another_boot_without_links(tmp_path: Path) -> None:
    async def told(home: Home) -> None:
        first = home.machine.clock
        await home.machine.reboot(30.0, wrong_s=-3600.0, is_trusted=False)
        clock = home.machine.clock
        assert clock.boot_id != first.boot_id
        assert (clock.boot_ns(), clock.utc_ns()) == (0, round((ZERO_UTC_S + 40.0 - 3600.0) * 1e9))
        assert clock.utc_error_ms() is None
        assert home.machine.boots == [first, clock]
        await home.machine.for_s(10.0)
        assert home.stack.losses[home.address] == 1
        assert home.machine.gateway.boot_no == 2
        home.machine.set_clock()
        assert clock.utc_ns() == round((ZERO_UTC_S + 50.0) * 1e9)
        assert clock.utc_error_ms() == 500

    at_home(tmp_path, told)


def test_a_full_disk_is_full_for_whoever_runs(tmp_path: Path) -> None:
    async def told(home: Home) -> None:
        home.machine.is_full = True
        await home.machine.for_s(90.0)
        assert home.machine.gateway.store.trouble == "No space left on device"
        await home.machine.stop()
        home.machine.start()
        await home.machine.for_s(90.0)
        assert home.machine.gateway.store.trouble == "No space left on device"
        home.machine.is_full = False
        await home.machine.for_s(90.0)
        assert home.machine.gateway.store.trouble is None

    at_home(tmp_path, told)


def test_waiting_ends_when_the_gateway_ends_by_itself(tmp_path: Path) -> None:
    async def told(home: Home) -> None:
        home.machine.gateway.store.path.unlink()
        with pytest.raises(GatewayEnded, match="deleted or replaced"):
            await home.machine.for_s(3600.0)
        assert home.machine.now_s < 200.0

    at_home(tmp_path, told)


def test_lives_do_not_overlap(tmp_path: Path) -> None:
    async def told(home: Home) -> None:
        with pytest.raises(AssertionError, match="runs already"):
            home.machine.start()
        await home.machine.stop()
        await home.machine.stop()
        with pytest.raises(AssertionError, match="no gateway runs"):
            await home.machine.kill()
        home.machine.start()

    at_home(tmp_path, told)
