"""A machine's Bluetooth, as bluetoothd is one: it holds links and bonds, whoever uses them, on one Bumble device.

Contract: it outlives the processes that use it. A process that is cut off takes its scans and its callbacks with it;
its links stay, nobody is told of that, and an attempt to connect that was under way goes on for a while. Attempts are
made one after the other; giving one up leaves the radio usable. A sensor that is held already is not connected again:
whoever asks is given the link. While its controller is gone the machine has no Bluetooth, as bleak says it; what was
listened for is listened for again when a controller is there.

Not here: bleak's classes (client_backend, scanner_backend, adapter_backend), how it is opened (central), how links
fail (air, faults).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple, TypeVar

from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)
from bumble import core, hci
from bumble.device import Advertisement, Connection, Device
from bumble.keys import KeyStore
from bumble.pairing import PairingDelegate

from hw_sim.radio.bluetoothd import Bluetoothd
from hw_sim.radio.process import Process
from hw_sim.radio.stack_link import StackLink

ATTEMPT_S: Final = 20.0
"""How long an attempt to connect goes on whose process was cut off; as long as Linux tries."""

_PUBLIC = hci.OwnAddressType.PUBLIC

_T = TypeVar("_T")


class Controller(NamedTuple):
    """What a stack works with: a powered device, when it is lost, the bonds made with it, and how it is let go."""

    device: Device
    lost: "asyncio.Future[Any]"
    bonds: KeyStore
    power_off: Callable[[], Awaitable[None]]


class _Attempt:
    """To connect: who asked, and how far it is."""

    def __init__(self, process: Process, *, pair: bool) -> None:
        self.process = process
        self.pair = pair
        self.is_pairing = False
        self.task: asyncio.Task[StackLink]


class Stack:
    """One machine's Bluetooth on the air.

    Attributes:
        trusted: the addresses of the devices that are marked as trusted.
        watchers: who is told when a link to a device ends while it is made.
        hangs_on_disconnect: a client's `disconnect` never ends of these addresses.
        encrypts: whether the link to a bonded device is encrypted when it is made. BlueZ does so; some stacks did not.
    """

    def __init__(self, controller: "Controller") -> None:
        self.links: dict[hci.Address, StackLink] = {}
        self.trusted: set[str] = set()
        self.watchers: dict[hci.Address, Callable[[], None]] = {}
        self.hangs_on_disconnect: set[str] = set()
        self.encrypts = True
        self._agents: dict[hci.Address, PairingDelegate] = {}
        self.bluetoothd = Bluetoothd(self)
        self.process = Process(self.bluetoothd)
        self._attempts: dict[hci.Address, _Attempt] = {}
        self._connecting = asyncio.Lock()
        self._scan_change = asyncio.Lock()
        # Whether each asks whom it hears for more.
        self._listeners: dict[Callable[[Advertisement], None], bool] = {}
        self._scans_actively = True
        self.names: dict[str, str | None] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._use(controller)

    def _use(self, controller: "Controller") -> None:
        self.device, self._lost, self._bonds, self._power_off = controller
        self.device.on(self.device.EVENT_ADVERTISEMENT, self._on_advertisement)

    async def close(self) -> None:
        """Hang up every connection and leave the air."""
        self._listeners.clear()
        with contextlib.suppress(BleakError):  # the controller is gone, or goes in this moment
            await self._to_the_end(self._apply_scanning())
        for connection in list(self.device.connections.values()):
            await self._hang_up(connection)
        if self.has_controller:
            await self.device.power_off()
        await self._power_off()

    @property
    def has_controller(self) -> bool:
        return not self._lost.done()

    def require_controller(self) -> None:
        """Raises BleakBluetoothNotAvailableError, as where there is no adapter."""
        if not self.has_controller:
            raise BleakBluetoothNotAvailableError(
                "the controller is gone", BleakBluetoothNotAvailableReason.NO_BLUETOOTH
            )

    def replace_controller(self, controller: "Controller") -> None:
        """Use another one; the one before is gone, and its links ended with it."""
        self._use(controller)
        self._spawn(self._apply_scanning_or_leave_it())

    def cut_off(self) -> None:
        """The process that uses it is no more, as after `kill -9`; another begins."""
        self.process.is_alive = False
        self.bluetoothd.abandon()
        self._listeners.clear()
        self._spawn(self._apply_scanning_or_leave_it())
        for link in self.links.values():
            self._spawn(link.abandon())
        for attempt in self._attempts.values():
            # A pairing ends with whoever asked for it; a mere attempt goes on.
            asyncio.get_running_loop().call_later(0 if attempt.is_pairing else ATTEMPT_S, attempt.task.cancel)
        self.process = Process(self.bluetoothd)

    # What becomes of the links with the service

    def connected(self) -> list[str]:
        return [link.address for link in self.links.values()]

    async def bonded(self) -> list[str]:
        """The addresses of the devices for which there is a key."""
        return [name.partition("/")[0] for name, _ in await self._bonds.get_all()]

    def lose_all(self, *, told: bool) -> None:
        self._listeners.clear()
        self._spawn(self._apply_scanning_or_leave_it())
        for attempt in list(self._attempts.values()):
            attempt.task.cancel()
        for link in list(self.links.values()):
            if not told:
                link.die()
            self._spawn(self._hang_up(link.connection))

    def disconnect(self, address: str) -> None:
        for link in self.links.values():
            if link.address == address:
                self._spawn(self._hang_up(link.connection))

    async def _to_the_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await work of several HCI commands that must not stop half-way when the caller is cancelled."""
        task = self._spawn(work)
        # Nobody may be left to look at its error.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    def _spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    # Scanning

    async def listen(self, listener: Callable[[Advertisement], None], *, is_active: bool) -> None:
        self._listeners[listener] = is_active
        try:
            await self._to_the_end(self._apply_scanning())
        except BaseException:
            self._listeners.pop(listener, None)
            self._spawn(self._apply_scanning_or_leave_it())
            raise

    async def stop_listening(self, listener: Callable[[Advertisement], None]) -> None:
        if self._listeners.pop(listener, None) is not None:
            await self._to_the_end(self._apply_scanning())

    async def _apply_scanning(self) -> None:
        async with self._scan_change:
            self.require_controller()
            try:
                is_active = any(self._listeners.values())
                is_other = not self._listeners or is_active is not self._scans_actively
                if self.device.is_scanning and is_other:
                    await self.device.stop_scanning()
                if self._listeners and not self.device.is_scanning:
                    self._scans_actively = is_active
                    await self.device.start_scanning(active=is_active, own_address_type=_PUBLIC)
            except core.BaseBumbleError as error:
                raise BleakError(
                    f"the controller does not search: {error or type(error).__name__}"
                ) from error

    async def _apply_scanning_or_leave_it(self) -> None:
        with contextlib.suppress(BleakError):
            await self._apply_scanning()

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        if self.bluetoothd.hears:
            self.bluetoothd.stale.discard(advertisement.address.to_string(False))
            for listener in list(self._listeners):
                listener(advertisement)

    # Connecting

    async def connect(self, process: Process, peer: hci.Address, *, pair: bool) -> StackLink:
        """The link to a sensor, made as soon as it is heard; waits for ever. Raises BleakError if the radio fails.

        A link that is held is given as it is. Who gives up calls the attempt off; who is cut off does not.
        """
        self.require_controller()
        attempt = self._attempts.get(peer)
        if attempt is None:
            if (held := self.links.get(peer)) is not None:
                return held
            attempt = self._begin(process, peer, pair=pair)
        try:
            return await asyncio.shield(attempt.task)
        except asyncio.CancelledError:
            if attempt.task.cancelled():  # by Bumble, because the radio is gone
                raise BleakError("the radio was lost while connecting") from None
            if process.is_alive:
                await self._to_the_end(self._call_off(attempt))
            raise

    def _begin(self, process: Process, peer: hci.Address, *, pair: bool) -> _Attempt:
        attempt = self._attempts[peer] = _Attempt(process, pair=pair)
        attempt.task = self._spawn(self._attempt(attempt, peer))

        def on_done(task: asyncio.Task[StackLink]) -> None:
            del self._attempts[peer]
            if not task.cancelled():
                task.exception()  # who asked may be gone

        attempt.task.add_done_callback(on_done)
        return attempt

    async def _call_off(self, attempt: _Attempt) -> None:
        """End an attempt, or the link that it has just become."""
        attempt.task.cancel()
        await asyncio.wait({attempt.task})
        if not attempt.task.cancelled() and attempt.task.exception() is None:
            await self.hang_up(attempt.task.result())

    async def _attempt(self, attempt: _Attempt, peer: hci.Address) -> StackLink:
        async with self._connecting:
            connection = await self._connect(peer)
        connection.once(connection.EVENT_DISCONNECTION, lambda _: self.links.pop(peer))
        link = self.links[peer] = StackLink(connection, self.bluetoothd)
        try:
            await self._set_up(attempt, link)
        except BaseException:
            self.watchers.get(peer, _nobody)()
            await self._to_the_end(self._hang_up(connection))
            raise
        return link

    async def _connect(self, peer: hci.Address) -> Connection:
        request = self._spawn(self.device.connect(peer, own_address_type=_PUBLIC))
        try:
            return await asyncio.shield(request)
        except asyncio.CancelledError:
            if not request.cancelled():  # else by Bumble, because the radio is gone
                await self._to_the_end(self._recall(request))
            raise
        except core.BaseBumbleError as error:
            raise BleakError(f"failed to connect: {error}") from error

    async def _recall(self, request: asyncio.Task[Connection]) -> None:
        with contextlib.suppress(core.BaseBumbleError, asyncio.CancelledError):
            if not request.done():
                with contextlib.suppress(hci.HCI_Error):  # too late: the connection has just been made
                    await self.device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            await self._hang_up(await request)

    async def _set_up(self, attempt: _Attempt, link: StackLink) -> None:
        if await self.is_bonded(link):
            if self.encrypts:
                await link.encrypt()
        elif attempt.pair and attempt.process.is_alive:
            attempt.is_pairing = True
            await link.pair()
            attempt.is_pairing = False
        await link.discover()

    async def hang_up(self, link: StackLink) -> None:
        """End a link, if there still is one."""
        await self._hang_up(link.connection)

    async def _hang_up(self, connection: Connection) -> None:
        if self.device.lookup_connection(connection.handle) is connection:
            # It may end by itself in this moment.
            with contextlib.suppress(core.BaseBumbleError, hci.HCI_Error):
                await self._to_the_end(connection.disconnect())

    # Bonds

    async def pair(self, process: Process, peer: hci.Address, agent: PairingDelegate) -> None:
        """Pair with a device, which is connected for that and asks the agent; raises BleakDBusError, as BlueZ does."""
        self._agents[peer] = agent
        try:
            async with asyncio.timeout(ATTEMPT_S):
                link = self.links.get(peer)
                if link is None:
                    await self.connect(process, peer, pair=True)
                else:
                    await self._pair(link)
        except TimeoutError:
            raise BleakDBusError("org.bluez.Error.ConnectionAttemptFailed", ["Page Timeout"]) from None
        finally:
            del self._agents[peer]

    async def _pair(self, link: StackLink) -> None:
        try:
            await link.pair()
        except BleakError:
            await self.hang_up(link)
            raise

    def agent(self, peer: hci.Address) -> PairingDelegate | None:
        """Who is asked while this device is paired."""
        return self._agents.get(peer)

    async def is_bonded(self, link: StackLink) -> bool:
        return await self.has_bond(link.connection.peer_address)

    async def has_bond(self, peer: hci.Address) -> bool:
        return await self._bonds.get(str(peer)) is not None

    def drop_device(self, address: str) -> None:
        self._spawn(self.forget(address))

    async def forget(self, address: str) -> bool:
        """Delete the bond with a device, and what else is remembered of it. Whether there was a bond."""
        self.trusted.discard(address)
        names = [name for name, _ in await self._bonds.get_all() if name.startswith(address)]
        for name in names:
            await self._bonds.delete(name)
        return bool(names)


def _nobody() -> None:
    """Nobody watches."""
