"""A layout as a program: what to read, in which order, and what to make of it.

Contract: plain data. `translate` makes a program from a layout; the two generators, `live` and `kernel`,
print it and know nothing of constructs; so a layout cannot mean one thing to one of them and another to the
other. Expressions are text that Python and numba understand alike: names of integer variables, literals,
operators.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, IntFlag
from typing import TypeAlias

from protocols.crc import Crc


class Status(IntEnum):
    """What became of a payload."""

    OK = 0
    TOO_SHORT = 1
    LEFT_OVER = 2
    SIZE = 3
    CHECKSUM = 4
    VALUE = 5
    TOO_LONG = 6


@dataclass(frozen=True)
class Read:
    """The next octets, least significant first, as an integer."""

    var: str
    octets: int
    signed: bool = False


@dataclass(frozen=True)
class Assign:
    """The value of an expression."""

    var: str
    expression: str


@dataclass(frozen=True)
class When:
    """One block or the other."""

    test: str
    block: "Block"
    otherwise: "Block" = ()


@dataclass(frozen=True)
class ByLength:
    """An integer as wide as what is left, if that is one of `widths`."""

    var: str
    widths: tuple[int, ...]


@dataclass(frozen=True)
class Items:
    """At least one integer, and as many as are left."""

    var: str
    octets: int
    signed: bool


@dataclass(frozen=True)
class Rest:
    """All octets that are left; `text` if they have to be UTF-8, without NULs at the end."""

    var: str
    text: bool = False


@dataclass(frozen=True)
class Refuse:
    """The payload is refused if the test holds."""

    test: str
    status: Status = Status.VALUE


@dataclass(frozen=True)
class CheckSize:
    """The payload is refused unless the octet just read counts itself, what is left, and a trailer."""

    var: str
    trailer: int


@dataclass(frozen=True)
class Trim:
    """The last octets are set aside."""

    octets: int


@dataclass(frozen=True)
class CheckEnd:
    """The payload is refused if anything is left."""


@dataclass(frozen=True)
class CheckCrc:
    """The payload is refused unless the octets set aside are one of these checksums; if the test holds."""

    kinds: tuple[Crc, ...]
    test: str


Statement: TypeAlias = (
    Read | Assign | When | ByLength | Items | Rest | Refuse | CheckSize | Trim | CheckEnd | CheckCrc
)
Block: TypeAlias = tuple[Statement, ...]


class Kind(IntEnum):
    """What stands in a leaf."""

    INTEGER = 0
    BOOLEAN = 1
    SFLOAT = 2
    FLOAT = 3
    OCTETS = 4
    TEXT = 5


@dataclass(frozen=True)
class Leaf:
    """One value of a reading.

    Attributes:
        path: dotted names from the reading down.
        expression: the integer it is made from, or the variable of octets or items.
        octets: width of the integer, for a column that can hold it.
        present: a test; empty if the value is always there.
        many: whether it is a tuple of such values.
        enum: whose members or flags the integers stand for.
        is_quantity: whether a number below zero stands for no measurement.
    """

    path: str
    expression: str
    octets: int = 1
    signed: bool = False
    kind: Kind = Kind.INTEGER
    present: str = ""
    many: bool = False
    enum: type[IntEnum] | type[IntFlag] | None = None
    is_quantity: bool = False


@dataclass(frozen=True)
class Node:
    """A reading, and what its fields are made of."""

    reading: type
    children: Mapping[str, "Shape"]
    present: str = ""


@dataclass(frozen=True)
class Choice:
    """One of several readings."""

    nodes: tuple[Node, ...]


Shape: TypeAlias = Leaf | Node | Choice


@dataclass(frozen=True)
class Program:
    """What to do with a payload, and what comes of it."""

    block: Block
    shape: Shape
    variables: tuple[str, ...] = field(default=())


def leaves(shape: Shape, present: str = "") -> Iterator[Leaf]:
    """All leaves of a shape, each with the whole condition under which it is there."""
    own = "" if isinstance(shape, Choice) else shape.present
    both = f"({present}) and ({own})" if present and own else present or own
    match shape:
        case Leaf():
            yield replace(shape, present=both)
        case Node(children=children):
            for child in children.values():
                yield from leaves(child, both)
        case Choice(nodes=nodes):
            for node in nodes:
                yield from leaves(node, both)
