"""tools.rig.bench.leases: who has what on the bench, and what becomes of it when holders die, stop or fall silent."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from edge.clock import NS_PER_S, SystemClock
from tools.rig.bench import holders
from tools.rig.bench.errors import BenchError, LeaseLost, NothingFree
from tools.rig.bench.holders import Holder
from tools.rig.bench.leases import SILENT_S, TERM_S, Leases, Wanted

DONGLES = ["dongle a", "dongle b"]
GATEWAY = ["gateway pi"]
EVERYTHING = [Wanted(DONGLES, 2), Wanted(GATEWAY)]
ROOT = Path(__file__).parents[1]


class Hand:
    """A clock that somebody moves."""

    boot_id = "boot"

    def __init__(self) -> None:
        self.s = 1000.0

    def boot_ns(self) -> int:
        return round(self.s * NS_PER_S)

    def utc_ns(self) -> int:
        return 0

    def utc_error_ms(self) -> int | None:
        return None


def nobody_dies(_: Holder) -> bool:
    return False


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def leases(tmp_path: Path, clock: Hand) -> Leases:
    return Leases(tmp_path / "leases", clock, nobody_dies)


def test_what_is_held_is_not_given_to_another_and_what_is_given_back_is(leases: Leases) -> None:
    first = leases.take([Wanted(DONGLES)], "night shift")
    second = leases.take([Wanted(DONGLES)], "day shift")
    assert set(first.fences) | set(second.fences) == set(DONGLES)
    with pytest.raises(NothingFree, match=rf"held by process {os.getpid()} \(night shift\)"):
        leases.take([Wanted(DONGLES)], "third")
    leases.give_back(first)
    assert set(leases.take([Wanted(DONGLES)], "third").fences) == set(first.fences)


def test_all_is_given_or_nothing(leases: Leases) -> None:
    held = leases.take([Wanted(DONGLES)], "one")
    with pytest.raises(NothingFree):
        leases.take(EVERYTHING, "all")
    assert {row.name for row in leases.rows() if row.holder} == set(held.fences)
    leases.give_back(held)
    assert len(leases.take(EVERYTHING, "all").fences) == 3


def test_more_than_there_is_cannot_be_taken(leases: Leases) -> None:
    with pytest.raises(NothingFree, match=r"3 of dongle a, dongle b: there are no more"):
        leases.take([Wanted(DONGLES, 3)], "too many sensors")


def test_each_taking_has_a_higher_fence(leases: Leases) -> None:
    fences: list[int] = []
    for _ in range(3):
        lease = leases.take([Wanted(GATEWAY)], "again")
        fences += lease.fences.values()
        leases.give_back(lease)
    assert fences == sorted(set(fences))


def test_a_silent_holder_stops_before_others_may_take_what_it_has(leases: Leases, clock: Hand) -> None:
    lease = leases.take([Wanted(GATEWAY)], "sleeps")
    clock.s += TERM_S - 0.1
    lease.require()
    leases.renew(lease)
    clock.s += TERM_S
    with pytest.raises(LeaseLost):
        lease.require()
    with pytest.raises(NothingFree):
        leases.take([Wanted(GATEWAY)], "too early")
    clock.s += SILENT_S - TERM_S
    assert leases.take([Wanted(GATEWAY)], "now it is free").fences["gateway pi"] > lease.fences["gateway pi"]


def test_a_holder_that_was_declared_dead_cannot_go_on(leases: Leases, clock: Hand) -> None:
    silent = leases.take([Wanted(GATEWAY)], "silent")
    clock.s += SILENT_S
    successor = leases.take([Wanted(GATEWAY)], "successor")
    for go_on in (silent.require, lambda: leases.renew(silent)):
        with pytest.raises(LeaseLost):
            go_on()
    leases.give_back(silent)  # it must not give away what is another's by now
    successor.require()
    leases.renew(successor)
    with pytest.raises(NothingFree):
        leases.take([Wanted(GATEWAY)], "third")


def test_the_fence_alone_keeps_out_who_believes_its_lease_is_good(leases: Leases, clock: Hand) -> None:
    """As after a process was stopped between its look at the clock and its write."""
    silent = leases.take([Wanted(GATEWAY)], "silent")
    clock.s += SILENT_S
    leases.take([Wanted(GATEWAY)], "successor")
    silent.renewed_ns = clock.boot_ns()
    with pytest.raises(LeaseLost, match="another process has taken it"):
        leases.renew(silent)
    with pytest.raises(LeaseLost):
        silent.require()


def test_what_was_lost_once_stays_lost(leases: Leases, clock: Hand) -> None:
    lease = leases.take([Wanted(GATEWAY)], "clock that jumps")
    clock.s += TERM_S
    with pytest.raises(LeaseLost):
        lease.require()
    clock.s -= TERM_S
    with pytest.raises(LeaseLost):
        lease.require()


def test_a_lease_is_kept_until_it_cannot_be(leases: Leases, clock: Hand) -> None:
    lease = leases.take([Wanted(GATEWAY)], "kept")

    async def play() -> None:
        keeping = asyncio.ensure_future(leases.keep(lease, 0.01))
        for _ in range(4):
            clock.s += TERM_S / 2
            before_ns = lease.renewed_ns
            while lease.renewed_ns == before_ns:
                await asyncio.sleep(0.005)
        clock.s += SILENT_S
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(keeping, 10)

    asyncio.run(play())


def test_a_file_that_is_none_of_leases_is_the_benchs_fault(tmp_path: Path, clock: Hand) -> None:
    (tmp_path / "leases").write_text("these are no leases\n" * 100)
    with pytest.raises(BenchError, match="not a database"):
        Leases(tmp_path / "leases", clock).take(EVERYTHING, "x")
    with pytest.raises(BenchError, match="unable to open"):
        Leases(tmp_path / "nowhere" / "leases", clock).rows()


# Who is alive


def test_a_process_is_told_from_one_that_was_given_its_number_later() -> None:
    mine = holders.this_process()
    assert not holders.is_gone(mine)
    assert holders.is_gone(mine._replace(started=mine.started - 1))
    assert holders.is_gone(mine._replace(boot_id="an earlier boot"))


def test_a_process_in_another_container_is_not_known_to_have_ended() -> None:
    mine = holders.this_process()
    assert not holders.is_gone(mine._replace(namespace="pid:[1]", pid=2**22))


@contextmanager
def other_process(*command: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-P", *command]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_dead_process_is_gone_before_its_parent_has_looked() -> None:
    said = "from tools.rig.bench import holders; print(*holders.this_process(), flush=True); input()"
    with other_process("-c", said) as process:
        assert process.stdout is not None
        boot_id, namespace, pid, started = process.stdout.readline().split()
        holder = Holder(boot_id, namespace, int(pid), int(started))
        assert not holders.is_gone(holder)
        process.kill()
        deadline_s = time.monotonic() + 10
        while not holders.is_gone(holder):
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        assert Path(f"/proc/{pid}").exists(), "it is a zombie"


# Killed at random

NAMES = ["gateway", "dongle-1", "dongle-2", "dongle-3"]
AT_ONCE = 5


def start(directory: Path, seed: int) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-P",
        str(ROOT / "tests" / "lease_holder.py"),
        str(directory),
        str(seed),
        *NAMES,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: "subprocess.Popen[str]") -> None:
    assert process.poll() is None, f"a holder has ended by itself: {process.communicate()[0]}"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def kill_at_random(directory: Path, kills: int, seed: int) -> None:
    dice, leases = random.Random(seed), Leases(directory / "bench.leases", SystemClock())
    running: list[subprocess.Popen[str]] = [start(directory, seed * 100_000 + n) for n in range(AT_ONCE)]
    left_behind = 0
    try:
        for n in range(kills):
            time.sleep(dice.uniform(0.0, 0.03))
            victim = running.pop(dice.randrange(AT_ONCE))
            kill(victim)
            its = [row for row in leases.rows() if row.holder and row.holder.pid == victim.pid]
            left_behind += bool(its)
            assert {leases.state(row) for row in its} <= {"left behind"}, (
                f"stuck after kill {n} of seed {seed}"
            )
            running.append(start(directory, seed * 100_000 + AT_ONCE + n))
    finally:
        for process in running:
            kill(process)
    assert left_behind > kills / 5, "most were killed while they held nothing"
    taken = leases.take([Wanted(NAMES, len(NAMES))], "the last one")
    for name in NAMES:
        noted = [int(line) for line in (directory / name).read_text().split()]
        assert len(noted) > kills / 4, f"{name} was hardly ever used"
        assert all(before < after for before, after in pairwise(noted)), f"{name} was given to two"
        assert taken.fences[name] > noted[-1]


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A directory in memory: a killed process leaves a file there as on a disk, and a busy disk takes minutes."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)


def test_holders_that_are_killed_leave_nothing_stuck_and_nothing_doubly_held(in_memory: Path) -> None:
    kill_at_random(in_memory, 30, seed=14)


@pytest.mark.soak
def test_a_thousand_killed_holders_leave_nothing_stuck_and_nothing_doubly_held(in_memory: Path) -> None:
    kill_at_random(in_memory, 1000, seed=15)


def test_a_stopped_holder_that_goes_on_finds_that_it_is_not_one_any_more(tmp_path: Path) -> None:
    """A real process is stopped; the clock of whoever comes next has moved on."""
    script = """
