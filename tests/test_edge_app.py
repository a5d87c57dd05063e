"""What only the composed gateway does."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, DeafScanner, StillClock, minimal_config
from history_parts import packet
from store_parts import crashed, frame_at

from edge.app import Gateway
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
