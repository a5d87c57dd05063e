"""`vitalgate analyse rr`: records of RR intervals, judged as the gateway would judge them."""

import csv
import heapq
import math
import re
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64, as_f64
from dsp.cardiac import circadian, episodes, intervals, rhythm, rhythm_weights, turbulence, variability
from dsp.cardiac.respiration import by_minutes
from edge.errors import ConfigError, one_line
from tools.analyse import kept, recording_files, rr_csv
from tools.terminal import ended_by_interrupt, print_json

UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}
WINDOW_S_MIN = 10.0
LONGEST_RR_MS = 10_000.0  # what is longer, or not positive, is no interval: the stream was interrupted
LONGEST_GAP_MS = 7 * 86_400_000.0  # what is longer was never measured
SECONDS_MEDIAN_MAX = 10.0  # no heart beats every 10 ms
USUAL_MS = (250.0, 2500.0)  # 240 to 24 beats/min: no heart's median lies outside
INTERVAL, GAP, NOTHING_SENT = 0, 1, 2  # what a row is


class Beats(NamedTuple):
    """A record: time of each beat, the interval before it, whether that follows the one before."""

    t_s: F64
    rr_ms: F64
    follows: F64


class Rows(NamedTuple):
    """The rows of a file that the beats come from: number, time at its end, and what it is."""

    number: npt.NDArray[np.int64]
    t_s: F64
    kind: npt.NDArray[np.int8]


class Analysis(NamedTuple):
    """What is known of each beat, and of the whole."""

    beats: Beats
    rows: Rows
    judged: intervals.Judged
    normal: Beats
    tiers: rhythm.Tiers


class Result(NamedTuple):
    """Of one record; without a name if it is the only one."""

    id: str | None
    document: dict[str, Any]
    analysis: Analysis


def command(
    file: Path | None,
    kept_in: recording_files.Kept | None,
    column: str,
    window: str,
    start: str | None,
    per_beat: Path | None,
    plot: Path | None,
    *,
    raw: bool,
    json: bool,
) -> None:
    window_s, start_h = duration_s("--window", window), clock_h("--start", start)
    if file is not None:
        recording_files.check_outputs(file, {"--per-beat": per_beat, "--plot": plot})
        records: Iterable[tuple[str | None, Beats, Rows | None]] = (
            (record.id, *placed(record)) for record in rr_csv.records(file, column)
        )
    else:
        assert kept_in is not None, "one of both is given"
        with kept.opened(*kept_in) as tables:
            records = [
                (one.id, Beats(as_f64(one.t_s), as_f64(one.rr_ms), as_f64(one.follows)), None)
                for one in kept.heart(tables)
            ]
        if not records:
            raise ConfigError("--store", "no strap has kept intervals in it", "is it the right directory?")
    results = []
    for name, beats, rows in records:
        with ended_by_interrupt():
            analysis = analyse(beats, rows, raw=raw)
            results.append(Result(name, document(analysis, window_s, start_h), analysis))
    report_all(results, per_beat, plot, json=json)


def report(
    found: dict[str, Any], analysis: Analysis, per_beat: Path | None, plot: Path | None, *, json: bool
) -> None:
    report_all([Result(None, found, analysis)], per_beat, plot, json=json)


def report_all(results: list[Result], per_beat: Path | None, plot: Path | None, *, json: bool) -> None:
    from tools.analyse import view as analyse_view

    if per_beat:
        write_per_beat(results, per_beat)
    if plot:
        for result in results:
            name = "" if result.id is None else f"-{quote(result.id, safe=' ')}"
            analyse_view.draw(result.analysis, plot.with_stem(plot.stem + name))
    is_single = results[0].id is None
    if json and is_single:
        print_json(results[0].document)
    elif json:
        print_json({"records": [{"id": result.id, **result.document} for result in results]})
    else:
        for result in results:
            if not is_single:
                print(f"\nrecord {one_line(result.id or '')}")
            analyse_view.show(result.document)


