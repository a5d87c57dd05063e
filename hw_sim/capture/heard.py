"""What a capture says of a device: what it advertised, what it has, what was read, written and notified, and when.

Contract: data only. UUIDs are the 128-bit lower-case strings that bleak uses, addresses are upper case with colons. A
characteristic that the capture does not name is called by its handle, "0x0012". Times are seconds since 1970, UTC.

Not here: how a file is read (`files`), and how a capture is played (`hw_sim.sensors.replayed`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

_BASE: Final = "0000{:04x}-0000-1000-8000-00805f9b34fb"
_SHORT: Final = re.compile(r"(?:0x)?([0-9a-f]{4})", re.IGNORECASE)
_LONG: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
ADDRESS: Final = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")


class CaptureError(Exception):
    """A file is no capture, or not one of the wanted device: cause and remedy."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(f"{cause}; {remedy}")
        self.cause = cause
        self.remedy = remedy


class What(Enum):
    """What happened."""

    ADVERTISED = "advertised"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    READ = "read"
    WROTE = "wrote"
    NOTIFIED = "notified"


class Heard(NamedTuple):
    """One event. Of an advertisement `payload` are its data, else it is the value of the characteristic."""

    at_s: float
    what: What
    characteristic: str = ""
    payload: bytes = b""


class Characteristic(NamedTuple):
    """A characteristic of a service, with its properties as its declaration has them."""

    uuid: str
    properties: int


class Service(NamedTuple):
    """A service and its characteristics."""

    uuid: str
    characteristics: tuple[Characteristic, ...]


@dataclass
class Device:
    """One device of a capture; `events` are in the order in which they happened."""

    address: str
    name: str | None = None
    services: tuple[Service, ...] = ()
    advertised: set[str] = field(default_factory=set)
    events: list[Heard] = field(default_factory=list)

    @property
    def begin_s(self) -> float:
        """When it was first heard of; nothing plays of a device without events."""
        return self.events[0].at_s

    def notified(self) -> Counter[str]:
        """How many notifications there are of each characteristic."""
        return Counter(one.characteristic for one in self.events if one.what is What.NOTIFIED)

    def offers(self, service: str) -> bool:
        """Whether it advertised the service, or has it."""
        return service in self.advertised or any(one.uuid == service for one in self.services)


@dataclass
class Capture:
    """The devices of a capture, by address, and what is to be known of the whole."""

    devices: dict[str, Device]
    is_pseudonymous: bool = False

    def chosen(self, service: str, address: str | None = None) -> Device:
        """The device with this address, or the only one that offers the service.

        Raises:
            CaptureError: there is none, or more than one.
        """
        heard = {name: one for name, one in self.devices.items() if one.events}
        if address is not None:
            if (found := heard.get(address.upper())) is None:
                raise CaptureError(f"nothing was heard of {address}", f"name one of: {_listed(heard)}")
            return found
        fitting = [one for one in heard.values() if one.offers(service)]
        talking = [one for one in fitting if one.notified()] or fitting
        if len(talking) == 1:
            return talking[0]
        if not talking:
            remedy = f"name the device that is meant, one of: {_listed(heard)}"
            raise CaptureError(f"no device offers the service {short(service)}", remedy)
        names = ", ".join(sorted(one.address for one in talking))
        raise CaptureError(f"several devices offer the service {short(service)}", f"name one of: {names}")


def _listed(devices: Mapping[str, Device]) -> str:
    """Those that have most to say first."""
    names = sorted(devices, key=lambda name: (-devices[name].notified().total(), name))
    more = f" and {len(names) - 8} others" if len(names) > 8 else ""
    return (", ".join(names[:8]) + more) or "none, for there is no device in it"


def long(uuid: str) -> str:
    """A UUID of 16 or 128 bits in its long form. Raises ValueError."""
    if (found := _SHORT.fullmatch(uuid)) is not None:
        return _BASE.format(int(found[1], 16))
    if _LONG.fullmatch(uuid) is None:
        raise ValueError(f"{uuid!r} is no UUID")
    return uuid.lower()


def short(uuid: str) -> str:
    """As people write it: assigned numbers by their four digits."""
    number = uuid[4:8]
    return number if uuid == _BASE.format(int(number, 16)) else uuid


def of_octets(octets: bytes) -> str | None:
    """A UUID as it comes over the air; None if that is none."""
    text = octets[::-1].hex()
    if len(octets) == 2:
        return _BASE.format(int(text, 16))
    if len(octets) == 4:
        return text + _BASE[8:]
    if len(octets) == 16:
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return None


def octets_of(uuid: str) -> bytes:
    """A UUID as it goes over the air: two octets if it is an assigned number."""
    return bytes.fromhex(short(uuid).replace("-", ""))[::-1]


def address_of(octets: bytes) -> str:
    """An address as it comes over the air."""
    return octets[::-1].hex(":").upper()


# Types of the parts of an advertisement (Assigned Numbers, 2.3).
_SERVICES_16: Final = frozenset({0x02, 0x03})
_SERVICES_128: Final = frozenset({0x06, 0x07})
NAMES: Final = frozenset({0x08, 0x09})


def parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts of advertising data, by their types; what is cut off is left out."""
    at = 0
    while at < len(data) and (length := data[at]):
        part = data[at + 1 : at + 1 + length]
        if len(part) == length:
            yield part[0], part[1:]
        at += 1 + length


def joined(found: Iterable[tuple[int, bytes]]) -> bytes:
    """Advertising data of these parts."""
    return b"".join(bytes((len(part) + 1, kind)) + part for kind, part in found)


def note_advertised(device: Device, data: bytes) -> None:
    """Learn name and services of a device from what it advertised."""
    for kind, part in parts(data):
        size = 2 if kind in _SERVICES_16 else 16 if kind in _SERVICES_128 else 0
        if size:
            chunks = (part[at : at + size] for at in range(0, len(part), size))
            device.advertised.update(uuid for chunk in chunks if (uuid := of_octets(chunk)) is not None)
        elif kind in NAMES:
            device.name = part.decode("utf-8", "replace")
