"""Joins a gateway with a simulated home: in its own process, or one that runs as a process of its own."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from bumble.core import BaseBumbleError

from edge.config import Config
from edge.errors import ConfigError
from edge.radio import Radio
from hw_sim.air import Air
from hw_sim.central import Central, PasskeyProvider, open_central, open_remote_central
from hw_sim.hci_server import serve
from hw_sim.recordings import RecordingError
from hw_sim.scenario import Home, SensorSpec

# Real recordings lie beside the tests; an installed gateway has none, and its simulated people are models.
RECORDINGS = Path(__file__).resolve().parent.parent / "tests" / "recordings"


@dataclass(frozen=True)
class Worn:
    """What the simulated sensors wear: recordings, or models of a body where there is none."""

    rr_recording: Path | None
    glucose_recording: Path | None

    @classmethod
    def default(cls) -> "Worn":
        found = [RECORDINGS / name for name in ("afdb_08219_rr.csv.gz", "azt1d_09_glucose.csv.gz")]
        return cls(*(path if path.exists() else None for path in found))


def build_home(
    air: Air, config: Config, worn: Worn, *, begin_s: float, duration_s: float, seed: int, history_s: float = 0.0
) -> Home:
    """A home with one sensor for each that the configuration names."""
    try:
        return Home(
            air,
            [SensorSpec(sensor.kind, sensor.address) for sensor in config.sensors],
            begin_s=begin_s,
            duration_s=duration_s,
            seed=seed,
            rr_recording=worn.rr_recording,
            glucose_recording=worn.glucose_recording,
            cgm_history_s=history_s,
            cgm_passkey=next((s.passkey for s in config.sensors if s.kind == "cgm"), None),
        )
    except RecordingError as error:
        raise ConfigError("recording", str(error), "give a CSV with the columns the README names") from error


def radio(central: Central) -> Radio:
    """The gateway's radio on a simulated central."""
    return Radio(central.scanner_backend, central.client_backend)


def passkeys(config: Config) -> PasskeyProvider:
    """What the user reads off the sensors."""
    return {sensor.address: sensor.passkey for sensor in config.sensors}.get


async def radio_in_process(config: Config, worn: Worn, seed: int, duration_s: float) -> tuple[Radio, Home]:
    """A home that lives and dies with the gateway, in real time."""
    air = Air()
    begin_s = asyncio.get_running_loop().time()
    home = build_home(air, config, worn, begin_s=begin_s, duration_s=duration_s, seed=seed)
    await home.start()
    return radio(await open_central(air, bonds=None, passkey=passkeys(config))), home


async def radio_of_world(config: Config, host: str, port: int) -> Radio:
    """A home that runs as a process of its own, reached by HCI over TCP; bonds are kept as an OS keeps them."""
    bonds = config.gateway.state_dir / "simulated-bonds.json"
    try:
        return radio(await open_remote_central(host, port, bonds=bonds, passkey=passkeys(config)))
    except (OSError, BaseBumbleError) as error:
        what = f"no simulated home answers on {host}:{port} ({error})"
        raise ConfigError("--world", what, "start one with `vitalgate simulate`") from error


@contextlib.asynccontextmanager
async def world(config: Config, worn: Worn, host: str, port: int, *, seed: int, history_s: float, duration_s: float) -> AsyncIterator[tuple[Home, int]]:
    """A home served by HCI over TCP; the port it listens on."""
    air = Air()
    begin_s = asyncio.get_running_loop().time()
    home = build_home(air, config, worn, begin_s=begin_s, duration_s=duration_s, seed=seed, history_s=history_s)
    await home.start()
    server = await serve(air, host, port)
    try:
        yield home, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await home.stop()


async def until_signal() -> None:
    """Wait for SIGINT or SIGTERM."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
