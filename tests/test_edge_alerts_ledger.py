"""What happens to alerts reaches the store in its order and together with the state, also after a full disk."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from edge_parts import StillClock, minimal_config, open_store
from store_parts import alert_event

from edge.agenda import Agenda
from edge.alerts import ledger
from edge.alerts.ledger import Ledger
from edge.store.door import Store
from edge.workers import InlineWorker, Workers
from hw_sim.clock import VirtualClock, run
from hw_sim.disk import SimulatedDisk


class Desk:
    """A ledger over a disk in virtual time."""

    def __init__(self, directory: Path, delay_s: tuple[float, float] = (0.01, 0.01)) -> None:
        self.disk = SimulatedDisk(1, delay_s=delay_s)
        workers = Workers(self.disk, InlineWorker(), InlineWorker())
        self.store = open_store(minimal_config(directory), by=workers)
        self.clock = VirtualClock(0, "boot-1")
        self.agenda = Agenda(self.clock)
        self.ledger = Ledger(self.store, self.agenda, self.clock, boot_no=1)
        self.state = b"0"
        self.ledger.version, self.ledger.body = 7, lambda: self.state

    def note(self, n: int) -> None:
        """Something happened, and changed the state."""
        self.ledger.note(alert_event("glucose_low", ordinal=n), ("journal",))
        self.state = b"%d" % n
        self.ledger.save()

    @property
    def stored(self) -> list[int]:
        return [event.ordinal for event in reversed(self.store.tables.alerts.newest(99_999))]

    @property
    def blob(self) -> tuple[int, bytes] | None:
        return self.store.tables.blobs.get("alerts", 0)


def play(make: Callable[[], Desk], scenario: Callable[[Desk], Awaitable[None]]) -> Desk:
    async def main() -> Desk:
        desk = make()
        tasks = [asyncio.ensure_future(desk.agenda.run()), asyncio.ensure_future(desk.store.run())]
        await scenario(desk)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return desk

    return run(main())


def test_events_and_the_state_that_they_led_to_are_one_commit(tmp_path: Path) -> None:
    seen: list[tuple[list[int], tuple[int, bytes] | None]] = []

    async def scenario(desk: Desk) -> None:
        for n in (1, 2, 3):
            desk.note(n)
            seen.append((desk.stored, desk.blob))
            await asyncio.sleep(0.006)
        await asyncio.sleep(1)
        seen.append((desk.stored, desk.blob))

    play(lambda: Desk(tmp_path), scenario)
    assert seen[-1] == ([1, 2, 3], (7, b"3"))
    assert all(blob is None or blob[1] == b"%d" % max(stored) for stored, blob in seen)


def test_a_full_disk_loses_nothing_and_changes_no_order(tmp_path: Path) -> None:

    async def scenario(desk: Desk) -> None:
        desk.disk.refuses = True
        for n in range(1, 6):
            desk.note(n)
            desk.ledger.move(alert_event("glucose_low", ordinal=n).id, "journal", "delivered", 1)
            await asyncio.sleep(100)
        assert (desk.stored, desk.blob) == ([], None)
        desk.disk.refuses = False
        await asyncio.sleep(61)
        assert (desk.stored, desk.blob) == ([1, 2, 3, 4, 5], (7, b"5"))
        assert desk.store.tables.alerts.waiting() == []
        assert desk.ledger.is_empty

    play(lambda: Desk(tmp_path), scenario)


def test_it_goes_with_the_next_commit_that_works(tmp_path: Path) -> None:

    async def scenario(desk: Desk) -> None:
        desk.disk.refuses = True
        desk.note(1)
        await asyncio.sleep(1)
        desk.disk.refuses = False
        await desk.store.write(lambda tables: tables.sensors.keep_trait(1, "x", "y"))
        assert desk.stored == [1]

    play(lambda: Desk(tmp_path), scenario)


def test_what_cannot_be_stored_for_weeks_is_bounded_and_the_newest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "WAITING_MAX", 4)

    async def scenario(desk: Desk) -> None:
        desk.disk.refuses = True
        for n in range(1, 10):
            desk.note(n)
            await asyncio.sleep(1)
        desk.disk.refuses = False
        await asyncio.sleep(61)

    desk = play(lambda: Desk(tmp_path), scenario)
    assert desk.stored[-3:] == [7, 8, 9]
    assert len(desk.stored) <= 5


def test_the_state_is_kept_now_and_then_though_nothing_happens(tmp_path: Path) -> None:
    seen = []

    async def scenario(desk: Desk) -> None:
        desk.ledger.save()
        for n in range(1, 5):
            desk.state = b"%d" % n
            await asyncio.sleep(301)
            seen.append(desk.blob)

    play(lambda: Desk(tmp_path), scenario)
    assert [body for _, body in filter(None, seen)] == [b"1", b"2", b"3", b"4"]


def test_where_something_else_is_committed_it_goes_along(tmp_path: Path) -> None:
    """And makes no commit of its own."""

    async def scenario(desk: Desk) -> None:
        desk.ledger.save()
        await asyncio.sleep(1)
        done = desk.disk.done
        for _ in range(20):
            await asyncio.sleep(60)
            await desk.store.write(lambda tables: tables.sensors.keep_trait(1, "x", "y"))
        assert desk.disk.done == done + 20

    play(lambda: Desk(tmp_path), scenario)


def test_a_store_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    """The store says so itself; the alerts go on."""
    store: Store = open_store(minimal_config(tmp_path))
    clock = StillClock()
    book = Ledger(store, Agenda(clock), clock, boot_no=1)

    async def main() -> None:
        writing = asyncio.ensure_future(store.run())
        await asyncio.sleep(0)
        store.path.unlink()
        book.note(alert_event("glucose_low"), ())
        book.save()
        await asyncio.wait({writing})
        assert writing.exception() is not None
        assert not book.is_empty

    run(main())
