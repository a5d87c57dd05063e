"""The checksums behind E2E-CRC.

Contract: pure functions of bytes. Where a checksum stands in a value is the business of `envelopes.E2eCrc`.
Source: Continuous Glucose Monitoring Service 1.0.2; check values in the GATT Specification Supplement.
"""

from binascii import crc_hqx
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

INITIAL: Final = 0xFFFF


class Crc(IntEnum):
    """What a sensor adds to its values; False and True, as CGM Feature has it, are the first two.

    CCITT_FALSE is against the specification, and what the insulin pumps of one maker send.
    """

    NONE = 0
    MCRF4XX = 1
    CCITT_FALSE = 2


_REVERSED = bytes(int(f"{octet:08b}"[::-1], 2) for octet in range(256))


def ccitt_false(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 0x1021, initial value 0xFFFF, no final exclusive-or."""
    return crc_hqx(data, INITIAL)


def mcrf4xx(data: bytes) -> int:
    """CRC-16/MCRF4XX: polynomial 0x1021 reflected, initial value 0xFFFF, no final exclusive-or.

    Over data followed by its own checksum (least significant octet first) it is 0.
    """
    # The reflected checksum of data is the reflection of the plain checksum of reflected octets, and the
    # standard library computes the plain one in C.
    plain = crc_hqx(data.translate(_REVERSED), INITIAL)
    return _REVERSED[plain & 0xFF] << 8 | _REVERSED[plain >> 8]


FUNCTIONS: Final[Mapping[Crc, Callable[[bytes], int]]] = {
    Crc.MCRF4XX: mcrf4xx,
    Crc.CCITT_FALSE: ccitt_false,
}
