"""The channels of this machine: its journal, who listens on the gateway's socket, and a command of the operator.

Contract: each is a `delivery.Channel`. The journal is not encrypted, so that no line says what somebody's health is
like: an alert about a value has no name there. Routes to people elsewhere are channels, too, and belong to who makes
them.
"""

import asyncio
import logging
import os
import signal
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import msgspec

from edge.alerts.message import TEST, Message
from edge.alerts.state import Tier, What
from edge.errors import Undelivered, one_line

log = logging.getLogger(__name__)

# The rules whose names say nothing about anybody's health.
TECHNICAL: Final = frozenset(
    {
        "heart_rate_silence",
        "cgm_silence",
        "not_worn",
        "sensor_ending",
        "battery_low",
        "sync_stuck",
        "clock_untrusted",
        "disk_full",
        "sound_dead",
        TEST,
    }
)
SAYS: Final = {
    What.RAISED: "an alert was raised",
    What.WORSE: "an alert got worse",
    What.FOLLOW_UP: "an alert goes on",
    What.ESCALATED: "nobody has acknowledged an alert",
    What.OVER: "an alert is over",
    What.RETRACTED: "an alert is void",
    What.ACKNOWLEDGED: "an alert was acknowledged",
}
QUIETLY: Final = frozenset({What.OVER, What.RETRACTED, What.ACKNOWLEDGED})
# A listener that does not read loses the oldest.
UNREAD_MAX: Final = 100


class Journal:
    """A line in the log. The proof is that it was written."""

    name = "journal"
    least_tier = Tier.REMINDER
    must_work = True

    async def deliver(self, message: Message) -> None:
        what = What(message.what)
        says = SAYS[what]
        if message.rule in TECHNICAL:
            says += f" ({message.rule})"
        level = logging.INFO if what in QUIETLY or message.rule == TEST else logging.WARNING
        log.log(level, "%s: %s; `vitalgate status` shows more", message.sensor, says)


class Listener:
    """Somebody who listens: takes the messages one by one, and says of each that it was written."""

    def __init__(self, on_written: Callable[[Message], None]) -> None:
        self.on_written = on_written
        self._unread: deque[Message] = deque(maxlen=UNREAD_MAX)
        self._came = asyncio.Event()

    def put(self, message: Message) -> None:
        self._unread.append(message)
        self._came.set()

    async def until(self, timeout_s: float) -> AsyncGenerator[Message, None]:
        """The messages that come within this time. One was written when the next is asked for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._came.wait()
        self._came.clear()
        while self._unread:
            message = self._unread.popleft()
            yield message
            self.on_written(message)


class Socket:
    """Whoever listens on the gateway's socket. The proof is that one of them was sent it."""

    name = "socket"
    least_tier = Tier.REMINDER
    must_work = False

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._unwritten: dict[str, tuple[Message, asyncio.Future[None]]] = {}

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Somebody listens; what nobody has been sent yet comes first."""
        listener = Listener(self._on_written)
        for message, _ in self._unwritten.values():
            listener.put(message)
        self._listeners.append(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)

    async def deliver(self, message: Message) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unwritten[message.id] = message, written
        for listener in self._listeners:
            listener.put(message)
        try:
            await written
        finally:
            del self._unwritten[message.id]

    def _on_written(self, message: Message) -> None:
        _, written = self._unwritten.get(message.id, (message, None))
        if written is not None and not written.done():
            written.set_result(None)


class Command:
    """A program that the operator names. It gets the message as JSON; the proof is that it ends with status 0."""

    name = "command"
    least_tier = Tier.REMINDER
    must_work = True

    def __init__(self, argv: Sequence[str], timeout_s: float) -> None:
        self._argv = argv
        self._timeout_s = timeout_s

    async def deliver(self, message: Message) -> None:
        program = self._argv[0]
        try:
            status = await run_program(self._argv, msgspec.json.encode(message) + b"\n", self._timeout_s)
        except TimeoutError as fault:
            raise Undelivered(f"{program} has not ended after {self._timeout_s:g} s") from fault
        except OSError as fault:
            raise Undelivered(f"{program} cannot be run: {one_line(fault.strerror or str(fault))}") from fault
        if status != 0:
            ended = f"with status {status}" if status > 0 else f"by signal {-status}"
            raise Undelivered(f"{program} ended {ended}")


async def run_program(argv: Sequence[str], stdin: bytes, timeout_s: float) -> int:
    """Run a program, without a shell, in a session of its own; its exit status, or the negative of a signal's number.

    Raises:
        TimeoutError: it did not end in time. It and what it started are killed.
        OSError: it cannot be run.
    """
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            await process.communicate(stdin)
            return await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
