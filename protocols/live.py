"""Prints a program as a flat Python function: the decoder of packets as they arrive.

Contract: the function returns what the layout, interpreted, would return. Whatever it cannot read, it hands
to `refuse`, which has to raise: so the reasons for refusing are written once, in the elements.

Not here: constructs, and what any packet looks like.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import IntEnum, IntFlag
from struct import unpack_from
from typing import Any, Final

from protocols import crc, medfloat
from protocols.program import (
    Assign,
    Block,
    ByLength,
    CheckCrc,
    CheckEnd,
    CheckSize,
    Choice,
    Items,
    Kind,
    Leaf,
    Node,
    Program,
    Read,
    Refuse,
    Rest,
    Shape,
    Trim,
    When,
)
from protocols.schema import ATT_VALUE_OCTETS_MAX

Decoder = Callable[[bytes], Any]

_FORMATS = {1: "B", 2: "H", 4: "I", 8: "Q"}
_STEP = "    "


def generate(program: Program, refuse: Decoder) -> Decoder:
    """The decoder of a program; `refuse` gets every payload that is none, and raises."""
    printer = _Printer()
    source = printer.function(program)
    names: dict[str, Any] = {"refuse": refuse, "unpack_from": unpack_from, **printer.names}
    # The text is made from layouts in this package and holds nothing that was received.
    exec(compile(source, f"<decoder of {program.shape!s:.40}>", "exec"), names)  # noqa: S102
    decoder: Decoder = names["decode"]
    decoder.__doc__ = source
    return decoder


def _place(place: tuple[str, int]) -> str:
    base, delta = place
    if not base:
        return str(delta)
    return f"{base} + {delta}" if delta else base


class _Printer:
    """Lines of a function over `d`; the place reached is `base` plus the constant `delta`."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self.indent = _STEP * 2
        self.base = ""
        self.delta = 0

    def function(self, program: Program) -> str:
        self.block(program.block)
        value = self.value(program.shape)
        head = (
            "def decode(d):",
            f"{_STEP}e = len(d)",
            f"{_STEP}if e > {ATT_VALUE_OCTETS_MAX}: return refuse(d)",
            f"{_STEP}try:",
        )
        tail = (
            f"{_STEP}except (IndexError, UnicodeDecodeError):",
            f"{_STEP * 2}return refuse(d)",
            f"{_STEP}return {value}",
        )
        return "\n".join((*head, *self.lines, *tail))

    def line(self, text: str) -> None:
        self.lines.append(self.indent + text)

    def name(self, stem: str, thing: object) -> str:
        """A global name for something the function needs."""
        name = f"{stem}_{len(self.names)}"
        self.names[name] = thing
        return name

    def place(self, ahead: int = 0) -> str:
        return _place((self.base, self.delta + ahead))

    def block(self, block: Block) -> None:
        for statement in block:
            _PRINT[type(statement)](self, statement)

    def read(self, read: Read) -> None:
        terms = (f"d[{self.place(i)}]" + (f" << {8 * i}" if i else "") for i in range(read.octets))
        text = " | ".join(terms)
        if read.signed:
            sign = 1 << 8 * read.octets - 1
            text = f"(({text}) ^ {sign}) - {sign}"
        self.line(f"{read.var} = {text}")
        self.delta += read.octets

    def when(self, when: When) -> None:
        start = self.base, self.delta
        then, then_end = self.inner(when.block, start)
        otherwise, otherwise_end = self.inner(when.otherwise, start)
        if then_end != otherwise_end:
            for lines, end in ((then, then_end), (otherwise, otherwise_end)):
                if end != ("p", 0):
                    lines.append(f"{self.indent}{_STEP}p = {_place(end)}")
        self.line(f"if {when.test}:")
        self.lines += then
        if otherwise:
            self.line("else:")
            self.lines += otherwise
        self.base, self.delta = then_end if then_end == otherwise_end else ("p", 0)

    def inner(self, block: Block, start: tuple[str, int]) -> tuple[list[str], tuple[str, int]]:
        """The lines of a block one step in, and the place it ends at."""
        outer, self.lines = self.lines, []
        self.indent += _STEP
        self.base, self.delta = start
        self.block(block)
        self.indent = self.indent[: -len(_STEP)]
        lines, self.lines = self.lines, outer
        return lines, (self.base, self.delta)

    def refuse(self, test: str) -> None:
        self.line(f"if {test}: return refuse(d)")

    def by_length(self, by: ByLength) -> None:
        self.line(f"{by.var} = int.from_bytes(d[{self.place()}:e], 'little')")
        self.refuse(f"e - ({self.place()}) not in {by.widths}")
        self.base, self.delta = "e", 0

    def items(self, items: Items) -> None:
        self.line(f"count, left = divmod(e - ({self.place()}), {items.octets})")
        self.refuse("left or count < 1")
        code = _FORMATS.get(items.octets)
        if code is None:
            start = self.place()
            item = f"int.from_bytes(d[i:i + {items.octets}], 'little', signed={items.signed})"
            self.line(f"{items.var} = tuple([{item} for i in range({start}, e, {items.octets})])")
        else:
            code = code.lower() if items.signed else code
            self.line(f"{items.var} = unpack_from(f'<{{count}}{code}', d, {self.place()})")
        self.base, self.delta = "e", 0

    def rest(self, rest: Rest) -> None:
        self.refuse(f"e < {self.place()}")
        decoded = ".rstrip(b'\\0').decode()" if rest.text else ""
        self.line(f"{rest.var} = d[{self.place()}:e]{decoded}")
        self.base, self.delta = "e", 0

    def check_size(self, check: CheckSize) -> None:
        self.refuse(f"{check.var} != e - ({self.place()}) + {1 + check.trailer}")

    def check_crc(self, check: CheckCrc) -> None:
        sent = "d[e] | d[e + 1] << 8"
        computed = (f"{self.name('checksum', crc.FUNCTIONS[kind])}(d[:e]) != word" for kind in check.kinds)
        self.line(f"word = {sent}")
        self.refuse(f"{check.test} and {' and '.join(computed)}")

    def value(self, shape: Shape) -> str:
        """The expression that makes a reading, or a part of one."""
        match shape:
            case Leaf():
                text = self.leaf(shape)
            case Node():
                text = self.reading(shape)
            case Choice(nodes):
                made = (f"{self.reading(node)} if {node.present} else " for node in nodes)
                return f"({''.join(made)}None)"
        return f"({text} if {shape.present} else None)" if shape.present else text

    def reading(self, node: Node) -> str:
        arguments = ", ".join(map(self.value, node.children.values()))
        return f"{self.name(node.reading.__name__, _quick(node.reading))}({arguments})"

    def leaf(self, leaf: Leaf) -> str:
        if not leaf.many or leaf.kind in (Kind.OCTETS, Kind.TEXT):
            return self.mapped(leaf, leaf.expression)
        item = self.mapped(leaf, "i")
        return leaf.expression if item == "i" else f"tuple([{item} for i in {leaf.expression}])"

    def mapped(self, leaf: Leaf, number: str) -> str:
        if leaf.enum is not None:
            return f"{self.name('members', _Members(leaf.enum))}[{number}]"
        match leaf.kind:
            case Kind.BOOLEAN:
                return f"{number} != 0" if number.isidentifier() else f"({number}) != 0"
            case Kind.SFLOAT:
                values = medfloat.QUANTITY_OF_WORD if leaf.is_quantity else medfloat.SFLOAT_OF_WORD
                return f"{self.name('sfloat', values)}[{number}]"
            case Kind.FLOAT:
                decode = medfloat.decode_float_quantity if leaf.is_quantity else medfloat.decode_float
                return f"{self.name('float', decode)}({number})"
        return number


