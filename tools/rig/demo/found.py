"""What the demo's gateway found, as it ran: forecasts and episodes when it knew them, and the alerts that it stored.

Contract: only what the gateway itself says is taken: its document of what is known, looked at each simulated minute,
and the events in its store. Nothing is computed anew. Times are seconds since the day's midnight.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from edge.alerts.state import What
from edge.clock import NS_PER_S
from edge.now.known import Forecast, GatewayKnown, GlucoseKnown, RhythmKnown
from edge.store.alerts import ENDS, AlertEvent
from tools.rig.demo.truth import Stretch

# Moments so near each other are the same, counted at different times: readings and episodes are further apart.
SAME_S: Final = 25.0


class Made(Struct, frozen=True):
    """The forecasts that were made at a reading, as they were when it had just come, by minutes ahead."""

    at_s: float
    ahead: dict[int, Forecast]


class Episode(Stretch, frozen=True):
    """An episode of the rhythm, and when it was first known."""

    known_s: float


class Burden(Struct, frozen=True):
    """The share of the 24 hours before a moment that was in AF, of the time observed."""

    at_s: float
    af_pct: float
    observed_s: float


class Stood(Struct, frozen=True):
    """An alert, from when to when; `end_s` is None if it had not ended."""

    rule: str
    begin_s: float
    end_s: float | None


@dataclass
class Found:
    """What was found so far.

    Attributes:
        made: at each reading, oldest first.
        af: each episode, oldest first.
        burden: the newest.
    """

    made: list[Made] = field(default_factory=list)
    af: list[Episode] = field(default_factory=list)
    burden: Burden | None = None

    def look(self, now_s: float, known: GatewayKnown) -> None:
        """Take what is known at a moment."""
        for sensor in known.sensors:
            newest = sensor.values.get("glucose")
            if sensor.glucose is not None and newest is not None and newest.not_counted is None:
                self._forecasts(now_s - newest.age_s, sensor.glucose)
            if sensor.rhythm is not None:
                self._rhythm(now_s, sensor.rhythm)

    def _forecasts(self, at_s: float, glucose: GlucoseKnown) -> None:
        if not self.made or at_s > self.made[-1].at_s + SAME_S:
            ahead = {30: glucose.in_30_min, 60: glucose.in_60_min}
            said = {minutes: forecast for minutes, forecast in ahead.items() if forecast is not None}
            self.made.append(Made(at_s, said))

    def _rhythm(self, now_s: float, rhythm: RhythmKnown) -> None:
        if rhythm.af_burden_pct is not None:
            self.burden = Burden(now_s - rhythm.age_s, rhythm.af_burden_pct, rhythm.observed_s)
        if rhythm.af is None:
            return
        episode = Episode(now_s - rhythm.af.begin_age_s, now_s - rhythm.af.end_age_s, now_s)
        if self.af and episode.begin_s < self.af[-1].begin_s + SAME_S:
            self.af[-1] = replace(self.af[-1], end_s=episode.end_s)
        else:
            self.af.append(episode)


def stood(events: Iterable[AlertEvent], now_s: float, now_boot_ns: int) -> list[Stood]:
    """The alerts that were raised, in the order in which they began.

    Args:
        events: of one boot, oldest first.
        now_s: the present moment, which in the gateway's boot is `now_boot_ns`.
    """
    found: dict[tuple[str, int | None, int], Stood] = {}
    for event in events:
        key = event.rule, event.sensor_no, event.ordinal
        at_s = now_s - (now_boot_ns - event.boot_ns) / NS_PER_S
        if event.what == What.RAISED.value:
            found[key] = Stood(event.rule, at_s, None)
        elif event.what in ENDS and key in found:
            found[key] = replace(found[key], end_s=at_s)
    return list(found.values())
