"""A summary in one line, for people."""

from datetime import UTC, datetime
from typing import Final

from edge.local.status import SummaryStatus

# Of a summary: its title, and of its main figures the key, the name for people, the decimals and the unit.
SUMMARIES: Final[dict[str, tuple[str, tuple[tuple[str, str, int, str], ...]]]] = {
    "heart_5min": (
        "five minutes",
        (
            ("hr_mean_bpm", "heart rate", 0, " bpm"),
            ("rmssd_ms", "RMSSD", 0, " ms"),
            ("sdnn_ms", "SDNN", 0, " ms"),
            ("af_pct", "in AF", 0, " %"),
            ("coverage_pct", "covered", 0, " %"),
        ),
    ),
    "glucose_day": (
        "day",
        (
            ("mean_mg_dl", "mean", 0, " mg/dL"),
            ("in_range_pct", "in range", 0, " %"),
            ("low_pct", "low", 1, " %"),
            ("very_low_pct", "very low", 1, " %"),
            ("high_pct", "high", 1, " %"),
            ("very_high_pct", "very high", 1, " %"),
            ("coverage_pct", "covered", 0, " %"),
        ),
    ),
}


def when_text(summary: SummaryStatus) -> str:
    """From when to when a summary is, by this machine's time zone; of a day, the date."""
    if isinstance(date := summary.body.get("date"), str):
        return date
    start, end = (
        datetime.fromtimestamp(utc_s, UTC).astimezone() for utc_s in (summary.start_utc_s, summary.end_utc_s)
    )
    return f"{start:%Y-%m-%d %H:%M} to {end:%H:%M %Z}"


def summary_text(summary: SummaryStatus) -> str:
    """A summary in one line: its main figures. `--json` has all."""
    title, figures = SUMMARIES[summary.kind]
    said = [
        f"{label} {value:.{digits}f}{unit}"
        for key, label, digits, unit in figures
        if isinstance(value := summary.body.get(key), int | float)
    ]
    return f"{title} of {summary.sensor}, {when_text(summary)}: {', '.join(said) or 'nothing measured'}"
