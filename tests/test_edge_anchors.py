"""A moment of a boot is placed by the anchors around it, and never worse than they say."""

import math
import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.anchors import DRIFT_PPM, SURE_ERROR_MS, UNANCHORED_NS_MAX, Anchor, Placement, Span, Timeline

S = 10**9
MS = 10**6
HOUR = 3600 * S
T0 = 1_795_219_200 * S


def anchor(boot_s: float, behind_s: float = 0.0, error_ms: int | None = 100, boot_no: int = 1) -> Anchor:
    """At `boot_s` the wall clock showed `boot_s` after T0, and `behind_s` more."""
    return Anchor(boot_no, round(boot_s * S), T0 + round((boot_s + behind_s) * S), error_ms, "test")


def timeline(*anchors: Anchor) -> Timeline:
    made = Timeline()
    for one in anchors:
        made = made.with_anchor(one)
    return made


def off_s(made: Timeline, boot_s: float, boot_no: int = 1) -> float:
    """By how much the wall time of a moment is later than `boot_s` after T0."""
    placed = made.place(boot_no, round(boot_s * S))
    assert placed is not None
    return (placed.utc_ns - T0) / S - boot_s


def test_before_the_first_and_after_the_last_anchor_time_is_counted_on() -> None:
    made = timeline(anchor(1000, 7.0))
    assert [off_s(made, s) for s in (0, 999, 1000, 1001, 90_000)] == pytest.approx([7.0] * 5)
    assert made.place(1, 1000 * S) == Placement(T0 + 1007 * S, 100)
    assert made.place(1, 0) == made.place(1, 2000 * S)._replace(utc_ns=T0 + 7 * S)  # type: ignore[union-attr]
    assert made.place(1, 2000 * S).error_ms == 100 + 1000 * DRIFT_PPM // 1000  # type: ignore[union-attr]


def test_between_two_that_agree_time_runs_evenly() -> None:
    made = timeline(anchor(0), anchor(1000, 0.2))
    assert [off_s(made, s) for s in (-50, 0, 250, 500, 1000, 9000)] == pytest.approx(
        [0, 0, 0.05, 0.1, 0.2, 0.2]
    )


def test_after_the_clock_was_set_what_was_before_stays_where_it_was() -> None:
    made = timeline(anchor(0), anchor(1000, 86_400.0), anchor(2000, -400 * 86_400.0))
    assert [off_s(made, s) for s in (0, 999.9, 1000, 1999.9, 2000, 5000)] == pytest.approx(
        [0, 0, 86_400, 86_400, -400 * 86_400, -400 * 86_400]
    )


def test_two_that_agree_but_would_make_time_stand_still_are_a_step() -> None:
    made = timeline(anchor(0, error_ms=10_000), anchor(1, -3.0, error_ms=10_000))
    assert [off_s(made, s) for s in (0, 0.99, 1)] == pytest.approx([0, 0, -3])


def test_a_surer_anchor_that_agrees_speaks_for_a_vague_one() -> None:
    vague = anchor(1000, 40.0, error_ms=90_000)
    made = timeline(vague)
    assert off_s(made, 500) == pytest.approx(40)
    for order in ([vague, anchor(5000)], [anchor(5000), vague]):
        made = timeline(*order)
        assert [off_s(made, s) for s in (500, 1000, 5000)] == pytest.approx([0, 0, 0])
        assert made.place(1, 1000 * S).error_ms == 100 + 4000 * DRIFT_PPM // 1000  # type: ignore[union-attr]


def test_a_vague_anchor_that_contradicts_is_a_step_all_the_same() -> None:
    made = timeline(anchor(0), anchor(5000, 7200.0, error_ms=90_000))
    assert [off_s(made, s) for s in (4999, 5000)] == pytest.approx([0, 7200])


def test_a_sure_anchor_holds_against_one_that_is_not() -> None:
    unsure = anchor(1000, 900.0, error_ms=SURE_ERROR_MS)
    for order in ([unsure, anchor(5000)], [anchor(5000), unsure], [anchor(0), unsure]):
        assert [off_s(timeline(*order), s) for s in (500, 1000, 5000)] == pytest.approx([0, 0, 0])


