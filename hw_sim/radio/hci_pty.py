"""A controller on a simulated air at the end of a serial line: a pseudo-terminal that a path leads to.

Contract: HCI H4, as a dongle with a serial port speaks it. The path is a symbolic link to the terminal, until `close`;
whoever opens it, one after the other, meets the same controller. It keeps its links when nobody has it open.

Not here: what is on the air.
"""

import asyncio
import os
import pty
import tty
from contextlib import suppress
from pathlib import Path
from typing import Final

from bumble.core import InvalidPacketError
from bumble.transport.common import PacketParser

from hw_sim.radio.air import Air

_READ_OCTETS: Final = 4096
_UNREAD_OCTETS_MAX: Final = 1 << 16


class SerialController:
    """One controller behind a terminal."""

    def __init__(self, air: Air, path: Path) -> None:
        """Raises OSError if there is no terminal, or the path cannot be made."""
        self._controller = air.adapter(f"serial {path.name}")
        self._controller.host = self
        self._parser = PacketParser(self._controller)
        # Ours of the other end is kept open, so that the line stays up while nobody uses it.
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self._path = path
        path.unlink(missing_ok=True)
        path.symlink_to(os.ttyname(self._theirs))
        self._unread = bytearray()
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def on_packet(self, packet: bytes) -> None:
        """What the controller says. A line that nobody reads is full some time; packets are lost then, whole ones."""
        if len(self._unread) < _UNREAD_OCTETS_MAX:
            self._unread += packet
            self._write()

    def _write(self) -> None:
        with suppress(BlockingIOError):
            del self._unread[: os.write(self._ours, self._unread)]
        loop = asyncio.get_running_loop()
        if self._unread:
            loop.add_writer(self._ours, self._write)
        else:
            loop.remove_writer(self._ours)

    def _read(self) -> None:
        try:
            self._parser.feed_data(os.read(self._ours, _READ_OCTETS))
        except InvalidPacketError:  # out of step with H4: begin anew
            self._parser = PacketParser(self._controller)

    def close(self) -> None:
        """It is on the air no more."""
        asyncio.get_running_loop().remove_reader(self._ours)
        asyncio.get_running_loop().remove_writer(self._ours)
        self._controller.lose_power()
        self._path.unlink(missing_ok=True)
        os.close(self._ours)
        os.close(self._theirs)
