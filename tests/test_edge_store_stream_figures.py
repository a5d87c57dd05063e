"""Figures of streams are found by the time of their end, and go with the packets of that time."""

from pathlib import Path

from edge_parts import MIDNIGHT_UTC_S, in_transaction, minimal_config, open_store

from edge.anchors import Anchor
from edge.config import Limits
from edge.history.body import Computed
from edge.history.bounds import Bounds
from edge.history.stream_window import with_streams
from edge.store import retention
from edge.store.door import Tables
from edge.store.raw_chunks import NO_BEAT, HeartChunk, Packet
from edge.store.stream_figures import Figures

S = 10**9
DAY_S = 86_400


def test_figures_of_a_stretch_are_those_that_end_in_it(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))

    def fill(tables: Tables) -> None:
        for n in range(1, 11):
            tables.stream_figures.put(1, 1, 60 * n * S, Figures(motion_s=n, still_s=1.0, intervals=n))
        tables.stream_figures.put(1, 1, 60 * S, Figures(motion_s=99.0))  # of this moment something is known
        tables.stream_figures.put(2, 1, 120 * S, Figures(motion_s=99.0))

    in_transaction(store, fill)
    found = store.tables.stream_figures.between(1, 1, 60 * S, 180 * S)
    assert found == [Figures(2.0, 1.0, intervals=2), Figures(3.0, 1.0, intervals=3)]
    assert found[0].plus(found[1]) == Figures(5.0, 2.0, 0.0, 0.0, 5, 0)


def test_a_window_has_the_figures_whose_middle_lies_in_it(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))

    def fill(tables: Tables) -> None:
        tables.boots.add_anchor(Anchor(1, 0, MIDNIGHT_UTC_S * S, 500, "system"))
        for n in range(1, 12):
            seen = Figures(60.0, 60.0 if n <= 5 else 0.0, 60.0, 30.0, 70, 7 * n)
            tables.stream_figures.put(1, 1, 60 * n * S, seen)

    in_transaction(store, fill)
    tables, plain = store.tables, Computed({"beats": 1}, has_data=True)
    first, second, third = (
        with_streams(
            tables,
            tables.boots.timeline(),
            1,
            Bounds(MIDNIGHT_UTC_S + 300 * n, MIDNIGHT_UTC_S + 300 * n + 300),
            plain,
        )
        for n in range(3)
    )
    assert first.body == {
        "beats": 1,
        "still_pct": 100.0,
        "ecg_quality_pct": 50.0,
        "ecg_confirmed_pct": 30.0,
    }
    assert second.body["still_pct"] == 0.0
    # Of one sensor without streams, and of a time without them, nothing is said.
    assert with_streams(tables, tables.boots.timeline(), 2, Bounds(0, 1 << 40), plain) == plain
    assert third.body["still_pct"] == 0.0
    late = Bounds(MIDNIGHT_UTC_S + 900, MIDNIGHT_UTC_S + 1200)
    assert with_streams(tables, tables.boots.timeline(), 1, late, plain) == plain


def test_figures_are_forgotten_with_the_packets_of_their_time(tmp_path: Path) -> None:
    store = open_store(minimal_config(tmp_path))

    def fill(tables: Tables) -> None:
        tables.boots.add_anchor(Anchor(1, 0, MIDNIGHT_UTC_S * S, 500, "system"))
        for day in range(20):
            at_ns = (DAY_S * day + 60) * S
            tables.raw_chunks.append(HeartChunk(1, 1, (Packet(b"\0<", at_ns, NO_BEAT),)))
            tables.stream_figures.put(1, 1, at_ns + S, Figures(motion_s=float(day)))

    in_transaction(store, fill)
    now = retention.Present(MIDNIGHT_UTC_S + 20 * DAY_S, 1, 20 * DAY_S * S)

    def purge(tables: Tables) -> bool:
        return retention.purge_slice(tables, tables.boots.timeline(), now, Limits(), 100)

    while in_transaction(store, purge):
        pass
    left = store.tables.stream_figures.between(1, 1, 0, 1 << 62)
    assert [int(figures.motion_s) for figures in left] == list(range(6, 20))
    assert len(store.tables.raw_chunks.spans(1, 1)) == 14
    # The last of a boot are noted when its last packets have come.
    now = retention.Present(MIDNIGHT_UTC_S + 33 * DAY_S + 61, 1, (33 * DAY_S + 61) * S)
    while in_transaction(store, purge):
        pass
    assert store.tables.raw_chunks.boots(1) == []
    assert store.tables.stream_figures.between(1, 1, 0, 1 << 62) == []
