"""A connection as the operating system's Bluetooth holds it, whoever uses it, and when nobody does.

Contract: operations over it end with it, and fail with bleak's exceptions; one whose caller gives up stays on the air
until it is answered, as ATT demands. Several clients may use it at a time: each that listens to a characteristic is
called, and each is told once when the link is gone. The sensor is asked to notify when the first begins to listen.

Not here: how a connection is made (stack), bleak's interface (client_backend).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar

from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from bumble import att, core
from bumble.device import Connection
from bumble.gatt_client import Client

from hw_sim.radio.bluetoothd import Bluetoothd

_T = TypeVar("_T")

_PREFERRED_MTU = 517
_SMP_TIMEOUT_S = 30
_AUTHENTICATION = "org.bluez.Error.Authentication"


class User(Protocol):
    """One client's side of a link."""

    def on_link_ended(self) -> None: ...


class Subscription:
    """Who listens to one characteristic, and where it is switched off."""

    def __init__(self, cccd_handle: int, bluetoothd: Bluetoothd) -> None:
        self.cccd_handle = cccd_handle
        self._bluetoothd = bluetoothd
        self.callbacks: dict[User, Callable[[bytearray], None]] = {}

    def __call__(self, value: bytes) -> None:
        self._bluetoothd.when_answering(partial(self._call, value))

    def _call(self, value: bytes) -> None:
        for callback in list(self.callbacks.values()):
            callback(bytearray(value))


class StackLink:
    """One link of the machine."""

    def __init__(self, connection: Connection, bluetoothd: Bluetoothd) -> None:
        self._bluetoothd = bluetoothd
        self.connection = connection
        self.gatt: Client = connection.gatt_client
        self.is_up = True
        self.is_forgotten = False
        self.is_discovered = False
        self._users: list[User] = []
        self._subscriptions: dict[int, Subscription] = {}
        self._requests: set[asyncio.Future[Any]] = set()
        connection.once(connection.EVENT_DISCONNECTION, self._on_disconnection)

    @property
    def address(self) -> str:
        return self.connection.peer_address.to_string(False)

    def join(self, user: User) -> None:
        self._users.append(user)

    def _on_disconnection(self, _reason: int) -> None:
        self.is_up = False
        self._subscriptions.clear()
        for request in self._requests:
            request.cancel()
        users, self._users = self._users, []
        for user in users:
            user.on_link_ended()

    async def request(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """Do one operation over the link. It outlives a caller that gives up, but not the link."""
        if not self.is_up:
            raise BleakError("Not connected")
        request = asyncio.ensure_future(operation())
        self._requests.add(request)
        request.add_done_callback(self._on_request_done)
        try:
            return await asyncio.shield(request)
        except asyncio.CancelledError:
            if request.cancelled():
                raise BleakError("the device disconnected") from None
            raise
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(error.error_code) from error
        except core.TimeoutError as error:
            raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.UNLIKELY_ERROR) from error
        except core.BaseBumbleError as error:
            raise BleakError(str(error)) from error

    def _on_request_done(self, request: "asyncio.Future[Any]") -> None:
        self._requests.discard(request)
        if not request.cancelled():
            request.exception()  # nobody else may be left to look at it

    async def encrypt(self) -> None:
        """Encrypt with the key of the bond. Raises BleakError if the sensor has lost its bond."""
        await self.request(self.connection.encrypt)

    async def pair(self) -> None:
        """Raises BleakDBusError, as BlueZ has it, if the two do not agree."""
        try:
            async with asyncio.timeout(_SMP_TIMEOUT_S):
                await self.request(self._pair)
        except TimeoutError:
            raise BleakDBusError(_AUTHENTICATION + "Timeout", ["Authentication Timeout"]) from None

    async def _pair(self) -> None:
        try:
            await self.connection.pair()
        except core.ProtocolError as error:
            raise BleakDBusError(_AUTHENTICATION + "Failed", [str(error)]) from error

    async def discover(self) -> None:
        """Agree on an MTU and learn what the sensor has."""
        await self.request(lambda: self.gatt.request_mtu(_PREFERRED_MTU))
        await self.request(self._discover)
        self.is_discovered = True

    async def _discover(self) -> None:
        for service in await self.gatt.discover_services():
            for characteristic in await self.gatt.discover_characteristics((), service):
                await self.gatt.discover_descriptors(characteristic)

    # Listening

    def subscribe(
        self, user: User, handle: int, cccd_handle: int, callback: Callable[[bytearray], None]
    ) -> bool:
        """Have notifications and indications of a characteristic; whether it must be switched on for that."""
        known = self._subscriptions.get(handle)
        subscription = known or Subscription(cccd_handle, self._bluetoothd)
        subscription.callbacks[user] = callback
        self._subscriptions[handle] = subscription
        # Bumble keeps them apart, and none is sent that was not asked for.
        self.gatt.notification_subscribers[handle] = self.gatt.indication_subscribers[handle] = {subscription}
        return known is None

    def unsubscribe(self, user: User, handle: int) -> bool:
        """Whether nobody listens any more, so that it must be switched off."""
        subscription = self._subscriptions.get(handle)
        if subscription is None or subscription.callbacks.pop(user, None) is None or subscription.callbacks:
            return False
        self._forget(handle)
        return True

    def _forget(self, handle: int) -> Subscription:
        self.gatt.notification_subscribers.pop(handle, None)
        self.gatt.indication_subscribers.pop(handle, None)
        return self._subscriptions.pop(handle)

    def die(self) -> None:
        """It is about to end with the service, and whoever uses it is not told."""
        self.is_forgotten = True
        self._users.clear()
        for subscription in self._subscriptions.values():
            subscription.callbacks.clear()

    async def abandon(self) -> None:
        """Whoever used it is no more: nobody is told anything, and the sensor is asked to be silent."""
        self._users.clear()
        dead = [self._forget(handle) for handle in list(self._subscriptions)]
        for subscription in dead:
            subscription.callbacks.clear()
        # All at once: whoever subscribes next is served after them.
        await asyncio.gather(*(self._switch_off(subscription.cccd_handle) for subscription in dead))

    async def _switch_off(self, cccd_handle: int) -> None:
        with suppress(BleakError):  # the link ended in this moment
            await self.request(lambda: self.gatt.write_value(cccd_handle, b"\0\0", with_response=True))
