"""The demo's comparison: figures against plain computation over a day's part with sensors that go out of reach.

Truth is read from the recording's file. What the gateway said live is noted here, each simulated minute, beside what
the demo itself notes.
"""

import csv
import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean

import pytest
from rich.console import Console

from edge.app import Gateway
from edge.now.known import GatewayKnown
from tools.rig.demo import day
from tools.rig.demo.beside import beside
from tools.rig.demo.comparison import Alarms, Comparison, Forecasts, announced, noticed, rhythm, together
from tools.rig.demo.day import Options, Result
from tools.rig.demo.found import Burden, Episode, Found, Stood
from tools.rig.demo.truth import Stretch
from tools.rig.home.recordings import RECORDINGS, DemoRecordings, read_heart

HOURS = 2.0
END_S = 3600.0 * HOURS


def rows(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(RECORDINGS / name, "rt") as file:
        yield from csv.DictReader(file)


def heart_rows() -> list[tuple[float, str]]:
    """From 3.35 h on, where fibrillation comes and goes."""
    found, t_h = [], 0.0
    for row in rows("afdb_08219_rr.csv.gz"):
        t_h += float(row["rr_ms"]) / 3_600_000
        if 3.35 <= t_h < 3.35 + HOURS:
            found.append((float(row["rr_ms"]), row["rhythm"]))
    return found


def glucose_rows() -> list[tuple[float, float]]:
    """Two hours around a low: minutes from their beginning, mg/dL."""
    day = [row for row in rows("azt1d_09_glucose.csv.gz") if row["time"].startswith("2024-01-02")]
    begin = datetime.fromisoformat("2024-01-02 21:55:00")
    timed = [
        ((datetime.fromisoformat(row["time"]) - begin).total_seconds() / 60, float(row["glucose_mg_dl"]))
        for row in day
    ]
    return [(minute, value) for minute, value in timed if 0 <= minute < 60 * HOURS]


@dataclass
class Played:
    """A demo, and what its gateway said each minute."""

    result: Result
    said: list[tuple[float, GatewayKnown]]
    stood: list[tuple[float, set[str]]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    directory = tmp_path_factory.mktemp("demo")
    rr, glucose = directory / "rr.csv", directory / "glucose.csv"
    rr.write_text("rr_ms,rhythm\n" + "".join(f"{rr_ms},{label}\n" for rr_ms, label in heart_rows()))
    times = ((f"2024-01-02 {int(m) // 60:02d}:{int(m) % 60:02d}", value) for m, value in glucose_rows())
    glucose.write_text("time,glucose_mg_dl\n" + "".join(f"{time},{value}\n" for time, value in times))
    said: list[tuple[float, GatewayKnown]] = []
    stood: list[tuple[float, set[str]]] = []

    async def watch(now_s: float, gateway: Gateway) -> None:
        said.append((now_s, gateway.present.known()))
        stood.append((now_s, {alert.rule for alert in gateway.alerts.shown()}))

    worn = DemoRecordings.chosen(rr, glucose)
    options = Options(HOURS, 0.0, 12, directory / "out", 3.0, worn)
    return Played(day.play(options, day.prepare(options), watch), said, stood)


def labelled() -> list[tuple[float, float]]:
    """Runs of intervals with the label, in s from the beginning."""
    found: list[tuple[float, float]] = []
    t_s, before = 0.0, "N"
    for rr_ms, label in heart_rows():
        end_s = t_s + rr_ms / 1000
        if label == "AFIB" != before:
            found.append((t_s, end_s))
        elif label == "AFIB":
            found[-1] = (found[-1][0], end_s)
        t_s, before = end_s, label
    return found


def test_the_truth_of_the_rhythm_is_what_the_recording_says_even_while_nobody_hears_the_strap(
    played: Played,
) -> None:
    af, truth = played.result.compared.af, labelled()
    assert played.result.status.sensors[0].losses
    assert af.labelled is not None
    long = [(begin_s, end_s) for begin_s, end_s in truth if end_s - begin_s >= 30]
    assert len(long) >= 8
    assert [(one.begin_s, one.end_s) for one in af.labelled] == [pytest.approx(one, abs=0.01) for one in long]
    assert af.short == len(truth) - len(long)
    assert af.labelled_s == pytest.approx(sum(end_s - begin_s for begin_s, end_s in truth), abs=0.1)


def test_episodes_are_those_that_the_gateway_told_of_while_they_went_on(played: Played) -> None:
    told: dict[float, tuple[float, float]] = {}
    for now_s, known in played.said:
        strap = known.sensors[0]
        if strap.rhythm is not None and strap.rhythm.af is not None:
            begin_s = round(now_s - strap.rhythm.af.begin_age_s, 2)
            first_s, _ = told.get(begin_s, (now_s, 0.0))
            told[begin_s] = first_s, now_s - strap.rhythm.af.end_age_s
    af = played.result.compared.af
    assert [(round(one.begin_s, 2), one.known_s, one.end_s) for one in af.found] == [
        (begin_s, first_s, pytest.approx(end_s)) for begin_s, (first_s, end_s) in sorted(told.items())
    ]
    assert any(one.known_s < one.end_s for one in af.found)
    truth = labelled()
    both_s = sum(
        max(0.0, min(one.end_s, end_s) - max(one.begin_s, begin_s))
        for one in af.found
        for begin_s, end_s in truth
    )
    assert af.both_s == pytest.approx(both_s, abs=0.1)
    assert 0.7 * af.labelled_s < both_s <= af.found_s


def test_the_burden_is_the_last_that_the_gateway_said(played: Played) -> None:
    rhythms = [known.sensors[0].rhythm for _, known in played.said]
    said = [one.af_burden_pct for one in rhythms if one is not None and one.af_burden_pct is not None]
    af = played.result.compared.af
    assert af.burden is not None
    assert af.burden.af_pct == said[-1]
    in_af_s = sum(min(end_s, af.burden.at_s) - begin_s for begin_s, end_s in labelled())
    assert af.labelled_pct == pytest.approx(100 * in_af_s / af.burden.at_s, abs=0.1)


def test_forecasts_are_judged_as_they_were_made_by_what_the_recording_then_did(played: Played) -> None:
    came = {60.0 * minute: value for minute, value in glucose_rows()}
    made: dict[float, GatewayKnown] = {}
    for now_s, known in played.said:
        if (newest := known.sensors[1].values.get("glucose")) is not None:
            made.setdefault(60.0 * round((now_s - newest.age_s) / 60), known)
    for minutes, row in zip((30, 60), played.result.compared.forecasts, strict=True):
        errors, unchanged, inside = [], [], []
        for taken_s, known in made.items():
            glucose = known.sensors[1].glucose
            assert glucose is not None
            said = glucose.in_30_min if minutes == 30 else glucose.in_60_min
            later = min(came, key=lambda t_s: abs(t_s - taken_s - 60 * minutes))
            if said is None or abs(later - taken_s - 60 * minutes) > 150:
                continue
            errors.append(abs(said.glucose_mg_dl - came[later]))
            unchanged.append(abs(came[min(came, key=lambda t_s: abs(t_s - taken_s))] - came[later]))
            inside.append(said.low_mg_dl <= came[later] <= said.high_mg_dl)
        assert row.compared == len(errors) > 5
        assert row.error_mg_dl == pytest.approx(fmean(errors))
        assert row.unchanged_mg_dl == pytest.approx(fmean(unchanged))
        assert row.inside_pct == pytest.approx(100 * fmean(inside))


def test_readings_that_were_fetched_later_have_no_forecast(played: Played) -> None:
    stored = sum(played.result.status.sensors[1].session.readings.values())  # type: ignore[union-attr]
    assert stored == len(glucose_rows())
    assert 0 < played.result.compared.forecasts[0].made < stored


def test_the_low_of_the_recording_is_beside_its_alerts(played: Played) -> None:
    low_s = [60 * minute for minute, value in glucose_rows() if value < 70]
    alarms = {one.rule: one for one in played.result.compared.alarms}
    low = alarms["glucose_low"]
    assert low.events == [Stretch(low_s[0], low_s[-1])]
    assert (low.noticed, low.in_vain) == (1, 0)
    ahead = alarms["glucose_low_ahead"]
    assert ahead.leads_s == tuple(low_s[0] - at_s for at_s in ahead.raised[:1])
    assert alarms["irregular_rhythm"].events == []
    assert all(0 <= at_s < END_S for one in alarms.values() for at_s in one.raised)


def test_alerts_stood_when_the_gateway_said_that_they_stand(played: Played) -> None:
    alerts = played.result.alerts
    edges_s = [edge_s for one in alerts for edge_s in (one.begin_s, one.end_s) if edge_s is not None]
    asked = 0
    for now_s, rules in played.stood:
        if now_s > END_S or any(abs(now_s - edge_s) < 2.0 for edge_s in edges_s):
            continue
        asked += 1
        assert rules == {
            one.rule for one in alerts if one.begin_s <= now_s and (one.end_s is None or now_s < one.end_s)
        }
    assert asked > 60
    assert any(one.end_s is not None for one in alerts)


# What is missed, and what never came


def episode(begin_s: float, end_s: float) -> Episode:
    return Episode(begin_s, end_s, end_s + 90.0)


def test_what_was_missed_and_what_nobody_labelled_is_said() -> None:
    labels = [Stretch(100.0, 200.0), Stretch(300.0, 320.0), Stretch(1000.0, 1100.0)]
    found = Found(af=[episode(150.0, 250.0), episode(2000.0, 2100.0), episode(310.0, 350.0)])
    found.burden = Burden(2200.0, 11.0, 2200.0)
    found.af.sort(key=lambda one: one.begin_s)
    af = rhythm(found, labels)
    assert af.missed == [labels[2]]
    assert af.unlabelled == [found.af[2]]
    assert (af.short, af.labelled_s, af.found_s, af.both_s) == (1, 220.0, 240.0, 60.0)
    assert af.labelled_pct == pytest.approx(10.0)
    assert [(len(one.labelled), len(one.found)) for one in together(af)] == [(1, 1), (0, 1), (1, 0), (0, 1)]
    lines = [part for part in beside(Comparison(af, [], [])) if isinstance(part, str)]
    assert lines[:2] == [
        "AF: 1 of 2 labelled stretches of 30 s or more found, 1 missed.",
        "AF: 1 of 3 episodes found have no label.",
    ]


def test_without_labels_nothing_is_said_to_be_missed_or_wrong() -> None:
    af = rhythm(Found(af=[episode(150.0, 250.0)]), None)
    assert (af.labelled, af.labelled_pct) == (None, None)
    (line,) = [part for part in beside(Comparison(af, [], [])) if isinstance(part, str)]
    assert line == "AF: 1 episodes found. Nobody labelled the rhythm of this recording."


def test_an_alert_ahead_is_right_if_the_next_event_began_within_an_hour() -> None:
    events = [Stretch(4000.0, 5000.0), Stretch(20_000.0, 21_000.0)]
    raised = [Stood("glucose_low_ahead", at_s, None) for at_s in (1000.0, 3000.0, 4500.0, 30_000.0)]
    said = announced("glucose_low_ahead", raised, events, until_s=31_000.0)
    # Of the last one nobody knows yet; the third came in an event, and none followed.
    assert said == Alarms(
        "glucose_low_ahead", [1000.0, 3000.0, 4500.0, 30_000.0], events, 1, (3000.0,), in_vain=1
    )


def test_an_alert_that_stands_covers_each_event_in_its_time() -> None:
    events = [Stretch(1000.0, 2000.0), Stretch(3000.0, 3500.0), Stretch(9000.0, 9100.0)]
    alerts = [Stood("glucose_low", 1060.0, 3600.0), Stood("glucose_low", 5000.0, 5100.0)]
    said = noticed("glucose_low", alerts, events)
    assert (said.noticed, said.in_vain) == (2, 1)


def test_labels_belong_to_the_intervals_that_were_sent(tmp_path: Path) -> None:
    file = tmp_path / "rr.csv"
    file.write_text("time,rr_ms,rhythm\n1,800,N\n\n2,,AFIB\n3,700,AFIB\n4,750,N\n")
    rr_ms, is_af = read_heart(file)
    assert rr_ms.tolist() == [800, 700, 750]
    assert is_af is not None
    assert is_af.tolist() == [False, True, False]
    file.write_text("rr_ms\n800\n")
    assert read_heart(file).is_af is None


def test_the_tables_say_what_was_missed_and_what_never_came() -> None:
    af = rhythm(Found(af=[episode(150.0, 250.0)]), [Stretch(1000.0, 1100.0)])
    alarms = [
        Alarms("irregular_rhythm", [], []),
        Alarms("pause", [], []),
        Alarms("glucose_low", [5000.0], [Stretch(4000.0, 6000.0), Stretch(9000.0, 9000.0)], 1),
        Alarms("glucose_low_ahead", [3000.0, 8000.0], [Stretch(4000.0, 6000.0)], 1, (1000.0,), 1),
    ]
    console = Console(width=80, file=io.StringIO(), record=True, _environ={})
    for part in beside(Comparison(af, [Forecasts(30, 12, 0, None, None, None)], alarms)):
        console.print(part)
    shown = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert max(map(len, shown)) <= 80
    for line in (
        "not labelled - day 1 00:02 1.7 3.2 min",
        "day 1 00:16 1.7 missed - -",
        "30 min 12 0 - - -",
        "0 irregular rhythm no labelled stretch is long enough",
        "1 glucose low 1 of 2 noticed",
        "2 glucose low ahead 1 of 1 announced, 17 min before; 1 did not come",
    ):
        assert line in shown
    assert not any("pause" in line for line in shown)
