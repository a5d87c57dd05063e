"""The embedded upstream: each batch is a file in a directory, for whoever collects it there.

Contract: a file is whole or absent, a power cut included, and the same name is the same file. Nothing here
looks into a batch.
"""

from pathlib import Path

from edge import durable
from edge.errors import UpstreamUnavailable


class FileUpstream:
    """Writes batches into `directory`, which is made once; one that vanishes later, as a stick does, is waited for."""

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
            durable.write(self.directory / f"{name}.json", body, 0o640)
        except OSError as fault:
            reason = fault.strerror or str(fault)
            raise UpstreamUnavailable(f"cannot write to {self.directory}: {reason}") from fault

    def _sweep(self) -> None:
        """Once a run: remove what a crash left half written."""
        if self._swept:
            return
        self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        for torn in self.directory.glob(f".*{durable.TORN_SUFFIX}"):
            torn.unlink()
        self._swept = True