def placed(record: rr_csv.Record) -> tuple[Beats, Rows]:
    """Intervals on their own time axis; what cannot be one is a gap of its length (none if not positive)."""
    rr_ms = record.rr_ms
    length_ms = np.where(rr_ms > 0.0, rr_ms, 0.0)
    is_interval = (rr_ms > 0.0) & (rr_ms <= LONGEST_RR_MS)
    check_unit(f"record {record.id}: " if record.id else "", rr_ms[is_interval], length_ms)
    kind = np.where(is_interval, INTERVAL, np.where(record.was_sent, GAP, NOTHING_SENT)).astype(np.int8)
    is_sent = is_interval[kind != NOTHING_SENT]
    follows = np.concatenate([[False], is_sent[:-1]])[is_sent]
    t_s = np.cumsum(length_ms) / 1000.0
    beats = Beats(as_f64(t_s[is_interval]), as_f64(rr_ms[is_interval]), as_f64(follows))
    return beats, Rows(record.row, as_f64(t_s), kind)


def check_unit(whose: str, rr_ms: F64, length_ms: F64) -> None:
    """Whether the values can be RR intervals in ms."""
    if rr_ms.size == 0:
        what = f"RR intervals of up to {LONGEST_RR_MS:.0f} ms are needed"
        raise ConfigError("FILE", f"{whose}no intervals", what)
    if length_ms.max() > LONGEST_GAP_MS:
        what = f"{whose}an interval of {length_ms.max():g} ms"
        raise ConfigError("FILE", what, "is this the right column?")
    median = float(np.median(rr_ms))
    low, high = USUAL_MS
    if median < SECONDS_MEDIAN_MAX:
        what = f"{whose}half of the intervals are {median:g} ms or less"
        raise ConfigError("FILE", what, "seconds? ms are needed")
    if not low <= median <= high:
        what = f"{whose}the usual value is {median:g}, and no heart's interval in ms"
        raise ConfigError("FILE", what, "is this the right column? RR intervals in ms are needed, not a rate")


def analyse(beats: Beats, rows: Rows | None = None, *, raw: bool = False) -> Analysis:
    """Judge each beat; if raw, take every one for normal."""
    if rows is None:
        size = beats.rr_ms.size
        rows = Rows(np.arange(1, size + 1), beats.t_s, np.zeros(size, np.int8))
    if raw:
        judged = intervals.Judged(np.zeros(beats.rr_ms.size), beats.rr_ms, beats.rr_ms, beats.follows)
    else:
        judged = intervals.judge_all(beats.rr_ms, beats.follows)
    normal = Beats(*intervals.normal(judged, beats.t_s))
    return Analysis(beats, rows, judged, normal, rhythm.screen_all(beats.rr_ms))


def document(analysis: Analysis, window_s: float, start_h: float | None) -> dict[str, Any]:
    """Everything but the beats, as JSON takes it."""
    beats, judged, normal = analysis.beats, analysis.judged, analysis.normal
    threshold = rhythm_weights.SURE_THRESHOLD
    af = episodes.af_episodes(*beats, analysis.tiers.sure, threshold)
    rates = episodes.rate_episodes(*beats, judged.corrected_ms)
    is_premature = as_f64(judged.beat == intervals.Beat.PREMATURE)
    counts = {beat.name.lower(): int((judged.beat == beat).sum()) for beat in intervals.Beat}
    total = beats.rr_ms.size
    gaps = int((beats.follows[1:] == 0.0).sum())
    whole = variability.variability(*normal, float(beats.t_s[-1]))
    found = {
        "duration_s": float(beats.t_s[-1]),
        "beats": {"total": total, "gaps": gaps, **counts, "left_out": total - normal.rr_ms.size},
        "summary": measures(whole),
        "missing": variability.reasons(whole),
        "units": {name: measure._asdict() for name, measure in variability.MEASURES.items()},
        "turbulence": plain(turbulence.turbulence(beats.rr_ms, beats.follows, is_premature)),
        "af": plain(episodes.burden(af, beats.t_s, beats.rr_ms))
        | {"lag_beats": rhythm.SURE_LAG, "threshold": threshold},
        "episodes": [plain(episode) for episode in af + rates],
        "pauses": [plain(p) for p in episodes.pauses(*beats, judged.beat, float(analysis.rows.t_s[-1]))],
        "windows": [window(analysis, begin, v, window_s) for begin, v in per_window(analysis, window_s)],
    }
    if start_h is not None:
        day = circadian.profile(*normal, start_h)
        found["circadian"] = plain(day) | {"day": plain(day.day), "night": plain(day.night)}
    return found


