"""The ambulatory glucose profile as SVG or PNG, without a plotting library."""

import struct
import zlib
from html import escape
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dsp.arrays import F64

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 900, 320, 44, 28, 26
TOP_MG_DL = 400.0
TICKS_MG_DL = (54, 70, 180, 250, 350)
OUTER, INNER, MEDIAN, TARGET, RULE, INK = "#cfe3f5", "#8fbde6", "#14477a", "#e8f6e8", "#bbbbbb", "#333333"
BANDS = ((0, 4, OUTER), (1, 3, INNER))
# Three by five dots for each digit, row by row from the top.
DIGITS = {
    "0": 0b111101101101111,
    "1": 0b010110010010111,
    "2": 0b111001111100111,
    "3": 0b111001111001111,
    "4": 0b101101111001001,
    "5": 0b111100111001111,
    "6": 0b111100111101111,
    "7": 0b111001001001001,
    "8": 0b111101111101111,
    "9": 0b111101111001111,
}


class Panel(NamedTuple):
    """One person's profile: hours of the day, and the five percentiles at each in mg/dL."""

    title: str
    hours: F64
    percentiles: F64


def _x(hours: F64) -> F64:
    return LEFT + hours / 24.0 * (WIDTH - LEFT - 12)


def _y(mg_dl: F64 | float) -> F64:
    share = np.clip(np.asarray(mg_dl) / TOP_MG_DL, 0.0, 1.0)
    return np.asarray(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM))


def svg(panels: list[Panel]) -> str:
    """All panels, one below the other."""
    size = f'width="{WIDTH}" height="{HEIGHT * len(panels)}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    for k, panel in enumerate(panels):
        parts.append(f'<g transform="translate(0 {HEIGHT * k})">{_panel(panel)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel) -> str:
    right = WIDTH - 12
    band = f'<rect x="{LEFT}" y="{_y(180):.1f}" width="{right - LEFT}" height="{_y(70) - _y(180):.1f}"'
    parts = [
        f'<text x="{LEFT}" y="18" fill="{INK}">{escape(panel.title)}</text>',
        f'{band} fill="{TARGET}"/>',
    ]
    there = ~np.isnan(panel.percentiles[:, 0]) if len(panel.hours) else np.zeros(0, bool)
    x, rows = _x(panel.hours[there]), panel.percentiles[there]
    for low, high, colour in BANDS:
        edge = [*zip(x, _y(rows[:, low]), strict=True), *reversed([*zip(x, _y(rows[:, high]), strict=True)])]
        parts.append(f'<polygon fill="{colour}" points="{_points(edge)}"/>')
    for tick in TICKS_MG_DL:
        y = f"{_y(tick):.1f}"
        parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{y}" y2="{y}" stroke="{RULE}" stroke-width="0.5"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y}" text-anchor="end" fill="{INK}">{tick}</text>')
    for hour in range(0, 25, 3):
        x_tick = f"{_x(np.array(float(hour))):.1f}"
        parts.append(f'<text x="{x_tick}" y="{HEIGHT - 8}" text-anchor="middle" fill="{INK}">{hour}</text>')
    median = _points([*zip(x, _y(rows[:, 2]), strict=True)])
    parts.append(f'<polyline fill="none" stroke="{MEDIAN}" stroke-width="2" points="{median}"/>')
    return "".join(parts)


def _points(pairs: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def png(panels: list[Panel]) -> bytes:
    """All panels, one below the other; titles only in SVG."""
    pixels = np.concatenate([_raster(panel) for panel in panels])
    rows = np.zeros((len(pixels), 1 + 3 * WIDTH), np.uint8)
    rows[:, 1:] = pixels.reshape(len(pixels), -1)
    header = struct.pack(">IIBBBBB", WIDTH, len(pixels), 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _colour(text: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(text[1:]))


def _raster(panel: Panel) -> npt.NDArray[np.uint8]:
    image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    right = WIDTH - 12
    image[round(float(_y(180))) : round(float(_y(70))), LEFT:right] = _colour(TARGET)
    there = ~np.isnan(panel.percentiles[:, 0]) if len(panel.hours) else np.zeros(0, bool)
    if there.any():
        x, rows = _x(panel.hours[there]), _y(panel.percentiles[there])
        columns = np.arange(int(x[0]), int(x[-1]) + 1)
        at = [np.interp(columns, x, rows[:, p]) for p in range(5)]
        line = np.arange(HEIGHT)[:, None]
        for low, high, colour in BANDS:
            rows_inside, columns_inside = np.nonzero((line <= at[low]) & (line >= at[high]))
            image[rows_inside, columns_inside + columns[0]] = _colour(colour)
        step = np.abs(np.gradient(at[2])) / 2.0 + 1.0 if columns.size > 1 else 1.0
        rows_inside, columns_inside = np.nonzero(np.abs(line - at[2]) <= step)
        image[rows_inside, columns_inside + columns[0]] = _colour(MEDIAN)
    for tick in TICKS_MG_DL:
        y = round(float(_y(tick)))
        image[y, LEFT:right] = _colour(RULE)
        _write(image, str(tick), LEFT - 6, y - 5)
    for hour in range(0, 25, 3):
        _write(image, str(hour), round(float(_x(np.array(float(hour))))) + 6, HEIGHT - 18)
    return image


def _write(image: npt.NDArray[np.uint8], digits: str, right: int, top: int) -> None:
    """Digits of ten dots height that end at `right`."""
    for place, digit in enumerate(reversed(digits)):
        for dot in range(15):
            if DIGITS[digit] >> (14 - dot) & 1:
                y, x = top + dot // 3 * 2, right - 8 * (place + 1) + dot % 3 * 2
                image[y : y + 2, x : x + 2] = _colour(INK)
