"""What the gateway needs of the system's pairing, whatever the system is.

BlueZ offers it over D-Bus (`bluez`), a simulated machine directly. Who pairs, when and why is decided in `policy`. All
methods raise what `diagnosis.FORESEEN` lists, and end in time by themselves.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from bleak.backends.device import BLEDevice

from edge.errors import SensorLost
from edge.radio.pairing.ceremony import Ceremony
from edge.radio.trouble import Trouble


class Standing(Protocol):
    """How a device and this machine stand to each other."""

    @property
    def is_bonded(self) -> bool:
        """Whether the system keeps a key for it. With such a key, it encrypts before anything is read."""
        ...

    @property
    def is_trusted(self) -> bool:
        """Whether somebody who may do so has marked the device as trusted."""
        ...

    @property
    def is_encrypted(self) -> bool | None:
        """Whether the present link is encrypted; None if the system does not tell."""
        ...


class Trial(Protocol):
    """What the system tells of an attempt to connect: how often a link came up and ended again.

    `flapping` is set when that has happened so often that nothing will come of the attempt.
    """

    @property
    def came_up(self) -> int: ...

    @property
    def flapping(self) -> asyncio.Event: ...


class Pairing(Protocol):
    """The system's side of pairing."""

    async def standing(self, device: BLEDevice) -> Standing: ...

    async def pair(self, device: BLEDevice, ceremony: Ceremony) -> None:
        """Pair with a device that has no bond, and connect it if it is not connected."""
        ...

    async def trust(self, device: BLEDevice) -> None:
        """Mark the device as trusted."""
        ...

    async def forget(self, address: str) -> bool:
        """Delete the bond with a device, connected or not. Whether the system knew the device."""
        ...

    def watch(self, device: BLEDevice) -> AbstractAsyncContextManager[Trial]:
        """Observe an attempt to connect while the context is open."""
        ...


class NoPairing:
    """Where nothing can be paired."""

    async def standing(self, _: BLEDevice) -> Standing:
        raise _UNABLE

    async def pair(self, _device: BLEDevice, _ceremony: Ceremony) -> None:
        raise _UNABLE

    async def trust(self, _: BLEDevice) -> None:
        raise _UNABLE

    async def forget(self, _: str) -> bool:
        raise _UNABLE

    def watch(self, _: BLEDevice) -> AbstractAsyncContextManager[Trial]:
        raise _UNABLE


_UNABLE: Final = SensorLost("this machine cannot pair", Trouble.PAIRING_FAILED)
