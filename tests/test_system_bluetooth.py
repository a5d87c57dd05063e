"""A whole gateway on a machine whose Bluetooth fails: the right words, data again in seconds, all of it in status."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge.contact import Phase
from edge.radio.trouble import Trouble
from hw_sim.clock import run
from hw_sim.radio.bluetoothd import Bluetoothd
from tools.rig.home.world import World, open_world
from tools.rig.language.scenario import CGM, STRAP, home_of

WORDS_S = 30.0


def played(directory: Path, scene: Callable[[World, Bluetoothd], Awaitable[None]]) -> None:
    async def main() -> None:
        async with open_world(home_of(STRAP, CGM), directory) as world:
            await world.until_settled()
            world.central.bluetoothd.refuses = {"RestartUnit", "reset"}
            await scene(world, world.central.bluetoothd)

    run(main())


async def until_all_stream(world: World, limit_s: float) -> float:
    """How long it takes until each sensor is connected again, and the strap's packets come."""
    began_s = world.now_s
    contacts = world.gateway.contacts
    while not (
        contacts[STRAP.id].state.phase is Phase.STREAMING
        and contacts[CGM.id].state.phase in (Phase.SETTLING, Phase.STREAMING)
    ):
        await asyncio.sleep(0.1)
        assert world.now_s - began_s < limit_s, [contact.state for contact in contacts.values()]
    return world.now_s - began_s


OFF: dict[str, tuple[Callable[[Bluetoothd], None], Callable[[Bluetoothd], None], Trouble, float]] = {
    "killed": (Bluetoothd.kill, Bluetoothd.start, Trouble.NO_SERVICE, 15.0),
    "frozen": (Bluetoothd.freeze, Bluetoothd.thaw, Trouble.SERVICE_SILENT, 15.0),
    "no bus": (Bluetoothd.end_bus, Bluetoothd.begin_bus, Trouble.NO_SERVICE, 15.0),
    "switched off": (Bluetoothd.power_off, Bluetoothd.power_on, Trouble.ADAPTER_OFF, 10.0),
    "unplugged": (Bluetoothd.unplug, Bluetoothd.plug, Trouble.NO_ADAPTER, 10.0),
}


@pytest.mark.parametrize("what", OFF)
def test_the_right_words_within_30_s_and_data_soon_after_it_is_back(tmp_path: Path, what: str) -> None:
    away, back, trouble, limit_s = OFF[what]

    async def scene(world: World, bluetoothd: Bluetoothd) -> None:
        away(bluetoothd)
        await world.for_s(WORDS_S)
        said = await world.gateway.status()
        for sensor in said.sensors:
            assert sensor.trouble is not None, sensor.id
            assert (sensor.trouble.cause, sensor.trouble.remedy) == (trouble.cause, trouble.remedy)
        assert said.radio is not None
        assert said.radio.trouble is not None
        assert said.radio.trouble.cause == trouble.cause
        await world.for_s(60 - WORDS_S)
        back(bluetoothd)
        assert await until_all_stream(world, 60) <= limit_s
        said = await world.gateway.status()
        assert said.radio is not None
        assert said.radio.trouble is None
        assert [adapter.name for adapter in said.radio.adapters] == ["hci0"]

    played(tmp_path, scene)


def test_what_was_done_to_mend_it_is_shown(tmp_path: Path) -> None:
    async def scene(world: World, bluetoothd: Bluetoothd) -> None:
        bluetoothd.kill()
        await world.for_s(200)
        said = await world.gateway.status()
        assert said.radio is not None
        (done,) = [rung for rung in said.radio.recovery if rung.rung == "restart_service"]
        assert done.times == 1
        assert done.failure is not None
        assert done.failure.startswith("not allowed: ")
        assert done.reason.startswith("the Bluetooth service does not run, for ")
        assert 100 <= done.age_s <= 200

    played(tmp_path, scene)


@pytest.mark.parametrize("kind", ["strap", "cgm"])
def test_a_gateway_that_starts_without_a_radio_says_so_at_once(tmp_path: Path, kind: str) -> None:
    async def main() -> None:
        async with open_world(home_of(STRAP if kind == "strap" else CGM), tmp_path) as world:
            world.central.bluetoothd.unplug()
            await world.for_s(WORDS_S)
            (sensor,) = (await world.gateway.status()).sensors
            assert sensor.trouble is not None
            assert sensor.trouble.cause == Trouble.NO_ADAPTER.cause
            assert sensor.trouble.detail == "BlueZ runs and has no adapter"

    run(main())
