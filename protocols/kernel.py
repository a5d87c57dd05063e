"""Prints a program as the text of a numba kernel, and says which arrays it fills.

Contract: the kernel never raises and never reads past a packet's end; it says of each packet what became of
it.

Not here: constructs, and what any packet looks like; compiling, see `columnar`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocols import medfloat
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

OFFSETS_WRONG: Final = -1
ROWS_EXCEEDED: Final = -2
"""What a kernel returns instead of the number of rows."""

_STEP = "    "


def _at(place: str) -> str:
    """An index. Unsigned, because numba looks at the sign of every other one."""
    return f"[np.uint64({place})]"


_ROW: Final = _at("row")


@dataclass(frozen=True)
class Column:
    """An argument of a kernel: the column of a leaf, or a companion of it."""

    path: str
    use: str
    dtype: type
    item_octets: int = 1

    @property
    def argument(self) -> str:
        """The kernel's name for it."""
        return f"{self.use}_of_{self.path.replace('.', '_')}"

    def length(self, rows: int, octets: int) -> int:
        """How many items there may be in so many rows out of so many octets."""
        return octets // self.item_octets if self.use == "many" else rows + (self.use == "start")


_UNSIGNED: Final = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_SIGNED: Final = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def _integer_type(leaf: Leaf) -> type:
    width = next(width for width in _UNSIGNED if width >= leaf.octets)
    return (_SIGNED if leaf.signed else _UNSIGNED)[width]


def columns_of(leaf: Leaf) -> Iterable[Column]:
    """The column of a leaf, and its companions."""
    if leaf.many:
        yield Column(leaf.path, "many", _integer_type(leaf), leaf.octets)
        yield Column(leaf.path, "start", np.int32)
    elif leaf.kind in (Kind.SFLOAT, Kind.FLOAT):
        yield Column(leaf.path, "value", np.float64)
        yield Column(leaf.path, "word", _integer_type(leaf))
    else:
        yield Column(leaf.path, "value", np.bool_ if leaf.kind is Kind.BOOLEAN else _integer_type(leaf))
    if leaf.present:
        yield Column(leaf.path, "present", np.bool_)


def generate(program: Program, record_octets_min: int | None = None) -> tuple[str, tuple[Column, ...]]:
    """The parameters and body of the kernel, and the columns among the parameters, in order.

    With `record_octets_min` a packet holds several records, each beginning with its size octet.
    """
    printer = _Printer(program, record_octets_min)
    return printer.text(), printer.columns


