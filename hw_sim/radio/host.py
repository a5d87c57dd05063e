"""Bumble's host, fit for simulation: quiet, and with commands that a cancelled caller cannot spoil.

Contract: `device_on(controller)` is how sensors and centrals put a Bumble device behind a controller or any
other HCI transport.

Not here: what the device is.
"""

import asyncio
from typing import Any

from bumble import hci
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.host import Host
from bumble.transport.common import TransportSink, TransportSource


class _SimHost(Host):
    # Bumble formats every packet for a debug log even when nobody reads it: much of what a packet costs.

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if self.hci_sink is not None:
            self.hci_sink.on_packet(bytes(packet))

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if isinstance(packet, hci.HCI_AclDataPacket):
            self.on_hci_acl_data_packet(packet)
        elif isinstance(packet, hci.HCI_Event):
            self.on_hci_event_packet(packet)

    async def _send_command(self, *args: Any) -> Any:
        # Cancelling a command does not recall it: its answer would be taken for that of the next command.
        return await asyncio.shield(asyncio.ensure_future(super()._send_command(*args)))


def device_on(source: TransportSource, sink: TransportSink, config: DeviceConfiguration) -> Device:
    """A device whose controller is reached through an HCI source and sink."""
    device = Device(config=config, host=_SimHost(source, sink))

    def on_connection(connection: Connection) -> None:
        # Bumble keeps a failed pairing session, which would then not store the bond of the next attempt.
        connection.on(
            connection.EVENT_PAIRING_FAILURE,
            lambda _: device.smp_manager.sessions.pop(connection.handle, None),
        )

    device.on(device.EVENT_CONNECTION, on_connection)
    return device
