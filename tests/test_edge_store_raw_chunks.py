"""Chunks are found by time, and come back as they were."""

from pathlib import Path
from random import Random

import pytest
from edge_parts import in_transaction, minimal_config, open_store
from store_parts import SECOND_NS, beats, chunk

from edge.store.database import PAGE_BYTES
from edge.store.door import Store, Tables
from edge.store.raw_chunks import CHUNK_NS_MAX, NO_BEAT, HeartChunk, Packet, columns, pack, unpack


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(minimal_config(tmp_path))
    in_transaction(store, lambda tables: tables.boots.note("boot-2"))
    return store


def append(store: Store, *chunks: HeartChunk) -> None:
    def work(tables: Tables) -> None:
        for one in chunks:
            tables.raw_chunks.append(one)

    in_transaction(store, work)


def random_packet(rng: Random, arrival_us: int) -> Packet:
    arrival_ns = arrival_us * 1000
    beat_ns = rng.choice(
        [NO_BEAT, arrival_ns, arrival_ns - rng.randrange(2_000_000_000) * 1000, arrival_ns + 5000]
    )
    return Packet(rng.randbytes(rng.choice([0, 1, 2, 4, 6, 20, 300])), arrival_ns, beat_ns)


def test_a_body_gives_back_every_packet() -> None:
    for seed in range(300):
        rng = Random(seed)
        count = rng.choice([1, 2, 30, 121])
        start_us = rng.choice([0, 1, rng.randrange(1 << 45)])
        moments = sorted(rng.randrange(CHUNK_NS_MAX // 1000) for _ in range(count))
        packets = [random_packet(rng, start_us + moment) for moment in moments]
        assert list(unpack(packets[0].arrival_boot_ns, count, pack(packets))) == packets, seed


def test_the_columns_of_several_chunks_are_those_of_their_packets() -> None:
    for seed in range(100):
        rng = Random(seed)
        rows, packets, end_us = [], [], rng.choice([0, rng.randrange(1 << 45)])
        for _ in range(rng.choice([0, 1, 2, 9])):
            start_us = end_us + rng.choice([1000, 10**10])
            moments = sorted(rng.randrange(10**8) for _ in range(rng.choice([1, 2, 30, 121])))
            part = [random_packet(rng, start_us + moment) for moment in moments]
            end_us = part[-1].arrival_boot_ns // 1000
            packets += part
            rows.append((part[0].arrival_boot_ns, len(part), pack(part)))
        found = columns(rows)
        assert found.arrival_ns.tolist() == [packet.arrival_boot_ns for packet in packets], seed
        assert found.last_beat_ns.tolist() == [packet.last_beat_boot_ns for packet in packets], seed
        assert found.lengths.tolist() == [len(packet.payload) for packet in packets], seed
        assert found.octets == b"".join(packet.payload for packet in packets), seed


def test_times_are_kept_to_the_microsecond_however_many_packets_there_are() -> None:
    rng = Random(2)
    arrivals = [123_456_789_987 + n * 999_999_937 for n in range(100)]
    packets = [Packet(b"x", arrival, arrival - rng.randrange(10**9)) for arrival in arrivals]
    for before, after in zip(packets, unpack(arrivals[0], 100, pack(packets)), strict=True):
        assert 0 <= before.arrival_boot_ns - after.arrival_boot_ns < 1000
        assert abs(before.last_beat_boot_ns - after.last_beat_boot_ns) < 2000


def test_a_beat_too_far_from_its_packet_is_no_beat() -> None:
    packet = Packet(b"x", 10**15, 10**15 - 3_000 * SECOND_NS)
    assert list(unpack(10**15, 1, pack([packet]))) == [packet._replace(last_beat_boot_ns=NO_BEAT)]


def test_two_half_minutes_of_a_strap_fit_into_a_page() -> None:
    rng = Random(3)
    row_overhead_bytes, page_overhead_bytes = 40, 80 + 8
    largest = max(len(pack(beats(n * 30, 30, rng).packets)) for n in range(20))
    assert 2 * (largest + row_overhead_bytes) < PAGE_BYTES - page_overhead_bytes


def test_chunks_are_found_by_overlap(store: Store) -> None:
    append(store, *(chunk(n, n + 9, boot_no) for boot_no in (1, 2) for n in range(0, 100, 10)))

    def starts(start: int, end: int) -> list[int]:
        return [one.packets[0].arrival_boot_ns for one in store.tables.raw_chunks.between(1, 1, start, end)]

    assert starts(19, 40) == [10, 20, 30]
    assert starts(20, 41) == [20, 30, 40]
    assert starts(99, 100) == [90]
    assert starts(100, 200) == starts(5, 0) == []
    assert store.tables.raw_chunks.between(2, 1, 0, 100) == []
    assert store.tables.raw_chunks.spans(1, 2) == [(n, n + 9) for n in range(0, 100, 10)]
    assert store.tables.raw_chunks.boots(1) == [1, 2]
    assert store.tables.raw_chunks.boots(2) == []
    newest = store.tables.raw_chunks.newest(1)
    assert newest
    assert (newest.boot_no, newest.packets[0].arrival_boot_ns) == (2, 90)
    assert store.tables.raw_chunks.newest(2) is None


def test_the_longest_chunk_is_found_by_its_first_moment(store: Store) -> None:
    append(store, chunk(1000, 1000 + CHUNK_NS_MAX))
    assert len(store.tables.raw_chunks.between(1, 1, 1000, 1001)) == 1
    assert store.tables.raw_chunks.between(1, 1, 0, 1000) == []


def test_a_chunk_over_a_suspension_becomes_several(store: Store) -> None:
    """The time since boot goes on while a machine sleeps, and a window must not read hours to find its minutes."""
    packets = tuple(Packet(b"\x00\x3c", s * SECOND_NS, NO_BEAT) for s in (0, 1, 60, 120, 121, 90_000, 90_001))
    append(store, HeartChunk(1, 1, packets))
    found = store.tables.raw_chunks.between(1, 1, 0, 1 << 60)
    assert [len(one.packets) for one in found] == [4, 1, 2]
    assert tuple(packet for one in found for packet in one.packets) == packets


def test_chunks_of_one_moment_are_all_kept(store: Store) -> None:
    """As where a clock stands still, or goes by steps."""
    append(
        store, chunk(5, 5), chunk(5, 5, payload=b"\x00\x3d"), chunk(5, 5, payload=b"\x00\x3e"), chunk(4, 5)
    )
    found = store.tables.raw_chunks.between(1, 1, 0, 100)
    assert sorted(packet.payload for one in found for packet in one.packets) == [
        b"\x00\x3c",
        b"\x00\x3c",
        b"\x00\x3c",
        b"\x00\x3d",
        b"\x00\x3e",
    ]


def test_the_oldest_chunks_go_first(store: Store) -> None:
    append(store, *(chunk(n, n + 9, boot_no) for boot_no in (1, 2) for n in range(0, 100, 10)))

    def work(tables: Tables) -> None:
        assert tables.raw_chunks.delete_until(1, 1, 59, rows_max=3) == 3
        assert [first for first, _ in tables.raw_chunks.spans(1, 1)] == [30, 40, 50, 60, 70, 80, 90]
        assert tables.raw_chunks.delete_until(1, 1, 59, rows_max=30) == 2
        assert [first for first, _ in tables.raw_chunks.spans(1, 1)] == [50, 60, 70, 80, 90]
        assert tables.raw_chunks.delete_until(2, 1, 1 << 60, rows_max=30) == 0
        assert len(tables.raw_chunks.spans(1, 2)) == 10

    in_transaction(store, work)


def test_chunks_without_a_place_are_noted_once(store: Store) -> None:
    def work(tables: Tables) -> None:
        tables.raw_chunks.note_unplaced(1, 2)
        tables.raw_chunks.note_unplaced(1, 1)
        tables.raw_chunks.note_unplaced(1, 2)
        assert tables.raw_chunks.unplaced() == [(1, 1), (1, 2)]
        tables.raw_chunks.clear_unplaced(1, 1)
        assert tables.raw_chunks.unplaced() == [(1, 2)]

    in_transaction(store, work)
