"""A strap's packets are kept whole, with arrival and last beat, whatever they say; none waits for the disk."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from edge_parts import IDENTITY, minimal_config, open_store

from edge.agenda import Agenda
from edge.config import Config
from edge.history.periods import Periods
from edge.kernels_ready import KernelsReady
from edge.now.facts import Fact, Facts
from edge.radio.adapter import Radio
from edge.radio.inbox import Inbox, Notification
from edge.radio.intake import Intake
from edge.radio.session import Session
from edge.sensors import heart_strap
from edge.sensors.heart_strap import HeartStrap
from edge.sensors.means import Means
from edge.store.raw_chunks import NO_BEAT, Packet
from edge.timekeeper import Timekeeper
from edge.workers import InlineWorker, Workers
from hw_sim.clock import VirtualClock, run
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from protocols import heart_rate, uuids
from protocols.errors import DecodeError
from protocols.heart_rate import HeartRateMeasurement, RrUnit

S = 10**9


class FullDisk:
    """A writer's worker that can be told to refuse."""

    def __init__(self) -> None:
        self.is_full = False

    async def __call__(self, work: Callable[[], Any]) -> Any:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return work()

    def close(self) -> None: ...


class Bench:
    """A strap's side of the gateway on a real store."""

    def __init__(self, config: Config) -> None:
        self.disk = FullDisk()
        self.store = open_store(config, by=Workers(self.disk, InlineWorker(), InlineWorker()))
        self.clock = VirtualClock(1_795_219_200 * S, "boot-1")
        self.agenda = Agenda(self.clock)
        self.facts = Facts()
        row = self.store.tables.sensors.all()[0]
        timekeeper = Timekeeper(self.clock, self.store, 1, self.store.tables.boots.timeline())
        periods = Periods(config, IDENTITY, self.store, timekeeper)
        self.strap = HeartStrap(
            config.sensors[0],
            row,
            Means(
                store=self.store,
                periods=periods,
                facts=self.facts,
                agenda=self.agenda,
                clock=self.clock,
                timekeeper=timekeeper,
                limits=config.limits,
                identity=IDENTITY,
                zone=ZoneInfo("UTC"),
                insights={},
                kernels=KernelsReady(),
                rng=random.Random(1),
            ),
        )
        self.row = row

    def take(self, *notifications: Notification) -> None:
        for notification in notifications:
            self.strap.take(notification)

    @property
    def chunks(self) -> list[Any]:
        return self.store.tables.raw_chunks.between(self.row.no, 1, 0, 100 * 86_400 * S)

    @property
    def kept(self) -> list[Packet]:
        return [packet for chunk in self.chunks for packet in chunk.packets]


def play(directory: Path, scenario: Callable[[Bench], Awaitable[None]], **replacements: str) -> None:
    async def main() -> None:
        bench = Bench(minimal_config(directory, **replacements))
        tasks = [asyncio.ensure_future(bench.store.run()), asyncio.ensure_future(bench.agenda.run())]
        await scenario(bench)
        await bench.store.drain()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        bench.store.close()

    run(main())


def packet(
    boot_s: float, bpm: int = 60, rr_ticks: tuple[int, ...] | None = None, **more: Any
) -> Notification:
    payload = heart_rate.encode(HeartRateMeasurement(bpm, rr_ticks=rr_ticks, **more))
    return raw(boot_s, payload)


def raw(boot_s: float, payload: bytes) -> Notification:
    return Notification("strap", 1, uuids.HEART_RATE_MEASUREMENT, round(boot_s * S), payload)


