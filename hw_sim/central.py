"""The gateway's end of the simulated radio: a Bumble central, and the bleak backends bound to it.

Contract: `scanner_backend` and `client_backend` are classes for `BleakScanner(..., backend=)` and
`BleakClient(..., backend=)`; behind them sits one Bumble device on an `Air`, or over HCI on TCP. Connections
are made one at a time; giving up an attempt leaves the radio usable. Bonds live in memory, or in a file that
survives the process and that nobody else can read.

Not here: GATT (client_backend), advertisements (scanner_backend), how links fail (air, faults).
"""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from bleak.exc import BleakError
from bumble import core, hci
from bumble.device import Advertisement, Connection, Device, DeviceConfiguration
from bumble.keys import JsonKeyStore, KeyStore, MemoryKeyStore, PairingKeys
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport.tcp_client import open_tcp_client_transport

from hw_sim.air import Air
from hw_sim.client_backend import ClientBackend
from hw_sim.host import device_on
from hw_sim.scanner_backend import ScannerBackend

GATEWAY_ADDRESS = "C6:1A:70:00:00:01"

PasskeyProvider = Callable[[str], int | None]
"""The passkey the user reads off the sensor with this address, or None to pair by Just Works."""

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Central:
    """One central on the air. Made by `open_central` or `open_remote_central`."""

    def __init__(
        self,
        device: Device,
        bonds: KeyStore,
        passkey: PasskeyProvider | None,
        power_off: Callable[[], Awaitable[None]],
    ) -> None:
        self.device = device
        self._bonds = bonds
        self._passkey = passkey
        self._power_off = power_off
        self._connecting = asyncio.Lock()
        self._scan_change = asyncio.Lock()
        self._listeners: list[Callable[[Advertisement], None]] = []
        self._background: set[asyncio.Task[Any]] = set()
        device.pairing_config_factory = self._pairing_config
        device.on(device.EVENT_ADVERTISEMENT, self._on_advertisement)
        self.scanner_backend: type[ScannerBackend] = type(
            "SimulatedScanner", (ScannerBackend,), {"central": self}
        )
        self.client_backend: type[ClientBackend] = type(
            "SimulatedClient", (ClientBackend,), {"central": self}
        )

    async def close(self) -> None:
        """Hang up every connection and leave the air."""
        self._listeners.clear()
        await self.to_the_end(self._apply_scanning())
        for connection in list(self.device.connections.values()):
            await self.hang_up(connection)
        await self.device.power_off()
        await self._power_off()

    async def to_the_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await work of several HCI commands that must not stop half-way when the caller is cancelled."""
        return await asyncio.shield(self.spawn(work))

    def spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    # Scanning

    async def listen(self, listener: Callable[[Advertisement], None]) -> None:
        self._listeners.append(listener)
        try:
            await self.to_the_end(self._apply_scanning())
        except BaseException:
            self._listeners.remove(listener)
            self.spawn(self._apply_scanning())
            raise

    async def stop_listening(self, listener: Callable[[Advertisement], None]) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
            await self.to_the_end(self._apply_scanning())

    async def _apply_scanning(self) -> None:
        async with self._scan_change:
            if self._listeners and not self.device.is_scanning:
                await self.device.start_scanning()
            elif not self._listeners and self.device.is_scanning:
                await self.device.stop_scanning()

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        for listener in list(self._listeners):
            listener(advertisement)

    # Connecting

    async def connect(self, address: hci.Address) -> Connection:
        """Connect as soon as the device is heard; waits for ever. Raises BleakError if the radio fails."""
        await self._connecting.acquire()
        if self.device.find_connection_by_bd_addr(address) is not None:
            self._connecting.release()
            raise BleakError(f"{address.to_string(False)} is already connected")
        attempt = self.spawn(self.device.connect(address))
        attempt.add_done_callback(lambda _: self._connecting.release())
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if attempt.cancelled():  # by Bumble, because the radio is gone
                raise BleakError("the radio was lost while connecting") from None
            self.spawn(self._abandon(attempt))
            raise
        except core.BaseBumbleError as error:
            raise BleakError(f"failed to connect: {error}") from error

    async def _abandon(self, attempt: asyncio.Task[Connection]) -> None:
        with contextlib.suppress(core.BaseBumbleError, asyncio.CancelledError):
            if not attempt.done():
                with contextlib.suppress(hci.HCI_Error):  # too late: the connection has just been made
                    await self.device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            await self.hang_up(await attempt)

    async def hang_up(self, connection: Connection) -> None:
        """End a connection, if there still is one."""
        if self.device.lookup_connection(connection.handle) is connection:
            with contextlib.suppress(
                core.BaseBumbleError, hci.HCI_Error
            ):  # it ended by itself in this moment
                await self.to_the_end(connection.disconnect())

    # Bonds

    def _pairing_config(self, connection: Connection) -> PairingConfig:
        passkey = self._passkey(connection.peer_address.to_string(False)) if self._passkey else None
        return PairingConfig(mitm=passkey is not None, delegate=_Typist(passkey))

    async def is_bonded(self, address: hci.Address) -> bool:
        return await self._bonds.get(str(address)) is not None

    async def forget(self, address: str) -> bool:
        """Delete the bond with a device. Whether there was one."""
        names = [name for name, _ in await self._bonds.get_all() if name.startswith(address)]
        for name in names:
            await self._bonds.delete(name)
        return bool(names)


class _Typist(PairingDelegate):
    """The user at the gateway: types the passkey shown by the sensor, or has no keyboard at all."""

    def __init__(self, passkey: int | None) -> None:
        # Only encryption keys are exchanged: sensors keep their address, and with an identity key Bumble
        # would scan on its own before each connection.
        super().__init__(
            self.NO_OUTPUT_NO_INPUT if passkey is None else self.KEYBOARD_INPUT_ONLY,
            self.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY,
            self.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY,
        )
        self._passkey = passkey

    async def get_number(self) -> int | None:
        return self._passkey


class _BondFile(JsonKeyStore):
    """Bumble's key file, readable by nobody else from its first byte on; one that makes no sense is set aside."""

    async def load(self) -> tuple[dict[str, dict[str, dict[str, Any]]], dict[str, dict[str, Any]]]:
        try:
            content, bonds = await super().load()
            for keys in bonds.values():
                PairingKeys.from_dict(keys)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            log.warning("no bonds in %s: %s", self.filename, error)
            with contextlib.suppress(OSError):
                self.filename.replace(self.filename.with_name(self.filename.name + ".unreadable"))
            bonds = {}
            content = {self.namespace: bonds}
        return content, bonds

    async def save(self, db: dict[str, dict[str, dict[str, Any]]]) -> None:
        self.filename.parent.mkdir(parents=True, exist_ok=True)
        draft = self.filename.with_name(self.filename.name + ".tmp")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            json.dump(db, output, sort_keys=True, indent=4)
        draft.replace(self.filename)


