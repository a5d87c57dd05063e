"""SQLite's write-ahead log as a file: its page size, and whether commits lie behind the place where SQLite stops.

Contract: SQLite reads the log up to the first frame whose checksum is wrong and takes that for its end, without a word.
After a power cut the last transaction may end like that: the disk may have its last frame, which says that it is
committed, without one before. But if another transaction follows, the disk has damaged what was committed. The log is
only read here, before SQLite writes to it.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

# https://www.sqlite.org/fileformat2.html#the_write_ahead_log
_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint number, salt (2), checksum (2)
_FRAME = struct.Struct(
    ">6I"
)  # page number, pages of the database after a commit or 0, salt (2), checksum (2)
_MAGIC = 0x377F0682  # the lowest bit: whether checksums take the words as big-endian
_SUMMED_OF_HEADER, _SUMMED_OF_FRAME = 24, 8

_Sums = tuple[int, int]


def log_of(path: Path) -> Path:
    """The log of the database at `path`."""
    return path.with_name(path.name + "-wal")


def page_bytes(log: Path) -> int | None:
    """The page size that the log says it has; None if there is no log, or it does not look like one."""
    with suppress(FileNotFoundError), log.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) == _HEADER.size:
            magic, _, size, *_ = _HEADER.unpack(header)
            return int(size) if magic & ~1 == _MAGIC else None
    return None


def hides_commits(log: Path, size: int) -> bool:
    """Whether a transaction lies behind the one with the first damaged frame, in a log with pages of this size.

    The header is on the disk before any frame, and fits into one sector: if it is damaged, each commit is hidden.
    Frames of an earlier use of the same file have another salt, and were all copied into the database.
    """
    with suppress(FileNotFoundError), log.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            return False
        magic, *_, salt_1, salt_2, sum_1, sum_2 = _HEADER.unpack(header)
        order = ">" if magic & 1 else "<"
        sums = _summed((0, 0), header[:_SUMMED_OF_HEADER], order)
        is_whole = magic & ~1 == _MAGIC and sums == (sum_1, sum_2)
        salt = (salt_1, salt_2) if is_whole else None
        # The first commit behind a damaged frame may be that of the same transaction, the last before a power cut.
        left = 2 if is_whole else 1
        for frame in _frames(file.read, size):
            page_no, pages, salt_1, salt_2, sum_1, sum_2 = _FRAME.unpack_from(frame)
            # Without a header, the first frame says which salt is in use.
            salt = salt or (salt_1, salt_2)
            is_ours = salt == (salt_1, salt_2)
            if is_whole:
                sums = _summed(sums, frame[:_SUMMED_OF_FRAME] + frame[_FRAME.size :], order)
                is_whole = is_ours and page_no != 0 and sums == (sum_1, sum_2)
            if not is_whole and is_ours and pages:
                left -= 1
                if left == 0:
                    return True
    return False


def _frames(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    while len(frame := read(_FRAME.size + size)) == _FRAME.size + size:
        yield frame


def _summed(sums: _Sums, content: bytes, order: str) -> _Sums:
    """SQLite's checksum, continued over this content."""
    one, other = sums
    for first, second in struct.iter_unpack(f"{order}II", content):
        one = (one + first + other) & 0xFFFFFFFF
        other = (other + second + one) & 0xFFFFFFFF
    return one, other
