"""The simulated Polar sensor through the public bleak API: what it refuses, what it streams, and how long."""

import asyncio
import math

import numpy as np
import pytest
from bleak import BleakClient
from bleak.exc import BleakGATTProtocolError

from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central
from hw_sim.sensors.polar_sensor import H10, OH1, PolarSensor
from hw_sim.sensors.polar_signals import GRAVITY_MG, BeatTimes, delta_frame, ecg_uv, moving
from protocols import heart_rate, polar, polar_samples, uuids
from protocols.polar import FRAME, MeasurementType

ADDRESS = "F0:00:00:00:00:07"
GET_ECG, START_ECG, STOP_ECG = "0100", "02000001820001010e00", "0300"
START_ACC = "02020001190001011000020108" + "00"
START_OH1_ACC = "0202000134000101100002010800040103"


class Client:
    """What a client hears."""

    def __init__(self, client, sensor):
        self.client, self.sensor = client, sensor
        self.said, self.frames, self.packets = [], [], []

    async def listen(self):
        now_s = asyncio.get_running_loop().time
        await self.client.start_notify(uuids.PMD_CONTROL_POINT, lambda _, p: self.said.append(bytes(p).hex()))
        await self.client.start_notify(
            uuids.PMD_DATA, lambda _, p: self.frames.append((now_s(), FRAME.decode(bytes(p))))
        )
        await self.client.start_notify(
            uuids.HEART_RATE_MEASUREMENT, lambda _, p: self.packets.append(heart_rate.decode(bytes(p)))
        )

    async def say(self, request, wait_s=1.0):
        await self.client.write_gatt_char(uuids.PMD_CONTROL_POINT, bytes.fromhex(request), response=True)
        await asyncio.sleep(wait_s)


def meet(talk, mtu=None, **sensor):
    async def main():
        air = Air()
        body = PolarSensor(air, ADDRESS, iter([800.0] * 5000), begin_s=0.0, **sensor)
        if mtu is not None:
            body.device.gatt_server.max_mtu = mtu
        await body.start()
        central = await open_central(air, bonds=None)
        async with BleakClient(ADDRESS, backend=central.client_backend) as client:
            told = Client(client, body)
            await talk(told)
        told.central = central
        return told

    return run(main())


def test_it_says_what_it_can_and_what_it_offers():
    async def talk(c):
        await c.listen()
        features = polar.decode_features(bytes(await c.client.read_gatt_char(uuids.PMD_CONTROL_POINT)))
        assert [kind for kind in MeasurementType if features.supports(kind)] == [0, 2]
        await c.say(GET_ECG)
        await c.say("0101")

    assert meet(talk).said == ["f0010000000001820001010e00", "f0010103" + "00"]


def test_a_control_point_written_too_soon_is_refused():
    async def talk(c):
        with pytest.raises(BleakGATTProtocolError):
            await c.say(GET_ECG)
        await c.client.start_notify(uuids.PMD_CONTROL_POINT, lambda *_: None)
        with pytest.raises(BleakGATTProtocolError):
            await c.say(GET_ECG)

    meet(talk)


def test_a_small_mtu_and_what_runs_already_are_refused():
    async def narrow(c):
        await c.listen()
        await c.say(START_ECG)

    assert meet(narrow, mtu=231).said == ["f002000a00"]

    async def twice(c):
        await c.listen()
        for request in (STOP_ECG, START_ECG, START_ECG, STOP_ECG):
            await c.say(request)

    assert meet(twice).said == ["f003000600", "f002000000", "f002000600", "f003000000"]


@pytest.mark.parametrize("request_hex", ["0200", "02000001830001010e00", "0200000182000101", "020000"])
def test_settings_that_it_does_not_offer_are_refused(request_hex):
    async def talk(c):
        await c.listen()
        await c.say(request_hex)
        assert c.sensor.running == {}

    assert meet(talk).said == ["f002000500"]


def test_settings_may_come_in_two_parts():
    async def talk(c):
        await c.listen()
        await c.say(GET_ECG)

    assert meet(talk, splits_settings=True).said == ["f001000001" + "0001820001", "f001000000" + "010e00"]


def test_a_stream_outlives_its_link_until_it_is_stopped():
    async def talk(c):
        await c.listen()
        await c.say(START_ECG, 5.0)

    told = meet(talk)
    assert set(told.sensor.running) == {MeasurementType.ECG}


