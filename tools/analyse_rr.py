"""`vitalgate analyse rr`: one record of RR intervals, judged as the gateway would judge it."""

import csv
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dsp.arrays import F64, as_f64
from dsp.cardiac import circadian, episodes, intervals, rhythm, rhythm_weights, turbulence, variability
from dsp.cardiac.respiration import respiration
from edge.errors import ConfigError
from tools import recording_files

UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
LONGEST_RR_MS = 10_000.0  # what is longer, or not positive, is no interval: the stream was interrupted
LONGEST_GAP_MS = 7 * 86_400_000.0  # what is longer was never measured
SECONDS_MEDIAN_MAX = 10.0  # no heart beats every 10 ms


class Beats(NamedTuple):
    """A record: time of each beat, the interval before it, whether that follows the one before."""

    t_s: F64
    rr_ms: F64
    follows: F64


class Analysis(NamedTuple):
    """What is known of each beat, and of the whole."""

    beats: Beats
    judged: intervals.Judged
    normal: Beats
    tiers: rhythm.Tiers


def command(
    file: Path,
    column: str,
    window: str,
    start: str | None,
    per_beat: Path | None,
    plot: Path | None,
    *,
    json: bool,
) -> None:
    window_s, start_h = duration_s("--window", window), clock_h("--start", start)
    recording_files.check_outputs(file, {"--per-beat": per_beat, "--plot": plot})
    analysis = analyse(placed(column_of(file, column)))
    report(document(analysis, window_s, start_h), analysis, per_beat, plot, json=json)


def report(
    found: dict[str, Any], analysis: Analysis, per_beat: Path | None, plot: Path | None, *, json: bool
) -> None:
    from tools import analyse_view, cli

    if per_beat:
        write_per_beat(analysis, per_beat)
    if plot:
        analyse_view.draw(analysis, plot)
    if json:
        cli.print_json(found)
    else:
        analyse_view.show(found)


def column_of(file: Path, name: str) -> F64:
    """One column of a CSV file as numbers; empty cells are left out."""
    with recording_files.table(file) as table:
        k = table.find(name)
        if k is None:
            found = ", ".join(table.columns) or "nothing"
            raise ConfigError("--column", f"{file.name} has no column {name}", f"it has: {found}")
        try:
            return as_f64([table.number(row[k]) for row in table.rows if len(row) > k and row[k].strip()])
        except UnicodeDecodeError:  # a ValueError, too
            raise
        except ValueError as error:
            what = f"{file.name}, line {table.line}: column {name} is not a number"
            raise ConfigError("FILE", what, str(error)) from error


def placed(rr_ms: F64) -> Beats:
    """Intervals on their own time axis; what cannot be one is a gap of its length (none if not positive)."""
    length_ms = np.where(rr_ms > 0.0, rr_ms, 0.0)
    is_interval = (rr_ms > 0.0) & (rr_ms <= LONGEST_RR_MS)
    if not is_interval.any():
        raise ConfigError("FILE", "no intervals", f"RR intervals of up to {LONGEST_RR_MS:.0f} ms are needed")
    if length_ms.max() > LONGEST_GAP_MS:
        raise ConfigError("FILE", f"an interval of {length_ms.max():g} ms", "is this the right column?")
    median = float(np.median(rr_ms[is_interval]))
    if median < SECONDS_MEDIAN_MAX:
        raise ConfigError(
            "FILE", f"half of the intervals are {median:g} ms or less", "seconds? ms are needed"
        )
    follows = np.concatenate([[False], is_interval[:-1]])
    t_s = np.cumsum(length_ms) / 1000.0
    return Beats(as_f64(t_s[is_interval]), as_f64(rr_ms[is_interval]), as_f64(follows[is_interval]))


def analyse(beats: Beats) -> Analysis:
    judged = intervals.judge_all(beats.rr_ms, beats.follows)
    normal = Beats(*intervals.normal(judged, beats.t_s))
    return Analysis(beats, judged, normal, rhythm.screen_all(beats.rr_ms))


