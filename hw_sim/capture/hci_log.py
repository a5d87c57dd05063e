"""A capture as HCI packets, for programs that read nothing else: Wireshark, btmon, Android's tools.

Contract: `HciLog.packets` gives the packets of an event, which `traffic` reads back as that event. What was heard is
what the packets say; the packets around it (links with their numbers, a discovery each time that a sensor is connected,
handles, confirmations) are made up, because whoever listens through an operating system does not see the real ones.

Source: Bluetooth Core Specification 5.4, volume 4, part E (7.7.65), and volume 3, parts A and F.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from hw_sim.capture.att import DECLARATION, PRIMARY_SERVICE, Opcode
from hw_sim.capture.btsnoop import Kind, Packet
from hw_sim.capture.heard import Device, Heard, What, octets_of
from hw_sim.capture.script import INDICATE, NOTIFY

_MTU, _MTU_ANSWER, _CONFIRMATION = 0x02, 0x03, 0x1E
_MTU_OCTETS: Final = 517
_FIRST_LINK: Final = 0x40
_RANDOM: Final = b"\x01"
_END: Final = 0xFFFF


@dataclass
class _Table:
    """The handles that a device is given here."""

    number: int
    handles: dict[str, int] = field(default_factory=dict)
    indicates: set[str] = field(default_factory=set)


@dataclass
class HciLog:
    """Makes packets of events."""

    _tables: dict[str, _Table] = field(default_factory=dict)

    def packets(self, device: Device, event: Heard) -> Iterator[Packet]:
        """The packets that say so."""
        at_s = event.at_s
        match event.what:
            case What.ADVERTISED:
                yield _event(at_s, 0x3E, _report(device.address, event.payload))
            case What.CONNECTED:
                yield from self._connected(device, at_s)
            case What.DISCONNECTED:
                number = self._table(device).number.to_bytes(2, "little")
                yield _event(at_s, 0x05, b"\0" + number + b"\x13")
            case _:
                yield from self._value(device, event)

    def _table(self, device: Device) -> _Table:
        return self._tables.setdefault(device.address, _Table(_FIRST_LINK + len(self._tables)))

    def _connected(self, device: Device, at_s: float) -> Iterator[Packet]:
        table = self._table(device)
        number = table.number.to_bytes(2, "little")
        address = _reversed(device.address)
        rest = (24).to_bytes(2, "little") + b"\0\0" + (42).to_bytes(2, "little") + b"\0"
        yield _event(at_s, 0x3E, b"\x01\0" + number + b"\0" + _RANDOM + address + rest)
        mtu = _MTU_OCTETS.to_bytes(2, "little")
        for is_sent, pdu in [(True, bytes((_MTU,)) + mtu), (False, bytes((_MTU_ANSWER,)) + mtu)]:
            yield self._pdu(table, at_s, pdu, is_sent=is_sent)
        for is_sent, pdu in self._discovery(table, device):
            yield self._pdu(table, at_s, pdu, is_sent=is_sent)

    def _discovery(self, table: _Table, device: Device) -> Iterator[tuple[bool, bytes]]:
        handle = 1
        services: list[tuple[bytes, bytes]] = []
        declared: list[tuple[bytes, bytes]] = []
        for service in device.services:
            first, handle = handle, handle + 1
            for one in service.characteristics:
                table.handles[one.uuid] = handle + 1
                value = bytes((one.properties,)) + _two(handle + 1) + octets_of(one.uuid)
                declared.append((_two(handle), value))
                if one.properties & INDICATE and not one.properties & NOTIFY:
                    table.indicates.add(one.uuid)
                handle += 3 if one.properties & (NOTIFY | INDICATE) else 2
            services.append((_two(first) + _two(handle - 1), octets_of(service.uuid)))
        for ends, uuid in services:
            yield (
                True,
                bytes((Opcode.READ_BY_GROUP_TYPE,)) + ends[:2] + _two(_END) + octets_of(PRIMARY_SERVICE),
            )
            yield False, bytes((Opcode.READ_BY_GROUP_TYPE_ANSWER, len(ends + uuid))) + ends + uuid
        for at, value in declared:
            yield True, bytes((Opcode.READ_BY_TYPE,)) + at + _two(_END) + octets_of(DECLARATION)
            yield False, bytes((Opcode.READ_BY_TYPE_ANSWER, len(at + value))) + at + value

    def _value(self, device: Device, event: Heard) -> Iterator[Packet]:
        table, name = self._table(device), event.characteristic
        handle = _two(int(name, 16) if name.startswith("0x") else table.handles.get(name, 0))
        said: list[tuple[bool, int, bytes]]
        match event.what:
            case What.READ:
                said = [(True, Opcode.READ, handle), (False, Opcode.READ_ANSWER, event.payload)]
            case What.WROTE:
                said = [(True, Opcode.WRITE, handle + event.payload), (False, Opcode.WRITE_ANSWER, b"")]
            case _ if name in table.indicates:
                said = [(False, Opcode.INDICATION, handle + event.payload), (True, _CONFIRMATION, b"")]
            case _:
                said = [(False, Opcode.NOTIFICATION, handle + event.payload)]
        for is_sent, opcode, rest in said:
            yield self._pdu(table, event.at_s, bytes((opcode,)) + rest, is_sent=is_sent)

    def _pdu(self, table: _Table, at_s: float, pdu: bytes, *, is_sent: bool) -> Packet:
        frame = _two(len(pdu)) + b"\x04\0" + pdu
        boundary = 0b00 if is_sent else 0b10
        return Packet(
            at_s, 0, is_sent, Kind.ACL, _two(table.number | boundary << 12) + _two(len(frame)) + frame
        )


def _event(at_s: float, code: int, parameters: bytes) -> Packet:
    return Packet(at_s, 0, False, Kind.EVENT, bytes((code, len(parameters))) + parameters)


def _report(address: str, data: bytes) -> bytes:
    """An extended report of a legacy advertisement; its data may be the parts of two."""
    signal = b"\x01\0\xff\x7f\x7f\0\0\0" + bytes(6)
    return b"\x0d\x01\x13\0" + _RANDOM + _reversed(address) + signal + bytes((len(data),)) + data


def _reversed(address: str) -> bytes:
    return bytes.fromhex(address.replace(":", ""))[::-1]


def _two(number: int) -> bytes:
    return number.to_bytes(2, "little")
