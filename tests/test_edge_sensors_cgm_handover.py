"""A sensor goes from one person to another: what it recorded before is not the new wearer's."""

import asyncio
import logging
import random
from typing import Any

import pytest
from cgm_parts import Gateway, session_names
from edge_parts import MIDNIGHT_UTC_S
from scripted_cgm import UNKNOWN, Sensor, beside, play

from edge.anchors import Placement
from edge.sensors.cgm_handover import Handover, foreign_until_min
from edge.sensors.cgm_identity import Known, Seen, Verdict, begin
from edge.sensors.cgm_ledger import OFFSET_MAX, Loss
from edge.store.sensors import WornFrom
from protocols import cgm, racp
from protocols.racp import Code

S = 10**9
NOW_S = 1_800_000_000
DAY = range(0, 1000, 5)
LATER = range(1005, 1100, 5)

# Which records are of somebody else. The change was 10 min ago, when the sensor's clock showed 990.

CHANGE = Handover(WornFrom(1, -600 * S), Placement((NOW_S - 600) * S, 500))
UNPLACED = CHANGE._replace(placement=Placement((NOW_S - 600) * S, None))
UNTRUSTED = {"trusted_utc_s": None, "trusted_error_ms": None}
OTHER_BOOT = {"boot_no": 2, "start_boot_ns": -77 * S}
SEEN = Seen(1000, None, 1, -60_000 * S, NOW_S, 500)
KNOWN = Known(begin(SEEN, 0, None, session_names(random.Random(1))), 985, {})


def known(newest_min: int | None = 985, **fields: Any) -> Known:
    return Known(KNOWN.beginning._replace(**fields), newest_min, {})


@pytest.mark.parametrize(
    ("change", "sight", "session", "verdict", "until_min"),
    [
        # Its clock may show up to a minute too little, and a record's offset may be rounded up.
        (CHANGE, {}, KNOWN, Verdict.SAME, 991),
        (CHANGE, {"start_boot_ns": -60_001 * S}, KNOWN, Verdict.SAME, 992),
        # By wall time, with its errors.
        (CHANGE, OTHER_BOOT, KNOWN, Verdict.SAME, 992),
        (CHANGE, OTHER_BOOT | {"trusted_error_ms": 119_000}, None, Verdict.NEW, 993),
        # Its clock was set since: forward, back; and back by so much that it is before what is known.
        (CHANGE, {"clock_min": 1020, "start_boot_ns": -61_200 * S}, KNOWN, Verdict.SAME, 1011),
        (CHANGE, {"clock_min": 980, "start_boot_ns": -58_800 * S}, KNOWN, Verdict.SAME, 991),
        (CHANGE, {"clock_min": 30, "start_boot_ns": -1800 * S}, known(1100), Verdict.SAME, 1100),
        (CHANGE, {}, known(None), Verdict.SAME, 991),
        # Another session, begun before the change; at it; later.
        (CHANGE, {"clock_min": 30, "start_boot_ns": -1800 * S}, KNOWN, Verdict.NEW, 21),
        (CHANGE, {"clock_min": 9, "start_boot_ns": -540 * S}, KNOWN, Verdict.NEW, 0),
        (CHANGE, {"clock_min": 8, "start_boot_ns": -480 * S}, KNOWN, Verdict.NEW, -1),
        (CHANGE, {"clock_min": 8, "start_boot_ns": -480 * S}, None, Verdict.NEW, -1),
        # The change cannot be placed.
        (CHANGE, OTHER_BOOT | UNTRUSTED, KNOWN, Verdict.SAME, 1001),
        (UNPLACED, OTHER_BOOT, KNOWN, Verdict.NEW, 1001),
        (CHANGE._replace(placement=None), OTHER_BOOT, None, Verdict.NEW, 1001),
        (CHANGE, {"clock_min": OFFSET_MAX} | OTHER_BOOT | UNTRUSTED, None, Verdict.NEW, OFFSET_MAX),
    ],
)
def test_the_table(
    change: Handover, sight: dict[str, Any], session: Known | None, verdict: Verdict, until_min: int
) -> None:
    seen = SEEN._replace(**sight)
    found = foreign_until_min(change, seen, verdict, is_proved=True, known=session, is_known_own=False)
    assert max(found, -1) == until_min
    # Where nothing is proved, what was recorded until now may be the other person's.
    doubtful = foreign_until_min(change, seen, verdict, is_proved=False, known=session, is_known_own=False)
    assert doubtful == min(seen.clock_min + 1, OFFSET_MAX)


