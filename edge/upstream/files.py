"""The embedded upstream: each batch is a file in a directory, for whoever collects it there.

Contract: a file is whole or absent, a power cut included, and the same name is the same file. Nothing here
looks into a batch.
"""

import os
from pathlib import Path

from edge.errors import UpstreamUnavailable

_TORN = ".json.part"


class FileUpstream:
    """Writes batches into `directory`, which is made when it is missing."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._swept = False

    async def send(self, name: str, body: bytes) -> None:
        """Put the batch down durably.

        Raises:
            UpstreamUnavailable: the directory cannot be written.
        """
        try:
            self._sweep()
            self._write(name, body)
        except OSError as fault:
            reason = fault.strerror or str(fault)
            raise UpstreamUnavailable(f"cannot write to {self.directory}: {reason}") from fault

    def _sweep(self) -> None:
        """Once a run: remove what a crash left half written."""
        if self._swept:
            return
        self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        for torn in self.directory.glob(f".*{_TORN}"):
            torn.unlink()
        self._swept = True

    def _write(self, name: str, body: bytes) -> None:
        torn = self.directory / f".{name}{_TORN}"
        try:
            descriptor = os.open(torn, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(descriptor)
            torn.rename(self.directory / f"{name}.json")
        except OSError:
            torn.unlink(missing_ok=True)
            raise
        directory = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
