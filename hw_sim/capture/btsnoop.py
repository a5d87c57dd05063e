"""btsnoop files: HCI packets with their times, as BlueZ's btmon, Android and Bumble write them; read and written.

    62 74 73 6e 6f 6f 70 00  00 00 00 01  00 00 03 ea     "btsnoop", version 1, kind of packets 1002
    LLLLLLLL IIIIIIII FFFFFFFF DDDDDDDD TTTTTTTTTTTTTTTT  length, octets included, flags, lost ones, us since year 0
    0000000a 0000000a 00000001 00000000 00e2f1...         then the octets included

Contract: reading gives the packets up to the first that is cut off, as the last often is, and raises `CaptureError` for
what is no btsnoop file, or is none from there on. Kinds of packets: 1001 (the flags tell commands and events from
data), 1002 (the first octet does), 2001 (BlueZ's monitor: flags are the adapter's number and an opcode).

Not here: what the packets mean (`traffic`).

Source: RFC 1761 for the form; BlueZ's btsnoop(7) for the monitor; Bumble's snoop.py for kind 1002.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from hw_sim.capture.heard import CaptureError

MAGIC: Final = b"btsnoop\0"
EPOCH_US: Final = 0x00DCDDB30F2F8000  # 1970, in microseconds since the year 0
H1, H4, MONITOR = 1001, 1002, 2001

_HEADER: Final = struct.Struct(">8sII")
_RECORD: Final = struct.Struct(">IIIIQ")
_US: Final = 1_000_000
# An ACL packet has at most 64 KiB, and what BlueZ logs less.
OCTETS_MAX: Final = 1 << 17


class Kind(IntEnum):
    """What is in a packet, as H4 has it in its first octet."""

    COMMAND = 1
    ACL = 2
    SYNCHRONOUS = 3
    EVENT = 4
    ISOCHRONOUS = 5


class Packet(NamedTuple):
    """A packet between a host and its adapter; `is_sent` by the host."""

    at_s: float
    adapter: int
    is_sent: bool
    kind: Kind
    octets: bytes


_KINDS: Final = frozenset(Kind)
# BlueZ's monitor has many opcodes; these bring packets.
_MONITOR: Final = {
    2: (Kind.COMMAND, True),
    3: (Kind.EVENT, False),
    4: (Kind.ACL, True),
    5: (Kind.ACL, False),
    6: (Kind.SYNCHRONOUS, True),
    7: (Kind.SYNCHRONOUS, False),
    18: (Kind.ISOCHRONOUS, True),
    19: (Kind.ISOCHRONOUS, False),
}


def packets(content: bytes) -> Iterator[Packet]:
    """The packets of a file.

    Raises:
        CaptureError: it is no btsnoop file, one of an unknown kind, or damaged.
    """
    if len(content) < _HEADER.size or not content.startswith(MAGIC):
        raise CaptureError(
            "it is no btsnoop file", "give one that btmon, Android or this program has written"
        )
    _, version, kind = _HEADER.unpack_from(content)
    if version != 1 or kind not in _READERS:
        known = ", ".join(map(str, _READERS))
        raise CaptureError(f"its packets are of kind {kind}, version {version}", f"kinds {known} can be read")
    read, at = _READERS[kind], _HEADER.size
    while at + _RECORD.size <= len(content):
        _, included, flags, _, us = _RECORD.unpack_from(content, at)
        if included > OCTETS_MAX:
            raise CaptureError(f"it is damaged at octet {at}", "make the capture again")
        at += _RECORD.size
        octets = content[at : at + included]
        if len(octets) < included:
            return
        at += included
        packet = read((us - EPOCH_US) / _US, flags, octets)
        if packet is not None:
            yield packet


def _h1(at_s: float, flags: int, octets: bytes) -> Packet:
    is_sent = not flags & 1
    kind = Kind.ACL if not flags & 2 else Kind.COMMAND if is_sent else Kind.EVENT
    return Packet(at_s, 0, is_sent, kind, octets)


def _h4(at_s: float, flags: int, octets: bytes) -> Packet | None:
    if not octets or octets[0] not in _KINDS:
        return None
    return Packet(at_s, 0, not flags & 1, Kind(octets[0]), octets[1:])


def _monitor(at_s: float, flags: int, octets: bytes) -> Packet | None:
    found = _MONITOR.get(flags & 0xFFFF)
    if found is None:
        return None
    kind, is_sent = found
    return Packet(at_s, flags >> 16, is_sent, kind, octets)


_READERS: Final = {H1: _h1, H4: _h4, MONITOR: _monitor}


def header() -> bytes:
    """The begin of a file of kind 1002."""
    return _HEADER.pack(MAGIC, 1, H4)


def record(packet: Packet) -> bytes:
    """A packet in such a file."""
    octets = bytes((packet.kind,)) + packet.octets
    flags = (not packet.is_sent) | (packet.kind in (Kind.COMMAND, Kind.EVENT)) << 1
    us = round(packet.at_s * _US) + EPOCH_US
    return _RECORD.pack(len(octets), len(octets), flags, 0, us) + octets
