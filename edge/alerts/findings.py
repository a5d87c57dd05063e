"""What each rule finds in what is known at a moment: beyond its limit, within it, in between, or nothing.

Contract: pure, and without memory: a finding follows from the document and the limits alone. A value that does not
count or is not fresh says nothing. The two tables at the end have a function
for each row of `edge.alerts.rules.RULES`.
"""

import math
from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

from edge.alerts.rules import Rule
from edge.config import Alerts
from edge.now.known import Forecast, GatewayKnown, GlucoseKnown, Rest, RhythmKnown, SensorKnown

HEART_FRESH_S: Final = 60.0  # a strap tells its rate, and whether it is worn, each second
GLUCOSE_FRESH_S: Final = 900.0
FORECAST_FRESH_S: Final = 600.0  # what is expected in 20 min is not much use after half of it
RHYTHM_FRESH_S: Final = 300.0  # intervals are judged once a minute, the sure tier another minute later
STEADY_READINGS: Final = 3  # a jump is no trend
SOON_MIN: Final = 20.0
PAUSE_SHOWN_S: Final = 600.0  # a pause is over if none has followed for so long
BURDEN_PCT_NONE: Final = 0.5
AT_LIMIT_PCT: Final = 1  # a battery at its limit is low: sensors tell whole percents, many in tens
GRADE_MAX: Final = 99  # a sensor may say no more than that it is out of range
HOUR_S: Final = 3600.0


class Signal(IntEnum):
    """How what is known lies to the limit, from bad to good.

    UNKNOWN: nothing, or nothing fresh, is known. BETWEEN: not beyond the limit, but not so far within it that an alert
    is over. RECEDED: so far within it that the next approach is another one.
    """

    UNKNOWN = 0
    BEYOND = 1
    BETWEEN = 2
    WITHIN = 3
    RECEDED = 4


class Finding(NamedTuple):
    """What a rule finds.

    Attributes:
        age_s: of the reading that says so; 0 for what is so at this moment.
        value: in the unit of the rule.
        grade: how bad it is, in steps of the rule.
        hold_s: for how long it must have been beyond the limit, by readings no more than `gap_s` apart.
            Without `gap_s` it is so at this moment, and no reading has to come.
        reason: what is uncertain or in trouble.
        next_s: in how long time alone can change it; infinite: not.
        quiet_s: for how long nothing is to be raised.
        quiet_s_max: what was told before of `quiet_s` holds no longer than this.
    """

    signal: Signal
    age_s: float = 0.0
    value: float | None = None
    grade: int = 0
    hold_s: float = 0.0
    gap_s: float = math.inf
    reason: str | None = None
    next_s: float = math.inf
    quiet_s: float | None = None
    quiet_s_max: float | None = None


NOTHING: Final = Finding(Signal.UNKNOWN)


def _grade(rule: Rule, beyond: float) -> int:
    return int(min(beyond / rule.worse_by, GRADE_MAX)) if rule.worse_by else 0


def _limit(rule: Rule, limits: Alerts) -> float:
    assert rule.limit is not None
    limit: float = getattr(limits, rule.limit)
    return limit


def value_limit(rule: Rule, limits: Alerts) -> float | None:
    """The limit of a rule in the unit of its value; None if it is not one of the value.

    Beyond it the value is bad: below it or above it, as the rule says.
    """
    if rule.side is None or rule.limit == "irregular_rhythm_s":
        return None
    limit = _limit(rule, limits)
    if rule.limit == "glucose_fall":
        return -limit
    if rule.limit == "battery_low_pct":
        return limit + AT_LIMIT_PCT
    return limit / HOUR_S if rule.unit == "h" else limit


def _level(rule: Rule, limit: float, value: float, age_s: float) -> Finding:
    """A value against a limit; at the limit it is still allowed."""
    beyond = limit - value if rule.side == "below" else value - limit
    if beyond > 0.0:
        return Finding(Signal.BEYOND, age_s, value, _grade(rule, beyond))
    if -beyond >= (rule.hysteresis if rule.recede is None else rule.recede):
        return Finding(Signal.RECEDED, age_s, value)
    return Finding(Signal.WITHIN if -beyond >= rule.hysteresis else Signal.BETWEEN, age_s, value)


