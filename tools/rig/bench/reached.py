"""A gateway under test: asked over its socket, started and ended by the bench's commands, its log read.

Contract: `status` is None while none answers there. What else goes wrong is `GatewayUnreachable`. Nothing
blocks the loop.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from edge.config import Config
from edge.local.control import ask
from edge.local.status import StatusDocument
from edge.workers import in_thread
from tools.rig.bench.errors import GatewayUnreachable
from tools.rig.bench.inventory import GatewayUnderTest

COMMAND_S_MAX: Final = 60.0
ANSWERS_S_MAX: Final = 30.0
"""A gateway that does not answer for so long hangs: that is its own fault."""
SAID_MAX: Final = 300


class Reached:
    """One gateway; `config` is its file."""

    def __init__(self, gateway: GatewayUnderTest, config: Config) -> None:
        self._gateway = gateway
        self.state_dir = gateway.state_dir or config.gateway.state_dir
        self.bundles = gateway.bundles or config.upstream.directory
        self._log = _Tail(gateway.log) if gateway.log else None

    async def status(self) -> StatusDocument | None:
        """What it says; None if none runs there, or it hangs. Raises GatewayUnreachable."""
        try:
            answer = await in_thread(lambda: ask(self.state_dir, {"do": "status"}, ANSWERS_S_MAX))
        except TimeoutError:
            return None
        except OSError as error:
            reason = f"its socket in {self.state_dir}: {error.strerror or error}"
            raise GatewayUnreachable(self._gateway.resource, reason) from error
        try:
            return None if answer is None else msgspec.json.decode(answer, type=StatusDocument)
        except msgspec.DecodeError as error:
            raise GatewayUnreachable(
                self._gateway.resource, f"its answer is no status of this version: {error}"
            ) from error

    async def do(self, what: str) -> None:
        """Have one of the bench's commands run: start, stop or kill. Raises GatewayUnreachable."""
        command = getattr(self._gateway, what)
        assert command is not None, f"who plays has seen to it that there is a command to {what}"
        # What is said goes to a file: a gateway that the command leaves running would keep a pipe open.
        with tempfile.TemporaryFile() as said:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.DEVNULL, stdout=said, stderr=said
                )
            except OSError as error:
                raise GatewayUnreachable(self._gateway.resource, f"{what}: {error.strerror}") from error
            try:
                async with asyncio.timeout(COMMAND_S_MAX):
                    code = await process.wait()
            except TimeoutError as error:
                process.kill()
                reason = f"{what}: it takes more than {COMMAND_S_MAX:g} s"
                raise GatewayUnreachable(self._gateway.resource, reason) from error
            if code != 0:
                said.seek(0)
                reason = said.read().decode(errors="replace").strip()[-SAID_MAX:] or f"exit code {code}"
                raise GatewayUnreachable(self._gateway.resource, f"{what}: {reason}")

    def logged(self) -> Iterator[str]:
        """The lines that it has logged since the last time, or since this was made."""
        return iter(()) if self._log is None else self._log.lines()


class _Tail:
    """What is appended to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = path.stat().st_size if path.exists() else 0
        self._rest = ""

    def lines(self) -> Iterator[str]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        self._at += len(new)
        *whole, self._rest = (self._rest + new.decode(errors="replace")).split("\n")
        yield from whole
