"""Bumble's host, fit for simulation: quiet, and with commands that a cancelled caller cannot spoil.

Contract: `device_on(controller)` is how sensors and centrals put a Bumble device behind a controller or any
other HCI transport. Once the transport is lost every command fails at once, with Bumble's TransportLostError.

Not here: what the device is.
"""

import asyncio
import struct
from typing import Any, Final

from bumble import att, hci
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.host import Host
from bumble.snoop import Snooper
from bumble.transport.common import TransportLostError, TransportSink, TransportSource

_NOTIFICATION: Final = struct.Struct("<BH")  # opcode and handle; the value follows
_NOTIFIES: Final = bytes([att.Opcode.ATT_HANDLE_VALUE_NOTIFICATION])


class _SimHost(Host):
    # Bumble formats every packet for a debug log even when nobody reads it: much of what a packet costs.

    is_lost = False

    def on_transport_lost(self) -> None:
        self.is_lost = True
        if self.pending_response is not None and self.pending_response.done():
            self.pending_response = None  # answered just before; Bumble would answer it once more
        super().on_transport_lost()  # type: ignore[no-untyped-call]

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if self.is_lost:
            if isinstance(packet, hci.HCI_Command):
                raise TransportLostError("transport lost")
        elif self.hci_sink is not None:
            octets = bytes(packet)
            if self.snooper is not None:
                self.snooper.snoop(octets, Snooper.Direction.HOST_TO_CONTROLLER)
            self.hci_sink.on_packet(octets)

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if self.snooper is not None:
            self.snooper.snoop(bytes(packet), Snooper.Direction.CONTROLLER_TO_HOST)
        if isinstance(packet, hci.HCI_AclDataPacket):
            self.on_hci_acl_data_packet(packet)
        elif isinstance(packet, hci.HCI_Event):
            self.on_hci_event_packet(packet)

    async def _send_command(self, *args: Any) -> Any:
        # Cancelling a command does not recall it: its answer would be taken for that of the next command.
        sending = asyncio.ensure_future(super()._send_command(*args))
        sending.add_done_callback(
            lambda sent: sent.cancelled() or sent.exception()
        )  # nobody may be left to look
        return await asyncio.shield(sending)


class _SimDevice(Device):
    # It formats every notification for that log, too, and takes it apart by a table of fields.

    def on_gatt_pdu(self, connection_handle: int, pdu: bytes) -> None:
        connection = self.connections.get(connection_handle)
        is_notification = pdu[:1] == _NOTIFIES and len(pdu) >= _NOTIFICATION.size
        if connection is None or not is_notification:
            super().on_gatt_pdu(connection_handle, pdu)
            return
        _, handle = _NOTIFICATION.unpack_from(pdu)
        notification = att.ATT_Handle_Value_Notification(handle, pdu[_NOTIFICATION.size :])
        connection.gatt_client.on_att_handle_value_notification(notification)


def device_on(source: TransportSource, sink: TransportSink, config: DeviceConfiguration) -> Device:
    """A device whose controller is reached through an HCI source and sink."""
    device = _SimDevice(config=config, host=_SimHost(source, sink))

    def on_connection(connection: Connection) -> None:
        # Bumble keeps a failed pairing session, which would then not store the bond of the next attempt.
        connection.on(
            connection.EVENT_PAIRING_FAILURE,
            lambda _: device.smp_manager.sessions.pop(connection.handle, None),
        )

    device.on(device.EVENT_CONNECTION, on_connection)
    return device
