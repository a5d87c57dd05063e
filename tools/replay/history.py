"""Everything that a store has kept, played by the rules in force and by new ones, sensor by sensor.

Contract: the store is only read. `run` goes on step by step, and says how far it has come.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from edge.alerts.engine import rules_for
from edge.alerts.findings import GLUCOSE_FRESH_S, HEART_FRESH_S
from edge.anchors import Timeline
from edge.config import Alerts, Config
from edge.errors import ConfigError
from edge.kinds import Procedure
from edge.store.tables import Tables
from tools.replay import cgm, strap
from tools.replay.figures import EVENTS, AlertLine, EventLine, Judge, Raised
from tools.replay.stage import LEFT_OUT, Player, Stage
from tools.replay.streams import Stream, Window, streams

DAY_S: Final = 86_400.0


class SensorReplay(Struct, frozen=True):
    """What the rules did for one sensor: from the first value on, of which `days` had values."""

    person: str
    sensor: str
    kind: str
    begins: str
    days: float
    alerts: list[AlertLine]
    events: list[EventLine]


class Replay(Struct, frozen=True):
    """The whole answer: the wall time that was looked at, in UTC, and what the history does not tell."""

    begins: str
    ends: str
    sensors: list[SensorReplay]
    left_out: list[str]


class _Way(NamedTuple):
    """How sensors of a procedure are played."""

    newest_utc_s: Callable[[Tables, Stream, Timeline], float | None]
    play: Callable[[Tables, Stream, Timeline, Window, Stage], Iterator[float | None]]
    fresh_s: float
    events: tuple[str, ...]
    untold: tuple[str, ...]  # rules about all sensors that these tell nothing of


_STRAP: Final = _Way(strap.newest_utc_s, strap.play, HEART_FRESH_S, (), ("sensor_ending",))
_CGM: Final = _Way(cgm.newest_utc_s, cgm.play, GLUCOSE_FRESH_S, tuple(EVENTS), ("not_worn",))

WAYS: Final[Mapping[Procedure, _Way]] = {
    Procedure.CGM: _CGM,
    Procedure.SGV: _CGM._replace(untold=("not_worn", "sensor_ending")),
    Procedure.HEART_STRAP: _STRAP,
    Procedure.POLAR: _STRAP,
}


class Run:
    """One run: first `run` to its end, then `result`."""

    def __init__(self, tables: Tables, config: Config, new: Alerts | None, days: int) -> None:
        """Find out what there is.

        Raises:
            ConfigError: nothing, or nothing of which anybody knows the wall time.
        """
        self._tables = tables
        self._rules = [config.alerts] if new is None else [config.alerts, new]
        self._zone = ZoneInfo(config.gateway.timezone)
        self._timeline = tables.boots.timeline()
        people = {person.pseudonym: person.id for person in config.people}
        self._streams = streams(tables, people)
        found = [WAYS[one.procedure].newest_utc_s(tables, one, self._timeline) for one in self._streams]
        end_utc_s = max((utc_s for utc_s in found if utc_s is not None), default=None)
        if end_utc_s is None:
            where, what = config.gateway.state_dir, "holds no data of a sensor yet"
            raise ConfigError("gateway.state_dir", f"{where} {what}", "let the gateway run for some days")
        self._window = Window(end_utc_s - days * DAY_S, end_utc_s)
        self._sensors: list[SensorReplay] = []

    def run(self) -> Iterator[float]:
        """Play it; the share that is done."""
        for number, stream in enumerate(self._streams):
            for share in self._play(stream):
                yield (number + share) / len(self._streams)

    @property
    def result(self) -> Replay:
        begins, ends = map(_text, self._window)
        return Replay(begins, ends, self._sensors, list(LEFT_OUT))

    def _play(self, stream: Stream) -> Iterator[float]:
        way, stage = WAYS[stream.procedure], Stage(self._rules, self._zone)
        begin_utc_s, end_utc_s = self._window
        begins: tuple[float, float] | None = None
        for utc_s in way.play(self._tables, stream, self._timeline, self._window, stage):
            if utc_s is not None and utc_s >= begin_utc_s:
                begins = begins or (stage.course.now_s, utc_s)
                yield min(1.0, (utc_s - begins[1]) / max(1.0, end_utc_s - begins[1]))
        if begins is not None:
            self._sensors.append(self._judged(stream, stage, way, *begins))

    def _judged(
        self, stream: Stream, stage: Stage, way: _Way, begin_s: float, begin_utc_s: float
    ) -> SensorReplay:
        now, *new = stage.players
        heard_s = stage.trace.heard_s(begin_s, way.fresh_s)
        judge = Judge(stage.trace, begin_s, stage.course.now_s, self._rules[0])
        kind = stream.rows[-1].kind

        def raised(rule: str, player: Player) -> Raised | None:
            is_off = rule in player.limits.off
            return None if is_off else judge.raised(rule, player.alarms, heard_s, self._zone)

        rules = [rule for rule, _ in rules_for(kind, (*LEFT_OUT, *way.untold))]
        return SensorReplay(
            person=stream.person,
            sensor=stream.sensor,
            kind=kind,
            begins=_text(begin_utc_s),
            days=round(heard_s / DAY_S, 2),
            alerts=[AlertLine(r, raised(r, now), raised(r, new[0]) if new else None) for r in rules],
            events=[
                EventLine(
                    event=name,
                    limit=float(getattr(self._rules[0], EVENTS[name].limit)),
                    side=EVENTS[name].side,
                    events=len(judge.events[name]),
                    missed_now=judge.missed(name, now.alarms),
                    missed_new=judge.missed(name, new[0].alarms) if new else None,
                )
                for name in way.events
            ],
        )


def _text(utc_s: float) -> str:
    return datetime.fromtimestamp(round(utc_s), UTC).strftime("%Y-%m-%dT%H:%MZ")
