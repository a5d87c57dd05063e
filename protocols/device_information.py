"""Device Information Service: its strings (2A24 to 2A29).

Contract: what the maker wrote, without padding. System ID and PnP ID are structures and not here.

Source: Device Information Service.
"""

from protocols import schema
from protocols.mappings import Text

STRING = Text()


def decode_string(payload: bytes) -> str:
    """The text of a Device Information string; trailing NULs are padding and dropped.

    Raises:
        DecodeError: not UTF-8.
    """
    text: str = schema.decode("Device Information string", STRING, payload)
    return text


def encode_string(text: str) -> bytes:
    """The value of a Device Information string.

    Raises:
        ValueError: longer than an attribute can hold.
    """
    return schema.encode(STRING, text)
