"""Prints a program as a numba kernel: from all packets at once to columns.

Contract: the kernel never raises and never reads past a packet's end; it says of each packet what became of
it. A special SFLOAT or FLOAT stays distinguishable: its column of words has the word as sent, its column of
values infinity for an infinity and NaN for everything else that is no number, absent ones included.

numba is imported when the first kernel is made, so that a process that only decodes live packets never pays
for it.

Not here: constructs, and what any packet looks like.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocols import crc, medfloat
from protocols.program import (
    Assign,
    Block,
    ByLength,
    CheckCrc,
    CheckEnd,
    CheckSize,
    Items,
    Kind,
    Leaf,
    Program,
    Read,
    Refuse,
    Rest,
    Status,
    Trim,
    When,
    leaves,
)
from protocols.schema import ATT_VALUE_OCTETS_MAX

Array: TypeAlias = npt.NDArray[Any]
Octets: TypeAlias = npt.NDArray[np.uint8]
Offsets: TypeAlias = npt.NDArray[np.int64]

_STEP = "    "


@dataclass(frozen=True)
class Ragged:
    """A list per row: that of row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: Array
    offsets: Offsets

    def __getitem__(self, row: int) -> Array:
        values: Array = self.values[self.offsets[row] : self.offsets[row + 1]]
        return values


@dataclass(frozen=True)
class Columns:
    """What a batch of packets holds; a row is one reading.

    Attributes:
        status: `Status` of each packet.
        packet: for each row, the index of the packet it came in.
        values: by the dotted name of a field, one number per row; SFLOAT and FLOAT as float64.
        words: the same fields' words as sent, for SFLOAT and FLOAT.
        present: for fields that need not be there, whether they are; a value that is not is 0 or NaN.
        ragged: fields that hold many, or octets.
    """

    status: npt.NDArray[np.uint8]
    packet: Offsets
    values: Mapping[str, Array]
    words: Mapping[str, Array]
    present: Mapping[str, npt.NDArray[np.bool_]]
    ragged: Mapping[str, Ragged]


def flatten(payloads: Sequence[bytes]) -> tuple[Octets, Offsets]:
    """Payloads end to end, and where each begins and the last one ends."""
    flat = np.frombuffer(bytearray(b"".join(payloads)), dtype=np.uint8)
    offsets = np.zeros(len(payloads) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, payloads), dtype=np.int64, count=len(payloads)), out=offsets[1:])
    return flat, offsets


class Kernel:
    """The columnar decoder of a program; `record_octets_min` if a packet holds several sized records."""

    def __init__(self, name: str, program: Program, record_octets_min: int | None = None) -> None:
        self.leaves = tuple(leaves(program.shape))
        self.record_octets_min = record_octets_min
        self.arrays = tuple(array for leaf in self.leaves for array in _arrays(leaf))
        text = _Printer(self).function(program)
        # numba finds a compiled kernel again by its name and its byte code, in which the constants are not.
        self.name = (
            f"decode_{re.sub(r'[^a-z0-9]+', '_', name.lower())}_{sha256(text.encode()).hexdigest()[:12]}"
        )
        self.source = f"def {self.name}{text}"

    @cached_property
    def compiled(self) -> Callable[..., int]:
        """The kernel, compiled at its first call."""
        from numba import njit

        names: dict[str, Any] = {"np": np, "inf": np.inf, "nan": np.nan, "__name__": __name__}
        for octets in (2, 4):
            up, down = medfloat.SCALES[octets]
            names |= {f"UP_{octets}": np.array(up), f"DOWN_{octets}": np.array(down)}
        for kind in crc.FUNCTIONS:
            names[f"START_{kind:d}"], names[f"OCTET_{kind:d}"] = _crc_tables(kind)
        # numba keeps compiled kernels beside the file they say they are from.
        exec(compile(self.source, __file__, "exec"), names)  # noqa: S102
        compiled: Callable[..., int] = njit(cache=True)(names[self.name])
        return compiled

    def __call__(self, flat: Octets, offsets: Offsets) -> Columns:
        """The columns of packets that lie end to end in `flat`; packet i from `offsets[i]` to `[i + 1]`.

        Raises:
            ValueError: the offsets do not rise from 0 or more to at most the length of `flat`.
        """
        flat = np.require(flat, np.uint8, ["C", "W"])
        offsets = np.require(offsets, np.int64, ["C", "W"])
        packets = len(offsets) - 1
        if packets < 0 or offsets[0] < 0 or offsets[-1] > len(flat) or (offsets[1:] < offsets[:-1]).any():
            raise ValueError("The offsets do not lie within the octets, in rising order.")
        rows = packets if self.record_octets_min is None else len(flat) // self.record_octets_min
        status, packet = np.zeros(packets, np.uint8), np.empty(rows, np.int64)
        arrays = [array.allocate(rows, len(flat)) for array in self.arrays]
        count = self.compiled(flat, offsets, status, packet, *arrays)
        by_kind: dict[str, dict[str, Any]] = {"value": {}, "word": {}, "present": {}, "many": {}, "start": {}}
        for array, filled in zip(self.arrays, arrays, strict=True):
            by_kind[array.use][array.path] = filled
        ragged = {
            path: Ragged(values[: by_kind["start"][path][count]], by_kind["start"][path][: count + 1])
            for path, values in by_kind["many"].items()
        }
        cut = {
            use: {path: a[:count] for path, a in by_kind[use].items()} for use in ("value", "word", "present")
        }
        return Columns(status, packet[:count], cut["value"], cut["word"], cut["present"], ragged)


