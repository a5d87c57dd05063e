"""How this machine's Bluetooth is: whether it can be used, which adapters it has, and who wants to know of changes.

Contract: whoever watches the system (`bluez.watch`) says what it sees; sessions, searches and scans are told at once.
Without anybody who watches, the machine's Bluetooth counts as usable, and each attempt finds out by itself.

    usable       ended     unusable     told: every link that stands is dead
    unusable     back      usable       told: whoever rests goes on at once
    usable       back      usable       told: the links over an adapter that is there or on no more are dead, and that
                                        there are others
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from edge.errors import SensorLost
from edge.radio.trouble import Trouble

log = logging.getLogger(__name__)


class Adapter(NamedTuple):
    """A Bluetooth adapter: its name as long as it stays plugged in, like hci0; its address; whether it is on."""

    name: str
    address: str
    is_powered: bool


class Health:
    """What is known of it now.

    Attributes:
        trouble: why no sensor can be reached, with what happened; None if they can, or nobody watches.
        adapters: those that there are.
        is_watched: whether somebody has looked, so that `adapters` says something.
    """

    def __init__(self, on_adapters: Callable[[], None] = lambda: None) -> None:
        """`on_adapters` is called when `adapters` have changed."""
        self._on_adapters = on_adapters
        self.trouble: SensorLost | None = None
        self.adapters: tuple[Adapter, ...] = ()
        self.is_watched = False
        self._listeners: dict[Callable[[SensorLost], None], str] = {}
        self._back = asyncio.Event()

    # For whoever watches

    def ended(self, trouble: SensorLost) -> None:
        """It cannot be used any more, and its links are dead."""
        self._say(trouble)
        self._tell(trouble)

    def _tell(self, trouble: SensorLost, gone: str | None = None) -> None:
        """Tell who uses this adapter, or everybody."""
        for listener, adapter in list(self._listeners.items()):
            if gone is None or adapter == gone:
                listener(trouble)

    def back(self, adapters: Sequence[Adapter]) -> None:
        """It can be used; whoever waits for that goes on."""
        self.is_watched = True
        was_away, self.trouble = self.trouble is not None, None
        is_on = {adapter.name for adapter in adapters if adapter.is_powered}
        gone = {adapter.name for adapter in self.adapters} - is_on
        before, self.adapters = self.adapters, tuple(adapters)
        for name in gone:
            self._tell(SensorLost(f"{name} is gone or switched off", Trouble.ADAPTER_OFF), name)
        if self.adapters != before:
            self._on_adapters()
        if was_away:
            log.info("Bluetooth can be used again")
            self._back.set()
            self._back = asyncio.Event()

    def _say(self, trouble: SensorLost) -> None:
        if self.trouble is None or self.trouble.trouble is not trouble.trouble:
            log.warning("%s: %s; %s", trouble.trouble.cause, trouble.reason, trouble.trouble.remedy)
        self.trouble = trouble
        self.is_watched = True

    # For whoever uses it

    def require(self) -> None:
        """Raises SensorLost, with the reason, if it cannot be used."""
        if self.trouble is not None:
            raise SensorLost(self.trouble.reason, self.trouble.trouble)

    @contextmanager
    def told(self, on_ended: Callable[[SensorLost], None], adapter: str = "") -> Iterator[None]:
        """While the context is open, `on_ended` is called when every link is dead, or those over this adapter."""
        self._listeners[on_ended] = adapter
        try:
            yield
        finally:
            del self._listeners[on_ended]

    async def rest(self, pause_s: float) -> None:
        """Wait; no longer than until it can be used again, if it could not be."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._back.wait()
