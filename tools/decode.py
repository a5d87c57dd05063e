"""`vitalgate decode`: what a packet says, for the technician who has one in hand.

Contract: every answer is a document of plain values, fields by their standard names. Whatever cannot be
decoded is `{"error": reason}`; nothing a packet says raises.

Not here: how each characteristic is answered, see `decode_packets`.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from protocols import uuids
from protocols.errors import DecodeError
from tools.decode_packets import DECODERS, Args, Document

_BASE_TAIL: Final = "-0000-1000-8000-00805f9b34fb"
_POLAR: Final = {uuids.PMD_CONTROL_POINT: "PMD-CP", uuids.PMD_DATA: "PMD-DATA"}


def answer(characteristic: str, hexadecimal: str, args: Args | None = None) -> Document:
    """The document for a packet."""
    name = short_name(characteristic)
    decoder = DECODERS.get(name)
    if decoder is None:
        return {"characteristic": name, "error": f"characteristic {characteristic} is not known here"}
    try:
        payload = bytes.fromhex(hexadecimal)
    except ValueError:
        return {"characteristic": name, "error": f"{hexadecimal!r} is not hexadecimal"}
    try:
        return {"characteristic": name, **decoder(payload, args or {})}
    except DecodeError as error:
        return {"characteristic": name, "error": error.reason}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return {"characteristic": name, "error": f"the arguments {args} make no sense here: {error}"}


def answer_line(line: str) -> Document:
    """The document for a line of `--jsonl`: an object with characteristic, hex and perhaps args."""
    try:
        request = json.loads(line)
        characteristic, hexadecimal = str(request["characteristic"]), str(request["hex"])
        args = request.get("args") or {}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {"error": 'not an object like {"characteristic": "2A37", "hex": "0048", "args": {}}'}
    if not isinstance(args, dict):
        return {"error": "args is not an object"}
    return answer(characteristic, hexadecimal, args)


def answers(lines: Iterable[str]) -> Iterator[str]:
    """A line of JSON for each line that is not empty."""
    for line in lines:
        if line.strip():
            yield json.dumps(answer_line(line), ensure_ascii=False, allow_nan=False)


def show(document: Document) -> None:
    """A field a line."""
    for line in lines(document):
        print(line)


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


def short_name(characteristic: str) -> str:
    """16 bits of a UUID in upper case where that names it, else the name it is known by here."""
    name = characteristic.strip().lower()
    if name in _POLAR:
        return _POLAR[name]
    if name.endswith(_BASE_TAIL) and name.startswith("0000"):
        name = name[4:8]
    return name.removeprefix("0x").upper()
