"""Sensors that differ from the specification are read right by the whole gateway, in virtual time."""

import asyncio
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from direct_home import direct_home

from edge.sensors.sensor import SensorLive
from edge.store.readings import Reading
from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.heart_rate_strap import Habits, HeartRateStrap
from hw_sim.sensors.wayward_cgm import Manner, WaywardCgm
from protocols import heart_rate
from protocols.cgm import OctetOrder, SensorStatus
from protocols.crc import Crc
from protocols.heart_rate import RrUnit
from protocols.racp import Code, OpCode, Operator, ResponseCode
from tools.rig.home.world import open_world
from tools.rig.language.scenario import CGM, STRAP, home_of


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
        return [
            HeartRateStrap(
                air, str(STRAP.address), iter(truth_ms), begin_s=5.0, habits=Habits(rr_in_ms=rr_in_ms)
            )
        ]

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


# Straps


def beats_of(
    directory: Path, habits: Habits, truth_ms: Sequence[float], minutes: float
) -> tuple[list[float], SensorLive, list[dict[str, Any]], dict[str, Any]]:
    """The stored intervals, the sensor's figures, the bodies of the windows, and what was known of the rate."""

    def bodies(air: Air) -> list[HeartRateStrap]:
        return [HeartRateStrap(air, str(STRAP.address), iter(truth_ms), begin_s=5.0, habits=habits)]

    async def main() -> tuple[list[float], SensorLive, list[dict[str, Any]], dict[str, Any]]:
        async with open_world(home_of(STRAP), directory, bodies=bodies) as world:
            rates: dict[str, Any] = {"counted": [], "why": set()}
            note = world.gateway.facts.note

            def noted(name: str, measurement: str, value: float, at_ns: int, why: str | None = None) -> None:
                rates["counted"] += [value] if why is None else []
                rates["why"] |= {why}
                note(name, measurement, value, at_ns, why)

            setattr(world.gateway.facts, "note", noted)  # noqa: B010 - a method is not to be assigned to
            await world.for_s(60.0 * minutes)
            gateway, row_no = world.gateway, world.row_no("strap")
            tables, live = gateway.store.tables, gateway.sensors["strap"].live()
            unit = RrUnit[tables.sensors.trait(row_no, "rr_unit") or RrUnit.TICKS.name]
            chunks = tables.raw_chunks.between(row_no, gateway.boot_no, 0, 1 << 62)
            readings = [
                heart_rate.decode_lenient(packet.payload)[0] for chunk in chunks for packet in chunk.packets
            ]
            windows = [
                json.loads(body)
                for (body,) in tables.database.read(
                    "SELECT body FROM summaries WHERE kind = 'heart_5min' ORDER BY start_utc_s"
                )
            ]
            rates["contact"] = {reading.contact for reading in readings}
            return [rr for one in readings for rr in heart_rate.intervals_ms(one, unit)], live, windows, rates

    return run(main())


def sinus(count: int, mean_ms: float = 900.0) -> list[float]:
    """A heart at rest: intervals that breathe."""
    rng = random.Random(11)
    return [mean_ms + 40.0 * math.sin(2.0 * math.pi * n / 5.0) + rng.gauss(0.0, 12.0) for n in range(count)]


@pytest.mark.parametrize(
    ("habits", "mean_ms"),
    [
        (Habits(), 900.0),
        (Habits(), 400.0),
        (Habits(packet_period_s=4.0), 700.0),
        (Habits(splits_rr=True), 400.0),
        (Habits(splits_rr=True, packet_period_s=3.0), 900.0),
        (Habits(trailing=b"\x03"), 900.0),
        (Habits(trailing=b"\x03", rr_in_ms=True), 900.0),
        (Habits(tells_contact=False), 900.0),
    ],
    ids=str,
)
def test_every_interval_is_kept_once_and_in_order_however_a_strap_sends_them(
    tmp_path: Path, habits: Habits, mean_ms: float
) -> None:
    truth_ms = sinus(round(720_000.0 / mean_ms), mean_ms)
    kept_ms, live, windows, rates = beats_of(tmp_path, habits, truth_ms, 13.0)
    assert len(kept_ms) >= 0.99 * len(truth_ms)
    assert kept_ms == pytest.approx(truth_ms[: len(kept_ms)], abs=1.5)
    assert (live.oddities > 0) == bool(habits.trailing)
    assert rates["contact"] - {False} <= ({None} if not habits.tells_contact else {True})
    whole = windows[1]
    assert whole["mean_nn_ms"] == pytest.approx(mean_ms, rel=0.01)
    assert whole["hr_mean_bpm"] == pytest.approx(60_000.0 / mean_ms, rel=0.01)
    assert whole["coverage_pct"] > 98.0
    assert rates["counted"]


