"""The vocabulary in which the layout of every characteristic is written, once.

Contract: a layout is a construct object made of the classes below, those in `envelopes` and `mappings`, and
construct's fixed-width integers, and holds no function: whoever walks it (encoder, decoder, a code generator)
finds all there is to know in named attributes.

Theory. A `Record` turns fields in wire order into a frozen dataclass. Some octets are bookkeeping that the
reading must not repeat: flags, packed nibbles. Such a *hidden word* is a `Word` field of the record; elements
that own bits of it (`Optional`, `Widened`, `TriState`, `Flagged`, `FlagSet`, `OptionalOctets`, `Packed`) name
it and say, through `bits`, what they put there. So flags derive from presence, on build and in one place, and
cannot contradict the reading.

A layout is interpreted to encode, to say why a payload is refused, and to read leniently; packets as they
arrive and whole batches are read by code generated from it (`program`).

Not here: what any particular characteristic looks like.
"""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import fields
from enum import IntEnum, IntFlag
from io import BytesIO
from typing import Any, Final, NamedTuple

from construct import (
    Construct,
    Container,
    Int8ul,
    Renamed,
    SelectError,
    TerminatedError,
    ValidationError,
)

ATT_VALUE_OCTETS_MAX: Final = 512
"""No attribute value is longer (Bluetooth Core Specification); bounds every loop over received octets."""


class Oddity(NamedTuple):
    """What a payload that was read leniently has that it should not have."""

    complaint: str
    octets_left: int = 0


def forgives(context: Container, complaint: str, octets_left: int = 0) -> bool:
    """Whether something odd is forgiven, because the payload is read leniently; then it is noted."""
    while "oddities" not in context:
        if "_" not in context:
            return False
        context = context["_"]
    context["oddities"].append(Oddity(complaint, octets_left))
    return True


def parse_whole(layout: Construct, data: bytes, context: Container, path: str) -> Any:
    """The value of a layout that must use up the data; for elements that delimit what they contain."""
    stream = BytesIO(data)
    value = layout._parsereport(stream, context, path)
    left = len(data) - stream.tell()
    if left:
        complaint = f"{left} of {len(data)} octets are left over"
        if not forgives(context, complaint, left):
            raise TerminatedError(complaint, path=path)
    return value


def build_whole(layout: Construct, value: Any, context: Container, path: str) -> bytes:
    """The data of a layout, for elements that have to see it before they send it."""
    stream = BytesIO()
    layout._build(value, stream, context, path)
    return stream.getvalue()


def member_or_code(enum: type[IntEnum], code: int) -> int:
    """The member that a code stands for; a reserved code as the plain integer it is."""
    return enum(code) if code in enum._value2member_map_ else code


class Element(Construct):  # type: ignore[misc]
    """Base of everything below that is more than a mapping of one integer."""


class Word(Element):
    """A hidden word of its record: an unsigned integer whose bits belong to other elements."""

    def __init__(self, subcon: Construct) -> None:
        super().__init__()
        self.subcon = subcon

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        return self.subcon._parsereport(stream, context, path)

    def _build(self, value: int, stream: BytesIO, context: Container, path: str) -> Any:
        return self.subcon._build(value, stream, context, path)


class BitOwner(Element):
    """Base of elements that own bits of the hidden word called `word`."""

    word: str

    def bits(self, value: Any) -> int:
        """The bits that `value` sets in the hidden word."""
        raise NotImplementedError


class Record(Element):
    """Fields in wire order that make up a `reading`, and the hidden words between them."""

    def __init__(self, reading: type, *subcons: Renamed) -> None:
        super().__init__()
        self.reading = reading
        self.subcons = subcons
        hidden = [subcon.name for subcon in subcons if isinstance(subcon.subcon, Word)]
        self.names = tuple(subcon.name for subcon in subcons if subcon.name not in hidden)
        self.hidden = tuple(hidden)
        if sorted(self.names) != sorted(field.name for field in fields(reading)):
            raise TypeError(f"{reading.__name__} does not have exactly the fields {self.names}")

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        context = Container(_=context)
        for subcon in self.subcons:
            context[subcon.name] = subcon._parsereport(stream, context, path)
        return self.reading(**{name: context[name] for name in self.names})

    def _build(self, value: Any, stream: BytesIO, context: Container, path: str) -> Any:
        context = Container(_=context) | dict.fromkeys(self.hidden, 0)
        for name in self.names:
            context[name] = getattr(value, name)
        for subcon in self.subcons:
            if isinstance(subcon.subcon, BitOwner):
                context[subcon.subcon.word] |= subcon.subcon.bits(context[subcon.name])
        for subcon in self.subcons:
            subcon._build(context[subcon.name], stream, context, path)
        return value


