"""The simulated disk: one thing after the other, late, sometimes not, and never after the power is gone."""

import asyncio
import errno
from contextlib import suppress

import pytest

from hw_sim.clock import run
from hw_sim.disk import InstantDisk, SimulatedDisk


def now_s() -> float:
    return asyncio.get_running_loop().time()


def test_work_is_answered_after_its_delay_in_the_order_asked() -> None:
    async def main() -> None:
        disk = SimulatedDisk(1, delay_s=(1.0, 2.0))
        done: list[tuple[int, float]] = []
        answered: list[tuple[int, float]] = []

        async def ask(n: int) -> None:
            assert await disk(lambda: done.append((n, now_s())) or n) == n  # type: ignore[func-returns-value]
            answered.append((n, now_s()))

        await asyncio.gather(*map(ask, range(20)))
        assert [n for n, _ in done] == [n for n, _ in answered] == list(range(20))
        starts = [0.0, *(at_s for _, at_s in answered)]
        for (_, done_s), (_, answered_s), started_s in zip(done, answered, starts, strict=False):
            assert started_s <= done_s <= answered_s
            assert 1.0 <= answered_s - started_s <= 2.0
        # At any moment of the delay, not always at its beginning or end.
        shares = [(done[n][1] - starts[n]) / (answered[n][1] - starts[n]) for n in range(20)]
        assert min(shares) < 0.2
        assert max(shares) > 0.8
        assert (disk.done, disk.failed) == (20, 0)

    run(main())


def test_what_work_raises_is_handed_on() -> None:
    async def main() -> None:
        disk = SimulatedDisk(1)
        with pytest.raises(KeyError):
            await disk(lambda: {}["x"])
        assert await disk(lambda: 5) == 5

    run(main())


def test_a_failing_disk_does_nothing_and_says_so() -> None:
    async def main() -> None:
        disk = SimulatedDisk(3, failures=0.5)
        done: list[int] = []
        for n in range(200):
            with suppress(OSError):
                await disk(lambda n=n: done.append(n))  # type: ignore[misc]
        assert 60 < disk.failed < 140
        assert len(done) == disk.done == 200 - disk.failed
        disk.refuses = True
        with pytest.raises(OSError, match="No space left") as refused:
            await disk(lambda: done.append(-1))
        assert refused.value.errno == errno.ENOSPC
        disk.refuses = False
        assert -1 not in done

    run(main())


def test_who_goes_away_stops_nothing() -> None:
    async def main() -> None:
        disk = SimulatedDisk(1, delay_s=(1.0, 1.0))
        done: list[str] = []
        waiting = [asyncio.ensure_future(disk(lambda n=n: done.append(n))) for n in "ab"]  # type: ignore[misc]
        await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.sleep(3.0)
        assert done == ["a", "b"]

    run(main())


def test_after_a_cut_nothing_is_done_and_nothing_answered() -> None:
    outcomes = set()

    async def main(seed: int) -> None:
        disk = SimulatedDisk(seed, delay_s=(1.0, 1.0))
        done: list[int] = []
        asked = [asyncio.ensure_future(disk(lambda n=n: done.append(n))) for n in range(5)]  # type: ignore[misc]
        await asyncio.sleep(2.5)
        disk.cut()
        before = list(done)
        await asyncio.sleep(100.0)
        assert done == before
        assert [task.done() for task in asked] == [True, True, False, False, False]
        outcomes.add(len(done))
        for task in asked:
            task.cancel()
        await asyncio.sleep(0)

    for seed in range(10):
        run(main(seed))
    # What was under way when the power failed is done or not.
    assert outcomes == {2, 3}


def test_the_same_seed_gives_the_same_run() -> None:
    def times(seed: int) -> list[float]:
        found: list[float] = []

        async def main() -> None:
            disk = SimulatedDisk(seed, failures=0.2)
            for _ in range(30):
                try:
                    await disk(lambda: None)
                except OSError:
                    found.append(-1.0)
                found.append(now_s())

        run(main())
        return found

    assert times(7) == times(7) != times(8)


def test_an_instant_disk_takes_no_time_and_is_full_or_cut_like_another() -> None:
    async def main() -> None:
        disk = InstantDisk()
        assert await disk(lambda: 5) == 5
        disk.refuses = True
        with pytest.raises(OSError, match="No space left") as caught:
            await disk(lambda: 5)
        assert caught.value.errno == errno.ENOSPC
        disk.refuses = False
        disk.cut()
        done: list[int] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await disk(lambda: done.append(1))
        assert done == []
        disk.close()

    run(main())
