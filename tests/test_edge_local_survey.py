"""The status document: the same whether the gateway runs or not, and no dearer however much is stored."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from edge_parts import MIDNIGHT_UTC_S, StillClock, in_transaction, minimal_config, open_store, sensor_row
from store_parts import alert_event

from edge.alerts import memory
from edge.alerts.axis import Mark
from edge.alerts.memory import Memory, pack
from edge.alerts.shown import Shown, ShownSnooze
from edge.alerts.state import AlertState, Phase, RuleState, Snooze, Tier
from edge.anchors import Anchor, Timeline
from edge.clock import NS_PER_S
from edge.config import Config
from edge.kinds import Procedure
from edge.local import survey
from edge.local.status import (
    STOPPED,
    GivenUp,
    Held,
    Live,
    LiveSensor,
    Moment,
    SnoozeStatus,
    StatusDocument,
    Trouble,
    Value,
)
from edge.now.facts import Fact
from edge.now.known import GatewayKnown
from edge.store.deliveries import Item
from edge.store.door import Store, Tables
from edge.store.raw_chunks import NO_BEAT, HeartChunk, Packet
from edge.store.readings import Reading
from edge.store.sensors import SensorRow
from edge.store.summaries import SummaryKey

DAY_S = 86_400


def at(s: float) -> int:
    return round(s * NS_PER_S)


def moment(store: Store, now_s: float, *, error_ms: int | None = 500, boot_no: int | None = 1) -> Moment:
    """So many seconds after the boot, which was at midnight."""
    utc_ns = at(MIDNIGHT_UTC_S + now_s)
    return Moment(boot_no, at(now_s), utc_ns, error_ms, "system", store.tables.boots.timeline())


def reading(sequence: int, value: float | None, not_counted: str | None = None) -> Reading:
    return Reading(
        sequence, 60 * sequence, value, None, None, 0, not_counted, 1, at(60 * sequence), fetched=False
    )


def wear(tables: Tables, row: SensorRow, *, start_s: float, trusted: bool = True) -> int:
    """A session of the CGM that began so many seconds after midnight; its number."""
    session = tables.sessions.begin(
        row.no,
        UUID(int=round(start_s) + 100_000_000),
        told_start_utc_s=None,
        start_boot_no=1,
        start_boot_ns=at(start_s),
        start_utc_s=MIDNIGHT_UTC_S + round(start_s),
        start_error_ms=1000 if trusted else None,
        run_time_h=240,
    )
    return session.no


def fill(store: Store) -> None:
    """An hour of everything."""
    strap, cgm = sensor_row(store, "strap"), sensor_row(store, "cgm")

    def work(tables: Tables) -> None:
        tables.boots.add_anchor(Anchor(1, 0, at(MIDNIGHT_UTC_S), 500, "system"))
        tables.raw_chunks.append(
            HeartChunk(
                strap.no,
                1,
                (
                    Packet(bytes.fromhex("16480004"), at(3500), at(3499)),  # 72 bpm, 1000 ms, worn
                    Packet(bytes.fromhex("0449"), at(3501), NO_BEAT),  # 73 bpm, not worn
                ),
            )
        )
        no = wear(tables, cgm, start_s=0)
        tables.readings.insert(
            no, "glucose", [*(reading(n, 100.0) for n in (0, 5, 10)), reading(15, 44.0, "warm-up")]
        )
        tables.sessions.give_up(no, 2, 4, "never decodes", 3, 1, at(1000))
        tables.sessions.give_up(no, 7, 7, "refused", 3, 1, at(1000))
        keep_alerts(tables, {strap.no: 3500.0, cgm.no: 900.0})
        for n in range(3):
            key = SummaryKey("heart_5min", strap.no, MIDNIGHT_UTC_S + 300 * n)
            tables.summaries.put(key, key.start_utc_s + 300, UUID(int=n), {"beats": n}, final=True)
            tables.deliveries.enqueue(
                Item("heart_5min", str(n), UUID(int=n), "p-7f3a", 1), "files", 1, at(600 + n)
            )

    in_transaction(store, work)


def keep_alerts(tables: Tables, heard_s: dict[int, float]) -> None:
    """What the board keeps: at 3550 s a low and a silence stand, and one kind is snoozed."""
    rules = {
        ("glucose_low", "cgm"): RuleState(
            Phase.RAISED, 1, 1, "anna", since_s=3000.0, value=60.0, worst=60.0, told=True, acknowledged=True
        ),
        ("cgm_silence", "cgm"): RuleState(
            Phase.RAISED, 1, 2, "anna", since_s=2100.0, tier=Tier.REMOTE, told=True
        ),
        ("glucose_high", "cgm"): RuleState(ordinal=4),
    }
    state = AlertState(3550.0, rules, (Snooze("glucose_high", "cgm", 4000.0, 300.0),))
    kept = Memory(Mark(1, at(3550), 3550.0), heard_s, 0, has_ended=True, state=state)
    tables.blobs.put("alerts", 0, memory.VERSION, pack(kept))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return minimal_config(tmp_path)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    opened = open_store(config)
    yield opened
    opened.close()


def said(config: Config, store: Store, now_s: float = 3600.0, **known: Any) -> StatusDocument:
    return survey.stored(config, moment(store, now_s, **known), store.tables, simulated=True)


def in_json(document: StatusDocument) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document))
    return found


def keys(value: Any) -> Any:
    """What a document is made of, without what it says."""
    if isinstance(value, dict):
        return {name: keys(part) for name, part in value.items()}
    return [keys(part) for part in value] if isinstance(value, list) else None


def shown(rule: str, sensor: str, value: float, unit: str) -> Shown:
    return Shown(
        rule=rule,
        subject=sensor,
        person="anna",
        value=value,
        raised_by=1.0,
        unit=unit,
        reason=None,
        age_s=600.04,
        urgent=False,
        tier=Tier.HOME,
        is_told=True,
        acknowledged=True,
        snoozed_left_s=None,
    )


LIVE = Live(
    sensors={
        "strap": LiveSensor(
            "streaming", 3, 2, {"heart_rate": Fact(61.0, at(3599))}, battery_pct=80, packets=7
        ),
        "cgm": LiveSensor(
            "searching",
            1,
            1,
            {},
            trouble=Trouble("not heard for 5 min", "bring it nearer", age_s=300.0),
            missing=4,
            warm_up_left_s=60.0,
            undecodable=2,
        ),
    },
    alerts=[
        shown("glucose_low", "cgm", -math.inf, "mg/dL"),
        shown("heart_rate_high", "strap", 140.0, "/min"),
    ],
    snoozes=[ShownSnooze("glucose_high", None, 60.04, 300.0)],
    routes={"files": "the directory is full"},
    store_trouble="disk full",
    not_summarised=3,
    known=GatewayKnown(None, 0.0, None, 0.0, (), {}, ()),
)


def test_a_store_without_data_says_of_each_sensor_that_nothing_is_known(config: Config, store: Store) -> None:
    document = said(config, store)
    assert (document.schema, document.gateway, document.running, document.simulated) == (
        2,
        "gw-1",
        False,
        True,
    )
    assert [(s.id, s.kind, s.person, s.phase, s.values, s.session) for s in document.sensors] == [
        ("strap", "heart_rate", "anna", STOPPED, [], None),
        ("cgm", "cgm", "anna", STOPPED, [], None),
    ]
    assert (document.alerts, document.snoozes, document.summaries) == ([], [], [])
    (route,) = document.deliveries
    assert (route.route, route.pending, route.parked, route.held, route.oldest_age_s) == (
        "files",
        0,
        0,
        [],
        None,
    )


def test_a_stopped_gateway_says_what_it_has_with_its_age(config: Config, store: Store) -> None:
    fill(store)
    document = said(config, store)
    strap, cgm = document.sensors
    assert strap.values == [
        Value("heart_rate", "/min", 73.0, None, 99.0, counts=False, not_counted="not worn"),
        Value("rr_interval", "ms", 1000.0, None, 100.0, counts=True, not_counted=None),
    ]
    assert cgm.values == [Value("glucose", "mg/dL", 44.0, None, 2700.0, counts=False, not_counted="warm-up")]
    assert cgm.session is not None
    assert (cgm.session.number, cgm.session.start_utc_s, cgm.session.ended) == (1, MIDNIGHT_UTC_S, None)
    assert (cgm.session.readings, cgm.session.given_up_min) == ({"glucose": 4}, 4)
    assert cgm.session.given_up_newest == [GivenUp(2, 4, "never decodes", 3), GivenUp(7, 7, "refused", 3)]
    silence, low = document.alerts
    assert (silence.kind, silence.value, silence.age_s, silence.tier, silence.acknowledged) == (
        "cgm_silence",
        2700.0,
        1500.0,
        "remote",
        False,
    )
    # The newest value does not count, so nothing is known of today.
    assert (low.kind, low.sensor, low.person, low.value, low.unit, low.age_s, low.acknowledged) == (
        "glucose_low",
        "cgm",
        "anna",
        None,
        "mg/dL",
        600.0,
        True,
    )
    assert document.snoozes == [SnoozeStatus("glucose_high", "cgm", 400.0, 300.0)]
    (summary,) = document.summaries
    assert (summary.kind, summary.sensor, summary.start_utc_s, summary.status, summary.body) == (
        "heart_5min",
        "strap",
        MIDNIGHT_UTC_S + 600,
        "final",
        {"beats": 2},
    )
    (route,) = document.deliveries
    assert (route.pending, route.held, route.oldest_age_s) == (3, [], 3000.0)
    assert document.store.bytes is not None


def test_it_is_the_same_document_whether_the_gateway_runs_or_not(config: Config, store: Store) -> None:
    fill(store)
    now = moment(store, 3600)
    stopped = survey.stored(config, now, store.tables, simulated=True)
    running = survey.running(stopped, now, LIVE)
    silent = msgspec.structs.replace(
        running, alerts=stopped.alerts, snoozes=stopped.snoozes, sensors=stopped.sensors, known=None
    )
    assert keys(in_json(silent)) == keys(in_json(stopped))
    for one, other in zip(in_json(stopped)["sensors"], in_json(running)["sensors"], strict=True):
        assert list(one) == list(other)
    assert msgspec.json.decode(msgspec.json.encode(running), type=StatusDocument) == running


def test_what_the_running_gateway_knows_stands_over_what_is_stored(config: Config, store: Store) -> None:
    fill(store)
    now = moment(store, 3600)
    document = survey.running(survey.stored(config, now, store.tables, simulated=True), now, LIVE)
    strap, cgm = document.sensors
    assert document.running
    assert strap.values == [
        Value("heart_rate", "/min", 61.0, None, 1.0, counts=True, not_counted=None),
        Value("rr_interval", "ms", 1000.0, None, 100.0, counts=True, not_counted=None),
    ]
    assert (strap.phase, strap.connects, strap.losses, strap.battery_pct, strap.packets) == (
        "streaming",
        3,
        2,
        80,
        7,
    )
    assert cgm.values[0].value == 44.0
    assert cgm.trouble == Trouble("not heard for 5 min", "bring it nearer", age_s=300.0)
    assert cgm.session is not None
    assert (cgm.session.missing, cgm.session.warm_up_left_s, cgm.undecodable) == (4, 60.0, 2)
    assert [(one.kind, one.value, one.beyond, one.age_s, one.tier) for one in document.alerts] == [
        ("glucose_low", None, "below", 600.0, "home"),
        ("heart_rate_high", 140.0, None, 600.0, "home"),
    ]
    assert document.snoozes == [SnoozeStatus("glucose_high", None, 60.0, 300.0)]
    assert (document.store.trouble, document.store.not_summarised) == ("disk full", 3)
    assert document.deliveries[0].trouble == "the directory is full"
    assert document.deliveries[0].pending == 3


def test_a_store_that_cannot_be_read_takes_nothing_from_what_is_live(config: Config, store: Store) -> None:
    now = moment(store, 3600)
    document = survey.running(survey.unread(config, now, simulated=False), now, LIVE)
    assert [sensor.phase for sensor in document.sensors] == ["streaming", "searching"]
    assert document.sensors[0].values[0].value == 61.0
    assert len(document.alerts) == 2
    assert (document.store.trouble, document.deliveries[0].pending) == ("disk full", None)


def test_what_waits_for_consent_is_counted_with_the_reason(tmp_path: Path) -> None:
    config = minimal_config(tmp_path, **{"heart_summaries = true": "heart_summaries = false"})
    store = open_store(config)
    fill(store)
    (held,) = said(config, store).deliveries[0].held
    assert (held.person, held.data_class, held.items) == ("anna", "heart_summaries", 3)
    assert "no consent" in held.reason
    assert isinstance(held, Held)
    store.close()


@pytest.mark.parametrize(("error_ms", "is_held"), [(119_999, False), (120_000, True), (None, True)])
def test_consent_with_a_last_day_waits_for_a_clock_that_is_sure(
    tmp_path: Path, error_ms: int | None, is_held: bool
) -> None:
    consent = "[people.consent]"
    config = minimal_config(tmp_path, **{consent: f"{consent}\nvalid_until = 2099-01-01"})
    store = open_store(config)
    fill(store)
    assert bool(said(config, store, error_ms=error_ms).deliveries[0].held) is is_held
    store.close()


def test_ages_are_told_only_where_a_trusted_clock_connects_then_and_now(config: Config, store: Store) -> None:
    fill(store)

    def ages(**known: Any) -> list[float | None]:
        document = said(config, store, **known)
        values = [value for sensor in document.sensors for value in sensor.values]
        return [value.age_s for value in values] + [document.deliveries[0].oldest_age_s]

    assert ages() == [99.0, 100.0, 2700.0, 3000.0]
    assert ages(error_ms=None) == [99.0, 100.0, 2700.0, 3000.0]  # the same boot needs no clock
    assert ages(boot_no=2) == [99.0, 100.0, 2700.0, 3000.0]
    assert ages(boot_no=None, error_ms=None) == [None] * 4


def test_of_a_boot_that_nobody_can_date_there_is_no_age() -> None:
    untrusted = Timeline({1: [Anchor(1, 0, 7, None, "system")]})
    now = Moment(2, 0, at(MIDNIGHT_UTC_S), 500, "system", untrusted)
    assert now.age_s(1, 0) is None
    assert now.age_s(3, 0) is None


def test_a_session_whose_start_nothing_vouches_for_has_none(config: Config, store: Store) -> None:
    row = sensor_row(store, "cgm")
    in_transaction(store, lambda tables: wear(tables, row, start_s=0, trusted=False))
    session = said(config, store).sensors[1].session
    assert session is not None
    assert session.start_utc_s is None


@pytest.mark.parametrize(
    ("value", "shown", "beyond"), [(math.inf, None, "above"), (-math.inf, None, "below"), (None, None, None)]
)
def test_a_reading_without_a_number_says_so(
    config: Config, store: Store, value: float | None, shown: float | None, beyond: str | None
) -> None:
    row = sensor_row(store, "cgm")

    def work(tables: Tables) -> None:
        tables.readings.insert(wear(tables, row, start_s=0), "glucose", [reading(1, value)])

    in_transaction(store, work)
    (found,) = said(config, store).sensors[1].values
    assert (found.value, found.beyond) == (shown, beyond)


def test_the_newest_reading_may_be_of_the_session_before(config: Config, store: Store) -> None:
    row = sensor_row(store, "cgm")

    def work(tables: Tables) -> None:
        for start_s, value in ((0, 80.0), (300, 90.0)):
            tables.readings.insert(wear(tables, row, start_s=start_s), "glucose", [reading(1, value)])
        wear(tables, row, start_s=600)

    in_transaction(store, work)
    cgm = said(config, store).sensors[1]
    assert [value.value for value in cgm.values] == [90.0]
    assert cgm.session is not None
    assert (cgm.session.number, cgm.session.readings) == (3, {"glucose": 0})


def test_packets_that_make_no_sense_are_passed_over(config: Config, store: Store) -> None:
    row = sensor_row(store, "strap")
    packets = (Packet(bytes.fromhex("0048"), at(1), NO_BEAT), Packet(b"", at(2), NO_BEAT))
    in_transaction(store, lambda tables: tables.raw_chunks.append(HeartChunk(row.no, 1, packets)))
    assert [(value.value, value.age_s) for value in said(config, store).sensors[0].values] == [(72.0, 3599.0)]


def test_a_sensor_that_was_named_anew_since_the_gateway_ran_shows_nothing_of_the_old_one(
    tmp_path: Path, config: Config, store: Store
) -> None:
    fill(store)
    other = minimal_config(tmp_path, **{"A4:C1:38:00:00:01": "A4:C1:38:00:00:09"})
    strap, cgm = said(other, store).sensors
    assert (strap.values, strap.session) == ([], None)
    assert cgm.values != []


def test_databases_set_aside_are_named_at_every_start(config: Config, store: Store) -> None:
    for name in ("store.db.corrupt-1", "store.db.corrupt-1-wal", "store.db.corrupt-12"):
        (config.gateway.state_dir / name).touch()
    assert said(config, store).store.set_aside == [
        str(config.gateway.state_dir / name) for name in ("store.db.corrupt-1", "store.db.corrupt-12")
    ]


def test_now_of_a_stopped_gateway_is_of_the_same_boot_or_of_none(config: Config, store: Store) -> None:
    assert survey.moment(StillClock(), store.tables).boot_no == 1
    assert survey.moment(StillClock(boot_id="another"), store.tables).boot_no is None


def test_a_boot_that_was_dated_is_dated_still_when_nothing_keeps_the_clock_right(
    config: Config, store: Store
) -> None:
    clock = StillClock(error_ms=None)
    assert survey.moment(clock, store.tables).error_ms is None
    anchor = Anchor(1, clock.boot_ns(), at(1_800_000_000), 700, "cgm")
    in_transaction(store, lambda tables: tables.boots.add_anchor(anchor))
    now = survey.moment(clock, store.tables)
    assert (now.utc_ns // NS_PER_S, now.source) == (1_800_000_000, "cgm")
    assert now.error_ms is not None


def test_every_procedure_says_where_its_newest_values_are() -> None:
    assert set(survey.NEWEST) == set(Procedure)


def steps(config: Config, store: Store) -> int:
    """How many steps SQLite's machine takes for the document."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    connection = store.tables.database._connection
    connection.set_progress_handler(step, 1)
    try:
        said(config, store, 400 * DAY_S)
    finally:
        connection.set_progress_handler(None, 1)
    return count


