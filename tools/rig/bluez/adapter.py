"""An adapter of the guest: a controller on the sensors' air, at the end of a serial line that speaks HCI H4.

Contract: it can be unplugged, upon which it has no power: its links fade, and nothing is answered any more. Plugged in
again, it has the address that it had.
"""

import asyncio
import socket
from typing import cast

from bumble.transport.common import PacketParser

from hw_sim.radio.air import Air


class Adapter(asyncio.Protocol):
    """One adapter, plugged in from the beginning."""

    def __init__(self, air: Air, name: str) -> None:
        self._controller = air.adapter(name)
        self._transport: asyncio.Transport | None = None
        self.is_plugged = True
        self._power_on()

    async def connect(self) -> socket.socket:
        """The other end of its serial line."""
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)
        return theirs

    def unplug(self) -> None:
        self.is_plugged = False
        self._controller.host = None
        self._controller.fall_silent()

    def plug(self) -> None:
        self.is_plugged = True
        self._power_on()

    def _power_on(self) -> None:
        self._controller.host = self
        self._parser = PacketParser(self._controller)

    # The line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.is_plugged:
            self._parser.feed_data(data)

    def on_packet(self, packet: bytes) -> None:
        """What the controller says to its host."""
        if self.is_plugged and self._transport is not None:
            self._transport.write(packet)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
