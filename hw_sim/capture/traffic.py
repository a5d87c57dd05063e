"""HCI packets of an adapter: whose link is whose, what was advertised, and the pieces of data joined to PDUs.

Contract: `devices` gives what the packets say of each device. A link whose begin is not in the capture belongs to the
device called "link 0x0040", by its handle. A PDU of which the capture holds only a part counts as `cut`, and brings
nothing; so does one whose begin is missing.

Not here: files (`btsnoop`, `bug_report`), and what PDUs mean (`att`).

Source: Bluetooth Core Specification 5.4, volume 4, part E (7.7, 5.4.2), and volume 3, part A (3.1).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from hw_sim.capture.att import AttClient, Handles
from hw_sim.capture.btsnoop import Kind, Packet
from hw_sim.capture.heard import Device, Heard, What, address_of, note_advertised

_DISCONNECTION, _LE = 0x05, 0x3E
_CONNECTED: Final = frozenset({0x01, 0x0A, 0x29})
_ATT_CHANNEL: Final = 0x0004
_CONTINUES: Final = 0b01


class _Report(NamedTuple):
    """Where in a report of an advertisement its address and the length of its data are, and what is behind those."""

    address_at: int
    length_at: int
    trailing: int


_REPORTS: Final = {0x02: _Report(2, 8, 1), 0x0D: _Report(3, 23, 0)}


@dataclass
class _Piece:
    """Data of one direction of a link that are not whole yet."""

    wanted: int = 0
    octets: bytearray = field(default_factory=bytearray)


@dataclass
class _Link:
    device: Device
    att: AttClient
    pieces: dict[bool, _Piece] = field(default_factory=dict)


class Traffic:
    """The devices of a capture, by address; `cut` are the PDUs that it holds only in part, by device."""

    def __init__(self, named: Mapping[int, str]) -> None:
        """`named`: what the handles are of devices whose discovery is not in the capture."""
        self.devices: dict[str, Device] = {}
        self.cut: Counter[str] = Counter()
        self._named = dict(named)
        self._handles: dict[str, Handles] = {}
        self._links: dict[tuple[int, int], _Link] = {}

    def take(self, packet: Packet) -> None:
        """The next packet."""
        if packet.kind is Kind.EVENT:
            self._take_event(packet)
        elif packet.kind is Kind.ACL:
            self._take_data(packet)

    def finish(self) -> None:
        """Name what was called by its handle, now that all is known."""
        for address, device in self.devices.items():
            handles = self._handles.get(address)
            if handles is None:
                continue
            device.services = handles.table()
            device.events = [
                one._replace(characteristic=handles.name(int(one.characteristic, 16)))
                if one.characteristic
                else one
                for one in device.events
            ]

    def _device(self, address: str) -> Device:
        return self.devices.setdefault(address, Device(address))

    # Events

    def _take_event(self, packet: Packet) -> None:
        octets = packet.octets
        if len(octets) < 3:
            return
        code, parameters = octets[0], octets[2:]
        if code == _DISCONNECTION and len(parameters) >= 4 and parameters[0] == 0:
            link = self._links.pop((packet.adapter, _number(parameters, 1) & 0xFFF), None)
            if link is not None:
                link.device.events.append(Heard(packet.at_s, What.DISCONNECTED))
        elif code == _LE:
            self._take_le(packet, parameters[0], parameters[1:])

    def _take_le(self, packet: Packet, subevent: int, parameters: bytes) -> None:
        if subevent in _REPORTS:
            self._take_reports(packet.at_s, parameters, _REPORTS[subevent])
        elif subevent in _CONNECTED and len(parameters) >= 11 and parameters[0] == 0:
            # Status, handle, role, type of address, address.
            self._connected(packet, _number(parameters, 1), address_of(parameters[5:11]))

    def _connected(self, packet: Packet, handle: int, address: str) -> None:
        device = self._device(address)
        device.events.append(Heard(packet.at_s, What.CONNECTED))
        self._links[packet.adapter, handle & 0xFFF] = self._link(device)

    def _link(self, device: Device) -> _Link:
        handles = self._handles.setdefault(device.address, Handles(dict(self._named)))
        return _Link(device, AttClient(handles))

    def _take_reports(self, at_s: float, parameters: bytes, form: "_Report") -> None:
        at = 1
        while at + form.length_at < len(parameters):
            begin = at + form.length_at + 1
            length = parameters[begin - 1]
            data = parameters[begin : begin + length]
            if len(data) < length:
                return
            if data:
                device = self._device(address_of(parameters[at + form.address_at : at + form.address_at + 6]))
                note_advertised(device, data)
                device.events.append(Heard(at_s, What.ADVERTISED, "", data))
            at = begin + length + form.trailing

    # Data

    def _take_data(self, packet: Packet) -> None:
        octets = packet.octets
        if len(octets) < 4:
            return
        header, length = _number(octets, 0), _number(octets, 2)
        data = octets[4 : 4 + length]
        key = packet.adapter, header & 0xFFF
        continues = header >> 12 & 0b11 == _CONTINUES
        link = self._links.get(key)
        if link is None:
            if continues or len(data) < 4 or _number(data, 2) != _ATT_CHANNEL:
                return
            link = self._links[key] = self._link(self._device(f"link 0x{key[1]:04x}"))
        piece = link.pieces.setdefault(packet.is_sent, _Piece())
        if not continues:
            if piece.octets:
                self.cut[link.device.address] += 1
            piece.octets.clear()
            piece.wanted = _number(data, 0) + 4 if len(data) >= 4 else 0
        elif not piece.octets:
            return  # its begin is not there
        piece.octets += data
        if not piece.wanted:
            self.cut[link.device.address] += 1
            piece.octets.clear()
        elif len(piece.octets) >= piece.wanted:
            whole = bytes(piece.octets[: piece.wanted])
            piece.octets.clear()
            if _number(whole, 2) == _ATT_CHANNEL:
                link.device.events.extend(link.att.take(packet.at_s, whole[4:], is_sent=packet.is_sent))


def _number(octets: bytes, at: int) -> int:
    return int.from_bytes(octets[at : at + 2], "little")


def devices(packets: Iterable[Packet], named: Mapping[int, str] = {}) -> Traffic:
    """What packets say of each device; `named` says what handles are where no discovery does."""
    traffic = Traffic(named)
    for packet in packets:
        traffic.take(packet)
    traffic.finish()
    return traffic
