"""Joins a gateway with a simulated home: in its own process, or one that runs as a process of its own."""

import asyncio
import math
import secrets
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from edge.config import Config, load
from edge.errors import ConfigError
from edge.kinds import KINDS, Reach
from edge.radio.adapter import Radio, System
from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, PasskeyProvider, open_central, open_remote_central
from hw_sim.radio.hci_server import serve
from hw_sim.radio.sensor_air import SensorAir
from hw_sim.scenario import Home, SensorSpec
from tools.rig.home.recordings import DemoRecordings


def build_home(
    air: SensorAir,
    config: Config,
    worn: DemoRecordings,
    *,
    begin_s: float,
    duration_s: float,
    seed: int,
    history_s: float = 0.0,
    glucose_pace: float = 1.0,
    specs: Sequence[SensorSpec] | None = None,
) -> Home:
    """A home with each sensor of the configuration that is on the air; feeds are the servers of others.

    `specs` are what is worn, where that is something else.
    """
    if specs is None:
        specs = [
            SensorSpec(sensor.kind, sensor.address, sensor.passkey, sensor.user, sensor.consent_code)
            for sensor in config.sensors
            if KINDS[sensor.kind].reach is not Reach.FEED
        ]
    return Home(
        air,
        specs,
        begin_s=begin_s,
        duration_s=duration_s,
        seed=seed,
        rr_ms=worn.rr_ms,
        glucose=worn.glucose,
        cgm_history_s=history_s,
        glucose_pace=glucose_pace,
    )


def radio(central: Central) -> Radio:
    """The gateway's radio on a simulated central."""
    backends = central.scanner_backend, central.client_backend, central.adapter_backend
    system = System(central.bluetoothd.new_bus, central.bluetoothd.reset)
    return Radio(*backends, central.pairing, system)


def passkeys(config: Config) -> PasskeyProvider:
    """What the user reads off the sensors."""
    return {sensor.address: sensor.passkey for sensor in config.sensors}.get


@asynccontextmanager
async def own_radio(config: Config, worn: DemoRecordings, seed: int) -> AsyncIterator[Radio]:
    """A home that lives and dies with the gateway, in real time."""
    air = Air()
    begin_s = asyncio.get_running_loop().time()
    home = build_home(air, config, worn, begin_s=begin_s, duration_s=math.inf, seed=seed)
    await home.start()
    central = await open_central(air, bonds=None, passkey=passkeys(config))
    try:
        yield radio(central)
    finally:
        await central.close()
        await home.stop()


@asynccontextmanager
async def world_radio(config: Config, host: str, port: int) -> AsyncIterator[Radio]:
    """A home that runs as a process of its own, reached by HCI over TCP; bonds are kept as an OS keeps them.

    When that process ends the sensors are out of reach; when another listens there, the gateway finds them again.
    """
    bonds = config.gateway.state_dir / "simulated-bonds.json"
    try:
        central = await open_remote_central(host, port, bonds=bonds, passkey=passkeys(config))
    except OSError as error:
        what = f"no simulated home answers on {host}:{port} ({error})"
        raise ConfigError("--world", what, "start one with `vitalgate simulate`") from error
    staying = asyncio.ensure_future(central.stay_reachable())
    try:
        yield radio(central)
    finally:
        staying.cancel()
        await asyncio.wait({staying})
        await central.close()


async def serve_world(
    config_file: Path,
    worn: DemoRecordings,
    host: str,
    port: int,
    *,
    seed: int,
    history_s: float,
    glucose_pace: float,
) -> None:
    """Serve a home by HCI over TCP until SIGINT or SIGTERM; one line on stdout says where."""
    config = load(config_file)
    # Started again, its sensors have forgotten their bonds: a gateway must not find those that it made with them.
    air = Air(secrets.randbelow(256))
    home = build_home(
        air,
        config,
        worn,
        begin_s=asyncio.get_running_loop().time(),
        duration_s=math.inf,
        seed=seed,
        history_s=history_s,
        glucose_pace=glucose_pace,
    )
    await home.start()
    try:
        server = await serve(air, host, port)
    except OSError as error:
        raise ConfigError(
            "--listen", f"{host}:{port}: {error.strerror}", "name a free port of this machine"
        ) from error
    print("listening on {}:{}".format(*server.sockets[0].getsockname()[:2]), flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    server.close()
    await home.stop()
