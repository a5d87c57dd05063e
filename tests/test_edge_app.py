"""What only the composed gateway does."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, DeafScanner, StillClock, minimal_config
from history_parts import packet
from store_parts import crashed, frame_at

from edge.app import Gateway
from edge.config import Config
from edge.local import control
from edge.radio.adapter import Radio
from edge.radio.inbox import Notification
from edge.store.raw_chunks import HeartChunk
from edge.workers import InlineWorker, Workers, inline
from hw_sim.clock import VirtualClock, run
from hw_sim.disk import SimulatedDisk
from protocols import heart_rate, uuids
from protocols.heart_rate import HeartRateMeasurement


@pytest.mark.parametrize("error_ms", [None, 150_000])
def test_what_could_not_be_closed_is_closed_once_the_clock_is_sure(
    tmp_path: Path, error_ms: int | None
) -> None:
    async def scenario() -> None:
        clock = VirtualClock(MIDNIGHT_UTC_S * 10**9, "boot-1", error_ms)
        (tmp_path / "upstream").mkdir()
        gateway = Gateway(
            minimal_config(tmp_path),
            clock,
            Radio(DeafScanner),
            random.Random(1),
            simulated=True,
            workers=inline(),
        )
        running = asyncio.ensure_future(gateway.run())
        await keep_beat(gateway, 10.0)
        await asyncio.sleep(1000)
        assert gateway.store.tables.summaries.between("heart_5min") == []
        clock.error_ms = 500
        await asyncio.sleep(3600)
        assert len(gateway.store.tables.summaries.between("heart_5min")) == 1
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        gateway.close()

    run(scenario())


@asynccontextmanager
async def running(
    config: Config, clock: VirtualClock | None = None, workers: Workers | None = None
) -> AsyncIterator[Gateway]:
    """A gateway that hears nothing, on a clock that is right unless another is given."""
    config.upstream.directory.mkdir(exist_ok=True)
    clock = clock or VirtualClock(MIDNIGHT_UTC_S * 10**9, "boot-1", 500)
    radio = Radio(DeafScanner)
    workers = workers or inline()
    gateway = Gateway(config, clock, radio, random.Random(1), simulated=True, workers=workers)
    task = asyncio.ensure_future(gateway.run())
    yield gateway
    task.cancel()
    await asyncio.wait({task})
    gateway.close()


def strap_no(gateway: Gateway) -> int:
    return next(row.no for row in gateway.rows if row.id == "strap")


async def keep_beat(gateway: Gateway, arrival_s: float) -> None:
    """Have a packet of the strap in the store."""
    beat = packet(arrival_s, HeartRateMeasurement(60, rr_ticks=(1024,)))
    chunk = HeartChunk(strap_no(gateway), gateway.boot_no, (beat,))
    await gateway.store.write(lambda tables: gateway.periods.keep_chunks(tables, [chunk]))


def take_beat(gateway: Gateway) -> None:
    """The strap sends a packet at this moment."""
    payload = heart_rate.encode(HeartRateMeasurement(60, rr_ticks=(1024,)))
    uuid = uuids.HEART_RATE_MEASUREMENT
    gateway.sensors["strap"].take(Notification("strap", 1, uuid, gateway.clock.boot_ns(), payload))


def test_a_sensor_that_is_never_heard_raises_an_alert(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(minimal_config(tmp_path)) as gateway:
            await asyncio.sleep(500)
            assert gateway.store.tables.alerts.open() == []
            await asyncio.sleep(800)
            alerts = gateway.store.tables.alerts.open()
            assert {alert.rule for alert in alerts} == {"heart_rate_silence", "cgm_silence"}

    run(scenario())


def test_what_is_older_than_it_is_kept_is_deleted(tmp_path: Path) -> None:
    text = {"[[people]]": "[limits]\nraw_retention_days = 1\n[[people]]"}

    async def scenario() -> None:
        async with running(minimal_config(tmp_path, **text)) as gateway:
            strap = strap_no(gateway)
            await keep_beat(gateway, -23 * 3600.0)
            await asyncio.sleep(3590)
            assert gateway.store.tables.raw_chunks.newest(strap) is not None
            await asyncio.sleep(3620)
            assert gateway.store.tables.raw_chunks.newest(strap) is None

    run(scenario())


def test_nothing_is_deleted_by_a_clock_that_nobody_vouches_for(tmp_path: Path) -> None:
    config = minimal_config(tmp_path, **{"[[people]]": "[limits]\nraw_retention_days = 1\n[[people]]"})
    ahead = VirtualClock((MIDNIGHT_UTC_S + 30 * 86_400) * 10**9, "boot-2", None)

    async def scenario() -> None:
        async with running(config) as gateway:
            await keep_beat(gateway, 10.0)
        async with running(config, ahead) as gateway:
            strap = strap_no(gateway)
            await asyncio.sleep(2 * 3600)
            assert gateway.store.tables.raw_chunks.newest(strap) is not None
            ahead.error_ms = 500
            await asyncio.sleep(2 * 3600)
            assert gateway.store.tables.raw_chunks.newest(strap) is None

    run(scenario())


def test_a_period_is_closed_and_sent_when_it_is_over(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)

    async def scenario() -> None:
        async with running(config) as gateway:
            await asyncio.sleep(301)
            await keep_beat(gateway, 200.0)
            await asyncio.sleep(85)
            assert gateway.store.tables.summaries.between("heart_5min") == []
            await asyncio.sleep(10)
            assert len(gateway.store.tables.summaries.between("heart_5min")) == 1
            assert len(list(config.upstream.directory.glob("*.json"))) == 1

    run(scenario())


def test_a_period_that_an_earlier_process_left_open_is_closed_when_it_is_over(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)

    async def scenario() -> None:
        async with running(config) as gateway:
            await keep_beat(gateway, 10.0)
            await asyncio.sleep(100)
        async with running(config) as gateway:
            await asyncio.sleep(300)
            assert len(gateway.store.tables.summaries.between("heart_5min")) == 1

    run(scenario())


def test_a_period_is_closed_with_the_packets_that_are_still_open(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(minimal_config(tmp_path)) as gateway:
            await keep_beat(gateway, 10.0)
            await asyncio.sleep(290)
            take_beat(gateway)
            await asyncio.sleep(1000)
            (summary,) = gateway.store.tables.summaries.between("heart_5min")
            assert (summary.body["beats"], summary.rev) == (2, 1)

    run(scenario())


def test_what_is_open_in_memory_is_stored_on_the_way_out(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)

    async def scenario() -> None:
        slow = Workers(SimulatedDisk(1, delay_s=(1.0, 2.0)), InlineWorker(), InlineWorker())
        async with running(config, workers=slow) as gateway:
            await asyncio.sleep(100)
            take_beat(gateway)
        async with running(config) as gateway:
            chunk = gateway.store.tables.raw_chunks.newest(strap_no(gateway))
            assert chunk is not None
            assert [packet.arrival_boot_ns for packet in chunk.packets] == [100 * 10**9]

    run(scenario())


def test_silence_counts_from_what_an_earlier_process_stored(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)

    async def scenario() -> None:
        async with running(config) as gateway:
            await keep_beat(gateway, 10.0)
            await asyncio.sleep(500)
        async with running(config) as gateway:
            await asyncio.sleep(100)
            assert gateway.alerts.shown() == []
            await asyncio.sleep(50)
            assert [one.rule for one in gateway.alerts.shown()] == ["heart_rate_silence"]

    run(scenario())


def test_a_running_gateway_can_be_asked(tmp_path: Path) -> None:
    config = minimal_config(tmp_path)

    async def scenario() -> None:
        async with running(config):
            await asyncio.sleep(1)
            answer = await asyncio.to_thread(control.ask, config.gateway.state_dir, {"do": "status"})
            assert answer is not None
            assert msgspec.json.decode(answer)["running"] is True

    run(scenario())


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (-4, "the log of the database was damaged and what followed the damage is lost; a copy is kept as "),
        (0, "the database was damaged and is set aside as "),
    ],
)
def test_a_line_says_where_damage_of_the_log_is_kept(
    tmp_path: Path, frame: int, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = crashed(tmp_path)
    log = path.with_name("store.db-wal")
    content = bytearray(log.read_bytes())
    content[frame_at(frame) if frame >= 0 else len(content) + frame_at(frame) - 32] ^= 1
    log.write_bytes(content)
    config = minimal_config(tmp_path, **{'"state"': '"crashed"'})
    IDENTITY.keep(config.key_file)
    gateway = Gateway(
        config,
        StillClock(),
        Radio(DeafScanner),
        random.Random(1),
        simulated=True,
        workers=inline(),
    )
    gateway.close()
    (error,) = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert error.startswith(f"{line}{path.parent}")
