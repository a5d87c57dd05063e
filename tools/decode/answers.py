"""`vitalgate decode`: what a packet says, for the technician who has one in hand.

Contract: every answer is a document of plain values, fields by their standard names. Whatever cannot be
decoded is `{"error": reason}`; nothing a packet says raises. Asked `strict`ly, so is whatever is odd. JSON is
written in ASCII, so that no terminal and no text in a packet can stop a stream of answers.

Not here: how each characteristic is answered, see `packets`.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from protocols import uuids
from protocols.errors import DecodeError
from tools.decode import checksums as decode_checksums
from tools.decode.forms import Args, Document
from tools.decode.packets import DECODERS

_POLAR: Final = {
    uuids.PMD_CONTROL_POINT.replace("-", ""): "PMD-CP",
    uuids.PMD_DATA.replace("-", ""): "PMD-DATA",
}
_UUID: Final = re.compile("(?:0x)?(?:0000)?([0-9a-f]{4})|0000([0-9a-f]{4})00001000800000805f9b34fb")
"""16 bits of Bluetooth's own, alone or within 32 or 128, hyphens left out."""


def answer(characteristic: str, hexadecimal: str, args: Args | None = None) -> Document:
    """The document for a packet."""
    name = short_name(characteristic)
    decoder = DECODERS.get(name)
    if decoder is None:
        return {"characteristic": name, "error": f"characteristic {characteristic} is not known here"}
    try:
        payload = octets(hexadecimal)
    except ValueError:
        return {
            "characteristic": name,
            "error": f"{hexadecimal!r} is not octets of two hexadecimal digits each",
        }
    args = args or {}
    try:
        document = decoder(payload, args)
    except DecodeError as error:
        return {"characteristic": name, "error": error.reason}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return {"characteristic": name, "error": f"the arguments {args} make no sense here: {error}"}
    if args.get("strict") and "oddities" in document:
        return {"characteristic": name, "error": "; ".join(document["oddities"])}
    return {"characteristic": name, **document}


def answer_line(line: bytes, crc: str = "auto") -> Document:
    """The document for a line of `--jsonl`: an object with characteristic, hex and perhaps args.

    Args:
        line: in UTF-8, with a byte order mark or without.
        crc: for lines whose args do not say it.
    """
    try:
        request = json.loads(line.decode("utf-8-sig"))
        characteristic, hexadecimal = str(request["characteristic"]), str(request["hex"])
        args = request.get("args") or {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {"error": 'not an object like {"characteristic": "2A37", "hex": "0048", "args": {}}'}
    if not isinstance(args, dict):
        return {"error": "args is not an object"}
    return answer(characteristic, hexadecimal, {"crc": crc} | args)


def answers(requests: Iterable[bytes], crc: str = "auto") -> Iterator[Document]:
    """A document for each line that is not empty."""
    for line in requests:
        if line.strip():
            yield answer_line(line, crc)


def in_json(document: Document, indent: int | None = None) -> str:
    """A document as JSON, in ASCII."""
    return json.dumps(document, allow_nan=False, indent=indent)


def show(document: Document) -> None:
    """A field a line; what the terminal has no characters for is escaped."""
    encoding = sys.stdout.encoding
    for line in lines(document):
        print(line.encode(encoding, "backslashreplace").decode(encoding))


def lines(document: Document, indent: str = "") -> Iterator[str]:
    """The lines of a document; what is inside a field one step in."""
    for name, value in document.items():
        items = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for item in items:
            if isinstance(item, dict):
                yield f"{indent}{name}:"
                yield from lines(item, indent + "  ")
            else:
                yield f"{indent}{name}: {'-' if item is None else item}"


def octets(hexadecimal: str) -> bytes:
    """What hexadecimal digits stand for, two an octet; each may come with 0x, and colons or hyphens between.

    Raises:
        ValueError: something else is there too, or half an octet.
    """
    return bytes.fromhex(re.sub("0[xX]|[:-]", " ", hexadecimal))


def short_name(characteristic: str) -> str:
    """16 bits of a UUID in upper case where that names it, else the name it is known by here."""
    name = characteristic.strip().lower().removeprefix("urn:uuid:").strip("{}")
    digits = name.replace("-", "")
    if digits in _POLAR:
        return _POLAR[digits]
    uuid = _UUID.fullmatch(digits)
    return (uuid[1] or uuid[2] if uuid else name).upper()


def is_checksum(name: str) -> bool:
    """Whether this is a name of a checksum, or of none."""
    return decode_checksums.spelled(name) in decode_checksums.NAMES
