"""Android's bug reports: where in them the Bluetooth log is.

A report is an archive with `btsnoop_hci.log` in it, whole or in two parts (`.last` is the older one), or a text that
holds the newest packets between two lines, compressed:

    --- BEGIN:BTSNOOP_LOG_SUMMARY (12345 bytes in) ---
    AnUz9bFmAQAAeJx...                                    base64
    --- END:BTSNOOP_LOG_SUMMARY ---

    VV LLLLLLLLLLLLLLLL zlib                              version, time of the last packet; all packets, deflated
    NNNN [OOOO] DDDDDDDD TT octets                        octets and type, [originally], time since the last, type

The second number is there since version 2. Numbers are little endian; times are in us, since 1970, whatever their names
in AOSP say. Of data Android keeps here the first 14 octets of a packet, or since version 11 or so the first 150.

Contract: `packets` gives what `btsnoop.packets` would of the log, from a report, an archive, or a log without a report;
nothing that is unpacked is larger than `OCTETS_MAX`. CaptureError says why nothing can be had.

Source: AOSP, system/bt/btif/src/btif_debug_btsnoop.cc and tools/scripts/btsnooz.py.
"""

import base64
import binascii
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Final

from hw_sim.capture import btsnoop
from hw_sim.capture.btsnoop import Kind, Packet
from hw_sim.capture.heard import CaptureError

OCTETS_MAX: Final = 512 << 20

_ZIP: Final = b"PK\x03\x04"
_BEGIN: Final = re.compile(rb"--- BEGIN:BTSNOOP_LOG_SUMMARY[^\n]*\n")
_END: Final = b"--- END:BTSNOOP_LOG_SUMMARY"
_LOG: Final = re.compile(r"(^|/)btsnoo[pz][^/]*\.(log|cfa|btsnoop)[^/]*$")
_US: Final = 1_000_000
_PREAMBLE: Final = struct.Struct("<BQ")
_ENTRIES: Final = {1: struct.Struct("<HIB"), 2: struct.Struct("<HHIB")}
_KINDS: Final = {
    0x10: (Kind.EVENT, False),
    0x11: (Kind.ACL, False),
    0x12: (Kind.SYNCHRONOUS, False),
    0x17: (Kind.ISOCHRONOUS, False),
    0x20: (Kind.COMMAND, True),
    0x21: (Kind.ACL, True),
    0x22: (Kind.SYNCHRONOUS, True),
    0x2D: (Kind.ISOCHRONOUS, True),
}
_NOTHING: Final = CaptureError(
    "it holds no Bluetooth log",
    "name a capture, a btsnoop file or an Android bug report; if it is a bug report, switch on "
    '"Bluetooth HCI snoop log" among the developer options, use the sensor, and report again',
)


def packets(content: bytes) -> list[Packet]:
    """The packets of a log, with or without a report around it.

    Raises:
        CaptureError: there is none, or it is damaged.
    """
    if content.startswith(btsnoop.MAGIC):
        return list(btsnoop.packets(content))
    if content.startswith(_ZIP):
        return _in_archive(content)
    if (begin := _BEGIN.search(content)) is not None:
        end = content.find(_END, begin.end())
        return list(_unpacked(content[begin.end() : len(content) if end < 0 else end]))
    raise _NOTHING


def _in_archive(content: bytes) -> list[Packet]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            logs = [found for name in names if _LOG.search(name) and (found := _member(archive, name))]
            whole = [log for log in logs if log.startswith(btsnoop.MAGIC)]
            if whole:
                parts = [part for log in whole if (part := list(btsnoop.packets(log)))]
                return [packet for part in sorted(parts, key=lambda part: part[0].at_s) for packet in part]
            for name in names:
                if name.endswith(".txt") and _BEGIN.search(text := _member(archive, name)):
                    return packets(text)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, ValueError) as fault:
        raise CaptureError(f"the archive is damaged ({fault})", "copy it anew") from fault
    raise _NOTHING


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        return file.read(OCTETS_MAX)


def _unpacked(text: bytes) -> Iterator[Packet]:
    """The packets of the compressed log."""
    try:
        packed = base64.b64decode(b"".join(text.split()), validate=True)
        version, last_us = _PREAMBLE.unpack_from(packed)
        entries = zlib.decompressobj().decompress(packed[_PREAMBLE.size :], OCTETS_MAX)
    except (binascii.Error, struct.error, zlib.error) as fault:
        raise CaptureError(f"the log in the report is damaged ({fault})", "make the report anew") from fault
    if version not in _ENTRIES:
        raise CaptureError(f"its log is of version {version}", "1 and 2 can be read")
    found = list(_entries(entries, _ENTRIES[version]))
    at_us = last_us - sum(delta_us for delta_us, _, _ in found)
    for delta_us, number, octets in found:
        at_us += delta_us
        if number in _KINDS:
            kind, is_sent = _KINDS[number]
            yield Packet(at_us / _US, 0, is_sent, kind, octets)


def _entries(content: bytes, form: struct.Struct) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + form.size <= len(content):
        length, *_, delta_us, kind = form.unpack_from(content, at)
        at += form.size
        octets = content[at : at + length - 1]
        if length < 1 or len(octets) < length - 1:
            return
        at += length - 1
        yield delta_us, kind, octets
