"""The outbox loses nothing and doubles nothing, whatever moment it is cut off at."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
from edge_parts import StillClock, minimal_config, open_store

from edge.errors import UpstreamRejected, UpstreamUnavailable
from edge.outbox import DATA_CLASS, Batch, Counts, Item, Outbox
from edge.store import Store
from edge.upstream.files import FileUpstream
from edge.upstream.uploader import Uploader

KINDS = sorted(DATA_CLASS)


def item(number: int, rev: int = 1, kind: str = "cgm_reading") -> Item:
    return Item(UUID(int=number), kind, f"1/{number}", rev)


def enqueue(store: Store, outbox: Outbox, *items: Item) -> None:
    with store.transaction():
        for one in items:
            outbox.enqueue(one)


def states(store: Store) -> dict[int, tuple[str, int]]:
    return {UUID(row[0]).int: row[1:] for row in store.read("SELECT id, state, rev FROM outbox")}


class Renderer:
    """Bytes that say which items they carry; a new name each time, as time goes on."""

    def __init__(self) -> None:
        self.rendered = 0

    def __call__(self, items: Sequence[Item]) -> tuple[str, bytes]:
        self.rendered += 1
        carried = {str(one.id.int): one.rev for one in items}
        return f"batch-{self.rendered:04}", json.dumps(carried).encode()


@pytest.fixture
def outbox(tmp_path: Path) -> tuple[Store, Outbox]:
    store = open_store(minimal_config(tmp_path))
    return store, Outbox(store, StillClock())


def carried(batch: Batch | None) -> list[int]:
    assert batch is not None
    assert json.loads(batch.body) == {str(one.id.int): one.rev for one in batch.items}
    return [one.id.int for one in batch.items]


def test_items_go_oldest_first_in_batches(outbox: tuple[Store, Outbox]) -> None:
    store, box = outbox
    render = Renderer()
    enqueue(store, box, *map(item, (5, 3, 9, 1)))
    first = box.next_batch(3, KINDS, render)
    assert carried(first) == [5, 3, 9]
    assert box.next_batch(3, KINDS, render) == box.in_flight() == first
    assert box.counts() == Counts(1, 3, 0, 0, "boot-1", 0)
    box.acknowledge()
    assert carried(box.next_batch(3, KINDS, render)) == [1]
    box.acknowledge()
    assert box.next_batch(3, KINDS, render) is None
    assert box.in_flight() is None
    assert box.counts() == Counts(0, 0, 4, 0, None, None)
    assert render.rendered == 2


def test_the_same_revision_is_one_item(outbox: tuple[Store, Outbox]) -> None:
    store, box = outbox
    enqueue(store, box, item(1), item(1))
    box.next_batch(9, KINDS, Renderer())
    box.acknowledge()
    enqueue(store, box, item(1))
    assert states(store) == {1: ("acked", 1)}
    enqueue(store, box, item(1, rev=2))
    enqueue(store, box, item(1, rev=1))
    assert states(store) == {1: ("pending", 2)}


def test_a_revision_made_in_flight_goes_after_it(outbox: tuple[Store, Outbox]) -> None:
    store, box = outbox
    render = Renderer()
    enqueue(store, box, item(1), item(2))
    first = box.next_batch(9, KINDS, render)
    enqueue(store, box, item(1, rev=2))
    assert box.in_flight() == first
    box.acknowledge()
    assert states(store) == {1: ("pending", 2), 2: ("acked", 1)}
    assert carried(box.next_batch(9, KINDS, render)) == [1]
    box.acknowledge()
    assert states(store) == {1: ("acked", 2), 2: ("acked", 1)}


def test_enqueueing_belongs_to_the_callers_transaction(outbox: tuple[Store, Outbox]) -> None:
    store, box = outbox
    with pytest.raises(AssertionError):
        box.enqueue(item(1))

    def fail() -> None:
        with store.transaction():
            box.enqueue(item(1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert states(store) == {}


def test_only_permitted_kinds_go(outbox: tuple[Store, Outbox]) -> None:
    store, box = outbox
    enqueue(store, box, item(1, kind="heart_5min"), item(2, kind="glucose_day"), item(3))
    assert box.next_batch(9, [], Renderer()) is None
    assert carried(box.next_batch(9, ["glucose_day", "cgm_reading"], Renderer())) == [2, 3]
    box.release()
    assert {state for state, _ in states(store).values()} == {"pending"}
    assert carried(box.next_batch(9, ["heart_5min"], Renderer())) == [1]


@pytest.mark.parametrize("poison", [set(), {0}, {63}, {30, 31}, {5, 40, 41, 62}, set(range(64))])
def test_refused_items_are_found_and_parked(outbox: tuple[Store, Outbox], poison: set[int]) -> None:
    store, box = outbox
    render = Renderer()
    enqueue(store, box, *map(item, range(64)))
    while (batch := box.next_batch(64, KINDS, render)) is not None:
        assert render.rendered < 1000
        if poison & {one.id.int for one in batch.items}:
            box.reject("no such patient")
        else:
            box.acknowledge()
    assert {number for number, (state, _) in states(store).items() if state == "parked"} == poison
    assert {number for number, (state, _) in states(store).items() if state == "acked"} == set(
        range(64)
    ) - poison
    assert [(parked.item.id.int, parked.reason) for parked in box.parked()] == [
        (number, "no such patient") for number in sorted(poison)
    ]
    # Halving 64 costs at most two batches a level for each refused item.
    assert render.rendered <= 1 + 12 * len(poison)
    if 63 in poison:
        enqueue(store, box, item(63, rev=2))
        assert carried(box.next_batch(64, KINDS, render)) == [63]


def test_deferring_keeps_the_batch_and_notes_why(outbox: tuple[Store, Outbox]) -> None:
    store, box = outbox
    enqueue(store, box, item(1))
    batch = box.next_batch(9, KINDS, Renderer())
    box.defer("no route")
    box.defer("disk full")
    assert box.in_flight() == batch
    assert store.read("SELECT attempts, reason, state FROM outbox") == [(2, "disk full", "inflight")]
    box.acknowledge()
    assert store.read("SELECT reason, state FROM outbox") == [(None, "acked")]


# Cut off at any moment


class Cut(BaseException):
    """The process ends here."""


class Wire:
    """An upstream of files that fails, refuses and cuts off by plan."""

    def __init__(self, directory: Path, rng: random.Random, poison: set[int]) -> None:
        self.files = FileUpstream(directory)
        self.rng = rng
        self.poison = poison
        self.calm = False

    async def send(self, name: str, body: bytes) -> None:
        fate = 1.0 if self.calm else self.rng.random()
        if fate < 0.1:
            raise Cut("before sending")
        if fate < 0.2:
            raise UpstreamUnavailable("not now")
        if self.poison & set(map(int, json.loads(body))):
            raise UpstreamRejected("poison")
        target = self.files.directory / f"{name}.json"
        if target.exists():
            assert target.read_bytes() == body, "one name, two contents"
        await self.files.send(name, body)
        if fate < 0.3:
            raise Cut("sent, not acknowledged")
        if fate < 0.4:
            raise UpstreamUnavailable("sent, but the answer was lost")


class Home:
    """A gateway that is cut off and started again over the same files."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.config = minimal_config(directory)
        self.renderer = Renderer()
        self.poison: set[int] = set(self.rng.sample(range(60), 3)) if seed % 2 else set()
        self.wire = Wire(self.config.upstream.directory, self.rng, self.poison)
        self.clock = StillClock()
        self.truth: dict[int, int] = {}
        self.cuts = 0
        self.start()

    def start(self) -> None:
        self.store = open_store(self.config)
        assert self.store.quarantined is None
        self.outbox = Outbox(self.store, self.clock)
        self.uploader = Uploader(
            self.config, self.outbox, self.renderer, self.wire, self.clock, random.Random(1)
        )

    def guarded(self, action: str) -> None:
        try:
            getattr(self, action)()
        except Cut:
            self.cuts += 1
            self.store.close()
            self.start()

    def produce(self) -> None:
        new = {self.rng.randrange(60): 0 for _ in range(self.rng.randint(1, 6))}
        items = {number: self.truth.get(number, 0) + 1 for number in new}
        with self.store.transaction():
            for number, rev in items.items():
                self.outbox.enqueue(item(number, rev))
            if self.rng.random() < 0.1:
                raise Cut("before the commit")
        self.truth |= items

    def upload(self) -> None:
        """One step of the uploader, cut off now and then at one of its writes."""
        write, left = self.store.write, self.rng.choice([0, 1, 2, 5, 99, 99, 99, 99])

        def failing_write(sql: str, *values: object) -> int:
            nonlocal left
            if not left and not self.wire.calm:
                raise Cut("in the middle of a transaction")
            left -= 1
            return write(sql, *values)  # type: ignore[arg-type]

        self.store.write = failing_write  # type: ignore[method-assign]
        try:
            asyncio.run(self.uploader.step())
        finally:
            self.store.write = write  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_doubled_whatever_is_cut_off(tmp_path: Path, seed: int) -> None:
    home = Home(tmp_path, seed)
    for _ in range(60):
        home.guarded(home.rng.choice(["produce", "upload", "upload"]))
    home.wire.calm = True
    for _ in range(500):
        home.guarded("upload")
        if home.outbox.counts()[:2] == (0, 0):
            break
    assert home.outbox.counts()[:2] == (0, 0)
    assert home.cuts > 2

    arrived: dict[int, list[int]] = {}
    for path in sorted(home.config.upstream.directory.iterdir()):
        for number, rev in json.loads(path.read_text()).items():
            arrived.setdefault(int(number), []).append(rev)
    # Each revision is in one file only, and they come in order; the last one is the truth.
    for number, revs in arrived.items():
        assert revs == sorted(set(revs)), number
    assert {number: revs[-1] for number, revs in arrived.items()} == {
        number: rev for number, rev in home.truth.items() if number not in home.poison
    }
    assert {parked.item.id.int for parked in home.outbox.parked()} == home.poison & home.truth.keys()
    assert states(home.store).keys() == home.truth.keys()
    home.store.close()


