"""What rules are worth: what was raised, how early, what was missed and what was false, by the measured values alone.

Contract: pure. The truth is of both columns the same: a low (high) is an event beyond the limit that is in force now.

    event    values are beyond the limit for `SUSTAINED_S`, after none was for as long; a gap before it leaves open when
             it began, and it does not count
    missed   no alert of its side was raised from `BEFORE_S` before its beginning to `AFTER_S` after it, and none stood
    lead     from the first early alert within `HORIZON_S` before the beginning, or `AFTER_S` after it, to the beginning
    false    an early alert after which no value within `HORIZON_S` is beyond the limit, though there are values

The first two, and the horizon, are those by which BENCHMARKS.md judges the early alerts.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from edge.config import Alerts
from edge.config_values import QuietHours
from tools.replay.stage import Alarm, Trace

SUSTAINED_S: Final = 900.0
GAP_S: Final = 1200.0
BEFORE_S: Final = 1800.0
AFTER_S: Final = 300.0
HORIZON_S: Final = 3600.0
WEEK_S: Final = 7 * 86_400.0
# Unless the configuration says which hours are quiet.
NIGHT: Final = QuietHours.read("22:00-07:00")


class EventKind(NamedTuple):
    """What is beyond a limit of `[alerts]`, and the alerts that tell of it."""

    limit: str
    side: Literal["below", "above"]
    alerts: frozenset[str]


_LOW: Final = frozenset(
    {
        "glucose_urgent_low",
        "glucose_urgent_low_soon",
        "glucose_low",
        "glucose_low_ahead",
        "glucose_falling_fast",
    }
)
_HIGH: Final = frozenset({"glucose_high", "glucose_high_ahead", "glucose_high_persistent"})
EVENTS: Final[Mapping[str, EventKind]] = {
    "low": EventKind("glucose_low", "below", _LOW),
    "urgent_low": EventKind("glucose_urgent_low", "below", _LOW),
    "high": EventKind("glucose_high", "above", _HIGH),
}
EARLY: Final[Mapping[str, str]] = {
    "glucose_low_ahead": "low",
    "glucose_falling_fast": "low",
    "glucose_urgent_low_soon": "urgent_low",
    "glucose_high_ahead": "high",
}


class Early(Struct, frozen=True):
    """Of an early alert: how many events it announced, how long before they began, and how often it was false."""

    announced: int
    lead_min_median: float | None
    lead_min_least: float | None
    lead_min_most: float | None
    false: int


class Raised(Struct, frozen=True):
    """Of one alert: how often it was raised, of these at night, and how long it stood."""

    raised: int
    per_week: float | None
    at_night: int
    stood_h: float
    early: Early | None


class AlertLine(Struct, frozen=True):
    """One alert under the rules in force now and under the new ones; null where it is switched off, or without any."""

    alert: str
    now: Raised | None
    new: Raised | None


class EventLine(Struct, frozen=True):
    """Events that happened, and how many nobody was told of in time."""

    event: str
    limit: float
    side: str
    events: int
    missed_now: int
    missed_new: int | None


class Event(NamedTuple):
    """From the first value beyond a limit to the first that is not."""

    begin_s: float
    end_s: float


class Judge:
    """What happened to one sensor's wearer from `begin_s` on, by the rules that are in force now."""

    def __init__(self, trace: Trace, begin_s: float, end_s: float, now: Alerts) -> None:
        self._begin_s = begin_s
        self._end_s = end_s
        self._night = now.quiet_hours or NIGHT
        points = sorted(trace.points)
        self._t_s = [t_s for t_s, _ in points]
        self._beyond = {
            name: [_is_beyond(kind, now, value) for _, value in points] for name, kind in EVENTS.items()
        }
        self.events = {
            name: [one for one in events(self._t_s, beyond) if one.begin_s >= begin_s]
            for name, beyond in self._beyond.items()
        }

    def raised(self, rule: str, alarms: Sequence[Alarm], heard_s: float, zone: ZoneInfo) -> Raised:
        """What one rule did."""
        ours = [alarm for alarm in alarms if alarm.rule == rule and alarm.at_s >= self._begin_s]
        stood_s = sum(min(alarm.over_s, self._end_s) - alarm.at_s for alarm in ours)
        return Raised(
            raised=len(ours),
            per_week=round(len(ours) * WEEK_S / heard_s, 2) if heard_s > 0.0 else None,
            at_night=sum(self._is_at_night(alarm, zone) for alarm in ours),
            stood_h=round(stood_s / 3600.0, 2),
            early=self._early(EARLY[rule], ours) if rule in EARLY else None,
        )

    def missed(self, name: str, alarms: Sequence[Alarm]) -> int:
        """Of how many events nobody was told."""
        ours = [alarm for alarm in alarms if alarm.rule in EVENTS[name].alerts]
        return sum(not any(_tells(alarm, event) for alarm in ours) for event in self.events[name])

    def _is_at_night(self, alarm: Alarm, zone: ZoneInfo) -> bool:
        if alarm.utc_s is None:
            return False
        local = datetime.fromtimestamp(alarm.utc_s, zone)
        return self._night.left_min(60 * local.hour + local.minute) > 0

    def _early(self, name: str, alarms: Sequence[Alarm]) -> Early:
        leads_min = []
        for begin_s, _ in self.events[name]:
            ahead_s = [
                begin_s - alarm.at_s for alarm in alarms if -AFTER_S <= begin_s - alarm.at_s <= HORIZON_S
            ]
            if ahead_s:
                leads_min.append(round(max(ahead_s) / 60.0, 1))
        return Early(
            announced=len(leads_min),
            lead_min_median=round(median(leads_min), 1) if leads_min else None,
            lead_min_least=min(leads_min, default=None),
            lead_min_most=max(leads_min, default=None),
            false=sum(self._is_false(name, alarm.at_s) for alarm in alarms),
        )

    def _is_false(self, name: str, at_s: float) -> bool:
        first, end = bisect_right(self._t_s, at_s), bisect_right(self._t_s, at_s + HORIZON_S)
        return first < end and not any(self._beyond[name][max(0, first - 1) : end])


def events(t_s: Sequence[float], beyond: Sequence[bool]) -> list[Event]:
    """The events among values in order of time, by whether each is beyond the limit."""
    found = []
    for k in range(1, len(t_s)):
        if not beyond[k] or beyond[k - 1] or t_s[k] - t_s[k - 1] > GAP_S:
            continue
        if any(beyond[bisect_left(t_s, t_s[k] - SUSTAINED_S) : k]):
            continue
        end = k
        while end < len(t_s) - 1 and beyond[end] and t_s[end + 1] - t_s[end] <= GAP_S:
            end += 1
        if t_s[end] - t_s[k] >= SUSTAINED_S:
            found.append(Event(t_s[k], t_s[end]))
    return found


def _is_beyond(kind: EventKind, limits: Alerts, value: float) -> bool:
    limit: float = getattr(limits, kind.limit)
    return value < limit if kind.side == "below" else value > limit


def _tells(alarm: Alarm, event: Event) -> bool:
    from_s, to_s = event.begin_s - BEFORE_S, event.begin_s + AFTER_S
    return from_s <= alarm.at_s <= to_s or alarm.at_s < event.begin_s < alarm.over_s
