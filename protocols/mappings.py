"""Elements that map one wire value to one value of a reading.

Contract: as for `schema`. SFLOAT, with its own arithmetic, is in `medfloat`.
"""

from enum import IntEnum, IntFlag

from construct import (
    Adapter,
    Construct,
    Container,
    GreedyBytes,
    StringError,
    ValidationError,
)

from protocols.schema import forgives, member_or_code


class Mapped(Adapter):  # type: ignore[misc]
    """Base of the mappings between one wire value and one value of a reading."""


class Bits(Mapped):
    """A bit set; reserved bits are kept."""

    def __init__(self, subcon: Construct, enum: type[IntFlag]) -> None:
        super().__init__(subcon)
        self.enum = enum

    def _decode(self, value: int, _context: Container, _path: str) -> IntFlag:
        return self.enum(value)

    def _encode(self, value: IntFlag, _context: Container, _path: str) -> int:
        return int(value)


class Coded(Mapped):
    """A member of an enumeration; a reserved code stays the plain integer it is."""

    def __init__(self, subcon: Construct, enum: type[IntEnum]) -> None:
        super().__init__(subcon)
        self.enum = enum

    def _decode(self, value: int, _context: Container, _path: str) -> int:
        return member_or_code(self.enum, value)

    def _encode(self, value: int, _context: Container, _path: str) -> int:
        return int(value)


class Unknown(Mapped):
    """An integer of which one value means that it is not known (None)."""

    def __init__(self, subcon: Construct, unknown: int) -> None:
        super().__init__(subcon)
        self.unknown = unknown

    def _decode(self, value: int, _context: Container, _path: str) -> int | None:
        return None if value == self.unknown else value

    def _encode(self, value: int | None, _context: Container, _path: str) -> int:
        return self.unknown if value is None else value


class Bounded(Mapped):
    """An integer between two limits, both included."""

    def __init__(self, subcon: Construct, low: int, high: int) -> None:
        super().__init__(subcon)
        self.low = low
        self.high = high

    def _decode(self, value: int, _context: Container, path: str) -> int:
        if not self.low <= value <= self.high:
            raise ValidationError(f"{value} is not within {self.low} to {self.high}", path=path)
        return value

    _encode = _decode


class Expected(Mapped):
    """An integer that should be one of those allowed; another is taken too, and a lenient reader notes it."""

    def __init__(self, subcon: Construct, allowed: range | frozenset[int]) -> None:
        super().__init__(subcon)
        self.allowed = allowed

    def _decode(self, value: int, context: Container, path: str) -> int:
        if value not in self.allowed:
            forgives(context, f"{path.rpartition(' -> ')[2]}: {value} is out of range")
        return value

    def _encode(self, value: int, _context: Container, _path: str) -> int:
        return value


class Text(Mapped):
    """UTF-8 to the end of the value; trailing NULs are padding."""

    def __init__(self) -> None:
        super().__init__(GreedyBytes)

    def _decode(self, value: bytes, _context: Container, path: str) -> str:
        try:
            return value.rstrip(b"\0").decode()
        except UnicodeDecodeError as error:
            raise StringError(f"not UTF-8 from octet {error.start}", path=path) from error

    def _encode(self, value: str, _context: Container, _path: str) -> bytes:
        return value.encode()
