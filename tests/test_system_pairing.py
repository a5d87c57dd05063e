"""Pairing on the composed gateway: each mishap says the right words in time, and ends under the policy."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import feed_world
import pytest
from msgspec import structs

from edge.local.status import SensorStatus
from edge.local.verbs import Paired, PairingNews, Refusal
from edge.radio.pairing import policy
from edge.radio.trouble import Trouble
from hw_sim.clock import run
from tools.rig.home.world import World, open_world
from tools.rig.language.scenario import CGM, STRAP, Sensor, home_of

ADDRESS = str(CGM.address)
RIGHT, WRONG = 123_456, 654_321
BY_PASSKEY = Sensor(id="cgm", kind="cgm", address=ADDRESS, passkey=str(RIGHT))
WORDS_S, SENSOR_LOST_S, HOST_LOST_S = 30.0, 30.0, 10.0


@asynccontextmanager
async def home(directory: Path, *, passkey: int | None = RIGHT, **changes: Any) -> AsyncIterator[World]:
    """A CGM with a passkey on its label; `changes` are of its section in the gateway's file, `passkey` stands there."""
    scenario = home_of(BY_PASSKEY, hours=24)
    config = scenario.configure(directory)
    (cgm,) = config.sensors
    said = structs.replace(cgm, passkey=passkey, **changes)
    async with open_world(scenario, directory, config=structs.replace(config, sensors=(said,))) as world:
        world.sensor("cgm").passkey = RIGHT
        yield world


async def said(world: World) -> SensorStatus:
    (sensor,) = (await world.gateway.status()).sensors
    return sensor


async def streams(world: World, within_s: float) -> None:
    end_s = world.now_s + within_s
    while (sensor := await said(world)).phase != "streaming":
        assert world.now_s < end_s, (sensor.phase, sensor.trouble)
        await world.for_s(0.25)


async def troubled(world: World, trouble: Trouble, within_s: float = WORDS_S) -> None:
    end_s = world.now_s + within_s
    while (shown := (await said(world)).trouble) is None or shown.cause != trouble.cause:
        assert world.now_s < end_s, shown
        await world.for_s(0.25)
    assert shown.remedy == trouble.remedy


async def asked(world: World, passkey: int | None = None) -> list[Any]:
    """All that a person is told who pairs the sensor."""
    async with aclosing(world.gateway.reception.pair("cgm", passkey)) as lines:
        return [line async for line in lines]


def ceremonies(world: World) -> list[float]:
    """When the sensor was asked to pair, from now on."""
    times: list[float] = []
    sensor = world.sensor("cgm")
    kept = sensor.lets_pair

    async def counted() -> bool:
        times.append(world.now_s)
        return await kept()

    sensor.lets_pair = counted  # type: ignore[method-assign]
    return times


def test_a_passkey_of_the_configuration_bonds_and_all_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            sensor = await said(world)
            assert sensor.pairing is not None
            assert (sensor.pairing.bonded, sensor.pairing.made) == (True, "by passkey")
            assert not sensor.pairing.accepts_just_works
            await world.until_s(3600.0)
            assert (await said(world)).session is not None

    run(main())


def test_a_sensor_that_lost_its_bond_is_paired_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            await world.sensor("cgm").forget_bonds()
            world.air.lose_link(ADDRESS)
            await troubled(world, Trouble.BOND_LOST)
            await streams(world, SENSOR_LOST_S)
            assert (await said(world)).pairing.renewed_today == 1  # type: ignore[union-attr]

    with caplog.at_level(logging.WARNING):
        run(main())
    assert "cgm: its link came up and ended 3 times in a row: its bond is deleted" in caplog.text
    assert ADDRESS not in caplog.text


def test_a_machine_that_lost_its_bond_pairs_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            await world.central.forget(ADDRESS)
            world.air.lose_link(ADDRESS)
            await world.for_s(2.0)
            await streams(world, HOST_LOST_S - 2.0)
            pairing = (await said(world)).pairing
            assert pairing is not None
            assert (pairing.made, pairing.renewed_today) == ("by passkey", 0)

    with caplog.at_level(logging.WARNING):
        run(main())
    assert "cgm: this machine has lost its bond with the sensor; it is paired anew" in caplog.text


def test_a_wrong_passkey_is_said_and_not_tried_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path, passkey=WRONG) as world:
            times = ceremonies(world)
            await troubled(world, Trouble.PASSKEY_WRONG)
            await world.until_s(6 * 3600.0)
            assert len(times) <= 13
            assert all(b - a >= 59.0 for a, b in itertools.pairwise(times))
            *_, last = await asked(world, RIGHT)
            assert last == Paired("cgm", "by passkey")
            await streams(world, 15.0)

    run(main())


