"""Everything is called when it is due, once, in the order of its moments."""

import asyncio
from collections.abc import Awaitable, Callable

from edge.agenda import Agenda
from hw_sim.clock import VirtualClock, run

S = 10**9


def play(
    scenario: Callable[[Agenda, VirtualClock, list[tuple[str, float]]], Awaitable[None]],
) -> list[tuple[str, float]]:
    called: list[tuple[str, float]] = []

    async def main() -> None:
        clock = VirtualClock(0, "boot-1")
        agenda = Agenda(clock)
        running = asyncio.ensure_future(agenda.run())
        await scenario(agenda, clock, called)
        running.cancel()
        await asyncio.wait({running})

    run(main())
    return called


def noting(name: str, clock: VirtualClock, called: list[tuple[str, float]]) -> Callable[[], None]:
    return lambda: called.append((name, clock.boot_ns() / S))


def test_what_is_due_is_called_once_and_in_order() -> None:
    async def scenario(agenda: Agenda, clock: VirtualClock, called: list[tuple[str, float]]) -> None:
        for name, due_s in (("late", 400), ("early", 5), ("past", -3)):
            agenda.set(name, due_s * S, noting(name, clock, called))
        await asyncio.sleep(1000)

    assert play(scenario) == [("past", 0.0), ("early", 5.0), ("late", 400.0)]


def test_a_name_has_one_deadline_and_an_earlier_one_wakes_who_rests() -> None:
    async def scenario(agenda: Agenda, clock: VirtualClock, called: list[tuple[str, float]]) -> None:
        agenda.set("a", 500 * S, noting("a of 500", clock, called))
        await asyncio.sleep(10)
        agenda.set("a", 20 * S, noting("a of 20", clock, called))
        agenda.set_earlier("b", 90 * S, noting("b of 90", clock, called))
        agenda.set_earlier("b", 70 * S, noting("b of 70", clock, called))
        agenda.set_earlier("b", 80 * S, noting("b of 80", clock, called))
        agenda.set("c", 30 * S, noting("c", clock, called))
        agenda.set("c", None, noting("c", clock, called))
        await asyncio.sleep(1000)

    assert play(scenario) == [("a of 20", 20.0), ("b of 70", 70.0)]


def test_who_asks_again_is_called_again_and_holds_nobody_up() -> None:
    async def scenario(agenda: Agenda, clock: VirtualClock, called: list[tuple[str, float]]) -> None:
        def again() -> None:
            called.append(("again", clock.boot_ns() / S))
            agenda.set("again", clock.boot_ns() + S, again)

        agenda.set("again", 3 * S, again)
        agenda.set("other", 4 * S, noting("other", clock, called))
        await asyncio.sleep(5.5)
        agenda.set("again", None, again)
        await asyncio.sleep(100)

    assert play(scenario) == [("again", 3.0), ("again", 4.0), ("other", 4.0), ("again", 5.0)]


def test_a_machine_that_slept_catches_up_within_a_minute() -> None:
    class Sleeper(VirtualClock):
        slept_s = 0.0

        def boot_ns(self) -> int:
            return super().boot_ns() + round(self.slept_s * S)

    called: list[float] = []

    async def main() -> None:
        clock = Sleeper(0, "boot-1")
        agenda = Agenda(clock)
        agenda.set("x", 5000 * S, lambda: called.append(asyncio.get_running_loop().time()))
        running = asyncio.ensure_future(agenda.run())
        await asyncio.sleep(10)
        clock.slept_s = 86_400
        await asyncio.sleep(1000)
        running.cancel()
        await asyncio.wait({running})

    run(main())
    assert len(called) == 1
    assert called[0] <= 10 + 60


def test_who_rests_wakes_once_a_minute() -> None:
    class CountedClock(VirtualClock):
        reads = 0

        def boot_ns(self) -> int:
            self.reads += 1
            return super().boot_ns()

    async def main() -> int:
        clock = CountedClock(0, "boot-1")
        resting = asyncio.ensure_future(Agenda(clock).run())
        await asyncio.sleep(3600)
        resting.cancel()
        await asyncio.wait({resting})
        return clock.reads

    assert run(main()) <= 61
