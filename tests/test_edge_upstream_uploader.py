"""Nothing leaves without consent, everything else arrives, at its pace: from the store to bundles in a directory."""

import asyncio
import json
import logging
import random
import threading
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, in_transaction, running
from fhir_check import faults, unmarked
from fhir_directory import people, receive
from upstream_parts import (
    ALL,
    ANNA,
    BEN,
    DAY_S,
    NONE,
    Kept,
    LoopTime,
    Recorder,
    ToldTime,
    put_heart,
    two_people,
)

from edge import workers
from edge.config import Consent
from edge.errors import UpstreamRejected, UpstreamUnavailable
from edge.store.deliveries import Carried, Counts
from edge.upstream.composer import Composer
from edge.upstream.files import FileUpstream
from edge.upstream.routes import FILES, Upstream
from edge.upstream.uploader import TrustedTime, Uploader
from edge.workers import InlineWorker, Workers
from hw_sim.clock import run as run_in_virtual_time

T = TypeVar("T")


class Home:
    """The two people's store and an uploader of it."""

    def __init__(
        self,
        directory: Path,
        upstream: Upstream,
        *,
        time: TrustedTime | None = None,
        anna: Consent = ALL,
        ben: Consent = ALL,
        by: Workers | None = None,
        **settings: float,
    ) -> None:
        self.config = two_people(directory, anna, ben, **settings)
        self.upstream = upstream
        self.time = time or ToldTime()
        self.kept = Kept(self.config, by)
        self.store = self.kept.store
        self.start()

    def start(self) -> None:
        """A new uploader, as after a restart."""
        composer = Composer(self.config, IDENTITY, version="0.1.0", simulated=True)
        self.uploader = Uploader(
            self.config,
            self.store,
            composer.compose,
            self.upstream,
            timekeeper=self.time,
            rng=random.Random(1),
        )

    @property
    def counts(self) -> Counts:
        return self.store.tables.deliveries.counts(FILES)

    def step(self) -> float | None:
        async def once() -> float | None:
            async with running(self.store):
                return await self.uploader.step()

        return asyncio.run(once())

    def drain(self) -> None:
        for _ in range(1000):
            if self.step() is None and not self.uploader.wake.is_set():
                return
        raise AssertionError("there is no end of batches")

    async def run_for(self, seconds: float) -> None:
        """Let the uploader run for some virtual time."""
        async with running(self.store):
            task = asyncio.create_task(self.uploader.run())
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def files_in(directory: Path) -> FileUpstream:
    return FileUpstream(directory, InlineWorker())


def resources(body: bytes) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in json.loads(body)["entry"]]


def observations(body: bytes) -> list[str]:
    return [one["id"] for one in resources(body) if one["resourceType"] == "Observation"]


def people_of(body: bytes) -> set[str]:
    return people(json.loads(body))


def codes_of(recorder: Recorder) -> set[str]:
    found = [one for _, body in recorder.sent for one in resources(body)]
    return {one["code"]["coding"][0]["code"] for one in found if "code" in one}


def test_everything_arrives_valid_marked_and_once(tmp_path: Path) -> None:
    upstream = files_in(tmp_path / "out")
    home = Home(tmp_path, upstream)
    home.kept.hearts(150)
    home.kept.hearts(150, BEN)
    home.kept.readings(30)
    home.kept.day()
    home.kept.day(BEN)
    home.drain()
    assert home.counts == Counts(0, 0, 0, None, None, Carried(4, 332, MIDNIGHT_UTC_S))
    put: list[str] = []
    for path in sorted(upstream.directory.iterdir()):
        assert path.name.startswith("20261121T000000Z-")
        body = path.read_bytes()
        assert faults(json.loads(body)) == []
        assert unmarked(json.loads(body)) == []
        put += observations(body)
    assert len(put) == len(set(put)) == 300 * 2 + 30 + 2 * 8


