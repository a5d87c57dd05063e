"""A store, its clocks and what closes its periods, for the tests of `edge.history`; the test sets the time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, minimal_config, open_store, sensor_row

from edge.config import Config
from edge.history.periods import Periods
from edge.store.door import Store, Tables
from edge.store.raw_chunks import NO_BEAT, Columns, HeartChunk, Packet
from edge.store.readings import Reading
from edge.store.sessions import Session
from edge.store.summaries import Summary, SummaryKey
from edge.timekeeper import Timekeeper
from edge.workers import Workers
from hw_sim.clock import run
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement

S = 10**9
DAY_S = 86_400
GRACE_S = 90
T = TypeVar("T")

__all__ = ["DAY_S", "GRACE_S", "MIDNIGHT_UTC_S", "Box", "S", "SetClock", "packet", "play", "side_by_side"]


@dataclass
class SetClock:
    """A boot clock and a wall clock that the test moves; `error_ms` None: nothing vouches for the wall clock."""

    boot_s: float = 0.0
    zero_utc_s: float = MIDNIGHT_UTC_S
    error_ms: int | None = 0
    boot_id: str = "boot-1"

    def boot_ns(self) -> int:
        return round(self.boot_s * S)

    def utc_ns(self) -> int:
        return round(self.zero_utc_s * S) + self.boot_ns()

    def utc_error_ms(self) -> int | None:
        return self.error_ms


def packet(arrival_s: float, reading: HeartRateMeasurement, beat_s: float | None = None) -> Packet:
    """A packet that arrived so long after boot; its last beat was when it came, unless said."""
    beat_ns = round((arrival_s if beat_s is None else beat_s) * S)
    return Packet(heart_rate.encode(reading), round(arrival_s * S), beat_ns if reading.rr_ticks else NO_BEAT)


def side_by_side(packets: Iterable[Packet]) -> Columns:
    """Packets as the store gives them for a window, but for its rounding."""
    rows = [*packets]
    return Columns(
        np.array([packet.arrival_boot_ns for packet in rows], np.int64),
        np.array([packet.last_beat_boot_ns for packet in rows], np.int64),
        np.array([len(packet.payload) for packet in rows], np.int64),
        b"".join(packet.payload for packet in rows),
    )


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    run(scenario())


@dataclass
class Box:
    """One gateway's sense of time, started and restarted by the test; used inside a loop."""

    directory: Path
    zone: str = "UTC"
    clock: SetClock = field(default_factory=SetClock)
    workers: Workers | None = None
    replacements: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config: Config = self.configured()
        self.closed: list[SummaryKey] = []
        self.enqueued = 0
        self.start()

    def configured(self) -> Config:
        text = {'state_dir = "state"': f'state_dir = "state"\ntimezone = "{self.zone}"', **self.replacements}
        return minimal_config(self.directory, **text)

    def start(self) -> None:
        """As when the process starts; the one before must have been stopped."""
        self.store: Store = open_store(self.config, boot_id=self.clock.boot_id, by=self.workers)
        tables = self.store.tables
        boot_no = self.do(lambda tables: tables.boots.note(self.clock.boot_id))
        self.strap, self.cgm = (sensor_row(self.store, name).no for name in ("strap", "cgm"))
        self.timekeeper = Timekeeper(self.clock, self.store, boot_no, tables.boots.timeline())
        self.periods = Periods(self.config, IDENTITY, self.store, self.timekeeper)
        self.timekeeper.on_change = self.periods.place_again
        self.periods.on_enqueued = self._on_enqueued
        submit = self.periods._closer.close

        def close(tables: Tables, key: SummaryKey, **how: Any) -> Any:
            self.closed.append(key)
            return submit(tables, key, **how)

        self.periods._closer.close = close  # type: ignore[method-assign, assignment]
        self.boot_no = boot_no

    def _on_enqueued(self) -> None:
        self.enqueued += 1

    def reboot(self, boot_id: str, zero_utc_s: float, error_ms: int | None = 0) -> None:
        """A new boot of the machine: the time since boot begins anew, the wall clock shows what it likes."""
        self.store.close()
        self.clock = SetClock(0.0, zero_utc_s, error_ms, boot_id)
        self.start()

    def restart(self) -> None:
        """A new process in the same boot."""
        self.store.close()
        self.start()

    def do(self, work: Callable[[Tables], T]) -> T:
        """A store job, at once, of which the loop hears at once."""
        with self.store.tables.database.transaction():
            result = work(self.store.tables)
        if hasattr(self, "periods"):
            self.periods.next_due_boot_ns()
        return result

    async def settle(self) -> None:
        """Have done everything that is due now."""
        for _ in range(100_000):
            await self.store.drain()
            for _ in range(3):
                await asyncio.sleep(0)
            due_ns = self.periods.next_due_boot_ns()
            is_due = due_ns is not None and due_ns <= self.clock.boot_ns()
            if is_due:
                self.periods.close_due()
            elif self.store._writer._waiting or self.periods._closing or self.periods._to_place is not None:
                continue
            else:
                return
        raise AssertionError("it never comes to rest")

    async def at(self, boot_s: float) -> list[Summary]:
        """Let it become so late since boot, see to what is due, and give all summaries."""
        self.clock.boot_s = boot_s
        self.timekeeper.poll()
        await self.settle()
        return self.summaries()

    def summaries(self, *kinds: str) -> list[Summary]:
        tables = self.store.tables
        return [s for kind in kinds or ("heart_5min", "glucose_day") for s in tables.summaries.between(kind)]

    def pending(self) -> int:
        return self.store.tables.deliveries.counts("files").pending

    # Heart

    def packets(self, *packets: Packet) -> None:
        """One chunk, in the running boot."""
        chunk = HeartChunk(self.strap, self.boot_no, packets)
        self.do(lambda tables: self.periods.keep_chunks(tables, [chunk]))

    def beats(self, *ends_s: float, rr_ticks: int = 1024) -> None:
        """One chunk of packets of one beat each."""
        reading = HeartRateMeasurement(60, rr_ticks=(rr_ticks,))
        self.packets(*(packet(end_s, reading) for end_s in ends_s))

    # Glucose

    def session(
        self,
        start_utc_s: float,
        error_ms: int | None = 60_000,
        *,
        number: int = 1,
        run_time_h: int | None = 240,
    ) -> Session:
        """A session whose start is known as well as is said; the one before ends."""
        return self.do(
            lambda tables: tables.sessions.begin(
                self.cgm,
                UUID(int=number),
                told_start_utc_s=None,
                start_boot_no=self.boot_no,
                start_boot_ns=self.clock.boot_ns() + round(start_utc_s * S) - self.clock.utc_ns(),
                start_utc_s=round(start_utc_s),
                start_error_ms=error_ms,
                run_time_h=run_time_h,
            )
        )

    def readings(
        self,
        session: Session,
        values: dict[int, float | None],
        not_counted: dict[int, str] | None = None,
        watermark: int | None = None,
    ) -> list[Reading]:
        """Minutes since the session's start -> what was measured."""
        reasons = {minute: "no measurement" for minute, value in values.items() if value is None} | (
            not_counted or {}
        )
        readings = [
            Reading(minute, 60 * minute, value, None, None, 0, reasons.get(minute), self.boot_no, 0, True)
            for minute, value in values.items()
        ]
        return self.do(lambda tables: self._keep(tables, session.no, readings, watermark))

    def _keep(
        self, tables: Tables, no: int, readings: Sequence[Reading], watermark: int | None
    ) -> list[Reading]:
        before = tables.sessions.get(no)
        new = self.periods.keep_readings(tables, before, "glucose", readings, self.timekeeper.timeline)
        if watermark is not None:
            before = tables.sessions.get(no)
            tables.sessions.update(no, watermark=watermark)
            self.periods.session_changed(tables, before, tables.sessions.get(no))
        return new

    def change(self, no: int, **fields: int | None) -> None:
        """The sensor's side learns something about its session."""

        def work(tables: Tables) -> None:
            before = tables.sessions.get(no)
            tables.sessions.update(no, **fields)
            self.periods.session_changed(tables, before, tables.sessions.get(no))

        self.do(work)

    def end(self, no: int) -> None:
        def work(tables: Tables) -> None:
            before = tables.sessions.get(no)
            tables.sessions.end(no, "replaced")
            self.periods.session_changed(tables, before, tables.sessions.get(no))

        self.do(work)

    def dirty(self) -> list[SummaryKey]:
        return self.store.tables.dirty.all()

    def delivered(self) -> Iterable[tuple[str, str, str, int]]:
        """(kind, ref, id, rev) of all deliveries."""
        rows = self.store.tables.database.read(
            "SELECT kind, ref, item, rev FROM deliveries ORDER BY kind, ref"
        )
        return [tuple(row) for row in rows]
