"""One device's Bluetooth controller on the simulated air: Bumble's, with its defects mended.

Contract: a Bluetooth 4.2 LE controller that claims no more than it does; the HCI source and sink of one host.
Each override says what was wrong. Good for a Bumble host and for a Linux one. What it is heard by and hears is a
`Medium`.

Not here: who hears whom and how links fail (air).
"""

import asyncio
from dataclasses import dataclass
from typing import cast

from bumble import hci, ll
from bumble.controller import Connection, Controller, LegacyAdvertiser
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

_ADVERTISING_UNIT_S = 0.000_625
_ACL_DATA_PACKET_LENGTH = 251
_ACTIVE_SCANNING = 1
_INTERVAL_UNIT_S = 0.001_25
# A question to the peer's link layer goes out in one connection event, and its answer comes in a later one.
_QUESTION_EVENTS = 2


@dataclass(eq=False)
class Link:
    """One connection as the air sees it. A silent link carries nothing and ends by supervision timeout."""

    central: "SimController"
    peripheral: "SimController"
    central_address: hci.Address
    peripheral_address: hci.Address
    interval: int
    supervision_timeout_s: float
    silent: bool = False

    @property
    def ends(self) -> tuple[tuple["SimController", hci.Address], tuple["SimController", hci.Address]]:
        """Each controller, with the address of its peer."""
        return (self.central, self.peripheral_address), (self.peripheral, self.central_address)


class Medium(LocalLink):
    """What a controller asks of the air beside what Bumble's asks."""

    def connectable(self, initiator_address: hci.Address, address: hci.Address) -> "SimController | None":
        """The controller that would take a connection request for this address right now."""
        raise NotImplementedError

    def fade_links_of(self, controller: "SimController") -> None:
        """The controller is heard no more over any of its links."""
        raise NotImplementedError

    def release(self, link: Link) -> None:
        """One end has closed the link."""
        raise NotImplementedError


@dataclass
class _ConnectableAdvertisement(ll.AdvInd):
    """An ADV_IND together with the scan response that an active scanner would ask for."""

    scan_response_data: bytes = b""


class _Advertiser(LegacyAdvertiser):
    """Bumble's takes the advertising interval for milliseconds, so it advertises too rarely."""

    def _on_timer_fired(self) -> None:
        self.send_advertising_data()
        self.timer_handle = asyncio.get_running_loop().call_later(
            self.advertising_interval_min * _ADVERTISING_UNIT_S, self._on_timer_fired
        )

    def send_advertising_data(self) -> None:
        if self.is_connectable:
            self.controller.send_advertising_pdu(
                _ConnectableAdvertisement(self.address, self.advertising_data, self.scan_response_data)
            )

    @property
    def is_connectable(self) -> bool:
        connectable = hci.HCI_LE_Set_Advertising_Parameters_Command.AdvertisingType.ADV_IND
        return self.enabled and self.advertising_type == connectable


