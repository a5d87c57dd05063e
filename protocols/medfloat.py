"""IEEE 11073 floating point: SFLOAT (medfloat16) and FLOAT (medfloat32).

Contract: a finite word decodes to the float64 nearest to the decimal it stands for (beyond ten to the power
of 22, where a power of ten is no float64, to within one unit in the last place); a special word stays a
`Special` and never becomes a number that somebody could average. Of what cannot be less than nothing, such as a
concentration or a pressure, a number below zero is no measurement: there are meters that send octets FF for "none".

Source: IEEE 11073-20601, SFLOAT-Type and FLOAT-Type; value tables in the HL7 Personal Health Device guide,
page FLOATS.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from construct import Adapter, Container, Int16ul, Int32ul

from protocols.schema import forgives


class Special(Enum):
    """Words that stand for no number; the value is the word of an SFLOAT.

    Only the whole word counts: the same mantissa with another exponent is an ordinary number (E802 is
    -20.46).
    """

    NAN = 0x07FF
    NRES = 0x0800
    POSITIVE_INFINITY = 0x07FE
    NEGATIVE_INFINITY = 0x0802
    RESERVED = 0x0801


MedFloat = float | Special

MANTISSA_BITS: Final[Mapping[int, int]] = {2: 12, 4: 24}
"""By the octets of a word; the rest of it is the exponent. Both are two's complement."""


_NAMES: Final = {2: "an SFLOAT", 4: "a FLOAT"}


def _scales(octets: int) -> tuple[list[float], list[float]]:
    bits = 8 * octets - MANTISSA_BITS[octets]
    signed = [(code ^ 1 << bits - 1) - (1 << bits - 1) for code in range(1 << bits)]
    return [float(10 ** max(e, 0)) for e in signed], [float(10 ** max(-e, 0)) for e in signed]


# Dividing by a power of ten rounds once; multiplying by 0.1 would round twice and turn 36.8 into
# 36.800000000000004.
SCALES: Final[Mapping[int, tuple[list[float], list[float]]]] = {2: _scales(2), 4: _scales(4)}
"""By the octets of a word: for each exponent code, what to multiply a mantissa with and what to divide it by."""


def _specials(octets: int) -> dict[int, Special]:
    half = 1 << MANTISSA_BITS[octets] - 1
    return {half + special.value - 0x0800: special for special in Special}


_SPECIAL_OF_WORD: Final = {2: _specials(2), 4: _specials(4)}
_WORD_OF_SPECIAL: Final = {
    octets: {special: word for word, special in specials.items()}
    for octets, specials in _SPECIAL_OF_WORD.items()
}


def _decode(word: int, octets: int) -> MedFloat:
    special = _SPECIAL_OF_WORD[octets].get(word)
    if special is not None:
        return special
    bits = MANTISSA_BITS[octets]
    sign = 1 << bits - 1
    mantissa = (word & 2 * sign - 1 ^ sign) - sign
    up, down = SCALES[octets]
    return mantissa * up[word >> bits] / down[word >> bits]


def decode_sfloat(word: int) -> MedFloat:
    """The value of a 16-bit word: exponent in the top four bits, mantissa in the rest."""
    return _decode(word, 2)


def decode_float(word: int) -> MedFloat:
    """The value of a 32-bit word: exponent in the top octet, mantissa in the rest."""
    return _decode(word, 4)


def measured(value: MedFloat) -> MedFloat:
    """A value of what cannot be less than nothing: a number below zero was not measured."""
    return value if isinstance(value, Special) or value >= 0.0 else Special.NAN


def _encode(value: MedFloat, octets: int) -> int:
    if isinstance(value, Special):
        return _WORD_OF_SPECIAL[octets][value]
    bits = MANTISSA_BITS[octets]
    up, down = SCALES[octets]
    top = len(up) // 2 - 1
    limit = float(1 << bits - 1)
    if not -limit * up[top] <= value <= (limit - 1) * up[top]:
        raise ValueError(f"{value} is beyond the range of {_NAMES[octets]}.")
    codes = sorted(range(len(up)), key=lambda code: min(code, len(up) - code))
    best = code_of_best = 0
    error_min = float("inf")
    for code in codes:
        # With exponent 0 the outermost five mantissas are the special words.
        low, high = (3 - limit, limit - 3) if code == 0 else (-limit, limit - 1)
        mantissa = int(min(max(round(value * down[code] / up[code]), low), high))
        error = abs(mantissa * up[code] / down[code] - value)
        if error < error_min:
            best, code_of_best, error_min = mantissa, code, error
    return code_of_best << bits | best & (1 << bits) - 1


def encode_sfloat(value: MedFloat) -> int:
    """The 16-bit word closest to a value; among equally close ones that with the exponent nearest 0.

    Raises:
        ValueError: a float that no word comes close to (NaN, infinite, or beyond -2048e7 ... 2047e7). A
        sensor that means "too high" says so with a `Special`.
    """
    return _encode(value, 2)


def encode_float(value: MedFloat) -> int:
    """The 32-bit word closest to a value; among equally close ones that with the exponent nearest 0.

    Raises:
        ValueError: as for `encode_sfloat`, beyond -8388608e127 ... 8388607e127.
    """
    return _encode(value, 4)


class _ValueOfWord(dict[int, MedFloat]):
    """The value of each SFLOAT met so far; at most 65,536 of them."""

    def __missing__(self, word: int) -> MedFloat:
        value = self[word] = decode_sfloat(word)
        return value


SFLOAT_OF_WORD: Final = _ValueOfWord()


class _QuantityOfWord(dict[int, MedFloat]):
    """The same of what cannot be less than nothing."""

    def __missing__(self, word: int) -> MedFloat:
        value = self[word] = measured(decode_sfloat(word))
        return value


QUANTITY_OF_WORD: Final = _QuantityOfWord()


def decode_float_quantity(word: int) -> MedFloat:
    """The value of a 32-bit word that stands for what cannot be less than nothing."""
    return measured(decode_float(word))


class Sfloat(Adapter):  # type: ignore[misc]
    """An SFLOAT on the wire, least significant octet first."""

    def _decode(self, word: int, _context: object, _path: str) -> MedFloat:
        return decode_sfloat(word)

    def _encode(self, value: MedFloat, _context: object, _path: str) -> int:
        return encode_sfloat(value)


class Float(Adapter):  # type: ignore[misc]
    """A FLOAT on the wire, least significant octet first."""

    def _decode(self, word: int, _context: object, _path: str) -> MedFloat:
        return decode_float(word)

    def _encode(self, value: MedFloat, _context: object, _path: str) -> int:
        return encode_float(value)


class Quantity(Adapter):  # type: ignore[misc]
    """An SFLOAT or FLOAT of what cannot be less than nothing; a lenient reader notes a number below zero."""

    def _decode(self, value: MedFloat, context: Container, path: str) -> MedFloat:
        quantity = measured(value)
        if quantity is not value:
            forgives(context, f"{path.rpartition(' -> ')[2]}: {value} is no measurement")
        return quantity

    def _encode(self, value: MedFloat, _context: Container, path: str) -> MedFloat:
        if measured(value) is not value:
            raise ValueError(
                f"{path.rpartition(' -> ')[2]}: {value} is beyond the range of what is measured."
            )
        return value


SFLOAT: Final = Sfloat(Int16ul)
FLOAT: Final = Float(Int32ul)
SFLOAT_QUANTITY: Final = Quantity(SFLOAT)
FLOAT_QUANTITY: Final = Quantity(FLOAT)
