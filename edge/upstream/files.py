"""The route of files: each batch is a file in a directory, for whoever collects it there.

Contract: a file is whole or absent, a power cut included, and the same name is the same file. The disk is waited for
in a worker, never in the event loop. Nothing here looks into a batch.
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
    """Writes batches into `directory`, which is made once; one that vanishes later, as a stick does, is waited for."""

    route = FILES

    def __init__(self, directory: Path, worker: Worker) -> None:
        """`worker`: where the disk is waited for.

        Raises:
            ConfigError: what is meant is no directory.
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
        """Put the batch down durably.

        Raises:
            UpstreamUnavailable: the directory cannot be written.
        """
        try:
            await self._worker(partial(self._put, f"{name}{SUFFIX}", body))
        except OSError as fault:
            # What was being written may still be there when the directory is back.
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
        """Remove what a crash, or a stick that was pulled out, left half written."""
        for torn in self.directory.glob(f".*{SUFFIX}{durable.TORN_SUFFIX}"):
            torn.unlink(missing_ok=True)
        self._swept = True