def document(analysis: Analysis, window_s: float, start_h: float | None) -> dict[str, Any]:
    """Everything but the beats, as JSON takes it."""
    beats, normal = analysis.beats, analysis.normal
    threshold = rhythm_weights.SURE_THRESHOLD
    af = episodes.af_episodes(beats.t_s, beats.rr_ms, analysis.tiers.sure, threshold)
    rates = episodes.rate_episodes(beats.t_s, beats.rr_ms)
    is_premature = as_f64(analysis.judged.beat == intervals.Beat.PREMATURE)
    counts = {beat.name.lower(): int((analysis.judged.beat == beat).sum()) for beat in intervals.Beat}
    whole = variability.variability(*normal, float(beats.rr_ms.sum()) / 1000.0)
    found = {
        "duration_s": float(beats.t_s[-1]),
        "beats": {"total": beats.rr_ms.size, "gaps": int((beats.follows[1:] == 0.0).sum()), **counts},
        "summary": measures(whole),
        "missing": variability.reasons(whole),
        "units": {name: measure._asdict() for name, measure in variability.MEASURES.items()},
        "turbulence": plain(turbulence.turbulence(beats.rr_ms, is_premature)),
        "af": plain(episodes.burden(af, beats.rr_ms))
        | {"lag_beats": rhythm.SURE_LAG, "threshold": threshold},
        "episodes": [plain(episode) for episode in af + rates],
        "pauses": [plain(p) for p in episodes.pauses(beats.t_s, beats.rr_ms, analysis.judged.beat)],
        "windows": [window(analysis, begin, v, window_s) for begin, v in per_window(normal, window_s)],
    }
    if start_h is not None:
        day = circadian.profile(*normal, start_h)
        found["circadian"] = plain(day) | {"day": plain(day.day), "night": plain(day.night)}
    return found


def per_window(normal: Beats, window_s: float) -> list[tuple[float, variability.Variability]]:
    return variability.windows(*normal, window_s, window_s)


def window(
    analysis: Analysis, begin_s: float, found: variability.Variability, length_s: float
) -> dict[str, Any]:
    """One window: its measures, how clean it was, how much of it was AF, and breathing."""
    beats, normal = analysis.beats, analysis.normal
    inside = (beats.t_s >= begin_s) & (beats.t_s < begin_s + length_s)
    minute = (normal.t_s >= begin_s) & (normal.t_s < begin_s + min(length_s, 60.0))
    is_normal = analysis.judged.beat[inside] == intervals.Beat.NORMAL
    is_af = analysis.tiers.sure[inside] >= rhythm_weights.SURE_THRESHOLD
    return {
        "start_s": begin_s,
        **measures(found),
        "normal_pct": number(100.0 * is_normal.mean() if is_normal.size else math.nan),
        "af_pct": number(100.0 * is_af.mean() if is_af.size else math.nan),
        "respiration": plain(respiration(normal.t_s[minute], normal.rr_ms[minute])),
        "missing": variability.reasons(found),
    }


def measures(found: variability.Variability) -> dict[str, float | None]:
    return {name: number(value) for name, value in found._asdict().items()}


def number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def plain(value: Any) -> dict[str, Any]:
    """A NamedTuple as JSON takes it: NaN is null, arrays are lists."""
    return {
        name: number(item)
        if isinstance(item, float)
        else [number(x) for x in item]
        if isinstance(item, np.ndarray)
        else item
        for name, item in value._asdict().items()
    }


def write_per_beat(analysis: Analysis, file: Path) -> None:
    """One line per beat. The sure probability is known `SURE_LAG` beats after the fast one."""
    header = [
        "time_s",
        "rr_ms",
        "follows",
        "class",
        "corrected_ms",
        "af_fast",
        "af_sure",
        "af_sure_lag_beats",
    ]
    beats, judged = analysis.beats, analysis.judged
    with recording_files.writing("--per-beat"), file.open("w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out)
        lines.writerow(header)
        for k in range(beats.rr_ms.size):
            corrected = judged.corrected_ms[k]
            lines.writerow(
                [
                    f"{beats.t_s[k]:.4f}",
                    f"{beats.rr_ms[k]:g}",
                    int(beats.follows[k]),
                    intervals.Beat(int(judged.beat[k])).name.lower(),
                    "" if math.isnan(corrected) else f"{corrected:g}",
                    f"{analysis.tiers.fast[k]:.4f}",
                    f"{analysis.tiers.sure[k]:.4f}",
                    rhythm.SURE_LAG,
                ]
            )


def duration_s(option: str, text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h)", text)
    if not match or float(match[1]) <= 0.0:
        raise ConfigError(option, f"{text!r} is not a length of time", "write it like 300s, 5min or 1h")
    return float(match[1]) * UNITS_S[match[2]]


def clock_h(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text)
    if not match:
        raise ConfigError(option, f"{text!r} is not a time of day", "write it like 22:30")
    return int(match[1]) + int(match[2]) / 60.0