def _quick(reading: type) -> type:
    """What makes readings in a third of the time: a frozen class sets each of its fields through a call.

    Fields are set while the reading is of a class with the same slots that is not frozen.
    """
    names = [field.name for field in fields(reading)]
    lines = [f"def __init__(self, {', '.join(names)}):", *(f"{_STEP}self.{name} = {name}" for name in names)]
    scope: dict[str, Any] = {"reading": reading}
    exec("\n".join((*lines, f"{_STEP}self.__class__ = reading")), scope)  # noqa: S102
    return type(reading.__name__, (), {"__slots__": tuple(names), "__init__": scope["__init__"]})


class _Members(dict[int, int]):
    """The member for each code or bit set met so far; a reserved code stands for itself."""

    LENGTH_MAX = 4096  # so that a peer cannot fill the memory with bit sets

    def __init__(self, enum: type[IntEnum] | type[IntFlag]) -> None:
        super().__init__()
        self.enum = enum

    def __missing__(self, code: int) -> int:
        is_known = issubclass(self.enum, IntFlag) or code in self.enum._value2member_map_
        member = self.enum(code) if is_known else code
        if len(self) < self.LENGTH_MAX:
            self[code] = member
        return member


def _print_trim(printer: _Printer, trim: Trim) -> None:
    printer.line(f"e -= {trim.octets}")
    printer.refuse("e < 0")


_PRINT: Final[Mapping[type, Callable[[_Printer, Any], None]]] = {
    Read: _Printer.read,
    Assign: lambda printer, assign: printer.line(f"{assign.var} = {assign.expression}"),
    When: _Printer.when,
    ByLength: _Printer.by_length,
    Items: _Printer.items,
    Rest: _Printer.rest,
    Refuse: lambda printer, refuse: printer.refuse(refuse.test),
    CheckSize: _Printer.check_size,
    Trim: _print_trim,
    CheckEnd: lambda printer, _: printer.refuse(f"e != {printer.place()}"),
    CheckCrc: _Printer.check_crc,
}
