"""What lies on the bench: dongles, each of which can be one sensor, and gateways under test. Read from TOML.

    [[dongles]]
    id = "nrf-1"
    transport = "serial:/dev/ttyACM0,1000000"

    [[gateways]]
    id = "pi"
    config = "gateway.toml"

Contract: `load` gives a checked `Inventory`, or raises one `ConfigError` with file, place, cause and remedy. Paths are
relative to the file. Nothing is opened.

Not here: who has what at the moment (`leases`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, structs

from edge import config, config_faults
from edge.errors import ConfigError

Id = Annotated[
    str, Meta(pattern=r"\A[\w-]{1,40}\Z", description="up to 40 letters, digits, hyphens and underscores")
]
Transport = Annotated[
    str,
    Meta(
        pattern=r"\A(usb|pyusb|serial|tcp-client|pty|unix-client):\S+\Z",
        description='where its HCI is, like "usb:0", "serial:/dev/ttyACM0,1000000" or "tcp-client:127.0.0.1:6402"',
    ),
]
Command = Annotated[
    tuple[str, ...],
    Meta(min_length=1, description='a command and its words, like ["systemctl", "start", "x"]'),
]


class Dongle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Bluetooth controller at this machine that is nobody else's: unknown to bluetoothd."""

    id: Id
    transport: Transport

    @property
    def resource(self) -> str:
        """What a lease calls it."""
        return f"dongle {self.id}"


class GatewayUnderTest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway, reached over its control socket; of another machine's, the socket and the bundles are forwarded.

    Attributes:
        config: the gateway's own file. With `start` it is written anew for each scenario.
        settings: sections of that file, laid over those that follow from the scenario.
        state_dir: where its socket is seen from here, if that is not what its file says.
        bundles: where what it sends is seen from here, if that is not what its file says.
        start, stop, kill: what begins a life of it, ends it by SIGTERM, and ends it by SIGKILL, each a command that
            returns when that is done. Without `start` the gateway has to run when a scenario is played; with it, what
            a life of an earlier scenario has left has to be gone.
        log: a file to which what it logs is appended, as seen from here.
    """

    id: Id
    config: Path
    settings: dict[str, Any] = {}
    state_dir: Path | None = None
    bundles: Path | None = None
    start: Command | None = None
    stop: Command | None = None
    kill: Command | None = None
    log: Path | None = None

    @property
    def resource(self) -> str:
        """What a lease calls it."""
        return f"gateway {self.id}"


class Inventory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything on one bench.

    Attributes:
        leases: who has what; all that use the bench use the same file, on a disk of this machine.
    """

    dongles: tuple[Dongle, ...] = ()
    gateways: tuple[GatewayUnderTest, ...] = ()
    leases: Path = Path("bench.leases")

    def gateway(self, name: str | None) -> GatewayUnderTest:
        """The gateway of this name, or the only one. Raises ConfigError."""
        known = ", ".join(one.id for one in self.gateways)
        chosen = [one for one in self.gateways if name in (None, one.id)]
        if len(chosen) != 1:
            cause = "there are several gateways" if name is None else f"there is no gateway {name!r}"
            raise ConfigError("--gateway", cause, f"use one of: {known}")
        return chosen[0]


_PATHS: Final = ("config", "state_dir", "bundles", "log")


def load(path: Path) -> Inventory:
    """Read and check a file.

    Raises:
        ConfigError: anything wrong with the file or its content.
    """
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise ConfigError(
            str(path), fault.strerror or str(fault), "give a readable inventory of the bench"
        ) from fault
    return parse(content, path)


def parse(content: bytes, path: Path) -> Inventory:
    """Check the content of the file at `path`.

    Raises:
        ConfigError: as `load`.
    """
    document = config.read_toml(content, path)
    try:
        read: Inventory = msgspec.convert(document, Inventory, dec_hook=_path)
    except msgspec.ValidationError as fault:
        raise config_faults.not_valid(str(path), document, Inventory, fault) from fault
    if not read.gateways:
        raise ConfigError(f"{path}: gateways", "there is no gateway to test", "add a section [[gateways]]")
    for n, gateway in enumerate(read.gateways):
        if gateway.start is not None and gateway.stop is None:
            where = f"{path}: gateways[{n}]"
            raise ConfigError(where, "it can be started, and not be stopped", "add `stop`")
    _require_different((one.id for one in read.dongles), f"{path}: dongles", "id")
    _require_different((one.transport for one in read.dongles), f"{path}: dongles", "transport")
    _require_different((one.id for one in read.gateways), f"{path}: gateways", "id")
    base = path.parent
    return structs.replace(
        read,
        gateways=tuple(_placed(one, base) for one in read.gateways),
        leases=base / read.leases,
    )


def _path(kind: type, value: Any) -> Path:
    if kind is not Path or not isinstance(value, str) or not value:
        raise ValueError("not a path; write it in quotes")
    return Path(value)


def _placed(gateway: GatewayUnderTest, base: Path) -> GatewayUnderTest:
    given = {name: getattr(gateway, name) for name in _PATHS}
    return structs.replace(gateway, **{name: base / path for name, path in given.items() if path is not None})


def _require_different(names: Iterable[str], where: str, key: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ConfigError(where, f"two have the {key} {name!r}", "name each once")
        seen.add(name)