def test_intervals_that_only_fill_a_place_spoil_no_measure(tmp_path: Path) -> None:
    truth_ms = sinus(850)
    said = []
    for name, every in (("without", 0), ("with", 60)):
        habits = Habits(rr_in_ms=True, filler_every=every)
        kept_ms, _, windows, _ = beats_of(tmp_path / name, habits, truth_ms, 13.0)
        assert kept_ms.count(500.0) == (len(kept_ms) // every if every else 0)
        said.append(windows[1])
    without, filled = said
    for key in ("mean_nn_ms", "sdnn_ms", "rmssd_ms"):
        assert filled[key] == pytest.approx(without[key], rel=0.05), key
    assert filled["af_pct"] == 0.0
    assert filled["hr_mean_bpm"] == pytest.approx(without["hr_mean_bpm"], rel=0.01)


def test_a_rate_of_nothing_is_none(tmp_path: Path) -> None:
    habits = Habits(rateless_s=(120.0, 300.0))
    _, _, _, rates = beats_of(tmp_path, habits, sinus(800), 10.0)
    assert min(rates["counted"]) > 50.0
    assert "no heart rate" in rates["why"]


def test_a_rate_off_the_skin_counts_only_where_the_strap_cannot_feel_it(tmp_path: Path) -> None:
    feels, feels_not = Habits(off_skin_bpm=72), Habits(off_skin_bpm=72, tells_contact=False)
    truth_ms = sinus(100)
    _, _, _, rates = beats_of(tmp_path / "feels", feels, truth_ms, 5.0)
    assert rates["counted"].count(72.0) < 5
    assert "not worn" in rates["why"]
    # Nothing in these packets tells that nobody wears the strap.
    _, _, _, rates = beats_of(tmp_path / "feels not", feels_not, truth_ms, 5.0)
    assert rates["counted"].count(72.0) > 100
    assert rates["contact"] == {None}


# CGMs, further


def truth(minutes: int = 180) -> list[tuple[int, float]]:
    return [(int(t / 60), value) for t, value in glucose(minutes)]


def test_octets_without_a_bit_set_are_read_over(tmp_path: Path) -> None:
    readings, unread = kept(tmp_path, attaches_zero_octets=True)
    assert ([(reading.sequence - 10, reading.value) for reading in readings], unread) == (truth(), 0)


def test_a_checksum_that_is_declared_and_not_there_is_not_missed(tmp_path: Path) -> None:
    readings, unread = kept(tmp_path, crc=Crc.NONE, declares_crc=True)
    assert ([(reading.sequence - 10, reading.value) for reading in readings], unread) == (truth(), 0)


@pytest.mark.parametrize(
    ("crc", "quality", "pct", "reason"),
    [
        (Crc.CCITT_FALSE, 10.0, 100.0, None),
        (Crc.CCITT_FALSE, 1.0, 10.0, "low quality"),
        (Crc.MCRF4XX, 95.0, 95.0, None),
        (Crc.MCRF4XX, 10.0, 10.0, "low quality"),
    ],
)
def test_the_scale_of_the_quality_is_the_sensors(
    tmp_path: Path, crc: Crc, quality: float, pct: float, reason: str | None
) -> None:
    readings, _ = kept(tmp_path, crc=crc, quality=quality)
    finite = [reading for reading in readings if reading.value != -math.inf]
    assert {(reading.quality_pct, reading.not_counted) for reading in finite} == {(pct, reason)}


def test_a_sensor_that_takes_no_time_is_read_all_the_same(tmp_path: Path) -> None:
    """Its start stays what it says of itself: year 0, month 0, time zone -128."""
    readings, unread = kept(tmp_path, takes_time=False)
    assert ([(reading.sequence - 10, reading.value) for reading in readings], unread) == (truth(), 0)


class Scripted(NamedTuple):
    """What a gateway kept of a CGM without a radio, and what it asked for."""

    offsets: list[int]
    stored: list[int]
    operators: set[int]


def fetched(
    directory: Path, prepare: Callable[[WaywardCgm], None] = lambda _: None, **quirks: Any
) -> Scripted:
    """A sensor that has stored readings, and takes more, behind the whole gateway."""

    async def main() -> Scripted:
        cgm = WaywardCgm(str(CGM.address), began_s=asyncio.get_running_loop().time(), **quirks)
        async with direct_home(directory, home_of(CGM), cgm) as machine:
            for n in range(40):
                cgm.take(100.0 + n)
                await asyncio.sleep(300.0)
                if n == 12:
                    machine.start()
                if n == 14:
                    prepare(cgm)
                    cgm.session.stored.pop(-2)
            await asyncio.sleep(7200.0)
            tables, (row,) = machine.gateway.store.tables, machine.gateway.rows
            session = tables.sessions.current(row.no)
            assert session is not None
            return Scripted(
                tables.readings.sequences(session.no, "glucose"),
                [record.time_offset_min for record in cgm.held],
                {int(request.operator) for _, request in cgm.requests},
            )

    return run(main())


@pytest.mark.parametrize(
    "operators",
    [
        frozenset({Operator.ALL, Operator.GREATER_OR_EQUAL}),
        frozenset({Operator.ALL, Operator.WITHIN_RANGE}),
        frozenset({Operator.ALL}),
        frozenset(Operator) - {Operator.LAST, Operator.FIRST},
    ],
    ids=lambda known: "+".join(sorted(operator.name for operator in known)),
)
@pytest.mark.parametrize("counts", [True, False])
def test_a_sensor_that_knows_few_operators_is_read_whole(
    tmp_path: Path, operators: frozenset[Operator], counts: bool
) -> None:
    got = fetched(tmp_path, operators=operators, counts=counts)
    assert set(got.stored) <= set(got.offsets)
    # "Last record" does not work on real sensors: nobody asks for it.
    assert got.operators <= {Operator.ALL, Operator.GREATER_OR_EQUAL, Operator.WITHIN_RANGE}


def test_an_error_that_names_another_request_loses_nothing(tmp_path: Path) -> None:
    wrong = ResponseCode(OpCode.REPORT, Code.OPERATOR_UNSUPPORTED)

    def prepare(cgm: WaywardCgm) -> None:
        cgm.miscounts.extend([wrong] * 3)
        cgm.manners.append(Manner(newest_only=1, response=ResponseCode(OpCode.REPORT_NUMBER, Code.SUCCESS)))

    got = fetched(tmp_path, prepare)
    assert set(got.stored) <= set(got.offsets)
