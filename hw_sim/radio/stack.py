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

from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakError
from bumble import core, hci
from bumble.device import Advertisement, Connection, Device
from bumble.keys import KeyStore

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
    """One machine's Bluetooth on the air. A client's `disconnect` never ends of an address in `hangs_on_disconnect`."""

    def __init__(self, controller: "Controller") -> None:
        self.links: dict[hci.Address, StackLink] = {}
        self.hangs_on_disconnect: set[str] = set()
        self.process = Process()
        self._attempts: dict[hci.Address, _Attempt] = {}
        self._connecting = asyncio.Lock()
        self._scan_change = asyncio.Lock()
        self._listeners: list[Callable[[Advertisement], None]] = []
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
        self._listeners.clear()
        self._spawn(self._apply_scanning_or_leave_it())
        for link in self.links.values():
            self._spawn(link.abandon())
        for attempt in self._attempts.values():
            # A pairing ends with whoever asked for it; a mere attempt goes on.
            asyncio.get_running_loop().call_later(0 if attempt.is_pairing else ATTEMPT_S, attempt.task.cancel)
        self.process = Process()

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

    async def listen(self, listener: Callable[[Advertisement], None]) -> None:
        self._listeners.append(listener)
        try:
            await self._to_the_end(self._apply_scanning())
        except BaseException:
            if listener in self._listeners:
                self._listeners.remove(listener)
            self._spawn(self._apply_scanning_or_leave_it())
            raise

    async def stop_listening(self, listener: Callable[[Advertisement], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
            await self._to_the_end(self._apply_scanning())

    async def _apply_scanning(self) -> None:
        async with self._scan_change:
            self.require_controller()
            try:
                if self._listeners and not self.device.is_scanning:
                    await self.device.start_scanning(own_address_type=_PUBLIC)
                elif not self._listeners and self.device.is_scanning:
                    await self.device.stop_scanning()
            except core.BaseBumbleError as error:
                raise BleakError(
                    f"the controller does not search: {error or type(error).__name__}"
                ) from error

    async def _apply_scanning_or_leave_it(self) -> None:
        with contextlib.suppress(BleakError):
            await self._apply_scanning()

    def _on_advertisement(self, advertisement: Advertisement) -> None:
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
        link = self.links[peer] = StackLink(connection)
        try:
            await self._set_up(attempt, link)
        except BaseException:
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

    async def is_bonded(self, link: StackLink) -> bool:
        return await self._bonds.get(str(link.connection.peer_address)) is not None

    async def forget(self, address: str) -> bool:
        """Delete the bond with a device. Whether there was one."""
        names = [name for name, _ in await self._bonds.get_all() if name.startswith(address)]
        for name in names:
            await self._bonds.delete(name)
        return bool(names)
