"""What the commands with simulated sensors share: the packages that they need beside a plain installation's, and the
place of a home that runs as a process of its own."""

from typing import Any

from edge.errors import ConfigError


def simulation_extra() -> Any:
    """The simulation, which a plain installation does not have."""
    try:
        from tools.rig.home import simulation
    except ModuleNotFoundError as error:
        what = f"simulated sensors need the package {error.name}"
        raise ConfigError(
            "installation", what, "install what simulates it: sh tools/setup.sh demo"
        ) from error
    return simulation


def endpoint(option: str, text: str) -> tuple[str, int]:
    """The host and the port in `HOST:PORT`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(option, f"{text!r} is not HOST:PORT", "write it like 127.0.0.1:6402")
    return host, int(port)
