"""Rounds as one HTML page that needs nothing else: no script, no font, no picture from elsewhere.

Contract: it is read by eyes, by screen readers and on paper. Headings are in order, tables name their columns, colour
says nothing that words do not, and both light and dark are fine. Everything from outside is escaped.
"""

from collections.abc import Iterable, Iterator
from html import escape
from typing import Final

from tools.rig.report.plots import plot
from tools.rig.run.rounds import Round
from tools.rig.verdict.evidence import PersonEvidence
from tools.rig.verdict.expectations import RaisedAlert, clock_time
from tools.rig.verdict.outcome import Outcome, wilson

ROWS_MAX: Final = 600
HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: auto; padding: 1rem; }}
table {{ border-collapse: collapse; }} caption {{ text-align: left; }}
th, td {{ border: 1px solid; padding: .2rem .5rem; text-align: left; vertical-align: top; }}
svg {{ width: 100%; }}
svg path {{ fill: none; stroke: currentColor; }} svg text {{ font-size: 12px; fill: currentColor; }}
svg circle {{ fill: currentColor; }} svg .alert line {{ stroke: currentColor; stroke-dasharray: 4 3; }}
</style></head><body><main><h1>{title}</h1>
"""
TAIL: Final = "</main></body></html>\n"


def document(rounds: Iterable[Round]) -> str:
    """The page."""
    shown = list(rounds)
    passed = sum(one.verdict == "passed" for one in shown)
    title = f"vitalgate rig: {passed} of {len(shown)} scenarios passed"
    return HEAD.format(title=escape(title)) + "\n".join([*_summary(shown), *_details(shown)]) + TAIL


def _summary(rounds: list[Round]) -> Iterator[str]:
    yield "<table><caption>All scenarios</caption><thead><tr>"
    columns = (
        "Scenario",
        "Setting",
        "Verdict",
        "Plays passed",
        "True pass rate (95 %)",
        "First seed that failed",
    )
    yield "".join(f'<th scope="col">{name}</th>' for name in columns) + "</tr></thead><tbody>"
    for n, one in enumerate(rounds):
        low, high = wilson(one.passed, len(one.outcomes))
        seed = "none" if one.first_failing_seed is None else str(one.first_failing_seed)
        cells = (
            one.setting,
            one.verdict,
            f"{one.passed} of {len(one.outcomes)}",
            f"{low:.0%} to {high:.0%}",
            seed,
        )
        head = f'<th scope="row"><a href="#s{n}">{escape(one.name)}</a></th>'
        yield f"<tr>{head}" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</tbody></table>"


def _details(rounds: list[Round]) -> Iterator[str]:
    for n, one in enumerate(rounds):
        yield f'<section aria-labelledby="s{n}"><h2 id="s{n}">{escape(one.name)}: {escape(one.verdict)}</h2>'
        if one.about:
            yield f"<p>{escape(one.about)}</p>"
        for outcome in one.outcomes:
            yield f"<h3>Seed {outcome.seed}: {escape(outcome.verdict)}, in {outcome.took_s:g} s</h3>"
            yield from _play(outcome)
        yield "</section>"


def _play(outcome: Outcome) -> Iterator[str]:
    if outcome.findings:
        yield "<ul>"
        yield from (f"<li>{escape(one.blame)}: {escape(one.text)}</li>" for one in outcome.findings)
        yield "</ul>"
    if outcome.evidence is None:
        return
    alerts = outcome.evidence.alerts
    for person in outcome.evidence.people:
        yield from _person(person, alerts)
    if alerts:
        yield "<p>Alerts:</p><ul>"
        yield from (
            f"<li>{clock_time(one.at_s)}: {escape(one.kind)} of {escape(one.sensor)}</li>" for one in alerts
        )
        yield "</ul>"


def _person(person: PersonEvidence, alerts: list[RaisedAlert]) -> Iterator[str]:
    series = (
        ("Glucose", "mg/dL", person.glucose_true, person.glucose_told),
        ("Beats in five minutes", "beats", person.beats_true, person.beats_told),
    )
    for name, unit, true, told in series:
        if true or told:
            title = f"{name} of {person.person}"
            yield f"<figure><figcaption>{escape(title)}: the line is true, the dots are what was told</figcaption>"
            yield plot(title, unit, true, told, alerts)
            yield f"<details><summary>{escape(title)} as a table</summary>"
            yield from _table(title, unit, true, told)
            yield "</details></figure>"


def _table(
    title: str, unit: str, true: list[tuple[float, float]], told: list[tuple[float, float]]
) -> Iterator[str]:
    yield f"<table><caption>{escape(title)} in {escape(unit)}</caption><thead><tr>"
    yield '<th scope="col">Series</th><th scope="col">Time</th><th scope="col">Value</th></tr></thead><tbody>'
    rows = sorted(
        [(at_s, "true", value) for at_s, value in true] + [(at_s, "told", value) for at_s, value in told]
    )
    for at_s, series, value in rows[:ROWS_MAX]:
        yield f'<tr><th scope="row">{series}</th><td>{clock_time(at_s)}</td><td>{value:g}</td></tr>'
    yield "</tbody></table>"
    if len(rows) > ROWS_MAX:
        yield f"<p>And {len(rows) - ROWS_MAX} more, in truth.json.</p>"
