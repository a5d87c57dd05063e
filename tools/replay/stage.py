"""The alert engine played over a history, for each set of rules beside the others.

Contract: pure. The axis of time is that of `edge.alerts.axis`: it goes as the time since boot, and over a reboot by the
wall time that has passed, as far as that is known. Whoever plays says `look` where the gateway looked, as each value
came, and `wait` before it goes on: what time alone changes happens in between, when it is due.

What a history cannot tell (`LEFT_OUT`) is switched off: links, silence, batteries and the gateway itself. Nobody
snoozes or acknowledges anything.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from edge.alerts.engine import next_due_s, step
from edge.alerts.findings import GATEWAY_FINDERS
from edge.alerts.state import AlertState, Phase, What
from edge.clock import NS_PER_S
from edge.config import Alerts
from edge.now.known import GatewayKnown, SensorKnown

LEFT_OUT: Final = ("heart_rate_silence", "cgm_silence", "battery_low", *GATEWAY_FINDERS)

SensorAt = Callable[[float], SensorKnown]
"""What is known of the sensor at a moment."""


@dataclass
class Alarm:
    """An alert that was told, and when it was over; infinite: it was not."""

    rule: str
    at_s: float
    utc_s: float | None
    value: float | None
    over_s: float = math.inf


@dataclass
class Trace:
    """What was measured, in seconds of the axis of the stage: times and counted values, in any order, and when the
    sensor was heard."""

    points: list[tuple[float, float]] = field(default_factory=list)
    heard: list[tuple[float, float]] = field(default_factory=list)

    def add(self, taken_s: float, value: float) -> None:
        """A value was measured."""
        self.points.append((taken_s, value))
        self.heard.append((taken_s, taken_s))

    def heard_s(self, begin_s: float, fresh_s: float) -> float:
        """For how long there was a value, each being one for `fresh_s`."""
        spans = sorted((max(start, begin_s), end) for start, end in self.heard if end >= begin_s)
        starts = [start for start, _ in spans[1:]]
        pauses_s = (
            min(max(0.0, start - end), fresh_s) for (_, end), start in zip(spans, starts, strict=False)
        )
        return sum(end - start for start, end in spans) + sum(pauses_s)


class Course:
    """The axis of time of one sensor's history, and the wall time on it. Moments are given in order."""

    def __init__(self) -> None:
        self._boot_no: int | None = None
        self._boot_ns = 0
        self._at_s = 0.0
        self._utc_s: float | None = None

    def at_s(self, boot_no: int, boot_ns: int, utc_s: float | None) -> float:
        """The next moment; its wall time is None where nobody knows it."""
        if boot_no == self._boot_no:
            passed_s = (boot_ns - self._boot_ns) / NS_PER_S
        elif utc_s is not None and self._utc_s is not None:
            passed_s = utc_s - self._utc_s
        else:
            passed_s = 0.0
        self._at_s += max(0.0, passed_s)
        if utc_s is not None:
            self._utc_s = utc_s
        elif self._utc_s is not None:
            self._utc_s += max(0.0, passed_s)
        self._boot_no, self._boot_ns = boot_no, boot_ns
        return self._at_s

    @property
    def now_s(self) -> float:
        """The newest moment that was given."""
        return self._at_s

    def utc_s(self, at_s: float) -> float | None:
        """The wall time of a moment after the newest that was given."""
        return None if self._utc_s is None else self._utc_s + at_s - self._at_s


@dataclass
class Player:
    """One set of rules.

    Attributes:
        limits: without the rules that are left out.
        alarms: what was raised so far.
        due_s: when time alone can change something.
        is_waiting: whether something is beyond its limit that is raised only if it stays so.
    """

    limits: Alerts
    alarms: list[Alarm] = field(default_factory=list)
    due_s: float = math.inf
    is_waiting: bool = False
    _state: AlertState = field(default_factory=AlertState)
    _open: dict[str, Alarm] = field(default_factory=dict)

    def look(self, known: GatewayKnown, at_s: float, utc_s: float | None) -> None:
        """Step the engine."""
        self._state, events = step(self._state, known, at_s, self.limits)
        due_s = next_due_s(self._state, known, at_s, self.limits)
        self.due_s = math.inf if due_s is None else due_s
        self.is_waiting = any(one.phase is Phase.BREACHED for one in self._state.rules.values())
        for event in events:
            if event.what is What.RAISED:
                alarm = self._open[event.rule] = Alarm(event.rule, at_s, utc_s, event.value)
                self.alarms.append(alarm)
            elif event.what in (What.OVER, What.RETRACTED) and event.rule in self._open:
                self._open.pop(event.rule).over_s = at_s


class Stage:
    """All sets of rules over one sensor.

    Attributes:
        trace: what was measured.
        due_s, is_waiting: of any of them; see `Player`.
    """

    def __init__(self, rules: Sequence[Alerts], zone: ZoneInfo) -> None:
        self.course = Course()
        self.trace = Trace()
        self.players = [Player(replace(one, off=(*one.off, *LEFT_OUT))) for one in rules]
        self.due_s = math.inf
        self.is_waiting = False
        self.zone = zone

    def look(self, sensor_at: SensorAt, at_s: float) -> None:
        """Something has come at this moment."""
        self._look(self.players, sensor_at, at_s)

    def wait(self, sensor_at: SensorAt, until_s: float) -> None:
        """Look whenever something is due before a moment."""
        while (due_s := self.due_s) < until_s:
            self._look([player for player in self.players if player.due_s <= due_s], sensor_at, due_s)

    def _look(self, players: Sequence[Player], sensor_at: SensorAt, at_s: float) -> None:
        utc_s = self.course.utc_s(at_s)
        known = GatewayKnown(
            minute_of_day=None if utc_s is None else self._minute_of_day(utc_s),
            clock_untrusted_s=0.0,
            store_trouble=None,
            store_trouble_s=0.0,
            routes=(),
            dead_channels={},
            sensors=(sensor_at(at_s),),
        )
        for player in players:
            player.look(known, at_s, utc_s)
        self.due_s = min(player.due_s for player in self.players)
        self.is_waiting = any(player.is_waiting for player in self.players)

    def _minute_of_day(self, utc_s: float) -> int:
        local = datetime.fromtimestamp(utc_s, self.zone)
        return 60 * local.hour + local.minute
