"""What goes over the air, as a btsnoop file: Wireshark and `btmon` open it, and a scenario's sensor plays it.

Contract: while a recording lasts, each packet between the gateway's host and its adapter is in the file, with its true
time. Bumble's own snooper stamps them with the time of the machine that plays.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bumble.snoop import Snooper

from hw_sim.capture import btsnoop
from hw_sim.capture.btsnoop import Kind, Packet
from tools.rig.home.world import World


class _AirSnooper(Snooper):
    def __init__(self, output: BinaryIO, world: World) -> None:
        self._output, self._world = output, world
        output.write(btsnoop.header())

    def snoop(self, hci_packet: bytes, direction: Snooper.Direction) -> None:
        is_sent = direction is Snooper.Direction.HOST_TO_CONTROLLER
        packet = Packet(self._world.machine.utc_s, 0, is_sent, Kind(hci_packet[0]), hci_packet[1:])
        self._output.write(btsnoop.record(packet))


@contextmanager
def recorded(world: World, path: Path | None) -> Iterator[None]:
    """Write the world's air into a file, until the end of the block; into none if there is no path."""
    if path is None:
        yield
        return
    host = world.central.device.host
    with path.open("wb") as output:
        host.snooper = _AirSnooper(output, world)
        try:
            yield
        finally:
            host.snooper = None
