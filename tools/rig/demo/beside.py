"""The demo's comparison as a person reads it: what was found beside what was true, on 80 columns."""

from collections.abc import Iterable, Iterator
from typing import Final

from rich import box
from rich.table import Table

from tools.rig.demo.comparison import AHEAD, Af, Alarms, Comparison, Forecasts, Together, together

# Of the stretches of atrial fibrillation those that last longest have a row.
SHOWN: Final = 12
HOUR_S: Final = 3600
# An alert that people miss where they see episodes: it waits for a long one.
RHYTHM: Final = "irregular_rhythm"


def clock_time(since_midnight_s: float) -> str:
    day, rest_s = divmod(int(since_midnight_s), 24 * HOUR_S)
    return f"day {day + 1} {rest_s // HOUR_S:02d}:{rest_s % HOUR_S // 60:02d}"


def narrow_table(title: str, names: Iterable[str], texts: int = 0) -> Table:
    """Numbers, right-aligned, narrow enough for a terminal of 80 columns; the last `texts` columns are words."""
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    names = list(names)
    for k, name in enumerate(names):
        is_text = k >= len(names) - texts
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    return table


def beside(compared: Comparison) -> Iterator[Table | str]:
    """What there is to compare."""
    if compared.af.found or compared.af.labelled:
        yield _rhythm_table(compared.af)
        yield from _rhythm_lines(compared.af)
    if compared.forecasts:
        yield _forecast_table(compared.forecasts)
    alarms = [one for one in compared.alarms if one.raised or one.events or one.rule == RHYTHM]
    if alarms:
        yield _alarm_table(alarms)


def _rhythm_table(af: Af) -> Table:
    groups = together(af)
    longest = sorted(groups, key=lambda group: -group.lasted_s)[:SHOWN]
    which = "" if len(longest) == len(groups) else f" ({SHOWN} of {len(groups)})"
    names = ("labelled from", "min", "found from", "min", "known after")
    table = narrow_table(f"Atrial fibrillation: labelled, and found live{which}", names)
    for group in sorted(longest, key=lambda group: group.begin_s):
        table.add_row(*_labelled(group, is_known=af.labelled is not None), *_found(group))
    return table


def _labelled(group: Together, *, is_known: bool) -> tuple[str, str]:
    if not group.labelled:
        return "not labelled" if is_known else "nobody knows", "-"
    minutes = sum(stretch.length_s for stretch in group.labelled) / 60.0
    return _since(group.labelled[0].begin_s, len(group.labelled)), f"{minutes:.1f}"


def _found(group: Together) -> tuple[str, str, str]:
    if not group.found:
        return "missed", "-", "-"
    first = group.found[0]
    minutes = sum(one.length_s for one in group.found) / 60.0
    after_min = (first.known_s - group.begin_s) / 60.0
    return _since(first.begin_s, len(group.found)), f"{minutes:.1f}", f"{after_min:.1f} min"


def _since(begin_s: float, parts: int) -> str:
    return clock_time(begin_s) if parts == 1 else f"{parts} parts {clock_time(begin_s)}"


def _rhythm_lines(af: Af) -> Iterator[str]:
    if af.labelled is None:
        yield f"AF: {len(af.found)} episodes found. Nobody labelled the rhythm of this recording."
    else:
        known = len(af.labelled) - len(af.missed)
        yield (
            f"AF: {known} of {len(af.labelled)} labelled stretches of 30 s or more found, "
            f"{len(af.missed)} missed."
        )
        yield f"AF: {len(af.unlabelled)} of {len(af.found)} episodes found have no label."
        yield (
            f"Minutes in AF: {af.labelled_s / 60.0:.0f} labelled, {af.found_s / 60.0:.0f} found, "
            f"{af.both_s / 60.0:.0f} both."
        )
    if af.burden is not None:
        true = "" if af.labelled_pct is None else f"; by the labels {af.labelled_pct:.1f} %"
        yield f"AF burden of the last 24 h, as known at the end: {af.burden.af_pct:.1f} %{true}."


def _forecast_table(forecasts: Iterable[Forecasts]) -> Table:
    names = ("ahead", "made", "compared", "mean abs. error", "of no change", "% in the 90 % interval")
    table = narrow_table("Glucose: forecasts made live, beside what came (mg/dL)", names)
    for one in forecasts:
        numbers = (one.error_mg_dl, one.unchanged_mg_dl, one.inside_pct)
        texts = ["-" if number is None else f"{number:.1f}" for number in numbers]
        table.add_row(f"{one.minutes} min", str(one.made), str(one.compared), *texts)
    return table


def _alarm_table(alarms: Iterable[Alarms]) -> Table:
    names = ("raised", "alert", "events in the recordings")
    table = narrow_table("Alerts raised live, beside the recordings", names, texts=2)
    for one in alarms:
        table.add_row(str(len(one.raised)), one.rule.replace("_", " "), _came(one))
    return table


def _came(one: Alarms) -> str:
    if one.events is None:
        return "not compared; " + ", ".join(clock_time(at_s) for at_s in one.raised[:2])
    is_ahead = one.rule in AHEAD
    told = f"{one.noticed} of {len(one.events)} {'announced' if is_ahead else 'noticed'}"
    if not one.events:
        told = "no labelled stretch is long enough" if one.rule == RHYTHM else "none"
    if one.leads_s:
        told += ", " + ", ".join(f"{lead_s / 60.0:.0f}" for lead_s in one.leads_s[:SHOWN]) + " min before"
    in_vain = f"; {one.in_vain} {'did not come' if is_ahead else 'alerts without one'}"
    return told + (in_vain if one.in_vain else "")
