"""Threshold alerts, driven by the clock: once a second each rule is asked, whether data came or not.

A value raises an alert only while it is fresh; when it gets old, the alert that is raised is the one that
says so. An alert is stored the moment it is raised and the moment it ends.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import gt, lt
from typing import NamedTuple

from edge.cgm_sensor import CgmSensor
from edge.clock import NS_PER_S, Clock
from edge.config import Alerts as Limits
from edge.heart_sensor import HeartSensor
from edge.store import Store

log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """A value that should not be, and when it was taken."""

    value: float
    boot_ns: int


@dataclass(frozen=True)
class Rule:
    """One alert of one sensor.

    `breach` gives the offending reading, or None while all is well; from the first offending reading to the
    newest it must last `hold_s`. While not `is_informed` there is nothing to go by, and nothing changes.
    """

    kind: str
    sensor_id: str
    hold_s: float
    is_informed: Callable[[int], bool]
    breach: Callable[[int], Reading | None]


# Kind of the alert, how the value compares when it is wrong, and with what.
Threshold = tuple[str, Callable[[float, float], bool], float]


def heart_rules(sensor: HeartSensor, limits: Limits, started_boot_ns: int) -> list[Rule]:
    """Low and high heart rate while the strap is worn, and silence."""

    def rate() -> float | None:
        live = sensor.live
        return live.heart_rate_bpm or None if live and live.contact is not False else None

    return _rules(
        sensor,
        rate,
        [
            ("heart_rate_low", lt, limits.heart_rate_low_bpm),
            ("heart_rate_high", gt, limits.heart_rate_high_bpm),
        ],
        limits.heart_rate_hold_s,
        "heart_rate_silence",
        limits.heart_silence_s,
        started_boot_ns,
    )


def glucose_rules(sensor: CgmSensor, limits: Limits, started_boot_ns: int) -> list[Rule]:
    """Urgent low, low and high glucose, and silence."""
    return _rules(
        sensor,
        lambda: sensor.live.glucose_mg_dl if sensor.live else None,
        [
            ("glucose_urgent_low", lt, limits.glucose_urgent_low_mg_dl),
            ("glucose_low", lt, limits.glucose_low_mg_dl),
            ("glucose_high", gt, limits.glucose_high_mg_dl),
        ],
        0.0,
        "cgm_silence",
        limits.cgm_silence_s,
        started_boot_ns,
    )


def _rules(
    sensor: HeartSensor | CgmSensor,
    value: Callable[[], float | None],
    thresholds: list[Threshold],
    hold_s: float,
    silence_kind: str,
    silence_s: float,
    started_boot_ns: int,
) -> list[Rule]:
    def heard_boot_ns() -> int:
        return sensor.live.boot_ns if sensor.live else started_boot_ns

    def is_silent(now: int) -> bool:
        return now - heard_boot_ns() > silence_s * NS_PER_S

    def breach(is_wrong: Callable[[float, float], bool], limit: float, now: int) -> Reading | None:
        newest = value()
        if newest is None or is_silent(now) or not is_wrong(newest, limit):
            return None
        return Reading(newest, heard_boot_ns())

    def silence_breach(now: int) -> Reading | None:
        return Reading((now - heard_boot_ns()) / NS_PER_S, now) if is_silent(now) else None

    def is_informed(now: int) -> bool:
        return sensor.live is not None or is_silent(now)

    sensor_id = sensor.config.id
    return [
        *(
            Rule(kind, sensor_id, hold_s, is_informed, partial(breach, is_wrong, limit))
            for kind, is_wrong, limit in thresholds
        ),
        Rule(silence_kind, sensor_id, 0.0, is_informed, silence_breach),
    ]


class AlertBoard:
    """Asks the rules once a tick, and keeps what they said in the store."""

    def __init__(self, rules: list[Rule], store: Store, clock: Clock) -> None:
        self._rules = rules
        self._store = store
        self._clock = clock
        self._breached_boot_ns: dict[Rule, int] = {}
        # An alert that stood when the gateway stopped stands until its rule, informed again, says otherwise.
        self._standing = {(alert.kind, alert.sensor_id) for alert in store.open_alerts()}

    def tick(self) -> None:
        now = self._clock.boot_ns()
        for rule in self._rules:
            if not rule.is_informed(now):
                continue
            reading = rule.breach(now)
            standing = (rule.kind, rule.sensor_id) in self._standing
            if reading is None:
                self._breached_boot_ns.pop(rule, None)
                if standing:
                    self._clear(rule, now)
            elif not standing:
                first_boot_ns = self._breached_boot_ns.setdefault(rule, reading.boot_ns)
                if reading.boot_ns - first_boot_ns >= rule.hold_s * NS_PER_S:
                    self._raise(rule, reading.value, now)

    def _raise(self, rule: Rule, value: float, now: int) -> None:
        with self._store.transaction():
            self._store.raise_alert(rule.kind, rule.sensor_id, value, self._clock.boot_id, now)
        self._standing.add((rule.kind, rule.sensor_id))
        # Which alert, and at what value, is health data: the log on the disk is not encrypted.
        log.warning("%s: an alert was raised; `vitalgate status` shows it", rule.sensor_id)

    def _clear(self, rule: Rule, now: int) -> None:
        with self._store.transaction():
            self._store.clear_alert(rule.kind, rule.sensor_id, self._clock.boot_id, now)
        self._standing.discard((rule.kind, rule.sensor_id))
        log.info("%s: an alert is over", rule.sensor_id)
