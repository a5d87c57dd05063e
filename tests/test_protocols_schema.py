"""The vocabulary keeps what it promises to those who walk a layout."""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

import construct
import pytest
from protocol_codecs import CODECS

from protocols import envelopes, heart_rate, interpret, mappings, medfloat, schema
from protocols.errors import DecodeError
from protocols.schema import Optional, Record, Widened, Word

LAYOUTS = {label: codec.layout for label, codec in CODECS.items()}
VOCABULARY = {
    *(
        kind
        for module in (schema, envelopes, mappings, medfloat)
        for kind in vars(module).values()
        if isinstance(kind, type)
    ),
    construct.Renamed,
    construct.FormatField,
    construct.BytesInteger,
    type(construct.GreedyBytes),
}


def walk(node):
    """Every construct in a layout, and no attribute that is anything but data."""
    if isinstance(node, tuple | list):
        for item in node:
            yield from walk(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from walk(key)
            yield from walk(value)
    elif isinstance(node, construct.Construct):
        yield node
        for value in vars(node).values():
            yield from walk(value)
    else:
        assert node is None or isinstance(node, int | str | type | range | frozenset), node


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_made_of_the_vocabulary_and_holds_no_function(layout):
    kinds = {type(node) for node in walk(layout)}
    assert kinds <= VOCABULARY


@dataclass(frozen=True)
class Pair:
    first: int
    second: int | None


class PairFlag(IntFlag):
    WIDE = 1
    SECOND = 2


def test_a_layout_that_does_not_fit_its_reading_fails_at_once():
    with pytest.raises(TypeError, match="Pair"):
        Record(Pair, "first" / construct.Int8ul)


def test_flags_need_not_stand_first_and_derive_from_presence():
    layout = Record(
        Pair,
        "before" / Word(construct.Int8ul),
        "first" / Widened(PairFlag.WIDE, construct.Int8ul, construct.Int16ul, word="before"),
        "second" / Optional(PairFlag.SECOND, construct.Int8ul, word="before"),
    )
    assert interpret.encode(layout, Pair(1, None)).hex() == "0001"
    assert interpret.encode(layout, Pair(256, 7)).hex() == "03000107"
    assert interpret.decode("Pair", layout, bytes.fromhex("03000107")) == Pair(256, 7)


class Kind(IntEnum):
    KNOWN = 1


def test_reserved_codes_stay_integers():
    layout = mappings.Coded(construct.Int8ul, Kind)
    assert interpret.decode("Kind", layout, b"\1") is Kind.KNOWN
    assert interpret.decode("Kind", layout, b"\2") == 2


def test_the_reason_names_the_field():
    with pytest.raises(DecodeError) as caught:
        heart_rate.decode(bytes.fromhex("0855"))
    assert caught.value.reason == "energy_kj: too few octets"
