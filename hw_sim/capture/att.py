"""What a client and a sensor say over one link, by the Attribute Protocol: discovery, values, notifications.

Contract: `AttClient.take` is given the PDUs of a link in their order, and says what was read, written and notified, by
handles; `Handles` learns which characteristic a handle is, from any discovery of the same device. A PDU that makes no
sense, or was cut off, says nothing.

    request, sent                    | answer, received          | is learnt
    ---------------------------------|---------------------------|-----------------------------------------
    Read By Group Type, 2800         | groups                    | services
    Find By Type Value, 2800         | ranges                    | services of the type that was asked for
    Read By Type, 2803               | declarations              | characteristics and their properties
    Read By Type, any other          | values                    | values, and what their handles are
    Read, Read Blob                  | value                     | a value; the parts of a long one are joined
    Write                            | done                      | what was written
    Write Command                    | -                         | what was written

Not here: packets and links (`traffic`).

Source: Bluetooth Core Specification 5.4, volume 3, parts F and G.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from hw_sim.capture.heard import Characteristic, Heard, Service, What, of_octets

PRIMARY_SERVICE: Final = "00002800-0000-1000-8000-00805f9b34fb"
DECLARATION: Final = "00002803-0000-1000-8000-00805f9b34fb"


class Opcode(IntEnum):
    """Those that bring something."""

    ERROR = 0x01
    FIND_BY_TYPE_VALUE = 0x06
    FIND_BY_TYPE_VALUE_ANSWER = 0x07
    READ_BY_TYPE = 0x08
    READ_BY_TYPE_ANSWER = 0x09
    READ = 0x0A
    READ_ANSWER = 0x0B
    READ_BLOB = 0x0C
    READ_BLOB_ANSWER = 0x0D
    READ_BY_GROUP_TYPE = 0x10
    READ_BY_GROUP_TYPE_ANSWER = 0x11
    WRITE = 0x12
    WRITE_ANSWER = 0x13
    NOTIFICATION = 0x1B
    INDICATION = 0x1D
    NOTIFICATIONS = 0x23
    WRITE_COMMAND = 0x52


@dataclass
class Handles:
    """What the handles of one device are. `named` is what somebody says that they are."""

    named: dict[int, str] = field(default_factory=dict)
    services: dict[int, tuple[int, str]] = field(default_factory=dict)  # first to last handle, and type
    characteristics: dict[int, Characteristic] = field(default_factory=dict)  # by the handle of the value

    def name(self, handle: int) -> str:
        """The characteristic, or the handle itself if nobody knows."""
        if handle in self.named:
            return self.named[handle]
        found = self.characteristics.get(handle)
        return f"0x{handle:04x}" if found is None else found.uuid

    def table(self) -> tuple[Service, ...]:
        """The services with what belongs to each."""
        return tuple(
            Service(
                uuid,
                tuple(one for handle, one in sorted(self.characteristics.items()) if first <= handle <= last),
            )
            for first, (last, uuid) in sorted(self.services.items())
        )


@dataclass
class AttClient:
    """One link, seen from the client."""

    handles: Handles
    _request: bytes = b""
    _long: tuple[int, bytes] = (0, b"")  # the handle that was read, and what came of it so far

    def take(self, at_s: float, pdu: bytes, *, is_sent: bool) -> Iterator[Heard]:
        """What a PDU brings. Names of characteristics are handles as yet: `Handles.name` has them in the end."""
        if not pdu:
            return
        if is_sent:
            yield from self._sent(at_s, pdu)
        else:
            yield from self._received(at_s, pdu)

    def _sent(self, at_s: float, pdu: bytes) -> Iterator[Heard]:
        match pdu[0]:
            case Opcode.WRITE_COMMAND if len(pdu) >= 3:
                yield Heard(at_s, What.WROTE, _handle(pdu, 1), pdu[3:])
            case Opcode.WRITE_ANSWER | Opcode.READ_ANSWER:
                pass  # the client is a server, too
            case opcode if opcode in _REQUESTS:
                self._request = pdu

    def _received(self, at_s: float, pdu: bytes) -> Iterator[Heard]:
        request = self._request
        match pdu[0]:
            case Opcode.NOTIFICATION | Opcode.INDICATION if len(pdu) >= 3:
                yield Heard(at_s, What.NOTIFIED, _handle(pdu, 1), pdu[3:])
                return
            case Opcode.NOTIFICATIONS:
                yield from _several(at_s, pdu)
                return
        if not request or pdu[0] not in (_REQUESTS[request[0]], Opcode.ERROR):
            return
        self._request = b""
        match pdu[0]:
            case Opcode.READ_BY_GROUP_TYPE_ANSWER:
                self._learn_services(pdu)
            case Opcode.FIND_BY_TYPE_VALUE_ANSWER:
                self._learn_ranges(request, pdu)
            case Opcode.READ_BY_TYPE_ANSWER:
                yield from self._take_by_type(at_s, request, pdu)
            case Opcode.READ_ANSWER if len(request) >= 3:
                self._long = (int.from_bytes(request[1:3], "little"), pdu[1:])
                yield Heard(at_s, What.READ, _handle(request, 1), pdu[1:])
            case Opcode.READ_BLOB_ANSWER if len(request) >= 5:
                yield from self._take_part(at_s, request, pdu)
            case Opcode.WRITE_ANSWER if len(request) >= 3:
                yield Heard(at_s, What.WROTE, _handle(request, 1), request[3:])

    def _learn_services(self, pdu: bytes) -> None:
        for entry in _entries(pdu, least=6):
            first, last = int.from_bytes(entry[:2], "little"), int.from_bytes(entry[2:4], "little")
            if (uuid := of_octets(entry[4:])) is not None:
                self.handles.services[first] = last, uuid

    def _learn_ranges(self, request: bytes, pdu: bytes) -> None:
        uuid = of_octets(request[7:])
        if uuid is None or of_octets(request[5:7]) != PRIMARY_SERVICE:
            return
        for at in range(1, len(pdu) - 3, 4):
            first, last = (
                int.from_bytes(pdu[at : at + 2], "little"),
                int.from_bytes(pdu[at + 2 : at + 4], "little"),
            )
            self.handles.services[first] = last, uuid

    def _take_by_type(self, at_s: float, request: bytes, pdu: bytes) -> Iterator[Heard]:
        asked = of_octets(request[5:])
        if asked is None:
            return
        for entry in _entries(pdu, least=2):
            handle = int.from_bytes(entry[:2], "little")
            if asked == DECLARATION:
                uuid = of_octets(entry[5:])
                if uuid is not None and len(entry) >= 7:
                    of_value = int.from_bytes(entry[3:5], "little")
                    self.handles.characteristics[of_value] = Characteristic(uuid, entry[2])
            else:
                self.handles.named.setdefault(handle, asked)
                yield Heard(at_s, What.READ, f"0x{handle:04x}", entry[2:])

    def _take_part(self, at_s: float, request: bytes, pdu: bytes) -> Iterator[Heard]:
        handle, offset = int.from_bytes(request[1:3], "little"), int.from_bytes(request[3:5], "little")
        known, so_far = self._long
        if handle == known and offset == len(so_far) and len(pdu) > 1:
            self._long = handle, so_far + pdu[1:]
            yield Heard(at_s, What.READ, _handle(request, 1), self._long[1])


_REQUESTS: Final[dict[int, int]] = {
    Opcode.READ_BY_GROUP_TYPE: Opcode.READ_BY_GROUP_TYPE_ANSWER,
    Opcode.FIND_BY_TYPE_VALUE: Opcode.FIND_BY_TYPE_VALUE_ANSWER,
    Opcode.READ_BY_TYPE: Opcode.READ_BY_TYPE_ANSWER,
    Opcode.READ: Opcode.READ_ANSWER,
    Opcode.READ_BLOB: Opcode.READ_BLOB_ANSWER,
    Opcode.WRITE: Opcode.WRITE_ANSWER,
}


def _handle(pdu: bytes, at: int) -> str:
    return f"0x{int.from_bytes(pdu[at : at + 2], 'little'):04x}"


def _entries(pdu: bytes, least: int) -> Iterator[bytes]:
    """The entries of an answer whose second octet says how long each is."""
    size = pdu[1] if len(pdu) > 1 else 0
    if size >= least:
        for at in range(2, len(pdu) - size + 1, size):
            yield pdu[at : at + size]


def _several(at_s: float, pdu: bytes) -> Iterator[Heard]:
    at = 1
    while at + 4 <= len(pdu):
        length = int.from_bytes(pdu[at + 2 : at + 4], "little")
        value = pdu[at + 4 : at + 4 + length]
        if len(value) < length:
            return
        yield Heard(at_s, What.NOTIFIED, _handle(pdu, at), value)
        at += 4 + length
