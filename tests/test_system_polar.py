"""A Polar sensor on the composed gateway, over real GATT, in virtual time: what its streams tell, and that none is left
running."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.now.known import EcgKnown, Rest, SensorKnown
from edge.sensors.polar import streams
from edge.sensors.polar.sensor import Polar
from hw_sim.clock import run
from hw_sim.physiology.heart import Heart
from hw_sim.radio.air import Air
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from hw_sim.sensors.polar_sensor import H10, OH1, PolarSensor
from hw_sim.sensors.polar_signals import moving
from protocols import heart_rate
from protocols.polar import MeasurementType, Status
from tools.rig.home.world import World, open_world
from tools.rig.language.scenario import Scenario, Sensor, home_of

ADDRESS = "F0:00:00:00:00:07"
POLAR = Sensor(id="polar", kind="polar", address=ADDRESS)
ECG, ACC, PPI = MeasurementType.ECG, MeasurementType.ACCELERATION, MeasurementType.PULSE_INTERVAL


def play(
    directory: Path,
    told: Callable[[World], Awaitable[Any]],
    *,
    scenario: Scenario | None = None,
    beats: Iterator[float] | None = None,
    prepare: Callable[[PolarSensor], None] = lambda _: None,
    **sensor: Any,
) -> tuple[Any, PolarSensor]:
    """What a test finds out in a world with one sensor, and that sensor when the gateway has gone."""
    worn: list[PolarSensor] = []

    def bodies(air: Air) -> list[PolarSensor]:
        body = PolarSensor(air, ADDRESS, beats or Heart(3), begin_s=5.0, **sensor)
        prepare(body)
        worn.append(body)
        return worn

    async def main() -> Any:
        async with open_world(scenario or home_of(POLAR), directory, bodies=bodies) as world:
            found = await told(world)
            await world.machine.stop()
            left = set(worn[0].running)
        return found, left

    found, left = run(main())
    assert left == set(), "a clean stop leaves no stream running"
    return found, worn[0]


def polar_of(world: World) -> Polar:
    taker = world.gateway.sensors["polar"]
    assert isinstance(taker, Polar)
    return taker


def known(world: World) -> SensorKnown:
    (sensor,) = world.gateway.present.known().sensors
    return sensor


def body_of(world: World) -> PolarSensor:
    body = world.sensor("polar")
    assert isinstance(body, PolarSensor)
    return body


async def kept(world: World, until_s: float) -> list[tuple[bytes, int]]:
    """The packets in the store: what they are, and when their last beat was."""
    await world.until_s(until_s)
    world.gateway.sensors["polar"].flush()
    await world.gateway.store.drain()
    chunks = world.gateway.store.tables.raw_chunks.between(
        world.row_no("polar"), world.gateway.boot_no, 0, 1 << 60
    )
    return [(packet.payload, packet.last_beat_boot_ns) for chunk in chunks for packet in chunk.packets]


def test_rates_and_intervals_are_kept_as_of_the_plain_strap(tmp_path: Path) -> None:
    async def told(world: World) -> list[tuple[bytes, int]]:
        return await kept(world, 600.0)

    (packets, _) = play(tmp_path / "polar", told)

    class Unstreamed(HeartRateStrap):
        """Says of its contact as little as an H10."""

        def _packet(self, *args: Any) -> heart_rate.HeartRateMeasurement:
            packet = super()._packet(*args)
            return heart_rate.HeartRateMeasurement(packet.heart_rate_bpm, rr_ticks=packet.rr_ticks)

    async def plain() -> list[tuple[bytes, int]]:
        strap = Sensor(id="polar", kind="heart_rate", address=ADDRESS)

        def bodies(air: Air) -> list[HeartRateStrap]:
            return [Unstreamed(air, ADDRESS, Heart(3), begin_s=5.0)]

        async with open_world(home_of(strap), tmp_path / "plain", bodies=bodies) as world:
            return await kept(world, 600.0)

    expected = run(plain())
    assert len(packets) > 590
    assert [payload for payload, _ in packets] == [payload for payload, _ in expected]
    apart_ms = np.array([at - other for (_, at), (_, other) in zip(packets, expected, strict=True)]) / 1e6
    assert np.abs(apart_ms).max() < 30.0  # the radio carries more


def test_the_beats_of_the_ecg_are_those_of_the_heart(tmp_path: Path) -> None:
    async def told(world: World) -> tuple[Any, SensorKnown]:
        await world.until_s(400.0)
        ecg = polar_of(world)._insight._ecg
        assert ecg is not None
        assert ecg.ahead_ns is not None
        clock_s = world.gateway.clock.boot_ns() / 1e9 - asyncio.get_running_loop().time()
        return ecg.beats_s + ecg.ahead_ns / 1e9 - clock_s, known(world)

    (beats_s, sensor), body = play(tmp_path, told)
    truth_s = np.array(body.beat_times.at_s) + 5.0
    nearest_s = truth_s[np.abs(truth_s[:, None] - beats_s).argmin(axis=0)]
    late_s = beats_s - nearest_s
    # The simulated radio is quick: a frame is here when its last sample was taken.
    assert np.abs(late_s).max() <= 0.010
    inside = (truth_s >= beats_s[0] - 0.3) & (truth_s <= beats_s[-1] + 0.3)
    assert len(beats_s) == inside.sum() > 200
    assert sensor.rhythm is not None
    ecg = sensor.rhythm.ecg
    assert isinstance(ecg, EcgKnown)
    assert ecg.confirmed_pct == 100.0
    assert ecg.intervals > 200
    assert ecg.quality_pct == 100.0
    assert ecg.age_s < 3.0
    last_minute = truth_s[(truth_s > beats_s[-1] - 100.0) & (truth_s <= beats_s[-1])]
    assert ecg.rate_bpm == pytest.approx(60.0 / np.diff(last_minute).mean(), rel=0.05)


def test_intervals_that_the_heart_did_not_have_are_not_confirmed(tmp_path: Path) -> None:
    """A strap that makes intervals up: the ECG knows nothing of them."""

    class Inventive(PolarSensor):
        def _packet(self, *args: Any) -> heart_rate.HeartRateMeasurement:
            packet = super()._packet(*args)
            ticks = tuple(
                round(tick * (0.8 if n % 2 else 1.2)) for n, tick in enumerate(packet.rr_ticks or ())
            )
            return heart_rate.HeartRateMeasurement(packet.heart_rate_bpm, rr_ticks=ticks or None)

    async def main() -> EcgKnown | None:
        def bodies(air: Air) -> list[PolarSensor]:
            return [Inventive(air, ADDRESS, Heart(3), begin_s=5.0)]

        async with open_world(home_of(POLAR), tmp_path, bodies=bodies) as world:
            await world.until_s(400.0)
            rhythm = known(world).rhythm
            assert rhythm is not None
            return rhythm.ecg

    ecg = run(main())
    assert ecg is not None
    assert ecg.intervals > 200
    assert ecg.confirmed_pct is not None
    assert ecg.confirmed_pct < 20.0
    assert ecg.quality_pct == 100.0


@pytest.mark.parametrize(
    "form",
    [{"form": H10}, {"form": OH1}, {"form": OH1, "true_rates_hz": {ACC: 21.2}}, {"splits_settings": True}],
    ids=["h10", "oh1", "a rate that is not the named one", "settings in two parts"],
)
def test_who_moves_is_active_and_who_lies_still_rests_whatever_the_heart_does(
    tmp_path: Path, form: dict[str, Any]
) -> None:
    # The heart is fast all the time: by its rate alone nobody would ever rest.
    fast = iter([60_000 / 105] * 20_000)

    async def told(world: World) -> list[tuple[float, Rest]]:
        seen = []
        for minute in range(30):
            await world.until_s(60.0 * minute + 30.0)
            seen.append((minute, known(world).rest))
        return seen

    # It is put on 55 s before midnight.
    seen, _ = play(tmp_path, told, beats=fast, moves=moving((655.0, 955.0)), **form)
    said = dict(seen)
    assert {said[minute] for minute in range(6, 10)} == {Rest.RESTING}
    assert {said[minute] for minute in range(13, 24)} == {Rest.ACTIVE}
    assert {said[minute] for minute in range(27, 30)} == {Rest.RESTING}


def test_without_acceleration_rest_is_told_by_the_heart(tmp_path: Path) -> None:
    async def told(world: World) -> Rest:
        await world.until_s(900.0)
        return known(world).rest

    fast = iter([60_000 / 105] * 5000)
    scenario = home_of(POLAR, gateway={})
    scenario = with_streams(scenario, "ecg")
    found, body = play(tmp_path, told, beats=fast, scenario=scenario)
    assert found is Rest.ACTIVE
    assert ACC not in body.running


def with_streams(scenario: Scenario, *names: str) -> Scenario:
    """The scenario whose sensor is to stream these."""

    class Asking(Scenario):
        def gateway_text(self) -> str:
            listed = ", ".join(f'"{name}"' for name in names)
            return super().gateway_text().replace('kind = "polar"', f'kind = "polar"\nstreams = [{listed}]')

    return Asking(**{name: getattr(scenario, name) for name in scenario.__struct_fields__})


def test_streams_that_nobody_asks_for_are_not_started(tmp_path: Path) -> None:
    async def told(world: World) -> tuple[set[int], dict[str, str]]:
        await world.until_s(60.0)
        return set(body_of(world).running), dict(polar_of(world).live().streams)

    (running, said), _ = play(tmp_path, told, scenario=with_streams(home_of(POLAR), "acc"))
    assert running == {ACC}
    assert said == {"acc": "streaming"}


def test_an_oh1_has_the_intervals_of_its_pulse_and_no_rate_off_the_skin(tmp_path: Path) -> None:
    async def told(world: World) -> tuple[list[tuple[bytes, int]], list[Any]]:
        packets = await kept(world, 600.0)
        body_of(world).is_on_skin = False
        await world.until_s(660.0)
        return packets, [known(world).values["heart_rate"].not_counted, known(world).worn]

    (packets, off_skin), body = play(tmp_path, told, form=OH1)
    ticks = [t for p, _ in packets for t in heart_rate.decode(p).rr_ticks or ()]
    truth_ms = np.diff(np.array(body.beat_times.at_s))
    sent_ms = np.array(ticks) / 1.024
    # They begin 25 s after they were asked for, and are all there from then on.
    first = next(n for n in range(80) if abs(1000 * truth_ms[n : n + 5] - sent_ms[:5]).max() < 1.6)
    assert np.abs(1000 * truth_ms[first : first + len(sent_ms)] - sent_ms).max() < 1.6
    assert len(ticks) > 600
    assert off_skin == ["not worn", False]


def test_a_small_mtu_is_said_and_the_rate_comes_all_the_same(tmp_path: Path) -> None:
    def narrow(body: PolarSensor) -> None:
        body.device.gatt_server.max_mtu = 100

    async def told(world: World) -> tuple[dict[str, str], int, str]:
        await world.until_s(300.0)
        return dict(polar_of(world).live().streams), polar_of(world).live().records, known(world).phase

    (said, packets, phase), body = play(tmp_path, told, prepare=narrow)
    assert said["ecg"] == "the link carries 100 octets at a time, a stream needs 232"
    assert packets > 280
    assert phase == "streaming"
    assert body.refused == {}


def test_a_stream_that_the_sensor_stops_is_started_again_with_growing_pauses(tmp_path: Path) -> None:
    async def told(world: World) -> list[float]:
        await world.until_s(60.0)
        body, pauses = body_of(world), []
        for _ in range(5):
            stopped_s = world.now_s
            body.stop_stream(ECG)
            while ECG not in body.running:
                await world.for_s(0.5)
            pauses.append(world.now_s - stopped_s)
            await world.for_s(5.0)
        await world.for_s(300.0)
        stopped_s = world.now_s
        body.stop_stream(ECG)
        while ECG not in body.running:
            await world.for_s(0.5)
        return [*pauses, world.now_s - stopped_s]

    pauses, _ = play(tmp_path, told)
    assert pauses == sorted(pauses[:5]) + pauses[5:]
    assert pauses[0] < 4.0
    assert pauses[4] > 20.0
    assert pauses[5] < 4.0, "a stream that held is started again soon"


def test_after_links_that_drop_everything_streams_again(tmp_path: Path) -> None:
    async def told(world: World) -> tuple[set[int], EcgKnown | None]:
        for _ in range(5):
            await world.for_s(60.0)
            world.air.lose_link(ADDRESS)
        await world.for_s(240.0)
        rhythm = known(world).rhythm
        return set(body_of(world).running), rhythm.ecg if rhythm else None

    (running, ecg), body = play(tmp_path, told)
    assert running == {ECG, ACC}
    assert ecg is not None
    assert ecg.age_s < 3.0
    # What runs since an earlier link is stopped first: a start never meets it.
    assert Status.INVALID_PARAMETER not in body.refused


def test_the_next_life_takes_over_what_a_killed_one_left_running(tmp_path: Path) -> None:
    async def told(world: World) -> tuple[set[int], list[str]]:
        for _ in range(3):
            await world.for_s(45.0)
            await world.machine.kill()
            assert set(body_of(world).running) == {ECG, ACC}, "nobody has stopped them"
            world.machine.start()
        await world.for_s(45.0)
        return set(body_of(world).running), list(polar_of(world).live().streams.values())

    (running, said), _ = play(tmp_path, told)
    assert running == {ECG, ACC}
    assert said == ["streaming", "streaming", "the sensor has none"]


def test_what_is_wanted_no_longer_is_stopped_by_the_next_life(tmp_path: Path) -> None:
    async def told(world: World) -> set[int]:
        await world.for_s(45.0)
        await world.machine.kill()
        world.configure(with_streams(home_of(POLAR), "acc"))
        world.machine.start()
        await world.for_s(45.0)
        return set(body_of(world).running)

    running, _ = play(tmp_path, told)
    assert running == {ACC}


def test_hostile_frames_are_counted_and_harm_nothing(tmp_path: Path) -> None:
    hostile = [
        "",
        "00",
        "00e803000000000000",
        "00ffffffffffffffff00d20400",  # a time in the year 2584
        "000000000000000000000102",  # no whole sample
        "00e80300000000000009000000",  # a type that nobody knows
        "02e803000000000000817107f06a9e8d0a38be",  # a block that is longer than the frame
        "02e8030000000000008171072100",  # a difference of 33 bits
        "02e80300000000000081" + "7107f06a9e8d" + "00ff" * 200,  # 51,000 samples of nothing
        "01e803000000000000000000",  # nobody asked for it
        "3fe803000000000000000000",
        "03000000000000000000" + "00" * 6,
    ]

    async def told(world: World) -> tuple[int, SensorKnown, int]:
        await world.until_s(300.0)
        body = body_of(world)
        for _ in range(20):
            for frame in hostile:
                body.say_data(bytes.fromhex(frame))
            await world.for_s(1.0)
        await world.for_s(280.0)
        return world.gateway.intake.undecodable["polar"], known(world), polar_of(world).live().records

    (undecodable, sensor, packets), _ = play(tmp_path, told)
    assert undecodable == 20 * 9
    assert sensor.phase == "streaming"
    assert packets > 590
    assert sensor.rhythm is not None
    assert sensor.rhythm.ecg is not None
    assert sensor.rhythm.ecg.confirmed_pct is not None
    assert sensor.rhythm.ecg.confirmed_pct > 50.0


def test_a_clock_that_is_set_back_costs_seconds(tmp_path: Path) -> None:
    async def told(world: World) -> EcgKnown | None:
        await world.until_s(400.0)
        rhythm = known(world).rhythm
        return rhythm.ecg if rhythm else None

    ecg, _ = play(tmp_path, told, clock_steps_back=True)
    assert ecg is not None
    assert ecg.age_s < 3.0
    assert ecg.confirmed_pct is not None
    assert ecg.confirmed_pct > 90.0


def test_the_window_says_what_the_streams_said(tmp_path: Path) -> None:
    async def told(world: World) -> list[dict[str, Any]]:
        await world.until_s(2400.0)
        return [summary.body for summary in world.gateway.store.tables.summaries.between("heart_5min")]

    # It is put on 55 s before midnight: two windows of movement.
    bodies, _ = play(tmp_path, told, moves=moving((955.0, 1555.0)))
    still = [body["still_pct"] for body in bodies]
    assert len(still) == 8
    assert min(still[1:3]) == 100.0
    assert still[3] > 85.0
    assert max(still[4:6]) < 15.0
    assert min(still[6:]) > 85.0
    assert {body["ecg_confirmed_pct"] for body in bodies[1:]} == {100.0}
    assert {body["ecg_quality_pct"] for body in bodies[1:]} == {100.0}


def test_what_is_chosen_of_what_is_offered() -> None:
    assert streams.chosen({0: (200, 100, 50, 25), 1: (16,), 2: (2, 4, 8)}, 25) == {0: 25, 1: 16, 2: 8}
    assert streams.chosen({0: (10, 20), 4: (3,), 5: (0.5,)}, 25) == {0: 20, 4: 3}
    assert streams.chosen({}, 130) == {}
    assert math.isfinite(streams.PAUSE_S_MAX)