def test_two_people_never_meet_in_a_batch(tmp_path: Path) -> None:
    recorder = Recorder()
    home = Home(tmp_path, recorder)
    for number in range(5):
        home.kept.heart(number, (ANNA, BEN)[number % 2])
    home.drain()
    assert [people_of(body) for _, body in recorder.sent] == [{ANNA}, {BEN}]
    devices = [
        {one["id"] for one in resources(body) if one["resourceType"] == "Device"} for _, body in recorder.sent
    ]
    assert devices[0] & devices[1] == {"gw-1"}


def test_a_receiver_finds_each_persons_data_and_the_newest_revision_of_each(tmp_path: Path) -> None:
    home = Home(tmp_path, files_in(tmp_path / "out"))
    for beats in (300, 310, 320):
        home.kept.heart(0, beats=beats)
        home.kept.heart(0, BEN, beats=beats + 1)
        home.drain()
    received = receive(tmp_path / "out")
    assert set(received.times_sent.values()) == {3}
    for person, beats in ((ANNA, 320), (BEN, 321)):
        (rate,) = received.of(person).with_code("http://loinc.org", "8867-4")
        assert beats in [part["valueQuantity"]["value"] for part in rate["component"]]


def test_an_amended_summary_goes_again_under_its_id(tmp_path: Path) -> None:
    recorder = Recorder()
    home = Home(tmp_path, recorder)
    home.kept.heart(0)
    home.drain()
    home.kept.heart(0, beats=320)
    home.drain()
    (one, first), (two, second) = recorder.sent
    assert one < two
    assert observations(first) == observations(second)
    assert [resources(body)[2]["status"] for body in (first, second)] == ["final", "amended"]


# Consent


@pytest.mark.parametrize(
    ("refused", "absent", "left"),
    [
        ("heart_summaries", {"8867-4", "hrv-short-term"}, 1),
        ("glucose_summaries", {"107931-8", "97507-8"}, 1),
        ("glucose_readings", {"99504-3"}, 3),
    ],
)
def test_a_class_without_consent_stays(tmp_path: Path, refused: str, absent: set[str], left: int) -> None:
    recorder = Recorder()
    anna = msgspec.structs.replace(ALL, **{refused: False})
    home = Home(tmp_path, recorder, anna=anna)
    home.kept.heart(0)
    home.kept.readings(3)
    home.kept.day()
    home.drain()
    every = {"8867-4", "hrv-short-term", "107931-8", "97507-8", "99504-3"}
    assert codes_of(recorder) & every == every - absent
    assert home.counts.pending == left


def test_without_any_consent_nothing_is_sent(tmp_path: Path) -> None:
    recorder = Recorder()
    home = Home(tmp_path, recorder, anna=NONE, ben=NONE)
    home.kept.heart(0)
    home.kept.readings(3)
    home.kept.day(BEN)
    home.drain()
    assert recorder.sent == []
    assert home.counts.pending == 5


def test_a_person_without_consent_holds_nobody_up_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    home = Home(tmp_path, recorder, ben=msgspec.structs.replace(ALL, glucose_readings=False))
    home.kept.readings(300, BEN)
    for number in range(3):
        home.kept.heart(number, BEN)
        home.kept.heart(number)
        home.drain()
    assert home.counts.pending == 300
    assert home.counts.carried.items == 6
    assert [people_of(body) for _, body in recorder.sent] == [{BEN}, {ANNA}] * 3
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert lines == ["upstream files: held: no consent for glucose readings of ben"]


def until(last_day: date) -> Consent:
    return msgspec.structs.replace(ALL, valid_until=last_day)


def test_consent_that_ends_holds_back_a_batch_that_waits(tmp_path: Path) -> None:
    time, recorder = ToldTime(), Recorder(UpstreamUnavailable("not now"))
    home = Home(tmp_path, recorder, time=time, anna=until(date(2026, 11, 21)))
    home.kept.heart(0)
    home.kept.heart(0, BEN)
    assert home.step() is not None
    assert home.counts.inflight == 1
    assert time.utc_s is not None
    time.utc_s += DAY_S
    home.drain()
    assert [people_of(body) for _, body in recorder.sent] == [{ANNA}, {BEN}]
    assert home.counts[:2] == (1, 0)
    time.utc_s -= DAY_S
    home.drain()
    assert [people_of(body) for _, body in recorder.sent] == [{ANNA}, {BEN}, {ANNA}]


