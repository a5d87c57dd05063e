"""Makes the status document: `stored` fills in what the store knows, `running` what only the running gateway knows.

Contract: `stored` reads by keys only, so its cost does not grow with the store; it runs in the store's reader. Nothing
is decided here: the arguments already say why a value does not count and what a sensor's trouble is. If the store
cannot be read, its part of the document is null and the rest is complete.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite, isinf
from pathlib import Path
from typing import Final

from msgspec import structs

from edge.anchors import Placement
from edge.clock import NS_PER_S, Clock
from edge.config import Config, SensorConfig
from edge.kinds import KINDS, Procedure
from edge.local.alerts_kept import alert_status, kept, snooze_status
from edge.local.status import (
    SCHEMA,
    STOPPED,
    ClockStatus,
    GivenUp,
    Held,
    Live,
    LiveSensor,
    Moment,
    RouteStatus,
    SensorStatus,
    SessionStatus,
    StatusDocument,
    StoreStatus,
    SummaryStatus,
    Value,
)
from edge.measurements import MEASUREMENTS, PERIODS
from edge.sensors.heart_reading import rr_unit, why_not_counted
from edge.store.sensors import SensorRow
from edge.store.sessions import Session
from edge.store.tables import Tables
from edge.upstream.consent import Consents
from edge.upstream.routes import ROUTES
from protocols import heart_rate
from protocols.errors import DecodeError
from protocols.heart_rate import HeartRateMeasurement

GIVEN_UP_MAX: Final = 50
PARKED_MAX: Final = 10


def moment(clock: Clock, tables: Tables) -> Moment:
    """The present moment, as the store of a stopped gateway knows it."""
    boot_no = tables.boots.find(clock.boot_id)
    now = Moment(
        boot_no, clock.boot_ns(), clock.utc_ns(), clock.utc_error_ms(), "system", tables.boots.timeline()
    )
    if now.error_ms is not None or boot_no is None:
        return now
    placed, newest = now.timeline.place(boot_no, now.boot_ns), now.timeline.newest(boot_no)
    if placed is None or newest is None:
        return now
    return now._replace(utc_ns=placed.utc_ns, error_ms=placed.error_ms, source=newest.source)


def unread(config: Config, now: Moment, *, simulated: bool | None) -> StatusDocument:
    """The document with nulls for everything that the store knows."""
    return StatusDocument(
        schema=SCHEMA,
        gateway=config.gateway.id,
        running=False,
        simulated=simulated,
        clock=ClockStatus(now.utc_ns // NS_PER_S, now.error_ms is not None, now.error_ms, now.source),
        sensors=[_sensor(sensor, [], None) for sensor in config.sensors],
        store=StoreStatus(_size(config.database), None, _set_aside(config.database), None, None),
        alerts=[],
        snoozes=[],
        summaries=[],
        deliveries=[_route(route) for route in ROUTES],
    )


def stored(config: Config, now: Moment, tables: Tables, *, simulated: bool) -> StatusDocument:
    """The document with what the store knows about the sensors in the configuration."""
    rows = {row.id: row for row in tables.sensors.all() if not row.retired}
    deliveries = [_deliveries(config, now, tables, route) for route in ROUTES]
    document = unread(config, now, simulated=simulated)
    sensors = [_stored_sensor(sensor, rows.get(sensor.id), now, tables) for sensor in config.sensors]
    alerts, snoozes = kept(config, sensors, rows, now, tables)
    return structs.replace(
        document,
        sensors=sensors,
        store=structs.replace(document.store, parked=sum(route.parked or 0 for route in deliveries)),
        alerts=alerts,
        snoozes=snoozes,
        summaries=list(_summaries(rows, tables)),
        deliveries=deliveries,
    )


def running(document: StatusDocument, now: Moment, live: Live) -> StatusDocument:
    """The document of a running gateway, made from that of its store."""
    return structs.replace(
        document,
        running=True,
        sensors=[_live_sensor(sensor, live.sensors[sensor.id], now) for sensor in document.sensors],
        store=structs.replace(document.store, trouble=live.store_trouble, not_summarised=live.not_summarised),
        alerts=list(map(alert_status, live.alerts)),
        snoozes=list(map(snooze_status, live.snoozes)),
        known=live.known,
        radio=live.radio,
        deliveries=[
            structs.replace(route, trouble=live.routes[route.route]) for route in document.deliveries
        ],
    )


def _sensor(config: SensorConfig, values: list[Value], session: SessionStatus | None) -> SensorStatus:
    """A sensor whose present state is unknown."""
    return SensorStatus(
        id=config.id,
        kind=config.kind,
        person=config.person,
        phase=STOPPED,
        trouble=None,
        connects=None,
        losses=None,
        battery_pct=None,
        worn=None,
        values=values,
        session=session,
        packets=None,
        dropped=None,
        undecodable=None,
        oddities=None,
    )


def _stored_sensor(config: SensorConfig, row: SensorRow | None, now: Moment, tables: Tables) -> SensorStatus:
    if row is None or (row.kind, row.address) != (config.kind, config.address):
        return _sensor(config, [], None)  # the id has been given to another device since the gateway ran
    sessions = tables.sessions.of_sensor(row.no)
    values = list(NEWEST[KINDS[row.kind].procedure](row, sessions, now, tables))
    return _sensor(config, values, _session(row, sessions[-1], tables) if sessions else None)


def _session(row: SensorRow, session: Session, tables: Tables) -> SessionStatus:
    given_up = tables.sessions.given_up(session.no)
    return SessionStatus(
        number=session.number,
        start_utc_s=None if session.start_error_ms is None else session.start_utc_s,
        ended=session.ended,
        readings={key: tables.readings.count(session.no, key) for key in KINDS[row.kind].measurements},
        missing=None,
        given_up_min=sum(part.last - part.first + 1 for part in given_up),
        given_up_newest=[
            GivenUp(part.first, part.last, part.reason, part.tries) for part in given_up[-GIVEN_UP_MAX:]
        ],
        warm_up_left_s=None,
    )


def _newest_readings(
    row: SensorRow, sessions: Sequence[Session], now: Moment, tables: Tables
) -> Iterator[Value]:
    """For sensors with sessions: the newest reading of the newest session that has any."""
    for measurement in KINDS[row.kind].measurements:
        for session in reversed(sessions):
            reading = tables.readings.newest(session.no, measurement)
            if reading is not None:
                age_s = _age_in_session_s(session, reading.at_s, now)
                yield _value(measurement, reading.value, age_s, reading.not_counted)
                break


def _age_in_session_s(session: Session, at_s: int, now: Moment) -> float | None:
    boot_no, boot_ns = session.start_boot_no, session.start_boot_ns
    if boot_no != now.boot_no and session.start_utc_s is not None and session.start_error_ms is not None:
        return now.age_of_utc_s(session.start_utc_s + at_s)
    return None if boot_no is None or boot_ns is None else now.age_s(boot_no, boot_ns + at_s * NS_PER_S)


def _newest_packets(
    row: SensorRow, _sessions: Sequence[Session], now: Moment, tables: Tables
) -> Iterator[Value]:
    """For heart straps: the newest values in the newest packets. Each packet has a rate, most have intervals."""
    chunk = tables.raw_chunks.newest(row.no)
    if chunk is None:
        return
    unit = rr_unit(tables, row.no)
    wanted = set(KINDS[row.kind].measurements)
    for packet in reversed(chunk.packets):
        reading = _read(packet.payload)
        if reading is None:
            continue
        age_s = now.age_s(chunk.boot_no, packet.arrival_boot_ns)
        why_not = why_not_counted(reading)
        found = {
            "heart_rate": [float(reading.heart_rate_bpm)],
            "rr_interval": heart_rate.intervals_ms(reading, unit),
        }
        for measurement in [key for key, values in found.items() if values and key in wanted]:
            wanted.remove(measurement)
            yield _value(measurement, found[measurement][-1], age_s, why_not)
        if not wanted:
            return


def _read(payload: bytes) -> HeartRateMeasurement | None:
    try:
        return heart_rate.decode_lenient(payload)[0]
    except DecodeError:
        return None


# The function that finds the newest values in the store, by the procedure of the sensor's kind.
Newest = Callable[[SensorRow, Sequence[Session], Moment, Tables], Iterator[Value]]
NEWEST: Final[Mapping[Procedure, Newest]] = {
    Procedure.HEART_STRAP: _newest_packets,
    Procedure.POLAR: _newest_packets,
    Procedure.CGM: _newest_readings,
    Procedure.AIDEX: _newest_readings,
    Procedure.SCALE: _newest_readings,
    Procedure.SPOT: _newest_readings,
    Procedure.SGV: _newest_readings,
}


def _value(measurement: str, value: float | None, age_s: float | None, not_counted: str | None) -> Value:
    beyond = None
    if value is not None and isinf(value):
        beyond = "above" if value > 0 else "below"
    unit = MEASUREMENTS[measurement].unit
    return Value(measurement, unit, _finite(value), beyond, age_s, not_counted is None, not_counted)


def _finite(value: float | None) -> float | None:
    """The value, or None if it is not finite: JSON has no such numbers."""
    return value if value is not None and isfinite(value) else None


def _live_sensor(sensor: SensorStatus, live: LiveSensor, now: Moment) -> SensorStatus:
    values = {value.measurement: value for value in sensor.values}
    for measurement, fact in live.facts.items():
        age_s = round((now.boot_ns - fact.taken_boot_ns) / NS_PER_S, 1)
        values[measurement] = _value(measurement, fact.value, age_s, fact.not_counted)
    session = sensor.session
    if session is not None:
        session = structs.replace(session, missing=live.missing, warm_up_left_s=live.warm_up_left_s)
    return SensorStatus(
        id=sensor.id,
        kind=sensor.kind,
        person=sensor.person,
        phase=live.phase,
        trouble=live.trouble,
        connects=live.connects,
        losses=live.losses,
        battery_pct=live.battery_pct,
        worn=live.worn,
        values=[values[key] for key in KINDS[sensor.kind].measurements if key in values],
        session=session,
        packets=live.packets,
        dropped=live.dropped,
        undecodable=live.undecodable,
        oddities=live.oddities,
        pairing=live.pairing,
        streams=dict(live.streams),
    )


def _summaries(rows: Mapping[str, SensorRow], tables: Tables) -> Iterator[SummaryStatus]:
    for row in rows.values():
        for kind in PERIODS:
            summary = tables.summaries.newest(kind, row.no)
            if summary is not None:
                yield SummaryStatus(
                    kind,
                    row.id,
                    summary.key.start_utc_s,
                    summary.end_utc_s,
                    summary.status,
                    summary.rev,
                    summary.body,
                )


def _deliveries(config: Config, now: Moment, tables: Tables, route: str) -> RouteStatus:
    counts = tables.deliveries.counts(route)
    trusted_utc_s = now.utc_ns // NS_PER_S if Placement(now.utc_ns, now.error_ms).is_sure else None
    held = Consents(config).held(tables.deliveries.pending(route), trusted_utc_s)
    boot_no, boot_ns = counts.oldest_boot_no, counts.oldest_boot_ns
    return RouteStatus(
        route=route,
        trouble=None,
        pending=counts.pending,
        inflight=counts.inflight,
        parked=counts.parked,
        parked_reasons=sorted({parked.reason for parked in tables.deliveries.parked(route, PARKED_MAX)}),
        oldest_age_s=None if boot_no is None or boot_ns is None else now.age_s(boot_no, boot_ns),
        held=[Held(*part) for part in held],
        batches=counts.carried.batches,
        items=counts.carried.items,
        last_utc_s=counts.carried.last_utc_s,
    )


def _route(route: str) -> RouteStatus:
    """A route whose state is unknown."""
    return RouteStatus(
        route=route,
        trouble=None,
        pending=None,
        inflight=None,
        parked=None,
        parked_reasons=[],
        oldest_age_s=None,
        held=[],
        batches=None,
        items=None,
        last_utc_s=None,
    )


def _size(database: Path) -> int | None:
    """The database's octets on the disk, with its log."""
    try:
        log = database.with_name(f"{database.name}-wal")
        return database.stat().st_size + (log.stat().st_size if log.exists() else 0)
    except OSError:
        return None


def _set_aside(database: Path) -> list[str]:
    """The damaged databases that this start or an earlier one has set aside."""
    found = database.parent.glob(f"{database.name}.corrupt-*")
    return sorted(
        str(path) for path in found if path.suffix.startswith(".corrupt-") and path.suffix[9:].isdecimal()
    )
