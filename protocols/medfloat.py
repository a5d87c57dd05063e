"""IEEE 11073 short floating point (SFLOAT, medfloat16).

Contract: a finite word decodes to the float64 nearest to the decimal it stands for; a special word stays a
`Special` and never becomes a number that somebody could average. The 32-bit FLOAT is a different format and
not here.

Source: IEEE 11073-20601, SFLOAT-Type; value table in the HL7 Personal Health Device guide, page FLOATS.
"""

from enum import Enum
from typing import Final

from construct import Adapter, Int16ul

EXPONENT_MIN, EXPONENT_MAX = -8, 7
MANTISSA_MIN, MANTISSA_MAX = -2048, 2047
# With exponent 0 the outermost five mantissas are the special words below.
MANTISSA_MAX_PLAIN: Final = 2045


class Special(Enum):
    """Words that stand for no number; the value is the word.

    Only the whole word counts: the same mantissa with another exponent is an ordinary number (E802 is
    -20.46).
    """

    NAN = 0x07FF
    NRES = 0x0800
    POSITIVE_INFINITY = 0x07FE
    NEGATIVE_INFINITY = 0x0802
    RESERVED = 0x0801


MedFloat = float | Special

_SPECIAL_OF_WORD: dict[int, Special] = {special.value: special for special in Special}


def _value(mantissa: int, exponent: int) -> float:
    # Dividing by a power of ten rounds once; multiplying by 0.1 would round twice and turn 36.8 into
    # 36.800000000000004.
    if exponent >= 0:
        return float(mantissa * 10**exponent)
    return mantissa / float(10**-exponent)


def decode_sfloat(word: int) -> MedFloat:
    """The value of a word: exponent in the top four bits, mantissa in the rest, both two's complement."""
    special = _SPECIAL_OF_WORD.get(word)
    if special is not None:
        return special
    exponent = (word >> 12 ^ 0x8) - 0x8
    mantissa = (word & 0xFFF ^ 0x800) - 0x800
    return _value(mantissa, exponent)


def encode_sfloat(value: MedFloat) -> int:
    """The 16-bit word closest to a value; among equally close ones that with the exponent nearest 0.

    Raises:
        ValueError: a float that no word comes close to (NaN, infinite, or beyond -2048e7 ... 2047e7). A
        sensor that
            means "too high" says so with a `Special`.
    """
    if isinstance(value, Special):
        return int(value.value)
    if not _value(MANTISSA_MIN, EXPONENT_MAX) <= value <= _value(MANTISSA_MAX, EXPONENT_MAX):
        raise ValueError(f"{value} is beyond the range of an SFLOAT.")
    exponents = sorted(range(EXPONENT_MIN, EXPONENT_MAX + 1), key=abs)
    candidates = ((_nearest_mantissa(value, exponent), exponent) for exponent in exponents)
    mantissa, exponent = min(candidates, key=lambda candidate: abs(_value(*candidate) - value))
    return (exponent & 0xF) << 12 | mantissa & 0xFFF


def _nearest_mantissa(value: float, exponent: int) -> int:
    low, high = (-MANTISSA_MAX_PLAIN, MANTISSA_MAX_PLAIN) if exponent == 0 else (MANTISSA_MIN, MANTISSA_MAX)
    return min(max(round(value / 10.0**exponent), low), high)


class Sfloat(Adapter):  # type: ignore[misc]
    """An SFLOAT on the wire, least significant octet first."""

    def _decode(self, word: int, _context: object, _path: str) -> MedFloat:
        return decode_sfloat(word)

    def _encode(self, value: MedFloat, _context: object, _path: str) -> int:
        return encode_sfloat(value)


SFLOAT: Final = Sfloat(Int16ul)