def test_a_session_after_one_that_was_the_new_wearers_already_is_theirs() -> None:
    seen = SEEN._replace(**OTHER_BOOT, **UNTRUSTED)
    assert foreign_until_min(CHANGE, seen, Verdict.NEW, is_proved=True, known=KNOWN, is_known_own=True) == -1
    assert foreign_until_min(CHANGE, SEEN, Verdict.NEW, is_proved=True, known=KNOWN, is_known_own=True) == 991
    assert (
        foreign_until_min(CHANGE, seen, Verdict.NEW, is_proved=False, known=KNOWN, is_known_own=True) == 1001
    )


# A sensor that is handed on


def foreign(g: Gateway) -> list[tuple[int, int, str]]:
    return [note for note in g.store.given_up if note[2] == Loss.OF_ANOTHER]


def reported(sensor: Sensor) -> set[int]:
    return {offset for report in sensor.reported for offset in report}


@pytest.mark.parametrize("crc", [True, False])
@pytest.mark.parametrize("start", [None, UNKNOWN])
@pytest.mark.parametrize("refused", [set(), {racp.Operator.WITHIN_RANGE, racp.Operator.GREATER_OR_EQUAL}])
def test_what_a_sensor_recorded_before_is_not_the_new_wearers(
    crc: bool, start: Any, refused: set[racp.Operator], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY, crc=crc)
        sensor.start, sensor.refused = start or sensor.start, refused
        await g.talk(sensor, 10)
        sensor.store([1000])  # of the first person, too, and not fetched
        await asyncio.sleep(60)
        g.hand_on("p-other")
        sensor.reported.clear()
        assert g.store.kept() == []
        await beside(g.talk(sensor, 6000), sensor.live(*LATER))
        assert g.store.kept() == list(LATER)
        assert {fact.value for _, fact in g.facts.noted} == {80.0 + offset % 50 for offset in LATER}
        assert refused or min(reported(sensor), default=9999) > 1000
        (session,) = g.store.sessions()
        assert (foreign(g), session.watermark) == ([(0, 1003, Loss.OF_ANOTHER)], LATER[-1])
        assert sum("another person wore it before" in line for line in caplog.messages) == 1
        # That the sensor counts those, too, does not mean that something is missing.
        assert g.cgm.state().miscounts == 0
        assert refused or len(sensor.reported) < 3 + len(LATER)
        # Another start knows that.
        g.restart()
        sensor.store([1103])
        await g.talk(sensor, 2000)
        assert g.store.kept() == [*LATER, 1103]

    play(scenario)


def test_what_comes_before_the_session_is_known_may_be_the_first_persons() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        await asyncio.sleep(50)
        g.hand_on("p-other")
        sensor.start = UNKNOWN  # so that records are compared, and some of them are not old
        sensor.began_s -= 60 * 4
        await g.talk(sensor, 60)
        assert (reported(sensor) & {995}, g.facts.noted) == ({995}, [])
        assert g.store.kept() == []

    play(scenario)


def test_a_value_of_long_after_the_change_is_known_before_the_session_is() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        await asyncio.sleep(7200)
        g.hand_on("p-other")
        g.restart(boots=True)
        sensor.start, sensor.answer = UNKNOWN, lambda: None
        await asyncio.sleep(300)

        async def live() -> None:
            await asyncio.sleep(5)
            sensor.take(sensor.offset_min, 44.0)

        await beside(g.talk(sensor, 20), live())
        assert [fact.value for _, fact in g.facts.noted] == [44.0]

    play(scenario)


