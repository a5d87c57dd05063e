"""What dm-log-writes of the kernel recorded of a disk: every write, in the order in which they were completed.

Contract: `entries` reads the log; `Disk` holds what is on the disk after some of them. A mark is what was said in
between, by `dmsetup message NAME 0 mark WORDS`. Source: drivers/md/dm-log-writes.c of Linux 6.12.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

# magic, version, entries, octets in a sector
_SUPER: Final = struct.Struct("<QQQI")
# first sector, sectors, flags, octets of data behind this header
_ENTRY: Final = struct.Struct("<QQQQ")
_MAGIC: Final = 0x6A736677736872
_VERSION: Final = 1
_DISCARD, _MARK = 1 << 2, 1 << 3


class LogError(ValueError):
    """This is no log of dm-log-writes."""


class Written(NamedTuple):
    """One entry: octets that were written at a place, zeros for what was discarded, or only a mark."""

    at: int
    octets: bytes
    mark: str | None


def entries(log: BinaryIO) -> Iterator[Written]:
    """The entries in order. Raises LogError."""
    head = log.read(_SUPER.size)
    magic, version, count, sector = _SUPER.unpack(head) if len(head) == _SUPER.size else (0, 0, 0, 0)
    if (magic, version) != (_MAGIC, _VERSION) or sector < 512 or sector % 512:
        raise LogError(f"no log of version {_VERSION}: {head.hex()}")
    log.seek(sector)
    for number in range(count):
        block = log.read(sector)
        if len(block) < sector:
            raise LogError(f"it ends within entry {number} of {count}")
        first, sectors, flags, data = _ENTRY.unpack_from(block)
        if flags & _MARK:
            yield Written(
                0, b"", block[_ENTRY.size : _ENTRY.size + data].rstrip(b"\0").decode(errors="replace")
            )
        elif flags & _DISCARD:
            yield Written(first * sector, bytes(sectors * sector), None)
        else:
            octets = log.read(sectors * sector)
            if len(octets) < sectors * sector:
                raise LogError(f"it ends within entry {number} of {count}")
            yield Written(first * sector, octets, None)


class Disk:
    """The octets of a disk, which is empty at first."""

    def __init__(self, size: int) -> None:
        self.octets = bytearray(size)

    def write(self, entry: Written) -> None:
        """Raises LogError if the entry lies behind its end."""
        end = entry.at + len(entry.octets)
        if end > len(self.octets):
            raise LogError(f"an entry writes up to {end}, on a disk of {len(self.octets)} octets")
        self.octets[entry.at : end] = entry.octets
