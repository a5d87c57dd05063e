"""The alerts as the store of a gateway knows them, for the status document of one that has stopped.

Contract: what stands is what stood when the gateway stopped, with the newest values that it stored.
"""

import math
from collections.abc import Mapping, Sequence

from edge.alerts import memory
from edge.alerts.message import number
from edge.alerts.shown import Shown, ShownSnooze, shown, snoozes
from edge.config import Config
from edge.local.status import AlertStatus, Moment, SensorStatus, SnoozeStatus
from edge.now.known import GatewayKnown, Rest, SensorKnown, ValueKnown
from edge.store.sensors import SensorRow
from edge.store.tables import Tables


def kept(
    config: Config,
    sensors: Sequence[SensorStatus],
    rows: Mapping[str, SensorRow],
    now: Moment,
    tables: Tables,
) -> tuple[list[AlertStatus], list[SnoozeStatus]]:
    """The alerts and the snoozes that had not ended.

    Args:
        config: the operator's file.
        sensors: what the document says of the sensors.
        rows: the sensors in use, by name.
        now: the present moment.
        tables: of the store.
    """
    found = memory.load(tables)
    if found is None:
        return [], []
    at_s = found.mark.at_s + max(0.0, now.age_s(found.mark.boot_no, found.mark.boot_ns) or 0.0)
    silent_s = {name: at_s - found.heard_s[row.no] for name, row in rows.items() if row.no in found.heard_s}
    known = _known([_sensor(sensor, silent_s.get(sensor.id, 0.0)) for sensor in sensors])
    alerts = shown(found.state, known, at_s, config.alerts)
    return list(map(alert_status, alerts)), list(map(snooze_status, snoozes(found.state, at_s)))


def alert_status(alert: Shown) -> AlertStatus:
    """An alert as the document says it."""
    value, beyond = number(alert.value)
    return AlertStatus(
        kind=alert.rule,
        sensor=alert.subject,
        person=alert.person,
        value=value,
        beyond=beyond,
        unit=alert.unit,
        reason=alert.reason,
        age_s=round(alert.age_s, 1),
        urgent=alert.urgent,
        tier=alert.tier.name.lower(),
        told=alert.is_told,
        acknowledged=alert.acknowledged,
        snoozed_left_s=alert.snoozed_left_s,
    )


def snooze_status(snooze: ShownSnooze) -> SnoozeStatus:
    """A snooze as the document says it."""
    return SnoozeStatus(snooze.rule, snooze.subject, round(snooze.left_s, 1), snooze.unless)


def _known(sensors: Sequence[SensorKnown]) -> GatewayKnown:
    """What a store knows of a gateway's present: nothing."""
    return GatewayKnown(
        minute_of_day=None,
        clock_untrusted_s=0.0,
        store_trouble=None,
        store_trouble_s=0.0,
        routes=(),
        dead_channels={},
        sensors=tuple(sensors),
    )


def _sensor(sensor: SensorStatus, silent_s: float) -> SensorKnown:
    sides = {"above": math.inf, "below": -math.inf}
    values = {}
    for one in sensor.values:
        value = one.value if one.beyond is None else sides[one.beyond]
        if value is not None and one.age_s is not None:
            values[one.measurement] = ValueKnown(value, one.age_s, one.not_counted)
    return SensorKnown(
        id=sensor.id,
        kind=sensor.kind,
        person=sensor.person,
        phase=sensor.phase,
        trouble=None,
        heard_age_s=silent_s,
        worn=None,
        worn_age_s=None,
        warm_up_left_s=None,
        wear_left_s=None,
        battery_pct=None,
        rest=Rest.UNKNOWN,
        values=values,
    )