def test_a_chunk_gives_back_every_packet(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        sent = [packet(n + 1, 60, (1024,) if n % 2 else None, energy_kj=n) for n in range(20)]
        for n, each in enumerate(sent):
            b.take(each)
            if n % 7 == 6:
                b.strap.flush()
        b.strap.flush()
        b.strap.flush()  # nothing is open: no empty chunk
        await b.store.drain()
        assert [len(chunk.packets) for chunk in b.chunks] == [7, 7, 6]
        assert [(p.payload, p.arrival_boot_ns) for p in b.kept] == [(n.payload, n.boot_ns) for n in sent]
        assert [p.last_beat_boot_ns == NO_BEAT for p in b.kept] == [n % 2 == 0 for n in range(20)]
        assert b.strap.live().records == 20

    play(tmp_path, scenario)


def test_what_is_open_is_stored_after_the_time_of_a_chunk_and_not_before(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        b.take(packet(0.0), packet(1.0))
        await asyncio.sleep(59.9)
        assert b.kept == []
        await asyncio.sleep(0.2)
        assert len(b.kept) == 2

    play(tmp_path, scenario)


def test_a_chunk_that_is_half_full_goes_with_a_commit_that_happens_anyway(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        async def something_else(after_s: float) -> int:
            await asyncio.sleep(after_s)
            await bench.store.write(lambda _: None)
            return len(bench.kept)

        bench.take(packet(0.0), packet(1.0))
        assert await something_else(after_s=29.5) == 0
        assert await something_else(after_s=1.0) == 2
        assert len(bench.chunks) == 1

    play(tmp_path, scenario)


def test_whoever_listens_is_told_when_the_beats_of_a_chunk_have_been_judged(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        told: list[int | None] = []
        b.facts.on_renewed = lambda _: told.append(b.strap.live().waiting)
        b.take(packet(0.0), packet(1.0))
        assert told == []
        await asyncio.sleep(60.1)
        assert len(told) == 1
        b.strap.flush()  # nothing is open
        assert len(told) == 1

    play(tmp_path, scenario)


def test_chunks_that_were_refused_together_are_kept_in_order(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        b.disk.is_full = True
        for boot_s in (1.0, 2.0, 3.0):
            b.take(packet(boot_s))
            b.strap.flush()
        await b.store.drain()
        b.disk.is_full = False
        b.strap.flush()
        await b.store.drain()
        assert [kept.arrival_boot_ns for kept in b.kept] == [S, 2 * S, 3 * S]

    play(tmp_path, scenario)


def test_a_full_disk_costs_nothing_of_an_hour_and_then_the_oldest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(b: Bench) -> None:
        monkeypatch.setattr(heart_strap, "PACKETS_WAITING_MAX", 100)
        b.disk.is_full = True
        for second in range(90):
            b.take(packet(second))
            await asyncio.sleep(1)
        assert b.kept == []
        b.disk.is_full = False
        await asyncio.sleep(61)
        assert [p.arrival_boot_ns for p in b.kept] == [second * S for second in range(90)]
        b.disk.is_full = True
        for second in range(200, 400):
            b.take(packet(second))
            await asyncio.sleep(1)
        await asyncio.sleep(60)
        assert b.strap.live().dropped == 100
        b.disk.is_full = False
        await asyncio.sleep(61)
        assert [p.arrival_boot_ns for p in b.kept[90:]] == [second * S for second in range(300, 400)]

    play(tmp_path, scenario)


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x10", b"\x11\x3c"])
def test_garbage_changes_nothing(tmp_path: Path, payload: bytes) -> None:
    async def scenario(b: Bench) -> None:
        b.take(packet(1, 61))
        with pytest.raises(DecodeError):
            b.take(raw(2, payload))
        b.strap.flush()
        await b.store.drain()
        assert [p.arrival_boot_ns for p in b.kept] == [1 * S]
        assert b.facts.newest("strap", "heart_rate") == Fact(61.0, 1 * S)
        assert b.strap.live().records == 1

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("odd", "bpm", "rr_ticks"),
    [
        ("103eb103de", 62, (945,)),
        ("064800", 72, None),
        ("1048", 72, None),
        ("1648", 72, None),
        ("103c00", 60, None),
    ],
)
def test_a_rate_is_kept_whatever_is_odd_behind_it(
    tmp_path: Path, odd: str, bpm: int, rr_ticks: tuple[int, ...] | None
) -> None:
    async def scenario(b: Bench) -> None:
        b.take(raw(1, bytes.fromhex(odd)))
        b.strap.flush()
        await b.store.drain()
        assert b.facts.newest("strap", "heart_rate") == Fact(float(bpm), 1 * S)
        (kept,) = b.kept
        assert kept.payload.hex() == odd
        assert (kept.last_beat_boot_ns == NO_BEAT) == (rr_ticks is None)
        assert b.strap.live().oddities == 1

    play(tmp_path, scenario)


def test_an_interval_of_no_length_is_no_beat(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        b.take(packet(1, 60, (0,)), packet(2, 60, (0, 1024, 0)), packet(3, 60, (1024,)))
        b.strap.flush()
        await b.store.drain()
        assert [p.last_beat_boot_ns for p in b.kept] == [NO_BEAT, 2 * S, 3 * S]

    play(tmp_path, scenario)


class SilentLink:
    async def subscribe(self, _: str) -> None: ...

    async def battery_pct(self) -> None: ...


def test_a_new_link_starts_a_new_chain_of_beats(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        b.take(packet(10.0, 60, (1024,)))
        b.take(packet(12.0, 60, (1024,)))  # a second late: its beat was at 11 s
        await b.strap.converse(SilentLink())  # type: ignore[arg-type]
        b.take(packet(14.0, 60, (1024,)))
        b.strap.flush()
        await b.store.drain()
        first, second, third = (p.last_beat_boot_ns for p in b.kept)
        assert (first, third) == (10 * S, 14 * S)
        assert second == pytest.approx(11 * S, abs=S // 1000)

    play(tmp_path, scenario)


def test_a_link_that_drops_again_and_again_does_not_put_off_the_store(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        for boot_s in range(5, 70, 25):
            await asyncio.sleep(boot_s - asyncio.get_running_loop().time())
            await b.strap.converse(SilentLink())  # type: ignore[arg-type]
            b.take(packet(float(boot_s)))
        assert [kept.arrival_boot_ns // S for kept in b.kept] == []
        await asyncio.sleep(10.5)
        assert [kept.arrival_boot_ns // S for kept in b.kept] == [5, 30, 55]

    play(tmp_path, scenario)


def test_a_strap_that_is_not_worn_or_has_no_rate_says_so(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        b.take(packet(1, 72, contact=True))
        assert b.facts.newest("strap", "heart_rate") == Fact(72.0, 1 * S)
        b.take(packet(2, 30, contact=False))
        assert b.facts.newest("strap", "heart_rate") == Fact(30.0, 2 * S, "not worn")
        assert b.facts.worn("strap") is False
        b.take(packet(3, 0))
        assert b.facts.newest("strap", "heart_rate") == Fact(0.0, 3 * S, "no heart rate")
        # A strap that is worn and has no rate is as silent as one that is not heard.
        assert b.facts.heard_boot_ns("strap") == 2 * S

    play(tmp_path, scenario)


def test_a_strap_that_sends_milliseconds_is_found_out_once_and_for_all(tmp_path: Path) -> None:
    async def scenario(b: Bench) -> None:
        for second in range(120):
            b.take(packet(second, 60, (1000,)))
        b.strap.flush()
        await b.store.drain()
        assert b.store.tables.sensors.trait(b.row.no, "rr_unit") == RrUnit.MILLISECONDS.name

    play(tmp_path, scenario)


def test_a_real_strap_comes_through_beat_for_beat(tmp_path: Path) -> None:
    rng = random.Random(7)
    truth_ms = [rng.uniform(600.0, 1100.0) for _ in range(400)]

    async def scenario(b: Bench) -> None:
        air = Air()
        body = HeartRateStrap(air, b.strap.config.address, iter(truth_ms), begin_s=5.0, battery_pct=87)
        await body.start()
        central = await open_central(air, bonds=None)
        inbox = Inbox(4096)
        radio = Radio(
            central.scanner_backend, central.client_backend, central.adapter_backend, central.pairing
        )
        limits = minimal_config(tmp_path).limits
        session = Session(b.strap, radio, inbox, b.clock, limits, random.Random(1))
        intake = Intake(inbox, {"strap": b.strap.take}, b.clock)
        tasks = [asyncio.ensure_future(t) for t in (session.run(), intake.run())]
        await asyncio.sleep(500)  # the beats have ended long ago: worn no more, and still connected
        assert session.state.phase == "streaming"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        b.strap.flush()
        await b.store.drain()
        ticks = [t for p in b.kept for t in heart_rate.decode(p.payload).rr_ticks or ()]
        wrong = [abs(heart_rate.rr_ms(t) - rr) > 1000 / 1024 for t, rr in zip(ticks, truth_ms, strict=True)]
        assert not any(wrong)
        assert b.strap.battery_pct == 87
        beats_s = [p.last_beat_boot_ns / S for p in b.kept if p.last_beat_boot_ns != NO_BEAT]
        assert beats_s[-1] == pytest.approx(5.0 + sum(truth_ms) / 1000, abs=1.0)

    play(tmp_path, scenario, **{"A4:C1:38:00:00:01": "F0:00:00:00:00:01"})
