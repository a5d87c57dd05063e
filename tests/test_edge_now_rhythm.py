"""The rhythm outlives processes, boots and full disks, and is what the stored packets say."""

import asyncio
import random
import zlib
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cardiac_records import sinus_ms
from edge_parts import MIDNIGHT_UTC_S, minimal_config
from rhythm_parts import S, Sent, beats_of, check, in_af, sent

from dsp.arrays import as_f64
from dsp.cardiac import live
from edge.app import Gateway
from edge.errors import StoreUnavailable
from edge.history import heart_window
from edge.history.beats import Reader
from edge.kernels_ready import KernelsReady
from edge.now import rhythm, rhythm_state
from edge.now.known import Rest, RhythmKnown
from edge.now.rhythm_state import RhythmState, Taken, decode, inflated
from edge.sensors.heart_strap import HeartStrap
from hw_sim.clock import run
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from protocols import heart_rate
from protocols.heart_rate import HeartRateMeasurement, RrUnit
from tools.analyse import rr as analyse_rr
from tools.rig.home.machine import Machine, direct

ADDRESS = "A4:C1:38:00:00:01"


class Home:
    """A strap that is worn, and whole gateways that live and die beside it."""

    def __init__(self, directory: Path, packets: Sequence[Sent]) -> None:
        self.stack = DirectStack()
        self.body = DirectStrap(ADDRESS)
        self.stack.add(self.body)
        self.packets = list(packets)
        config = msgspec.structs.replace(checked := minimal_config(directory), sensors=checked.sensors[:1])
        self.machine = Machine(
            lambda: config, direct(self.stack), zero_utc_s=MIDNIGHT_UTC_S, new_rng=lambda n: random.Random(n)
        )
        self.begin_s = 0.0

    @property
    def gateway(self) -> Gateway:
        return self.machine.gateway

    @property
    def strap(self) -> HeartStrap:
        found = self.gateway.sensors["strap"]
        assert isinstance(found, HeartStrap)
        return found

    @property
    def state(self) -> RhythmState:
        return self.strap.rhythm._state

    def known(self) -> RhythmKnown | None:
        return self.strap.rhythm.rhythm(self.gateway.clock.boot_ns())

    async def wear(self, seconds: float) -> None:
        """The strap sends what it has for so long."""
        end_s = self.machine.now_s + seconds
        while self.packets and (due_s := self.begin_s + self.packets[0].boot_s) <= end_s:
            await self.machine.for_s(due_s - self.machine.now_s)
            self.body.send(heart_rate.encode(self.packets.pop(0).reading))
        await self.machine.for_s(end_s - self.machine.now_s)

    def kept(self) -> list[list[Taken]]:
        """The stored packets, boot by boot."""
        tables, read = self.gateway.store.tables, Reader().read
        boots = []
        for boot_no in tables.raw_chunks.boots(self.strap._row.no):
            chunks = tables.raw_chunks.between(self.strap._row.no, boot_no, 0, 1 << 60)
            packets = [packet for chunk in chunks for packet in chunk.packets]
            decoded = [(p.arrival_boot_ns, p.last_beat_boot_ns, read(p.payload)) for p in packets]
            boots.append([(arrival, beat, r) for arrival, beat, r in decoded if r is not None])
        return boots

    def replayed(self) -> RhythmState:
        """What one who never died knows of the stored packets of one boot."""
        (packets,) = self.kept()
        state = RhythmState(self.state.unit)
        state.begin_boot(self.gateway.boot_no, packets[0][0], 0.0)
        state.resting.night_bpm = self.state.resting.night_bpm
        state.take(packets)
        return state


def play(directory: Path, packets: Sequence[Sent], scenario: Callable[[Home], Awaitable[None]]) -> None:
    async def main() -> None:
        home = Home(directory, packets)
        home.machine.start()
        await scenario(home)
        await home.machine.stop()

    run(main())


