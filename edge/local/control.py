"""The gateway's socket: requests and answers are lines of JSON.

A request names what it wants: {"do": "status"}, or {"do": "watch", "every_s": 1}. `verbs` has the table of them all. A
request is answered by one line or by several; only then the next request of the same client is read. A request that
makes no sense is answered with {"error": {"cause": ..., "remedy": ...}}.

Contract: only the user that runs the gateway may use the socket. A client that is slow, silent or gone delays nobody:
the next answer is made only when it has read the former one, and if there are too many clients, the one that was
answered longest ago is disconnected. Answers hold health data and are never written to a file. What an answer says is
not decided here.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Generator, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from edge.local.verbs import Error, Refusal, Served, answers

log = logging.getLogger(__name__)

SOCKET_NAME: Final = "control.sock"
REQUEST_BYTES_MAX: Final = 16_384
CLIENTS_MAX: Final = 16
# How long the gateway may be unreachable after somebody removed its socket, or the disk had no space for it.
CHECK_S: Final = 300.0
ANSWER_BYTES_MAX: Final = 16 << 20
ANSWER_TIMEOUT_S: Final = 5.0


class Control:
    """The socket of a running gateway; it exists from `open` to `close`."""

    def __init__(self, state_dir: Path, served: Served) -> None:
        self._state_dir = state_dir
        self._served = served
        self._server: asyncio.Server | None = None
        self._inode: int | None = None
        self._check: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self._is_closed = False
        # In the order in which they were last answered.
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._complained = False

    async def open(self) -> None:
        """Make the socket. If that fails, log it once and try again later."""
        try:
            listener, inode = _listen(self._state_dir)
        except FileNotFoundError:
            pass  # the state directory is gone; the store reports that
        except OSError as fault:
            if not self._complained:
                log.warning("`vitalgate status` cannot reach this gateway: %s", fault.strerror)
            self._complained = True
        else:
            if self._server is not None:
                self._server.close()
            self._inode, self._complained = inode, False
            # In two steps, so that `_server` is set, and can be closed, if the second step is cancelled.
            self._server = await asyncio.start_server(
                self._meet, sock=listener, limit=REQUEST_BYTES_MAX, start_serving=False
            )
            await self._server.start_serving()
        if self._is_closed:
            self.close()
        else:
            self._check = asyncio.get_running_loop().call_later(CHECK_S, self._look_after)

    def close(self) -> None:
        """Disconnect all clients and remove the socket."""
        self._is_closed = True
        if self._check is not None:
            self._check.cancel()
        if self._server is not None:
            self._server.close()
        for writer in list(self._clients):
            self._let_go(writer)
        if self._inode is not None and self._inode == _inode(self._state_dir):
            (self._state_dir / SOCKET_NAME).unlink(missing_ok=True)

    def _look_after(self) -> None:
        """Check that the socket still exists, and make it again if somebody removed it or its directory."""
        loop = asyncio.get_running_loop()
        if self._inode is not None and self._inode == _inode(self._state_dir):
            self._check = loop.call_later(CHECK_S, self._look_after)
        else:
            self._opening = loop.create_task(self.open())

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            self._let_go(next(iter(self._clients)))
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._clients[writer] = task
        task.add_done_callback(lambda _: self._let_go(writer))

    def _let_go(self, writer: asyncio.StreamWriter) -> None:
        task = self._clients.pop(writer, None)
        if task is not None:
            task.cancel()
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # the client has gone
            await self._converse(reader, writer)
            writer.close()
            await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                line = await reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                line = end.partial
            except asyncio.LimitOverrunError:
                remedy = f"send at most {REQUEST_BYTES_MAX} bytes in a line"
                await self._say(writer, Refusal(Error("the request is too long", remedy)))
                return
            if not line.strip():
                if reader.at_eof():
                    return
                # A line that has arrived already is read without waiting: others have their turn.
                await asyncio.sleep(0)
                continue
            async with aclosing(answers(self._served, line)) as lines:
                async for answer in lines:
                    await self._say(writer, answer)

    async def _say(self, writer: asyncio.StreamWriter, answer: Struct) -> None:
        writer.write(msgspec.json.encode(answer) + b"\n")
        await writer.drain()
        self._clients[writer] = self._clients.pop(writer)


def ask(state_dir: Path, request: Mapping[str, Any], timeout_s: float = ANSWER_TIMEOUT_S) -> bytes | None:
    """The first line of the answer of the gateway on this state directory; None if no gateway runs there.

    Raises:
        TimeoutError: it runs, but does not answer.
        PermissionError: it belongs to another user.
    """
    with (
        suppress(FileNotFoundError, ConnectionError, NotADirectoryError),
        closing(asked(state_dir, request, timeout_s)) as lines,
    ):
        return next(lines, None)
    return None


def asked(state_dir: Path, request: Mapping[str, Any], timeout_s: float) -> Generator[bytes, None, None]:
    """Each line of the answer; no more if the gateway ends before a line is complete.

    Raises:
        TimeoutError: it runs, but says nothing for so long.
        PermissionError: it belongs to another user.
        FileNotFoundError, ConnectionError, NotADirectoryError: none runs.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with _short_path(state_dir) as path:
                connection.connect(path)
            connection.sendall(msgspec.json.encode(request) + b"\n")
            rest = bytearray()
            while len(rest) <= ANSWER_BYTES_MAX and (part := connection.recv(1 << 16)):
                rest += part
                *lines, last = rest.split(b"\n")
                rest = bytearray(last)
                yield from (bytes(line) + b"\n" for line in lines)
        except BlockingIOError as fault:  # more clients wait than the socket may have
            raise TimeoutError("too many ask") from fault


def _listen(state_dir: Path) -> tuple[socket.socket, int]:
    """A listening socket that only this user can ever use, in place of any that was left behind."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The socket file gets this mode; the umask would hold for all threads.
        os.fchmod(listener.fileno(), 0o600)
        listener.setblocking(False)
        with _short_path(state_dir) as path:
            Path(path).unlink(missing_ok=True)
            listener.bind(path)
            return listener, Path(path).stat().st_ino
    except BaseException:
        listener.close()
        raise


def _inode(state_dir: Path) -> int | None:
    with suppress(OSError):
        return (state_dir / SOCKET_NAME).stat().st_ino
    return None


@contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """A name for the socket that fits into a socket address, which takes 107 bytes."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
