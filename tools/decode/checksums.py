"""Which checksum a packet has: found, or demanded by the argument `crc` (for bare octets: `alg`).

Contract: a name of a checksum is taken in any case, with underscores or hyphens. A checksum that is right is no
accident, so "none" is tried last.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from construct import ChecksumError

from protocols.codec import Codec
from protocols.crc import FUNCTIONS, Crc
from protocols.errors import DecodeError
from tools.decode.forms import Args, Decoder, Document, exactly, word

_ALL: Final = (Crc.MCRF4XX, Crc.CCITT_FALSE, Crc.NONE)
_BY_NAME: Final = {"mcrf4xx": Crc.MCRF4XX, "ccitt-false": Crc.CCITT_FALSE}
_KINDS: Final[Mapping[Any, tuple[Crc, ...]]] = {
    None: _ALL,
    "auto": _ALL,
    "none": (Crc.NONE,),
    False: (Crc.NONE,),
    True: (Crc.MCRF4XX, Crc.CCITT_FALSE),
    **{name: (kind,) for name, kind in _BY_NAME.items()},
}
NAMES: Final = ("auto", "none", *_BY_NAME)


def spelled(name: Any) -> Any:
    """The name of a checksum as it stands here; what is no text as it is."""
    return name.strip().lower().replace("_", "-") if isinstance(name, str) else name


def kinds(args: Args) -> tuple[Crc, ...]:
    """Which checksums a packet may have."""
    return _KINDS[spelled(args.get("crc"))]


def of(payload: bytes, crc: Crc) -> Document:
    """The checksum of a packet that ends in one of a kind."""
    return {"e2e_crc": word(payload[-2:]) if crc else None, "e2e_crc_algorithm": crc.name.lower()}


def first(args: Args, decode: Callable[[Crc], Any]) -> tuple[Crc, Any]:
    """The value by the first checksum under which there is one."""
    errors: list[DecodeError] = []
    for crc in kinds(args):
        try:
            return crc, decode(crc)
        except DecodeError as error:
            errors.append(error)
    raise most_telling(errors)


def most_telling(errors: list[DecodeError]) -> DecodeError:
    """That of a wrong checksum, else the last."""
    return next((error for error in errors if isinstance(error.__cause__, ChecksumError)), errors[-1])


def protected(codecs: tuple[Codec[Any], ...], document: Callable[[Any], Document]) -> Decoder:
    """For values with or without a checksum; a codec for each kind."""

    def decode(payload: bytes, args: Args) -> Document:
        crc, value = first(args, lambda kind: exactly(codecs[kind], payload))
        return document(value) | of(payload, crc)

    return decode


def checksum(usual: Crc) -> Decoder:
    """The checksum of bare octets, of the usual kind if `alg` names no other."""

    def decode(payload: bytes, args: Args) -> Document:
        alg = args.get("alg")
        kind = usual if alg is None else _BY_NAME[spelled(alg)]
        return {"crc": FUNCTIONS[kind](payload)}

    return decode
