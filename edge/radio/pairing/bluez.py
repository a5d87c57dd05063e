"""Pairing through BlueZ, over a D-Bus connection of its own.

Contract: while `run` runs, the agent is registered, and registered again whenever the bus or bluetoothd return. Pairing
is asked for on the same connection, so that BlueZ asks this agent and no other. A device is trusted only when somebody
says so: bleak would do it before it pairs. What BlueZ refuses is raised as bleak's BleakDBusError.

BlueZ does not tell whether a link is encrypted, how long its key is, or whether a passkey made the key. It does say
whether it keeps a key (`Bonded`; versions that lack it: `Paired`), and it encrypts each link to a bonded device before
anybody may use it. Keys that are for debugging are not kept, so such a device is paired, but not bonded.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError
from dbus_fast import AuthError, BusType, InvalidAddressError, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from edge.errors import SensorLost
from edge.radio.bluez.bus import ADAPTER, BLUEZ, DBUS, DEVICE, OBJECT_MANAGER, PROPERTIES
from edge.radio.deadline import leave, within
from edge.radio.diagnosis import FORESEEN
from edge.radio.pairing.agent import CAPABILITY, PATH, Agent
from edge.radio.pairing.ceremony import CEREMONY_S_MAX, Ceremony
from edge.radio.trouble import Trouble

log = logging.getLogger(__name__)

ANSWER_S_MAX: Final = 10.0
# How often it is tried to reach the bus, or to register the agent, if that failed.
RETRY_S: Final = 2.0
# A link that comes up and ends so often in one attempt will go on doing so. bleak would try for its whole time, several
# times a second.
FLAPS_MAX: Final = 3

_AGENTS: Final = "org.bluez.AgentManager1"
_GONE: Final = (f"{DBUS}.Error.UnknownObject", f"{DBUS}.Error.UnknownMethod")

OpenBus = Callable[[], Awaitable[MessageBus]]


async def system_bus() -> MessageBus:
    """A new connection to the system's bus.

    Raises:
        OSError: there is none that lets us in.
    """
    try:
        return await MessageBus(bus_type=BusType.SYSTEM).connect()
    except (AuthError, InvalidAddressError) as error:
        raise ConnectionError(f"the message bus (D-Bus) cannot be used: {error}") from error


class BluezStanding(NamedTuple):
    """What BlueZ tells of a device."""

    is_bonded: bool
    is_trusted: bool
    is_encrypted: bool | None = None


class BluezTrial:
    """How often a device was connected and disconnected."""

    def __init__(self) -> None:
        self.came_up = 0
        self.flapping = asyncio.Event()

    def on_disconnected(self) -> None:
        self.came_up += 1
        if self.came_up >= FLAPS_MAX:
            self.flapping.set()


class BluezPairing:
    """The agent, and what is asked of BlueZ about pairing."""

    def __init__(self, open_bus: OpenBus = system_bus) -> None:
        self.agent = Agent()
        # The agent answers for one device at a time.
        self._turn = asyncio.Lock()
        self._open_bus = open_bus
        self._bus: MessageBus | None = None
        self._owner_changed = asyncio.Event()
        self._trials: dict[str, BluezTrial] = {}
        self._complaint: str | None = None

    # The connection

    async def run(self) -> None:
        """Keep the agent registered until cancelled."""
        while True:
            try:
                await self._serve()
            except FORESEEN as error:
                self._complain(str(error) or type(error).__name__)
            await asyncio.sleep(RETRY_S)

    async def _serve(self) -> None:
        """Be registered as long as the bus lives."""
        bus = await within(ANSWER_S_MAX, _opened(self._open_bus))
        gone: asyncio.Task[Any] = asyncio.ensure_future(bus.wait_for_disconnect())  # type: ignore[no-untyped-call]
        leave(gone)
        try:
            bus.export(PATH, self.agent)
            bus.add_message_handler(self._on_message)
            await self._ask_bus(bus, "AddMatch", _rule(DBUS, DBUS, "NameOwnerChanged", f"arg0='{BLUEZ}'"))
            self._bus = bus
            while not gone.done():
                self._owner_changed.clear()
                is_registered = await self._register(bus)
                changed: asyncio.Task[Any] = asyncio.ensure_future(self._owner_changed.wait())
                try:
                    await asyncio.wait(
                        {gone, changed},
                        timeout=None if is_registered else RETRY_S,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    changed.cancel()
        finally:
            self._bus = None
            gone.cancel()
            bus.disconnect()

    async def _register(self, bus: MessageBus) -> bool:
        """Whether BlueZ has the agent now."""
        try:
            await _call(bus, "/org/bluez", _AGENTS, "RegisterAgent", "os", [PATH, CAPABILITY])
            await _call(bus, "/org/bluez", _AGENTS, "RequestDefaultAgent", "o", [PATH])
        except (BleakDBusError, TimeoutError) as error:
            if not isinstance(error, BleakDBusError) or not error.dbus_error.endswith(".AlreadyExists"):
                self._complain(str(error) or "no answer in time")
                return False
        if self._complaint is not None:
            log.info("BlueZ asks this gateway for passkeys again")
        self._complaint = None
        return True

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            log.warning("BlueZ cannot ask this gateway for passkeys: %s", what)
        self._complaint = what

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "NameOwnerChanged" and message.body[0] == BLUEZ and message.body[2]:
            self._owner_changed.set()
        elif message.member == "PropertiesChanged" and (trial := self._trials.get(message.path or "")):
            connected = message.body[1].get("Connected")
            if message.body[0] == DEVICE and connected is not None and not connected.value:
                trial.on_disconnected()

    async def _ask(
        self, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """What BlueZ answers."""
        try:
            return await _call(self._connected(), path, interface, member, signature, list(body))
        except TimeoutError:
            raise SensorLost(
                f"no answer in {ANSWER_S_MAX:.0f} s to {member}", Trouble.SERVICE_SILENT
            ) from None

    def _connected(self) -> MessageBus:
        if self._bus is None:
            raise ConnectionError("the system's bus cannot be reached")
        return self._bus

    async def _ask_bus(self, bus: MessageBus, member: str, rule: str) -> None:
        await _call(bus, "/org/freedesktop/DBus", DBUS, member, "s", [rule], destination=DBUS)

    # Devices

    async def standing(self, device: BLEDevice) -> BluezStanding:
        try:
            (properties,) = await self._ask(_path(device), PROPERTIES, "GetAll", "s", DEVICE)
        except BleakDBusError as error:
            if error.dbus_error in _GONE:
                return BluezStanding(is_bonded=False, is_trusted=False)
            raise
        told = {key: bool(value.value) for key, value in properties.items() if key in _TOLD}
        return BluezStanding(told.get("Bonded", told.get("Paired", False)), told.get("Trusted", False))

    async def pair(self, device: BLEDevice, ceremony: Ceremony) -> None:
        async with self._turn:
            await self._pair_by_agent(device, ceremony)

    async def _pair_by_agent(self, device: BLEDevice, ceremony: Ceremony) -> None:
        self.agent.ceremony = ceremony
        is_over = False
        try:
            await self._pair(_path(device))
            is_over = True
        except BleakDBusError:
            is_over = True
            raise
        except TimeoutError:
            raise BleakDBusError("org.bluez.Error.AuthenticationTimeout", ["no end in time"]) from None
        finally:
            self.agent.ceremony = None
            ceremony.end()
            if not is_over:
                with suppress(*FORESEEN):
                    await self._ask(_path(device), DEVICE, "CancelPairing")

    async def _pair(self, path: str) -> None:
        try:
            await _call(self._connected(), path, DEVICE, "Pair", "", [], timeout_s=CEREMONY_S_MAX)
        except BleakDBusError as error:
            if not error.dbus_error.endswith(".AlreadyExists"):
                raise

    async def trust(self, device: BLEDevice) -> None:
        await self._ask(_path(device), PROPERTIES, "Set", "ssv", DEVICE, "Trusted", Variant("b", True))

    async def forget(self, address: str) -> bool:
        (objects,) = await self._ask("/", OBJECT_MANAGER, "GetManagedObjects")
        known = [path for path, interfaces in objects.items() if _is_device(interfaces, address)]
        for path in known:
            await self._ask(path.rpartition("/")[0], ADAPTER, "RemoveDevice", "o", path)
        return bool(known)

    @asynccontextmanager
    async def watch(self, device: BLEDevice) -> AsyncIterator[BluezTrial]:
        """Counts each end of a connection. A device in reach changes properties often: BlueZ tells only this one's."""
        path, trial, bus = _path(device), BluezTrial(), self._connected()
        rule = _rule(BLUEZ, PROPERTIES, "PropertiesChanged", f"path='{path}'")
        await self._ask_bus(bus, "AddMatch", rule)
        self._trials[path] = trial
        try:
            yield trial
        finally:
            del self._trials[path]
            with suppress(*FORESEEN):
                await self._ask_bus(bus, "RemoveMatch", rule)


