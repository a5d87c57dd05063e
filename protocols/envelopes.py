"""Elements that stand around a whole record: which one it is, how long it is, whether it arrived intact.

Contract: as for `schema`. A layout inside an envelope is parsed to its last octet.
"""

from collections.abc import Mapping
from enum import IntEnum, IntFlag
from io import BytesIO
from typing import Any

from construct import (
    ChecksumError,
    Construct,
    Container,
    Int8ul,
    Int16ul,
    SelectError,
    ValidationError,
)

from protocols.crc import FUNCTIONS, Crc
from protocols.schema import Element, Record, build_whole, parse_whole


class Tagged(Element):
    """A code and the record it announces."""

    def __init__(self, tag: Construct, records: Mapping[IntEnum, Record]) -> None:
        super().__init__()
        self.tag = tag
        self.records = records

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        code = self.tag._parsereport(stream, context, path)
        if code not in self.records:
            raise SelectError(f"code {code:#04x} is none of the expected", path=path)
        return self.records[code]._parsereport(stream, context, path)

    def _build(self, value: Any, stream: BytesIO, context: Container, path: str) -> Any:
        code, record = next((code, rec) for code, rec in self.records.items() if rec.reading is type(value))
        self.tag._build(code, stream, context, path)
        return record._build(value, stream, context, path)


class SizeError(ValidationError):  # type: ignore[misc]
    """A size octet does not count the octets there are."""


class SizePrefixed(Element):
    """A record behind an octet that counts itself, the record, and `trailer` octets that follow."""

    def __init__(self, subcon: Construct, trailer: int = 0) -> None:
        super().__init__()
        self.subcon = subcon
        self.trailer = trailer

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        size = Int8ul._parsereport(stream, context, path)
        data = stream.read()
        if size != 1 + len(data) + self.trailer:
            raise SizeError(f"size octet {size} of {1 + len(data) + self.trailer} octets", path=path)
        return parse_whole(self.subcon, data, context, path)

    def _build(self, value: Any, stream: BytesIO, context: Container, path: str) -> Any:
        data = build_whole(self.subcon, value, context, path)
        Int8ul._build(1 + len(data) + self.trailer, stream, context, path)
        stream.write(data)
        return value


class E2eCrc(Element):
    """A value followed by the checksum of all octets before it.

    Any of `kinds` is accepted, the first is sent. With `declared_by` (a field and a flag in it) the value
    itself says whether the word is a checksum; if not, FFFF is sent and anything accepted, as the GATT
    Specification Supplement has it. The layout is judged before the checksum, so that a ChecksumError means:
    the right shape, with wrong bits.
    """

    OCTETS = 2
    UNUSED = 0xFFFF

    def __init__(
        self, subcon: Construct, *kinds: Crc, declared_by: tuple[str, IntFlag] | None = None
    ) -> None:
        super().__init__()
        self.subcon = subcon
        self.kinds = kinds
        self.declared_by = declared_by

    def _is_used(self, value: Any) -> bool:
        if self.declared_by is None:
            return True
        field, flag = self.declared_by
        return bool(getattr(value, field) & flag)

    def _parse(self, stream: BytesIO, context: Container, path: str) -> Any:
        data = stream.read()
        body, trailer = data[: -self.OCTETS], BytesIO(data[-self.OCTETS :])
        value = parse_whole(self.subcon, body, context, path)
        sent = Int16ul._parsereport(trailer, context, path)
        if self._is_used(value):
            computed = [FUNCTIONS[kind](body) for kind in self.kinds]
            if sent not in computed:
                shown = " or ".join(f"{word:04x}" for word in computed)
                raise ChecksumError(f"E2E-CRC {sent:04x} should be {shown}", path=path)
        return value

    def _build(self, value: Any, stream: BytesIO, context: Container, path: str) -> Any:
        body = build_whole(self.subcon, value, context, path)
        stream.write(body)
        word = FUNCTIONS[self.kinds[0]](body) if self._is_used(value) else self.UNUSED
        return Int16ul._build(word, stream, context, path)
