"""Battery Service: Battery Level (2A19).

Contract: a level is a whole percentage. The newer Battery Level Status (2BED) is not here.

Source: Battery Service.
"""

from typing import Final

from construct import Int8ul

from protocols.codec import Codec
from protocols.mappings import Bounded

LEVEL: Final = Codec[int]("Battery Level", Bounded(Int8ul, 0, 100))


def decode_level(payload: bytes) -> int:
    """Remaining charge in percent, 0 to 100.

    Raises:
        DecodeError: not one octet, or more than 100.
    """
    return LEVEL.decode(payload)


def encode_level(level_pct: int) -> bytes:
    """The value of 2A19 for a remaining charge in percent.

    Raises:
        ValueError: not within 0 to 100.
    """
    return LEVEL.encode(level_pct)