class Dated(Record):
    """A record with a year, a month and a day, 0 where not known; a lenient reader notes a day that no calendar has."""

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        value = super()._parse(stream, context, path)
        year, month, day = value.year, value.month, value.day
        if 1 <= month <= 12 and _days(year, month) < day <= 31:
            forgives(context, f"day: {day} is not a day of month {month}" + (f" of {year}" if year else ""))
        return value


def _days(year: int, month: int) -> int:
    """How many days a month has; the most it can have, if nobody knows of which year it is."""
    return monthrange(year or 2000, month)[1]


class Optional(BitOwner):
    """A field that is there when a flag is set, else None."""

    def __init__(self, flag: IntFlag, subcon: Construct, word: str = "flags") -> None:
        super().__init__()
        self.flag = int(flag)  # a flag's own operators are slow
        self.subcon = subcon
        self.word = word

    def bits(self, value: Any) -> int:
        """The flag, if there is a value."""
        return 0 if value is None else self.flag

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        return self.subcon._parsereport(stream, context, path) if context[self.word] & self.flag else None

    def _build(self, value: Any, stream: BytesIO, context: Container, path: str) -> Any:
        return None if value is None else self.subcon._build(value, stream, context, path)


class Widened(BitOwner):
    """An unsigned integer, `narrow` unless its flag makes it `wide`; built narrow whenever it fits."""

    def __init__(self, flag: IntFlag, narrow: Construct, wide: Construct, word: str = "flags") -> None:
        super().__init__()
        self.flag = int(flag)
        self.narrow = narrow
        self.wide = wide
        self.word = word

    def bits(self, value: int) -> int:
        """The flag, if the value does not fit the narrow form."""
        return self.flag if value >> 8 * self.narrow.sizeof() else 0

    def _width(self, context: Container) -> Construct:
        return self.wide if context[self.word] & self.flag else self.narrow

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        return self._width(context)._parsereport(stream, context, path)

    def _build(self, value: int, stream: BytesIO, context: Container, path: str) -> Any:
        return self._width(context)._build(value, stream, context, path)


class TriState(BitOwner):
    """Two flags and no octets: None unless `supported`, then whether `asserted`."""

    def __init__(self, supported: IntFlag, asserted: IntFlag, word: str = "flags") -> None:
        super().__init__()
        self.supported = int(supported)
        self.asserted = int(asserted)
        self.word = word

    def bits(self, value: bool | None) -> int:
        """Both flags, the supporting one, or none."""
        if value is None:
            return 0
        return self.supported | self.asserted if value else self.supported

    def _parse(self, _stream: BytesIO, context: Container, _path: str) -> bool | None:
        flags = context[self.word]
        return bool(flags & self.asserted) if flags & self.supported else None

    def _build(self, value: bool | None, _stream: BytesIO, _context: Container, _path: str) -> Any:
        return value


class Flagged(BitOwner):
    """A flag and no octets: whether it is set."""

    def __init__(self, flag: IntFlag, word: str = "flags") -> None:
        super().__init__()
        self.flag = int(flag)
        self.word = word

    def bits(self, value: bool) -> int:
        """The flag, if so."""
        return self.flag if value else 0

    def _parse(self, _stream: BytesIO, context: Container, _path: str) -> bool:
        return bool(context[self.word] & self.flag)

    def _build(self, value: bool, _stream: BytesIO, _context: Container, _path: str) -> Any:
        return value


class FlagSet(BitOwner):
    """The bits `mask` of a hidden word whose other bits say what is present."""

    def __init__(self, word: str, enum: type[IntFlag], mask: int) -> None:
        super().__init__()
        self.word = word
        self.enum = enum
        self.mask = mask

    def bits(self, value: int) -> int:
        """The bits themselves."""
        if int(value) & ~self.mask:
            raise ValidationError(f"{value!r} has bits that belong to others")
        return int(value)

    def _parse(self, _stream: BytesIO, context: Container, _path: str) -> IntFlag:
        return self.enum(context[self.word] & self.mask)

    def _build(self, value: int, _stream: BytesIO, _context: Container, _path: str) -> Any:
        return value


