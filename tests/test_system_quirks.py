"""Sensors that differ from the specification are read right by the whole gateway, in virtual time."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.store.readings import Reading
from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import heart_rate
from protocols.cgm import OctetOrder, SensorStatus
from protocols.crc import Crc
from protocols.heart_rate import RrUnit
from tools.rig.scenario import CGM, STRAP, home_of
from tools.rig.world import open_world


def glucose(minutes: int) -> Iterator[tuple[float, float]]:
    """A reading every five minutes; below what can be measured now and then."""
    return (
        (60.0 * minute, -math.inf if minute % 20 == 0 else 100.0 + minute) for minute in range(0, minutes, 5)
    )


def kept(directory: Path, **quirks: Any) -> tuple[list[Reading], int]:
    """The readings in the store, and how many records could not be read."""

    def bodies(air: Air) -> list[CgmSensor]:
        return [CgmSensor(air, str(CGM.address), glucose(180), begin_s=5.0, session_age_s=600.0, **quirks)]

    async def main() -> tuple[list[Reading], int]:
        async with open_world(home_of(CGM), directory, bodies=bodies) as world:
            await world.for_s(2.95 * 3600)
            tables = world.gateway.store.tables
            session = tables.sessions.current(world.row_no("cgm"))
            assert session is not None
            readings = tables.readings.between(session.no, "glucose", 0, 86_400)
            return readings, world.gateway.intake.undecodable["cgm"]

    return run(main())


@pytest.mark.parametrize(
    "quirks",
    [
        {"crc": Crc.NONE},
        {"crc": Crc.CCITT_FALSE},
        {"crc": Crc.MCRF4XX, "declares_crc": False},
        {"crc": Crc.CCITT_FALSE, "declares_crc": False},
    ],
    ids=str,
)
def test_every_checksum_is_found_declared_or_not(tmp_path: Path, quirks: dict[str, object]) -> None:
    readings, unread = kept(tmp_path, **quirks)
    assert [(reading.sequence - 10, reading.value) for reading in readings] == [
        (int(t / 60), value) for t, value in glucose(180)
    ]
    assert unread == 0


def test_status_octets_in_another_order_are_put_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    standing = SensorStatus.BATTERY_LOW | SensorStatus.CALIBRATION_RECOMMENDED
    readings, _ = kept(tmp_path, octet_order=OctetOrder.REVERSED, annunciation=standing)
    below = [reading.status for reading in readings if reading.value == -math.inf]
    # Nothing tells before the first octet that no sensor sends in that place.
    assert set(below[1:]) == {int(standing | SensorStatus.BELOW_MEASURABLE)}
    assert {reading.status for reading in readings[4:] if reading.value != -math.inf} == {int(standing)}
    assert caplog.text.count("octets in order REVERSED") == 1


@pytest.mark.parametrize(("rr_in_ms", "unit"), [(False, RrUnit.TICKS), (True, RrUnit.MILLISECONDS)])
def test_intervals_are_read_in_the_unit_the_strap_sends(tmp_path: Path, rr_in_ms: bool, unit: RrUnit) -> None:
    rng = random.Random(7)
    truth_ms = [rng.gauss(850.0, 40.0) for _ in range(2000)]

    def bodies(air: Air) -> list[HeartRateStrap]:
        return [HeartRateStrap(air, str(STRAP.address), iter(truth_ms), begin_s=5.0, rr_in_ms=rr_in_ms)]

    async def main() -> list[float]:
        async with open_world(home_of(STRAP), tmp_path, bodies=bodies) as world:
            await world.for_s(0.5 * 3600)
            tables, row_no = world.gateway.store.tables, world.row_no("strap")
            assert (tables.sensors.trait(row_no, "rr_unit") or RrUnit.TICKS.name) == unit.name
            packets = [
                packet
                for from_ns in range(0, 1800 * 10**9, 60 * 10**9)
                for chunk in tables.raw_chunks.between(
                    row_no, world.gateway.boot_no, from_ns, from_ns + 60 * 10**9
                )
                for packet in chunk.packets
                if from_ns <= packet.arrival_boot_ns < from_ns + 60 * 10**9
            ]
        return [rr for p in packets for rr in heart_rate.intervals_ms(heart_rate.decode(p.payload), unit)]

    assert run(main()) == pytest.approx(truth_ms, abs=1.5)
