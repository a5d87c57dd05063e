"""What systemd is told of the gateway, as sd_notify(3) has it: that it is ready, that it lives, that it stops.

    phase    | is said once                | is said with each beat
    ---------|-----------------------------|-------------------------------------------------
    starting | STATUS                      | that it needs more time, as the loop turns still
    running  | READY, STATUS               | WATCHDOG
    stopping | STOPPING, STATUS            | WATCHDOG

Contract: the heartbeat (`heartbeat`) says when, so that systemd and the watchman hear the same. Without systemd nothing
is said. What cannot be said costs a line of the log. Nothing here waits.
"""

import logging
import socket
from collections.abc import Mapping
from contextlib import closing
from typing import Final

log = logging.getLogger(__name__)

# How much longer a start may take that goes on: a few beats.
MORE_TIME_US: Final = 60_000_000


class ServiceManager:
    """The socket on which the service manager listens; None: nobody does."""

    def __init__(self, address: str | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._complained = False

    @classmethod
    def of_service(cls, environment: Mapping[str, str]) -> "ServiceManager":
        """The one that has started this process."""
        return cls(environment.get("NOTIFY_SOCKET") or None)

    def on_starting(self) -> None:
        self._say("STATUS=starting")

    def on_running(self) -> None:
        self._say("READY=1\nSTATUS=running")

    def on_stopping(self) -> None:
        self._say("STOPPING=1\nSTATUS=stores what is open")

    def on_beat(self, *, is_starting: bool) -> None:
        """The loop turns."""
        self._say(f"EXTEND_TIMEOUT_USEC={MORE_TIME_US}" if is_starting else "WATCHDOG=1")

    def _say(self, text: str) -> None:
        if self._address is None:
            return
        try:
            with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)) as sending:
                sending.setblocking(False)
                sending.sendto(text.encode(), self._address)
        except OSError as fault:
            if not self._complained:
                log.warning("the service manager cannot be told: %s", fault.strerror)
            self._complained = True
        else:
            self._complained = False
