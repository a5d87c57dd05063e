"""What happens in a home when a scenario's fault comes: a function for each name.

Contract: a function begins when the fault does, and returns when the fault is over. `language.vocabulary` says what a
fault may tell; a test demands that no name is missing here but those that only the real Bluetooth of a machine suffers
(`REAL_ALONE`), and "drawn", in whose place others come (`language.drawing`). A scenario with one of these is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from shutil import rmtree
from typing import Any, Final

from hw_sim.faults import LinkFaults
from hw_sim.radio.bluetoothd import Bluetoothd
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.direct_worn import WornCgm
from tools.rig.home.scene import Scene
from tools.rig.home.world import Disks, World
from tools.rig.language import vocabulary as v

Happening = Callable[[World, Any], Awaitable[None]]
OnTheAir = Callable[[Scene, Any], Awaitable[None]]


async def happen(world: World, fault: v.Fault) -> None:
    """Wait for the fault's time, and let it happen."""
    await asyncio.sleep(max(0.0, fault.at_s - world.now_s))
    await HAPPENINGS[type(fault)](world, fault)


# Sensors and links


async def out_of_reach(scene: Scene, fault: v.OutOfReach) -> None:
    address = scene.address(fault.sensor)
    scene.air.set_reachable(address, False)
    await asyncio.sleep(fault.for_s)
    scene.air.set_reachable(address, True)


async def link_drops(scene: Scene, fault: v.LinkDrops) -> None:
    means = LinkFaults(scene.scenario.seed, up_s_mean=fault.every_s, down_s_mean=fault.for_s)
    dropping = scene.drop_links(means, fault.sensors)
    until_s = scene.scenario.lasts_s if fault.until_s is None else fault.until_s
    await asyncio.sleep(until_s - scene.now_s)
    dropping.cancel()
    await asyncio.wait({dropping})


async def silent(scene: Scene, fault: v.Silent) -> None:
    sensor = scene.sensor(fault.sensor)
    sensor.is_silent = True
    await asyncio.sleep(fault.for_s)
    sensor.is_silent = False


async def garbage(scene: Scene, fault: v.Garbage) -> None:
    """Two octets: of a strap's packet the second half is missing, and a CGM's says that it has seventeen."""
    rng = Random(f"{scene.scenario.seed} {fault.sensor}")  # noqa: S311
    for _ in range(fault.packets):
        scene.sensor(fault.sensor).babble(b"\x11" + rng.randbytes(1))


async def packets_corrupted(scene: Scene, fault: v.PacketsCorrupted) -> None:
    scene.sensor(fault.sensor).corrupts += fault.packets


async def drops_mid_report(scene: Scene, fault: v.DropsMidReport) -> None:
    _cgm(scene, fault.sensor).drops_after = fault.after_records


async def storage_overwritten(scene: Scene, fault: v.StorageOverwritten) -> None:
    _cgm(scene, fault.sensor).session.keep_newest(fault.keeps)


async def sensor_rebooted(scene: Scene, fault: v.SensorRebooted) -> None:
    sensor, address = scene.sensor(fault.sensor), scene.address(fault.sensor)
    sensor.is_off = True
    scene.air.set_reachable(address, False)
    await asyncio.sleep(fault.for_s)
    scene.air.set_reachable(address, True)
    sensor.is_off = False


async def glucose_moves(scene: Scene, fault: v.GlucoseMoves) -> None:
    cgm = _cgm(scene, fault.sensor)
    begin_s, end_s, ramp_s = scene.begin_s + fault.at_s, scene.begin_s + fault.end_s, max(1.0, fault.ramp_s)
    cgm.moved_by = lambda at_s: (
        fault.by_mg_dl * max(0.0, min(1.0, (at_s - begin_s) / ramp_s, (end_s - at_s) / ramp_s))
    )
    await asyncio.sleep(fault.for_s)