@dataclass(frozen=True)
class _Array:
    """An argument of a kernel: the column of a leaf, or a companion of it."""

    path: str
    use: str
    dtype: type
    item_octets: int = 1

    @property
    def argument(self) -> str:
        return f"{self.use}_of_{self.path.replace('.', '_')}"

    def allocate(self, rows: int, octets: int) -> Array:
        if self.use == "many":
            return np.empty(octets // self.item_octets, self.dtype)
        return np.zeros(rows + (self.use == "start"), self.dtype)


_UNSIGNED: Final = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_SIGNED: Final = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def _integer_type(leaf: Leaf) -> type:
    width = next(width for width in _UNSIGNED if width >= leaf.octets)
    return (_SIGNED if leaf.signed else _UNSIGNED)[width]


def _arrays(leaf: Leaf) -> Iterable[_Array]:
    if leaf.many:
        yield _Array(leaf.path, "many", _integer_type(leaf), leaf.octets)
        yield _Array(leaf.path, "start", np.int64)
    elif leaf.kind in (Kind.SFLOAT, Kind.FLOAT):
        yield _Array(leaf.path, "value", np.float64)
        yield _Array(leaf.path, "word", _integer_type(leaf))
    else:
        yield _Array(leaf.path, "value", np.bool_ if leaf.kind is Kind.BOOLEAN else _integer_type(leaf))
    if leaf.present:
        yield _Array(leaf.path, "present", np.bool_)


class _Printer:
    """Lines of a kernel; `p` is the place reached in a packet, `e` its end."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lines: list[str] = []
        self.depth = 2

    def function(self, program: Program) -> str:
        kernel = self.kernel
        parameters = ["buf", "offsets", "status", "packet", *(array.argument for array in kernel.arrays)]
        many = [array.path.replace(".", "_") for array in kernel.arrays if array.use == "many"]
        self.lines = [
            f"({', '.join(parameters)}):",
            f"{_STEP}row = 0",
            *(f"{_STEP}filled_{name} = 0" for name in many),
            f"{_STEP}for k in range(len(offsets) - 1):",
        ]
        self.line("s = offsets[k]")
        self.line("e = offsets[k + 1]")
        self.line(f"if e - s > {ATT_VALUE_OCTETS_MAX}:")
        self.line(f"{_STEP}status[k] = {Status.TOO_LONG:d}")
        self.line(f"{_STEP}continue")
        if kernel.record_octets_min is None:
            self.record(program)
        else:
            self.records(program, kernel.record_octets_min)
        self.lines.append(f"{_STEP}return row")
        return "\n".join(self.lines)

    def records(self, program: Program, octets_min: int) -> None:
        """All records of a packet. After a wrong checksum the next is decoded; after a wrong size none."""
        self.line("last = e")
        self.fail("e == s", Status.TOO_SHORT)
        self.line("while s < last:")
        self.depth += 1
        self.line("size = np.int64(buf[s])")
        self.line(f"if size < {octets_min} or size > last - s:")
        self.line(f"{_STEP}if status[k] == 0: status[k] = {Status.SIZE:d}")
        self.line(f"{_STEP}break")
        self.line("e = s + size")
        self.record(program)
        self.line("s = start + size")
        self.depth -= 1

    def record(self, program: Program) -> None:
        self.line("start = s")
        self.line("p = s")
        for variable in program.variables:
            self.line(f"{variable} = 0")
        if self.kernel.record_octets_min is not None:
            self.line("s = last")
        self.block(program.block)
        for leaf in self.kernel.leaves:
            self.store(leaf)
        self.line("packet[row] = k")
        self.line("row += 1")

    def line(self, text: str) -> None:
        self.lines.append(_STEP * self.depth + text)

    def fail(self, test: str, status: Status) -> None:
        self.line(f"if {test}:")
        self.line(f"{_STEP}if status[k] == 0: status[k] = {status:d}")
        self.line(f"{_STEP}continue")

    def block(self, block: Block) -> None:
        checked = 0
        for i, statement in enumerate(block):
            if isinstance(statement, Read):
                if not checked:
                    run = _run_of_reads(block[i:])
                    checked = len(run)
                    self.fail(f"p + {sum(read.octets for read in run)} > e", Status.TOO_SHORT)
                checked -= 1
            _PRINT[type(statement)](self, statement)

    def read(self, read: Read) -> None:
        terms = (
            f"np.int64(buf[p + {i}]) << {8 * i}" if i else "np.int64(buf[p])" for i in range(read.octets)
        )
        text = " | ".join(terms)
        if read.signed:
            sign = 1 << 8 * read.octets - 1
            text = f"(({text}) ^ {sign}) - {sign}"
        self.line(f"{read.var} = {text}")
        self.line(f"p += {read.octets}")

    def when(self, when: When) -> None:
        self.line(f"if {when.test}:")
        self.inner(when.block)
        if when.otherwise:
            self.line("else:")
            self.inner(when.otherwise)

    def inner(self, block: Block) -> None:
        self.depth += 1
        self.line("pass")
        self.block(block)
        self.depth -= 1

    def by_length(self, by: ByLength) -> None:
        self.fail(" and ".join(f"e - p != {width}" for width in by.widths), Status.VALUE)
        self.line(f"{by.var} = 0")
        self.line("for i in range(e - p):")
        self.line(f"{_STEP}{by.var} |= np.int64(buf[p + i]) << 8 * i")
        self.line("p = e")

    def items(self, items: Items) -> None:
        self.fail(f"e - p < {items.octets} or (e - p) % {items.octets}", Status.LEFT_OVER)
        self.line(f"{items.var} = p")
        self.line("p = e")

    def rest(self, rest: Rest) -> None:
        self.line(f"{rest.var} = p")
        if rest.text:
            self.line("end_of_text = e")
            self.line("while end_of_text > p and buf[end_of_text - 1] == 0: end_of_text -= 1")
            self.lines += [_STEP * self.depth + line for line in _UTF8]
            self.fail("p != end_of_text", Status.VALUE)
        self.line("p = e")

    def check_crc(self, check: CheckCrc) -> None:
        self.line("word = np.int64(buf[e]) | np.int64(buf[e + 1]) << 8")
        self.line("wrong = True")
        if self.kernel.record_octets_min is not None:
            self.line("s = start + size")
        for kind in check.kinds:
            self.lines += [_STEP * self.depth + line.format(kind=kind) for line in _CRC]
        self.fail(f"wrong and {check.test}", Status.CHECKSUM)

    def store(self, leaf: Leaf) -> None:
        name = leaf.path.replace(".", "_")
        if leaf.present:
            self.line(f"if {leaf.present}:")
            self.depth += 1
            self.line(f"present_of_{name}[row] = True")
        if leaf.many:
            self.store_many(leaf, name)
        elif leaf.kind in (Kind.SFLOAT, Kind.FLOAT):
            self.store_medfloat(leaf, name)
        else:
            shown = f"({leaf.expression}) != 0" if leaf.kind is Kind.BOOLEAN else leaf.expression
            self.line(f"value_of_{name}[row] = {shown}")
        if leaf.present:
            self.depth -= 1
            if leaf.kind in (Kind.SFLOAT, Kind.FLOAT) and not leaf.many:
                self.line("else:")
                self.line(f"{_STEP}value_of_{name}[row] = nan")
        if leaf.many:
            self.line(f"start_of_{name}[row + 1] = filled_{name}")

    def store_many(self, leaf: Leaf, name: str) -> None:
        end = "end_of_text" if leaf.kind is Kind.TEXT else "e"
        self.line(f"i = {leaf.expression}")
        self.line(f"while i < {end}:")
        octets = " | ".join(f"np.int64(buf[i + {j}]) << {8 * j}" for j in range(leaf.octets))
        if leaf.signed:
            sign = 1 << 8 * leaf.octets - 1
            octets = f"(({octets}) ^ {sign}) - {sign}"
        self.line(f"{_STEP}many_of_{name}[filled_{name}] = {octets}")
        self.line(f"{_STEP}filled_{name} += 1")
        self.line(f"{_STEP}i += {leaf.octets}")

    def store_medfloat(self, leaf: Leaf, name: str) -> None:
        word = leaf.expression
        bits = medfloat.MANTISSA_BITS[leaf.octets]
        half = 1 << bits - 1
        self.line(f"word_of_{name}[row] = {word}")
        self.line(f"if {half - 2} <= {word} <= {half + 2}:")
        self.line(f"{_STEP}value_of_{name}[row] = inf if {word} == {half - 2} else (")
        self.line(f"{_STEP * 2}-inf if {word} == {half + 2} else nan)")
        self.line("else:")
        mantissa = f"(({word} & {2 * half - 1} ^ {half}) - {half})"
        scaled = f"{mantissa} * UP_{leaf.octets}[{word} >> {bits}] / DOWN_{leaf.octets}[{word} >> {bits}]"
        self.line(f"{_STEP}value_of_{name}[row] = {scaled}")


def _run_of_reads(block: Block) -> list[Read]:
    run: list[Read] = []
    for statement in block:
        if not isinstance(statement, Read):
            break
        run.append(statement)
    return run


def _print_trim(printer: _Printer, trim: Trim) -> None:
    # As the element does it: what is too short for the checksum alone is too short for the value before it.
    printer.line(f"e = e - {trim.octets} if e - {trim.octets} > p else p")


_PRINT: Final[Mapping[type, Callable[[_Printer, Any], None]]] = {
    Read: _Printer.read,
    Assign: lambda printer, assign: printer.line(f"{assign.var} = {assign.expression}"),
    When: _Printer.when,
    ByLength: _Printer.by_length,
    Items: _Printer.items,
    Rest: _Printer.rest,
    Refuse: lambda printer, refuse: printer.fail(refuse.test, refuse.status),
    CheckSize: lambda printer, check: printer.fail(
        f"{check.var} != e - p + {1 + check.trailer}", Status.SIZE
    ),
    Trim: _print_trim,
    CheckEnd: lambda printer, _: printer.fail("p != e", Status.LEFT_OVER),
    CheckCrc: _Printer.check_crc,
}

# A checksum is linear: every octet contributes by its distance from the end, whatever the others are, and no
# step has to wait for the one before. Unsigned, because numba looks at the sign of every other index.
_CRC: Final = (
    "c = np.uint64(START_{kind:d}[e - start])",
    "far = np.uint64(e - 1 - start) << np.uint64(8)",
    "for i in range(np.uint64(start), np.uint64(e)):",
    "    c ^= np.uint64(OCTET_{kind:d}[far | np.uint64(buf[i])])",
    "    far -= np.uint64(256)",
    "wrong &= np.int64(c) != word",
)


def _crc_tables(kind: crc.Crc) -> tuple[Array, Array]:
    """The checksum of so many zeros, and what an octet at a distance (times 256) from the end adds to it."""
    checksum = crc.FUNCTIONS[kind]
    start = np.array([checksum(bytes(length)) for length in range(ATT_VALUE_OCTETS_MAX + 1)], np.uint16)
    octets = np.arange(256, dtype=np.uint16)
    added = np.zeros((ATT_VALUE_OCTETS_MAX, 256), np.uint16)
    for bit in range(8):
        alone = [checksum(bytes([1 << bit]) + bytes(distance)) for distance in range(ATT_VALUE_OCTETS_MAX)]
        added ^= (np.array(alone, np.uint16) ^ start[1:])[:, None] * (octets >> bit & 1)
    return start, added.ravel()


# Leaves p where the first octet is that is not UTF-8: the table of well-formed sequences of RFC 3629.
_UTF8: Final = (
    "while p < end_of_text:",
    "    c = np.int64(buf[p])",
    "    more = 0 if c < 0x80 else 1 if c < 0xE0 else 2 if c < 0xF0 else 3",
    "    if 0x80 <= c < 0xC2 or c > 0xF4 or p + more >= end_of_text: break",
    "    low = 0xA0 if c == 0xE0 else 0x90 if c == 0xF0 else 0x80",
    "    high = 0x9F if c == 0xED else 0x8F if c == 0xF4 else 0xBF",
    "    if more and not low <= buf[p + 1] <= high: break",
    "    if more > 1 and buf[p + 2] & 0xC0 != 0x80: break",
    "    if more > 2 and buf[p + 3] & 0xC0 != 0x80: break",
    "    p += 1 + more",
)
