"""Deliveries and uploader against a plain model: whatever is cut off, refused, put off or revised, nothing is lost.

A schedule enqueues, revises, sends, kills at any await, fails the store before and after its commits, has the upstream
refuse, be unavailable and lose its answers, moves the clock, takes trust from it and lets consent end. At each send and
each commit the model says whether that was right, and in the end what must have arrived.
"""

import asyncio
import itertools
import json
import logging
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from datetime import date
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S
from fhir_directory import components
from test_edge_upstream_uploader import Home as UploadingHome
from upstream_parts import ALL, ANNA, BEN, DAY_S, LoopTime, Recorder, ToldTime, put_heart, two_people

from edge.errors import StoreUnavailable, UpstreamRejected, UpstreamUnavailable
from edge.store.database import Database
from edge.store.deliveries import Batch, Carried, Deliveries, Item
from edge.store.schema import SCHEMA, statements
from edge.store.summaries import Summary
from edge.upstream.composer import Composed, _name
from edge.upstream.routes import FILES
from edge.upstream.uploader import Uploader
from edge.workers import InlineWorker, Workers
from hw_sim.clock import run as run_in_virtual_time
from hw_sim.disk import SimulatedDisk

T = TypeVar("T")

KINDS = ("cgm_reading", "glucose_day", "heart_5min")
NUMBERS = 36
# Anna consents to everything until the end of the next day, Ben to heart summaries and readings for good.
LAST_DAY = date(2026, 11, 22)
ANNA_UNTIL_UTC_S = MIDNIGHT_UTC_S + 2 * DAY_S
BENS = ("heart_5min", "cgm_reading")