async def open_central(
    air: Air, *, bonds: Path | None, passkey: PasskeyProvider | None = None, address: str = GATEWAY_ADDRESS
) -> Central:
    """A central on an air in this process."""
    controller = air.controller("central")

    async def power_off() -> None:
        air.remove_controller(controller)

    return await _open(controller, controller, bonds, passkey, address, power_off)


async def open_remote_central(
    host: str,
    port: int,
    *,
    bonds: Path | None,
    passkey: PasskeyProvider | None = None,
    address: str = GATEWAY_ADDRESS,
) -> Central:
    """A central on the air of another process, over HCI H4 on TCP. Raises OSError if nobody listens."""
    transport = await open_tcp_client_transport(f"{host}:{port}")
    return await _open(transport.source, transport.sink, bonds, passkey, address, transport.close)


async def _open(
    source: Any,
    sink: Any,
    bonds: Path | None,
    passkey: PasskeyProvider | None,
    address: str,
    power_off: Callable[[], Awaitable[None]],
) -> Central:
    config = DeviceConfiguration(name="vitalgate", address=hci.Address(address))
    device = device_on(source, sink, config)
    device.keystore = MemoryKeyStore() if bonds is None else _BondFile(address, str(bonds))
    await device.power_on()
    return Central(device, device.keystore, passkey, power_off)
