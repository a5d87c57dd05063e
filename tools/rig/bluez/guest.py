"""A guest: a kernel in user mode that boots on this machine's own files, and the remote control into it.

    test process                        guest
    Adapter  <-- socket, HCI H4 -->     ttyS1 (ttyS3)  btattach  hci0 (hci1)  bluetoothd  dbus-daemon  vitalgate run
    Guest    <-- socket, lines  -->     ttyS2          init.sh, which runs a line as a shell command
    Guest    <-- pipe, lines    ---     the console    "[NAME] what it says" of everything that was started

Contract: it runs as an ordinary user and needs no privilege. Nothing of it outlives `close`: it is asked to power off,
and then its process group is killed. It ends by itself when whoever made it is gone, because its remote control hangs
up. It sees this machine's files as they are and can change none of them, but for the directory of the run.

Not here: what is started in it, and when (`world`).
"""

import asyncio
import os
import shlex
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tools.rig.bluez import provided

BOOT_S_MAX: Final = 60.0
ANSWER_S_MAX: Final = 60.0
POWER_OFF_S_MAX: Final = 5.0
LINE_BYTES_MAX: Final = 1 << 22
# The serial line of each adapter; ttyS2 is the remote control's.
ADAPTER_LINES: Final = (1, 3)


class Answer(NamedTuple):
    """What a command said, and its exit status."""

    status: int
    text: str


class GuestError(Exception):
    """It has ended, or answers no more."""


def command_line(
    kernel: Path,
    run: Path,
    bluez: Path,
    control: int,
    adapters: Sequence[int],
    memory_mb: int,
    disks: Sequence[Path] = (),
) -> list[str]:
    """What is called: file descriptors of the control line and of the adapters' lines become its serial lines."""
    here = provided.HERE
    return [
        str(kernel),
        f"mem={memory_mb}M",
        "root=none",
        "rootfstype=hostfs",
        "rootflags=/",
        "ro",
        f"init={here / 'init.sh'}",
        f"uml_dir={run}/",
        "umid=guest",
        "con=null",
        "con0=null,fd:1",
        f"ssl2=fd:{control}",
        *(f"ssl{line}=fd:{fd}" for line, fd in zip(ADAPTER_LINES, adapters, strict=False)),
        *(f"ubd{number}={disk}" for number, disk in enumerate(disks)),
        "quiet",
        f"run={run}",
        f"here={here}",
        f"bluez={bluez}",
    ]


def command(*words: str) -> str:
    """A line for the remote control."""
    return " ".join(shlex.quote(word) for word in words)


class Guest:
    """One guest; `open` boots it."""

    def __init__(
        self,
        run: Path,
        bluez: Path,
        on_line: Callable[[str], None],
        memory_mb: int = 400,
        disks: Sequence[Path] = (),
    ) -> None:
        """`on_line` is called with each line of the console. Files become its disks, /dev/ubda and so on."""
        self._run, self._bluez, self._on_line, self._memory_mb = run, bluez, on_line, memory_mb
        self._disks = disks
        self._turn = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None

    async def open(self, adapters: Sequence[socket.socket]) -> None:
        """Boot with these serial lines, which are the guest's from now on. Raises GuestError."""
        ours, theirs = socket.socketpair()
        with ExitStack() as handed_over:
            for line in (theirs, *adapters):
                handed_over.callback(line.close)
            fds = [line.fileno() for line in adapters]
            kernel = provided.require("linux")
            self._process = await asyncio.create_subprocess_exec(
                *command_line(
                    kernel, self._run, self._bluez, theirs.fileno(), fds, self._memory_mb, self._disks
                ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=[theirs.fileno(), *fds],
                # Its memory is a file there.
                env=dict(os.environ, TMPDIR="/dev/shm", HOME=str(self._run)),  # noqa: S108
                start_new_session=True,
                limit=LINE_BYTES_MAX,
            )
        self._listening = asyncio.ensure_future(self._listen())
        self._reader, self._writer = await asyncio.open_unix_connection(sock=ours, limit=LINE_BYTES_MAX)
        await self._until("@ready", BOOT_S_MAX)

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self._on_line(line.decode(errors="replace").rstrip())

    async def _until(self, mark: str, timeout_s: float) -> list[str]:
        """Lines up to the one that begins with a mark, that included."""
        lines: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                while not lines or not lines[-1].startswith(mark):
                    line = await self._reader.readline()
                    if not line:
                        raise GuestError("the guest has ended")
                    lines.append(line.decode(errors="replace").rstrip("\r\n"))
        except TimeoutError:
            raise GuestError(f"the guest does not answer within {timeout_s:.0f} s") from None
        return lines

    async def say(self, line: str, timeout_s: float = ANSWER_S_MAX) -> Answer:
        """Have a shell command run; they run one after another. Raises GuestError."""
        async with self._turn:
            self._writer.write(line.encode() + b"\n")
            *said, mark = await self._until("@rc ", timeout_s)
        return Answer(int(mark.split()[1]), "\n".join(said).strip())

    async def close(self) -> None:
        """Power off, and see that nothing is left."""
        if self._listening is None:
            return
        with suppress(OSError, TimeoutError):
            self._writer.write(b"poweroff\n")
            async with asyncio.timeout(POWER_OFF_S_MAX):
                await self._process.wait()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._writer.close()
        await self._listening
