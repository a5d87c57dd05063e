"""A home: recordings come out of the air as they went in, bodies fill in, and the same seed is the same home."""

import asyncio
from itertools import accumulate
from pathlib import Path

from bleak import BleakClient

from hw_sim.clock import run
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central
from hw_sim.scenario import Home, SensorSpec
from protocols import cgm, heart_rate, racp, uuids
from tools.rig.home.recordings import read_glucose, read_heart

RECORDINGS = Path(__file__).parent / "recordings"
RR_MS = read_heart(RECORDINGS / "afdb_08219_rr.csv.gz").rr_ms
GLUCOSE = read_glucose(RECORDINGS / "azt1d_09_glucose.csv.gz")
STRAP, CGM = SensorSpec("heart_rate", "F0:00:00:00:00:01"), SensorSpec("cgm", "F0:00:00:00:00:02")


def listen(seconds, **options):
    async def main():
        air = Air()
        home = Home(air, [STRAP, CGM], begin_s=20.0, **options)
        await home.start()
        central = await open_central(air, bonds=None)
        ticks, records = [], []

        def on_heart_rate(_, payload):
            ticks.extend(heart_rate.decode(bytes(payload)).rr_ticks or ())

        def on_glucose(_, payload):
            records.extend(cgm.decode_measurements(bytes(payload), crc=True)[0])

        strap = BleakClient(STRAP.address, backend=central.client_backend)
        sensor = BleakClient(CGM.address, backend=central.client_backend, pair=True)
        async with strap, sensor:
            await strap.start_notify(uuids.HEART_RATE_MEASUREMENT, on_heart_rate)
            await sensor.start_notify(uuids.CGM_MEASUREMENT, on_glucose)
            await sensor.start_notify(uuids.RACP, lambda *_: None)
            report = racp.Request(racp.OpCode.REPORT, racp.Operator.ALL)
            await sensor.write_gatt_char(uuids.RACP, racp.encode_request(report), response=True)
            await asyncio.sleep(seconds)
        await home.stop()
        return home, ticks, records

    return run(main())


def test_recordings_arrive_as_they_are():
    hours = 1
    home, ticks, records = listen(hours * 3600 + 60, duration_s=hours * 3600.0, rr_ms=RR_MS, glucose=GLUCOSE)
    beats = [t for t in accumulate(RR_MS.tolist()) if t <= hours * 3_600_000]
    assert [abs(tick - ms * 1.024) <= 1 for tick, ms in zip(ticks, RR_MS, strict=False)] == [True] * len(
        beats
    )
    t_s, glucose_mg_dl = GLUCOSE
    wanted = [(int(t + 3600) // 60, g) for t, g in zip(t_s, glucose_mg_dl, strict=True) if t < hours * 3600]
    assert [(r.time_offset_min, r.glucose_mg_dl) for r in records] == wanted
    assert home.straps[0].rr_lost == 0


def test_a_glucose_sensor_with_a_history_brings_its_records():
    home, _, records = listen(600, duration_s=300.0, glucose=GLUCOSE, cgm_history_s=86_400.0)
    assert len(records) == home.cgms[0].taken == 274 + 1
    assert records == home.cgms[0].stored


def test_without_recordings_there_are_bodies_and_a_seed_is_a_home():
    first, again, other = (listen(1900, duration_s=1800.0, seed=seed) for seed in (1, 1, 2))
    assert first[1:] == again[1:]
    assert first[1] != other[1]
    assert first[2] != other[2]
    assert 1300 < len(first[1]) < 3600
    assert len(first[2]) == 6
