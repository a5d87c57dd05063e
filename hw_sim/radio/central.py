"""The gateway's end of the simulated radio: a machine's Bluetooth, and the bleak backends bound to it.

Contract: `scanner_backend`, `client_backend` and `adapter_backend` are classes for bleak's `backend=` arguments, and
`pairing` is what a process may ask of the system beside bleak; behind them sits one Bumble device on an `Air`, or over
HCI on TCP. As bluetoothd does, it outlives its clients: after `abandon_clients()` everything that was made of the
backends so far belongs to a process that was killed, its links are still held, and the backends are new ones. Over TCP
the other process may go and come back, as a controller that is unplugged does. Bonds live in memory, or in a file that
survives the process and that nobody else can read.

Not here: links, scanning and bonds themselves (stack), GATT (client_backend), advertisements (scanner_backend), how
links fail (air, faults).
"""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from bumble import core, hci
from bumble.device import Connection, DeviceConfiguration
from bumble.keys import JsonKeyStore, MemoryKeyStore, PairingKeys
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport.tcp_client import open_tcp_client_transport

from hw_sim.radio.adapter_backend import AdapterBackend
from hw_sim.radio.air import Air
from hw_sim.radio.client_backend import ClientBackend
from hw_sim.radio.host import device_on
from hw_sim.radio.pairing import StackPairing
from hw_sim.radio.scanner_backend import ScannerBackend
from hw_sim.radio.stack import Controller, Stack

# Bumble wants a random address, too; nothing goes on the air under it.
_UNUSED_ADDRESS = "C6:1A:70:00:00:01"

ANSWER_S_MAX: Final = 10.0
"""How long whoever listens at an address may take to answer as a controller does."""
RETRY_S: Final = 2.0

PasskeyProvider = Callable[[str], int | None]
"""The passkey the user reads off the sensor with this address, or None to pair by Just Works: for pairing by bleak."""

log = logging.getLogger(__name__)


class Central(Stack):
    """One central on the air. Made by `open_central` or `open_remote_central`."""

    scanner_backend: type[ScannerBackend]
    client_backend: type[ClientBackend]
    adapter_backend: type[AdapterBackend]
    pairing: StackPairing

    def __init__(self, controller: Controller, passkey: PasskeyProvider | None) -> None:
        self._passkey = passkey
        super().__init__(controller)
        self._bind()

    def _use(self, controller: Controller) -> None:
        super()._use(controller)
        self.device.pairing_config_factory = self._pairing_config

    def abandon_clients(self) -> None:
        """What `kill -9` does to the gateway's process; what takes its place must be given the new backends."""
        self.cut_off()
        self._bind()

    def _bind(self) -> None:
        bound = {"stack": self, "process": self.process}
        self.pairing = StackPairing(self, self.process)
        self.scanner_backend = type("SimulatedScanner", (ScannerBackend,), bound)
        self.adapter_backend = type("SimulatedAdapter", (AdapterBackend,), bound)
        self.client_backend = type(
            "SimulatedClient", (ClientBackend,), {**bound, "scanner_backend": self.scanner_backend}
        )

    def _pairing_config(self, connection: Connection) -> PairingConfig:
        if (agent := self.agent(connection.peer_address)) is not None:
            return PairingConfig(mitm=False, delegate=agent)
        passkey = self._passkey(connection.peer_address.to_string(False)) if self._passkey else None
        return PairingConfig(mitm=passkey is not None, delegate=_Typist(passkey))


class RemoteCentral(Central):
    """A central whose controller is in another process. Made by `open_remote_central`."""

    def __init__(self, where: "_Where", controller: Controller, passkey: PasskeyProvider | None) -> None:
        super().__init__(controller, passkey)
        self._where = where

    async def stay_reachable(self) -> None:
        """Whenever the other process is gone, wait until it, or what follows it, answers; until cancelled."""
        while True:
            await asyncio.wait({self._lost})
            log.warning("the simulated home at %s is gone; it is tried every %.0f s", self._where, RETRY_S)
            await self._power_off()
            controller = None
            while controller is None:
                await asyncio.sleep(RETRY_S)
                with contextlib.suppress(OSError):
                    controller = await _reached(self._where)
            self.replace_controller(controller)
            log.info("the simulated home at %s is back", self._where)


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


class _Where(NamedTuple):
    """An address of TCP, and the file with the bonds."""

    host: str
    port: int
    bonds: Path | None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


async def open_central(air: Air, *, bonds: Path | None, passkey: PasskeyProvider | None = None) -> Central:
    """A central on an air in this process."""
    controller = air.adapter("central")

    async def power_off() -> None:
        air.remove_controller(controller)

    return Central(await _powered(controller, controller, bonds, power_off), passkey)


async def open_remote_central(
    host: str, port: int, *, bonds: Path | None, passkey: PasskeyProvider | None = None
) -> RemoteCentral:
    """A central on the air of another process, over HCI H4 on TCP.

    Raises:
        OSError: nobody listens, nothing is answered in time, or what is answered is not HCI.
    """
    where = _Where(host, port, bonds)
    return RemoteCentral(where, await _reached(where), passkey)


async def _reached(where: _Where) -> Controller:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            transport = await open_tcp_client_transport(f"{where.host}:{where.port}")
            try:
                return await _powered(transport.source, transport.sink, where.bonds, transport.close)
            except BaseException:
                await transport.close()
                raise
    except TimeoutError as error:
        raise TimeoutError(f"no answer in {ANSWER_S_MAX:.0f} s") from error
    except (core.BaseBumbleError, ValueError) as error:
        raise ConnectionError(f"what answers there is no Bluetooth controller: {error}") from error


async def _powered(
    source: Any, sink: Any, bonds: Path | None, power_off: Callable[[], Awaitable[None]]
) -> Controller:
    config = DeviceConfiguration(name="vitalgate", address=hci.Address(_UNUSED_ADDRESS))
    device = device_on(source, sink, config)
    await device.power_on()
    # A bond holds between two addresses: those of another adapter are of no use.
    device.keystore = (
        MemoryKeyStore() if bonds is None else _BondFile(device.public_address.to_string(False), str(bonds))
    )
    return Controller(device, source.terminated, device.keystore, power_off)
