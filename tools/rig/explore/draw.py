"""Draws a home of some days from a seed, as a document of the scenario language.

Contract: the same seed gives the same document. One person wears a CGM throughout and a strap two hours a day; every
kind of fault that befalls a simulated home may happen, but for those in `LEFT_OUT`, which says why. What only one thing
at a time can suffer (the gateway's life, the disk, the upstream, a sensor's link) is never drawn to overlap. At the end
everything outside the gateway is as it should be, so that what is left is what the gateway has to put right.

Not here: what a fault does (`tools.rig.home.faults`), what must be true then (`checks`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any, Final

HOUR_S: Final = 3600.0
DAY_S: Final = 24 * HOUR_S
YEAR_S: Final = 365 * DAY_S
WORN_S: Final = 2 * HOUR_S
READING_S: Final = 300.0
FAULTS: Final = (8, 24)
# The last hour is calm: what was begun is over by then.
CALM_S: Final = HOUR_S
TRIES: Final = 5
CGM, STRAP = "cgm", "strap"
NO_KEYS, NO_BUS, NO_REMEDY = (
    "nobody has keys behind the direct radio",
    "a gateway on the direct radio has no message bus to watch",
    "no gateway can make it good",
)
LEFT_OUT: Final = {
    "battery low": "sensors behind the direct radio have no batteries",
    "bluetoothd frozen": NO_BUS,
    "bluetoothd killed": NO_BUS,
    "bond forgotten": NO_KEYS,
    "bond removed": NO_KEYS,
    "bus killed": NO_BUS,
    "feed away": "there are no feeds in these homes",
    "new card": NO_REMEDY,
    "powered off": NO_BUS,
    "sensor swapped": NO_KEYS,
    "unplugged": NO_BUS,
    "upstream lies": NO_REMEDY,
    "upstream rejects": NO_REMEDY,
}

Document = dict[str, Any]
Rows = list[Document]


def duration(seconds: float) -> str:
    """As a scenario file writes it."""
    return f"{'-' if seconds < 0 else ''}{abs(seconds):.3f}s"


@dataclass
class Day:
    """What has been drawn so far.

    Attributes:
        busy: when each thing suffers something already.
        worn: when the strap is worn.
    """

    rng: Random
    lasts_s: float
    worn: list[tuple[float, float]]
    busy: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def moment_s(self) -> float:
        """Anywhere, or soon after something was measured: most goes on then."""
        end_s = self.lasts_s - CALM_S
        at_s = self.rng.uniform(60.0, end_s)
        if self.rng.random() < 0.6:
            at_s = at_s // READING_S * READING_S + 10.0 ** self.rng.uniform(-2.0, 1.7)
        if self.rng.random() < 0.2:
            begin_s, over_s = self.rng.choice(self.worn)
            at_s = self.rng.uniform(begin_s, over_s)
        return min(at_s, end_s)

    def claim(self, thing: str, at_s: float, for_s: float) -> bool:
        """Whether nothing else befalls the thing then; from now on this does."""
        spans = self.busy.setdefault(thing, [])
        # A life ends and begins; what is done at the same moment has no order.
        end_s = at_s + for_s + 5.0
        is_free = end_s < self.lasts_s - CALM_S / 2 and all(e < at_s or b > end_s for b, e in spans)
        if is_free:
            spans.append((at_s, end_s))
        return is_free


Drawer = Callable[[Day], Rows]


def _lasting(what: str, thing: str, *for_s: float, **more: Any) -> Drawer:
    def draw(day: Day) -> Rows:
        at_s, for_one_s = day.moment_s(), day.rng.choice(for_s) * day.rng.uniform(0.8, 1.2)
        if not day.claim(thing, at_s, for_one_s):
            return []
        return [{"what": what, "at": duration(at_s), "for": duration(for_one_s), **more}]

    return draw


def _at_once(what: str, **more: Any) -> Drawer:
    return lambda day: [{"what": what, "at": duration(day.moment_s()), **more}]


def _of_a_sensor(make: Callable[[str], Drawer]) -> Drawer:
    """Mostly of the CGM, which is always there."""
    return lambda day: make(CGM if day.rng.random() < 0.8 else STRAP)(day)


def _link_drops(day: Day) -> Rows:
    at_s, for_s = day.moment_s(), day.rng.uniform(1.0, 6.0) * HOUR_S
    if not day.claim(CGM, at_s, for_s):
        return []
    every_s, away_s = day.rng.choice([(60.0, 5.0), (900.0, 60.0), (1500.0, 900.0)])
    span = {"at": duration(at_s), "until": duration(at_s + for_s)}
    return [
        {"what": "link drops", **span, "every": duration(every_s), "for": duration(away_s), "sensors": [CGM]}
    ]


def _rebooted(day: Day) -> Rows:
    """The clock may come back wrong, and nobody vouches for it; mostly it is right again later."""
    at_s, off_s = day.moment_s(), day.rng.choice([5.0, 60.0, 900.0])
    wrong_s = day.rng.choice([0.0, 0.0, -HOUR_S, 30 * DAY_S, -20 * YEAR_S, 2 * YEAR_S])
    right_s = at_s + off_s + day.rng.uniform(10.0, 3 * HOUR_S)
    if not day.claim("life", at_s, off_s):
        return []
    row = {"what": "rebooted", "at": duration(at_s), "for": duration(off_s)}
    if wrong_s == 0.0:
        return [row]
    is_mended = day.rng.random() < 0.8 and right_s < day.lasts_s
    mended = [{"what": "clock", "at": duration(right_s)}] if is_mended else []
    return [row | {"wrong_by": duration(wrong_s), "trusted": False}, *mended]


def _clock(day: Day) -> Rows:
    """It is set wrongly, nobody vouches for it, and it is right again."""
    at_s, wrong_s = day.moment_s(), day.rng.choice([-7200.0, -60.0, 60.0, DAY_S, -YEAR_S])
    right_s = min(at_s + day.rng.uniform(60.0, 2 * HOUR_S), day.lasts_s)
    wrong = {"what": "clock", "at": duration(at_s), "wrong_by": duration(wrong_s), "trusted": False}
    return [wrong, {"what": "clock", "at": duration(right_s)}]


def _config_changed(day: Day) -> Rows:
    """Consent is withdrawn, and given again."""
    at_s, again_s = day.moment_s(), day.rng.uniform(10.0, 4 * HOUR_S)
    if not (day.claim("life", at_s, 1.0) and day.claim("life", at_s + again_s, 1.0)):
        return []
    rows = ((at_s, False), (at_s + again_s, True))
    return [{"what": "config changed", "at": duration(s), "person": "jo", "consent": yes} for s, yes in rows]


def _replaced(day: Day) -> Rows:
    at_s = day.moment_s()
    # Nobody puts on a sensor twice in half an hour.
    return (
        [{"what": "sensor replaced", "at": duration(at_s), "sensor": CGM}]
        if day.claim("wear", at_s, 1800.0)
        else []
    )


def _glucose_moves(day: Day) -> Rows:
    """Low enough, or high enough, to be told."""
    by_mg_dl = day.rng.choice([-120.0, -70.0, 150.0])
    return _lasting("glucose moves", "glucose", 1800, 7200, sensor=CGM, by=by_mg_dl)(day)


def _drops_mid_report(day: Day) -> Rows:
    """After it was away, so that there is something to report."""
    at_s, for_s = day.moment_s(), day.rng.choice([900.0, 4000.0])
    if not day.claim(CGM, at_s, for_s):
        return []
    drops = {"what": "drops mid-report", "at": duration(at_s), "sensor": CGM, "after": day.rng.randint(0, 12)}
    return [drops, {"what": "out of reach", "at": duration(at_s), "for": duration(for_s), "sensor": CGM}]


def _killed_anywhere(day: Day) -> Rows:
    at_s, steps = day.moment_s(), day.rng.randint(0, 300)
    if not day.claim("life", at_s, 30.0):
        return []
    return [{"what": "killed anywhere", "at": duration(at_s), "for": duration(1.0), "steps": steps}]


DRAWERS: Final[dict[str, tuple[int, Drawer]]] = {
    "out of reach": (
        10,
        _of_a_sensor(lambda one: _lasting("out of reach", one, 5, 60, 1500, 9000, sensor=one)),
    ),
    "link drops": (3, _link_drops),
    "link lost": (6, _of_a_sensor(lambda one: _at_once("link lost", sensors=[one]))),
    "silent": (4, _of_a_sensor(lambda one: _lasting("silent", one, 60, 900, 3600, sensor=one))),
    "garbage": (3, _of_a_sensor(lambda one: _at_once("garbage", sensor=one, packets=7))),
    "answer lost": (4, _of_a_sensor(lambda one: _at_once("answer lost", sensor=one))),
    "disconnect hangs": (
        3,
        _of_a_sensor(lambda one: _lasting("disconnect hangs", f"hang {one}", 20, 400, sensor=one)),
    ),
    "sensor replaced": (2, _replaced),
    "glucose moves": (3, _glucose_moves),
    "packets corrupted": (3, _at_once("packets corrupted", sensor=CGM, packets=4)),
    "drops mid-report": (4, _drops_mid_report),
    "storage overwritten": (2, _at_once("storage overwritten", sensor=CGM, keeps=12)),
    "sensor rebooted": (3, _lasting("sensor rebooted", CGM, 5, 900, sensor=CGM)),
    "killed anywhere": (8, _killed_anywhere),
    "gateway stopped": (6, _lasting("gateway stopped", "life", 1, 60, 1800)),
    "gateway killed": (14, _lasting("gateway killed", "life", 0.1, 1, 30, 1800)),
    "rebooted": (5, _rebooted),
    "config changed": (2, _config_changed),
    "clock": (4, _clock),
    "disk full": (4, _lasting("disk full", "disk", 30, 600, 2400)),
    "disk slow": (5, _lasting("disk slow", "disk", 600, 7200, takes="10s")),
    "disk fails": (2, _lasting("disk fails", "disk", 600, 3600, share=0.3)),
    "upstream slow": (3, _lasting("upstream slow", "takes", 600, 7200, takes="30s")),
    "upstream forgets to answer": (3, _lasting("upstream forgets to answer", "forgets", 60, 1800)),
    "upstream away": (4, _lasting("upstream away", "upstream", 60, 1800, 20_000)),
}
"""How often each kind of fault is drawn, and what draws it; one that does not fit in is left out."""


def document(seed: int, days: int = 2) -> Document:
    """The scenario of a seed."""
    rng = Random(seed)  # noqa: S311 - the same seed gives the same home
    lasts_s = days * DAY_S
    worn = []
    for day in range(days):
        begin_s = day * DAY_S + rng.uniform(1.0, 20.0) * HOUR_S
        worn.append((begin_s, begin_s + WORN_S))
    drawn = Day(rng, lasts_s, worn)
    rows = list(unworn(worn, lasts_s))
    # What takes the strap off must not be undone by what happens to its link.
    drawn.busy[STRAP] = [
        (0.0, worn[0][0]),
        *((one[1], other[0]) for one, other in pairwise(worn)),
    ]
    drawn.busy[STRAP].append((worn[-1][1], lasts_s))
    kinds, weights = list(DRAWERS), [weight for weight, _ in DRAWERS.values()]
    for kind in rng.choices(kinds, weights, k=rng.randint(*FAULTS)):
        for _ in range(TRIES):
            if found := DRAWERS[kind][1](drawn):
                rows += found
                break
    rows.append({"what": "clock", "at": duration(lasts_s - CALM_S / 2)})
    return {
        "about": f"Seed {seed}: what is drawn befalls a home of {days} days.",
        "lasts": f"{days}d",
        "settles": "12h",
        "seed": seed,
        "bodies": True,
        "sensors": [{"id": CGM, "kind": "cgm"}, {"id": STRAP, "kind": "heart_rate"}],
        "faults": rows,
        "expect": [{"what": "complete", "sensors": [CGM]}],
    }


def unworn(worn: list[tuple[float, float]], lasts_s: float) -> Iterator[Document]:
    """The strap lies in a drawer, where nobody hears it."""
    begin_s = 0.0
    for worn_s, over_s in [*worn, (lasts_s, lasts_s)]:
        span = {"at": duration(begin_s), "for": duration(worn_s - begin_s)}
        yield {"what": "out of reach", **span, "sensor": STRAP}
        begin_s = over_s