KILLED = """
import asyncio, os, random, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from edge_parts import StillClock, minimal_config, open_store
from test_edge_outbox import Renderer, item
from edge import durable
from edge.outbox import Outbox
from edge.upstream.files import FileUpstream
from edge.upstream.uploader import Uploader

directory, step = Path(sys.argv[2]), int(sys.argv[3])
calls = iter(range(10**6))

def counted(function):
    def call(*values):
        if next(calls) == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*values)
    return call

config = minimal_config(directory)
store = open_store(config)
store.write = counted(store.write)
os.fsync = counted(os.fsync)
Path.rename = counted(Path.rename)
clock = StillClock()
outbox = Outbox(store, clock)
with store.transaction():
    for number in range(6):
        outbox.enqueue(item(number))
render = Renderer()
render.rendered = step * 10
uploader = Uploader(config, outbox, render, FileUpstream(config.upstream.directory), clock, random.Random(1))

async def drain():
    for _ in range(1000):
        if await uploader.step() is None:
            return
    raise AssertionError("the outbox is never empty")

asyncio.run(drain())
print("drained")
"""


def test_killed_at_any_step_and_started_again(tmp_path: Path) -> None:
    """SIGKILL at each write, fsync and rename of enqueueing, sending and acknowledging."""

    def run(directory: Path, step: int) -> str:
        command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(directory), str(step)]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False
        )
        assert done.returncode in (0, -9), done.stderr
        return done.stdout

    steps = 0
    for step in range(0, 40, 2):
        directory = tmp_path / str(step)
        steps += 1
        finished = bool(run(directory, step))
        if not finished:
            assert run(directory, 10**5)
        files = list((directory / "upstream").iterdir())
        assert [json.loads(path.read_text()) for path in files] == [{str(number): 1 for number in range(6)}]
        if finished:
            break
    assert 5 < steps < 20
