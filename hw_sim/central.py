"""The gateway's end of the simulated radio: a machine's Bluetooth, and the bleak backends bound to it.

Contract: `scanner_backend`, `client_backend` and `adapter_backend` are classes for bleak's `backend=` arguments; behind
them sits one Bumble device on an `Air`, or over HCI on TCP. As bluetoothd does, it outlives its clients: after
`abandon_clients()` everything that was made of the backends so far belongs to a process that was killed, its links
are still held, and the backends are new ones. Bonds live in memory, or in a file that survives the process and that
nobody else can read.

Not here: links, scanning and bonds themselves (stack), GATT (client_backend), advertisements (scanner_backend), how
links fail (air, faults).
"""

import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bumble import hci
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.keys import JsonKeyStore, KeyStore, MemoryKeyStore, PairingKeys
from bumble.pairing import PairingConfig, PairingDelegate
from bumble.transport.tcp_client import open_tcp_client_transport

from hw_sim.adapter_backend import AdapterBackend
from hw_sim.air import Air
from hw_sim.client_backend import ClientBackend
from hw_sim.host import device_on
from hw_sim.scanner_backend import ScannerBackend
from hw_sim.stack import Stack

# Bumble wants a random address, too; nothing goes on the air under it.
_UNUSED_ADDRESS = "C6:1A:70:00:00:01"

PasskeyProvider = Callable[[str], int | None]
"""The passkey the user reads off the sensor with this address, or None to pair by Just Works."""

log = logging.getLogger(__name__)


class Central(Stack):
    """One central on the air. Made by `open_central` or `open_remote_central`."""

    scanner_backend: type[ScannerBackend]
    client_backend: type[ClientBackend]
    adapter_backend: type[AdapterBackend]

    def __init__(
        self,
        device: Device,
        bonds: KeyStore,
        passkey: PasskeyProvider | None,
        power_off: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(device, bonds, power_off)
        self._passkey = passkey
        device.pairing_config_factory = self._pairing_config
        self._bind()

    def abandon_clients(self) -> None:
        """What `kill -9` does to the gateway's process; what takes its place must be given the new backends."""
        self.cut_off()
        self._bind()

    def _bind(self) -> None:
        bound = {"stack": self, "process": self.process}
        self.scanner_backend = type("SimulatedScanner", (ScannerBackend,), bound)
        self.adapter_backend = type("SimulatedAdapter", (AdapterBackend,), bound)
        self.client_backend = type(
            "SimulatedClient", (ClientBackend,), {**bound, "scanner_backend": self.scanner_backend}
        )

    def _pairing_config(self, connection: Connection) -> PairingConfig:
        passkey = self._passkey(connection.peer_address.to_string(False)) if self._passkey else None
        return PairingConfig(mitm=passkey is not None, delegate=_Typist(passkey))


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


async def open_central(air: Air, *, bonds: Path | None, passkey: PasskeyProvider | None = None) -> Central:
    """A central on an air in this process."""
    controller = air.adapter("central")

    async def power_off() -> None:
        air.remove_controller(controller)

    return await _open(controller, controller, bonds, passkey, power_off)


async def open_remote_central(
    host: str, port: int, *, bonds: Path | None, passkey: PasskeyProvider | None = None
) -> Central:
    """A central on the air of another process, over HCI H4 on TCP. Raises OSError if nobody listens."""
    transport = await open_tcp_client_transport(f"{host}:{port}")
    return await _open(transport.source, transport.sink, bonds, passkey, transport.close)


async def _open(
    source: Any,
    sink: Any,
    bonds: Path | None,
    passkey: PasskeyProvider | None,
    power_off: Callable[[], Awaitable[None]],
) -> Central:
    config = DeviceConfiguration(name="vitalgate", address=hci.Address(_UNUSED_ADDRESS))
    device = device_on(source, sink, config)
    await device.power_on()
    # A bond holds between two addresses: those of another adapter are of no use.
    device.keystore = (
        MemoryKeyStore() if bonds is None else _BondFile(device.public_address.to_string(False), str(bonds))
    )
    return Central(device, device.keystore, passkey, power_off)
