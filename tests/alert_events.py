"""What may happen to who is told alerts: to body, sensors, links, clock, disk, channel and the gateway's process.

Each event draws what it needs from the schedule's `rng`, and undoes itself after a while.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from random import Random

from alert_world import USUAL_BPM, USUAL_MG_DL, World

from hw_sim.clock import VirtualClock
from tools.rig.home.machine import Machine

Event = Callable[[World, Random], Awaitable[None]]
YEAR_S = 365 * 86_400.0


def _later(delay_s: float, call: Callable[..., object], *arguments: object) -> None:
    asyncio.get_running_loop().call_later(delay_s, call, *arguments)


# The body


async def glucose_goes_astray(world: World, rng: Random) -> None:
    """Slowly or by a jump, low or high."""
    world.mg_dl = rng.choice([50.0, 62.0, 68.0, 156.0, 260.0, 300.0])
    _later(rng.uniform(300.0, 3000.0), setattr, world, "mg_dl", USUAL_MG_DL)


async def heart_goes_astray(world: World, rng: Random) -> None:
    world.bpm = rng.choice([36, 140, 185])
    _later(rng.uniform(30.0, 1800.0), setattr, world, "bpm", USUAL_BPM)


async def sensor_is_faulty(world: World, rng: Random) -> None:
    """It tells a value, and that it is none."""
    world.is_faulty, world.mg_dl = True, 45.0

    def mend() -> None:
        world.is_faulty, world.mg_dl = False, USUAL_MG_DL

    _later(rng.uniform(300.0, 1800.0), mend)


# Links


async def out_of_reach(world: World, rng: Random) -> None:
    for sensor in rng.choice([("strap",), ("cgm",), ("strap", "cgm")]):
        address = world.address(sensor)
        world.stack.lose(address)
        _later(rng.choice([30.0, 700.0, 1500.0, 3000.0]), world.stack.regain, address)


async def link_cut(world: World, rng: Random) -> None:
    world.stack.cut(world.address(rng.choice(["strap", "cgm"])))


# The channel


async def nobody_hears(world: World, rng: Random) -> None:
    """For less time than a message is kept."""
    length_s = rng.uniform(5.0, 1200.0)
    world.is_deaf, world.deaf_until_s = True, max(world.deaf_until_s, world.now_s + length_s)

    def hear() -> None:
        world.is_deaf = world.now_s < world.deaf_until_s

    _later(length_s, hear)


# The machine and the process


async def killed(world: World, rng: Random) -> None:
    """At any await: now, or so many turns of the loop after something has begun."""
    if not world.machine.is_running:
        return
    if rng.random() < 0.5:
        world.stack.cut(world.address("cgm"))
        await asyncio.sleep(10.0 ** rng.uniform(-2.0, 1.5))
    for _ in range(rng.randint(0, 40)):
        await asyncio.sleep(0)
    await world.end_life(orderly=False)
    await asyncio.sleep(rng.choice([0.0, 0.0, 1.0, 30.0, 700.0]))
    world.machine.start()


async def killed_at_an_alert(world: World, rng: Random) -> None:
    """While something is told and stored."""
    if not world.machine.is_running:
        return
    before = len(world.told)
    world.mg_dl = 50.0
    _later(900.0, setattr, world, "mg_dl", USUAL_MG_DL)
    for _ in range(400):
        if len(world.told) > before:
            break
        await asyncio.sleep(1.0)
    for _ in range(rng.randint(0, 30)):
        await asyncio.sleep(0)
    await asyncio.sleep(rng.choice([0.0, 0.0, 0.05, 1.0]))
    await world.end_life(orderly=False)
    world.machine.start()


async def restarted(world: World, rng: Random) -> None:
    if world.machine.is_running:
        await world.end_life(orderly=True)
        await asyncio.sleep(rng.choice([0.0, 5.0, 300.0]))
        world.machine.start()


async def restarted_again_and_again(world: World, rng: Random) -> None:
    """For an hour, while nothing is heard of the sensors."""
    every_s = rng.choice([45.0, 300.0, 1140.0])
    for sensor in ("strap", "cgm"):
        world.stack.lose(world.address(sensor))
    end_s = world.now_s + 3600.0
    while world.now_s < end_s:
        await asyncio.sleep(every_s)
        await world.end_life(orderly=rng.random() < 0.5)
        world.machine.start()
    for sensor in ("strap", "cgm"):
        world.stack.regain(world.address(sensor))


async def rebooted(world: World, rng: Random) -> None:
    """The power fails: every link is lost, and the wall clock may be, too."""
    if not world.machine.is_running:
        return
    off_s = rng.uniform(5.0, 600.0)
    world.reboots.append((world.now_s, off_s))
    world.forgot_s.append(world.now_s)
    await world.machine.reboot(
        off_s, wrong_s=rng.choice([0.0, -3600.0, -20 * YEAR_S]), is_trusted=rng.random() < 0.3
    )
    if rng.random() < 0.8:
        _later(rng.uniform(10.0, 4000.0), clock_set_right, world.machine, world.machine.clock)


def clock_set_right(machine: Machine, clock: VirtualClock) -> None:
    """Unless it is the clock of an earlier boot."""
    if machine.clock is clock:
        machine.set_clock()


async def clock_steps(world: World, rng: Random) -> None:
    """It is set wrongly, whether or not anything vouches for it; then it is right again."""
    machine = world.machine
    machine.set_clock(rng.choice([-7200.0, -60.0, 60.0, 86_400.0]), is_trusted=rng.random() < 0.5)
    _later(rng.uniform(60.0, 3000.0), clock_set_right, machine, machine.clock)


async def disk_full(world: World, rng: Random) -> None:
    """For a while, whoever runs meanwhile."""
    length_s = rng.choice([30.0, 600.0, 3000.0])
    world.machine.is_full = True
    world.full_until_s = max(world.full_until_s, world.now_s + length_s)

    def empty() -> None:
        world.machine.is_full = world.now_s < world.full_until_s

    _later(length_s, empty)


async def store_lost(world: World, _: Random) -> None:
    """Somebody deletes it; the key is elsewhere."""
    if not world.machine.is_running:
        return
    await world.end_life(orderly=True)
    state = world.directory / "state"
    for path in state.glob("store.db*"):
        path.unlink() if path.is_file() else shutil.rmtree(path)
    world.losses_s.append(world.now_s)
    world.machine.start()


EVENTS: dict[Event, int] = {
    glucose_goes_astray: 14,
    heart_goes_astray: 8,
    sensor_is_faulty: 4,
    out_of_reach: 14,
    link_cut: 6,
    nobody_hears: 5,
    killed: 12,
    killed_at_an_alert: 6,
    restarted: 6,
    restarted_again_and_again: 4,
    rebooted: 6,
    clock_steps: 5,
    disk_full: 8,
    store_lost: 2,
}
