"""What may happen in a schedule: to links, to the sensor, to the machine, to the gateway's process and to its disk.

Each event draws what it needs from the schedule's `rng`. What it does for a while it undoes itself; `calm` undoes the
rest, so that what is left at the end is what the gateway has to have put right.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from schedule_world import Wearer, World

from hw_sim.clock import VirtualClock
from hw_sim.sensors.wayward_cgm import Manner, WaywardCgm
from protocols.cgm import CgmMeasurement, SessionStartTime
from protocols.racp import Code, CombinedReportResponse, NumberResponse, OpCode, ResponseCode
from tools.rig.home.machine import Machine

Event = Callable[[World, Random], Awaitable[None]]
WEARING_MIN = 30
MANNERS_MAX = 2
# Of fewer records, what tells a session from another must be readable.
TELLING_RECORDS = 12
YEAR_S = 365 * 86_400.0


def _later(delay_s: float, call: Callable[..., object], *arguments: object) -> None:
    asyncio.get_running_loop().call_later(delay_s, call, *arguments)


def _address(world: World, rng: Random) -> str:
    wearer = rng.choice(world.wearers)
    return wearer.cgm.address if wearer.strap is None or rng.random() < 0.7 else wearer.strap.address


# Links


async def link_cut(world: World, rng: Random) -> None:
    world.stack.cut(_address(world, rng))


async def link_cut_at_packet(world: World, rng: Random) -> None:
    """At one of the next packets: amid setting up, amid a report, at an answer."""
    address = _address(world, rng)
    if rng.random() < 0.5:
        world.stack.cut(address)
    world.stack.cut_after(address, rng.randint(1, 45))


async def out_of_reach(world: World, rng: Random) -> None:
    address = _address(world, rng)
    world.stack.lose(address)
    _later(rng.choice([5.0, 60.0, 600.0, 1500.0]), world.stack.regain, address)


async def disconnect_hangs(world: World, rng: Random) -> None:
    address = _address(world, rng)
    world.stack.hangs_on_disconnect.add(address)
    _later(rng.uniform(10.0, 600.0), world.stack.hangs_on_disconnect.discard, address)


# The sensor


def manner(rng: Random) -> Manner:
    report = OpCode.REPORT
    return rng.choice(
        [
            Manner(newest_only=rng.randint(0, 5)),
            Manner(newest_only=0, response=ResponseCode(report, Code.NO_RECORDS)),
            Manner(newest_only=0, response=ResponseCode(report, Code.SERVER_BUSY)),
            Manner(newest_only=0, response=ResponseCode(report, Code.NOT_COMPLETED)),
            Manner(newest_only=0, response=ResponseCode(report, Code.OPERAND_UNSUPPORTED)),
            Manner(stray=ResponseCode(report, Code.SUCCESS)),
            Manner(stray=ResponseCode(OpCode.ABORT, Code.SUCCESS)),
            Manner(response=ResponseCode(OpCode.DELETE, Code.SUCCESS)),
            Manner(response=ResponseCode(OpCode.REPORT_NUMBER, Code.SUCCESS), newest_only=1),
            Manner(response=NumberResponse(3)),
            Manner(response=CombinedReportResponse(2), newest_only=2),
            Manner(omit_every=rng.randint(2, 5)),
            Manner(repeat_every=rng.randint(1, 4)),
            Manner(shuffle_seed=rng.getrandbits(16)),
            Manner(shuffle_seed=rng.getrandbits(16), omit_every=3, repeat_every=2),
            Manner(is_silent=True),
            Manner(is_silent=True, newest_only=3),
        ]
    )


def misled(cgm: WaywardCgm, rng: Random) -> None:
    """Its next reports are wrong, but never three in a row: nobody could tell such a sensor from another one."""
    for _ in range(rng.randint(1, 2)):
        if len(cgm.manners) < MANNERS_MAX:
            cgm.manners.append(manner(rng))


async def reports_wrongly(world: World, rng: Random) -> None:
    cgm = rng.choice(world.wearers).cgm
    misled(cgm, rng)
    if rng.random() < 0.5:  # so that it is asked
        world.stack.cut(cgm.address)


async def away_and_then_wrong(world: World, rng: Random) -> None:
    """Much is missing, and is reported wrongly."""
    cgm = rng.choice(world.wearers).cgm
    world.stack.lose(cgm.address)
    misled(cgm, rng)
    _later(rng.uniform(700.0, 2500.0), world.stack.regain, cgm.address)


async def keeps_back_readings(world: World, rng: Random) -> None:
    """It measures, stores, and tells nobody."""
    rng.choice(world.wearers).is_told_from_s = world.now_s + rng.uniform(300.0, 2400.0)


async def counts_wrongly(world: World, rng: Random) -> None:
    cgm = rng.choice(world.wearers).cgm
    wrong = [
        rng.randint(-5, 5),
        ResponseCode(OpCode.REPORT, Code.SUCCESS),
        ResponseCode(OpCode.ABORT, Code.SUCCESS),
    ]
    cgm.miscounts.extend(rng.choice(wrong) for _ in range(rng.randint(1, 3)))


async def records_unreadable(world: World, rng: Random) -> None:
    """For good, or for a while; stored ones, or the next."""
    cgm = rng.choice(world.wearers).cgm
    if len(cgm.session.stored) < TELLING_RECORDS:
        return
    offsets = {
        record.time_offset_min for record in rng.sample(cgm.session.stored, min(2, len(cgm.session.stored)))
    }
    if rng.random() < 0.5:
        next_min = cgm.session.offset_min(world.now_s)
        offsets = set(range(next_min, next_min + rng.randint(1, 12)))
    cgm.unreadable |= offsets
    if rng.random() < 0.5:
        _later(rng.uniform(60.0, 1200.0), cgm.unreadable.difference_update, offsets)


async def record_of_the_future(world: World, rng: Random) -> None:
    wearer = rng.choice(world.wearers)
    cgm = wearer.cgm
    if not cgm.future:
        ahead_min = cgm.session.offset_min(world.now_s) + rng.randint(400, 4000)
        record = CgmMeasurement(wearer.next_value(), ahead_min)
        cgm.future.append(record)
        wearer.note(record, world.now_s)


async def another_session(world: World, rng: Random) -> None:
    """Nobody puts on a sensor twice in half an hour."""
    wearer = rng.choice(world.wearers)
    if wearer.cgm.session.offset_min(world.now_s) < WEARING_MIN:
        return
    wearer.cgm.begin_session()
    wearer.taken.append({})
    if rng.random() < 0.5:
        wearer.cgm.session.start_time = SessionStartTime.from_utc_seconds(int(world.utc_s))


async def sensor_clock_set(world: World, rng: Random) -> None:
    wearer = rng.choice(world.wearers)
    wearer.cgm.set_clock(rng.choice([-1.0, 1.0]) * rng.uniform(180.0, 900.0))
    wearer.clock_was_set.add(len(wearer.taken) - 1)


async def start_told_otherwise(world: World, rng: Random) -> None:
    """Another app has set the time, rightly or not; or the sensor has lost it."""
    session = rng.choice(world.wearers).cgm.session
    true_s = int(world.utc_s - (world.now_s - session.began_s))
    told_s = rng.choice([None, true_s, true_s + 7200, true_s - int(YEAR_S), 946_684_800])
    session.start_time = None if told_s is None else SessionStartTime.from_utc_seconds(told_s)


async def heart_for_a_while(world: World, rng: Random) -> None:
    wearer: Wearer = rng.choice(world.wearers)
    world.beat(wearer, world.now_s + rng.uniform(60.0, 500.0))


# The machine and the process


async def killed(world: World, rng: Random) -> None:
    """At any await: now, or so many turns of the loop after something has begun."""
    if not world.machine.is_running:
        return
    if rng.random() < 0.6:
        world.stack.cut(_address(world, rng))
        await asyncio.sleep(10.0 ** rng.uniform(-2.0, 1.5))
    for _ in range(rng.randint(0, 40)):
        await asyncio.sleep(0)
    await world.machine.kill()
    await asyncio.sleep(rng.choice([0.0, 0.0, 1.0, 30.0, 700.0]))
    world.machine.start()
    world.expect_back()


async def killed_again_and_again(world: World, rng: Random) -> None:
    """Each time before it has come far."""
    for _ in range(rng.randint(2, 4)):
        if world.machine.is_running:
            await world.machine.kill()
            world.machine.start()
            await asyncio.sleep(10.0 ** rng.uniform(-2.0, 1.0))
    world.expect_back()


async def restarted(world: World, rng: Random) -> None:
    if world.machine.is_running:
        await world.machine.stop()
        await asyncio.sleep(rng.choice([0.0, 5.0, 300.0]))
        world.machine.start()


async def rebooted(world: World, rng: Random) -> None:
    """The power fails: every link is lost, and the wall clock may be, too."""
    if not world.machine.is_running:
        return
    off_s = rng.uniform(5.0, 60.0)
    wrong_s = rng.choice([0.0, -20 * YEAR_S, -3600.0, 30 * 86_400.0, 2 * YEAR_S])
    await world.machine.reboot(off_s, wrong_s=wrong_s, is_trusted=False)
    if rng.random() < 0.8:
        _later(rng.uniform(10.0, 4000.0), clock_set_right, world.machine, world.machine.clock)


def clock_set_right(machine: Machine, clock: VirtualClock) -> None:
    """Unless it is the clock of an earlier boot."""
    if machine.clock is clock:
        machine.set_clock()


async def trust_lost(world: World, rng: Random) -> None:
    """Nothing keeps the clock right any more; it may even be set wrongly; then it is right again."""
    machine = world.machine
    machine.clock.error_ms = None
    if rng.random() < 0.5:
        machine.set_clock(rng.choice([-7200.0, -60.0, 60.0, 86_400.0]), is_trusted=False)
    _later(rng.uniform(60.0, 3000.0), clock_set_right, machine, machine.clock)


async def disk_full(world: World, rng: Random) -> None:
    """For a while, whoever runs meanwhile."""
    world.disk_failed = world.machine.is_full = True
    _later(rng.uniform(1.0, 900.0), setattr, world.machine, "is_full", False)


EVENTS: dict[Event, int] = {
    link_cut: 6,
    link_cut_at_packet: 14,
    out_of_reach: 6,
    disconnect_hangs: 2,
    reports_wrongly: 8,
    away_and_then_wrong: 8,
    keeps_back_readings: 5,
    counts_wrongly: 4,
    records_unreadable: 5,
    record_of_the_future: 2,
    another_session: 4,
    sensor_clock_set: 3,
    start_told_otherwise: 3,
    heart_for_a_while: 6,
    killed: 12,
    killed_again_and_again: 4,
    restarted: 3,
    rebooted: 4,
    trust_lost: 4,
    disk_full: 5,
}


def calm(world: World) -> None:
    """From now on everything outside the gateway is as it should be."""
    world.stack.hangs_on_disconnect.clear()
    world.machine.set_clock()
    for wearer in world.wearers:
        world.stack.regain(wearer.cgm.address)
        wearer.cgm.manners.clear()
        wearer.cgm.miscounts.clear()
        if wearer.strap is not None:
            world.stack.regain(wearer.strap.address)
    world.machine.is_full = False