def item(number: int, rev: int) -> Item:
    kind, person = KINDS[number % 3], (ANNA, BEN)[number // 3 % 2]
    return Item(kind, f"ref/{number}", UUID(int=number), person, rev)


def may_go(number: int, utc_s: int | None) -> bool:
    one = item(number, 1)
    if one.person == BEN:
        return one.kind in BENS
    return utc_s is not None and utc_s < ANNA_UNTIL_UTC_S


class Cut(BaseException):
    """The process ends here."""


class Fate:
    """What happens at each await: nothing, the end of the process, or a store that will not."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.calm = False
        self.cuts: Counter[str] = Counter()

    def __call__(self, point: str, *, may_fail: bool = False) -> None:
        if self.calm:
            return
        drawn = self.rng.random()
        if drawn < 0.03:
            self.cuts[point] += 1
            raise Cut(point)
        if may_fail and drawn < 0.06:
            raise StoreUnavailable(f"{point}: disk full")


class CutStore:
    """A store that is cut off and fails by fate; `watch` is told of each commit, with the batch before and after it."""

    def __init__(self, tables: Any, fate: Fate, watch: Callable[[Batch | None, Batch | None], None]) -> None:
        self.tables = tables
        self.fate = fate
        self.watch = watch

    async def read(self, work: Callable[[Any], T]) -> T:
        self.fate("before reading", may_fail=True)
        found = work(self.tables)
        self.fate("after reading")
        return found

    async def write(self, work: Callable[[Any], T]) -> T:
        self.fate("before writing", may_fail=True)
        before = self.tables.deliveries.in_flight(FILES)
        with self.tables.database.transaction():
            result = work(self.tables)
            self.fate("before the commit", may_fail=True)
        self.watch(before, self.tables.deliveries.in_flight(FILES))
        # The worst of failures: it is told of something that is done.
        self.fate("after the commit", may_fail=True)
        return result


class Wire:
    """An upstream that keeps files by their name, and holds each send against the model."""

    route = FILES

    def __init__(self, home: "Home") -> None:
        self.home = home
        self.files: dict[str, bytes] = {}
        self.order: list[str] = []
        self.seen: dict[str, bytes] = {}

    async def send(self, name: str, body: bytes) -> None:
        home = self.home
        home.fate("before sending")
        kept = home.deliveries.in_flight(FILES)
        assert kept is not None, "sent before it was kept"
        assert (kept.name, kept.body) == (name, body)
        assert self.seen.setdefault(name, body) == body, "one name, two contents"
        carried = {int(number): rev for number, rev in json.loads(body).items()}
        assert len({item(number, 1).person for number in carried}) == 1
        for number, rev in carried.items():
            assert may_go(number, home.time.utc_s), "sent without consent"
            assert 0 < rev <= home.truth[number]
        if not home.fate.calm and home.rng.random() < 0.1:
            raise UpstreamUnavailable("not now")
        if home.poison & carried.keys():
            home.outcome[name] = "refused"
            raise UpstreamRejected("poison")
        if name not in self.files:
            self.order.append(name)
        self.files[name] = body
        home.fate("sent, not acknowledged")
        if not home.fate.calm and home.rng.random() < 0.1:
            raise UpstreamUnavailable("taken, but the answer was lost")
        home.outcome[name] = "taken"


class Home:
    """A gateway's deliveries that are cut off and taken up again, and what is true of them."""

    def __init__(self, directory: Path, database: Database, runner: asyncio.Runner, seed: int) -> None:
        self.rng = random.Random(seed)
        self.runner = runner
        self.fate = Fate(self.rng)
        self.time = ToldTime()
        consents = (
            msgspec.structs.replace(ALL, valid_until=LAST_DAY),
            msgspec.structs.replace(ALL, glucose_summaries=False),
        )
        self.config = two_people(directory, *consents, batch_items_max=self.rng.choice([1, 4, 100]))
        self.database = database
        self.deliveries = Deliveries(database)
        self.wire = Wire(self)
        self.truth: dict[int, int] = {}
        self.poison = set(self.rng.sample(range(NUMBERS), 3)) if seed % 2 else set()
        # These cannot be composed, each up to some revision.
        self.broken = {number: self.rng.randint(1, 4) for number in self.rng.sample(range(NUMBERS), 4)}
        self.start()

    def start(self) -> None:
        # What a process does not remember it cannot have noted.
        self.outcome: dict[str, str] = {}
        tables = SimpleNamespace(database=self.database, deliveries=self.deliveries)
        self.store = CutStore(tables, self.fate, self.watch)
        self.uploader = Uploader(
            self.config,
            self.store,  # type: ignore[arg-type]
            self.compose,
            self.wire,
            timekeeper=self.time,
            rng=random.Random(1),
        )

    def compose(self, _: Any, items: Sequence[Item], utc_s: int | None, after: Carried) -> Composed:
        failed = tuple((one, "broken") for one in items if self.is_broken(one.id.int, one.rev))
        good = tuple(one for one in items if not self.is_broken(one.id.int, one.rev))
        if not good:
            return Composed(None, failed)
        body = json.dumps({one.id.int: one.rev for one in good}).encode()
        sent_utc_s = max(utc_s or MIDNIGHT_UTC_S, after.last_utc_s or 0)
        return Composed(Batch(_name(sent_utc_s, after.batches + 1, body), body, good), failed)

    def is_broken(self, number: int, rev: int) -> bool:
        return rev <= self.broken.get(number, 0)

    def watch(self, before: Batch | None, after: Batch | None) -> None:
        """A commit: a batch ends its flight only if its fate is known, or it may no longer go."""
        if before is None or (after is not None and after.name == before.name):
            assert before == after or before is None
            return
        allowed = all(may_go(one.id.int, self.time.utc_s) for one in before.items)
        assert before.name in self.outcome or not allowed, "given up in flight"

    # What happens

    def produce(self) -> None:
        numbers = [self.rng.randrange(NUMBERS) for _ in range(self.rng.randint(1, 6))]
        items = [item(number, self.truth.get(number, 0) + 1) for number in dict.fromkeys(numbers)]
        with self.database.transaction():
            for one in items:
                self.deliveries.enqueue(one, FILES, 1, 0)
            self.fate("before the commit of what is enqueued")
        self.truth |= {one.id.int: one.rev for one in items}
        self.uploader.wake.set()

    def upload(self) -> float | None:
        try:
            return self.runner.run(self.uploader.step())
        finally:
            # A store that failed is asked anew, and the batch goes again.
            if not self.uploader._is_known:
                self.outcome = {}

    def pass_time(self) -> None:
        self.now_utc_s = self.known_utc_s() + self.rng.choice([1, 60, 3600, 6 * 3600])
        self.time.utc_s = None if self.rng.random() < 0.2 else self.now_utc_s

    def known_utc_s(self) -> int:
        return getattr(self, "now_utc_s", MIDNIGHT_UTC_S)

    def restart(self) -> None:
        raise Cut("between two steps")

    def live(self, events: int) -> None:
        for _ in range(events):
            event = self.rng.choice(
                [self.produce, self.produce, *[self.upload] * 5, self.pass_time, self.restart]
            )
            try:
                event()
            except Cut:
                self.start()

    def settle(self) -> None:
        """From now on all is well, and the clock is trusted."""
        self.fate.calm = True
        self.time.utc_s = self.known_utc_s() + 1
        # What waits for a trusted clock is looked at once an hour.
        self.uploader.wake.set()
        for _ in range(500):
            if self.upload() is None and not self.uploader.wake.is_set():
                return
        raise AssertionError("there is no end of batches")

    def arrived(self) -> dict[int, list[int]]:
        """The revisions of each item as a reader of the files finds them, by name."""
        found: dict[int, list[int]] = {}
        for name in sorted(self.wire.files):
            for number, rev in json.loads(self.wire.files[name]).items():
                found.setdefault(int(number), []).append(rev)
        return found


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "store.db", IDENTITY)) as opened:
        opened.read("PRAGMA synchronous = OFF")
        with opened.transaction():
            for statement in statements(SCHEMA):
                opened.write(statement)
            opened.write("INSERT INTO boots VALUES (1, 'boot-1')")
        yield opened