async def battery_low(scene: Scene, fault: v.BatteryLow) -> None:
    scene.sensor(fault.sensor).run_down(fault.percent)
    scene.air.lose_link(scene.address(fault.sensor))


async def sensor_replaced(scene: Scene, fault: v.SensorReplaced) -> None:
    _cgm(scene, fault.sensor).replace()


async def sensor_swapped(scene: Scene, fault: v.SensorSwapped) -> None:
    sensor = scene.sensor(fault.sensor)
    if isinstance(sensor, CgmSensor):
        sensor.replace()
    await bond_forgotten(scene, v.BondForgotten(at_s=fault.at_s, sensor=fault.sensor))


def _cgm(scene: Scene, sensor_id: str) -> CgmSensor | WornCgm:
    cgm = scene.sensor(sensor_id)
    assert isinstance(cgm, CgmSensor | WornCgm), f"{sensor_id} stores nothing"
    return cgm


async def link_lost(scene: Scene, fault: v.LinkLost) -> None:
    for address in scene.addresses(fault.sensors):
        scene.air.lose_link(address)


async def bond_forgotten(scene: Scene, fault: v.BondForgotten) -> None:
    await scene.sensor(fault.sensor).forget_bonds()
    scene.air.lose_link(scene.address(fault.sensor))


async def answer_lost(scene: Scene, fault: v.AnswerLost) -> None:
    scene.sensor(fault.sensor).loses_answer = True


ON_THE_AIR: Final[dict[type[v.Fault], OnTheAir]] = {
    v.OutOfReach: out_of_reach,
    v.LinkDrops: link_drops,
    v.Silent: silent,
    v.Garbage: garbage,
    v.PacketsCorrupted: packets_corrupted,
    v.DropsMidReport: drops_mid_report,
    v.StorageOverwritten: storage_overwritten,
    v.SensorRebooted: sensor_rebooted,
    v.GlucoseMoves: glucose_moves,
    v.BatteryLow: battery_low,
    v.SensorReplaced: sensor_replaced,
    v.SensorSwapped: sensor_swapped,
    v.LinkLost: link_lost,
    v.BondForgotten: bond_forgotten,
    v.AnswerLost: answer_lost,
}
"""What needs nothing of the gateway and its machine."""


# The gateway's lives


async def gateway_stopped(world: World, fault: v.GatewayStopped) -> None:
    await world.machine.stop()
    await asyncio.sleep(fault.for_s)
    world.machine.start()


async def gateway_killed(world: World, fault: v.GatewayKilled) -> None:
    await world.machine.kill()
    await asyncio.sleep(fault.for_s)
    world.machine.start()


async def killed_anywhere(world: World, fault: v.KilledAnywhere) -> None:
    for _ in range(fault.steps):
        await asyncio.sleep(0)
    await gateway_killed(world, v.GatewayKilled(at_s=fault.at_s, for_s=fault.for_s))


async def new_card(world: World, fault: v.NewCard) -> None:
    await world.machine.kill()
    world.machine.bluetooth.lose_links()
    rmtree(world.config.gateway.state_dir)
    for sensor in world.config.sensors:
        await world.central.forget(sensor.address)
    await asyncio.sleep(fault.for_s)
    world.machine.start()


async def rebooted(world: World, fault: v.Rebooted) -> None:
    await world.machine.reboot(fault.for_s, wrong_s=fault.wrong_by_s, is_trusted=fault.trusted)


async def config_changed(world: World, fault: v.ConfigChanged) -> None:
    await world.machine.stop()
    world.configure(world.scenario.changed(fault))
    await asyncio.sleep(fault.for_s)
    world.machine.start()


# The machine, and what lies upstream


async def disconnect_hangs(world: World, fault: v.DisconnectHangs) -> None:
    address = world.address(fault.sensor)
    world.central.hangs_on_disconnect.add(address)
    await asyncio.sleep(fault.for_s)
    world.central.hangs_on_disconnect.discard(address)


async def clock_set(world: World, fault: v.ClockSet) -> None:
    world.machine.set_clock(fault.wrong_by_s, is_trusted=fault.trusted)