def test_consent_that_ends_while_the_batch_is_begun_holds_it_back(tmp_path: Path) -> None:
    time, recorder = ToldTime(), Recorder()

    class SlowWriter(InlineWorker):
        """Committing lasts until after midnight."""

        async def __call__(self, work: Callable[[], T]) -> T:
            time.utc_s = MIDNIGHT_UTC_S + DAY_S
            return work()

    by = Workers(SlowWriter(), InlineWorker(), InlineWorker())
    home = Home(tmp_path, recorder, time=time, anna=until(date(2026, 11, 21)), by=by)
    home.kept.heart(0)
    home.drain()
    assert recorder.sent == []
    assert home.counts[:2] == (1, 0)


def test_consent_with_a_last_day_waits_for_a_trusted_clock_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    time, recorder = ToldTime(None), Recorder()

    async def scene() -> None:
        home = Home(tmp_path, recorder, time=time, anna=until(date(2026, 12, 31)))
        home.kept.heart(0)
        home.kept.heart(0, BEN)
        await home.run_for(5 * 3600)
        assert [people_of(body) for _, body in recorder.sent] == [{BEN}]
        assert (
            "without a trusted clock nobody knows whether the consent for heart summaries of anna"
            in caplog.text
        )
        task = asyncio.create_task(home.run_for(3700))
        await asyncio.sleep(1000)
        time.utc_s = MIDNIGHT_UTC_S
        await task
        assert [people_of(body) for _, body in recorder.sent] == [{BEN}, {ANNA}]

    run_in_virtual_time(scene())


def test_trust_that_begins_while_another_persons_batch_is_sent_is_noticed(tmp_path: Path) -> None:
    time, recorder = ToldTime(None), Recorder()

    async def send(name: str, body: bytes, send: Any = recorder.send) -> None:
        await send(name, body)
        time.utc_s = MIDNIGHT_UTC_S

    recorder.send = send  # type: ignore[method-assign]

    async def scene() -> None:
        home = Home(tmp_path, recorder, time=time, anna=until(date(2026, 12, 31)))
        home.kept.heart(0)
        home.kept.heart(0, BEN)
        await home.run_for(3700)

    run_in_virtual_time(scene())
    assert [people_of(body) for _, body in recorder.sent] == [{BEN}, {ANNA}]


# Again, byte for byte


def test_a_failed_batch_is_resent_byte_for_byte_after_a_restart(tmp_path: Path) -> None:
    time, recorder = ToldTime(), Recorder(UpstreamUnavailable("not now"))
    home = Home(tmp_path, recorder, time=time)
    home.kept.heart(0)
    home.step()
    home.store.close()
    time.utc_s = None
    again = Home(tmp_path, recorder, time=time)
    again.kept.heart(1)
    again.kept.heart(0, beats=320)
    again.drain()
    assert recorder.sent[0] == recorder.sent[1]
    assert [len(observations(body)) for _, body in recorder.sent] == [2, 2, 4]
    assert [name for name, _ in recorder.sent[1:]] == sorted(name for name, _ in recorder.sent[1:])


class FailingWriter(InlineWorker):
    """A disk that will not, as often as planned."""

    def __init__(self) -> None:
        self.fails = 0

    async def __call__(self, work: Callable[[], T]) -> T:
        if self.fails:
            self.fails -= 1
            raise OSError(28, "No space left on device")
        return work()


