"""Raw packets of sensors that store nothing themselves, in chunks: each row holds the packets of some seconds.

There is no other copy. Chunks are kept for recomputation, and deleted after a while. The body of a chunk is compressed.
It holds three columns with an entry for each packet, and then the payloads. Each column is stored octet by octet: first
the lowest octets of all entries, then the next ones, and so on.

    |<- 4 n ->|<- 4 n ->|<- 2 n ->|<-   rest   ->|
    | arrival | beat    | length  | payloads     |
      uint32    int32     uint16
      us since  us before
      the one   the arrival;
      before    0x80000000: none

So times are kept to the microsecond, and a beat lies at most half an hour before or after its packet.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from edge.store.database import Database, Row

I64: TypeAlias = npt.NDArray[np.int64]

NS_PER_US = 1000
NO_BEAT: Final = -1
# No chunk is longer. So the chunks that may hold a moment are found by their ends alone.
CHUNK_NS_MAX = 120_000_000_000

_NONE = -(1 << 31)
_BEAT_US_MAX = (1 << 31) - 1
_COMPRESSION = 1
_OCTETS: Final = 10  # of a packet in the columns before the payloads


class Packet(NamedTuple):
    """A packet: its bytes, when it arrived, and the time of the last beat in it, or `NO_BEAT`."""

    payload: bytes
    arrival_boot_ns: int
    last_beat_boot_ns: int


class HeartChunk(NamedTuple):
    """Packets of one sensor in one boot, in the order they arrived; at least one."""

    sensor_no: int
    boot_no: int
    packets: tuple[Packet, ...]


class Columns(NamedTuple):
    """Packets of one sensor in one boot, column by column.

    Attributes:
        arrival_ns, last_beat_ns: when each arrived, and when its last beat was, or `NO_BEAT`.
        lengths: how many of the octets are its payload.
        octets: the payloads, end to end.
    """

    arrival_ns: I64
    last_beat_ns: I64
    lengths: I64
    octets: bytes


class RawChunks:
    """The chunks of all sensors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, chunk: HeartChunk) -> None:
        """Store a chunk. One that is longer than `CHUNK_NS_MAX` becomes several rows."""
        for packets in _short_enough(chunk.packets):
            last_ns = packets[-1].arrival_boot_ns
            # Two chunks end in the same nanosecond only if the clock stands still. Then the later one's end is moved.
            while not self._database.write(
                "INSERT INTO raw_chunks (sensor_no, boot_no, first_boot_ns, last_boot_ns, packets, body)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                chunk.sensor_no,
                chunk.boot_no,
                packets[0].arrival_boot_ns,
                last_ns,
                len(packets),
                pack(packets),
            ):
                last_ns += 1

    def between(self, sensor_no: int, boot_no: int, from_boot_ns: int, to_boot_ns: int) -> list[HeartChunk]:
        """The chunks that may hold packets of [from, to), oldest first."""
        rows = self._between(sensor_no, boot_no, from_boot_ns, to_boot_ns)
        return [HeartChunk(sensor_no, boot_no, tuple(unpack(*row))) for row in rows]

    def columns_between(self, sensor_no: int, boot_no: int, from_boot_ns: int, to_boot_ns: int) -> Columns:
        """The packets of the same chunks, column by column."""
        return columns(self._between(sensor_no, boot_no, from_boot_ns, to_boot_ns))

    def _between(self, sensor_no: int, boot_no: int, from_boot_ns: int, to_boot_ns: int) -> Sequence[Row]:
        return self._database.read(
            "SELECT first_boot_ns, packets, body FROM raw_chunks WHERE sensor_no = ? AND boot_no = ?"
            " AND last_boot_ns >= ? AND last_boot_ns < ? AND first_boot_ns < ? ORDER BY last_boot_ns",
            sensor_no,
            boot_no,
            from_boot_ns,
            to_boot_ns + CHUNK_NS_MAX,
            to_boot_ns,
        )

    def after(self, sensor_no: int, boot_no: int, boot_ns: int, rows_max: int) -> list[HeartChunk]:
        """The next chunks that end after a moment of a boot, those of later boots included, oldest first."""
        rows = self._database.read(
            "SELECT sensor_no, boot_no, first_boot_ns, packets, body FROM raw_chunks WHERE sensor_no = ?"
            " AND (boot_no, last_boot_ns) > (?, ?) ORDER BY boot_no, last_boot_ns LIMIT ?",
            sensor_no,
            boot_no,
            boot_ns,
            rows_max,
        )
        return [_chunk(row) for row in rows]

    def newest(self, sensor_no: int) -> HeartChunk | None:
        rows = self._database.read(
            "SELECT sensor_no, boot_no, first_boot_ns, packets, body FROM raw_chunks WHERE sensor_no = ?"
            " ORDER BY boot_no DESC, last_boot_ns DESC LIMIT 1",
            sensor_no,
        )
        return _chunk(rows[0]) if rows else None

    def boots(self, sensor_no: int) -> list[int]:
        """The boots of which there are chunks, oldest first."""
        found: list[int] = []
        while True:
            # The key leads from one boot to the next, so the chunks in between are not read.
            ((boot_no,),) = self._database.read(
                "SELECT min(boot_no) FROM raw_chunks WHERE sensor_no = ? AND boot_no > ?",
                sensor_no,
                found[-1] if found else -1,
            )
            if boot_no is None:
                return found
            found.append(boot_no)

    def spans(self, sensor_no: int, boot_no: int) -> list[tuple[int, int]]:
        """First and last arrival in each chunk, oldest first."""
        return [
            (first, last)
            for first, last in self._database.read(
                "SELECT first_boot_ns, last_boot_ns FROM raw_chunks WHERE sensor_no = ? AND boot_no = ?"
                " ORDER BY last_boot_ns",
                sensor_no,
                boot_no,
            )
        ]

    def delete_until(self, sensor_no: int, boot_no: int, boot_ns: int, rows_max: int) -> int:
        """Delete the oldest chunks that ended before a moment, at most so many rows; how many there were."""
        return self._database.write(
            "DELETE FROM raw_chunks WHERE no IN (SELECT no FROM raw_chunks WHERE sensor_no = ? AND boot_no = ?"
            " AND last_boot_ns < ? ORDER BY last_boot_ns LIMIT ?)",
            sensor_no,
            boot_no,
            boot_ns,
            rows_max,
        )

    def note_unplaced(self, sensor_no: int, boot_no: int) -> None:
        """Note that chunks of this boot have marked no period yet, because their wall time was unknown."""
        self._database.write("INSERT INTO unplaced VALUES (?, ?) ON CONFLICT DO NOTHING", sensor_no, boot_no)

    def unplaced(self) -> list[tuple[int, int]]:
        """(sensor_no, boot_no) of all chunks that have marked no period yet."""
        rows = self._database.read("SELECT sensor_no, boot_no FROM unplaced ORDER BY sensor_no, boot_no")
        return [(sensor_no, boot_no) for sensor_no, boot_no in rows]

    def clear_unplaced(self, sensor_no: int, boot_no: int) -> None:
        self._database.write("DELETE FROM unplaced WHERE sensor_no = ? AND boot_no = ?", sensor_no, boot_no)