def check(home: Home) -> None:
    states = dict(home.database.read("SELECT ref, state FROM deliveries"))
    assert states.keys() == {item(number, 1).ref for number in home.truth}
    arrived = home.arrived()
    for number, rev in home.truth.items():
        state = states[item(number, 1).ref]
        revs = arrived.get(number, [])
        assert revs == sorted(revs), "an older revision after a newer one"
        assert not any(home.is_broken(number, one) for one in revs)
        if home.is_broken(number, rev):
            assert state == "parked" or not may_go(number, home.time.utc_s)
        elif number in home.poison:
            assert revs == []
            assert state == "parked" or not may_go(number, home.time.utc_s)
        elif may_go(number, home.time.utc_s):
            assert (revs[-1], state) == (rev, "acked"), number
        else:
            assert state == "pending" or revs[-1] == rev
    written = Counter(
        {
            tuple(row[:4]): row[4]
            for row in home.database.read("SELECT * FROM delivery_counts WHERE items <> 0")
        }
    )
    rows = home.database.read("SELECT route, state, person, kind FROM deliveries")
    assert written == Counter(rows)
    # By name is in the order in which they were sent, of each person.
    for person in (ANNA, BEN):
        names = [
            name.rsplit("-", 1)[0]
            for name in home.wire.order
            if item(int(next(iter(json.loads(home.wire.files[name])))), 1).person == person
        ]
        assert names == sorted(names)