def test_what_nothing_vouches_for_is_an_estimate_by_who_set_the_clock_last() -> None:
    made = timeline(anchor(0, -1e8, None), anchor(10, 3.0, None))
    assert made.place(1, 5 * S) == Placement(T0 + 8 * S, None)
    assert not made.place(1, 5 * S).trusted  # type: ignore[union-attr]
    assert not made.is_trusted(1)
    assert made.spans(0, 1 << 62) == []
    assert made.stretches(Span(1, 0, 10)) == []
    assert made.place(2, 0) is None
    assert not made.is_trusted(2)


def test_a_span_of_nothing_has_no_wall_time() -> None:
    assert timeline(anchor(100)).stretches(Span(1, 5 * S, 5 * S)) == []


def test_untrusted_anchors_move_nothing_once_there_is_a_trusted_one() -> None:
    trusted = timeline(anchor(100))
    made = timeline(anchor(0, -1e8, None), anchor(100), anchor(200, 1e9, None), anchor(300, 77.0, None))
    assert made.place(1, 0) == trusted.place(1, 0)
    assert [off_s(made, s) for s in (0, 150, 250, 350)] == pytest.approx([0] * 4)
    assert made.moved_since(trusted) == []


def test_of_one_moment_the_last_anchor_holds_but_no_untrusted_one_instead_of_a_trusted() -> None:
    for order in (
        [anchor(5, error_ms=None), anchor(5, 3.0)],
        [anchor(5, 3.0), anchor(5, error_ms=None)],
        [anchor(5, error_ms=1), anchor(5, 3.0)],
    ):
        assert off_s(timeline(*order), 5) == pytest.approx(3.0)
        assert off_s(Timeline({1: order}), 5) == pytest.approx(3.0)


def test_each_boot_has_its_own_anchors() -> None:
    made = timeline(anchor(0, 5.0), anchor(0, 900.0, boot_no=2), anchor(0, error_ms=None, boot_no=3))
    assert (off_s(made, 10), off_s(made, 10, boot_no=2)) == pytest.approx((5, 900))
    assert [made.is_trusted(n) for n in (1, 2, 3)] == [True, True, False]
    assert made.newest(2) == anchor(0, 900.0, boot_no=2)
    assert made.newest(9) is None


def test_a_boot_that_is_over_has_no_moments_long_after_its_newest_anchor() -> None:
    made = timeline(anchor(0, boot_no=1), anchor(1000, boot_no=1), anchor(0, 5000.0, boot_no=2))
    end_ns = 1000 * S + UNANCHORED_NS_MAX
    assert made.place(1, end_ns) is not None
    assert made.place(1, end_ns + 1) is None
    assert made.place(2, 10 * UNANCHORED_NS_MAX) is not None  # the newest boot goes on
    assert made.spans(T0 + 10 * UNANCHORED_NS_MAX, T0 + 10 * UNANCHORED_NS_MAX + S) == [
        Span(2, 10 * UNANCHORED_NS_MAX - 5000 * S, 10 * UNANCHORED_NS_MAX - 4999 * S)
    ]


def test_spans_are_in_order_of_time_and_whole_where_the_boot_is() -> None:
    made = timeline(
        anchor(0, 1000.0, boot_no=1),
        anchor(0, boot_no=2),
        anchor(600, 60.0, boot_no=2),
        anchor(700, boot_no=2),
    )
    # The clock of the second boot was a minute ahead for 100 s: its moments follow without a break.
    assert made.spans(T0, T0 + 2000 * S) == [Span(2, 0, 2000 * S), Span(1, 0, 1000 * S)]
    # 640 to 660 s after T0 come before the clock is set forward, while it is ahead, and after it was set back.
    assert made.spans(T0 + 650 * S, T0 + 670 * S) == [Span(2, 600 * S, 610 * S)]
    assert made.spans(T0 + 710 * S, T0 + 730 * S) == [Span(2, 650 * S, 670 * S), Span(2, 710 * S, 730 * S)]
    assert made.spans(T0 - 50 * S, T0) == []


# Anything at all

STEPS_S = [0.0, 0.0, 0.0, 0.004, -0.1, 0.7, -0.7, 30.0, -3600.0, 86_400.0, -4e8]
MOMENTS_S = st.integers(0, 40).map(lambda n: n * 90.0)
ANCHORS = st.lists(
    st.builds(
        anchor,
        MOMENTS_S,
        st.sampled_from(STEPS_S),
        st.sampled_from([None, 0, 20, 500, 10_000, 90_000, 150_000]),
        st.integers(1, 3),
    ),
    max_size=12,
    unique_by=lambda a: (a.boot_no, a.boot_ns),
)