def _lasting(rule: Rule, limits: Alerts, lasted_s: float, unit_s: float = 1.0) -> Finding:
    """A state of which it is known for how long it has lasted, against a limit in seconds."""
    left_s = _limit(rule, limits) - lasted_s
    if left_s <= 0.0:
        return Finding(Signal.BEYOND, value=lasted_s / unit_s)
    return Finding(Signal.RECEDED, value=lasted_s / unit_s, next_s=left_s)


def _glucose(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    newest = sensor.values.get("glucose")
    if newest is None or newest.not_counted is not None or newest.age_s > GLUCOSE_FRESH_S:
        return NOTHING
    found = _level(rule, _limit(rule, limits), newest.value, newest.age_s)
    if found.signal is Signal.BEYOND:
        hold_s = getattr(limits, rule.hold) if rule.hold else 0.0
        is_lain_on = rule.side == "below" and sensor.glucose is not None and sensor.glucose.is_compressed
        reason = "the sensor may be lain on" if is_lain_on else None
        return found._replace(hold_s=hold_s, gap_s=limits.cgm_silence_s, reason=reason)
    return found


def _trend(sensor: SensorKnown) -> GlucoseKnown | None:
    """What is expected of the glucose, if that can be said."""
    known = sensor.glucose
    if known is None or known.age_s > FORECAST_FRESH_S or known.steady_readings < STEADY_READINGS:
        return None
    return known


def _expected_mg_dl(in_15: Forecast, in_30: Forecast, ahead_min: float) -> float:
    share = (ahead_min - 15.0) / 15.0
    return in_15.glucose_mg_dl + (in_30.glucose_mg_dl - in_15.glucose_mg_dl) * share


def _urgent_low_soon(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    known, newest = _trend(sensor), sensor.values.get("glucose")
    if known is None or known.in_15_min is None or known.in_30_min is None:
        return NOTHING
    found = _level(
        rule, _limit(rule, limits), _expected_mg_dl(known.in_15_min, known.in_30_min, SOON_MIN), known.age_s
    )
    has_come = newest is not None and newest.not_counted is None and newest.value < limits.glucose_urgent_low
    return found._replace(signal=Signal.BETWEEN) if has_come and found.signal is Signal.BEYOND else found


def _ahead(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    """The early alert is of one reading; the danger is over when the forecasts have left the limit behind."""
    known = _trend(sensor)
    if known is None or known.in_15_min is None or known.in_30_min is None:
        return NOTHING
    is_below = rule.side == "below"
    nearest = (min if is_below else max)(known.in_15_min.glucose_mg_dl, known.in_30_min.glucose_mg_dl)
    if known.is_low_ahead if is_below else known.is_high_ahead:
        return Finding(Signal.BEYOND, known.age_s, nearest)
    found = _level(rule, _limit(rule, limits), nearest, known.age_s)
    return found._replace(signal=Signal.BETWEEN, grade=0) if found.signal is Signal.BEYOND else found


def _falling(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    known = _trend(sensor)
    if known is None or known.rate_mg_dl_min is None or known.smoothed_mg_dl is None:
        return NOTHING
    age_s, rate, level = known.age_s, known.rate_mg_dl_min, known.smoothed_mg_dl
    found = _level(rule, -_limit(rule, limits), rate, age_s)
    if found.signal is Signal.BEYOND and level < limits.glucose_fall_below:
        return found
    if rate >= 0.0 or level >= limits.glucose_fall_below + 10.0:
        return Finding(Signal.RECEDED, age_s, rate)
    is_slow = rate >= -0.5 * _limit(rule, limits)
    return Finding(Signal.WITHIN if is_slow else Signal.BETWEEN, age_s, rate)


def _rate(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    newest = sensor.values.get("heart_rate")
    if newest is None or newest.not_counted is not None or newest.age_s > HEART_FRESH_S:
        return NOTHING
    return _level(rule, _limit(rule, limits), newest.value, newest.age_s)


def _heart_rate(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    """Too low is too low in activity as well; too high is not. Who is not known to rest may be active."""
    found = _rate(rule, sensor, limits)
    if found.signal is not Signal.BEYOND:
        return found
    if sensor.rest is Rest.ACTIVE and rule.side == "above":
        return Finding(Signal.BETWEEN, found.age_s, found.value)
    hold_s, reason = limits.heart_rate_hold_s, None
    if sensor.rest is Rest.UNKNOWN:
        hold_s, reason = limits.heart_rate_unsure_hold_s, "not known to be at rest"
    return found._replace(hold_s=hold_s, gap_s=limits.heart_silence_s, reason=reason)


def _lasting_heart_rate(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    """Rest is told from the rate alone, so a heart that grows fast slowly passes for activity, but not for ever."""
    found = _rate(rule, sensor, limits)
    if found.signal is not Signal.BEYOND:
        return found
    return found._replace(hold_s=limits.heart_rate_high_persistent_s, gap_s=limits.heart_silence_s)


def _rhythm(sensor: SensorKnown) -> RhythmKnown | None:
    return sensor.rhythm if sensor.rhythm is not None and sensor.rhythm.age_s <= RHYTHM_FRESH_S else None


def _pause(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    rhythm = _rhythm(sensor)
    if rhythm is None:
        return NOTHING
    pause = rhythm.pause
    if pause is None or pause.may_be_lost_data or pause.age_s > PAUSE_SHOWN_S:
        return Finding(Signal.RECEDED, rhythm.age_s)
    length_s, next_s = pause.length_ms / 1000.0, PAUSE_SHOWN_S - pause.age_s
    beyond_s = length_s - _limit(rule, limits)
    if beyond_s < 0.0:
        return Finding(Signal.BETWEEN, pause.age_s, length_s, next_s=next_s)
    reason = "may be beats that the strap missed" if pause.may_be_missed_beats else None
    return Finding(Signal.BEYOND, pause.age_s, length_s, _grade(rule, beyond_s), reason=reason, next_s=next_s)


def _irregular(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    """One notice for all the episodes of a day: it is over when none of them was in the last 24 h."""
    rhythm = _rhythm(sensor)
    if rhythm is None:
        return NOTHING
    burden_pct, goes_on = rhythm.af_burden_pct, rhythm.af is not None and not rhythm.af.is_over
    is_resting = rhythm.af_resting_s >= _limit(rule, limits)
    # Such a rhythm makes the heart fast by itself, which passes for activity: rest is not asked for for ever.
    if goes_on and (is_resting or _af_s(rhythm) >= limits.irregular_rhythm_unsure_s):
        reason = None if is_resting else "not known to be at rest"
        return Finding(
            Signal.BEYOND, rhythm.age_s, burden_pct, _grade(rule, burden_pct or 0.0), reason=reason
        )
    if goes_on or burden_pct is None or burden_pct >= BURDEN_PCT_NONE:
        return Finding(Signal.BETWEEN, rhythm.age_s, burden_pct)
    return Finding(Signal.RECEDED, rhythm.age_s, burden_pct)


def _af_s(rhythm: RhythmKnown) -> float:
    """How long the newest episode has lasted."""
    return 0.0 if rhythm.af is None else rhythm.af.begin_age_s - rhythm.af.end_age_s


def _silence(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    """Who warms up says nothing that counts: silence begins when it should be over. The reason is what hinders it."""
    found, left_s, limit_s = (
        _lasting(rule, limits, sensor.heard_age_s)._replace(reason=sensor.trouble),
        sensor.warm_up_left_s,
        _limit(rule, limits),
    )
    if left_s is None:
        return found._replace(quiet_s_max=limit_s)
    signal = Signal.UNKNOWN if found.signal is Signal.BEYOND else found.signal
    quiet_s = max(0.0, left_s) + limit_s
    return found._replace(signal=signal, next_s=quiet_s, quiet_s=quiet_s)


def _not_worn(_rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    """Of a sensor that is heard; one that is not may be worn."""
    if sensor.worn is None or sensor.heard_age_s > HEART_FRESH_S:
        return NOTHING
    if sensor.worn:
        return Finding(Signal.RECEDED)
    return Finding(Signal.BEYOND, hold_s=limits.not_worn_s)


def _ending(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    if sensor.wear_left_s is None:
        return NOTHING
    value, left_s = sensor.wear_left_s / HOUR_S, sensor.wear_left_s - _limit(rule, limits)
    if left_s > 0.0:
        return Finding(Signal.RECEDED, value=value, next_s=left_s)
    soon_left_s = sensor.wear_left_s - limits.sensor_ending_soon_s
    if soon_left_s > 0.0:
        return Finding(Signal.BEYOND, value=value, next_s=soon_left_s)
    return Finding(Signal.BEYOND, value=value, grade=1)


def _battery(rule: Rule, sensor: SensorKnown, limits: Alerts) -> Finding:
    if sensor.battery_pct is None:
        return NOTHING
    return _level(rule, _limit(rule, limits) + AT_LIMIT_PCT, sensor.battery_pct, 0.0)


def _sync(rule: Rule, gateway: GatewayKnown, limits: Alerts) -> Finding:
    ages_s = [route.oldest_age_s for route in gateway.routes if route.oldest_age_s is not None]
    return _lasting(rule, limits, max(ages_s), HOUR_S) if ages_s else Finding(Signal.RECEDED)


def _clock(rule: Rule, gateway: GatewayKnown, limits: Alerts) -> Finding:
    if gateway.minute_of_day is not None:
        return Finding(Signal.RECEDED)
    return _lasting(rule, limits, gateway.clock_untrusted_s, HOUR_S)


def _disk(rule: Rule, gateway: GatewayKnown, limits: Alerts) -> Finding:
    if gateway.store_trouble is None:
        return Finding(Signal.RECEDED)
    return _lasting(rule, limits, gateway.store_trouble_s)._replace(reason=gateway.store_trouble)


def _sound(_rule: Rule, gateway: GatewayKnown, _limits: Alerts) -> Finding:
    if not gateway.dead_channels:
        return Finding(Signal.RECEDED)
    reasons = sorted(f"{channel}: {why}" for channel, why in gateway.dead_channels.items())
    return Finding(Signal.BEYOND, reason="; ".join(reasons))


SensorFinder = Callable[[Rule, SensorKnown, Alerts], Finding]
GatewayFinder = Callable[[Rule, GatewayKnown, Alerts], Finding]

SENSOR_FINDERS: Final[dict[str, SensorFinder]] = {
    "glucose_urgent_low": _glucose,
    "glucose_urgent_low_soon": _urgent_low_soon,
    "glucose_low": _glucose,
    "glucose_low_ahead": _ahead,
    "glucose_high": _glucose,
    "glucose_high_ahead": _ahead,
    "glucose_high_persistent": _glucose,
    "glucose_falling_fast": _falling,
    "heart_rate_low": _heart_rate,
    "heart_rate_high": _heart_rate,
    "heart_rate_high_persistent": _lasting_heart_rate,
    "pause": _pause,
    "irregular_rhythm": _irregular,
    "heart_rate_silence": _silence,
    "cgm_silence": _silence,
    "not_worn": _not_worn,
    "sensor_ending": _ending,
    "battery_low": _battery,
}

GATEWAY_FINDERS: Final[dict[str, GatewayFinder]] = {
    "sync_stuck": _sync,
    "clock_untrusted": _clock,
    "disk_full": _disk,
    "sound_dead": _sound,
}

LEVELS: Final = frozenset({"heart_rate_low", "heart_rate_high", "heart_rate_high_persistent"})
"""The rules about single values whose measurement has no others that a single value changes: `edge.alerts.engine.calm`
tells which values they leave alone. What other rules about that measurement find follows from many values, and somebody
says when it is renewed."""