_TOLD: Final = ("Bonded", "Paired", "Trusted")


def _path(device: BLEDevice) -> str:
    """Where bleak found it."""
    return str(device.details["path"])


def _is_device(interfaces: dict[str, Any], address: str) -> bool:
    properties = interfaces.get(DEVICE)
    return properties is not None and properties["Address"].value.upper() == address.upper()


def _rule(sender: str, interface: str, member: str, rest: str) -> str:
    return f"type='signal',sender='{sender}',interface='{interface}',member='{member}',{rest}"


async def _opened(open_bus: OpenBus) -> MessageBus:
    return await open_bus()


async def _call(
    bus: MessageBus,
    path: str,
    interface: str,
    member: str,
    signature: str,
    body: list[Any],
    *,
    destination: str = BLUEZ,
    timeout_s: float | None = None,
) -> list[Any]:
    """What is answered.

    Raises:
        BleakDBusError: it is refused.
        TimeoutError: it is not answered in time.
    """
    message = Message(
        destination=destination,
        path=path,
        interface=interface,
        member=member,
        signature=signature,
        body=body,
    )
    reply = await within(timeout_s or ANSWER_S_MAX, _asked(bus, message))
    if reply.message_type is MessageType.ERROR:
        raise BleakDBusError(reply.error_name or f"{DBUS}.Error.Failed", list(map(str, reply.body)))
    return list(reply.body)


async def _asked(bus: MessageBus, message: Message) -> Message:
    try:
        return await bus.call(message)
    except DBusError as error:
        raise BleakDBusError(error.type, [error.text]) from error
