"""The simulated room as a process of its own: whoever connects by TCP gets a controller on its air.

Contract: HCI H4 over TCP, a `SimController` for each client; several at a time are allowed, as several gateways in a
room are. A client that vanishes leaves its controller with its links on the air, as a host that crashes does, and the
next client is given such a controller; its HCI Reset drops the links. With `power_loss` a client that vanishes is a
gateway without power: its controller is gone, its sensors see a supervision timeout. A client that stops reading, or
sends what cannot be HCI, is made to vanish; nothing a client sends ends the process.

Not here: authentication. Listen on a loopback address.
"""

import asyncio
from typing import cast

from bumble.core import InvalidPacketError
from bumble.transport.common import PacketParser

from hw_sim.radio.air import Air
from hw_sim.radio.controller import SimController


async def serve(air: Air, host: str, port: int, *, power_loss: bool = False) -> asyncio.Server:
    """Listen, and return the server. Port 0 picks a free one."""
    adapters = _Adapters(air, power_loss=power_loss)
    return await asyncio.get_running_loop().create_server(lambda: _HciClient(adapters), host, port)


class _Adapters:
    """The controllers of this server's clients."""

    def __init__(self, air: Air, *, power_loss: bool) -> None:
        self._air = air
        self._power_loss = power_loss
        self._left_behind: list[SimController] = []

    def take(self) -> SimController:
        """Of those left behind the newest that holds links, else the newest; else a new one.

        A gateway that is refused at its start, because another one runs, leaves one behind without links.
        """
        if not self._left_behind:
            return self._air.adapter("hci client")
        holding = [controller for controller in self._left_behind if controller.links]
        taken = (holding or self._left_behind)[-1]
        self._left_behind.remove(taken)
        return taken

    def leave(self, controller: SimController) -> None:
        controller.host = None
        if self._power_loss:
            self._air.remove_controller(controller)
        else:
            self._left_behind.append(controller)


class _HciClient(asyncio.Protocol):
    """One client; to its controller it is the host, a sink of packets."""

    transport: asyncio.Transport

    def __init__(self, adapters: _Adapters) -> None:
        self._adapters = adapters
        self._controller = adapters.take()
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
        self._adapters.leave(self._controller)