def per_window(analysis: Analysis, window_s: float) -> list[tuple[float, variability.Variability]]:
    """Of the whole record, normal or not: it ends within the interval that the last beat begins."""
    beats = analysis.beats
    end_s = float(beats.t_s[-1]) + float(np.median(beats.rr_ms)) / 1000.0
    return variability.windows(*analysis.normal, window_s, window_s, end_s=end_s)


def window(
    analysis: Analysis, begin_s: float, found: variability.Variability, length_s: float
) -> dict[str, Any]:
    """One window: its measures, how clean it was, how much of it was AF, and breathing."""
    normal = analysis.normal
    inside = slice(*np.searchsorted(analysis.beats.t_s, (begin_s, begin_s + length_s)))
    is_normal = analysis.judged.beat[inside] == intervals.Beat.NORMAL
    is_af = analysis.tiers.sure[inside] >= rhythm_weights.SURE_THRESHOLD
    return {
        "start_s": begin_s,
        **measures(found),
        "normal_pct": number(100.0 * is_normal.mean() if is_normal.size else math.nan),
        "af_pct": number(100.0 * is_af.mean() if is_af.size else math.nan),
        "respiration": plain(by_minutes(normal.t_s, normal.rr_ms, begin_s, length_s)),
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


def write_per_beat(results: list[Result], file: Path) -> None:
    """One line for each row of the file, in its order. The sure probability is known `SURE_LAG` beats late."""
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
    is_single = results[0].id is None
    lines = heapq.merge(
        *(per_beat_lines(result.analysis, result.id) for result in results), key=itemgetter(0)
    )
    with recording_files.writing("--per-beat"), file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["row", *([] if is_single else ["id"]), *header])
        writer.writerows(lines)


def per_beat_lines(analysis: Analysis, name: str | None) -> Iterator[list[Any]]:
    """Number of the row, the record's name if it has one, and what is known; nothing of what is no interval."""
    beats, rows, judged = analysis.beats, analysis.rows, analysis.judged
    columns = (beats.rr_ms, beats.follows, judged.beat, judged.corrected_ms, *analysis.tiers)
    known = zip(*(column.tolist() for column in columns), strict=True)
    ids = [] if name is None else [name]
    for row, t_s, kind in zip(rows.number.tolist(), rows.t_s.tolist(), rows.kind.tolist(), strict=True):
        if kind == INTERVAL:
            rr_ms, follows, beat, corrected_ms, fast, sure = next(known)
            said = intervals.Beat(int(beat)).name.lower()
            corrected = "" if math.isnan(corrected_ms) else corrected_ms
            cells = [rr_ms, int(follows), said, corrected, f"{fast:.4f}", f"{sure:.4f}", rhythm.SURE_LAG]
        else:
            cells = ["", "", "gap" if kind == GAP else "", "", "", "", ""]
        yield [row, *ids, f"{t_s:.4f}", *cells]


def duration_s(option: str, text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|min|h)", text)
    if not match:
        raise ConfigError(option, f"{text!r} is not a length of time", "write it like 300s, 5min or 1h")
    length_s = float(match[1]) * UNITS_S[match[2]]
    if length_s < WINDOW_S_MIN:
        raise ConfigError(option, f"{text} hold too few beats", f"{WINDOW_S_MIN:g} s or more are needed")
    return length_s


def clock_h(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text)
    if not match:
        raise ConfigError(option, f"{text!r} is not a time of day", "write it like 22:30")
    return int(match[1]) + int(match[2]) / 60.0
