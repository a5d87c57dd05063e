"""The live view: columns that stay where they are, nothing said by colour alone, alerts with the value of now."""

import io
import re
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console
from test_tools_status_view import DOCUMENT, SENSOR

from edge.local.status import AlertStatus, SensorStatus, StatusDocument, Value
from edge.now.known import (
    EpisodeKnown,
    Forecast,
    GatewayKnown,
    GlucoseKnown,
    Rest,
    RhythmKnown,
    SensorKnown,
)
from tools.live_view import SPARK_CELLS, Trail, news, screen, sentences

ESCAPE = "\x1b["


def sensor(name: str, measurement: str, value: float | None, **more: Any) -> SensorStatus:
    unit = "mg/dL" if measurement == "glucose" else "/min"
    values = [Value(measurement, unit, value, None, 5.0, counts=True, not_counted=None)]
    plain = {"trouble": None, "phase": "streaming", "session": None}
    return structs.replace(SENSOR, **{"id": name, "values": values, **plain, **more})


def known(name: str, **more: Any) -> SensorKnown:
    return SensorKnown(
        id=name,
        kind="cgm",
        person="anna",
        phase="streaming",
        trouble=None,
        heard_age_s=5.0,
        worn=None,
        worn_age_s=None,
        warm_up_left_s=None,
        wear_left_s=None,
        battery_pct=80,
        rest=Rest.UNKNOWN,
        values={},
        **more,
    )


def alert(kind: str, sensor: str, value: float, age_s: float) -> AlertStatus:
    """An alert with the value that it has now."""
    return AlertStatus(
        kind=kind,
        sensor=sensor,
        person="anna",
        value=value,
        beyond=None,
        unit="mg/dL",
        reason=None,
        age_s=age_s,
        urgent="urgent" in kind,
        tier="reminder",
        told=True,
        acknowledged=False,
        snoozed_left_s=None,
    )


def glucose_known(rate: float) -> GlucoseKnown:
    ahead = Forecast(160.0, 135.0, 185.0)
    return GlucoseKnown(
        5.0, 142.0, rate, ahead, ahead, Forecast(171.0, 120.0, 222.0), False, False, False, None, 9
    )


def document(*sensors: SensorStatus, knows: tuple[SensorKnown, ...] = (), **more: Any) -> StatusDocument:
    gateway = GatewayKnown(None, 0.0, None, 0.0, (), {}, knows)
    return structs.replace(DOCUMENT, **{"sensors": list(sensors), "alerts": [], "known": gateway, **more})


def drawn(
    said: StatusDocument, trail: Trail | None = None, *, colour: bool = False, **size: int
) -> list[str]:
    output = io.StringIO()
    terminal = Console(
        file=output, width=size.get("width", 80), force_terminal=colour, no_color=not colour, _environ={}
    )
    terminal.print(screen(said, trail or Trail(), clock="14:05", **size))
    return output.getvalue().splitlines()


@pytest.mark.parametrize("value", [4.0, 54.0, 142.0, 1000.0, None])
@pytest.mark.parametrize("rate", [-12.3, 0.0, 3.4])
def test_every_column_stays_in_its_place(value: float | None, rate: float) -> None:
    usual = document(sensor("cgm", "glucose", 100.0), knows=(known("cgm", glucose=glucose_known(0.1)),))
    other = document(sensor("cgm", "glucose", value), knows=(known("cgm", glucose=glucose_known(rate)),))
    lines = [next(line for line in drawn(said) if "streaming" in line) for said in (usual, other)]
    assert {line.index("streaming") for line in lines} == {lines[0].index("streaming")}
    assert {line.index("anna") for line in lines} == {lines[0].index("anna")}
    assert {line.index("80 %") for line in lines} == {lines[0].index("80 %")}


