"""Watches the system's Bluetooth service (BlueZ) over D-Bus, on a connection of its own, and says how it is.

    seen                                      said
    the bus is not there, or ends             ended: no service
    BlueZ ends (NameOwnerChanged)             ended: no service
    BlueZ does not answer for `FROZEN_S`      ended: the service is silent
    there is no adapter, or none that is on   ended: no adapter, or it is switched off
    BlueZ answers, and has one that is on     back

Contract: bleak says nothing of the first four; a link that was up seems to be up for ever. So `health` is told within a
moment, and once more when it is over. It is asked at each change and every `PING_S`. What BlueZ answers late is its
sign that it is well again, so nothing asks it anew meanwhile. `run` comes back by itself from everything foreseen.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from bleak.exc import BleakDBusError

from edge.errors import SensorLost
from edge.radio.bluez.bus import ADAPTER, BLUEZ, DBUS, DEVICE, OBJECT_MANAGER, PEER, PROPERTIES, Bus
from edge.radio.deadline import leave, within
from edge.radio.diagnosis import FORESEEN, Doing, diagnose
from edge.radio.health import Adapter, Health
from edge.radio.trouble import Trouble

PING_S: Final = 5.0
# A busy BlueZ answers late; one that has not answered for so long stands still.
FROZEN_S: Final = 15.0
# How soon after the bus or the service was found missing it is tried again.
RETRY_S: Final = 2.0
CONNECT_S_MAX: Final = 10.0
ANSWER_S_MAX: Final = 10.0

WATCHING: Final = Doing(Trouble.SERVICE_SILENT, Trouble.NO_SERVICE, Trouble.NO_SERVICE)
NEWS: Final = frozenset({"InterfacesAdded", "InterfacesRemoved"})


class Watch:
    """Says to `health` how BlueZ is, as long as it runs."""

    def __init__(self, new_bus: Callable[[], Bus], health: Health, wanted: Sequence[str] = ()) -> None:
        """`wanted`: the addresses of the adapters that are used; without any, all are watched."""
        self._wanted = wanted
        self._new_bus = new_bus
        self._health = health
        self._bus: Bus | None = None
        self._changed = asyncio.Event()
        self._knows_adapters = False

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            bus = self._new_bus()
            try:
                await within(CONNECT_S_MAX, bus.connect(self._on_signal))
                self._bus, self._knows_adapters = bus, False
                await self._attend(bus)
            except FORESEEN as error:
                self._ended(error)
            finally:
                self._bus = None
                bus.close()
            await asyncio.sleep(RETRY_S)

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """What another program on the bus answers, in `ANSWER_S_MAX`.

        Raises:
            FORESEEN: it cannot be asked, refuses, or does not answer.
        """
        if self._bus is None:
            raise EOFError("the message bus (D-Bus) is not connected")
        return await within(
            ANSWER_S_MAX, self._bus.call(destination, path, interface, member, signature, *body)
        )

    async def device(self, adapter: str, address: str, name: str) -> Any:
        """A property of a device that BlueZ knows; None if it knows no such device.

        Raises:
            FORESEEN: as `call`.
        """
        try:
            (value,) = await self.call(
                BLUEZ, device_path(adapter, address), PROPERTIES, "Get", "ss", DEVICE, name
            )
        except BleakDBusError as error:
            if error.dbus_error in UNKNOWN:
                return None
            raise
        return value

    # While the bus is connected

    async def _attend(self, bus: Bus) -> None:
        closed = asyncio.ensure_future(bus.closed())
        leave(closed)
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            while not closed.done():
                await self._look(bus, closed)
                if changed.done():
                    changed = asyncio.ensure_future(self._changed.wait())
                waiting: set[asyncio.Future[Any]] = {closed, changed}
                await asyncio.wait(waiting, timeout=PING_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            closed.cancel()
        raise EOFError("the message bus (D-Bus) has ended")

    async def _look(self, bus: Bus, closed: "asyncio.Future[None]") -> None:
        """Ask how BlueZ is, and wait for the answer, however long that takes."""
        is_ping = self._knows_adapters and not self._changed.is_set()
        self._changed.clear()
        asking = asyncio.ensure_future(_ping(bus) if is_ping else _adapters(bus))
        leave(asking)
        try:
            waiting: set[asyncio.Future[Any]] = {asking, closed}
            await asyncio.wait(waiting, timeout=FROZEN_S, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done() and not closed.done():
                silent = f"no answer in {FROZEN_S:.0f} s when asked whether it is there"
                self._health.ended(SensorLost(silent, Trouble.SERVICE_SILENT))
                self._knows_adapters = False
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                self._take(asking)
        finally:
            asking.cancel()

    def _take(self, asking: "asyncio.Future[tuple[Adapter, ...] | None]") -> None:
        try:
            adapters = asking.result()
        except FORESEEN as error:
            self._ended(error)
            return
        if adapters is None:
            if not self._knows_adapters:
                self._changed.set()
            return
        self._knows_adapters = True
        if self._wanted:
            adapters = tuple(adapter for adapter in adapters if adapter.address in self._wanted)
        if not adapters:
            named = "has none of those in [radio] adapters" if self._wanted else "has no adapter"
            self._health.ended(SensorLost(f"BlueZ runs and {named}", Trouble.NO_ADAPTER))
        elif not any(adapter.is_powered for adapter in adapters):
            names = ", ".join(adapter.name for adapter in adapters)
            self._health.ended(SensorLost(f"{names} is off", Trouble.ADAPTER_OFF))
        else:
            self._health.back(adapters)

    def _ended(self, error: Exception) -> None:
        trouble, detail = diagnose(error, WATCHING)
        self._knows_adapters = False
        self._health.ended(SensorLost(detail, trouble))

    def _on_signal(self, member: str, body: Sequence[Any]) -> None:
        if member == "NameOwnerChanged":
            _, before, after = body
            if before and not after:
                self._ended(BleakDBusError(f"{DBUS}.Error.NameHasNoOwner", ["BlueZ has ended"]))
            self._knows_adapters = False
            self._changed.set()
        elif member not in NEWS or ADAPTER in body[1]:
            self._knows_adapters = False
            self._changed.set()


UNKNOWN: Final = (f"{DBUS}.Error.UnknownObject", f"{DBUS}.Error.UnknownMethod", f"{DBUS}.Error.InvalidArgs")


async def _ping(bus: Bus) -> None:
    await bus.call(BLUEZ, "/org/bluez", PEER, "Ping")


async def _adapters(bus: Bus) -> tuple[Adapter, ...]:
    (objects,) = await bus.call(BLUEZ, "/", OBJECT_MANAGER, "GetManagedObjects")
    return tuple(
        Adapter(path.rpartition("/")[2], found["Address"].upper(), bool(found["Powered"]))
        for path, interfaces in sorted(objects.items())
        if (found := interfaces.get(ADAPTER)) is not None
    )


def device_path(adapter: str, address: str) -> str:
    """Where BlueZ has a device that it knows by an adapter."""
    return f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"