import sys, pathlib
from edge.clock import NS_PER_S, SystemClock
from tools.rig.bench.errors import LeaseLost
from tools.rig.bench.leases import Leases, Wanted
leases = Leases(pathlib.Path(sys.argv[1]), SystemClock())
lease = leases.take([Wanted(["gateway pi"])], "is stopped")
print("held", flush=True)
input()
lease.renewed_ns = SystemClock().boot_ns()  # it had looked at its clock just before it was stopped
try:
    leases.renew(lease)
except LeaseLost:
    print("lost", flush=True)
"""
    later = _Later()
    with other_process("-c", script, str(tmp_path / "leases")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(NothingFree):
            Leases(tmp_path / "leases", SystemClock()).take([Wanted(GATEWAY)], "too early")
        Leases(tmp_path / "leases", later).take([Wanted(GATEWAY)], "successor")
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "lost\n"


class _Later(SystemClock):
    """The clock as it will be when the stopped process has been silent for long."""

    def boot_ns(self) -> int:
        return super().boot_ns() + round(SILENT_S * NS_PER_S)


def test_what_a_holder_is_says_which_it_is(tmp_path: Path) -> None:
    leases = Leases(tmp_path / "leases", SystemClock())
    lease = leases.take([Wanted(GATEWAY)], "x")
    states: list[Any] = [leases.state(row) for row in leases.rows()]
    leases.give_back(lease)
    assert states + [leases.state(row) for row in leases.rows()] == ["held", "free"]