class _Printer:
    """Lines of a kernel; `p` is the place reached in a packet, `e` its end."""

    def __init__(self, program: Program, record_octets_min: int | None) -> None:
        self.program = program
        self.leaves = tuple(leaves(program.shape))
        self.columns = tuple(column for leaf in self.leaves for column in columns_of(leaf))
        self.record_octets_min = record_octets_min
        self.lines: list[str] = []
        self.depth = 2

    def text(self) -> str:
        parameters = ["buf", "offsets", "status", "packet", *(column.argument for column in self.columns)]
        many = [c.path.replace(".", "_") for c in self.columns if c.use == "many"]
        self.lines = [
            f"({', '.join(parameters)}):",
            f"{_STEP}row = 0",
            *(f"{_STEP}filled_{name} = start_of_{name}[0] = 0" for name in many),
            f"{_STEP}for k in range(len(offsets) - 1):",
        ]
        self.line("s = offsets[k]")
        self.line("e = offsets[k + 1]")
        # So that no octet is read twice, and the last offset bounds them all. That no place is negative saves
        # the compiled kernel from asking at every octet.
        self.line(f"if s < 0 or e < s: return {OFFSETS_WRONG}")
        self.line(f"if e - s > {ATT_VALUE_OCTETS_MAX}:")
        self.line(f"{_STEP}status[k] = {Status.TOO_LONG:d}")
        self.line(f"{_STEP}continue")
        if self.record_octets_min is None:
            self.record()
        else:
            self.records(self.record_octets_min)
        self.lines.append(f"{_STEP}return row")
        return "\n".join(self.lines)

    def records(self, octets_min: int) -> None:
        """All records of a packet. After a wrong checksum the next is decoded; after a wrong size none."""
        self.line("last = e")
        self.fail("e == s", Status.TOO_SHORT)
        self.line("while s < last:")
        self.depth += 1
        self.line(f"size = np.int64(buf{_at('s')})")
        self.line(f"if size < {octets_min} or size > last - s:")
        self.line(f"{_STEP}if status[k] == 0: status[k] = {Status.SIZE:d}")
        self.line(f"{_STEP}break")
        self.line(f"if row == len(packet): return {ROWS_EXCEEDED}")
        self.line("e = s + size")
        self.record()
        self.line("s = start + size")
        self.depth -= 1

    def record(self) -> None:
        self.line("start = s")
        self.line("p = s")
        for variable in self.program.variables:
            self.line(f"{variable} = 0")
        if self.record_octets_min is not None:
            self.line("s = last")
        self.block(self.program.block)
        for leaf in self.leaves:
            self.store(leaf)
        self.line(f"packet{_ROW} = k")
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
            f"np.int64(buf{_at(f'p + {i}')}) << {8 * i}" if i else f"np.int64(buf{_at('p')})"
            for i in range(read.octets)
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
        self.line(f"{_STEP}{by.var} |= np.int64(buf{_at('p + i')}) << 8 * i")
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
        self.line(f"word = np.int64(buf{_at('e')}) | np.int64(buf{_at('e + 1')}) << 8")
        self.line("wrong = True")
        if self.record_octets_min is not None:
            self.line("s = start + size")
        for kind in check.kinds:
            self.lines += [_STEP * self.depth + line.format(kind=kind) for line in _CRC]
        self.fail(f"wrong and {check.test}", Status.CHECKSUM)

    def store(self, leaf: Leaf) -> None:
        name = leaf.path.replace(".", "_")
        if leaf.present:
            self.line(f"if {leaf.present}:")
            self.depth += 1
            self.line(f"present_of_{name}{_ROW} = True")
        if leaf.many:
            self.store_many(leaf, name)
        elif leaf.kind in (Kind.SFLOAT, Kind.FLOAT):
            self.store_medfloat(leaf, name)
        else:
            shown = f"({leaf.expression}) != 0" if leaf.kind is Kind.BOOLEAN else leaf.expression
            self.line(f"value_of_{name}{_ROW} = {shown}")
        if leaf.present:
            self.depth -= 1
            self.store_absent(leaf, name)
        if leaf.many:
            self.line(f"start_of_{name}{_at('row + 1')} = filled_{name}")

    def store_absent(self, leaf: Leaf, name: str) -> None:
        self.line("else:")
        self.line(f"{_STEP}present_of_{name}{_ROW} = False")
        if not leaf.many:
            is_medfloat = leaf.kind in (Kind.SFLOAT, Kind.FLOAT)
            self.line(f"{_STEP}value_of_{name}{_ROW} = {'nan' if is_medfloat else 0}")
            if is_medfloat:
                self.line(f"{_STEP}word_of_{name}{_ROW} = 0")

    def store_many(self, leaf: Leaf, name: str) -> None:
        end = "end_of_text" if leaf.kind is Kind.TEXT else "e"
        self.line(
            f"for i in range(np.uint64({leaf.expression}), np.uint64({end}), np.uint64({leaf.octets})):"
        )
        octets = " | ".join(f"np.int64(buf[i + np.uint64({j})]) << {8 * j}" for j in range(leaf.octets))
        if leaf.signed:
            sign = 1 << 8 * leaf.octets - 1
            octets = f"(({octets}) ^ {sign}) - {sign}"
        self.line(f"{_STEP}many_of_{name}{_at(f'filled_{name}')} = {octets}")
        self.line(f"{_STEP}filled_{name} += 1")

    def store_medfloat(self, leaf: Leaf, name: str) -> None:
        word = leaf.expression
        bits = medfloat.MANTISSA_BITS[leaf.octets]
        half = 1 << bits - 1
        self.line(f"word_of_{name}{_ROW} = {word}")
        self.line(f"if {half - 2} <= {word} <= {half + 2}:")
        self.line(f"{_STEP}value_of_{name}{_ROW} = inf if {word} == {half - 2} else (")
        self.line(f"{_STEP * 2}-inf if {word} == {half + 2} else nan)")
        self.line("else:")
        mantissa = f"(({word} & {2 * half - 1} ^ {half}) - {half})"
        exponent = f"np.uint64({word} >> {bits})"
        scaled = f"{mantissa} * UP_{leaf.octets}[{exponent}] / DOWN_{leaf.octets}[{exponent}]"
        if leaf.is_quantity:
            scaled = f"nan if {mantissa} < 0 else {scaled}"
        self.line(f"{_STEP}value_of_{name}{_ROW} = {scaled}")


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
# step has to wait for the one before.
_CRC: Final = (
    "c = np.uint64(START_{kind:d}[e - start])",
    "far = np.uint64(e - 1 - start) << np.uint64(8)",
    "for i in range(np.uint64(start), np.uint64(e)):",
    "    c ^= np.uint64(OCTET_{kind:d}[far | np.uint64(buf[i])])",
    "    far -= np.uint64(256)",
    "wrong &= np.int64(c) != word",
)


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