class OptionalOctets(BitOwner):
    """A bit set, of which only octets with a bit set are sent.

    `octets` lists, in wire order, the flag that announces an octet and the position of its lowest bit in the
    set. An octet that is announced and zero is accepted: devices send it.
    """

    def __init__(self, enum: type[IntFlag], *octets: tuple[IntFlag, int], word: str = "flags") -> None:
        super().__init__()
        self.enum = enum
        self.octets = tuple((int(flag), shift) for flag, shift in octets)
        self.word = word

    def bits(self, value: int) -> int:
        """The flags of all octets with a bit set."""
        if int(value) & ~sum(0xFF << shift for _, shift in self.octets):
            raise ValidationError(f"{value!r} has bits that no octet can carry")
        return sum(flag for flag, shift in self.octets if value >> shift & 0xFF)

    def _parse(self, stream: BytesIO, context: Container, path: str) -> IntFlag:
        value = 0
        for flag, shift in self.octets:
            if context[self.word] & flag:
                octet = Int8ul._parsereport(stream, context, path)
                value |= octet << shift
                if not octet:
                    forgives(context, f"the octet of bits {shift} to {shift + 7} was sent without a bit set")
        return self.enum(value)

    def _build(self, value: int, stream: BytesIO, context: Container, path: str) -> Any:
        for flag, shift in self.octets:
            if context[self.word] & flag:
                Int8ul._build(value >> shift & 0xFF, stream, context, path)
        return value


class Packed(BitOwner):
    """A code of a few bits in a hidden word; a reserved one, or one without `enum`, is a plain integer."""

    def __init__(self, word: str, shift: int, width: int, enum: type[IntEnum] | None = None) -> None:
        super().__init__()
        self.word = word
        self.shift = shift
        self.width = width
        self.enum = enum

    def bits(self, value: int) -> int:
        """The code, in its place."""
        if value >> self.width:
            raise ValidationError(f"{value} does not fit {self.width} bits")
        return value << self.shift

    def _parse(self, _stream: BytesIO, context: Container, _path: str) -> int:
        code = context[self.word] >> self.shift & (1 << self.width) - 1
        return int(code) if self.enum is None else member_or_code(self.enum, code)

    def _build(self, value: int, _stream: BytesIO, _context: Container, _path: str) -> Any:
        return value


class Tail(Element):
    """At least one fixed-width item, and as many as there are, to the end of the value.

    Half an item after the last whole one is forgiven; half an item alone then counts as none at all.
    """

    def __init__(self, subcon: Construct) -> None:
        super().__init__()
        self.subcon = subcon

    def _parse(self, stream: BytesIO, context: Container, path: str) -> tuple[Any, ...] | None:
        data = stream.read()
        count, left = divmod(len(data), self.subcon.sizeof())
        if left or not count:
            complaint = f"{len(data)} octets are not one or more whole items"
            if not data or not forgives(context, complaint, left):
                raise TerminatedError(complaint, path=path)
        items = BytesIO(data)
        return tuple(self.subcon._parsereport(items, context, path) for _ in range(count)) or None

    def _build(self, value: Iterable[Any], stream: BytesIO, context: Container, path: str) -> Any:
        if not value:
            raise ValidationError("no items; say None for absent", path=path)
        for item in value:
            self.subcon._build(item, stream, context, path)
        return value


class WidthByLength(Element):
    """The last integer of a value, whose width is whatever is left; built in the first width it fits."""

    def __init__(self, *widths: Construct) -> None:
        super().__init__()
        self.widths = widths

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        data = stream.read()
        for width in self.widths:
            if width.sizeof() == len(data):
                return parse_whole(width, data, context, path)
        raise SelectError(f"no form of it has {len(data)} octets", path=path)

    def _build(self, value: int, stream: BytesIO, context: Container, path: str) -> Any:
        fitting = (width for width in self.widths if not value >> 8 * width.sizeof())
        return next(fitting, self.widths[-1])._build(value, stream, context, path)
