"""Those who listen to advertisements, beside those who search: they are given all that the radio hears."""

import asyncio
from collections.abc import Callable

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

# Is given an advertisement, and says whether it brought something new.
Ear = Callable[[BLEDevice, AdvertisementData], bool]


class Hearing:
    """Somebody who listens to advertisements; `wants_passive`: some that come only to whoever does not ask for more."""

    def __init__(self, ear: Ear, *, is_awaited: bool, wants_passive: bool) -> None:
        self.is_awaited = is_awaited
        self.wants_passive = wants_passive
        self._ear = ear
        self._roused = asyncio.Event()
        self._error: BaseException | None = None

    def hear(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        if self._ear(device, advertisement):
            self._roused.set()

    def fail(self, error: BaseException) -> None:
        """Nothing can be heard."""
        self._error = error
        self._roused.set()

    async def wait(self) -> None:
        """Until something new was heard.

        Raises:
            FORESEEN: nothing can be heard.
        """
        await self._roused.wait()
        self._roused.clear()
        if self._error is not None:
            raise self._error