@pytest.mark.parametrize("width", [60, 80, 132])
@pytest.mark.parametrize("height", [8, 24])
def test_it_fits_the_terminal_whatever_there_is_to_say(width: int, height: int) -> None:
    many = [sensor(f"sensor-{n}", "heart_rate", 60.0 + n) for n in range(16)]
    troubled = structs.replace(SENSOR, id="far-away")
    alerts = [alert("glucose_urgent_low", "sensor-1", 50.0, 60.0)]
    lines = drawn(document(*many, troubled, alerts=alerts), width=width, height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("more sensors" in line for line in lines) is (height == 8)
    assert any(line.startswith("! glucose urgent low on sensor-1") for line in lines)


def test_an_alert_shows_the_value_of_now_and_not_that_which_raised_it() -> None:
    said = document(sensor("cgm", "glucose", 49.0), alerts=[alert("glucose_low", "cgm", 49.0, 720.0)])
    (line,) = [line for line in drawn(said) if line.startswith("! ")]
    assert line.rstrip() == "! glucose low on cgm of anna: now 49 mg/dL, for 12 min"


def test_nothing_is_said_by_colour_alone() -> None:
    trail = Trail()
    for minute, value in enumerate((100.0, 50.0, 240.0)):
        trail.add(450.0 * minute, sensor("cgm", "glucose", value))
    said = document(sensor("cgm", "glucose", 240.0), alerts=[alert("glucose_high", "cgm", 251.0, 60.0)])
    plain = drawn(said, trail)
    assert not any(ESCAPE in line for line in plain)
    spark = next(line for line in plain if "·" in line)
    assert re.search(r"[▁-█]v\^", spark)
    assert any(ESCAPE in line for line in drawn(said, trail, colour=True))


def test_what_is_expected_and_how_the_rhythm_is_are_said() -> None:
    rhythm = RhythmKnown(
        1.0, 0.9, 0.9, EpisodeKnown("af", 2400.0, 1.0, 92.0, False), 2400.0, 4.25, 7200.0, 1.0, None
    )
    said = document(
        sensor("cgm", "glucose", 142.0),
        sensor("strap", "heart_rate", 92.0),
        knows=(known("cgm", glucose=glucose_known(1.2)), known("strap", rhythm=rhythm)),
    )
    text = "\n".join(drawn(said))
    assert "142 mg/dL ↗ +1.2/min" in text
    assert "in 30 min 160 (135-185), in 60 min 171 (120-222)" in text
    assert "irregular for 40 min; AF 4.2 % of 2 h" in text


def test_a_stretch_without_values_is_empty_and_an_old_value_is_not_drawn_again() -> None:
    trail = Trail()
    trail.add(0.0, sensor("cgm", "glucose", 100.0))
    for moment_s in (900.0, 1350.0):
        stale = [Value("glucose", "mg/dL", 100.0, None, 900.0, counts=True, not_counted=None)]
        trail.add(moment_s, sensor("cgm", "glucose", None, values=stale))
    assert trail.values("cgm") == [None] * (SPARK_CELLS - 4) + [100.0, None, None, None]
    trail.add(1e6, sensor("cgm", "glucose", 90.0))
    assert trail.values("cgm") == [None] * (SPARK_CELLS - 1) + [90.0]


def test_a_screen_reader_hears_only_what_changed() -> None:
    first = document(sensor("cgm", "glucose", 100.0))
    older = structs.replace(first.sensors[0].values[0], age_s=120.0)
    same = document(structs.replace(first.sensors[0], values=[older]))
    alarmed = document(sensor("cgm", "glucose", 49.0), alerts=[alert("glucose_low", "cgm", 49.0, 60.0)])
    assert news([], sentences(first))[:2] == ["No alerts.", "cgm of anna: 100 mg/dL, 5 s ago, streaming."]
    assert news(sentences(first), sentences(same)) == []
    nothing = document(structs.replace(first.sensors[0], values=[]))
    assert news([], sentences(nothing))[1] == "cgm of anna: no value yet, streaming."
    assert news(sentences(same), sentences(alarmed)) == [
        "Alert: glucose low on cgm of anna: now 49 mg/dL, for 60 s.",
        "cgm of anna: 49 mg/dL, 5 s ago, streaming.",
    ]


def test_what_an_alert_expects_is_not_told_as_the_value_of_now() -> None:
    alerts = [
        alert("glucose_low_ahead", "cgm", 59.68, 900.0),
        alert("glucose_urgent_low_soon", "cgm", 51.2, 60.0),
    ]
    lines = drawn(document(sensor("cgm", "glucose", 80.0), alerts=alerts))
    assert lines[1].rstrip() == "! glucose urgent low soon on cgm of anna: expected 51 mg/dL, for 60 s"
    assert lines[2].rstrip() == "! glucose low ahead on cgm of anna: expected 60 mg/dL, for 15 min"


def styles(said: StatusDocument, trail: Trail | None = None) -> dict[str, str]:
    """What has a background, in words and by which style."""
    shown = screen(said, trail or Trail(), clock="14:05")
    return {
        shown.plain[span.start : span.end].strip(): str(span.style)
        for span in shown.spans
        if " on " in str(span.style)
    }


def test_a_value_out_of_range_without_an_alert_is_no_alarm() -> None:
    trail, high = Trail(), sensor("cgm", "glucose", 220.0)
    trail.add(0.0, high)
    assert styles(document(high), trail) == {}


@pytest.mark.parametrize(
    ("kind", "style"),
    [("glucose_urgent_low", "bold white on red"), ("glucose_low", "bold black on yellow")],
)
def test_an_alert_and_the_value_that_it_is_about_stand_out(kind: str, style: str) -> None:
    said = document(
        sensor("cgm", "glucose", 49.0),
        sensor("strap", "heart_rate", 60.0),
        alerts=[alert(kind, "cgm", 49.0, 60.0)],
    )
    told = f"! {kind.replace('_', ' ')} on cgm of anna: now 49 mg/dL, for 60 s"
    assert styles(said) == {told: style, "49 mg/dL": style}


def test_of_two_alerts_about_a_value_the_urgent_one_colours_it() -> None:
    alerts = [alert("glucose_low", "cgm", 49.0, 60.0), alert("glucose_urgent_low", "cgm", 49.0, 60.0)]
    assert styles(document(sensor("cgm", "glucose", 49.0), alerts=alerts))["49 mg/dL"] == "bold white on red"


def test_a_screen_reader_is_not_told_of_each_heartbeat_but_when_the_rhythm_becomes_irregular() -> None:
    def told(bpm: float, *, af: EpisodeKnown | None) -> StatusDocument:
        rhythm = RhythmKnown(1.0, 0.1, 0.1, af, 0.0, 4.25, 7200.0, 1.0, None)
        return document(sensor("strap", "heart_rate", bpm), knows=(known("strap", rhythm=rhythm),))

    calm, faster = told(72.0, af=None), told(75.0, af=None)
    irregular = told(75.0, af=EpisodeKnown("af", 150.0, 1.0, 92.0, False))
    longer = told(76.0, af=EpisodeKnown("af", 210.0, 1.0, 92.0, False))
    assert news(sentences(calm), sentences(faster)) == []
    assert news(sentences(faster), sentences(irregular)) == ["strap: irregular for 2 min; AF 4.2 % of 2 h."]
    assert news(sentences(irregular), sentences(longer)) == []
    assert news(sentences(faster), sentences(told(140.0, af=None))) == [
        "strap of anna: 140 bpm, 5 s ago, streaming."
    ]
