"""What only the composed gateway does."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, DeafScanner, StillClock, minimal_config
from history_parts import packet
from store_parts import crashed, frame_at

from edge.app import Gateway
from edge.config import Config
from edge.radio.adapter import Radio
from edge.store.raw_chunks import HeartChunk
from edge.workers import inline
from hw_sim.clock import VirtualClock, run
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
        strap = next(row.no for row in gateway.rows if row.id == "strap")
        chunk = HeartChunk(
            strap, gateway.boot_no, (packet(10.0, HeartRateMeasurement(60, rr_ticks=(1024,))),)
        )
        running = asyncio.ensure_future(gateway.run())
        await gateway.store.write(lambda tables: gateway.periods.keep_chunks(tables, [chunk]))
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
async def running(config: Config) -> AsyncIterator[Gateway]:
    """A gateway that hears nothing, on a clock that is right."""
    config.upstream.directory.mkdir()
    clock = VirtualClock(MIDNIGHT_UTC_S * 10**9, "boot-1", 500)
    radio = Radio(DeafScanner)
    gateway = Gateway(config, clock, radio, random.Random(1), simulated=True, workers=inline())
    task = asyncio.ensure_future(gateway.run())
    yield gateway
    task.cancel()
    await asyncio.wait({task})
    gateway.close()


def test_a_sensor_that_is_never_heard_raises_an_alert(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(minimal_config(tmp_path)) as gateway:
            await asyncio.sleep(500)
            assert gateway.store.tables.alerts.open() == []
            await asyncio.sleep(800)
            alerts = gateway.store.tables.alerts.open()
            assert {alert.kind for alert in alerts} == {"heart_rate_silence", "cgm_silence"}

    run(scenario())


def test_what_is_older_than_it_is_kept_is_deleted(tmp_path: Path) -> None:
    text = {"[[people]]": "[limits]\nraw_retention_days = 1\n[[people]]"}

    async def scenario() -> None:
        async with running(minimal_config(tmp_path, **text)) as gateway:
            strap = next(row.no for row in gateway.rows if row.id == "strap")
            beat = packet(-23 * 3600.0, HeartRateMeasurement(60, rr_ticks=(1024,)))
            chunk = HeartChunk(strap, gateway.boot_no, (beat,))
            await gateway.store.write(lambda tables: gateway.periods.keep_chunks(tables, [chunk]))
            await asyncio.sleep(3590)
            assert gateway.store.tables.raw_chunks.newest(strap) is not None
            await asyncio.sleep(3620)
            assert gateway.store.tables.raw_chunks.newest(strap) is None

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