SCHEDULES, SOAK_SCHEDULES, AT_ONCE = 40, 560, 40


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[pytest.mark.soak] * (first >= SCHEDULES))
        for first in range(0, SCHEDULES + SOAK_SCHEDULES, AT_ONCE)
    ],
)
def test_nothing_is_lost_doubled_or_sent_without_consent(
    tmp_path: Path, database: Database, first: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    cuts: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    with asyncio.Runner() as runner:
        for seed in range(first, first + AT_ONCE):
            with database.transaction():
                for table in ("deliveries", "batches", "carried", "delivery_counts"):
                    database.write(f"DELETE FROM {table}")
            home = Home(tmp_path, database, runner, seed)
            home.live(80)
            home.settle()
            check(home)
            cuts += home.fate.cuts
            outcomes += Counter(state for (state,) in database.read("SELECT state FROM deliveries"))
    # The schedules are of any use: the process ended at each kind of await, items ended in each state.
    assert len(cuts) == 8, cuts
    assert outcomes.keys() == {"pending", "acked", "parked"}


async def live_on(
    home: UploadingHome, rng: random.Random, revision: Iterator[int], disk: SimulatedDisk
) -> None:
    """Store and revise windows while the uploader runs, until the power is cut."""
    writing = asyncio.ensure_future(home.store.run())
    uploading = asyncio.ensure_future(home.uploader.run())
    for _ in range(rng.randint(3, 15)):
        put = partial(put_heart, number=rng.randrange(8), beats=next(revision))
        with suppress(StoreUnavailable):
            await home.store.write(put)
        home.uploader.wake.set()
        await asyncio.sleep(rng.uniform(0.0, 3.0))
    disk.cut()
    await asyncio.sleep(rng.uniform(0.0, 1.0))
    for task in (writing, uploading):
        task.cancel()
    await asyncio.gather(writing, uploading, return_exceptions=True)
    home.store.close()


@pytest.mark.parametrize("seed", range(4))
def test_on_a_slow_failing_disk_and_through_power_cuts_everything_arrives(tmp_path: Path, seed: int) -> None:
    rng, revision, wire = random.Random(seed), itertools.count(300), Recorder()

    async def send(name: str, body: bytes, send: Any = wire.send) -> None:
        await asyncio.sleep(rng.uniform(0.0, 1.0))
        await send(name, body)
        if rng.random() < 0.2:
            raise UpstreamUnavailable("the answer was lost")

    wire.send = send  # type: ignore[method-assign]

    async def scene() -> list[Summary]:
        for life in range(5):
            disk = SimulatedDisk(10 * seed + life, delay_s=(0.005, 0.5), failures=0.1)
            by = Workers(disk, InlineWorker(), InlineWorker())
            home = UploadingHome(tmp_path, wire, time=LoopTime(), by=by, interval_s=1.0)
            await live_on(home, rng, revision, disk)
        home = UploadingHome(tmp_path, wire, time=LoopTime(), interval_s=1.0)
        await home.run_for(1000)
        assert home.counts[:3] == (0, 0, 0)
        return home.store.tables.summaries.between("heart_5min")

    stored = run_in_virtual_time(scene())
    bodies: dict[str, bytes] = {}
    for name, body in wire.sent:
        assert bodies.setdefault(name, body) == body
    arrived: dict[str, Any] = {}
    for name in sorted(bodies):
        for one in (entry["resource"] for entry in json.loads(bodies[name])["entry"]):
            arrived[one["id"]] = one
    assert len(stored) > 3
    for summary in stored:
        parts = components(arrived[str(summary.id)])
        assert parts["beats"] == summary.body["beats"]


KILLED = """
import asyncio, os, random, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from edge_parts import IDENTITY, running
from test_edge_upstream_uploader import Home, files_in
from edge.store.database import Database

directory, step = Path(sys.argv[2]), int(sys.argv[3])
calls = iter(range(10**6))

def counted(function):
    def call(*values, **named):
        if next(calls) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*values, **named)
    return call

home = Home(directory, files_in(directory / "upstream"), batch_items_max=3)
Database.write = counted(Database.write)
Database.execute = counted(Database.execute)
os.fsync = counted(os.fsync)
Path.rename = counted(Path.rename)
if home.counts == home.counts._replace(pending=0, inflight=0) and home.counts.carried.items == 0:
    home.kept.readings(6)
home.drain()
print("drained", home.counts.carried.items)
"""


def test_killed_at_any_step_and_started_again(tmp_path: Path) -> None:
    """SIGKILL at each statement, fsync and rename of enqueueing, sending and acknowledging."""

    def run(directory: Path, step: int) -> str:
        command = [sys.executable, "-P", "-c", KILLED, str(Path(__file__).parent), str(directory), str(step)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode in (0, -9), done.stderr
        return done.stdout

    steps = 0
    for step in range(0, 400, 29):
        directory = tmp_path / str(step)
        steps += 1
        finished = bool(run(directory, step))
        if not finished:
            assert run(directory, 10**5) == "drained 6\n"
        bodies = [json.loads(path.read_text()) for path in sorted((directory / "upstream").iterdir())]
        ids = [e["resource"]["id"] for b in bodies for e in b["entry"] if "Observation/" in e["fullUrl"]]
        assert len(bodies) == 2
        assert len(ids) == len(set(ids)) == 6
        if finished:
            break
    assert 3 < steps < 14