def years(store: Store, days: int) -> None:
    """So many days of chunks, sessions of ten days, summaries, sent items, alerts and boots."""
    strap, cgm = sensor_row(store, "strap"), sensor_row(store, "cgm")

    def work(tables: Tables) -> None:
        for day in range(days):
            tables.boots.add_anchor(
                Anchor(1, at(day * DAY_S), at(MIDNIGHT_UTC_S + day * DAY_S), 500, "system")
            )
            for n in range(20):
                packet = Packet(b"\x00\x48", at(day * DAY_S + 60 * n), NO_BEAT)
                tables.raw_chunks.append(HeartChunk(strap.no, 1, (packet,)))
                key = SummaryKey("heart_5min", strap.no, MIDNIGHT_UTC_S + day * DAY_S + 300 * n)
                tables.summaries.put(key, key.start_utc_s + 300, UUID(int=n), {"beats": n}, final=True)
                item = Item("heart_5min", str(key), UUID(int=n), "p-7f3a", 1)
                tables.deliveries.enqueue(item, "files", 1, 0)
            for what in ("raised", "over"):
                tables.alerts.note(alert_event("glucose_low", what, ordinal=day, boot_ns=at(day * DAY_S)))
        for start_s in range(0, days * DAY_S, 10 * DAY_S):
            tables.readings.insert(
                wear(tables, cgm, start_s=start_s), "glucose", [reading(n, 100.0) for n in range(50)]
            )

    in_transaction(store, work)


def test_the_document_costs_the_same_however_much_is_stored(tmp_path: Path) -> None:
    counts = []
    for days in (10, 200):
        config = minimal_config(tmp_path / str(days))
        store = open_store(config)
        years(store, days)
        counts.append(steps(config, store))
        store.close()
    # Sessions and anchors are read whole: some dozens a year.
    assert counts[1] - counts[0] < 200 * 20
