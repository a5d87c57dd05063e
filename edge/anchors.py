"""Which wall time a moment of a boot was. Anchors say so: moments whose wall time is known, and how exactly.

Contract: everything here is immutable and pure, so the loop and the store's jobs look at the same timeline. A boot gets
its wall time from its trusted anchors alone. Without any, its moments have an estimate at best, and are in no period.
An anchor is ignored if another one, counted on to the same moment, has the smaller error there, and if the two agree or
only that other one is sure (its error is below `SURE_ERROR_MS`). Between two anchors that are left, time runs evenly
from one to the other if they agree. If they do not, the clock was set in between, and the earlier one holds until the
moment of the later. Before the first and after the last, time since boot is counted on. No clock is read here.

    trusted anchors        A . . . . . . B            agree within their errors and the drift: evenly from A to B
                           A - - - - - - |B           do not agree: as A says, and from B's moment as B says
    before and after   - - A             B - -        as the nearest says, less surely the farther away
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

NS_PER_MS = 1_000_000

# How fast the time since boot and the wall clock may part while nobody sets either: crystals are far better.
DRIFT_PPM: Final = 200
# A boot is anchored once an hour, so its data end at most so long after its newest anchor, unless it still runs.
UNANCHORED_NS_MAX: Final = 86_400_000_000_000
# Nothing irreversible is done by a clock that may be wrong by this much.
SURE_ERROR_MS: Final = 120_000
# No time since boot is larger. It may be negative: a session of a sensor may have begun before the boot.
_EVER = 1 << 62


class Anchor(NamedTuple):
    """At `boot_ns` of a boot it was `utc_ns`, give or take `error_ms`, says `source`; None: nothing vouches for it."""

    boot_no: int
    boot_ns: int
    utc_ns: int
    error_ms: int | None
    source: str


class Placement(NamedTuple):
    """The wall time of a moment, and how far it may be wrong; None: it is an estimate that nothing vouches for."""

    utc_ns: int
    error_ms: int | None

    @property
    def trusted(self) -> bool:
        return self.error_ms is not None

    @property
    def is_sure(self) -> bool:
        """Whether it is good enough for what is irreversible: to delete, to close, to tell a sensor the time."""
        return self.error_ms is not None and self.error_ms < SURE_ERROR_MS


class Span(NamedTuple):
    """The moments [from, to) of one boot."""

    boot_no: int
    from_boot_ns: int
    to_boot_ns: int


class _Piece(NamedTuple):
    """A straight part of a boot's wall time: `run_utc_ns` of it pass in each `run_boot_ns`, from an anchor on."""

    from_boot_ns: int
    to_boot_ns: int
    boot_ns: int
    utc_ns: int
    run_boot_ns: int = 1
    run_utc_ns: int = 1

    def utc_at(self, boot_ns: int) -> int:
        return self.utc_ns + (boot_ns - self.boot_ns) * self.run_utc_ns // self.run_boot_ns

    def first_boot_ns_at(self, utc_ns: int) -> int:
        """The first moment whose wall time is not before `utc_ns`, were the piece endless."""
        return self.boot_ns - (self.utc_ns - utc_ns) * self.run_boot_ns // self.run_utc_ns

    @property
    def is_even(self) -> bool:
        return self.run_boot_ns == self.run_utc_ns

    def goes_on_in(self, later: "_Piece") -> bool:
        return self.is_even and later.is_even and self.utc_at(0) == later.utc_at(0)

    def is_same_line(self, other: "_Piece") -> bool:
        same_run = self.run_boot_ns * other.run_utc_ns == self.run_utc_ns * other.run_boot_ns
        return (
            same_run
            and self.utc_at(other.boot_ns) == other.utc_ns
            and other.utc_at(self.boot_ns) == self.utc_ns
        )


