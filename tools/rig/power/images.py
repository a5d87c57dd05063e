"""What may be on the disk after the power failed at some moment of a recording: images, drawn from a seed.

Contract: of what was written since the last sync of a file any sectors may be there and others not, in any order, and
it may have been cut off or not; of the names changed since the last sync of the directory the first few are there. What
was synced is there. A sector is whole: it has all of what one write put into it, or nothing of that. Images are drawn
just before each sync, so that they may lack anything written since the one before, and hold what was told by then.

What a store makes of an image is not known here (`script.judge`).
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from tools.rig.power.recording import Link, Recorder, Sync, SyncDirectory, Told, Truncate, Write

SECTOR_BYTES: Final = 512
# Of so few pieces every subset is drawn.
EXHAUSTIVE_PIECES: Final = 6


class Window(NamedTuple):
    """A moment: what is surely on the disk, what may be, and what was told.

    Attributes:
        durable: the contents of files, by their numbers.
        pieces: writes of one sector or less, and truncations, in order, each of which may be there.
        names: which file each name leads to.
        renamings: changes of names, of which the first few may be there.
        told: what the script had said.
    """

    durable: dict[int, bytes]
    pieces: tuple[Write | Truncate, ...]
    names: dict[str, int]
    renamings: tuple[Link, ...]
    told: tuple[str, ...]


class Image(NamedTuple):
    """Files by name; `chosen` says which pieces are there, and how many renamings."""

    files: dict[str, bytes]
    chosen: tuple[int, int]


def windows(recorder: Recorder) -> Iterator[Window]:
    """The moments just before each sync, and the last one."""
    durable = dict(enumerate(recorder.before.values()))
    names = {name: number for number, name in enumerate(recorder.before)}
    pieces: list[Write | Truncate] = []
    renamings: list[Link] = []
    told: list[str] = []

    def window() -> Window:
        return Window(dict(durable), tuple(pieces), dict(names), tuple(renamings), tuple(told))

    for entry in recorder.entries:
        if isinstance(entry, Sync | SyncDirectory):
            yield window()
        match entry:
            case Write():
                pieces.extend(_sectors(entry))
            case Truncate():
                pieces.append(entry)
            case Link():
                renamings.append(entry)
            case Sync(file):
                mine = [piece for piece in pieces if piece.file == file]
                pieces = [piece for piece in pieces if piece.file != file]
                durable[file] = _applied(durable.get(file, b""), mine)
            case SyncDirectory():
                _rename(names, renamings)
                renamings.clear()
            case Told(line):
                told.append(line)
    yield window()


def _sectors(write: Write) -> Iterator[Write]:
    at, end = write.at, write.at + len(write.octets)
    while at < end:
        until = min(end, at - at % SECTOR_BYTES + SECTOR_BYTES)
        yield Write(write.file, at, write.octets[at - write.at : until - write.at])
        at = until


def _applied(content: bytes, pieces: Sequence[Write | Truncate]) -> bytes:
    made = bytearray(content)
    for piece in pieces:
        if isinstance(piece, Truncate):
            del made[piece.size :]
            continue
        made.extend(bytes(max(0, piece.at - len(made))))
        made[piece.at : piece.at + len(piece.octets)] = piece.octets
    return bytes(made)


def _rename(names: dict[str, int], renamings: Sequence[Link]) -> None:
    for link in renamings:
        if link.file is None:
            names.pop(link.name, None)
        else:
            names[link.name] = link.file


def drawn(window: Window, count: int, rng: Random) -> Iterator[Image]:
    """At most so many different images of a moment, the extreme ones first."""
    seen: set[tuple[int, int]] = set()
    for chosen in _choices(len(window.pieces), len(window.renamings), count, rng):
        if chosen not in seen:
            seen.add(chosen)
            yield image(window, chosen)
        if len(seen) == count:
            return


def image(window: Window, chosen: tuple[int, int]) -> Image:
    """The image with these pieces (a bit for each) and so many renamings."""
    there = [piece for number, piece in enumerate(window.pieces) if chosen[0] >> number & 1]
    names = dict(window.names)
    _rename(names, window.renamings[: chosen[1]])
    files = {
        name: _applied(window.durable.get(file, b""), [piece for piece in there if piece.file == file])
        for name, file in names.items()
    }
    return Image(files, chosen)


def _choices(pieces: int, renamings: int, count: int, rng: Random) -> Iterator[tuple[int, int]]:
    everything = (1 << pieces) - 1
    for linked in {renamings, 0}:
        yield everything, linked
        yield 0, linked
    if pieces <= EXHAUSTIVE_PIECES:
        for bits in range(everything + 1):
            for linked in range(renamings + 1):
                yield bits, linked
        return
    singles = [1 << number for number in range(pieces)]
    rng.shuffle(singles)
    for single in singles[: count // 4]:
        yield everything ^ single, renamings
        yield single - 1, renamings  # all before it
    for _ in range(4 * count):
        share = rng.random()
        bits = sum(1 << number for number in range(pieces) if rng.random() < share)
        yield bits, rng.randint(0, renamings)