def bound(of: Anchor, boot_ns: int) -> Fraction:
    assert of.error_ms is not None
    return of.error_ms * MS + Fraction(abs(boot_ns - of.boot_ns) * DRIFT_PPM, 1_000_000)


def agree(one: Anchor, other: Anchor) -> bool:
    parted = abs((one.utc_ns - one.boot_ns) - (other.utc_ns - other.boot_ns))
    return parted <= math.ceil(bound(one, other.boot_ns)) + bound(other, other.boot_ns)


def betters(one: Anchor, other: Anchor) -> bool:
    """Whether the other says nothing beside the one."""
    assert one.error_ms is not None
    assert other.error_ms is not None
    is_overruled = one.error_ms < SURE_ERROR_MS <= other.error_ms
    return bound(one, other.boot_ns) < bound(other, other.boot_ns) and (is_overruled or agree(one, other))


def oracle(anchors: list[Anchor], boot_ns: int) -> int | None:
    """The wall time of a moment of a boot, in plain arithmetic; None if no anchor is trusted."""
    counting: list[Anchor] = []
    for new in sorted((a for a in anchors if a.error_ms is not None), key=lambda a: a.boot_ns):
        if counting and betters(counting[-1], new):
            continue
        while counting and betters(new, counting[-1]):
            counting.pop()
        counting.append(new)
    if not counting:
        return None
    before = [a for a in counting if a.boot_ns <= boot_ns]
    after = [a for a in counting if a.boot_ns > boot_ns]
    near = before[-1] if before else after[0]
    if before and after:
        length, gone = after[0].boot_ns - near.boot_ns, boot_ns - near.boot_ns
        parted = after[0].utc_ns - near.utc_ns - length
        if agree(near, after[0]) and 2 * abs(parted) <= length:
            return near.utc_ns + math.floor(Fraction(gone * (length + parted), length))
    return near.utc_ns + boot_ns - near.boot_ns