def mixed(seed: int, beats: int = 2400) -> list[Sent]:
    """Sinus rhythm, atrial fibrillation, sinus rhythm."""
    return list(
        sent(as_f64([*sinus_ms(seed, beats // 3), *in_af(beats // 3), *sinus_ms(seed + 1, beats // 3)]))
    )


@pytest.mark.parametrize("seed", range(6))
def test_kills_at_any_moment_leave_what_the_stored_packets_say_to_the_last_bit(
    tmp_path: Path, seed: int
) -> None:
    async def scenario(home: Home) -> None:
        rng = random.Random(seed)
        while home.packets:
            await home.wear(rng.choice([0.7, 30.0, 59.0, 61.0, 400.0, 4000.0]) * rng.uniform(0.5, 1.0))
            if rng.random() < 0.3:
                await home.machine.stop()
            else:
                await home.machine.kill()
            await home.machine.for_s(rng.choice([0.0, 3.0]))
            home.machine.start()
            await home.machine.for_s(1.0)
            if home.state.axis is not None:
                assert home.state.encode() == home.replayed().encode()
        known = home.known()
        assert known is not None
        assert known.af is not None
        assert known.observed_s > 1000

    play(tmp_path, mixed(seed), scenario)


def test_a_gateway_that_is_not_disturbed_says_beat_by_beat_what_an_analysis_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []
    take = RhythmState.take

    def noting(state: RhythmState, packets: Sequence[Taken]) -> Any:
        found.append(take(state, packets))
        return found[-1]

    async def scenario(home: Home) -> None:
        monkeypatch.setattr(RhythmState, "take", noting)
        count = len(home.packets)
        await home.wear(count + 2.0)
        home.strap.flush()
        await home.gateway.store.drain()
        (packets,) = home.kept()
        assert len(packets) >= count - 3  # the first came before the link stood
        assert home.state.axis is not None
        whole = analyse_rr.analyse(beats_of(packets, home.state.axis))
        check(found, whole)
        assert len(found) > 20
        known = home.known()
        assert known is not None
        assert known.af is not None
        assert known.af.is_over
        assert known.af_probability_fast == whole.tiers.fast[-1]

    play(tmp_path, mixed(1), scenario)


def test_the_state_is_stored_once_an_hour_with_its_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rhythm.KEEP_S == 3600

    async def scenario(home: Home) -> None:
        monkeypatch.setattr(rhythm, "KEEP_S", 600)
        stored = []
        put = home.gateway.store.tables.blobs.put

        def noting(kind: str, owner_no: int, version: int, body: bytes) -> None:
            put(kind, owner_no, version, body)
            if kind == rhythm.KIND:
                (packets,) = home.kept()
                stored.append((home.machine.now_s, packets[-1][0], decode(inflated(body)).upto_ns))

        home.gateway.store.tables.blobs.put = noting  # type: ignore[method-assign]
        await home.wear(3.2 * 600)
        assert len(stored) == 4
        assert all(newest_ns == upto_ns for _, newest_ns, upto_ns in stored)
        gaps_s = [later[0] - earlier[0] for earlier, later in pairwise(stored)]
        assert all(540 < gap_s < 661 for gap_s in gaps_s)

    play(tmp_path, list(sent(sinus_ms(3, 2300))), scenario)


def test_a_disk_that_is_full_changes_nothing_of_what_is_known(tmp_path: Path) -> None:
    async def known(directory: Path, *, full: bool) -> RhythmKnown | None:
        home = Home(directory, mixed(2))
        home.machine.start()
        await home.wear(600)
        home.machine.is_full = full
        await home.wear(1500)
        home.strap.flush()
        said = home.known()
        if full:
            home.machine.is_full = False
            await home.wear(130)  # what waited is stored, and the state with it
            await home.machine.kill()
            home.machine.start()
            await home.machine.for_s(1.0)
            assert home.state.encode() == home.replayed().encode()
        await home.machine.stop()
        return said

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert run(known(tmp_path / "a", full=True)) == run(known(tmp_path / "b", full=False))


def test_a_state_of_another_version_is_made_anew_from_the_last_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(home: Home) -> None:
        await home.wear(3000)
        await home.machine.stop()
        monkeypatch.setattr(rhythm, "VERSION", rhythm_state.VERSION + 1)
        monkeypatch.setattr(rhythm, "CHUNKS_MAX", 7)
        home.machine.start()
        assert home.known() is None
        await home.machine.for_s(1.0)
        assert home.state.encode() == home.replayed().encode()
        assert home.known() is not None

    play(tmp_path, mixed(3), scenario)


@pytest.mark.parametrize("damaged", [b"", b"garbage", zlib.compress(b"garbage"), zlib.compress(b"")])
def test_a_damaged_state_is_made_anew(tmp_path: Path, damaged: bytes) -> None:
    async def scenario(home: Home) -> None:
        await home.wear(600)
        tables, no = home.gateway.store.tables, home.strap._row.no
        await home.gateway.store.write(
            lambda tables: tables.blobs.put(rhythm.KIND, no, rhythm_state.VERSION, damaged)
        )
        assert tables.blobs.get(rhythm.KIND, no) is not None
        await home.machine.kill()
        home.machine.start()
        await home.machine.for_s(1.0)
        assert home.state.encode() == home.replayed().encode()

    play(tmp_path, mixed(3), scenario)


def test_what_is_older_than_a_day_is_not_read_to_make_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(home: Home) -> None:
        monkeypatch.setattr(rhythm, "DAY_S", 1000)
        await home.wear(3000)
        await home.machine.stop()
        monkeypatch.setattr(rhythm, "VERSION", rhythm_state.VERSION + 1)
        home.machine.start()
        await home.machine.for_s(1.0)
        known = home.known()
        assert known is not None
        assert 900 < known.observed_s < 1100

    play(tmp_path, mixed(3), scenario)


@pytest.mark.parametrize("is_trusted", [True, False])
def test_over_a_reboot_time_goes_on_as_far_as_it_is_known(tmp_path: Path, is_trusted: bool) -> None:
    async def scenario(home: Home) -> None:
        await home.wear(1000)
        before = home.known()
        assert before is not None
        await home.machine.reboot(600.0, is_trusted=is_trusted)
        await home.machine.for_s(1.0)
        after = home.known()
        assert after is not None
        # The open chunk is lost, so the newest beat that is known is up to a minute older.
        gone_s = after.age_s - before.age_s
        assert 600 < gone_s < 665 if is_trusted else gone_s < 65
        home.begin_s = home.machine.now_s - home.packets[0].boot_s
        await home.wear(600)
        home.strap.flush()
        await home.gateway.store.drain()
        encoded = home.state.encode()
        await home.machine.kill()
        home.machine.start()
        await home.machine.for_s(1.0)
        assert home.state.encode() == encoded

    play(tmp_path, mixed(4), scenario)


def test_while_the_state_catches_up_nothing_is_known_and_packets_wait(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        await home.wear(1000)
        await home.machine.kill()
        home.machine.start()
        strap, boot_ns = home.strap, home.gateway.clock.boot_ns()
        reading = HeartRateMeasurement(60, rr_ticks=(1024,))
        strap.rhythm.take([(boot_ns + n * S, boot_ns + n * S, reading) for n in range(5)], RrUnit.TICKS)
        assert home.known() is None
        assert strap.rhythm.rest(boot_ns) is Rest.UNKNOWN
        assert strap.rhythm.due() is None
        await home.machine.for_s(1.0)
        known = strap.rhythm.rhythm(boot_ns + 4 * S)
        assert known is not None
        assert known.age_s == pytest.approx(0.0)

    play(tmp_path, mixed(5), scenario)


def test_while_kernels_are_compiled_packets_wait_and_nobody_calls_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = KernelsReady(is_ready=False)
    monkeypatch.setattr("edge.app.KernelsReady", lambda: kernels)

    def checked(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            assert kernels.is_ready, "it would wait for the compiler"
            return kernel(*arguments)

        return call

    for module, name in ((live, "feed"), (heart_window, "judge")):
        monkeypatch.setattr(module, name, checked(getattr(module, name)))

    async def scenario(home: Home) -> None:
        await home.wear(900)
        assert home.known() is None
        kernels.set()
        await home.wear(700)
        assert home.state.encode() == home.replayed().encode()
        assert home.known() is not None
        summaries = home.gateway.store.tables.summaries.between("heart_5min")
        assert [summary.key.start_utc_s - MIDNIGHT_UTC_S for summary in summaries][:3] == [0, 300, 600]

    play(tmp_path, mixed(7), scenario)


def test_a_store_that_cannot_be_read_is_read_later(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        await home.wear(1000)
        await home.machine.kill()
        gateway = home.machine.start()
        read = gateway.store.read

        async def refusing(_: object) -> None:
            raise StoreUnavailable("disk I/O error")

        gateway.store.read = refusing  # type: ignore[method-assign, assignment]
        await home.machine.for_s(20.0)
        assert home.known() is None
        gateway.store.read = read  # type: ignore[method-assign]
        await home.machine.for_s(20.0)
        assert home.known() is not None

    play(tmp_path, mixed(5), scenario)


def test_a_strap_that_turns_out_to_send_milliseconds_begins_anew(tmp_path: Path) -> None:
    """Its first minutes were read in the wrong unit."""
    packets = [Sent(float(n), HeartRateMeasurement(60, rr_ticks=(1000,))) for n in range(2, 900)]

    async def scenario(home: Home) -> None:
        await home.wear(850)
        assert home.state.unit is RrUnit.MILLISECONDS
        known = home.known()
        assert known is not None
        assert known.observed_s < 800
        encoded = home.state.encode()
        await home.machine.kill()
        home.machine.start()
        await home.machine.for_s(1.0)
        assert home.state.encode() == encoded

    play(tmp_path, packets, scenario)


def test_the_nights_rate_of_the_wearer_is_looked_up_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(home: Home) -> None:
        monkeypatch.setattr(rhythm, "night_bpm", lambda *_: 41.0)
        monkeypatch.setattr(rhythm, "KEEP_S", 600)
        await home.wear(900)
        assert home.state.resting.night_bpm == 41.0
        assert home.gateway.present.known().sensors[0].rest is Rest.ACTIVE  # 70/min
        await home.machine.kill()
        monkeypatch.setattr(rhythm, "night_bpm", lambda *_: 43.0)
        home.machine.start()
        assert home.state.resting.night_bpm == 41.0
        await home.machine.for_s(1.0)
        assert home.state.resting.night_bpm == 43.0

    play(tmp_path, list(sent(sinus_ms(6, 1500))), scenario)


def test_two_packets_at_the_same_moment_are_kept_apart(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        await home.wear(10)
        for _ in range(3):
            home.body.send(heart_rate.encode(HeartRateMeasurement(60, rr_ticks=(1000,))))
        await asyncio.sleep(0.1)
        home.strap.flush()
        await home.gateway.store.drain()
        (packets,) = home.kept()
        arrivals = [arrival for arrival, _, _ in packets]
        assert len(set(arrivals)) == len(arrivals)
        assert arrivals == sorted(arrivals)

    play(tmp_path, mixed(5), scenario)
