"""Sensors that differ from the specification are read right, end to end, in virtual time."""

import asyncio
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, minimal_config, open_store

from edge.anchors import Anchors
from edge.cgm_sensor import CgmSensor
from edge.heart_sensor import HeartSensor
from edge.inbox import Inbox
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.radio import Radio
from edge.session import Sensor, Session
from edge.store import Store
from edge.summary import Summaries
from edge.window import rr_window
from hw_sim.air import Air
from hw_sim.central import open_central
from hw_sim.clock import VirtualClock, run
from hw_sim.sensors import cgm_sensor, heart_rate_strap
from hw_sim.sensors.peripheral import Peripheral
from protocols.cgm import OctetOrder, SensorStatus
from protocols.crc import Crc
from protocols.heart_rate import RrUnit

S = 10**9
ADDRESS = "F0:00:00:00:00:02"


async def listen(
    sensor: Sensor, body: Peripheral, air: Air, clock: VirtualClock, inbox: Inbox, hours: float
) -> None:
    """Have a gateway listen to a body for so long."""
    await body.start()
    central = await open_central(air, bonds=None)
    radio = Radio(central.scanner_backend, central.client_backend)
    limits = minimal_config(Path("unused")).limits
    session = Session(sensor, radio, inbox, clock, limits, random.Random(1))
    pipeline = Pipeline(inbox, {sensor.config.id: sensor})
    tasks = [asyncio.ensure_future(task) for task in (session.run(), pipeline.run())]
    await asyncio.sleep(hours * 3600)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await central.close()
    await body.stop()


def glucose(minutes: int) -> Iterator[tuple[float, float]]:
    """A reading every five minutes; below what can be measured now and then."""
    return (
        (60.0 * minute, -math.inf if minute % 20 == 0 else 100.0 + minute) for minute in range(0, minutes, 5)
    )


def kept(directory: Path, **quirks: object) -> tuple[list[tuple[int, float, int]], CgmSensor]:
    async def main() -> tuple[list[tuple[int, float, int]], CgmSensor]:
        config = minimal_config(directory, **{"A4:C1:38:00:00:02": ADDRESS})
        store, clock, inbox = open_store(config), VirtualClock(MIDNIGHT_UTC_S * S, "boot-1"), Inbox(4096)
        summaries = Summaries(config, IDENTITY, store, Outbox(store, clock), Anchors(store, clock), clock)
        sensor = CgmSensor(config.sensors[1], store, summaries, inbox, clock, config.limits)
        air = Air()
        body = cgm_sensor.CgmSensor(
            air,
            sensor.config.address,
            glucose(180),
            begin_s=5.0,
            session_age_s=600.0,
            **quirks,  # type: ignore[arg-type]
        )
        await listen(sensor, body, air, clock, inbox, hours=2.95)
        rows = store.read(
            "SELECT time_offset_min, glucose_mg_dl, status FROM cgm_records ORDER BY time_offset_min"
        )
        return [tuple(row) for row in rows], sensor  # type: ignore[misc]

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
    rows, sensor = kept(tmp_path, **quirks)
    assert [(offset - 10, value) for offset, value, _ in rows] == [
        (int(t / 60), value) for t, value in glucose(180)
    ]
    assert sensor.bad_records == 0


def test_status_octets_in_another_order_are_put_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    standing = SensorStatus.BATTERY_LOW | SensorStatus.CALIBRATION_REQUIRED
    rows, _ = kept(tmp_path, octet_order=OctetOrder.REVERSED, annunciation=standing)
    below = [status for _, value, status in rows if value == -math.inf]
    # Nothing tells before the first octet that no sensor sends in that place.
    assert set(below[1:]) == {int(standing | SensorStatus.BELOW_MEASURABLE)}
    assert {status for _, value, status in rows[4:] if value != -math.inf} == {int(standing)}
    assert caplog.text.count("octets in order REVERSED") == 1


def heard(directory: Path, **quirks: bool) -> tuple[Store, list[float]]:
    rng = random.Random(7)
    truth_ms = [rng.gauss(850.0, 40.0) for _ in range(2000)]

    async def main() -> Store:
        config = minimal_config(directory)
        store, clock, inbox = open_store(config), VirtualClock(MIDNIGHT_UTC_S * S, "boot-1"), Inbox(4096)
        sensor = HeartSensor(config.sensors[0], store, "boot-1", config.limits.heart_stale_s)
        air = Air()
        body = heart_rate_strap.HeartRateStrap(
            air, sensor.config.address, iter(truth_ms), begin_s=5.0, **quirks
        )
        await listen(sensor, body, air, clock, inbox, hours=0.5)
        sensor.flush()
        return store

    return run(main()), truth_ms


@pytest.mark.parametrize(("rr_in_ms", "unit"), [(False, RrUnit.TICKS), (True, RrUnit.MILLISECONDS)])
def test_intervals_are_read_in_the_unit_the_strap_sends(tmp_path: Path, rr_in_ms: bool, unit: RrUnit) -> None:
    store, truth_ms = heard(tmp_path, rr_in_ms=rr_in_ms)
    assert store.rr_unit("strap") is unit
    chunks = store.chunks_between("strap", "boot-1", 0, 1 << 62)
    rr_ms, _ = rr_window(chunks, 0, 1 << 62, store.rr_unit("strap"))
    assert rr_ms.tolist() == pytest.approx(truth_ms, abs=1.5)