def test_while_the_store_fails_nothing_is_marked_and_the_same_bytes_go_again(tmp_path: Path) -> None:
    writer, recorder = FailingWriter(), Recorder()
    home = Home(tmp_path, recorder, by=Workers(writer, InlineWorker(), InlineWorker()))
    home.kept.heart(0)
    # It cannot be begun: nothing is sent.
    writer.fails = 1
    assert home.step() is not None
    assert recorder.sent == []
    assert home.counts[:3] == (1, 0, 0)
    assert home.uploader.state.trouble == "No space left on device"
    # It is begun and sent, and cannot be acknowledged.
    answer, recorder.answers = [], [None]

    async def send(name: str, body: bytes, send: Any = recorder.send) -> None:
        await send(name, body)
        writer.fails = max(0, 2 - len(recorder.sent))

    recorder.send = send  # type: ignore[method-assign]
    assert home.step() is not None
    assert home.counts[:3] == (0, 1, 0)
    home.kept.heart(0, beats=320)
    home.drain()
    assert answer == []
    assert recorder.sent[0] == recorder.sent[1]
    assert home.counts == Counts(0, 0, 0, None, None, Carried(2, 2, MIDNIGHT_UTC_S))
    assert home.uploader.state.trouble is None


def test_a_refusal_that_the_store_cannot_note_is_heard_again(tmp_path: Path) -> None:
    writer, recorder = FailingWriter(), Recorder(*[UpstreamRejected("no such patient")] * 2)
    home = Home(tmp_path, recorder, by=Workers(writer, InlineWorker(), InlineWorker()))
    home.kept.heart(0)

    async def send(name: str, body: bytes, send: Any = recorder.send) -> None:
        writer.fails = int(not recorder.sent)
        await send(name, body)

    recorder.send = send  # type: ignore[method-assign]
    home.drain()
    assert recorder.sent[0] == recorder.sent[1]
    assert len(recorder.sent) == 2
    assert home.counts[:3] == (0, 0, 1)


def test_state_tells_how_it_goes(tmp_path: Path) -> None:
    recorder = Recorder(UpstreamUnavailable("cable\nout"), UpstreamRejected("no such patient"))
    home = Home(tmp_path, recorder)
    home.kept.heart(0)
    home.kept.heart(1)
    home.step()
    assert (home.uploader.state.failures, home.uploader.state.trouble) == (1, "cable\\nout")
    home.step()
    assert (home.uploader.state.failures, home.uploader.state.trouble) == (2, "no such patient")
    home.drain()
    assert (home.uploader.state.failures, home.uploader.state.trouble) == (0, None)
    assert home.counts.carried == Carried(2, 2, MIDNIGHT_UTC_S)


# What cannot go


def test_what_cannot_be_composed_is_parked_with_its_reason_and_the_rest_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder()
    home = Home(tmp_path, recorder, batch_items_max=5)
    items = [home.kept.heart(number) for number in range(30)]
    home.kept.readings(2, not_counted="sensor fault")
    delete = "DELETE FROM summaries WHERE start_utc_s < ?"
    in_transaction(home.store, lambda tables: tables.database.write(delete, MIDNIGHT_UTC_S + 300 * 12))
    home.drain()
    assert [item for _, body in recorder.sent for item in observations(body)[::2]] == [
        str(item.id) for item in items[12:]
    ]
    assert home.counts[:3] == (0, 0, 14)
    reasons = Counter(parked.reason for parked in home.store.tables.deliveries.parked(FILES, 99))
    assert reasons == {"it is gone from the store": 12, "it does not count: sensor fault": 2}
    # The 1st and the 10th are told.
    assert [line.count("is parked") for line in caplog.messages] == [1, 1]


def test_an_upstream_that_refuses_one_gets_the_rest(tmp_path: Path) -> None:
    recorder = Recorder()
    home = Home(tmp_path, recorder)
    bad = [str(home.kept.heart(number).id) for number in range(20)][13]

    async def send(name: str, body: bytes) -> None:
        recorder.sent.append((name, body))
        if bad in observations(body):
            raise UpstreamRejected("no such patient")

    recorder.send = send  # type: ignore[method-assign]
    home.drain()
    assert home.counts[:3] == (0, 0, 1)
    assert home.counts.carried.items == 19
    (parked,) = home.store.tables.deliveries.parked(FILES, 9)
    assert (str(parked.item.id), parked.reason) == (bad, "no such patient")
    assert len(recorder.sent) < 12


# Pace and patience