def test_a_sensor_that_comes_back_brings_nothing_of_the_time_in_between() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        first, g.cgm = g.store.row, g.cgm
        g.hand_on("p-other")
        await sensor.live(1005, 1010)
        await g.talk(sensor, 10)
        assert g.store.kept() == [1005, 1010]
        await sensor.live(1015, 1020)
        await asyncio.sleep(60)
        g.hand_on("p-7f3a")
        assert g.store.row.no == first.no
        await beside(g.talk(sensor, 1200), sensor.live(1025, 1030))
        assert [g.store.kept(number) for number in (1, 2)] == [list(DAY), [1025, 1030]]
        assert foreign(g) == [(0, 1022, Loss.OF_ANOTHER)]

    play(scenario)


@pytest.mark.parametrize("boots", [False, True])
def test_a_session_begun_after_the_change_is_the_new_wearers_from_its_first_record(boots: bool) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        g.hand_on("p-other")
        await asyncio.sleep(600)
        sensor.begin_anew()
        await sensor.live(0, 5, 10, 15, 20, 25, glucose=111.0)
        g.restart(boots=boots)
        await g.talk(sensor, 60)
        assert (g.store.kept(), foreign(g)) == ([0, 5, 10, 15, 20, 25], [])

    play(scenario)


@pytest.mark.parametrize("error_ms", [500, None])
def test_where_the_change_cannot_be_placed_nothing_is_taken_of_before_the_first_link(
    error_ms: int | None,
) -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        g.hand_on("p-other")
        await sensor.live(1005, 1010)
        g.restart(boots=True, error_ms=error_ms)
        await beside(g.talk(sensor, 800), sensor.live(1015, 1020))
        assert g.store.kept() == ([1005, 1010] if error_ms else []) + [1015, 1020]

    play(scenario)


def test_where_the_session_cannot_be_told_nothing_is_taken_of_before_the_first_link() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        g.hand_on("p-other")
        # By its clock the session began after the change, but it is the same one, and does not say so.
        await asyncio.sleep(6000)
        sensor.began_s, sensor.start = asyncio.get_running_loop().time() - 30 * 60, UNKNOWN
        sensor.answer = lambda: sensor.respond(Code.SERVER_BUSY)
        await g.talk(sensor, 60)
        assert foreign(g) == [(0, 31, Loss.OF_ANOTHER)]

    play(scenario)


def test_one_wrong_clock_does_not_decide_what_is_somebody_elses() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY, crc=False)
        await g.talk(sensor, 10)
        g.hand_on("p-other")
        read, before = sensor.read, sensor.reads.copy()

        def wrong_once(asked: str) -> bytes:
            right = read(asked)
            is_wrong = sensor.reads[asked] - before[asked] == 2
            wrong = cgm.encode_status(cgm.CgmStatus(20_000), crc=False)
            return wrong if is_wrong and asked == cgm_status else right

        cgm_status = "00002aa9-0000-1000-8000-00805f9b34fb"
        sensor.read = wrong_once  # type: ignore[method-assign]
        await g.talk(sensor, 60)
        assert (foreign(g), g.store.watermark) == ([(0, 1002, Loss.OF_ANOTHER)], 1002)

    play(scenario)


def test_a_start_is_said_to_be_the_sensors_whoever_wears_it() -> None:
    async def scenario(g: Gateway) -> None:
        sensor = Sensor(age_min=1000, stored=DAY)
        await g.talk(sensor, 10)
        (before,) = g.store.sessions()
        g.hand_on("p-other")
        await g.talk(sensor, 10)
        (after,) = g.store.sessions()
        assert (after.start_utc_s, after.told_start_utc_s) == (before.start_utc_s, before.told_start_utc_s)
        assert after.start_utc_s == MIDNIGHT_UTC_S - 60_000
        assert after.uuid != before.uuid

    play(scenario)
