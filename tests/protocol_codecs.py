"""All codecs of protocols, found by looking; and readings put together again from columns."""

import importlib
import pkgutil
from collections.abc import Iterator
from enum import IntFlag
from typing import Any

from construct import ChecksumError, StreamError, StringError, TerminatedError

import protocols
from protocols.codec import Codec
from protocols.columnar import Columns
from protocols.envelopes import SizeError
from protocols.errors import DecodeError
from protocols.medfloat import decode_float, decode_sfloat
from protocols.program import Choice, Kind, Leaf, Shape, Status


def _codecs_in(value: Any, name: str) -> Iterator[tuple[str, Codec[Any]]]:
    if isinstance(value, Codec):
        yield name, value
    elif isinstance(value, tuple):
        for i, item in enumerate(value):
            yield from _codecs_in(item, f"{name}[{i}]")


def all_codecs() -> dict[str, Codec[Any]]:
    found: dict[str, Codec[Any]] = {}
    for info in pkgutil.iter_modules(protocols.__path__):
        module = importlib.import_module(f"protocols.{info.name}")
        for name, value in vars(module).items():
            for label, codec in _codecs_in(value, f"{info.name}.{name}"):
                if not any(codec is other for other in found.values()):
                    found[label] = codec
    return found


CODECS = all_codecs()


def status_of(error: DecodeError) -> Status:
    """What a kernel calls the cause of an error; the interpreter names it by the exception."""
    cause = error.__cause__
    if cause is None:
        return Status.TOO_LONG
    kinds = (
        (SizeError, Status.SIZE),
        (ChecksumError, Status.CHECKSUM),
        (StreamError, Status.TOO_SHORT),
        (TerminatedError, Status.LEFT_OVER),
        (StringError, Status.VALUE),
    )
    return next((status for kind, status in kinds if isinstance(cause, kind)), Status.VALUE)


def _number(leaf: Leaf, number: int) -> Any:
    if leaf.enum is not None:
        known = issubclass(leaf.enum, IntFlag) or number in leaf.enum._value2member_map_
        return leaf.enum(number) if known else number
    return bool(number) if leaf.kind is Kind.BOOLEAN else number


def _leaf(leaf: Leaf, columns: Columns, row: int) -> Any:
    if leaf.many:
        items = columns.ragged[leaf.path][row]
        if leaf.kind is Kind.TEXT:
            return items.tobytes().decode()
        if leaf.kind is Kind.OCTETS:
            return items.tobytes()
        return tuple(_number(leaf, item) for item in items.tolist())
    if leaf.kind in (Kind.SFLOAT, Kind.FLOAT):
        word = int(columns.words[leaf.path][row])
        return decode_sfloat(word) if leaf.kind is Kind.SFLOAT else decode_float(word)
    return _number(leaf, columns.values[leaf.path][row].item())


def reading_of(shape: Shape, columns: Columns, row: int) -> Any:
    """The reading in a row, by the masks and columns alone."""
    if isinstance(shape, Choice):
        there = [node for node in shape.nodes if _is_there(node, columns, row)]
        assert len(there) == 1, there
        return reading_of(there[0], columns, row)
    if shape.present and not _is_there(shape, columns, row):
        return None
    if isinstance(shape, Leaf):
        return _leaf(shape, columns, row)
    return shape.reading(*(reading_of(child, columns, row) for child in shape.children.values()))


def _is_there(shape: Shape, columns: Columns, row: int) -> bool:
    while not isinstance(shape, Leaf):
        shape = next(iter(shape.children.values()))
    return bool(columns.present[shape.path][row])
