"""The radio of one simulated room: controllers that hear each other, go out of reach and lose their links.

Contract: every sensor sits behind a controller made by `Air.controller`, every gateway behind one made by
`Air.adapter`. Whatever happens happens in a fixed order, so a run replays. Addresses are strings, "F0:01:02:03:04:05".

Not here: what a device says (sensors), when links fail (faults), the gateway's end (central).
"""

import asyncio
import itertools
from functools import cache
from typing import cast

from bumble import hci, ll
from bumble.controller import Controller
from bumble.core import PhysicalTransport

from hw_sim.radio.controller import Link, Medium, SimController

_SUPERVISION_UNIT_S = 0.01
_ADAPTERS = "00:1B:DC:F2"


class Air(Medium):
    """The medium. Bumble's own looks controllers up by address for each packet, in a set's random order."""

    def __init__(self, number: int = 0x44) -> None:
        """`number` tells airs apart, by the addresses of their adapters: bonds made on one are of no use on another."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._number = number
        self._stations: list[SimController] = []
        self._links: list[Link] = []
        self._unreachable: set[bytes] = set()

    def controller(self, name: str) -> SimController:
        """A new controller on this air: the HCI source and sink of one device."""
        return SimController(name, self)

    def adapter(self, name: str) -> SimController:
        """A new controller with a public address of its own, as the adapters of gateways have.

        Without one a Linux host scans under throw-away addresses, and bonded sensors meet a stranger. The address is
        the lowest that is free, so an adapter that comes back has the one it had.
        """
        taken = {bytes(station.public_address) for station in self._stations}
        addresses = (f"{_ADAPTERS}:{self._number:02X}:{n:02X}" for n in itertools.count(1))
        free = next(address for address in addresses if bytes(hci.Address(address)) not in taken)
        return SimController(name, self, free)

    def add_controller(self, controller: Controller) -> None:
        self._stations.append(cast(SimController, controller))

    def remove_controller(self, controller: Controller) -> None:
        """Take a controller off the air, as if its power were cut: its peers see a supervision timeout."""
        station = cast(SimController, controller)
        self._stations.remove(station)
        station.host = None
        station.fall_silent()

    # Faults

    def lose_link(self, address: str) -> int:
        """Let a device's links fade: both ends see 0x08 after the supervision timeout. How many faded."""
        key = _key(address)
        return self._fade([link for link in self._links if key in _addresses(link)])

    def set_reachable(self, address: str, reachable: bool) -> int:
        """Move a device into or out of reach. Out of reach nothing of it is heard. How many links faded."""
        key = _key(address)
        if reachable:
            self._unreachable.discard(key)
            return 0
        self._unreachable.add(key)
        return self.lose_link(address)

    def carries(self, address: str) -> bool:
        """Whether a device has a link over which what it sends arrives."""
        key = _key(address)
        return any(not link.silent and key in _addresses(link) for link in self._links)

    def fade_links_of(self, controller: SimController) -> None:
        self._fade([link for link in self._links if controller in (link.central, link.peripheral)])

    def _fade(self, links: list[Link]) -> int:
        audible = [link for link in links if not link.silent]
        for link in audible:
            link.silent = True
            asyncio.get_running_loop().call_later(link.supervision_timeout_s, self._time_out, link)
        return len(audible)

    def _time_out(self, link: Link) -> None:
        for controller, peer_address in link.ends:
            if controller.link_to(peer_address) is link:
                connection = controller.le_connections[peer_address]
                controller.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    # What controllers send

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        if isinstance(packet, ll.ConnectInd):
            self._connect(cast(SimController, sender_controller), packet)
        elif isinstance(packet, ll.AdvInd) and bytes(packet.advertiser_address) not in self._unreachable:
            for station in self._stations:
                if station.is_listening and station is not sender_controller:
                    asyncio.get_running_loop().call_soon(station.on_ll_advertising_pdu, packet)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        # The source is the address the link was made with: Bumble's link always takes the sender's random
        # address, so whatever a central with a public address sent would be dropped.
        sender = cast(SimController, sender_controller)
        link = sender.link_to(destination_address)
        if link is None or link.silent:
            return
        if link.central is sender:
            receiver, source_address = link.peripheral, link.central_address
        else:
            receiver, source_address = link.central, link.peripheral_address
        asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, source_address, transport, data)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        pair = {sender_address, receiver_address}
        link = next((k for k in self._links if {k.central_address, k.peripheral_address} == pair), None)
        if link is None or link.silent:
            return
        if isinstance(packet, ll.ConnectionUpdateInd):
            link.supervision_timeout_s = packet.timeout * _SUPERVISION_UNIT_S
        receiver = link.central if link.central_address == receiver_address else link.peripheral
        asyncio.get_running_loop().call_soon(receiver.on_ll_control_pdu, sender_address, packet)

    # How links begin and end

    def connectable(self, initiator_address: hci.Address, address: hci.Address) -> SimController | None:
        if bytes(address) in self._unreachable or bytes(initiator_address) in self._unreachable:
            return None
        return next((station for station in self._stations if station.is_connectable_as(address)), None)

    def _connect(self, central: SimController, request: ll.ConnectInd) -> None:
        peripheral = self.connectable(request.initiator_address, request.advertiser_address)
        if peripheral is None:
            raise ValueError(f"nobody takes a connection as {request.advertiser_address}")
        link = Link(
            central,
            peripheral,
            request.initiator_address,
            request.advertiser_address,
            request.interval,
            request.timeout * _SUPERVISION_UNIT_S,
        )
        self._links.append(link)
        for controller, peer_address in link.ends:
            controller.links[peer_address] = link
        peripheral.on_le_connect_ind(request)

    def release(self, link: Link) -> None:
        """One end has closed the link; it is gone when neither holds it."""
        if link in self._links and all(
            controller.link_to(peer) is not link for controller, peer in link.ends
        ):
            self._links.remove(link)


@cache
def _key(address: str) -> bytes:
    return bytes(hci.Address(address))


def _addresses(link: Link) -> tuple[bytes, bytes]:
    return bytes(link.central_address), bytes(link.peripheral_address)