def test_pauses_grow_to_the_limit_and_are_spread(tmp_path: Path) -> None:
    recorder = Recorder(*[UpstreamUnavailable("not now")] * 60)

    async def scene() -> None:
        home = Home(tmp_path, recorder, time=LoopTime())
        home.kept.heart(0)
        await home.run_for(20_000)

    run_in_virtual_time(scene())
    pauses = [later - earlier for earlier, later in zip(recorder.times, recorder.times[1:], strict=False)]
    assert all(pause <= min(900.0, 2.0**n) for n, pause in enumerate(pauses))
    late = pauses[11:]
    assert len(late) > 20
    assert max(late) > 600
    assert min(late) < 300
    assert len(set(recorder.sent)) == 1


async def enqueue_every(home: Home, seconds: float, count: int) -> None:
    """One item of Anna's after the other, and the uploader is told."""
    for number in range(count):
        await home.store.write(lambda tables, number=number: put_heart(tables, number))  # type: ignore[misc]
        home.uploader.wake.set()
        await asyncio.sleep(seconds)


def test_while_all_is_well_a_batch_starts_once_in_an_interval(tmp_path: Path) -> None:
    recorder = Recorder()

    async def scene() -> None:
        home = Home(tmp_path, recorder, time=LoopTime(), interval_s=300.0)
        running_for = asyncio.create_task(home.run_for(4000))
        await asyncio.sleep(50)
        await enqueue_every(home, 70, 50)
        await running_for
        assert home.counts.carried.items == 50

    run_in_virtual_time(scene())
    assert recorder.times[0] == pytest.approx(50)
    pauses = [later - earlier for earlier, later in zip(recorder.times, recorder.times[1:], strict=False)]
    assert pauses == pytest.approx([300.0] * len(pauses))
    assert len(recorder.sent) == 13


def test_an_enqueue_wakes_the_uploader_and_success_ends_the_pauses(tmp_path: Path) -> None:
    recorder = Recorder(None, UpstreamUnavailable("not now"))

    async def scene() -> None:
        home = Home(tmp_path, recorder, time=LoopTime(), interval_s=0.1)
        running_for = asyncio.create_task(home.run_for(500))
        await asyncio.sleep(100)
        await enqueue_every(home, 100, 3)
        await running_for
        assert home.counts.carried.items == 3

    run_in_virtual_time(scene())
    assert recorder.times[:2] == pytest.approx([100, 200])
    assert recorder.times[2] - recorder.times[1] <= 1.0
    assert recorder.times[3] == pytest.approx(300)
    assert len(recorder.sent) == 4


