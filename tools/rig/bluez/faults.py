"""What happens on a real Bluetooth stack when a scenario's fault comes: a function for each name.

Contract: as `tools.rig.home.faults`. What needs nothing but the air is the same there; a fault without a function here
is refused before anything is started.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tools.rig.bluez import provided
from tools.rig.bluez.guest import command
from tools.rig.bluez.world import RealWorld
from tools.rig.home.faults import ON_THE_AIR
from tools.rig.language import vocabulary as v

Happening = Callable[[RealWorld, Any], Awaitable[None]]


async def happen(world: RealWorld, fault: v.Fault) -> None:
    """Wait for the fault's time, and let it happen."""
    await world.until_moment(fault.at_s)
    world.on_line(f"[rig] {fault}")
    await HAPPENINGS[type(fault)](world, fault)


def between(before: str, after: str) -> Happening:
    """A command in the guest when the fault begins, and one when it is over."""

    async def happening(world: RealWorld, fault: v.Lasting) -> None:
        await world.do(before)
        await world.until_moment(fault.end_s)
        await world.do(after)

    return happening


def new_life(after: str) -> Happening:
    """The gateway's life ends by a signal, and another begins: one after the other, if the guest is slow."""

    async def happening(world: RealWorld, fault: v.Interruption) -> None:
        async with world.turn:
            await world.end(after)
            await asyncio.sleep(fault.for_s)
            await world.start()

    return happening


async def interface_down(world: RealWorld, fault: v.InterfaceDown) -> None:
    switch = command(sys.executable, "-P", str(provided.HERE / "radio_switch.py"))
    await between(f"{switch} down", f"{switch} up")(world, fault)


async def unplugged(world: RealWorld, fault: v.Unplugged) -> None:
    adapter = world.adapters[fault.adapter]
    adapter.unplug()
    await world.do(f"unplug {fault.adapter}")
    await world.until_moment(fault.end_s)
    adapter.plug()
    await world.do(f"plug {fault.adapter}")


async def bond_removed(world: RealWorld, fault: v.BondRemoved) -> None:
    await world.do(f"timeout 5 bluetoothctl remove {world.address(fault.sensor)}")


HAPPENINGS: Final[dict[type[v.Fault], Happening]] = {
    **ON_THE_AIR,
    v.GatewayStopped: new_life("TERM"),
    v.GatewayKilled: new_life("KILL"),
    v.BluetoothdKilled: between("send KILL bluetoothd", "start_bluetoothd"),
    v.BluetoothdFrozen: between("send STOP bluetoothd", "send CONT bluetoothd"),
    # A bluetoothd that was about to begin does not always see that its bus is gone; a service manager would end it.
    v.BusKilled: between(
        "send KILL bus",
        "{ ! is_running bluetoothd || send KILL bluetoothd; } && start_bus && start_bluetoothd",
    ),
    v.BusStalled: between("send STOP bus", "send CONT bus"),
    v.PoweredOff: between("timeout 5 bluetoothctl power off", "timeout 5 bluetoothctl power on"),
    v.InterfaceDown: interface_down,
    v.RadioBlocked: between("rfkill 1", "rfkill 0"),
    v.Unplugged: unplugged,
    v.BondRemoved: bond_removed,
}
