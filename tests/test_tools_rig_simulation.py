"""The simulated home that a configuration describes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakClient
from bleak.exc import BleakError
from bumble import hci

from edge import config as config_module
from edge.config import load
from edge.kinds import KINDS, Reach
from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, PasskeyProvider, open_central
from tools.rig.home import simulation
from tools.rig.home.recordings import DemoRecordings
from tools.rig.home.simulation import build_home, passkeys
from tools.rig.language.scenario import CGM, STRAP, Sensor, home_of

OTHER_CGM = "F0:00:00:00:00:03"
TWO = [
    Sensor(id="cgm", kind="cgm", address=CGM.address, passkey="123456"),
    Sensor(id="other-cgm", kind="cgm", address=OTHER_CGM, passkey="654321"),
]


def test_each_glucose_sensor_has_the_passkey_printed_on_it(tmp_path: Path) -> None:
    config = home_of(*TWO).configure(tmp_path)

    async def pair_both(typed: PasskeyProvider) -> None:
        air = Air()
        home = build_home(
            air, config, DemoRecordings(None, None, None, None), begin_s=0.0, duration_s=60.0, seed=0
        )
        await home.start()
        central = await open_central(air, bonds=None, passkey=typed)
        for address in (str(CGM.address), OTHER_CGM):
            async with BleakClient(address, backend=central.client_backend) as client:
                await client.pair()
        await home.stop()

    run(pair_both(passkeys(config)))
    with pytest.raises(BleakError):
        run(pair_both(lambda _: 123_456))


@pytest.mark.parametrize("turns", range(4))  # of the loop, so that the answer to the command is still to come
def test_a_home_in_the_process_is_closed_while_its_loop_still_runs(
    tmp_path: Path, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = home_of(STRAP, CGM).configure(tmp_path)
    opened: list[Central] = []
    asked: list[object] = []
    problems: list[dict[str, Any]] = []

    async def remembered(*args: Any, **kwargs: Any) -> Central:
        opened.append(await open_central(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(simulation, "open_central", remembered)

    async def end_with_a_command_under_way() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with simulation.own_radio(config, DemoRecordings(None, None, None, None), 0):
            host = opened[0].device.host
            asked.append(asyncio.ensure_future(host.send_sync_command(hci.HCI_Read_BD_ADDR_Command())))
            for _ in range(turns):
                await asyncio.sleep(0)

    asyncio.run(end_with_a_command_under_way())
    assert problems == []


def test_a_simulated_sensor_may_have_any_address() -> None:
    config = load(Path(config_module.__file__).with_name("example.toml"))
    on_air = [sensor for sensor in config.sensors if KINDS[sensor.kind].reach is Reach.CONNECTION]

    async def connect_all() -> None:
        air = Air()
        home = build_home(
            air, config, DemoRecordings(None, None, None, None), begin_s=0.0, duration_s=60.0, seed=0
        )
        await home.start()
        central = await open_central(air, bonds=None)
        for sensor in on_air:
            async with BleakClient(sensor.address, backend=central.client_backend) as client:
                assert client.is_connected
        await home.stop()

    assert {sensor.address[:2] for sensor in on_air} == {"A4"}
    run(connect_all())
