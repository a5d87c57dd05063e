"""What in an advertisement belongs to a sensor of the configuration, and which of it is new.

Contract: pure, and cheap for whatever is not a sensor's. A sensor is told by its address, or by the serial number at
the end of its name: some change their address. The parts of an advertisement are named "company " and the company id
of manufacturer data in four hexadecimal digits, or by the UUID of service data.

A sensor repeats each payload many times. A payload is new if it is none of the newest `RECENT_MAX`. No sensor has new
ones more often than `NEW_PER_S`, after a few at once; who sends more is no sensor, and the rest is refused.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from bleak.backends.scanner import AdvertisementData

from edge.config_sensors import serial_of
from edge.kinds import FoundBy

RECENT_MAX: Final = 8
NEW_PER_S: Final = 1.0
NEW_AT_ONCE: Final = 10.0
_COMPANY: Final = "company "


def parts(advertisement: AdvertisementData) -> Iterator[tuple[str, bytes]]:
    """The parts that carry data."""
    for company, payload in advertisement.manufacturer_data.items():
        yield f"{_COMPANY}{company:04x}", payload
    yield from advertisement.service_data.items()


def companies(names: Iterable[str]) -> set[int]:
    """The company ids among names of parts."""
    return {int(name.removeprefix(_COMPANY), 16) for name in names if name.startswith(_COMPANY)}


class Sought:
    """A sensor, by what tells it from others."""

    def __init__(self, found_by: FoundBy, address: str) -> None:
        """`address`: as the configuration has it."""
        self._is_serial = found_by is FoundBy.SERIAL
        self._wanted = serial_of(address) if self._is_serial else address

    def is_it(self, address: str, name: str | None) -> bool:
        """Whether it is the device with this address and name."""
        if self._is_serial:
            return name is not None and serial_of(name) == self._wanted
        return address.upper() == self._wanted


class News:
    """Tells new payloads of one sensor from repeated ones.

    Attributes:
        refused: how many were new and too many.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._recent: deque[tuple[str, bytes]] = deque(maxlen=RECENT_MAX)
        self._left = NEW_AT_ONCE
        self._at_s = 0.0

    def is_new(self, part: str, payload: bytes, now_s: float) -> bool:
        """Whether this is to be taken; if so, it is no news from now on."""
        if (part, payload) in self._recent:
            return False
        self._left = min(NEW_AT_ONCE, self._left + (now_s - self._at_s) * NEW_PER_S)
        self._at_s = now_s
        if self._left < 1.0:
            self.refused += 1
            return False
        self._left -= 1.0
        self._recent.append((part, payload))
        return True
