"""What goes over the air, as a file that Wireshark and `btmon` open: btsnoop (RFC 1761's kin), of HCI packets in H4.

Contract: while a recording lasts, each packet between the gateway's host and its adapter is in the file, with its true
time. Bumble's own snooper stamps them with the time of the machine that plays.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from bumble.snoop import Snooper

from tools.rig.home.world import World

HEADER: Final = b"btsnoop\0" + struct.pack(">LL", 1, Snooper.DataLinkType.H4)
# Microseconds from the year 0 to 1970, as btsnoop counts.
EPOCH_US: Final = 0x00DCDDB30F2F8000
COMMAND, EVENT = 0x01, 0x04
IS_CONTROL: Final = 0x02


class _AirSnooper(Snooper):
    def __init__(self, output: BinaryIO, world: World) -> None:
        self._output, self._world = output, world
        output.write(HEADER)

    def snoop(self, hci_packet: bytes, direction: Snooper.Direction) -> None:
        flags = int(direction) | (IS_CONTROL if hci_packet[0] in (COMMAND, EVENT) else 0)
        size, stamp = len(hci_packet), EPOCH_US + round(self._world.machine.utc_s * 1e6)
        self._output.write(struct.pack(">IIIIQ", size, size, flags, 0, stamp) + hci_packet)


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
