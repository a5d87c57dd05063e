"""What `vitalgate analyse` prints for people, and its drawing."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tools.analyse import recording_files
from tools.analyse.rr import Analysis

WIDTH, HEIGHT, MARGIN = 1200, 420, 40
RR_TOP_MS, RR_BOTTOM_MS = 2000.0, 200.0
DARK, RED, BLUE = (34, 34, 34), (200, 30, 40), (40, 90, 170)
SHOWN = {
    "HR": "hr_mean_bpm",
    "SDNN": "sdnn_ms",
    "RMSSD": "rmssd_ms",
    "LF ms²": "lf_ms2",
    "HF ms²": "hf_ms2",
    "SampEn": "sample_entropy",
    "DFA a1": "dfa_a1",
}

Points = npt.NDArray[np.float64]


def show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    beats, af = found["beats"], found["af"]
    console.print(f"{beats['total']} intervals in {found['duration_s'] / 3600.0:.2f} h, {beats['gaps']} gaps")
    console.print(", ".join(f"{k} {v}" for k, v in beats.items() if k not in ("total", "gaps") and v))
    if "ecg" in found:
        console.print(
            f"ECG: {found['ecg']['complexes']} complexes, good {found['ecg']['good_pct']:.0f} % of the time"
        )
    console.print(
        f"AF burden {af['af_pct']:.1f} %, {af['episodes']} episodes, longest {af['longest_s'] / 60.0:.1f} min"
    )
    for episode in found["episodes"]:
        console.print(
            f"  {episode['kind']} {episode['start_s']:.0f}-{episode['end_s']:.0f} s, {episode['hr_mean_bpm']:.0f}/min"
        )
    for what, is_break in (("pauses", False), ("breaks that may be pauses or lost data,", True)):
        lengths_s = [p["length_ms"] / 1000.0 for p in found["pauses"] if p["may_be_lost_data"] == is_break]
        if lengths_s:
            console.print(f"{len(lengths_s)} {what} of 2 s or more, longest {max(lengths_s):.1f} s")
    table = Table("s", "NN %", "AF %", *SHOWN, box=None, header_style="bold")
    for row in [{"start_s": None, "normal_pct": None, "af_pct": None, **found["summary"]}, *found["windows"]]:
        cells = [row["start_s"], row["normal_pct"], row["af_pct"], *(row[name] for name in SHOWN.values())]
        table.add_row(*("all" if k == 0 and v is None else cell(v) for k, v in enumerate(cells)))
    console.print(table)


def cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"


def draw(analysis: Analysis, file: Path) -> None:
    """Intervals over time (what is not normal in red), and the AF probability below them: .svg, else PNG."""
    t_s, rr_ms = analysis.beats.t_s, analysis.beats.rr_ms
    x = MARGIN + (t_s - t_s[0]) / max(t_s[-1] - t_s[0], 1e-9) * (WIDTH - 2 * MARGIN)
    rr_y = 20 + (RR_TOP_MS - np.clip(rr_ms, RR_BOTTOM_MS, RR_TOP_MS)) / (RR_TOP_MS - RR_BOTTOM_MS) * 280
    af_y = 400 - analysis.tiers.sure * 80
    other = analysis.judged.beat != 0
    intervals, odd, line = (np.stack(pair, 1) for pair in ((x, rr_y), (x[other], rr_y[other]), (x, af_y)))
    with recording_files.writing("--plot"):
        if file.suffix.lower() == ".svg":
            file.write_text(svg(intervals, odd, line, float(t_s[-1])), encoding="utf-8")
        else:
            file.write_bytes(png(intervals, odd, line))


def svg(intervals: Points, odd: Points, line: Points, end_s: float) -> str:
    def dots(points: Points, colour: tuple[int, int, int]) -> str:
        path = "".join(f"M{px:.1f} {py:.1f}h1.5" for px, py in points)
        return f'<path d="{path}" stroke="rgb{colour}" stroke-width="1.5"/>'

    def text(px: float, py: float, words: str) -> str:
        return f'<text x="{px}" y="{py}" font-family="sans-serif" font-size="11">{words}</text>'

    curve = " ".join(f"{px:.1f},{py:.1f}" for px, py in line)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            dots(intervals, DARK),
            dots(odd, RED),
            f'<polyline points="{curve}" fill="none" stroke="rgb{BLUE}"/>',
            text(MARGIN, 15, f"RR {RR_BOTTOM_MS:.0f} to {RR_TOP_MS:.0f} ms; red: not normal"),
            text(MARGIN, 315, "probability of AF, 0 to 1"),
            text(WIDTH - MARGIN - 60, 415, f"{end_s / 60.0:.1f} min"),
            "</svg>\n",
        ]
    )


def png(intervals: Points, odd: Points, line: Points) -> bytes:
    """The same without words: dots and a line on white."""
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    image[[20, 300, 320, 400], MARGIN : WIDTH - MARGIN] = 220
    for points, colour in ((line, BLUE), (intervals, DARK), (odd, RED)):
        column, row = points.astype(int).T
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            image[np.minimum(row + down, HEIGHT - 1), np.minimum(column + right, WIDTH - 1)] = colour
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
