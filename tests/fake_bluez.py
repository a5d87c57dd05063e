"""A message bus with a stand-in for BlueZ on it, for whoever talks D-Bus: real messages over a real socket.

It knows devices and their properties, and pairs as a test says (`on_pair`). Of pairing it has what `edge.radio.pairing`
uses, no more.
"""

import asyncio
import io
import itertools
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast._private.unmarshaller import Unmarshaller
from dbus_fast.aio import MessageBus

ADAPTER = "/org/bluez/hci0"
DEVICE = "org.bluez.Device1"
UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"


def path_of(address: str) -> str:
    return f"{ADAPTER}/dev_{address.replace(':', '_')}"


class RefusedError(Exception):
    """What is asked for ends with this D-Bus error."""


class FakeBluez:
    """The bus and BlueZ.

    Attributes:
        devices: properties by path.
        calls: what was asked for, as (member, path, body).
        agent: path and capability of the agent that is registered.
        rules: what signals are wanted.
        on_pair: what happens when a device is paired; it may ask the agent, and raise RefusedError.
        refuses: the error with which a member is answered.
    """

    def __init__(self, socket: Path) -> None:
        self.address = f"unix:path={socket}"
        self.devices: dict[str, dict[str, Variant]] = {}
        self.calls: list[tuple[str, str, list[Any]]] = []
        self.agent: tuple[str, str] | None = None
        self.rules: list[str] = []
        self.on_pair: Callable[[str], Awaitable[None]] = self._pairs
        self.refuses: dict[str, str] = {}
        self.is_silent = False
        self._socket = socket
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._serials = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def know(self, address: str, **properties: bool) -> None:
        told = {name: Variant("b", value) for name, value in properties.items()}
        self.devices[path_of(address)] = {"Address": Variant("s", address), **told}

    def told(self, address: str, name: str) -> bool:
        """A property of a device."""
        return bool(self.devices[path_of(address)][name].value)

    async def open_bus(self) -> MessageBus:
        return await MessageBus(bus_address=self.address).connect()

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, path=self._socket)

    async def close(self) -> None:
        """The bus ends."""
        if self._server is not None:
            self._server.close()
        self._socket.unlink(missing_ok=True)
        if self._writer is not None:
            self._writer.close()
        self.agent = None
        self.rules.clear()

    def restart(self) -> None:
        """bluetoothd ends and begins anew; the bus stays."""
        self.agent = None
        self._signal(
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "NameOwnerChanged",
            "sss",
            "org.bluez",
            ":1.0",
            "",
        )
        self._signal(
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "NameOwnerChanged",
            "sss",
            "org.bluez",
            "",
            ":1.9",
        )

    def change(self, address: str, **properties: bool) -> None:
        """Properties of a device change, and whoever wants to know is told."""
        told = {name: Variant("b", value) for name, value in properties.items()}
        path = path_of(address)
        self.devices[path] |= told
        if any(f"path='{path}'" in rule for rule in self.rules):
            properties_of = "org.freedesktop.DBus.Properties"
            self._signal(path, properties_of, "PropertiesChanged", "sa{sv}as", DEVICE, told, [])

    async def ask_agent(self, member: str, signature: str, *body: Any) -> Message:
        """What the agent answers."""
        assert self.agent is not None
        message = Message(
            destination=":1.1",
            path=self.agent[0],
            interface="org.bluez.Agent1",
            member=member,
            signature=signature,
            body=list(body),
        )
        message.serial = next(self._serials)
        answer = self._answers[message.serial] = asyncio.get_running_loop().create_future()
        self._send(message)
        return await answer

    async def _pairs(self, path: str) -> None:
        """Just Works."""

    # The wire

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        while (line := await reader.readline()).strip() != b"BEGIN":
            writer.write(
                b"OK 0123456789abcdef0123456789abcdef\r\n" if line.startswith(b"AUTH") else b"ERROR\r\n"
            )
        self._writer = writer
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self._take(await _message(reader))

    def _take(self, message: Message) -> None:
        if message.message_type is not MessageType.METHOD_CALL:
            if (answer := self._answers.pop(message.reply_serial, None)) is not None:
                answer.set_result(message)
            return
        task = asyncio.ensure_future(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Message) -> None:
        if message.member != "Hello":
            self.calls.append((message.member or "", message.path or "", list(message.body)))
        if self.is_silent:
            return
        try:
            signature, body = await self._done(message)
        except RefusedError as refused:
            self._send(Message.new_error(message, str(refused), "as the test says"))
        else:
            self._send(Message.new_method_return(message, signature, body))

    async def _done(self, message: Message) -> tuple[str, list[Any]]:
        path, member, body = message.path or "", message.member or "", message.body
        if member in self.refuses:
            raise RefusedError(self.refuses[member])
        if message.interface in (DEVICE, "org.freedesktop.DBus.Properties") and path not in self.devices:
            raise RefusedError(UNKNOWN_OBJECT)
        match member:
            case "Hello":
                return "s", [":1.1"]
            case "AddMatch":
                self.rules.append(body[0])
            case "RemoveMatch":
                self.rules.remove(body[0])
            case "RegisterAgent":
                self.agent = (body[0], body[1])
            case "GetAll":
                return "a{sv}", [self.devices[path]]
            case "Set":
                self.devices[path][body[1]] = body[2]
            case "GetManagedObjects":
                return "a{oa{sa{sv}}}", [{path: {DEVICE: told} for path, told in self.devices.items()}]
            case "RemoveDevice":
                del self.devices[body[0]]
            case "Pair":
                await self.on_pair(path)
                self.devices[path] |= {"Paired": Variant("b", True), "Bonded": Variant("b", True)}
        return "", []

    def _signal(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        message = Message(
            message_type=MessageType.SIGNAL,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        self._send(message)

    def _send(self, message: Message) -> None:
        assert self._writer is not None
        message.serial = message.serial or next(self._serials)
        message.sender = ":1.0"
        self._writer.write(message._marshall(False))


async def _message(reader: asyncio.StreamReader) -> Message:
    head = await reader.readexactly(16)
    body_len, _, fields_len = struct.unpack_from("<III", head, 4)
    rest = await reader.readexactly((fields_len + 7) // 8 * 8 + body_len)
    message = Unmarshaller(io.BytesIO(head + rest)).unmarshall()
    assert message is not None
    return message


@asynccontextmanager
async def fake_bluez(directory: Path) -> AsyncIterator[FakeBluez]:
    bluez = FakeBluez(directory / "bus")
    await bluez.open()
    try:
        yield bluez
    finally:
        await bluez.close()