def pack(packets: Sequence[Packet]) -> bytes:
    """The body of a chunk; its packets lie within `CHUNK_NS_MAX`."""
    # Differences between rounded times, so that the rounding errors do not add up.
    first_ns = packets[0].arrival_boot_ns
    arrivals_us = [(packet.arrival_boot_ns - first_ns) // NS_PER_US for packet in packets]
    gaps_us = [later - earlier for earlier, later in pairwise((0, *arrivals_us))]
    columns = (
        _by_octets("I", gaps_us),
        _by_octets("i", [_beat_us(packet) for packet in packets]),
        _by_octets("H", [len(packet.payload) for packet in packets]),
    )
    return zlib.compress(b"".join((*columns, *(packet.payload for packet in packets))), _COMPRESSION)


def columns(chunks: Sequence[Row]) -> Columns:
    """The packets of chunks, times to the microsecond; of a chunk its first time, how many packets it has, its body."""
    contents = [(count, zlib.decompress(body)) for _, count, body in chunks]
    counts = np.array([count for count, _ in contents], np.int64)
    # Each column of all chunks together, for what numpy is asked costs more than how much it is asked for.
    by_octets = b"".join(
        content[n * count : (n + 1) * count] for n in range(_OCTETS) for count, content in contents
    )
    octets = np.frombuffer(by_octets, np.uint8).reshape(_OCTETS, counts.sum())
    gaps_us, beats_us = _by_entries("<u4", octets[:4]), _by_entries("<i4", octets[4:8])
    since_us, firsts = np.cumsum(gaps_us), np.cumsum(counts) - counts
    before_us = since_us[firsts] - gaps_us[firsts]
    first_ns = np.array([first_boot_ns for first_boot_ns, _, _ in chunks], np.int64)
    arrival_ns = NS_PER_US * since_us + np.repeat(first_ns - NS_PER_US * before_us, counts)
    beat_ns = np.where(beats_us == _NONE, NO_BEAT, arrival_ns - NS_PER_US * beats_us)
    payloads = b"".join(content[_OCTETS * count :] for count, content in contents)
    return Columns(arrival_ns, beat_ns, _by_entries("<u2", octets[8:]), payloads)


def unpack(first_boot_ns: int, count: int, body: bytes) -> Iterator[Packet]:
    """The packets of a body, one by one."""
    arrivals_ns, beats_ns, lengths, octets = columns([(first_boot_ns, count, body)])
    end = 0
    for arrival_ns, beat_ns, length in zip(
        arrivals_ns.tolist(), beats_ns.tolist(), lengths.tolist(), strict=True
    ):
        start, end = end, end + length
        yield Packet(octets[start:end], arrival_ns, beat_ns)


def _by_octets(code: str, entries: Sequence[int]) -> bytes:
    """The lowest octet of each entry, then the next one of each. Octets that hardly change compress well so."""
    octets = struct.pack(f"<{len(entries)}{code}", *entries)
    size = struct.calcsize(f"<{code}")
    return b"".join(octets[n::size] for n in range(size))


def _by_entries(kind: str, octets: npt.NDArray[np.uint8]) -> I64:
    return np.ascontiguousarray(octets.T).view(kind).ravel().astype(np.int64)


def _beat_us(packet: Packet) -> int:
    if packet.last_beat_boot_ns == NO_BEAT:
        return _NONE
    before_us = (packet.arrival_boot_ns - packet.last_beat_boot_ns) // NS_PER_US
    return before_us if abs(before_us) <= _BEAT_US_MAX else _NONE


def _short_enough(packets: Sequence[Packet]) -> Iterator[Sequence[Packet]]:
    """Split the packets into runs no longer than `CHUNK_NS_MAX`. After a suspension a chunk may be longer."""
    start = 0
    for i, packet in enumerate(packets):
        if packet.arrival_boot_ns - packets[start].arrival_boot_ns > CHUNK_NS_MAX:
            yield packets[start:i]
            start = i
    yield packets[start:]


def _chunk(row: Row) -> HeartChunk:
    sensor_no, boot_no, first_boot_ns, count, body = row
    return HeartChunk(sensor_no, boot_no, tuple(unpack(first_boot_ns, count, body)))
