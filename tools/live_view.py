"""The live view of a gateway: what is known now, on 80 columns and 24 lines, calm unless there is something to do.

Contract: `screen` makes lines that are never wider than the terminal, with every column always in its place; nothing
is said by colour alone. `sentences` says the same for screen readers, a sentence for each fact. Neither asks a gateway
nor knows how often it is called; what came before is in a `Trail`.

    a sensor   | first line: name, wearer, newest value, trend, age, state of the link
               | second line: the last hours as a sparkline, and what is expected or how the rhythm is
    an alert   | one line in the colour of alarm: what, on whom, the value of now, for how long

Only alerts, and the value that one is about, have a background: red if urgent, else yellow, which are the colours of
high and medium priority in IEC 60601-1-8. A value out of range is no alarm.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from rich.text import Text

from dsp.glucose.arrows import arrow
from edge.local.status import AlertStatus, SensorStatus, StatusDocument
from edge.now.known import GlucoseKnown, RhythmKnown, SensorKnown
from tools.status_view import age_text, alert_value, number_text

WIDTH_MIN: Final = 60
SPARK_CELLS: Final = 24
SPARK: Final = "▁▂▃▄▅▆▇█"
ARROWS: Final = {
    "double_up": "⇈",
    "up": "↑",
    "forty_five_up": "↗",
    "flat": "→",
    "forty_five_down": "↘",
    "down": "↓",
    "double_down": "⇊",
}


class Band(NamedTuple):
    """How a measurement is drawn: from where to where the sparkline reaches, and which values are in range.

    A screen reader is told each value, or only whether it is in range if values come too fast.
    """

    least: float
    most: float
    low: float
    high: float
    cell_s: float
    is_each_told: bool

    def side(self, value: float) -> str:
        """Where it lies to the range."""
        return "below" if value < self.low else "above" if value > self.high else "in range"


BANDS: Final[Mapping[str, Band]] = {
    "glucose": Band(40.0, 300.0, 70.0, 180.0, 450.0, is_each_told=True),  # range: Battelino et al. 2019
    "heart_rate": Band(40.0, 180.0, 40.0, 130.0, 60.0, is_each_told=False),
}
ALARM, WARNING = "bold white on red", "bold black on yellow"
GENTLE, CALM, FAINT = "yellow", "green", "dim"


class Trail:
    """The values of the last while, a cell for each stretch of time: the newest value that was seen in it."""

    def __init__(self) -> None:
        self._cells: dict[str, deque[float | None]] = {}
        self._opened_s: dict[str, float] = {}

    def add(self, now_s: float, sensor: SensorStatus) -> None:
        """A sensor as it is at this moment, on any axis of time that goes forward."""
        value = next((value for value in sensor.values if value.measurement in BANDS), None)
        if value is None:
            return
        cell_s = BANDS[value.measurement].cell_s
        cells = self._cells.setdefault(sensor.id, deque(maxlen=SPARK_CELLS))
        opened_s = self._opened_s.setdefault(sensor.id, now_s - cell_s)
        passed = min(int((now_s - opened_s) / cell_s), SPARK_CELLS)
        if passed > 0:
            cells.extend([None] * passed)
            self._opened_s[sensor.id] = now_s if passed == SPARK_CELLS else opened_s + passed * cell_s
        if value.counts and value.value is not None and value.age_s is not None and value.age_s < cell_s:
            cells[-1] = value.value

    def values(self, sensor_id: str) -> list[float | None]:
        """Oldest first, as many as fit."""
        cells = list(self._cells.get(sensor_id, ()))
        return [None] * (SPARK_CELLS - len(cells)) + cells


def screen(said: StatusDocument, trail: Trail, *, clock: str, width: int = 80, height: int = 24) -> Text:
    """The whole view, without an end of line after the last line."""
    width = max(width, WIDTH_MIN)
    top = [_headline(said, clock, width), *_alerts(said, width)]
    bottom = [_upstream(said, width), *_troubles(said, width)]
    room = height - len(top) - len(bottom)
    blocks = [_sensor(said, sensor, trail) for sensor in said.sensors]
    if sum(map(len, blocks)) > room:
        blocks = [block[:1] for block in blocks]
    lines = [line for block in blocks for line in block]
    if len(lines) > room:
        hidden = len(lines) - max(0, room - 1)
        lines = [*lines[: max(0, room - 1)], Text(f"and {hidden} more sensors", FAINT)]
    return Text("\n").join(_cut(line, width) for line in [*top, *lines, *bottom][:height])


def _headline(said: StatusDocument, clock: str, width: int) -> Text:
    state = "running" if said.running else "stopped"
    left = f"{said.gateway}  {state}" + ("  simulated" if said.simulated else "")
    return Text.assemble((f"{left[: width - len(clock) - 1]:<{width - len(clock)}}", "bold"), (clock, "bold"))


def _alerts(said: StatusDocument, width: int) -> list[Text]:
    if not said.alerts:
        return [Text(f"{'no alerts':<{width}}", CALM)]
    return [
        Text(f"{'! ' + alert_sentence(alert, said):<{width}}", _alarm(alert))
        for alert in sorted(said.alerts, key=lambda alert: not alert.urgent)
    ]


def _alarm(alert: AlertStatus) -> str:
    return ALARM if alert.urgent else WARNING


def alert_sentence(alert: AlertStatus, said: StatusDocument) -> str:
    """What stands, on whom, what the value is now, and for how long."""
    known = {sensor.id: sensor for sensor in said.sensors}.get(alert.sensor)
    who = f" on {alert.sensor}" + (f" of {known.person}" if known else "")
    lasts = "" if alert.age_s is None else f", for {age_text(alert.age_s)}"
    value = "" if alert.kind.endswith("_silence") else alert_value(alert)
    is_quiet = alert.acknowledged or alert.snoozed_left_s is not None
    now = f": {value}" if value else ""
    return f"{alert.kind.replace('_', ' ')}{who}{now}{lasts}" + (", noted" if is_quiet else "")


def _sensor(said: StatusDocument, sensor: SensorStatus, trail: Trail) -> list[Text]:
    known = known_of(said, sensor.id)
    rate = known.glucose.rate_mg_dl_min if known and known.glucose else None
    age_s = sensor.values[0].age_s if sensor.values else None
    first = Text.assemble(
        (f"{sensor.id[:10]:<11}", "bold"),
        f"{sensor.person[:10]:<11}",
        (f"{_value(sensor):>13}", _colour(sensor, said.alerts)),
        f" {_arrow(rate)} ",
        (f"{'' if rate is None else f'{rate:+.1f}/min':<10}", FAINT),
        f"{age_text(age_s):>8}   ",
        (f"{sensor.phase:<11}", "" if sensor.phase == "streaming" else GENTLE),
        f"{'' if sensor.battery_pct is None else f'{sensor.battery_pct} %':>6}",
    )
    return [first, Text.assemble("  ", *_spark(sensor, trail), f"  {outlook(known)}")]


def known_of(said: StatusDocument, sensor_id: str) -> SensorKnown | None:
    """What a running gateway knows of a sensor."""
    sensors = said.known.sensors if said.known is not None else ()
    return next((sensor for sensor in sensors if sensor.id == sensor_id), None)


def _value(sensor: SensorStatus) -> str:
    value = sensor.values[0] if sensor.values else None
    if value is None or (value.value is None and value.beyond is None):
        return "-"
    text = f"{value.beyond} the scale" if value.value is None else number_text(value.value, value.unit)
    return text if value.counts else f"({text})"


def _colour(sensor: SensorStatus, alerts: Iterable[AlertStatus]) -> str:
    """That of the worst alert about the value, or whether it is in range."""
    value = sensor.values[0] if sensor.values else None
    about = [
        alert
        for alert in alerts
        if value and alert.sensor == sensor.id and alert.kind.startswith(value.measurement)
    ]
    if about:
        return _alarm(max(about, key=lambda alert: alert.urgent))
    band = BANDS.get(value.measurement) if value else None
    if value is None or band is None or value.value is None or not value.counts:
        return FAINT
    return CALM if band.side(value.value) == "in range" else GENTLE


def _arrow(rate_mg_dl_min: float | None) -> str:
    name = None if rate_mg_dl_min is None else arrow(rate_mg_dl_min)
    return ARROWS[name] if name else " "


def _spark(sensor: SensorStatus, trail: Trail) -> Iterator[tuple[str, str]]:
    """A cell a value. What is out of range has a mark of its own, not a colour alone."""
    band = next((BANDS[value.measurement] for value in sensor.values if value.measurement in BANDS), None)
    for value in trail.values(sensor.id):
        if value is None or band is None:
            yield "·", FAINT
        elif value < band.low:
            yield "v", GENTLE
        elif value > band.high:
            yield "^", GENTLE
        else:
            step = (value - band.least) / (band.most - band.least) * len(SPARK)
            yield SPARK[min(len(SPARK) - 1, max(0, int(step)))], CALM


def outlook(known: SensorKnown | None) -> str:
    """What the glucose will be, or how the rhythm is; warming up and not worn come first."""
    if known is None:
        return ""
    if known.warm_up_left_s:
        return f"warms up for {age_text(known.warm_up_left_s)}"
    if known.worn is False:
        return "is not worn"
    if known.glucose is not None:
        return _forecast(known.glucose)
    return _rhythm(known.rhythm) if known.rhythm is not None else ""


def _forecast(glucose: GlucoseKnown) -> str:
    parts = [
        f"in {minutes} min {ahead.glucose_mg_dl:.0f} ({ahead.low_mg_dl:.0f}-{ahead.high_mg_dl:.0f})"
        for minutes, ahead in ((30, glucose.in_30_min), (60, glucose.in_60_min))
        if ahead is not None
    ]
    return ", ".join([*parts, *(["perhaps lain on"] if glucose.is_compressed else [])])


def _rhythm(rhythm: RhythmKnown) -> str:
    if rhythm.af is not None and not rhythm.af.is_over:
        now = f"irregular for {age_text(rhythm.af.begin_age_s)}"
    else:
        now = "rhythm unknown" if rhythm.af_probability_sure is None else "no irregular rhythm"
    if rhythm.af_burden_pct is None or math.isnan(rhythm.af_burden_pct):
        return now
    return f"{now}; AF {rhythm.af_burden_pct:.1f} % of {age_text(rhythm.observed_s)}"


def _upstream(said: StatusDocument, width: int) -> Text:
    sent = sum(route.items or 0 for route in said.deliveries)
    waiting = sum((route.pending or 0) + (route.inflight or 0) for route in said.deliveries)
    parked = sum(route.parked or 0 for route in said.deliveries)
    return Text(f"{f'upstream: {sent} sent, {waiting} waiting, {parked} refused':<{width}}", FAINT)


def _troubles(said: StatusDocument, width: int) -> list[Text]:
    return [Text(f"{line:<{width}}", GENTLE) for line in troubles(said)]


def troubles(said: StatusDocument) -> Iterator[str]:
    """What does not work, and what helps."""
    for sensor in said.sensors:
        if sensor.trouble is not None:
            yield f"{sensor.id}: {sensor.trouble.cause}; {sensor.trouble.remedy}"
    if said.store.trouble is not None:
        yield f"nothing can be stored: {said.store.trouble}"
    if not said.clock.trusted:
        yield "nothing vouches for this machine's clock"
    for route in said.deliveries:
        if route.trouble is not None:
            yield f"upstream by {route.route}: {route.trouble}"


class Sentence(NamedTuple):
    """A sentence for a screen reader, and what of it is worth saying again when it changes: an age is not."""

    text: str
    gist: str


def sentences(said: StatusDocument) -> list[Sentence]:
    """The view for a screen reader: alerts first."""
    found = []
    for alert in said.alerts:
        text = f"Alert: {alert_sentence(alert, said)}."
        found.append(Sentence(text, f"{alert.kind} {alert.sensor}"))
    for sensor in said.sensors:
        value = _value(sensor) if sensor.values else "no value yet"
        age_s = sensor.values[0].age_s if sensor.values else None
        age = "" if age_s is None else f", {age_text(age_s)} ago"
        gist = f"{sensor.id} {_news_of(sensor)} {sensor.phase}"
        found.append(Sentence(f"{sensor.id} of {sensor.person}: {value}{age}, {sensor.phase}.", gist))
        if ahead := outlook(known_of(said, sensor.id)):
            found.append(Sentence(f"{sensor.id}: {ahead}.", f"{sensor.id} {_without_ages(ahead)}"))
    found += [Sentence(f"{line}.", line) for line in troubles(said)]
    return found if said.alerts else [Sentence("No alerts.", "no alerts"), *found]


def _news_of(sensor: SensorStatus) -> str:
    """What of the newest value is worth saying again."""
    value = sensor.values[0] if sensor.values else None
    band = BANDS.get(value.measurement) if value else None
    if value is None or value.value is None or band is None or band.is_each_told:
        return _value(sensor)
    return f"{band.side(value.value)} {value.counts}"


def _without_ages(ahead: str) -> str:
    """Of an outlook, what is worth saying again."""
    return ahead.partition(";")[0].partition(" for ")[0]


def news(before: Iterable[Sentence], now: Iterable[Sentence]) -> list[str]:
    """What has changed since the last time."""
    told = {sentence.gist for sentence in before}
    return [sentence.text for sentence in now if sentence.gist not in told]


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line