class Timeline:
    """The anchors of all boots, and what follows from them."""

    def __init__(self, anchors: Mapping[int, Iterable[Anchor]] | None = None) -> None:
        """`anchors`: those of each boot, by its number, in any order."""
        self._courses = {boot_no: _Course(_in_order(of_boot)) for boot_no, of_boot in (anchors or {}).items()}
        self._index()

    def _index(self) -> None:
        self._newest_boot_no = max(self._courses, default=-1)
        # The wall time in which each trusted boot may have data, in order of its end.
        self._extents = sorted(
            (course.last_utc_ns(self._last_boot_ns(boot_no)), course.first_utc_ns, boot_no)
            for boot_no, course in self._courses.items()
            if course.pieces
        )

    def _last_boot_ns(self, boot_no: int) -> int:
        newest_ns = self._courses[boot_no].anchors[-1].boot_ns
        return _EVER if boot_no == self._newest_boot_no else newest_ns + UNANCHORED_NS_MAX

    def with_anchor(self, anchor: Anchor) -> "Timeline":
        """This timeline and one anchor more; of one moment the last holds, but no untrusted one for a trusted."""
        course = self._courses.get(anchor.boot_no)
        longer = Timeline()
        longer._courses = {
            **self._courses,
            anchor.boot_no: course.with_anchor(anchor) if course else _Course([anchor]),
        }
        longer._index()
        return longer

    def is_trusted(self, boot_no: int) -> bool:
        """Whether moments of this boot have a trustworthy wall time."""
        course = self._courses.get(boot_no)
        return course is not None and bool(course.pieces)

    def newest(self, boot_no: int) -> Anchor | None:
        """The newest anchor of a boot."""
        course = self._courses.get(boot_no)
        return course.anchors[-1] if course else None

    def place(self, boot_no: int, boot_ns: int) -> Placement | None:
        """The wall time of a moment; None if nothing at all is known of the boot."""
        course = self._courses.get(boot_no)
        if course is None or boot_ns > self._last_boot_ns(boot_no):
            return None
        return course.place(boot_ns)

    def spans(self, start_utc_ns: int, end_utc_ns: int) -> list[Span]:
        """The moments of trusted boots whose wall time is in [start, end), in order of time.

        What follows without a break in one boot is one span, though the clock may have been set in between.
        """
        found: list[tuple[int, Span]] = []
        for _, first_utc_ns, boot_no in self._extents[bisect_left(self._extents, (start_utc_ns,)) :]:
            if first_utc_ns >= end_utc_ns:
                continue
            course, last_ns = self._courses[boot_no], self._last_boot_ns(boot_no)
            for from_ns, to_ns in course.moments(start_utc_ns, end_utc_ns, last_ns):
                found.append((course.piece_at(from_ns).utc_at(from_ns), Span(boot_no, from_ns, to_ns)))
        return [span for _, span in sorted(found)]

    def stretches(self, span: Span) -> list[tuple[int, int]]:
        """The wall time of a span of a trusted boot, [from, to) in ns, a stretch for each setting of the clock."""
        course = self._courses.get(span.boot_no)
        if course is None:
            return []
        return [
            (piece.utc_at(from_ns), piece.utc_at(to_ns - 1) + 1)
            for piece, from_ns, to_ns in course.cut(span.from_boot_ns, span.to_boot_ns)
        ]

    def moved_since(self, earlier: "Timeline") -> list[Span]:
        """The moments whose trustworthy wall time is another than it was, or that have one now and had none."""
        spans: list[Span] = []
        for boot_no, course in self._courses.items():
            before = earlier._courses.get(boot_no)
            if course is not before and course.pieces:
                moved = course.moved_since(before) if before else iter([(-_EVER, _EVER)])
                spans.extend(Span(boot_no, *bounds) for bounds in moved)
        return spans


