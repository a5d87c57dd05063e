"""Reads captures of any form, and writes our own.

Our own is lines of JSON. The first says that it is one, when it begins, and whether it is pseudonymous; each other is
an event: so many seconds later, of which device, what, of which characteristic, and the octets:

    {"capture": "vitalgate 1", "begin_utc_s": 1795910400.0, "pseudonymous": true}
    {"at_s": 0.0, "device": "F3:5C:01:9A:77:E2", "what": "connected", "name": "sensor 9C1F", "services": [
        {"uuid": "180d", "characteristics": [{"uuid": "2a37", "properties": 16}]}]}
    {"at_s": 1.02, "device": "F3:5C:01:9A:77:E2", "what": "notified", "characteristic": "2a37", "hex": "1648ba03"}

Contract: `load` reads that, btsnoop files, and Android's bug reports; CaptureError says in one sentence what is wrong
with a file, and in another what helps. A last line that is not whole is left out, for whoever wrote may have been
killed.

Not here: whose capture is made, and what is said of it (`tools.capture`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from hw_sim.capture import bug_report, traffic
from hw_sim.capture.heard import (
    ADDRESS,
    Capture,
    CaptureError,
    Characteristic,
    Device,
    Heard,
    Service,
    What,
    long,
    note_advertised,
    short,
)

FORM: Final = "vitalgate 1"
# Bug reports of phones have fifty at most.
OCTETS_MAX: Final = 256 << 20
_ANY: Final = "give a capture of this program, a btsnoop file, or an Android bug report"


def load(path: Path, named: Mapping[int, str] = {}) -> Capture:
    """Read a file. `named` says what handles are, where the file has no discovery.

    Raises:
        CaptureError: it cannot be read, or is no capture.
    """
    try:
        with path.open("rb") as file:
            content = file.read(OCTETS_MAX + 1)
    except (OSError, ValueError) as fault:
        words = getattr(fault, "strerror", None) or str(fault)
        raise CaptureError(words, "name a file that can be read") from fault
    if len(content) > OCTETS_MAX:
        raise CaptureError("it is too large", f"give a part of it, of at most {OCTETS_MAX >> 20} MiB")
    return parse(content, named)


def parse(content: bytes, named: Mapping[int, str] = {}) -> Capture:
    """What is in a file.

    Raises:
        CaptureError: it is no capture.
    """
    if content.lstrip()[:1] == b"{":
        return _own(content)
    return Capture(traffic.devices(bug_report.packets(content), named).devices)


# Our own


def _own(content: bytes) -> Capture:
    first, *lines = content.splitlines(keepends=True)
    head = _line(first, 1)
    begin_s = head.get("begin_utc_s")
    if head.get("capture") != FORM or begin_s is None or not _is_time(begin_s):
        raise CaptureError(f"its first line does not say that it is a capture {FORM!r}", _ANY)
    capture = Capture({}, head.get("pseudonymous") is True)
    for number, line in enumerate(lines, 2):
        if not line.endswith(b"\n"):
            break
        try:
            _take(capture, begin_s, _line(line, number))
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise CaptureError(f"line {number} is no event ({fault})", "make the capture again") from fault
    return capture


def _line(line: bytes, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as fault:
        raise CaptureError(f"line {number} is no JSON", _ANY) from fault
    if not isinstance(found, dict):
        raise CaptureError(f"line {number} is no event", _ANY)
    return found


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < 1e11


def _take(capture: Capture, begin_s: float, line: dict[str, Any]) -> None:
    address = line["device"]
    if ADDRESS.fullmatch(address) is None:
        raise ValueError(f"{address!r} is no address")
    if not _is_time(line["at_s"]):
        raise ValueError("its time is none")
    device = capture.devices.setdefault(address, Device(address))
    device.name = line.get("name", device.name)
    if "services" in line:
        device.services = tuple(_service(one) for one in line["services"])
    name = line.get("characteristic", "")
    event = Heard(
        begin_s + line["at_s"],
        What(line["what"]),
        name if not name or name.startswith("0x") else long(name),
        bytes.fromhex(line.get("hex", "")),
    )
    if event.what is What.ADVERTISED:
        note_advertised(device, event.payload)
    device.events.append(event)


def _service(said: dict[str, Any]) -> Service:
    found = (Characteristic(long(one["uuid"]), int(one["properties"])) for one in said["characteristics"])
    return Service(long(said["uuid"]), tuple(found))


def head(begin_utc_s: float, *, is_pseudonymous: bool) -> str:
    """The first line of a capture of our own."""
    return _text({"capture": FORM, "begin_utc_s": begin_utc_s, "pseudonymous": is_pseudonymous})


def line(begin_utc_s: float, device: Device, event: Heard) -> str:
    """An event of a device, as a line. Where it was connected, the line says what it has."""
    said: dict[str, Any] = {
        "at_s": round(event.at_s - begin_utc_s, 6),
        "device": device.address,
        "what": event.what.value,
    }
    if event.what is What.CONNECTED:
        said |= {} if device.name is None else {"name": device.name}
        said["services"] = [
            {
                "uuid": short(service.uuid),
                "characteristics": [
                    {"uuid": short(one.uuid), "properties": one.properties} for one in service.characteristics
                ],
            }
            for service in device.services
        ]
    if event.characteristic:
        said["characteristic"] = (
            event.characteristic if event.characteristic.startswith("0x") else short(event.characteristic)
        )
    if event.payload or event.characteristic:
        said["hex"] = event.payload.hex()
    return _text(said)


def lines(devices: Iterable[Device], *, is_pseudonymous: bool) -> Iterator[str]:
    """All of a capture, in the order of time."""
    events = sorted(
        ((event.at_s, device, event) for device in devices for event in device.events), key=lambda one: one[0]
    )
    begin_s = events[0][0] if events else 0.0
    yield head(begin_s, is_pseudonymous=is_pseudonymous)
    for _, device, event in events:
        yield line(begin_s, device, event)


def _text(said: dict[str, Any]) -> str:
    return json.dumps(said, separators=(", ", ": ")) + "\n"
