"""What is true beside what was told, as SVG within a page: readable without colour, and without seeing it.

Contract: a plot is an image with a name and a description in words; what it shows is in a table beside it (`page`).
What is true is a line, what was told are dots: nobody has to tell colours apart.
"""

from collections.abc import Iterable
from html import escape
from itertools import pairwise
from typing import Final

from tools.rig.verdict.expectations import RaisedAlert, clock_time

WIDTH, HEIGHT = 800.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 8.0, 16.0, 24.0
DOTS_MAX: Final = 2000
GAP_S: Final = 900.0

Points = list[tuple[float, float]]


def plot(name: str, unit: str, true: Points, told: Points, alerts: Iterable[RaisedAlert]) -> str:
    """An SVG element; `name` says what is measured."""
    every = max(1, len(told) // DOTS_MAX)
    points = [*true, *told]
    begin_s, end_s = min(at_s for at_s, _ in points), max(at_s for at_s, _ in points)
    lowest, highest = min(value for _, value in points), max(value for _, value in points)
    across = (WIDTH - LEFT - RIGHT) / max(end_s - begin_s, 1.0)
    upwards = (HEIGHT - TOP - BOTTOM) / max(highest - lowest, 1.0)

    def x(at_s: float) -> float:
        return LEFT + (at_s - begin_s) * across

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - lowest) * upwards

    path = " ".join(
        f"{'M' if is_new else 'L'}{x(at_s):.1f} {y(value):.1f}"
        for (at_s, value), is_new in zip(true, _begins(true), strict=True)
    )
    dots = "".join(f'<circle cx="{x(at_s):.1f}" cy="{y(value):.1f}" r="2"/>' for at_s, value in told[::every])
    marks = "".join(
        f'<g class="alert"><line x1="{x(one.at_s):.1f}" x2="{x(one.at_s):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f"<title>{escape(one.kind)} at {clock_time(one.at_s)}</title></g>"
        for one in alerts
        if begin_s <= one.at_s <= end_s
    )
    said = (
        f"{len(true)} are true, from {lowest:g} to {highest:g} {unit}, and {len(told)} were told, "
        f"from {clock_time(begin_s)} to {clock_time(end_s)}."
    )
    ticks = "".join(
        f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in dict.fromkeys((lowest, highest))
    ) + "".join(
        f'<text x="{x(at_s):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{clock_time(at_s)}</text>'
        for at_s, anchor in ((begin_s, "start"), (end_s, "end"))
    )
    return (
        f'<svg role="img" aria-label="{escape(f"{name}: {said}")}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}">'
        f"<title>{escape(name)}</title><desc>{escape(said)}</desc>"
        f'<path d="{path}"/>{dots}{marks}{ticks}</svg>'
    )


def _begins(points: Points) -> list[bool]:
    """Whether a line begins at a point: after a time in which there was nothing, nobody draws one."""
    return [True, *(after[0] - before[0] > GAP_S for before, after in pairwise(points))][: len(points)]