class _Course:
    """The wall time of one boot."""

    def __init__(self, anchors: list[Anchor], start: "_Course | None" = None) -> None:
        """`anchors`: at least one, in order of time; `start`: the course of some of the first of them."""
        self.anchors = anchors
        self._counting: list[Anchor] = start._counting[:] if start else []
        self.pieces: list[_Piece] = start.pieces[:] if start else []
        for anchor in anchors[len(start.anchors) if start else 0 :]:
            self._take(anchor)
        self._counting_boot_ns = [anchor.boot_ns for anchor in self._counting]
        self._ends_boot_ns = [piece.to_boot_ns for piece in self.pieces]
        self.first_utc_ns = min(
            (piece.utc_at(max(0, piece.from_boot_ns)) for piece in self._since_boot()), default=0
        )

    def with_anchor(self, anchor: Anchor) -> "_Course":
        if anchor.boot_ns > self.anchors[-1].boot_ns:
            return _Course([*self.anchors, anchor], start=self)
        return _Course(_in_order([*self.anchors, anchor]))

    def _take(self, anchor: Anchor) -> None:
        """Add the next anchor, and ignore from now on those that it makes superfluous."""
        if anchor.error_ms is None:
            return
        counting, pieces = self._counting, self.pieces
        if counting:
            newest = counting[-1]
            if _is_bettered(anchor, newest):
                return
            if anchor.utc_ns - newest.utc_ns == anchor.boot_ns - newest.boot_ns and not _is_bettered(
                newest, anchor
            ):
                # As nearly always: the clock keeps time, and everything is placed as before.
                counting.append(anchor)
                return
        while counting and _is_bettered(counting[-1], anchor):
            counting.pop()
        settled_ns = counting[-1].boot_ns if counting else -_EVER
        while pieces and pieces[-1].from_boot_ns >= settled_ns:
            pieces.pop()
        if pieces:
            pieces[-1] = pieces[-1]._replace(to_boot_ns=settled_ns)
        if counting:
            _join(pieces, _between(counting[-1], anchor))
        _join(pieces, _Piece(anchor.boot_ns if pieces else -_EVER, _EVER, anchor.boot_ns, anchor.utc_ns))
        counting.append(anchor)

    def _since_boot(self) -> Iterator[_Piece]:
        return (piece for piece in self.pieces if piece.to_boot_ns > 0)

    def last_utc_ns(self, last_boot_ns: int) -> int:
        return max(piece.utc_at(min(piece.to_boot_ns, last_boot_ns)) for piece in self._since_boot())

    def piece_at(self, boot_ns: int) -> _Piece:
        return self.pieces[bisect_right(self._ends_boot_ns, boot_ns)]

    def place(self, boot_ns: int) -> Placement:
        if not self.pieces:
            # Whoever set the clock last knew best, if anybody did.
            newest = self.anchors[-1]
            return Placement(newest.utc_ns + boot_ns - newest.boot_ns, None)
        return Placement(self.piece_at(boot_ns).utc_at(boot_ns), self._error_ms(boot_ns))

    def _error_ms(self, boot_ns: int) -> int:
        """How far a placement may be wrong at most, if each anchor is as good as it says."""
        n = bisect_right(self._counting_boot_ns, boot_ns)
        earlier, later = self._counting[max(0, n - 1)], self._counting[min(n, len(self._counting) - 1)]
        span_ns = later.boot_ns - earlier.boot_ns
        if n == 0 or span_ns == 0:
            return -(-_bound_ns(later, boot_ns) // NS_PER_MS)
        if not _agree_evenly(earlier, later):
            return -(-_bound_ns(earlier, boot_ns) // NS_PER_MS)
        # The errors of both, weighted by the distance to the other one, and what the drift may add in between.
        gone_ns, left_ns = boot_ns - earlier.boot_ns, later.boot_ns - boot_ns
        errors_ns = (_error_ns(earlier) * left_ns + _error_ns(later) * gone_ns) // span_ns
        drift_ns = 2 * _drift_ns(gone_ns) * left_ns // span_ns
        return -(-(errors_ns + drift_ns) // NS_PER_MS)

    def cut(self, from_boot_ns: int, to_boot_ns: int) -> Iterator[tuple[_Piece, int, int]]:
        """The pieces in [from, to), and from where to where each is."""
        if from_boot_ns >= to_boot_ns or not self.pieces:
            return
        for n in range(bisect_right(self._ends_boot_ns, from_boot_ns), len(self.pieces)):
            piece = self.pieces[n]
            if piece.from_boot_ns >= to_boot_ns:
                return
            yield piece, max(from_boot_ns, piece.from_boot_ns), min(to_boot_ns, piece.to_boot_ns)

    def moments(self, start_utc_ns: int, end_utc_ns: int, last_boot_ns: int) -> list[tuple[int, int]]:
        """From when to when since boot the wall time is in [start, end); what touches is one."""
        found: list[tuple[int, int]] = []
        for piece in self._since_boot():
            from_ns = max(0, piece.from_boot_ns, piece.first_boot_ns_at(start_utc_ns))
            to_ns = min(piece.to_boot_ns, piece.first_boot_ns_at(end_utc_ns), last_boot_ns + 1)
            if from_ns >= to_ns:
                continue
            if found and found[-1][1] == from_ns:
                from_ns = found.pop()[0]
            found.append((from_ns, to_ns))
        return found

    def moved_since(self, before: "_Course") -> Iterator[tuple[int, int]]:
        """From when to when another wall time holds than did before; what touches is one."""
        if not before.pieces:
            yield -_EVER, _EVER
            return
        from_ns: int | None = None
        start_ns = -_EVER
        while start_ns < _EVER:
            ours, theirs = self.piece_at(start_ns), before.piece_at(start_ns)
            if not ours.is_same_line(theirs):
                from_ns = start_ns if from_ns is None else from_ns
            elif from_ns is not None:
                yield from_ns, start_ns
                from_ns = None
            start_ns = min(ours.to_boot_ns, theirs.to_boot_ns)
        if from_ns is not None:
            yield from_ns, _EVER


def _in_order(anchors: Iterable[Anchor]) -> list[Anchor]:
    """Of each moment the last anchor, but none that nothing vouches for instead of a trusted one."""
    best: dict[int, Anchor] = {}
    for anchor in anchors:
        known = best.get(anchor.boot_ns)
        if known is None or known.error_ms is None or anchor.error_ms is not None:
            best[anchor.boot_ns] = anchor
    return [best[boot_ns] for boot_ns in sorted(best)]


def _between(earlier: Anchor, later: Anchor) -> _Piece:
    evenly = _agree_evenly(earlier, later)
    run = (later.boot_ns - earlier.boot_ns, later.utc_ns - earlier.utc_ns) if evenly else (1, 1)
    return _Piece(earlier.boot_ns, later.boot_ns, earlier.boot_ns, earlier.utc_ns, *run)


def _join(pieces: list[_Piece], piece: _Piece) -> None:
    if pieces and pieces[-1].goes_on_in(piece):
        piece = piece._replace(from_boot_ns=pieces.pop().from_boot_ns)
    pieces.append(piece)


def _error_ns(anchor: Anchor) -> int:
    assert anchor.error_ms is not None
    return anchor.error_ms * NS_PER_MS


def _drift_ns(span_ns: int) -> int:
    return -(-abs(span_ns) * DRIFT_PPM // 1_000_000)


def _bound_ns(anchor: Anchor, boot_ns: int) -> int:
    """How far the anchor, counted on to another moment, may be wrong there."""
    return _error_ns(anchor) + _drift_ns(boot_ns - anchor.boot_ns)


def _parted_ns(earlier: Anchor, later: Anchor) -> int:
    return abs((later.utc_ns - earlier.utc_ns) - (later.boot_ns - earlier.boot_ns))


def _agree(one: Anchor, other: Anchor) -> bool:
    """Whether two trusted anchors may both be right without the clock having been set in between."""
    return _parted_ns(one, other) <= _bound_ns(one, other.boot_ns) + _error_ns(other)


def _agree_evenly(earlier: Anchor, later: Anchor) -> bool:
    """Whether time may be counted evenly from one to the other: it must not stand still, let alone go back."""
    return _agree(earlier, later) and 2 * _parted_ns(earlier, later) <= later.boot_ns - earlier.boot_ns


def _is_bettered(anchor: Anchor, other: Anchor) -> bool:
    """Whether another anchor says the same, and more surely; or is sure of something else, and this one is not."""
    if anchor.error_ms is None or other.error_ms is None or other.error_ms >= anchor.error_ms:
        return False
    is_overruled = other.error_ms < SURE_ERROR_MS <= anchor.error_ms
    is_surer = _bound_ns(other, anchor.boot_ns) < _error_ns(anchor)
    return is_surer and (is_overruled or _agree(anchor, other))
