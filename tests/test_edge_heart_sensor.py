"""A strap's packets are kept whole, with arrival and last beat, whatever they say."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from edge_parts import minimal_config, open_store

from edge.heart_sensor import NO_BEAT, HeartSensor
from edge.inbox import Inbox, Notification
from edge.pipeline import Pipeline
from edge.radio import Radio
from edge.session import Session
from edge.store import Store
from edge.window import packets
from hw_sim.air import Air
from hw_sim.central import open_central
from hw_sim.clock import VirtualClock, run
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import heart_rate, uuids
from protocols.errors import DecodeError
from protocols.heart_rate import HeartRateMeasurement

S = 10**9


def strap(directory: Path, **replacements: str) -> tuple[HeartSensor, Store]:
    config = minimal_config(directory, **replacements)
    store = open_store(config)
    return HeartSensor(config.sensors[0], store, "boot-1", stale_s=15.0), store


def packet(
    boot_s: float, bpm: int = 60, rr_ticks: tuple[int, ...] | None = None, **more: Any
) -> Notification:
    payload = heart_rate.encode(HeartRateMeasurement(bpm, rr_ticks=rr_ticks, **more))
    return Notification("strap", uuids.HEART_RATE_MEASUREMENT, round(boot_s * S), payload)


def kept(store: Store) -> list[tuple[bytes, int, int]]:
    return [p for chunk in store.chunks_between("strap", "boot-1", 0, 1 << 62) for p in packets(chunk)]


def test_a_chunk_gives_back_every_packet(tmp_path: Path) -> None:
    sensor, store = strap(tmp_path)
    sent = [packet(n + 1, 60, (1024,) if n % 2 else None, energy_kj=n) for n in range(20)]
    for n, each in enumerate(sent):
        sensor.take(each)
        if n % 7 == 6:
            sensor.flush()
    sensor.flush()
    sensor.flush()  # nothing is open: no empty chunk
    chunks = store.chunks_between("strap", "boot-1", 0, 1 << 62)
    assert [chunk.packets for chunk in chunks] == [7, 7, 6]
    assert [(chunk.first_boot_ns, chunk.last_boot_ns) for chunk in chunks] == [
        (1 * S, 7 * S),
        (8 * S, 14 * S),
        (15 * S, 20 * S),
    ]
    assert [(payload, arrival) for payload, arrival, _ in kept(store)] == [
        (n.payload, n.boot_ns) for n in sent
    ]
    assert [beat == NO_BEAT for *_, beat in kept(store)] == [n % 2 == 0 for n in range(20)]
    assert sensor.packets == 20


def test_nothing_is_stored_before_the_flush_and_a_new_process_does_not_see_it(tmp_path: Path) -> None:
    sensor, store = strap(tmp_path)
    sensor.take(packet(1))
    assert kept(store) == []


@pytest.mark.parametrize(
    "payload", [b"", b"\x10\x3c", b"\x10", b"\x00\x3c\x00", b"\x11\x3c", b"\x10\x3c\x00"]
)
def test_garbage_changes_nothing(tmp_path: Path, payload: bytes) -> None:
    sensor, store = strap(tmp_path)
    sensor.take(packet(1, 61))
    with pytest.raises(DecodeError):
        sensor.take(Notification("strap", uuids.HEART_RATE_MEASUREMENT, 2 * S, payload))
    sensor.flush()
    assert [arrival for _, arrival, _ in kept(store)] == [1 * S]
    assert sensor.live is not None
    assert (sensor.live.boot_ns, sensor.live.heart_rate_bpm, sensor.packets) == (1 * S, 61, 1)


def test_an_interval_of_no_length_is_no_beat(tmp_path: Path) -> None:
    sensor, store = strap(tmp_path)
    sensor.take(packet(1, 60, (0,)))
    sensor.take(packet(2, 60, (0, 1024, 0)))
    sensor.take(packet(3, 60, (1024,)))
    sensor.flush()
    beats = [beat for *_, beat in kept(store)]
    assert beats[0] == NO_BEAT
    assert beats[1:] == [2 * S, 3 * S]


def test_a_new_link_starts_a_new_chain_of_beats(tmp_path: Path) -> None:
    async def main() -> list[int]:
        sensor, store = strap(tmp_path)
        sensor.take(packet(10.0, 60, (1024,)))
        sensor.take(packet(12.0, 60, (1024,)))  # a second late: its beat was at 11 s
        await sensor.converse(SilentLink())  # type: ignore[arg-type]
        sensor.take(packet(14.0, 60, (1024,)))
        sensor.flush()
        return [beat for *_, beat in kept(store)]

    first, second, third = run(main())
    assert (first, third) == (10 * S, 14 * S)
    assert second == pytest.approx(11 * S, abs=S // 1000)


class SilentLink:
    async def subscribe(self, _: str) -> None: ...

    async def battery_pct(self) -> None: ...


def test_status_tells_the_newest_packet_and_its_age(tmp_path: Path) -> None:
    sensor, _ = strap(tmp_path)
    nothing = {"heart_rate_bpm": None, "contact": None, "age_s": None, "packets": 0}
    assert sensor.live_status(5 * S) == nothing
    sensor.take(packet(1, 72, contact=True))
    sensor.take(packet(2, 0, contact=False))
    assert sensor.live_status(5 * S) == {"heart_rate_bpm": 0, "contact": False, "age_s": 3.0, "packets": 2}


def test_a_real_strap_comes_through_beat_for_beat(tmp_path: Path) -> None:
    rng = random.Random(7)
    truth_ms = [rng.uniform(600.0, 1100.0) for _ in range(400)]

    async def main() -> tuple[int, int, int | None, str, float]:
        sensor, store = strap(tmp_path, **{"A4:C1:38:00:00:01": "F0:00:00:00:00:01"})
        air = Air()
        body = HeartRateStrap(air, sensor.config.address, iter(truth_ms), begin_s=5.0, battery_pct=87)
        await body.start()
        central = await open_central(air, bonds=None)
        inbox, clock = Inbox(4096), VirtualClock(0, "boot-1")
        limits = minimal_config(tmp_path).limits
        radio = Radio(central.scanner_backend, central.client_backend)
        session = Session(sensor, radio, inbox, clock, limits, random.Random(1))
        tasks = [asyncio.ensure_future(t) for t in (session.run(), Pipeline(inbox, {"strap": sensor}).run())]
        await asyncio.sleep(500)  # the beats have ended long ago: worn no more, and still connected
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        sensor.flush()
        ticks = [t for payload, *_ in kept(store) for t in heart_rate.decode(payload).rr_ticks or ()]
        exact = sum(
            abs(heart_rate.rr_ms(t) - rr) > 1000 / 1024 for t, rr in zip(ticks, truth_ms, strict=True)
        )
        beats_s = [beat / S for *_, beat in kept(store) if beat != NO_BEAT]
        return len(ticks), exact, sensor.battery_pct, session.state.phase, beats_s[-1]

    count, wrong, battery_pct, phase, last_beat_s = run(main())
    assert (count, wrong, battery_pct, phase) == (400, 0, 87, "streaming")
    assert last_beat_s == pytest.approx(5.0 + sum(truth_ms) / 1000, abs=1.0)