class SimController(Controller):
    """Bumble's controller, mended."""

    # Bumble claims extended advertising and link-layer privacy and has but part of their commands and events:
    # a Linux host then waits for an Enhanced Connection Complete that never comes, cancels, and leaves the
    # peer connected for ever. Without the claim every host keeps to the legacy commands, which are complete.
    le_features = (
        hci.LeFeatureMask.LE_ENCRYPTION
        | hci.LeFeatureMask.PERIPHERAL_INITIATED_FEATURE_EXCHANGE
        | hci.LeFeatureMask.LE_DATA_PACKET_LENGTH_EXTENSION
    )
    # With 27 octets every longer ATT packet would be cut up at HCI, which no controller since 4.2 asks for.
    acl_data_packet_length = _ACL_DATA_PACKET_LENGTH
    le_acl_data_packet_length = _ACL_DATA_PACKET_LENGTH
    supported_max_tx_octets = _ACL_DATA_PACKET_LENGTH
    supported_max_rx_octets = _ACL_DATA_PACKET_LENGTH

    def __init__(self, name: str, air: Medium, public_address: str | None = None) -> None:
        self.air = air
        self.links: dict[hci.Address, Link] = {}
        self._reported: set[tuple[int, bytes, bytes]] = set()
        super().__init__(name, link=air, public_address=public_address)
        self.advertiser = _Advertiser(self)
        self.le_legacy_advertiser = self.advertiser

    @property
    def is_listening(self) -> bool:
        return self.le_scan_enable or self.pending_le_connection is not None

    def is_connectable_as(self, address: hci.Address) -> bool:
        return self.advertiser.is_connectable and self.advertiser.address == address

    def link_to(self, peer_address: hci.Address) -> "Link | None":
        return self.links.get(peer_address)

    def lose_power(self) -> None:
        """Its peers see a supervision timeout, and it is on the air no more."""
        self.air.remove_controller(self)

    def fall_silent(self) -> None:
        """Stop advertising, scanning and connecting, and forget every link without telling the peers."""
        self.advertiser.stop()
        self.le_scan_enable = False
        self.pending_le_connection = None
        self.air.fade_links_of(self)
        links, self.links = self.links, {}
        self.le_connections.clear()
        for link in links.values():
            self.air.release(link)

    # Bumble formats every packet for a debug log even when nobody reads it: much of what a packet costs.

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if self.hci_sink is not None:
            asyncio.get_running_loop().call_soon(self.hci_sink.on_packet, bytes(packet))

    def on_hci_packet(self, packet: hci.HCI_Packet) -> None:
        if isinstance(packet, hci.HCI_AclDataPacket):
            self.on_hci_acl_data_packet(packet)
        elif isinstance(packet, hci.HCI_Command):
            self.on_hci_command_packet(packet)

    def send_advertising_pdu(self, packet: ll.AdvertisingPdu) -> None:
        self.air.send_advertising_pdu(self, packet)

    # Connections

    def create_le_connection(self, peer_address: hci.Address) -> None:
        # The advertisement may be the last thing heard of a device, or another central may have been quicker:
        # Bumble's would report a connection of which the peripheral knows nothing.
        request = cast(hci.HCI_LE_Create_Connection_Command, self.pending_le_connection)
        public = request.own_address_type == hci.OwnAddressType.PUBLIC
        own_address = self.public_address if public else self.random_address
        if self.air.connectable(own_address, peer_address) is not None:
            super().create_le_connection(peer_address)

    def on_le_connect_ind(self, packet: ll.ConnectInd) -> None:
        # Bumble's reports made-up connection parameters to the peripheral, a supervision timeout of 100 ms.
        self.advertiser.stop()
        connection = Connection(
            controller=self,
            handle=self.allocate_connection_handle(),
            role=hci.Role.PERIPHERAL,
            self_address=packet.advertiser_address,
            peer_address=packet.initiator_address,
            link=self.air,
            transport=PhysicalTransport.LE,
            link_type=hci.HCI_Connection_Complete_Event.LinkType.ACL,
        )
        self.le_connections[packet.initiator_address] = connection
        self.send_hci_packet(
            _connection_complete(
                connection.handle, connection.role, packet.initiator_address, packet.interval, packet.timeout
            )
        )

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        # Bumble's says yes and goes on connecting, so that every later request is disallowed.
        request, self.pending_le_connection = self.pending_le_connection, None
        if request is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        unknown = hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        event = _connection_complete(0, hci.Role.CENTRAL, request.peer_address, 0, 0, status=unknown)
        asyncio.get_running_loop().call_soon(self.send_hci_packet, event)  # after the command's completion
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_disconnect_command(self, command: hci.HCI_Disconnect_Command) -> None:
        # Bumble's accepts an unknown handle and then never reports a disconnection, and gives the side that
        # hung up the reason meant for the other one.
        connection = self.find_le_connection_by_handle(command.connection_handle)
        if connection is None:
            unknown = hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
            self._send_hci_command_status(unknown, command.op_code)
            return
        self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, command.op_code)
        connection.send_ll_control_pdu(ll.TerminateInd(command.reason))
        reason = hci.HCI_ErrorCode.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR
        self.on_le_disconnected(connection, reason)

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        super().on_le_disconnected(connection, reason)
        self.air.release(self.links.pop(connection.peer_address))

    def on_ll_control_pdu(self, sender_address: hci.Address, packet: ll.ControlPdu) -> None:
        # Bumble's has the peer's features at once. To a Linux host that runs seldom, the link and the channel over it
        # then come up in the same moment, which BlueZ 5.82 cannot bear.
        link = self.links.get(sender_address)
        if isinstance(packet, ll.FeatureRsp) and link is not None:
            after_s = _QUESTION_EVENTS * link.interval * _INTERVAL_UNIT_S
            asyncio.get_running_loop().call_later(after_s, self._on_features, link, sender_address, packet)
        else:
            super().on_ll_control_pdu(sender_address, packet)

    def _on_features(self, link: Link, sender_address: hci.Address, packet: ll.FeatureRsp) -> None:
        if self.links.get(sender_address) is link:
            super().on_ll_control_pdu(sender_address, packet)

    def on_hci_reset_command(self, command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        # Bumble's forgets nothing, so a host that starts anew would inherit scans and links.
        self.fall_silent()
        return super().on_hci_reset_command(command)

    # Scanning

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_LE_Set_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        self._reported.clear()
        return super().on_hci_le_set_scan_enable_command(command)

    def on_advertising_pdu(self, pdu: ll.AdvInd | ll.AdvExtInd) -> None:
        # Bumble's reports the advertising data again as the scan response, to passive scanners as well.
        if not isinstance(pdu, _ConnectableAdvertisement):
            return
        if self.le_scan_enable:
            kind = hci.HCI_LE_Advertising_Report_Event.EventType
            self._report(kind.ADV_IND, pdu.advertiser_address, pdu.data)
            if self.le_scan_type == _ACTIVE_SCANNING:
                self._report(kind.SCAN_RSP, pdu.advertiser_address, pdu.scan_response_data)
        request = self.pending_le_connection
        if request is not None and request.peer_address == pdu.advertiser_address:
            self.create_le_connection(pdu.advertiser_address)

    def _report(self, event_type: int, address: hci.Address, data: bytes) -> None:
        # Bumble's reports what it has reported already even if it was told not to: a Linux host tells programs of each.
        what = (event_type, bytes(address), data)
        if self.filter_duplicates:
            if what in self._reported:
                return
            self._reported.add(what)
        report = hci.HCI_LE_Advertising_Report_Event.Report(
            event_type, address.address_type, address, data, -50
        )
        self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))


def _connection_complete(
    handle: int,
    role: hci.Role,
    peer_address: hci.Address,
    interval: int,
    timeout: int,
    *,
    status: hci.HCI_ErrorCode = hci.HCI_ErrorCode.SUCCESS,
) -> hci.HCI_LE_Connection_Complete_Event:
    return hci.HCI_LE_Connection_Complete_Event(
        status=status,
        connection_handle=handle,
        role=role,
        peer_address_type=peer_address.address_type,
        peer_address=peer_address,
        connection_interval=interval,
        peripheral_latency=0,
        supervision_timeout=timeout,
        central_clock_accuracy=0,
    )