def test_an_ecg_has_the_beats_of_the_heart_at_the_time_of_its_stamps():
    async def talk(c):
        await c.listen()
        await c.say(START_ECG, 30.0)

    told = meet(talk)
    frames = [frame for _, frame in told.frames]
    assert {len(frame.content) for frame in frames} == {219}
    stamps_s = np.array([frame.timestamp_ns for frame in frames]) / 1e9
    assert np.diff(stamps_s) == pytest.approx(73 / 130.16, abs=1e-6)
    arrived_s = np.array([at_s for at_s, _ in told.frames])
    assert np.ptp(arrived_s - stamps_s) < 0.05
    samples = np.concatenate([polar_samples.samples(frame)[:, 0] for frame in frames])
    at_s = arrived_s[0] + (np.arange(samples.size) - 72) / 130.16
    peaks_s = at_s[1:-1][
        (samples[1:-1] > 700) & (samples[1:-1] >= samples[2:]) & (samples[1:-1] > samples[:-2])
    ]
    assert len(peaks_s) > 30
    assert np.abs(peaks_s / 0.8 - np.rint(peaks_s / 0.8)).max() * 0.8 < 0.06


@pytest.mark.parametrize(("form", "start"), [(H10, START_ACC), (OH1, START_OH1_ACC)], ids=["h10", "oh1"])
def test_acceleration_is_that_of_the_wearer(form, start):
    async def talk(c):
        await c.listen()
        await c.say(start, 20.0)

    told = meet(talk, form=form, moves=moving((10.0, 99.0)))
    factor = 1.0
    if form.factor is not None:
        factor = polar.decode_settings(bytes.fromhex(told.said[0])[5:])[polar.Setting.FACTOR][0]
    assert {frame.compressed for _, frame in told.frames} == {form.factor is not None}
    rows = [(at_s, polar_samples.scaled(frame, factor)) for at_s, frame in told.frames]
    calm = np.concatenate([row for at_s, row in rows if at_s < 9.0])
    assert calm.mean(axis=0) == pytest.approx([0.0, 0.0, GRAVITY_MG], abs=3.0)
    assert calm.std() < 500
    assert np.concatenate([row for at_s, row in rows if at_s > 13.0])[:, 2].std() > 150.0


def test_pulse_intervals_come_late_and_tell_of_movement_and_contact():
    async def talk(c):
        await c.listen()
        await c.say("0203", 24.0)
        assert c.frames == []
        await asyncio.sleep(30.0)
        c.sensor.is_on_skin = False
        await asyncio.sleep(10.0)

    told = meet(talk, form=OH1, moves=moving((40.0, 45.0)))
    rows = np.concatenate([polar_samples.samples(frame) for _, frame in told.frames]).tolist()
    assert {row[1] for row in rows} == {800}
    assert {row[3] for row in rows} == {6, 7, 4}
    # And its rate is told off the skin, too, without a word about contact.
    assert {packet.contact for packet in told.packets} == {None}
    assert {packet.rr_ticks for packet in told.packets} == {None}
    assert told.packets[-1].heart_rate_bpm == 75


def test_the_rate_of_an_oh1_stands_still_while_its_wearer_moves():
    async def talk(c):
        await c.listen()
        await asyncio.sleep(60.0)

    told = meet(talk, form=OH1, moves=moving((5.0, 55.0)))
    rates = [packet.heart_rate_bpm for packet in told.packets]
    assert len(set(rates[6:50])) == 1


def test_a_stream_that_it_stops_it_tells_of():
    async def talk(c):
        await c.listen()
        await c.say(START_ECG)
        c.sensor.stop_stream(0)
        await asyncio.sleep(1.0)
        assert c.sensor.running == {}

    assert meet(talk).said[-1] == "0100"


def test_delta_frames_are_decoded_to_what_they_were_made_of():
    rng = np.random.default_rng(3)
    for spread in (0, 1, 100, 30_000):
        rows = rng.integers(-spread, spread + 1, (36, 3)).tolist()
        frame = polar.Frame(MeasurementType.ACCELERATION, 0, 1, True, delta_frame(rows, 2))
        assert polar_samples.samples(frame).tolist() == rows


def test_an_ecg_has_no_memory():
    beats = BeatTimes(iter([800.0] * 100))
    at_s = np.arange(200) / 130.0
    once = ecg_uv(beats, at_s, 1)
    assert ecg_uv(beats, at_s, 1).tolist() == once.tolist() != ecg_uv(beats, at_s, 2).tolist()
    assert math.isclose(beats.at_s[1], 1.6)