async def disk_full(world: World, fault: v.DiskFull) -> None:
    world.machine.is_full = True
    await asyncio.sleep(fault.for_s)
    world.machine.is_full = False


async def disk_slow(world: World, fault: v.DiskSlow) -> None:
    world.slow_down((0.0, fault.takes_s))
    await asyncio.sleep(fault.for_s)
    world.slow_down(Disks.delay_s)


async def disk_fails(world: World, fault: v.DiskFails) -> None:
    world.let_fail(fault.share)
    await asyncio.sleep(fault.for_s)
    world.let_fail(0.0)


async def upstream_away(world: World, fault: v.UpstreamAway) -> None:
    directory = world.bundles
    aside = directory.with_name(f"{directory.name}.away")
    was_there = directory.exists()
    if was_there:
        directory.rename(aside)
    directory.touch()
    await asyncio.sleep(fault.for_s)
    directory.unlink()
    if was_there:
        aside.rename(directory)


def taken(**manners: Any) -> Happening:
    """Batches are taken by these manners while the fault lasts."""

    async def happening(world: World, fault: v.Lasting) -> None:
        before = {name: getattr(world.receives, name) for name in manners}
        for name, value in manners.items():
            setattr(world.receives, name, value)
        await asyncio.sleep(fault.for_s)
        for name, value in before.items():
            setattr(world.receives, name, value)

    return happening


async def upstream_slow(world: World, fault: v.UpstreamSlow) -> None:
    await taken(takes_s=fault.takes_s)(world, fault)


async def feed_away(world: World, fault: v.FeedAway) -> None:
    world.feeds.away.add(fault.sensor)
    await asyncio.sleep(fault.for_s)
    world.feeds.away.discard(fault.sensor)


# The machine's Bluetooth


def between(begin: Callable[[Bluetoothd], None], end: Callable[[Bluetoothd], None]) -> Happening:
    """What is done to it when the fault begins, and when it is over."""

    async def happening(world: World, fault: v.Lasting) -> None:
        begin(world.central.bluetoothd)
        await asyncio.sleep(fault.for_s)
        end(world.central.bluetoothd)

    return happening


async def bond_removed(world: World, fault: v.BondRemoved) -> None:
    world.central.bluetoothd.links.drop_device(world.address(fault.sensor))


HAPPENINGS: Final[dict[type[v.Fault], Happening]] = {
    **ON_THE_AIR,
    v.DisconnectHangs: disconnect_hangs,
    v.GatewayStopped: gateway_stopped,
    v.GatewayKilled: gateway_killed,
    v.KilledAnywhere: killed_anywhere,
    v.NewCard: new_card,
    v.Rebooted: rebooted,
    v.ConfigChanged: config_changed,
    v.ClockSet: clock_set,
    v.DiskFull: disk_full,
    v.DiskSlow: disk_slow,
    v.DiskFails: disk_fails,
    v.UpstreamAway: upstream_away,
    v.UpstreamSlow: upstream_slow,
    v.UpstreamForgetsToAnswer: taken(forgets=True),
    v.UpstreamRejects: taken(rejects=True),
    v.UpstreamLies: taken(lies=True),
    v.FeedAway: feed_away,
    v.BluetoothdKilled: between(Bluetoothd.kill, Bluetoothd.start),
    v.BluetoothdFrozen: between(Bluetoothd.freeze, Bluetoothd.thaw),
    v.BusKilled: between(Bluetoothd.end_bus, Bluetoothd.begin_bus),
    v.PoweredOff: between(Bluetoothd.power_off, Bluetoothd.power_on),
    v.Unplugged: between(Bluetoothd.unplug, Bluetoothd.plug),
    v.BondRemoved: bond_removed,
}

REAL_ALONE: Final = (v.BusStalled, v.InterfaceDown, v.RadioBlocked)
"""What has no counterpart in a simulated Bluetooth."""
