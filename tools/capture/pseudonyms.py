"""What in a capture tells whose it is, replaced: addresses, names, serial numbers, codes.

Contract: with one key the same is always replaced by the same, and nobody without the key can tell by what; a key that
is not kept is as good as none. What the sensor measured, when, and what kind it is stays. Replaced are:

    what                                                     | by
    ---------------------------------------------------------|------------------------------------------------
    addresses, also where they stand in values               | a static random address
    names that are advertised or read (2A00), of people too  | "sensor-" and eight digits, or as many as fit
    serial number (2A25), system ID (2A23)                   | digits, octets of the same length
    consent code that was written to a User Control Point    | another code

Not here: anything that only a maker knows: the fields of its own formats, where they are no address and no name.
"""

import hashlib
import hmac
import re
from dataclasses import replace
from typing import Final

from hw_sim.capture.heard import ADDRESS, NAMES, Device, Heard, What, joined, long, parts
from protocols import uuids
from protocols.user_data import CONSENT_CODE_MAX

KEY_OCTETS: Final = 32
_NAME_DIGITS: Final = 8
_SHORT_NAME: Final = 6
_TEXTS: Final = frozenset(
    {
        long("2a00"),  # device name
        uuids.SERIAL_NUMBER,
        long("2a87"),  # e-mail address
        long("2a8a"),  # first name
        long("2a90"),  # last name
    }
)
_OCTETS: Final = frozenset({long("2a23"), long("2a85")})  # system ID, date of birth
_CONSENT: Final = 0x02


class Pseudonyms:
    """Replaces what tells whose a capture is, by a key."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._found: dict[bytes, bytes] = {}  # what is looked for in values, and what it is replaced by

    def _digest(self, what: str, value: bytes) -> bytes:
        return hmac.digest(self._key, what.encode() + b"\0" + value, hashlib.sha256)

    def address(self, address: str) -> str:
        """Another address in the place of this. What is no address is a name, and gets one."""
        octets = bytearray(self._digest("address", address.upper().encode())[:6])
        octets[0] |= 0b1100_0000
        if ADDRESS.fullmatch(address.upper()) is not None:
            real = bytes.fromhex(address.replace(":", ""))
            self._found[real], self._found[real[::-1]] = bytes(octets), bytes(octets[::-1])
        return octets.hex(":").upper()

    def name(self, name: str) -> str:
        """Another name in the place of this."""
        told = f"sensor-{self._digest('name', name.encode()).hex()[:_NAME_DIGITS].upper()}"
        if len(name.encode()) >= _SHORT_NAME:
            self._found[name.encode()] = _fitted(told.encode(), len(name.encode()))
        return told

    def device(self, device: Device) -> Device:
        """The device without what tells whose it is, and without its events."""
        name = None if device.name is None else self.name(device.name)
        return replace(device, address=self.address(device.address), name=name, events=[])

    def event(self, event: Heard) -> Heard:
        """An event of a device that was replaced before."""
        payload, name = event.payload, event.characteristic
        if event.what is What.ADVERTISED:
            return event._replace(payload=self._advertised(payload))
        if event.what is What.READ and name in _TEXTS:
            payload = self._text(payload)
        elif event.what is What.READ and name in _OCTETS:
            payload = self._digest("octets", payload)[: len(payload)]
        elif (
            event.what is What.WROTE
            and name == uuids.USER_CONTROL_POINT
            and payload[:1] == bytes((_CONSENT,))
        ):
            payload = payload[:2] + self._code(payload[2:])
        return event._replace(payload=self._sought(payload))

    def _advertised(self, data: bytes) -> bytes:
        changed = []
        for kind, part in parts(data):
            if kind in NAMES:
                told = self.name(part.decode("utf-8", "replace")).encode()
                changed.append((kind, told))
            else:
                changed.append((kind, self._sought(part)))
        return joined(changed)

    def _text(self, value: bytes) -> bytes:
        told = self._digest("text", value).hex().upper().encode()
        return _fitted(told, len(value))

    def _code(self, code: bytes) -> bytes:
        number = int.from_bytes(self._digest("code", code)[:4], "little") % (CONSENT_CODE_MAX + 1)
        return number.to_bytes(2, "little")[: len(code)]

    def _sought(self, value: bytes) -> bytes:
        """A value in which addresses and names are replaced where they stand."""
        for real, told in self._found.items():
            if real in value:
                value = re.sub(re.escape(real), lambda _, told=told: told, value)  # type: ignore[misc]
        return value


def _fitted(told: bytes, octets: int) -> bytes:
    return (told * (octets // max(1, len(told)) + 1))[:octets]
