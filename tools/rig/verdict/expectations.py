"""What must be true of a scenario that was played: a function for each expectation's name.

Contract: a function yields a sentence for each failure, which says what was told and what is true; that nothing is told
means that all is as it should be. A failure is the product's, unless a `Finding` says that the scenario asks for what
cannot be. What is told is read upstream, in the status document, in the store's alerts and in the log.

Not here: what is true of a person (`truth`); playing (`run`).
"""

import logging
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, NamedTuple

from edge.local.status import StatusDocument
from tools.rig.home.flow import Times
from tools.rig.home.scene import Scene
from tools.rig.language import status_fields
from tools.rig.language import vocabulary as v
from tools.rig.language.scenario import MIDNIGHT_UTC_S, Scenario
from tools.rig.verdict.blame import Blame, Finding
from tools.rig.verdict.received import Reading, Received, Window, receive
from tools.rig.verdict.truth import Truth, truth_of

# A record is placed to the minute, from a session's begin that is known to the minute.
PLACED_S: Final = 120.0
# Sensors tell tenths.
VALUE_MG_DL: Final = 0.051
# A beat is placed by when its packet came, once a second.
BEAT_S: Final = 1.5
ALERTS_MAX: Final = 1000


class Line(NamedTuple):
    """A line of the log, and when it was written."""

    at_s: float
    level: int
    name: str
    text: str
    has_traceback: bool

    def __str__(self) -> str:
        traceback = ", with a traceback" if self.has_traceback else ""
        return f"at {clock_time(self.at_s)} {logging.getLevelName(self.level)} {self.name}: {self.text}{traceback}"


class RaisedAlert(NamedTuple):
    """An alert in the store, and when it was raised."""

    kind: str
    sensor: str
    at_s: float


@dataclass
class Played:
    """What was seen of a scenario."""

    scenario: Scenario
    world: Scene
    lines: list[Line]
    samples: dict[float | None, StatusDocument | None] = field(default_factory=dict)
    alerts: list[RaisedAlert] = field(default_factory=list)
    times: dict[v.Data, Times] = field(default_factory=dict)


def clock_time(at_s: float) -> str:
    """Of seconds since midnight."""
    days, rest_s = divmod(round(at_s), 86_400)
    time = f"{rest_s // 3600:02d}:{rest_s // 60 % 60:02d}:{rest_s % 60:02d}"
    return f"day {days + 1} {time}" if days else time


def _of_utc(utc_s: float) -> str:
    return clock_time(utc_s - MIDNIGHT_UTC_S)


# Complete


Failure = str | Finding
"""What is wrong; a bare sentence is about the product."""


def complete(played: Played, expected: v.Complete) -> Iterator[Failure]:
    received = receive(played.world.bundles)
    is_any = False
    named = set(expected.sensors) or {sensor.id for sensor in played.scenario.sensors}
    for person in played.scenario.people:
        theirs = [one.id for one in played.scenario.sensors if played.scenario.wearer(one.id) == person.id]
        if named & set(theirs):
            truth = truth_of(played.world, person.id, theirs)
            pseudonym = person.pseudonym or f"patient-{person.id}"
            is_any = is_any or bool(truth.readings or truth.certain)
            yield from (
                f"complete: {person.id}: {what}" for what in _wrong(truth, received, pseudonym, played)
            )
    strangers = received.readings.keys() | received.windows.keys()
    for pseudonym in sorted(
        strangers - {one.pseudonym or f"patient-{one.id}" for one in played.scenario.people}
    ):
        yield f"complete: {pseudonym} lives elsewhere, and something of theirs is upstream"
    if not is_any:
        yield Finding(Blame.SCENARIO, "complete: no sensor has measured anything that could have come")


def _wrong(truth: Truth, received: Received, pseudonym: str, played: Played) -> Iterator[str]:
    readings = received.readings.get(pseudonym, [])
    yield from wrong_readings(truth, readings)
    yield from wrong_beats(truth, received.windows.get(pseudonym, []))
    if not played.world.lives.kills_s:
        for reading in readings:
            if (times := received.times_sent[reading.id]) > 1:
                yield f"the reading of {_of_utc(reading.utc_s)} was sent {times} times"


def wrong_readings(truth: Truth, told: list[Reading]) -> Iterator[str]:
    """Readings that are missing, double, or of nobody's."""
    left = sorted(reading for reading in told if reading.value_mg_dl is not None)
    for utc_s, value, is_due in sorted(
        [(*one, truth.is_due) for one in truth.readings] + [(*one, False) for one in truth.maybe]
    ):
        same = next((one for one in _around(left, utc_s) if _is(one, utc_s, value)), None)
        if same is not None:
            left.remove(same)
            if utc_s > truth.allowed_utc_s:
                yield f"{value:g} mg/dL of {_of_utc(utc_s)} is upstream without consent"
        elif is_due:
            yield f"{value:g} mg/dL of {_of_utc(utc_s)} is not upstream"
    for reading in left:
        known = any(_is(reading, utc_s, value) for utc_s, value in [*truth.readings, *truth.maybe])
        what = "is upstream more than once" if known else "is upstream and was never measured"
        yield f"{reading.value_mg_dl:g} mg/dL of {_of_utc(reading.utc_s)} {what}"


