"""Threshold alerts, driven by the clock: once a second each rule is asked, whether data came or not.

A value raises an alert only while it is fresh; when it gets old, the alert that is raised is the one that
says so. An alert is stored the moment it is raised and the moment it ends.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge.cgm_sensor import CgmSensor
from edge.clock import NS_PER_S, Clock
from edge.config import Alerts as Limits
from edge.heart_sensor import HeartSensor
from edge.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rule:
    """One alert of one sensor.

    `breach` gives the offending value, or None while all is well; the breach must last `hold_s`.
    """

    kind: str
    sensor_id: str
    hold_s: float
    breach: Callable[[int], float | None]


def heart_rules(sensor: HeartSensor, limits: Limits, started_boot_ns: int) -> list[Rule]:
    """Low and high heart rate while the strap is worn, and silence."""

    def rate(boot_ns: int) -> float | None:
        live = sensor.live
        if live is None or live.contact is False or live.heart_rate_bpm == 0:
            return None
        return live.heart_rate_bpm if boot_ns - live.boot_ns < limits.heart_silence_s * NS_PER_S else None

    def silence(boot_ns: int) -> float | None:
        heard_boot_ns = sensor.live.boot_ns if sensor.live else started_boot_ns
        return over((boot_ns - heard_boot_ns) / NS_PER_S, limits.heart_silence_s)

    return [
        Rule(
            "heart_rate_low",
            sensor.config.id,
            limits.heart_rate_hold_s,
            lambda now: under(rate(now), limits.heart_rate_low_bpm),
        ),
        Rule(
            "heart_rate_high",
            sensor.config.id,
            limits.heart_rate_hold_s,
            lambda now: over(rate(now), limits.heart_rate_high_bpm),
        ),
        Rule("heart_rate_silence", sensor.config.id, 0.0, silence),
    ]


def glucose_rules(sensor: CgmSensor, limits: Limits, started_boot_ns: int) -> list[Rule]:
    """Urgent low, low and high glucose, and silence."""

    def glucose(boot_ns: int) -> float | None:
        live = sensor.live
        fresh = live is not None and boot_ns - live.boot_ns < limits.cgm_silence_s * NS_PER_S
        return live.glucose_mg_dl if live is not None and fresh else None

    def silence(boot_ns: int) -> float | None:
        heard_boot_ns = sensor.live.boot_ns if sensor.live else started_boot_ns
        return over((boot_ns - heard_boot_ns) / NS_PER_S, limits.cgm_silence_s)

    return [
        Rule(
            "glucose_urgent_low",
            sensor.config.id,
            0.0,
            lambda now: under(glucose(now), limits.glucose_urgent_low_mg_dl),
        ),
        Rule("glucose_low", sensor.config.id, 0.0, lambda now: under(glucose(now), limits.glucose_low_mg_dl)),
        Rule(
            "glucose_high", sensor.config.id, 0.0, lambda now: over(glucose(now), limits.glucose_high_mg_dl)
        ),
        Rule("cgm_silence", sensor.config.id, 0.0, silence),
    ]


def under(value: float | None, limit: float) -> float | None:
    return value if value is not None and value < limit else None


def over(value: float | None, limit: float) -> float | None:
    return value if value is not None and value > limit else None


class AlertBoard:
    """Asks the rules once a tick, and keeps what they said in the store."""

    def __init__(self, rules: list[Rule], store: Store, clock: Clock) -> None:
        self._rules = rules
        self._store = store
        self._clock = clock
        self._breached_boot_ns: dict[Rule, int] = {}
        # An alert that stood when the gateway stopped stands until its rule says otherwise.
        self._standing = {(alert.kind, alert.sensor_id) for alert in store.open_alerts()}

    def tick(self) -> None:
        now = self._clock.boot_ns()
        for rule in self._rules:
            value = rule.breach(now)
            standing = (rule.kind, rule.sensor_id) in self._standing
            if value is None:
                self._breached_boot_ns.pop(rule, None)
                if standing:
                    self._clear(rule, now)
            elif (
                not standing and now - self._breached_boot_ns.setdefault(rule, now) >= rule.hold_s * NS_PER_S
            ):
                self._raise(rule, value, now)

    def _raise(self, rule: Rule, value: float, now: int) -> None:
        with self._store.transaction():
            self._store.raise_alert(rule.kind, rule.sensor_id, value, self._clock.boot_id, now)
        self._standing.add((rule.kind, rule.sensor_id))
        log.warning("%s: alert %s (%g)", rule.sensor_id, rule.kind, value)

    def _clear(self, rule: Rule, now: int) -> None:
        with self._store.transaction():
            self._store.clear_alert(rule.kind, rule.sensor_id, self._clock.boot_id, now)
        self._standing.discard((rule.kind, rule.sensor_id))
        log.info("%s: alert %s is over", rule.sensor_id, rule.kind)
