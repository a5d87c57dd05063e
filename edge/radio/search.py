"""One sensor that is searched for: whether it was found, and what was heard meanwhile.

How it is searched for is decided in `adapter`.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple

from bleak.backends.device import BLEDevice

# After BlueZ has died, bleak still reports the connections that BlueZ had, until the sensor is heard again. So such a
# connection is not used for this long.
DISTRUST_S: Final = 20.0


class Found(NamedTuple):
    """A sensor that can be connected to, and by which adapter; `is_held`: the system is connected to it already."""

    device: BLEDevice
    is_held: bool
    adapter: str = ""


class Search:
    """One sensor that is waited for, and what was heard meanwhile."""

    def __init__(
        self,
        address: str,
        service: str,
        heard_s: dict[str, float],
        connected: Mapping[str, str],
        *,
        distrusts_held: bool,
        is_awaited: bool,
    ) -> None:
        """`is_awaited`: a sensor that is to be heard all the time, so that silence says something of the adapter."""
        self.is_awaited = is_awaited
        self.address = address
        self.service = service
        self._distrusts_held = distrusts_held
        self._heard_s = heard_s
        self._connected = connected
        self._since_s = asyncio.get_running_loop().time()
        self.found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        # Whoever waits may have been cancelled.
        self.found.add_done_callback(lambda found: found.cancelled() or found.exception())

    async def wait(self, timeout_s: float) -> Found | None:
        """The sensor, or None if it is not found in this time.

        Raises:
            FORESEEN: it cannot be searched for.
        """
        await asyncio.wait({self.found}, timeout=timeout_s)
        return self.found.result() if self.found.done() else None

    def give(self, found: Found) -> None:
        """The sensor was found; a connection that is not trusted yet is ignored."""
        if found.is_held and self._distrusts_held and self.age_s < DISTRUST_S:
            return
        if not self.found.done():
            self.found.set_result(found)

    def fail(self, error: Exception) -> None:
        """It cannot be searched for any longer."""
        if not self.found.done():
            self.found.set_exception(error)

    @property
    def age_s(self) -> float:
        return asyncio.get_running_loop().time() - self._since_s

    @property
    def others(self) -> int:
        """How many other devices were heard since the search began; those that are connected are heard, too."""
        heard = {address for address, heard_s in self._heard_s.items() if heard_s >= self._since_s}
        return len((heard | self._connected.keys()) - {self.address})

    @property
    def silent_s(self) -> float | None:
        """How long ago the sensor was heard last; None if never."""
        heard_s = self._heard_s.get(self.address)
        return None if heard_s is None else asyncio.get_running_loop().time() - heard_s
