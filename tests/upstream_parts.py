"""Two people with a strap and a CGM each, what they have in the store, and an upstream that notes what it is sent."""

import asyncio
import math
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import msgspec
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, in_transaction, open_store

from edge.config import Config, Consent, parse
from edge.measurements import DATA_CLASS
from edge.store.deliveries import Item, reading_ref, summary_ref
from edge.store.door import Store, Tables
from edge.store.readings import Reading
from edge.store.summaries import SummaryKey
from edge.upstream.routes import FILES
from edge.workers import Workers

DAY_S = 86400
ANNA, BEN = "p-anna", "p-ben"
ALL = Consent(**dict.fromkeys(set(DATA_CLASS.values()), True))  # type: ignore[arg-type]
NONE = Consent()

HEART = {
    "hr_mean_bpm": 62.43215,
    "hr_min_bpm": 55.0,
    "hr_max_bpm": 81.0,
    "sdrr_ms": 52.345678,
    "rmssd_rr_ms": 61.234567,
    "beats": 312,
    "coverage_pct": 99.5,
    "normal_pct": 98.7179,
    "mean_nn_ms": 961.0434,
    "sdnn_ms": 48.123456,
    "rmssd_ms": 39.654321,
    "pnn50_pct": 19.8052,
    "lf_ms2": 812.345678,
    "hf_ms2": 433.21,
    "dfa_a1": 1.0234,
    "af_pct": 0.6410,
    "breathing_bpm": 14.25,
    "breathing_confidence": 0.6123,
}
GLUCOSE = {
    "date": "2026-11-21",
    "mean_mg_dl": 154.23456,
    "sd_mg_dl": 52.598765,
    "cv_pct": 34.103344,
    "gmi_pct": 6.999223,
    "very_low_pct": 0.5102,
    "low_pct": 2.9761,
    "in_range_pct": 71.2431,
    "high_pct": 19.8696,
    "very_high_pct": 5.401,
    "readings": 288,
    "coverage_pct": 100.0,
}

CONFIG = """
[gateway]
id = "gw-1"
state_dir = "state"
[[people]]
id = "anna"
pseudonym = "p-anna"
[[people]]
id = "ben"
pseudonym = "p-ben"
[upstream]
directory = "upstream"
interval_s = 300.0
[[sensors]]
id = "anna-strap"
kind = "heart_rate"
address = "A4:C1:38:00:00:01"
person = "anna"
[[sensors]]
id = "anna-cgm"
kind = "cgm"
address = "A4:C1:38:00:00:02"
person = "anna"
[[sensors]]
id = "ben-strap"
kind = "heart_rate"
address = "A4:C1:38:00:00:03"
person = "ben"
[[sensors]]
id = "ben-cgm"
kind = "cgm"
address = "A4:C1:38:00:00:04"
person = "ben"
"""
# As the store numbers them.
STRAP, CGM = {ANNA: 1, BEN: 3}, {ANNA: 2, BEN: 4}


def two_people(directory: Path, anna: Consent = ALL, ben: Consent = ALL, **upstream: float) -> Config:
    """Their configuration, with their consents and settings of the upstream."""
    whole = parse(CONFIG.encode(), directory / "gateway.toml")
    people = tuple(
        msgspec.structs.replace(person, consent=consent)
        for person, consent in zip(whole.people, (anna, ben), strict=True)
    )
    settings = msgspec.structs.replace(whole.upstream, **upstream)
    return msgspec.structs.replace(whole, people=people, upstream=settings)


@dataclass
class ToldTime:
    """A trusted clock that shows what it is told; None: it is not to be trusted."""

    utc_s: int | None = MIDNIGHT_UTC_S

    def trusted_utc_ns(self) -> int | None:
        return None if self.utc_s is None else self.utc_s * 10**9


class LoopTime:
    """A trusted clock that showed midnight when the loop began."""

    def trusted_utc_ns(self) -> int | None:
        return MIDNIGHT_UTC_S * 10**9 + round(asyncio.get_running_loop().time() * 1e9)


class Recorder:
    """An upstream that notes what it is sent and when, and answers by plan."""

    route = FILES

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, bytes]] = []
        self.times: list[float] = []

    async def send(self, name: str, body: bytes) -> None:
        self.sent.append((name, body))
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


class Kept:
    """The two people's store."""

    def __init__(self, config: Config, by: Workers | None = None) -> None:
        self.store: Store = open_store(config, by=by)

    def heart(self, number: int, person: str = ANNA, **changed: float) -> Item:
        """Five minutes of heart data, or a newer revision of them, stored and enqueued."""
        return in_transaction(self.store, lambda tables: put_heart(tables, number, person, **changed))

    def hearts(self, count: int, person: str = ANNA) -> list[Item]:
        """So many of them in a row."""
        return in_transaction(self.store, lambda tables: [put_heart(tables, n, person) for n in range(count)])

    def day(self, person: str = ANNA, number: int = 0, **changed: float) -> Item:
        return in_transaction(self.store, lambda tables: put_day(tables, person, number, **changed))

    def readings(self, count: int, person: str = ANNA, *, not_counted: str | None = None) -> list[Item]:
        """A session with so many readings, one in five minutes from midnight on."""
        work = lambda tables: put_readings(tables, count, person, not_counted)  # noqa: E731
        return in_transaction(self.store, work)

    def enqueue(self, *items: Item) -> None:
        in_transaction(self.store, lambda tables: [tables.deliveries.enqueue(i, FILES, 1, 0) for i in items])


def put_heart(tables: Tables, number: int, person: str = ANNA, **changed: float) -> Item:
    start = MIDNIGHT_UTC_S + 300 * number
    key = SummaryKey("heart_5min", STRAP[person], start)
    return _put_summary(tables, key, start + 300, person, HEART | changed)


def put_day(tables: Tables, person: str = ANNA, number: int = 0, **changed: float) -> Item:
    start = MIDNIGHT_UTC_S + DAY_S * number
    key = SummaryKey("glucose_day", CGM[person], start)
    return _put_summary(tables, key, start + DAY_S, person, GLUCOSE | changed)


def put_readings(
    tables: Tables, count: int, person: str = ANNA, not_counted: str | None = None
) -> list[Item]:
    known = len(tables.sessions.of_sensor(CGM[person]))
    session = tables.sessions.begin(
        CGM[person],
        UUID(int=CGM[person] * 1000 + known),
        told_start_utc_s=None,
        start_boot_no=None,
        start_boot_ns=None,
        start_utc_s=MIDNIGHT_UTC_S + known,
        start_error_ms=500,
        run_time_h=240,
    )
    values = [100.0, math.inf, None]
    readings = [
        Reading(n, 300 * n, values[n % 3], None, None, 0, not_counted, 1, 0, fetched=False)
        for n in range(count)
    ]
    tables.readings.insert(session.no, "glucose", readings)
    items = [
        Item(
            "cgm_reading",
            reading_ref(session.no, "glucose", n),
            IDENTITY.id("cgm_reading", person, session.no, n),
            person,
            1,
        )
        for n in range(count)
    ]
    for item in items:
        tables.deliveries.enqueue(item, FILES, 1, 0)
    return items


def _put_summary(
    tables: Tables, key: SummaryKey, end_utc_s: int, person: str, body: dict[str, object]
) -> Item:
    summary_id = IDENTITY.id(key.kind, person, key.start_utc_s)
    rev = tables.summaries.put(key, end_utc_s, summary_id, body, final=True)
    assert rev is not None
    item = Item(key.kind, summary_ref(*key), summary_id, person, rev)
    tables.deliveries.enqueue(item, FILES, 1, 0)
    return item
