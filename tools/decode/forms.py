"""The forms that an answer takes, whatever the characteristic.

Contract: a decoder takes octets and arguments and returns plain values under standard names (`names`),
or raises DecodeError; arguments that make no sense raise KeyError, TypeError or ValueError. Something odd about
a reading is said in its `oddities`; whoever asks `strict`ly is refused it, see `answers`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from protocols.codec import Codec
from protocols.errors import DecodeError
from protocols.schema import Oddity
from tools.decode.names import document_of, named

Args = Mapping[str, Any]
Document = dict[str, Any]
Decoder = Callable[[bytes, Args], Document]


def word(octets: bytes) -> int:
    """The integer that octets are, least significant first."""
    return int.from_bytes(octets, "little")


def one_value(codec: Codec[Any], field: str) -> Decoder:
    """For values that are one field."""
    return lambda payload, _args: named(field, exactly(codec, payload))


def record(codec: Codec[Any]) -> Decoder:
    """For records that have to fit to the last octet."""
    return lambda payload, _args: document_of(exactly(codec, payload))


def exactly(codec: Codec[Any], payload: bytes) -> Any:
    """The value of a payload about which nothing is odd: a date that cannot be is no value.

    Raises:
        DecodeError: it does not fit, or something is odd.
    """
    value = codec.decode(payload)
    refuse_impossible(codec, payload, codec.decode_lenient(payload)[1])
    return value


def refuse_impossible(codec: Codec[Any], payload: bytes, oddities: Iterable[Oddity]) -> None:
    """Refuse a payload for what it says; not for octets that are left over.

    Raises:
        DecodeError: it says something odd.
    """
    for oddity in oddities:
        if not oddity.octets_left:
            raise DecodeError(codec.characteristic, payload, oddity.complaint)


def lenient_record(codec: Codec[Any], more: Callable[[Any, Args], Document] | None = None) -> Decoder:
    """For readings: what comes before octets that are left over, or beside an odd date, is worth having."""

    def decode(payload: bytes, args: Args) -> Document:
        reading, oddities = codec.decode_lenient(payload)
        document = document_of(reading) | (more(reading, args) if more else {})
        document["trailing_octets"] = sum(oddity.octets_left for oddity in oddities)
        if oddities:
            document["oddities"] = [oddity.complaint for oddity in oddities]
        return document

    return decode
