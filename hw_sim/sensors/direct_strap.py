"""A plain heart strap behind the direct radio: sends the packets it is given to whoever listens.

Not here: where the packets come from, and when they are due.
"""

from typing import Final

from bleak.exc import BleakGATTProtocolError, BleakGATTProtocolErrorCode

from hw_sim.direct_stack import DirectLink
from protocols import battery, uuids

_BATTERY_PCT: Final = 90


class DirectStrap:
    """Truth: `sent` counts the packets that reached the stack's client."""

    services: Final = {
        uuids.HEART_RATE_SERVICE: (uuids.HEART_RATE_MEASUREMENT,),
        uuids.BATTERY_SERVICE: (uuids.BATTERY_LEVEL,),
    }

    def __init__(self, address: str) -> None:
        self.address = address
        self.sent = 0
        self._link: DirectLink | None = None

    def on_connected(self, link: DirectLink) -> None:
        self._link = link

    def on_disconnected(self) -> None:
        self._link = None

    def send(self, payload: bytes) -> bool:
        """Notify a heart rate measurement; whether it passed. What does not pass is lost: straps keep nothing."""
        passed = self._link is not None and self._link.notify(uuids.HEART_RATE_MEASUREMENT, payload)
        self.sent += passed
        return passed

    def read(self, characteristic: str) -> bytes:
        if characteristic != uuids.BATTERY_LEVEL:
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.READ_NOT_PERMITTED)
        return battery.encode_level(_BATTERY_PCT)

    def write(self, characteristic: str, payload: bytes) -> None:  # noqa: ARG002 - nothing of it can be written
        raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.WRITE_NOT_PERMITTED)