def test_a_missing_passkey_is_said_and_a_person_can_tell_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path, passkey=None) as world:
            await troubled(world, Trouble.PASSKEY_MISSING)
            assert (await said(world)).packets == 0
            lines = []
            async with aclosing(world.gateway.reception.pair("cgm", None)) as said_lines:
                async for line in said_lines:
                    lines.append(line)
                    if isinstance(line, PairingNews) and line.pairing.awaits_passkey:
                        assert (await said(world)).pairing.awaits_passkey  # type: ignore[union-attr]
                        told = world.gateway.reception.tell_passkey("cgm", RIGHT)
                        assert isinstance(told, PairingNews)
            assert lines[-1] == Paired("cgm", "by passkey")
            await streams(world, 15.0)

    run(main())


def test_a_closed_window_is_said_and_the_open_one_used(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            world.sensor("cgm").pairs_now = False
            await troubled(world, Trouble.PAIRING_CLOSED)
            await world.until_s(600.0)
            world.sensor("cgm").pairs_now = True
            await streams(world, SENSOR_LOST_S)

    run(main())


def test_a_full_list_is_said_to_whoever_opens_the_window(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            world.sensor("cgm").bonds_max = 0
            await troubled(world, Trouble.PAIRING_CLOSED)
            assert "few devices" in Trouble.PAIRING_CLOSED.remedy
            *_, last = await asked(world)
            assert isinstance(last, Refusal)
            assert Trouble.BONDS_FULL.cause in last.error.cause
            assert last.error.remedy == Trouble.BONDS_FULL.remedy
            await troubled(world, Trouble.BONDS_FULL)
            world.sensor("cgm").bonds_max = 5
            await streams(world, SENSOR_LOST_S)

    run(main())


def test_a_sensor_that_keeps_no_bond_is_not_paired_for_ever(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            times = ceremonies(world)
            world.sensor("cgm").keeps_bonds = False
            for _ in range(policy.RENEWALS_MAX + 1):
                await streams(world, SENSOR_LOST_S)
                world.air.lose_link(ADDRESS)
                await world.for_s(1.0)
            await troubled(world, Trouble.BONDS_FULL)
            await world.until_s(2 * 3600.0)
            assert len(times) == policy.RENEWALS_MAX + 1
            assert (await said(world)).pairing.renewed_today == policy.RENEWALS_MAX  # type: ignore[union-attr]
            world.sensor("cgm").keeps_bonds = True
            *_, last = await asked(world)
            assert last == Paired("cgm", "by passkey")

    run(main())


def test_without_a_passkey_data_are_refused_and_the_bond_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            world.sensor("cgm").passkey = None
            await troubled(world, Trouble.INSECURE)
            await world.until_s(1800.0)
            assert (await said(world)).packets == 0
            assert not await world.central.forget(ADDRESS)

    run(main())


def test_without_a_passkey_data_come_if_that_is_accepted_and_it_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with home(tmp_path, passkey=None, accept_just_works=True) as world:
            world.sensor("cgm").passkey = None
            await streams(world, 15.0)
            pairing = (await said(world)).pairing
            assert pairing is not None
            assert (pairing.made, pairing.accepts_just_works) == ("just works", True)

    with caplog.at_level(logging.INFO, "edge"):
        run(main())
    assert "cgm: paired without a passkey, as accept_just_works says" in caplog.text


def test_what_is_no_longer_accepted_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path, passkey=None, accept_just_works=True) as world:
            world.sensor("cgm").passkey = None
            await streams(world, 15.0)
            await world.machine.stop()
            (cgm,) = world.config.sensors
            strict = structs.replace(cgm, accept_just_works=False)
            world.config = structs.replace(world.config, sensors=(strict,))
            world.machine.start()
            await troubled(world, Trouble.INSECURE)

    run(main())


def test_a_link_that_is_not_encrypted_carries_no_data_although_there_is_a_bond(tmp_path: Path) -> None:
    """Something poses as the sensor, and claims to have lost its key (BLESA)."""

    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            before = (await said(world)).packets
            world.central.encrypts = False
            world.sensor("cgm").unprotect()
            world.air.lose_link(ADDRESS)
            await troubled(world, Trouble.INSECURE)
            await world.for_s(1800.0)
            assert (await said(world)).packets == before
            assert (await said(world)).pairing.bonded  # type: ignore[union-attr]

    run(main())


def test_bonds_of_sensors_that_are_gone_are_deleted_and_others_stay(tmp_path: Path) -> None:
    other = "F0:00:00:00:00:77"

    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            await world.machine.stop()
            (cgm,) = world.config.sensors
            world.config = structs.replace(
                world.config, sensors=(structs.replace(cgm, address=other, id="other"),)
            )
            kept = await world.central.bonded()
            assert len(kept) == 1
            world.machine.start()
            await world.for_s(5.0)
            assert await world.central.bonded() == []

    run(main())


def test_a_bond_that_the_gateway_did_not_make_stays(tmp_path: Path) -> None:
    async def main() -> None:
        scenario = home_of(STRAP, BY_PASSKEY)
        async with open_world(scenario, tmp_path) as world:
            while not await world.central.bonded():
                await world.for_s(1.0)
            no = world.row_no("cgm")
            await world.gateway.store.write(lambda tables: tables.sensors.drop_trait(no, "bond"))
            await world.machine.stop()
            world.config = structs.replace(world.config, sensors=world.config.sensors[:1])
            world.machine.start()
            await world.for_s(5.0)
            assert len(await world.central.bonded()) == 1

    run(main())


def test_after_a_kill_the_bond_is_as_good_as_before(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            times = ceremonies(world)
            await world.machine.kill()
            world.machine.start()
            await streams(world, 15.0)
            assert times == []
            assert (await said(world)).pairing.made == "by passkey"  # type: ignore[union-attr]

    run(main())


def test_a_bond_outlives_the_store_if_the_system_trusts_the_sensor(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            await world.machine.stop()
            for path in world.config.gateway.state_dir.glob("store.db*"):
                path.unlink()
            world.machine.start()
            await streams(world, 15.0)
            assert (await said(world)).pairing.made is None  # type: ignore[union-attr]
            await world.machine.stop()
            world.central.trusted.clear()
            for path in world.config.gateway.state_dir.glob("store.db*"):
                path.unlink()
            world.machine.start()
            await troubled(world, Trouble.INSECURE)

    run(main())


def test_whoever_stops_waiting_leaves_the_bond_as_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            world.air.set_reachable(ADDRESS, False)
            lines = world.gateway.reception.pair("cgm", None)
            await anext(lines)
            await asyncio.sleep(10.0)
            await lines.aclose()
            times = ceremonies(world)
            world.air.set_reachable(ADDRESS, True)
            await streams(world, 60.0)
            assert times == []
            assert (await said(world)).pairing.made == "by passkey"  # type: ignore[union-attr]

    run(main())


def test_a_request_to_pair_ends_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            await streams(world, 15.0)
            world.air.set_reachable(ADDRESS, False)
            begun_s = world.now_s
            *_, last = await asked(world)
            assert world.now_s - begun_s <= 121.0
            assert isinstance(last, Refusal)
            assert last.error.cause == "cgm was not heard within 120 s"

    run(main())


@pytest.mark.parametrize(
    ("sensor", "cause"),
    [
        ("nobody", "there is no sensor 'nobody'"),
        ("strap", "strap (Heart-rate sensor) gives its data to whoever connects"),
        (
            "scale",
            "scale (Xiaomi scale, by its advertisements) tells its data to all around, without a connection",
        ),
        ("phone", "phone (Glucose from a phone or Nightscout) is asked over the network, not by Bluetooth"),
    ],
)
def test_what_cannot_be_paired_is_refused_at_once(tmp_path: Path, sensor: str, cause: str) -> None:
    async def main() -> None:
        kinds = {"strap": "heart_rate", "scale": "xiaomi_scale", "cgm": "cgm"}
        radio = [
            feed_world.sensor(name, kind, f"A4:C1:38:00:00:0{n}")
            for n, (name, kind) in enumerate(kinds.items())
        ]
        config = feed_world.config_of(tmp_path, feed_world.sensor(), *radio)
        async with feed_world.feed_world(config, {}) as world:
            begun_s, reception = world.utc_s, world.gateway.reception
            said = [line async for line in reception.pair(sensor, None)]
            for refused in (*said, reception.tell_passkey(sensor, RIGHT)):
                assert isinstance(refused, Refusal)
                assert refused.error.cause.endswith(cause)
            assert (len(said), world.utc_s) == (1, begun_s)

    run(main())


def test_two_people_do_not_pair_a_sensor_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with home(tmp_path) as world:
            first = world.gateway.reception.pair("cgm", None)
            await anext(first)
            (refused,) = await asked(world)
            assert isinstance(refused, Refusal)
            await first.aclose()

    run(main())


def test_who_is_gone_while_the_sensor_is_searched_for_keeps_nobody_from_pairing(tmp_path: Path) -> None:
    """Somebody pressed Ctrl-C, and calls it again. Only a line that is not read shows that."""

    async def main() -> None:
        async with home(tmp_path) as world:
            world.air.set_reachable(ADDRESS, False)
            await world.for_s(5.0)
            told_s = []
            async with aclosing(world.gateway.reception.pair("cgm", None)) as lines:
                async for line in lines:
                    told_s.append(world.now_s)
                    if isinstance(line, Refusal):
                        break
            assert max(b - a for a, b in itertools.pairwise(told_s)) <= 6.5

    run(main())
