"""Who is at rest: by the mean rate of ten minutes and the night's; what is not known is not taken for rest."""

from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from edge_parts import MIDNIGHT_UTC_S, in_transaction, minimal_config, open_store, sensor_row

from edge.history.heart_window import EMPTY
from edge.now.known import Rest
from edge.now.rest import PRIOR_NIGHT_BPM, Resting, night_bpm
from edge.store.door import Tables
from edge.store.summaries import SummaryKey

DAY_S = 86_400


def minutes(resting: Resting, begin: int, *rates: float | None) -> None:
    """A packet a second, each minute at one rate; None: without one that counts."""
    for n, rate in enumerate(rates):
        for second in range(60):
            resting.take(60.0 * (begin + n) + second, rate)


def test_rest_is_a_mean_rate_of_ten_minutes_near_that_of_the_night() -> None:
    resting = Resting(night_bpm=60.0)
    minutes(resting, 0, *[79.0] * 11)
    assert (resting.at(661.0), resting.since_s) == (Rest.RESTING, 300.0)
    minutes(resting, 11, 85.0, 95.0)  # the mean is 79.6, then 81.2
    assert resting.at(781.0) is Rest.RESTING
    minutes(resting, 13, 79.0)
    assert (resting.at(841.0), resting.since_s) == (Rest.ACTIVE, None)
    minutes(resting, 14, *[79.0] * 10)
    assert (resting.at(1381.0), resting.since_s) == (Rest.RESTING, 60.0 * 23)


def test_a_rate_far_below_the_nights_is_rest() -> None:
    resting = Resting(night_bpm=60.0)
    minutes(resting, 0, *[31.0] * 11)
    assert resting.at(661.0) is Rest.RESTING


def test_what_is_not_known_is_not_rest() -> None:
    resting = Resting()
    assert resting.at(0.0) is Rest.UNKNOWN
    minutes(resting, 0, *[50.0] * 5)  # the fifth minute has not ended
    assert resting.at(299.0) is Rest.UNKNOWN
    minutes(resting, 5, 50.0)
    assert resting.at(360.0) is Rest.RESTING
    assert resting.at(300.0 + 181.0) is Rest.UNKNOWN
    minutes(resting, 6, None, 50.0)  # not worn for a minute
    assert (resting.at(481.0), resting.since_s) == (Rest.UNKNOWN, None)


def test_a_pause_ends_the_rest() -> None:
    resting = Resting()
    minutes(resting, 0, *[50.0] * 10)
    minutes(resting, 13, 50.0)
    assert resting.since_s is None
    minutes(resting, 14, 50.0)
    assert resting.since_s == 60.0 * 14  # of the last ten minutes seven are known


def summarise(tables: Tables, sensor_no: int, utc_s: int, bpm: float, coverage_pct: float = 99.0) -> None:
    body = EMPTY | {"hr_mean_bpm": bpm, "coverage_pct": coverage_pct}
    key = SummaryKey("heart_5min", sensor_no, utc_s)
    tables.summaries.put(key, utc_s + 300, UUID(int=utc_s), body, final=True)


def test_the_nights_rate_is_that_of_the_persons_own_nights(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))
    strap, other = sensor_row(store, "strap").no, sensor_row(store, "cgm").no
    zone = ZoneInfo("Europe/Berlin")  # 01:00 to 04:00 by UTC in November

    def look(now_utc_s: int = MIDNIGHT_UTC_S + DAY_S // 2) -> float:
        return night_bpm(store.tables, {strap}, now_utc_s, zone)

    def night(day: int, bpm: float, windows: int = 36, **more: float) -> None:
        begin_s = MIDNIGHT_UTC_S - day * DAY_S + 3600
        for n in range(windows):
            # The evening before and the morning after, and what another wears, do not count.
            in_transaction(
                store, lambda tables, n=n: summarise(tables, strap, begin_s + 300 * n, bpm + n % 3, **more)
            )
        for utc_s in (begin_s - 300, begin_s + 3 * 3600):
            in_transaction(store, lambda tables, utc_s=utc_s: summarise(tables, strap, utc_s, 150.0))
        in_transaction(store, lambda tables: summarise(tables, other, begin_s, 150.0))

    assert look() == PRIOR_NIGHT_BPM
    night(0, 47.0)
    night(1, 51.0)
    assert look() == PRIOR_NIGHT_BPM
    night(2, 90.0, windows=11)
    night(3, 90.0, coverage_pct=49.0)
    assert look() == PRIOR_NIGHT_BPM
    night(4, 55.0)
    assert look() == pytest.approx(52.0)
    assert look(MIDNIGHT_UTC_S + 11 * DAY_S) == PRIOR_NIGHT_BPM  # two of them are too long ago
    store.close()
