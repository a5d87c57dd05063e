"""Simulated devices that deliver and hang up do what such devices do, and know what is true."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakGATTProtocolError
from spot_parts import ADDRESS, VALUES, device

from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.radio.central import Central, open_central
from hw_sim.scenario import Home, SensorSpec
from hw_sim.sensors.spot.body_scale import BodyScale
from hw_sim.sensors.spot.device import Quirks, SpotDevice
from hw_sim.sensors.spot.glucose_meter import GlucoseMeter
from protocols import current_time, glucose_meter, racp, thermometer, user_data, uuids, weight_scale
from protocols.racp import OpCode, Operator, Request


def play(kind: str, scenario: Callable[[Central, SpotDevice], Awaitable[None]], **said: object) -> None:
    async def main() -> None:
        air = Air()
        body = device(air, kind, **said)
        await body.start()
        central = await open_central(air, bonds=None)
        await scenario(central, body)
        await central.close()
        await body.stop()

    run(main())


async def is_heard(central: Central, seconds: float = 2.0) -> bool:
    found = await BleakScanner.discover(timeout=seconds, backend=central.scanner_backend)
    return ADDRESS in {one.address for one in found}


def client(central: Central, *, pair: bool = False) -> BleakClient:
    return BleakClient(ADDRESS, backend=central.client_backend, pair=pair)


@pytest.mark.parametrize("kind", VALUES)
def test_it_is_on_only_when_it_is_used(kind: str) -> None:
    async def scenario(central: Central, body: SpotDevice) -> None:
        assert not await is_heard(central, 30.0)
        taken = await body.use(VALUES[kind])
        assert body.taken == [taken]
        assert await is_heard(central)
        await asyncio.sleep(body.quirks.advertises_s)
        assert not await is_heard(central, 30.0)

    play(kind, scenario)


def test_it_delivers_once_and_hangs_up_and_its_clock_is_as_wrong_as_it_says() -> None:
    async def scenario(central: Central, body: SpotDevice) -> None:
        heard: list[bytes] = []
        await body.use({"body_temperature": 37.2})
        async with client(central) as one:
            now = current_time.CURRENT_TIME.decode(bytes(await one.read_gatt_char(uuids.CURRENT_TIME)))
            assert now.date_time == body.date_time(body.shown_s())
            await one.start_notify(
                uuids.TEMPERATURE_MEASUREMENT, lambda _, payload: heard.append(bytes(payload))
            )
            await asyncio.sleep(5)
            assert not one.is_connected
        (reading,) = map(thermometer.MEASUREMENT.decode, heard)
        assert reading.temperature == 37.2
        assert reading.timestamp == body.date_time(body.taken[0].shown_s)
        assert not await is_heard(central)

    play("thermometer", scenario, quirks=Quirks(clock_wrong_s=-5000))


def test_what_needs_the_time_or_a_bond_tells_nothing_without() -> None:
    async def scenario(central: Central, body: SpotDevice) -> None:
        await body.use(VALUES["weight_scale"])
        heard: list[bytes] = []
        async with client(central) as one:
            with pytest.raises(BleakGATTProtocolError):
                await one.start_notify(uuids.WEIGHT_MEASUREMENT, lambda *_: None)
        await asyncio.sleep(2)
        async with client(central, pair=True) as one:
            await one.start_notify(uuids.WEIGHT_MEASUREMENT, lambda _, payload: heard.append(bytes(payload)))
            await asyncio.sleep(5)
            assert heard == []
            time = current_time.CurrentTime(body.date_time(1_772_000_000), 0, 0, current_time.AdjustReason(0))
            await one.write_gatt_char(
                uuids.CURRENT_TIME, current_time.CURRENT_TIME.encode(time), response=True
            )
            await asyncio.sleep(2)
        assert [weight_scale.MEASUREMENT.decode(one).weight_kg for one in heard] == [78.5]
        assert body.times_told == [1_772_000_000]

    play("weight_scale", scenario, quirks=Quirks(needs_bond=True, needs_time=True, advertises_s=600.0))


async def ask(one: BleakClient, request: Request) -> None:
    await one.write_gatt_char(uuids.RACP, racp.encode_request(request), response=True)


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_meter_refuses_before_all_is_subscribed_to_and_then_reports(newest_first: bool) -> None:
    async def scenario(central: Central, body: SpotDevice) -> None:
        assert isinstance(body, GlucoseMeter)
        for n in range(5):
            body.take({"capillary_glucose": 100.0 + n, "meal": 1.0}, ago_s=600.0)
        await body.switch_on()
        heard: list[int] = []
        answers: list[racp.Response] = []
        async with client(central, pair=True) as one:
            await one.start_notify(
                uuids.RACP, lambda _, payload: answers.append(racp.decode_response(bytes(payload)))
            )
            with pytest.raises(BleakGATTProtocolError):
                await ask(one, Request(OpCode.REPORT, Operator.ALL))
            await one.start_notify(
                uuids.GLUCOSE_MEASUREMENT,
                lambda _, payload: heard.append(
                    glucose_meter.MEASUREMENT.decode(bytes(payload)).sequence_number
                ),
            )
            await one.start_notify(uuids.GLUCOSE_CONTEXT, lambda *_: None)
            await ask(one, Request(OpCode.REPORT, Operator.ALL))
            await asyncio.sleep(2)
            await ask(
                one, Request(OpCode.REPORT_NUMBER, Operator.GREATER_OR_EQUAL, racp.time_offset_operand(4))
            )
            await asyncio.sleep(2)
        assert heard == (list(range(5, 0, -1)) if newest_first else list(range(1, 6)))
        assert answers == [racp.ResponseCode(OpCode.REPORT, racp.Code.SUCCESS), racp.NumberResponse(2)]

    play("glucose_meter", scenario, newest_first=newest_first)


def test_a_body_scale_tells_a_user_s_data_after_that_user_s_consent() -> None:
    async def scenario(central: Central, body: SpotDevice) -> None:
        assert isinstance(body, BodyScale)
        await body.use(VALUES["body_composition"], 1)
        await body.use(VALUES["body_composition"], 2)
        heard: list[bytes] = []
        answers: list[user_data.Response] = []
        async with client(central, pair=True) as one:
            for uuid in (uuids.WEIGHT_MEASUREMENT, uuids.BODY_COMPOSITION_MEASUREMENT):
                await one.start_notify(uuid, lambda _, payload: heard.append(bytes(payload)))
            await one.start_notify(
                uuids.USER_CONTROL_POINT,
                lambda _, payload: answers.append(user_data.RESPONSE.decode(bytes(payload))),
            )
            for code in (1, 1234):
                await asyncio.sleep(2)
                assert heard == []
                consent = user_data.CONSENT.encode(user_data.Consent(1, code))
                await one.write_gatt_char(uuids.USER_CONTROL_POINT, consent, response=True)
            await asyncio.sleep(3)
        assert [one.code for one in answers] == [user_data.Code.USER_NOT_AUTHORIZED, user_data.Code.SUCCESS]
        # The weight, two zeros, and the composition, of the one user.
        assert len(heard) == 4

    play("body_composition", scenario)


def test_a_home_has_one_of_each_kind_and_a_seed_is_a_home() -> None:
    async def home(seed: int) -> dict[str, list[object]]:
        air = Air()
        specs = [SensorSpec(kind, f"F0:00:00:00:01:{n:02X}") for n, kind in enumerate(VALUES)]
        them = Home(air, specs, begin_s=0.0, duration_s=86_400.0, seed=seed)
        await them.start()
        await asyncio.sleep(43_200)
        await them.stop()
        return {one.address: list(one.taken) for one in them.sensors.values() if isinstance(one, SpotDevice)}

    first, again, other = (run(home(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == len(VALUES)
    assert all(2 <= len(taken) <= 5 for taken in first.values())
