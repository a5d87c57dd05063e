"""Walks a layout once and writes down its program.

Contract: every element of the vocabulary has one rule here. An element without one is refused with
`UntranslatableError`; since codecs translate their layouts at once, that is when their module is imported.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import construct

from protocols import envelopes, mappings, medfloat, schema
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
    Statement,
    Trim,
    When,
)


class UntranslatableError(TypeError):
    """A layout holds an element that no rule translates."""


def translate(layout: construct.Construct) -> Program:
    """The program of a layout.

    Raises:
        UntranslatableError: an element has no rule.
    """
    writer = _Writer()
    shape = writer.shape(layout, "")
    writer.add(CheckEnd())
    return Program(tuple(writer.block), shape, tuple(writer.variables))


class _Writer:
    """Collects statements; `scope` holds the words and fields of the record being walked."""

    def __init__(self) -> None:
        self.block: list[Statement] = []
        self.variables: list[str] = []
        self.scope: dict[str, str] = {}

    def add(self, statement: Statement) -> None:
        if not (isinstance(statement, CheckEnd) and self.block[-1:] == [statement]):
            self.block.append(statement)

    def variable(self, path: str) -> str:
        stem = f"v_{path.replace('.', '_')}"
        name = stem
        while name in self.variables:
            name += "_"
        self.variables.append(name)
        return name

    def shape(self, layout: construct.Construct, path: str) -> Shape:
        rule = RULES.get(type(layout))
        if rule is None:
            raise UntranslatableError(f"{path or 'the layout'}: no rule translates {layout!r}.")
        return rule(self, layout, path)

    def leaf(self, layout: construct.Construct, path: str) -> Leaf:
        shape = self.shape(layout, path)
        if not isinstance(shape, Leaf):
            raise UntranslatableError(f"{path}: {layout!r} is more than one value.")
        return shape

    def branch(self, layout: construct.Construct, path: str) -> tuple[Block, Shape]:
        outer, self.block = self.block, []
        shape = self.shape(layout, path)
        inner, self.block = self.block, outer
        return tuple(inner), shape

    def word(self, name: str, path: str) -> str:
        if name not in self.scope:
            raise UntranslatableError(f"{path}: {name} is not read before it.")
        return self.scope[name]


def _integer(writer: _Writer, layout: Any, path: str) -> Leaf:
    octets, signed = layout.sizeof(), _is_signed(layout, path)
    var = writer.variable(path)
    writer.add(Read(var, octets, signed))
    return Leaf(path, var, octets, signed)


def _is_signed(layout: Any, path: str) -> bool:
    if isinstance(layout, construct.BytesInteger):
        if not layout.swapped:
            raise UntranslatableError(f"{path}: {layout!r} is not little-endian.")
        return bool(layout.signed)
    order, code = layout.fmtstr
    if code not in "bBhHlLiIqQ" or (order != "<" and layout.sizeof() > 1):
        raise UntranslatableError(f"{path}: {layout!r} is not a little-endian integer.")
    return bool(code.islower())


def _octets(writer: _Writer, _layout: Any, path: str) -> Leaf:
    var = writer.variable(path)
    writer.add(Rest(var))
    return Leaf(path, var, kind=Kind.OCTETS, many=True)


def _text(writer: _Writer, _layout: Any, path: str) -> Leaf:
    var = writer.variable(path)
    writer.add(Rest(var, text=True))
    return Leaf(path, var, kind=Kind.TEXT, many=True)


def _enumerated(writer: _Writer, layout: Any, path: str) -> Leaf:
    return replace(writer.leaf(layout.subcon, path), enum=layout.enum)


def _unknown(writer: _Writer, layout: Any, path: str) -> Leaf:
    leaf = writer.leaf(layout.subcon, path)
    return replace(leaf, present=f"{leaf.expression} != {layout.unknown}")


def _bounded(writer: _Writer, layout: Any, path: str) -> Leaf:
    leaf = writer.leaf(layout.subcon, path)
    writer.add(Refuse(f"not {layout.low} <= {leaf.expression} <= {layout.high}"))
    return leaf


def _expected(writer: _Writer, layout: Any, path: str) -> Leaf:
    return writer.leaf(layout.subcon, path)


def _sfloat(writer: _Writer, layout: Any, path: str) -> Leaf:
    return replace(writer.leaf(layout.subcon, path), kind=Kind.SFLOAT)


def _float(writer: _Writer, layout: Any, path: str) -> Leaf:
    return replace(writer.leaf(layout.subcon, path), kind=Kind.FLOAT)


def _quantity(writer: _Writer, layout: Any, path: str) -> Leaf:
    return replace(writer.leaf(layout.subcon, path), is_quantity=True)


def _record(writer: _Writer, layout: schema.Record, path: str) -> Node:
    outer, writer.scope = writer.scope, {}
    children: dict[str, Shape] = {}
    for renamed in layout.subcons:
        below = f"{path}.{renamed.name}" if path else str(renamed.name)
        if isinstance(renamed.subcon, schema.Word):
            writer.scope[renamed.name] = writer.leaf(renamed.subcon.subcon, below).expression
        else:
            children[renamed.name] = writer.shape(renamed.subcon, below)
    writer.scope = outer
    return Node(layout.reading, children)


def _optional(writer: _Writer, layout: schema.Optional, path: str) -> Shape:
    test = f"{writer.word(layout.word, path)} & {int(layout.flag)}"
    block, shape = writer.branch(layout.subcon, path)
    writer.add(When(test, block))
    if isinstance(shape, Choice) or shape.present:
        raise UntranslatableError(f"{path}: {layout.subcon!r} cannot be optional.")
    return replace(shape, present=test)


def _widened(writer: _Writer, layout: schema.Widened, path: str) -> Leaf:
    test = f"{writer.word(layout.word, path)} & {int(layout.flag)}"
    var, wide, narrow = writer.variable(path), layout.wide.sizeof(), layout.narrow.sizeof()
    writer.add(When(test, (Read(var, wide),), (Read(var, narrow),)))
    return Leaf(path, var, wide)


def _tri_state(writer: _Writer, layout: schema.TriState, path: str) -> Leaf:
    word = writer.word(layout.word, path)
    return Leaf(
        path,
        f"{word} & {int(layout.asserted)}",
        kind=Kind.BOOLEAN,
        present=f"{word} & {int(layout.supported)}",
    )


def _flagged(writer: _Writer, layout: schema.Flagged, path: str) -> Leaf:
    return Leaf(path, f"{writer.word(layout.word, path)} & {int(layout.flag)}", kind=Kind.BOOLEAN)


def _flag_set(writer: _Writer, layout: schema.FlagSet, path: str) -> Leaf:
    mask = layout.mask
    octets = (mask.bit_length() + 7) // 8
    return Leaf(path, f"{writer.word(layout.word, path)} & {mask}", octets, enum=layout.enum)


def _optional_octets(writer: _Writer, layout: schema.OptionalOctets, path: str) -> Leaf:
    word, var = writer.word(layout.word, path), writer.variable(path)
    octet = writer.variable(f"{path}_octet")
    writer.add(Assign(var, "0"))
    for flag, shift in layout.octets:
        joined = Assign(var, f"{var} | {octet} << {shift}")
        writer.add(When(f"{word} & {int(flag)}", (Read(octet, 1), joined)))
    width = max(shift for _, shift in layout.octets) // 8 + 1
    return Leaf(path, var, width, enum=layout.enum)


def _packed(writer: _Writer, layout: schema.Packed, path: str) -> Leaf:
    mask = (1 << layout.width) - 1
    word = writer.word(layout.word, path)
    return Leaf(path, f"{word} >> {layout.shift} & {mask}", (layout.width + 7) // 8, enum=layout.enum)


def _tail(writer: _Writer, layout: schema.Tail, path: str) -> Leaf:
    block, leaf = writer.branch(layout.subcon, path)
    match block:
        case (Read(var, octets, signed),) if isinstance(leaf, Leaf) and not leaf.present:
            writer.add(Items(var, octets, signed))
            return replace(leaf, many=True)
    raise UntranslatableError(f"{path}: items of {layout.subcon!r}.")


def _width_by_length(writer: _Writer, layout: schema.WidthByLength, path: str) -> Leaf:
    var, widths = writer.variable(path), tuple(width.sizeof() for width in layout.widths)
    writer.add(ByLength(var, widths))
    return Leaf(path, var, max(widths))


def _tagged(writer: _Writer, layout: envelopes.Tagged, path: str) -> Choice:
    tag = writer.leaf(layout.tag, f"{path}tag").expression
    nodes: list[Node] = []
    blocks: list[tuple[str, Block]] = []
    for code, record in layout.records.items():
        test = f"{tag} == {int(code)}"
        block, node = writer.branch(record, f"{path}{code.name.lower()}")
        assert isinstance(node, Node)
        nodes.append(replace(node, present=test))
        blocks.append((test, block))
    chain: Block = (Refuse("True"),)
    for test, block in reversed(blocks):
        chain = (When(test, block, chain),)
    writer.block += chain
    return Choice(tuple(nodes))


def _size_prefixed(writer: _Writer, layout: envelopes.SizePrefixed, path: str) -> Shape:
    size = writer.variable("size")
    writer.add(Read(size, 1))
    writer.add(CheckSize(size, layout.trailer))
    shape = writer.shape(layout.subcon, path)
    writer.add(CheckEnd())
    return shape


def _e2e_crc(writer: _Writer, layout: envelopes.E2eCrc, path: str) -> Shape:
    writer.add(Trim(layout.OCTETS))
    shape = writer.shape(layout.subcon, path)
    writer.add(CheckEnd())
    test = "True"
    if layout.declared_by is not None:
        name, flag = layout.declared_by
        declaring = shape.children[name] if isinstance(shape, Node) else None
        assert isinstance(declaring, Leaf), name
        test = f"{declaring.expression} & {int(flag)}"
    writer.add(CheckCrc(layout.kinds, test))
    return shape


Rule: TypeAlias = Callable[[_Writer, Any, str], Shape]
RULES: Final[Mapping[type, Rule]] = {
    construct.FormatField: _integer,
    construct.BytesInteger: _integer,
    type(construct.GreedyBytes): _octets,
    mappings.Text: _text,
    mappings.Bits: _enumerated,
    mappings.Coded: _enumerated,
    mappings.Unknown: _unknown,
    mappings.Bounded: _bounded,
    mappings.Expected: _expected,
    medfloat.Sfloat: _sfloat,
    medfloat.Float: _float,
    medfloat.Quantity: _quantity,
    schema.Record: _record,
    schema.Dated: _record,
    schema.Optional: _optional,
    schema.Widened: _widened,
    schema.TriState: _tri_state,
    schema.Flagged: _flagged,
    schema.FlagSet: _flag_set,
    schema.OptionalOctets: _optional_octets,
    schema.Packed: _packed,
    schema.Tail: _tail,
    schema.WidthByLength: _width_by_length,
    envelopes.Tagged: _tagged,
    envelopes.SizePrefixed: _size_prefixed,
    envelopes.E2eCrc: _e2e_crc,
}
"""How each element of the vocabulary is translated, by its exact type: a subclass means something else."""
