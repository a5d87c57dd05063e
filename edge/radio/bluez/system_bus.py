"""The message bus of this machine, by dbus-fast, which only a gateway with a real radio loads."""

import asyncio
from typing import Any

from bleak.exc import BleakDBusError
from dbus_fast import (
    AuthError,
    BusType,
    DBusError,
    InvalidAddressError,
    Message,
    MessageType,
    Variant,
    unpack_variants,
)
from dbus_fast.aio import MessageBus

from edge.radio.bluez.bus import DBUS, RULES, OnSignal
from edge.radio.deadline import leave


class SystemBus:
    """The bus of this machine."""

    def __init__(self) -> None:
        self._bus: MessageBus | None = None
        self._end: asyncio.Future[None] | None = None

    async def connect(self, on_signal: OnSignal) -> None:
        def take(message: Message) -> None:
            if message.message_type is MessageType.SIGNAL and message.member is not None:
                on_signal(message.member, unpack_variants(message.body))

        try:
            bus = self._bus = MessageBus(bus_type=BusType.SYSTEM)
            await bus.connect()
        except InvalidAddressError as error:
            raise FileNotFoundError(2, f"the message bus (D-Bus) has no address: {error}") from error
        except AuthError as error:
            raise BleakDBusError(f"{DBUS}.Error.AccessDenied", [str(error)]) from error
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise OSError(error.errno, f"the message bus (D-Bus) is not there: {reason}") from error
        end = bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self._end = asyncio.ensure_future(end)
        leave(self._end)
        bus.add_message_handler(take)
        for rule in RULES:
            await self.call(DBUS, "/org/freedesktop/DBus", DBUS, "AddMatch", "s", rule)

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        bus = self._connected()
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            # Each letter of a signature is a type; what may be of any type is, where we say it, true or false.
            body=[
                Variant("b", part) if kind == "v" else part
                for kind, part in zip(signature, body, strict=True)
            ],
        )
        try:
            reply = await bus.call(message)
        except DBusError as error:
            raise BleakDBusError(error.type, [error.text]) from error
        if reply.message_type is MessageType.ERROR:
            raise BleakDBusError(reply.error_name or f"{DBUS}.Error.Failed", list(map(str, reply.body)))
        return list(unpack_variants(reply.body))

    async def closed(self) -> None:
        self._connected()
        if self._end is not None:
            await asyncio.shield(self._end)

    def close(self) -> None:
        if self._bus is not None:
            self._bus.disconnect()

    def _connected(self) -> MessageBus:
        if self._bus is None:
            raise EOFError("the message bus (D-Bus) is not connected")
        return self._bus
