"""The service that gives programs the Bluetooth of a simulated machine, and what can become of it.

    what is done     the message bus tells    what programs ask is          links
    kill             its name has no owner    refused: nobody answers       lost, and bleak is told of none
    start            its name has an owner    answered                      none
    freeze, thaw     nothing                  answered after the thaw       live; what was sent comes after the thaw
    power_off, _on   Powered                  refused: not ready            lost, and told
    unplug, plug     the adapter goes, comes  refused: there is no adapter  lost, and bleak is told of none
    end_bus, begin_  it ends                  refused: there is no bus      lost, and told

Contract: whoever asks comes through `answer`. A stack of either kind holds the links (`Links`); it is told when they
are lost. Programs may search passively if it `is_experimental`. What is said on the bus is said to each `SimulatedBus`,
which has the interface of the gateway's own. What helps against a deaf adapter is `deaf_until`, against one that has
vanished `gone_until`. `asked` is what was asked for over the bus, oldest first, without mere questions.

Not here: links, scans and advertisements (stack, direct_stack).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakDBusError

ADAPTER_ADDRESS: Final = "00:1B:DC:F2:44:01"
DEFAULT_ADAPTER: Final = "hci0"
START_S: Final = 1.0
"""How long it takes to begin."""

_BLUEZ: Final = "org.bluez"
_DBUS_ERROR: Final = "org.freedesktop.DBus.Error."
_ADAPTER: Final = "org.bluez.Adapter1"

OnSignal = Callable[[str, Sequence[Any]], None]


class Links(Protocol):
    """What the machine is connected to."""

    def connected(self) -> list[str]:
        """Addresses of sensors."""
        ...

    async def bonded(self) -> list[str]: ...

    def lose_all(self, *, told: bool) -> None:
        """Every link is lost; `told`: whoever uses one is told."""
        ...

    def disconnect(self, address: str) -> None: ...

    def drop_device(self, address: str) -> None: ...


class Bluetoothd:
    """The service, its adapter and the message bus."""

    def __init__(self, links: Links, address: str = ADAPTER_ADDRESS) -> None:
        self.links = links
        self.adapters = {DEFAULT_ADAPTER: address}
        self.has_bus = True
        self.runs = True
        self.is_plugged = True
        self.is_powered = True
        self.is_experimental = True
        self.deaf_until: str | None = None
        self.gone_until: str | None = None
        self.refuses: set[str] = set()
        self.asked: list[str] = []
        self.stale: set[str] = set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._late: list[Callable[[], None]] = []
        self._buses: list[SimulatedBus] = []

    @property
    def is_frozen(self) -> bool:
        return not self._answers.is_set()

    @property
    def hears(self) -> bool:
        """Whether what is advertised gets through."""
        usable = self.has_bus and self.runs and self.is_plugged and self.is_powered
        return usable and self.deaf_until is None and not self.is_frozen

    def new_bus(self) -> "SimulatedBus":
        return SimulatedBus(self)

    async def reset(self, _adapter: object) -> None:
        """What the kernel can do for an adapter; raises OSError if it must not be asked."""
        if "reset" in self.refuses:
            raise PermissionError(1, "Operation not permitted")
        self.asked.append("reset")
        self._cure("reset")
        if self.gone_until == "reset":
            self.gone_until = None
            self.plug()

    async def answer(self) -> None:
        """Wait until it answers; raises what bleak does if it refuses."""
        self.require()
        await self._answers.wait()
        self.require()

    def require(self) -> None:
        """Raises what bleak does, if it refuses."""
        self.require_service()
        if not self.is_plugged:
            raise BleakBluetoothNotAvailableError(
                "No Bluetooth adapters found.", BleakBluetoothNotAvailableReason.NO_BLUETOOTH
            )
        if not self.is_powered:
            raise BleakDBusError(f"{_BLUEZ}.Error.NotReady", ["Resource Not Ready"])

    def require_service(self) -> None:
        if not self.has_bus:
            raise FileNotFoundError(2, "No such file or directory")
        if not self.runs:
            raise BleakDBusError(_DBUS_ERROR + "ServiceUnknown", ["The name is not activatable"])

    def when_answering(self, told: Callable[[], None]) -> None:
        """Tell something now, or after the thaw."""
        if self.is_frozen:
            self._late.append(told)
        else:
            told()

    # What can become of it

    def kill(self) -> None:
        self.stale |= set(self.links.connected())
        self.runs = False
        self._let_go()
        self.links.lose_all(told=False)
        self._tell("NameOwnerChanged", [_BLUEZ, ":1.2", ""])

    def start(self) -> None:
        self.runs = True
        self._cure("restart")
        self._tell("NameOwnerChanged", [_BLUEZ, "", ":1.3"])

    def freeze(self) -> None:
        self._answers.clear()

    def thaw(self) -> None:
        self._answers.set()
        late, self._late = self._late, []
        for told in late:
            told()

    def power_off(self) -> None:
        self.is_powered = False
        self.links.lose_all(told=True)
        self._tell("PropertiesChanged", [_ADAPTER, {"Powered": False}, []])

    def power_on(self) -> None:
        self.is_powered = True
        self._cure("power cycle")
        self._tell("PropertiesChanged", [_ADAPTER, {"Powered": True}, []])

    def unplug(self) -> None:
        self.is_plugged = False
        self.stale |= set(self.links.connected())
        self.links.lose_all(told=False)
        self._tell("InterfacesRemoved", ["/org/bluez/hci0", [_ADAPTER]])

    def plug(self) -> None:
        self.is_plugged = True
        address = self.adapters[DEFAULT_ADAPTER]
        self._tell("InterfacesAdded", ["/org/bluez/hci0", {_ADAPTER: self._properties(address)}])

    def end_bus(self) -> None:
        """bluetoothd ends with the bus."""
        self.has_bus = False
        self._let_go()
        self.abandon()
        self.links.lose_all(told=True)

    def abandon(self) -> None:
        """Whoever is connected to the bus was killed."""
        buses, self._buses = self._buses, []
        for bus in buses:
            bus.close()

    def begin_bus(self) -> None:
        self.has_bus = True

    def _let_go(self) -> None:
        self._late.clear()
        self._answers.set()

    def _cure(self, remedy: str) -> None:
        if self.deaf_until == remedy:
            self.deaf_until = None

    def _tell(self, member: str, body: Sequence[Any]) -> None:
        for bus in self._buses:
            bus.tell(member, body)

    # What is asked over the bus

    def join(self, bus: "SimulatedBus") -> None:
        if not self.has_bus:
            raise FileNotFoundError(2, "No such file or directory")
        self._buses.append(bus)

    def leave(self, bus: "SimulatedBus") -> None:
        if bus in self._buses:
            self._buses.remove(bus)

    async def called(self, path: str, interface: str, member: str, body: Sequence[Any]) -> list[Any]:
        """The answer of the program that is asked."""
        if member in self.refuses:
            raise BleakDBusError(f"{_DBUS_ERROR}InteractiveAuthorizationRequired", ["not without a password"])
        if member in ("RestartUnit", "Reboot"):
            self.asked.append(member)
            if member == "RestartUnit":
                self.kill()
                asyncio.get_running_loop().call_later(START_S, self.start)
            return []
        self.require_service()
        await self._answers.wait()
        self.require_service()
        return await self._answered(path, interface, member, body)

    async def _answered(self, path: str, interface: str, member: str, body: Sequence[Any]) -> list[Any]:
        address = path.rpartition("/dev_")[2].replace("_", ":")
        match member, body:
            case "Ping", _:
                return []
            case "GetManagedObjects", _:
                there = self.adapters.items() if self.is_plugged else ()
                adapters = {f"/org/bluez/{name}": {_ADAPTER: self._properties(one)} for name, one in there}
                return [{"/org/bluez": {}, **adapters}]
            case "Get", [_, "Connected"]:
                return [address in self.links.connected()]
            case "Get", [_, "Paired" | "Bonded"]:
                return [address in await self.links.bonded()]
            case "Set", [_, "Powered", is_on]:
                self.asked.append(f"Powered {is_on}")
                (self.power_on if is_on else self.power_off)()
                return []
            case "Disconnect", _:
                self.asked.append(f"Disconnect {address}")
                self.links.disconnect(address)
                return []
            case "RemoveDevice", [device]:
                address = device.rpartition("/dev_")[2].replace("_", ":")
                self.asked.append(f"RemoveDevice {address}")
                self.links.disconnect(address)
                self.links.drop_device(address)
                return []
        raise BleakDBusError(_DBUS_ERROR + "UnknownMethod", [f"{interface}.{member}"])

    def _properties(self, address: str) -> dict[str, Any]:
        return {"Address": address, "Powered": self.is_powered}


class SimulatedBus:
    """A connection to the message bus of a simulated machine."""

    def __init__(self, bluetoothd: Bluetoothd) -> None:
        self._bluetoothd = bluetoothd
        self._on_signal: OnSignal = lambda *_: None
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def connect(self, on_signal: OnSignal) -> None:
        self._bluetoothd.join(self)
        self._on_signal = on_signal

    async def call(
        self, _destination: str, path: str, interface: str, member: str, _signature: str = "", *body: Any
    ) -> list[Any]:
        if self._end.done():
            raise EOFError
        return await self._bluetoothd.called(path, interface, member, body)

    async def closed(self) -> None:
        await asyncio.shield(self._end)

    def close(self) -> None:
        self._bluetoothd.leave(self)
        if not self._end.done():
            self._end.set_result(None)

    def tell(self, member: str, body: Sequence[Any]) -> None:
        asyncio.get_running_loop().call_soon(self._on_signal, member, body)