def _around(readings: list[Reading], utc_s: float) -> list[Reading]:
    first = bisect_left(readings, utc_s - PLACED_S, key=attrgetter("utc_s"))
    return readings[first : bisect_right(readings, utc_s + PLACED_S, key=attrgetter("utc_s"))]


def _is(reading: Reading, utc_s: float, value: float) -> bool:
    is_then = abs(reading.utc_s - utc_s) <= PLACED_S
    return is_then and reading.value_mg_dl is not None and abs(reading.value_mg_dl - value) <= VALUE_MG_DL


def wrong_beats(truth: Truth, windows: list[Window]) -> Iterator[str]:
    """Windows that count more or fewer beats, of all straps, than there were; beats outside all windows."""
    due = truth.certain if truth.is_due else []
    counted: Counter[tuple[float, float]] = Counter()
    for window in windows:
        counted[window.start_utc_s, window.end_utc_s] += window.beats
    for (begin, end), beats in sorted(counted.items()):
        least = _between(due, begin + BEAT_S, end - BEAT_S)
        most = _between(truth.beats, begin - BEAT_S, end + BEAT_S)
        if not least <= beats <= most:
            yield f"{beats} beats are told of {_of_utc(begin)}, and {least} to {most} were sent"
        if beats and begin > truth.allowed_utc_s:
            yield f"{beats} beats of {_of_utc(begin)} are upstream without consent"
    told = counted.total()
    if not len(due) <= told <= len(truth.beats):
        yield f"{told} beats are upstream, and {len(due)} to {len(truth.beats)} were sent"


def _between(times: list[float], begin: float, end: float) -> int:
    return max(0, bisect_left(times, end) - bisect_left(times, begin))


# The others


def data(played: Played, expected: v.Data) -> Iterator[str]:
    for sensor, after_s in played.times[expected].items():
        if after_s is None or after_s > expected.within_s:
            when = "none came" if after_s is None else f"they came after {after_s:.1f} s"
            told = clock_time(expected.after_s)
            yield f"data: {sensor}: {when}, expected within {expected.within_s:g} s after {told}"


def status(played: Played, expected: v.Status) -> Iterator[Failure]:
    when = "at the end" if expected.at_s is None else f"at {clock_time(expected.at_s)}"
    document = played.samples[expected.at_s]
    if document is None:
        is_meant = expected.at_s is not None and _is_interrupted(played.scenario, expected.at_s)
        yield Finding(Blame.SCENARIO if is_meant else Blame.PRODUCT, f"status {when}: no gateway runs")
        return
    for path, wanted in expected.fields.items():
        told = status_fields.look_up(document, path)
        if not status_fields.agrees(told, wanted):
            yield f"status {when}: {path} is {_shown(told)}, expected {_shown(wanted)}"


def _is_interrupted(scenario: Scenario, at_s: float) -> bool:
    lives = [one for one in scenario.faults if isinstance(one, v.Interruption)]
    return any(one.at_s <= at_s <= one.end_s for one in lives)


def _shown(value: Any) -> str:
    return "null" if value is None else repr(str(value)) if isinstance(value, str) else repr(value)


def log(played: Played, expected: v.Log) -> Iterator[str]:
    found = [line for line in played.lines if expected.says in line.text]
    if len(found) != expected.times:
        when = ", ".join(clock_time(line.at_s) for line in found[:5]) or "never"
        yield f"log: {len(found)} lines say {expected.says!r} ({when}), expected {expected.times}"


def alert(played: Played, expected: v.Alert) -> Iterator[str]:
    before_s = float("inf") if expected.before_s is None else expected.before_s
    raised = [one for one in played.alerts if (one.kind, one.sensor) == (expected.alert, expected.sensor)]
    if not any(expected.after_s <= one.at_s <= before_s for one in raised):
        when = ", ".join(clock_time(one.at_s) for one in raised) or "never"
        span = f"after {clock_time(expected.after_s)}"
        span += f" and before {clock_time(before_s)}" if expected.before_s is not None else ""
        yield f"alert: {expected.alert} of {expected.sensor} was raised {when}, expected {span}"


def no_alert(played: Played, expected: v.NoAlert) -> Iterator[str]:
    for one in played.alerts:
        if expected.alert in (None, one.kind) and expected.sensor in (None, one.sensor):
            yield f"no alert: {one.kind} of {one.sensor} was raised {clock_time(one.at_s)}"


def nothing_else(played: Played, _: v.NothingElse) -> Iterator[str]:
    expected = played.scenario.expect
    named = [one.says for one in expected if isinstance(one, v.Log)]
    named += [f"{one.sensor}: an alert was raised" for one in expected if isinstance(one, v.Alert)]
    for line in played.lines:
        is_named = any(words in line.text for words in named)
        if line.has_traceback or (line.level >= logging.WARNING and not is_named):
            yield f"nothing else: {line}"


Check = Callable[[Played, Any], Iterator[Failure]]
CHECKS: Final[dict[type[v.Expectation], Check]] = {
    v.Complete: complete,
    v.Data: data,
    v.Status: status,
    v.Log: log,
    v.Alert: alert,
    v.NoAlert: no_alert,
    v.NothingElse: nothing_else,
}


def findings(played: Played) -> list[Finding]:
    """Everything that was expected and is not so."""
    failures = (failure for one in played.scenario.expect for failure in CHECKS[type(one)](played, one))
    return [one if isinstance(one, Finding) else Finding(Blame.PRODUCT, one) for one in failures]
