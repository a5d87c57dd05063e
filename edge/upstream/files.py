"""The route "files": each batch becomes a file in a directory, where another program may collect it.

Contract: a file is complete or absent, also after a power cut. A batch that is sent again under its name becomes the
same file. A worker waits for the disk, never the event loop. The content of a batch does not matter here.
"""

import re
from functools import partial
from pathlib import Path

from edge import durable
from edge.errors import ConfigError, UpstreamUnavailable
from edge.upstream.routes import FILES
from edge.workers import Worker

SUFFIX = ".json"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:")


class FileUpstream:
    """Writes batches into `directory`. It is created once; if it vanishes (a USB stick), batches wait for it."""

    route = FILES

    def __init__(self, directory: Path, worker: Worker) -> None:
        """`worker`: waits for the disk.

        Raises:
            ConfigError: the path is not a directory.
        """
        if any(_SCHEME.fullmatch(part) for part in directory.parts[:-1]):
            raise ConfigError(
                "upstream.directory", f"{directory} is a URL", "give a directory of this machine"
            )
        self.directory = directory
        self._worker = worker
        self._made = False
        self._swept = False

    async def send(self, name: str, body: bytes) -> None:
        """Write the batch durably.

        Raises:
            UpstreamUnavailable: the directory cannot be written.
        """
        try:
            await self._worker(partial(self._put, f"{name}{SUFFIX}", body))
        except OSError as fault:
            # A half-written file may still be there when the directory is back.
            self._swept = False
            reason = fault.strerror or str(fault)
            raise UpstreamUnavailable(f"cannot write to {self.directory}: {reason}") from fault

    def _put(self, name: str, body: bytes) -> None:
        if not self._made:
            self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._made = True
        if not self._swept:
            self._sweep()
        durable.write(self.directory / name, body, 0o640)

    def _sweep(self) -> None:
        """Remove files that a crash, or unplugging a stick, left half written."""
        for torn in self.directory.glob(f".*{SUFFIX}{durable.TORN_SUFFIX}"):
            torn.unlink(missing_ok=True)
        self._swept = True