def probes(anchors: list[Anchor]) -> list[int]:
    """Moments worth a look: around each anchor, and in between."""
    marks = sorted({a.boot_ns for a in anchors} | {0, 5000 * S})
    middles = [(a + b) // 2 for a, b in pairwise(marks)]
    return sorted({max(0, m + d) for m in marks + middles for d in (-1, 0, 1, 12_345_678_901)})


@settings(max_examples=200)
@given(ANCHORS, st.randoms(use_true_random=False))
def test_every_moment_is_placed_as_plain_arithmetic_has_it(anchors: list[Anchor], rng: random.Random) -> None:
    shuffled = anchors[:]
    rng.shuffle(shuffled)
    by_boot = {n: [a for a in shuffled if a.boot_no == n] for n in {a.boot_no for a in anchors}}
    for made in (timeline(*anchors), timeline(*shuffled), Timeline(by_boot)):
        for boot_no, of_boot in by_boot.items():
            for boot_ns in probes(of_boot):
                placed, expected = made.place(boot_no, boot_ns), oracle(of_boot, boot_ns)
                assert placed is not None
                assert placed.trusted is (expected is not None) is made.is_trusted(boot_no)
                if expected is not None:
                    assert placed.utc_ns == expected


@settings(max_examples=150)
@given(ANCHORS, st.integers(-100, 5000), st.sampled_from([1, 300, 86_400]))
def test_spans_hold_a_moment_exactly_if_its_wall_time_is_in_them(
    anchors: list[Anchor], start_s: int, length_s: int
) -> None:
    made = timeline(*anchors)
    start, end = T0 + start_s * S, T0 + (start_s + length_s) * S
    spans = made.spans(start, end)
    assert spans == sorted(spans, key=lambda span: made.place(*span[:2]).utc_ns)  # type: ignore[union-attr]
    in_boot = sorted(spans)
    assert all(a.boot_no != b.boot_no or a.to_boot_ns < b.from_boot_ns for a, b in pairwise(in_boot))
    for boot_no in {a.boot_no for a in anchors}:
        edges = [n + d for span in spans for n in (span.from_boot_ns, span.to_boot_ns) for d in (-1, 0)]
        for boot_ns in probes([a for a in anchors if a.boot_no == boot_no]) + [e for e in edges if e >= 0]:
            placed = made.place(boot_no, boot_ns)
            inside = placed is not None and placed.trusted and start <= placed.utc_ns < end
            assert inside is any(
                s.boot_no == boot_no and s.from_boot_ns <= boot_ns < s.to_boot_ns for s in spans
            )


@settings(max_examples=150)
@given(ANCHORS, ANCHORS)
def test_what_moved_is_told_and_nothing_else(anchors: list[Anchor], more: list[Anchor]) -> None:
    before = timeline(*anchors)
    after = timeline(*anchors, *more)
    moved = after.moved_since(before)
    for boot_no in {a.boot_no for a in anchors + more}:
        for boot_ns in probes([a for a in anchors + more if a.boot_no == boot_no]):
            old, new = before.place(boot_no, boot_ns), after.place(boot_no, boot_ns)
            is_told = any(s.boot_no == boot_no and s.from_boot_ns <= boot_ns < s.to_boot_ns for s in moved)
            assert new is not None
            if old is None or not old.trusted:
                assert is_told is new.trusted
            elif old.utc_ns != new.utc_ns:
                assert is_told
            elif is_told:  # Two lines may cross.
                around = [
                    (before.place(boot_no, n), after.place(boot_no, n)) for n in (boot_ns - S, boot_ns + S)
                ]
                assert any(o is None or n is None or o.utc_ns != n.utc_ns for o, n in around)
    assert after.moved_since(after) == []


@settings(max_examples=200)
@given(ANCHORS, st.integers(0, 5000), st.integers(1, 900))
def test_stretches_hold_the_wall_time_of_every_moment(
    anchors: list[Anchor], from_s: int, length_s: int
) -> None:
    made = timeline(*anchors)
    for boot_no in {a.boot_no for a in anchors}:
        span = Span(boot_no, from_s * S, (from_s + length_s) * S)
        stretches = made.stretches(span)
        for boot_ns in range(span.from_boot_ns, span.to_boot_ns, length_s * S // 7):
            placed = made.place(boot_no, boot_ns)
            assert placed is not None
            assert any(a <= placed.utc_ns < b for a, b in stretches) is placed.trusted
        for a, b in stretches:
            assert a < b
            assert made.place(boot_no, span.from_boot_ns).trusted  # type: ignore[union-attr]


@settings(max_examples=150)
@given(st.integers(0, 1 << 32))
def test_if_every_anchor_is_as_good_as_it_says_every_placement_is(seed: int) -> None:
    rng = random.Random(seed)
    # A wall clock that parts from the time since boot as fast as it may, now this way, now that.
    marks = [0.0]
    rates = []
    while marks[-1] < 20_000:
        marks.append(marks[-1] + rng.uniform(1, 4000))
        rates.append(rng.uniform(-DRIFT_PPM, DRIFT_PPM) / 1e6)

    def true_s(boot_s: float) -> float:
        gone = [
            rate * (min(b, boot_s) - a)
            for (a, b), rate in zip(pairwise(marks), rates, strict=True)
            if a < boot_s
        ]
        return boot_s + math.fsum(gone)

    anchors = []
    for boot_s in rng.sample(range(20_000), rng.randrange(1, 8)):
        error_ms = rng.choice([1, 50, 1000, 60_000])
        anchors.append(
            anchor(boot_s, true_s(boot_s) - boot_s + rng.uniform(-1, 1) * error_ms / 1000, error_ms)
        )
    made = timeline(*anchors)
    for boot_s in rng.sample(range(20_000), 40):
        placed = made.place(1, boot_s * S)
        assert placed is not None
        assert placed.error_ms is not None
        assert abs((placed.utc_ns - T0) / S - true_s(boot_s)) <= placed.error_ms / 1000 + 1e-6


def test_hourly_anchors_of_a_clock_that_keeps_time_cost_nothing_to_look_through() -> None:
    years = Timeline({1: [anchor(3600 * n) for n in range(3 * 8766)]})
    assert years.spans(T0 + HOUR, T0 + HOUR + 300 * S) == [Span(1, HOUR, HOUR + 300 * S)]
    assert years.with_anchor(anchor(3600 * 3 * 8766)).moved_since(years) == []
