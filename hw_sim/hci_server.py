"""The simulated room as a process of its own: whoever connects by TCP gets a controller on its air.

Contract: HCI H4 over TCP, a fresh `SimController` for each client; several at a time are allowed, as several
gateways in a room are. A client that vanishes is a gateway without power: its sensors see a supervision timeout.
So is one that stops reading, or sends what cannot be HCI; nothing a client sends ends the process.

Not here: authentication. Listen on a loopback address.
"""

import asyncio
from typing import cast

from bumble.core import InvalidPacketError
from bumble.transport.common import PacketParser

from hw_sim.air import Air


async def serve(air: Air, host: str, port: int) -> asyncio.Server:
    """Listen, and return the server. Port 0 picks a free one."""
    return await asyncio.get_running_loop().create_server(lambda: _HciClient(air), host, port)


class _HciClient(asyncio.Protocol):
    """One client's controller; to the controller it is the host, a sink of packets."""

    transport: asyncio.Transport

    def __init__(self, air: Air) -> None:
        self._air = air
        self._controller = air.controller("hci client")
        self._parser = PacketParser(self._controller)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._controller.host = self

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (
            InvalidPacketError
        ):  # out of step with H4, and nothing in it tells where the next packet begins
            self.transport.abort()

    def on_packet(self, packet: bytes) -> None:
        self.transport.write(packet)

    def pause_writing(self) -> None:
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        self._air.remove_controller(self._controller)