def test_what_was_enqueued_in_flight_is_not_forgotten(tmp_path: Path) -> None:
    """A newer revision of what is in flight waits once that has arrived; nobody wakes the uploader for it again."""
    recorder = Recorder()

    async def scene() -> None:
        home = Home(tmp_path, recorder, time=LoopTime(), batch_items_max=2)
        for number in range(4):
            home.kept.heart(number)

        async def send(name: str, body: bytes) -> None:
            await home.store.write(
                lambda tables: put_heart(tables, 0, beats=400 + len(recorder.sent)) and None
            )
            if len(recorder.sent) < 1:
                home.uploader.wake.set()
            recorder.sent.append((name, body))

        send_once = recorder.send

        async def sending(name: str, body: bytes) -> None:
            await (send(name, body) if not recorder.sent else send_once(name, body))

        recorder.send = sending  # type: ignore[method-assign]
        await home.run_for(1000)
        assert home.counts[:2] == (0, 0)

    run_in_virtual_time(scene())
    assert [len(observations(body)) // 2 for _, body in recorder.sent] == [2, 2, 1]


def test_what_waited_behind_a_batch_of_an_earlier_run_follows_it(tmp_path: Path) -> None:
    recorder = Recorder(UpstreamUnavailable("not now"))

    async def scene() -> None:
        home = Home(tmp_path, recorder, time=LoopTime())
        home.kept.heart(0)
        async with running(home.store):
            await home.uploader.step()
        home.kept.heart(1)
        home.start()
        await home.run_for(10)
        assert home.counts[:2] == (0, 0)

    run_in_virtual_time(scene())
    assert len(recorder.sent) == 3


def test_a_backlog_goes_at_once_two_people_in_turn_without_holding_up_the_loop(tmp_path: Path) -> None:
    recorder, turns = Recorder(), 0

    async def scene() -> None:
        nonlocal turns
        home = Home(tmp_path, recorder, time=LoopTime(), interval_s=300.0)
        home.kept.hearts(300)
        home.kept.hearts(300, BEN)
        async with running(home.store):
            task = asyncio.create_task(home.uploader.run())
            while home.counts.carried.items < 600:
                turns += 1
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run_in_virtual_time(scene())
    assert recorder.times == [0.0] * 6
    assert turns > 6
    assert sorted(name for name, _ in recorder.sent) == [name for name, _ in recorder.sent]


class Counted:
    """A store that counts what is asked of it."""

    def __init__(self, home: Home) -> None:
        self.reads = self.writes = 0
        self._home = home

    async def read(self, work: Any) -> Any:
        self.reads += 1
        return await self._home.store.read(work)

    async def write(self, work: Any) -> Any:
        self.writes += 1
        return await self._home.store.write(work)


def counted(home: Home) -> Counted:
    store = Counted(home)
    home.uploader._store = store  # type: ignore[assignment]
    return store


def test_a_batch_costs_two_transactions_and_a_backlog_one_more_than_its_batches(tmp_path: Path) -> None:
    home = Home(tmp_path, Recorder(), batch_items_max=10)
    store = counted(home)
    home.kept.heart(0)
    home.drain()
    assert store.writes == 2
    for number in range(1, 51):
        home.kept.heart(number)
    home.drain()
    assert store.writes == 2 + 6


@pytest.mark.parametrize(
    ("anna", "trusted", "reads_max"),
    [(ALL, True, 2), (NONE, True, 2), (until(date(2030, 1, 1)), False, 2 + 24)],
)
def test_an_idle_uploader_rests(tmp_path: Path, anna: Consent, trusted: bool, reads_max: int) -> None:
    async def scene() -> None:
        home = Home(tmp_path, Recorder(), time=LoopTime() if trusted else ToldTime(None), anna=anna)
        store = counted(home)
        if anna is not ALL:
            home.kept.heart(0)
        await home.run_for(DAY_S)
        assert 0 < store.reads <= reads_max
        assert store.writes == 0

    run_in_virtual_time(scene())


def test_items_that_are_held_do_not_keep_the_uploader_busy(tmp_path: Path) -> None:
    async def scene() -> None:
        home = Home(tmp_path, Recorder(), time=LoopTime(), anna=NONE, interval_s=300.0)
        store = counted(home)
        running_for = asyncio.create_task(home.run_for(3600))
        await enqueue_every(home, 20, 150)
        await running_for
        assert store.reads <= 3600 / 300 + 2
        assert home.counts.pending == 150

    run_in_virtual_time(scene())


def test_composing_and_the_disk_are_off_the_loop(tmp_path: Path) -> None:
    threads: dict[str, set[str]] = {"compose": set(), "begin": set(), "disk": set()}

    def noting(what: str, call: Callable[..., T]) -> Callable[..., T]:
        def noted(*args: Any, **kwargs: Any) -> T:
            threads[what].add(threading.current_thread().name.rsplit("_", 1)[0])
            return call(*args, **kwargs)

        return noted

    by = workers.threads()
    upstream = FileUpstream(tmp_path / "out", by.files)
    upstream._put = noting("disk", upstream._put)  # type: ignore[method-assign]
    home = Home(tmp_path, upstream, by=by)
    home.uploader._compose = noting("compose", home.uploader._compose)
    deliveries = home.store.tables.deliveries
    deliveries.begin_batch = noting("begin", deliveries.begin_batch)  # type: ignore[method-assign]
    home.kept.heart(0)
    home.drain()
    assert threads == {"compose": {"reader"}, "begin": {"writer"}, "disk": {"files"}}
    home.store.close()
    by.close()
