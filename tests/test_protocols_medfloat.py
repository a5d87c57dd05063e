from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, encoded, medfloat, name, octets, rows

from protocols.medfloat import (
    FLOAT,
    SFLOAT,
    Special,
    decode_float,
    decode_sfloat,
    encode_float,
    encode_sfloat,
)

VECTORS = rows("medfloat", "SFLOAT")


def plain_value(word: int) -> float | None:
    """The number a word stands for by the text of the format, in decimal arithmetic; None for a special."""
    exponent, mantissa = word >> 12, word & 0xFFF
    if exponent > 7:
        exponent -= 16
    if mantissa > 2047:
        mantissa -= 4096
    if exponent == 0 and mantissa in (2046, 2047, -2048, -2047, -2046):
        return None
    return float(Decimal(mantissa).scaleb(exponent))


PLAIN = [plain_value(word) for word in range(1 << 16)]
FINITE = np.array(sorted({value for value in PLAIN if value is not None}))


@pytest.mark.parametrize("row", VECTORS, ids=name)
def test_decodes_and_encodes_the_published_words(row):
    assert SFLOAT.parse(octets(row)) == medfloat(row["expected"]["value"])
    assert SFLOAT.build(medfloat(row["expected"]["value"])) == encoded(row)


@pytest.mark.parametrize("row", rows("medfloat", "FLOAT"), ids=name)
def test_decodes_and_encodes_the_published_long_words(row):
    value = medfloat(row["expected"]["value"])
    assert FLOAT.parse(octets(row)) == value
    assert FLOAT.parse(FLOAT.build(value)) == value


def test_long_words_have_the_same_specials_and_an_exponent_of_eight_bits():
    # By hand from the format: the special mantissas with exponent 0, an ordinary one with another.
    assert decode_float(0x007FFFFF) is Special.NAN
    assert decode_float(0x00800002) is Special.NEGATIVE_INFINITY
    assert decode_float(0x00800001) is Special.RESERVED
    assert decode_float(0xFF7FFFFF) == 838860.7
    assert [encode_float(special) for special in Special] == [
        0x7FFFFF,
        0x800000,
        0x7FFFFE,
        0x800002,
        0x800001,
    ]
    with pytest.raises(ValueError, match="range of a FLOAT"):
        encode_float(1e140)


def test_every_word_decodes_to_the_float_nearest_its_decimal():
    for word, expected in enumerate(PLAIN):
        value = decode_sfloat(word)
        assert isinstance(value, Special) if expected is None else value == expected, hex(word)


def test_the_five_specials_are_whole_words():
    assert {decode_sfloat(special.value) for special in Special} == set(Special)
    assert PLAIN.count(None) == 5
    assert decode_sfloat(0xE802) == -20.46


def test_every_number_is_encoded_exactly():
    for value in PLAIN:
        if value is not None:
            assert decode_sfloat(encode_sfloat(value)) == value


# The first are the numbers whose plain word is a special: 2046.0 must not be sent as infinity.
@pytest.mark.parametrize("value", [2046.0, 2047.0, -2046.0, -2047.0, -2048.0, 2049.0, 1e-9, 2047e7, -2048e7])
def test_the_edges_are_encoded_to_the_closest_of_all_words(value):
    sent = decode_sfloat(encode_sfloat(value))
    assert isinstance(sent, float)
    assert abs(sent - value) == np.abs(FINITE - value).min()


@BOUNDED
@given(st.floats(min_value=-2048e7, max_value=2047e7))
def test_encodes_to_the_closest_of_all_words(value):
    sent = decode_sfloat(encode_sfloat(value))
    assert abs(sent - value) == np.abs(FINITE - value).min()


@pytest.mark.parametrize(
    ("value", "word"), [(120.0, 0x0078), (0.0, 0x0000), (12.5, 0xF07D), (-0.4, 0xFFFC), (3640.0, 0x116C)]
)
def test_prefers_the_exponent_nearest_zero(value, word):
    assert encode_sfloat(value) == word


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 2.1e10, -2.1e10])
def test_refuses_what_no_word_can_say(value):
    with pytest.raises(ValueError, match="range of an SFLOAT"):
        encode_sfloat(value)
