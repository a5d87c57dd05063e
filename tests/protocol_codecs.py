"""All codecs of protocols, found by looking; and readings put together again from columns."""

import importlib
import itertools
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
from protocols.medfloat import SFLOAT_OF_WORD, decode_float, measured
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


def _mapped(leaf: Leaf, numbers: list[int]) -> list[Any]:
    if leaf.enum is not None:
        known = {n: issubclass(leaf.enum, IntFlag) or n in leaf.enum._value2member_map_ for n in set(numbers)}
        members = {n: leaf.enum(n) if is_known else n for n, is_known in known.items()}
        return [members[n] for n in numbers]
    return list(map(bool, numbers)) if leaf.kind is Kind.BOOLEAN else numbers


def _leaf(leaf: Leaf, columns: Columns) -> list[Any]:
    if leaf.many:
        ragged = columns.ragged[leaf.path]
        bounds = ragged.offsets.tolist()
        pieces = itertools.pairwise(bounds)
        if leaf.kind in (Kind.TEXT, Kind.OCTETS):
            octets = ragged.values.tobytes()
            cut = [octets[start:end] for start, end in pieces]
            return [piece.decode() for piece in cut] if leaf.kind is Kind.TEXT else cut
        items = _mapped(leaf, ragged.values.tolist())
        return [tuple(items[start:end]) for start, end in pieces]
    if leaf.kind in (Kind.SFLOAT, Kind.FLOAT):
        decode = SFLOAT_OF_WORD.__getitem__ if leaf.kind is Kind.SFLOAT else decode_float
        values = [decode(word) for word in columns.words[leaf.path].tolist()]
        return list(map(measured, values)) if leaf.is_quantity else values
    return _mapped(leaf, columns.values[leaf.path].tolist())


def readings_of(shape: Shape, columns: Columns) -> list[Any]:
    """The readings in all rows, by the masks and columns alone."""
    if isinstance(shape, Choice):
        there = [_is_there(node, columns) for node in shape.nodes]
        assert all(sum(row) == 1 for row in zip(*there, strict=True))
        made = [readings_of(node, columns) for node in shape.nodes]
        return [next(r for r in row if r is not None) for row in zip(*made, strict=True)]
    if isinstance(shape, Leaf):
        values = _leaf(shape, columns)
    else:
        children = [readings_of(child, columns) for child in shape.children.values()]
        values = [shape.reading(*row) for row in zip(*children, strict=True)]
    if not shape.present:
        return values
    return [v if is_there else None for v, is_there in zip(values, _is_there(shape, columns), strict=True)]


def _is_there(shape: Shape, columns: Columns) -> list[bool]:
    while not isinstance(shape, Leaf):
        shape = next(iter(shape.children.values()))
    there: list[bool] = columns.present[shape.path].tolist()
    return there
