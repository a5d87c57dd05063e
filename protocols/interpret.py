"""Walks a layout over a payload, or over a value: slow, complete, and the measure of the generated code.

Contract: used to encode, to say why a payload is refused, and to read leniently.

Not here: the elements, each of which knows how it is parsed and built; see `schema`, `envelopes`, `mappings`.
"""

from typing import Any

from construct import Construct, ConstructError, Container, StreamError

from protocols.errors import DecodeError
from protocols.schema import ATT_VALUE_OCTETS_MAX, Oddity, build_whole, parse_whole


def decode(characteristic: str, layout: Construct, payload: bytes) -> Any:
    """The value of a whole payload.

    Raises:
        DecodeError: the payload does not fit the layout, or something is left over.
    """
    if len(payload) > ATT_VALUE_OCTETS_MAX:
        raise DecodeError(
            characteristic, payload, f"{len(payload)} octets are more than an attribute can hold"
        )
    try:
        return parse_whole(layout, payload, Container(), "")
    except ConstructError as error:
        raise DecodeError(characteristic, payload, reason(error)) from error


def decode_lenient(characteristic: str, layout: Construct, payload: bytes) -> tuple[Any, tuple[Oddity, ...]]:
    """The value of a payload that may be odd where devices are known to be, and what was odd about it.

    Forgiven are octets left over, half an item of a list among them, and what `decode` takes too, without a
    word: an octet of bits that was announced and has none set, and a date or time that cannot be.

    Raises:
        DecodeError: anything else is wrong.
    """
    oddities: list[Oddity] = []
    try:
        value = parse_whole(layout, payload[:ATT_VALUE_OCTETS_MAX], Container(oddities=oddities), "")
    except ConstructError as error:
        raise DecodeError(characteristic, payload, reason(error)) from error
    if len(payload) > ATT_VALUE_OCTETS_MAX:
        left = len(payload) - ATT_VALUE_OCTETS_MAX
        oddities.append(Oddity(f"{len(payload)} octets are more than an attribute can hold", left))
    return value, tuple(oddities)


def encode(layout: Construct, value: Any) -> bytes:
    """The payload that stands for a value.

    Raises:
        ValueError: the value cannot be expressed.
    """
    try:
        payload = build_whole(layout, value, Container(), "")
    except ConstructError as error:
        raise ValueError(f"{value!r} cannot be encoded: {reason(error)}.") from error
    if len(payload) > ATT_VALUE_OCTETS_MAX:
        raise ValueError(f"{value!r} takes {len(payload)} octets, more than an attribute can hold.")
    return payload


def reason(error: ConstructError) -> str:
    """What a construct error has to say, with the field it says it about."""
    complaint = str(error).rsplit("\n", maxsplit=1)[-1]
    if isinstance(error, StreamError):
        complaint = "too few octets"
    field = (error.path or "").rpartition(" -> ")[2]
    return f"{field}: {complaint}" if field else complaint
