"""What a shared library asks of the system that loads it: read from its ELF file, without other tools."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MACHINES = {62: "x86_64", 183: "aarch64"}
DYNAMIC, DYNAMIC_SYMBOLS = 6, 11  # types of sections
NEEDED = 1  # tag of a dynamic entry
STACK, EXECUTABLE = 0x6474E551, 1  # type and flag of a segment


class Wants(NamedTuple):
    """What has to be there for the library to be loaded, and what it offers."""

    machine: str
    libraries: frozenset[str]
    undefined: frozenset[str]
    defined: frozenset[str]
    glibc: tuple[int, int]  # the newest version that is asked for
    executable_stack: bool


def wants(path: Path) -> Wants:
    """Reads a 64-bit little-endian ELF file."""
    data = path.read_bytes()
    (machine,) = struct.unpack_from("<H", data, 18)
    sections = list(_table(data, "<IIQQQQIIQQ", 0x28, 0x3A))
    segments = list(_table(data, "<IIQQQQQQ", 0x20, 0x36))
    symbols: dict[bool, set[str]] = {True: set(), False: set()}
    libraries = set()
    versions = set()
    for _, kind, _, _, at, size, link, _, _, _ in sections:
        if kind not in (DYNAMIC, DYNAMIC_SYMBOLS):
            continue
        names = data[sections[link][4] :][: sections[link][5]]
        for entry in range(at, at + size, 24 if kind == DYNAMIC_SYMBOLS else 16):
            if kind == DYNAMIC_SYMBOLS:
                name, _, _, section, _, _ = struct.unpack_from("<IBBHQQ", data, entry)
                symbols[section != 0].add(_name(names, name))
            else:
                tag, value = struct.unpack_from("<QQ", data, entry)
                libraries |= {_name(names, value)} if tag == NEEDED else set()
        versions |= {(int(a), int(b)) for a, b in re.findall(rb"GLIBC_(\d+)\.(\d+)", names)}
    return Wants(
        MACHINES.get(machine, str(machine)),
        frozenset(libraries),
        frozenset(symbols[False] - {""}),
        frozenset(symbols[True]),
        max(versions, default=(0, 0)),
        any(kind == STACK and flags & EXECUTABLE for kind, flags, *_ in segments),
    )


def _table(data: bytes, form: str, offset_at: int, size_at: int) -> Iterator[tuple[int, ...]]:
    """Entries of the table whose place is told at `offset_at`, their size and number at `size_at`."""
    (offset,) = struct.unpack_from("<Q", data, offset_at)
    size, count = struct.unpack_from("<HH", data, size_at)
    for k in range(count):
        yield struct.unpack_from(form, data, offset + k * size)


def _name(names: bytes, at: int) -> str:
    return names[at : names.index(b"\0", at)].decode()
