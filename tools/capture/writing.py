"""Writes a capture while it is made: our own lines, and a btsnoop file if one is wanted.

Contract: each event is in the file when it was written; whoever is killed leaves a capture that can be read. Files are
the user's own, because they hold health data. Without a key that somebody keeps, what is pseudonymous stays so.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from edge.errors import ConfigError
from hw_sim.capture import btsnoop, files
from hw_sim.capture.hci_log import HciLog
from hw_sim.capture.heard import Device, Heard
from tools.capture.pseudonyms import KEY_OCTETS, Pseudonyms


def pseudonyms(key_file: Path | None, *, identified: bool) -> Pseudonyms | None:
    """How to replace: by a key that nobody keeps, by one in a file, which is made if there is none; None: not at all.

    Raises:
        ConfigError: the file cannot be used.
    """
    if identified:
        return None
    if key_file is None:
        return Pseudonyms(secrets.token_bytes(KEY_OCTETS))
    try:
        key = key_file.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(KEY_OCTETS)
        with _own(key_file) as file:
            file.write(key)
    if len(key) < KEY_OCTETS:
        raise ConfigError(
            str(key_file), f"it has fewer than {KEY_OCTETS} octets", "name a file that is not there yet"
        )
    return Pseudonyms(key)


def _own(path: Path) -> IO[bytes]:
    """A new file of the user's own. Raises ConfigError if there is one already: a capture may be all that there is."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except FileExistsError as fault:
        raise ConfigError(str(path), "it is there already", "name another file, or remove it") from fault


class Writer:
    """The files of one capture, in the forms that their names end in."""

    def __init__(self, outs: dict[Path, IO[bytes]], begin_utc_s: float, replaced: Pseudonyms | None) -> None:
        self.events = 0
        self._begin_s = begin_utc_s
        self._replaced = replaced
        self._log = HciLog()
        self._devices: dict[str, Device] = {}
        self._texts = [out for path, out in outs.items() if not is_btsnoop(path)]
        self._logs = [out for path, out in outs.items() if is_btsnoop(path)]
        head = files.head(begin_utc_s, is_pseudonymous=replaced is not None).encode()
        for out in self._texts:
            _put(out, head)
        for out in self._logs:
            _put(out, btsnoop.header())

    def write(self, device: Device, event: Heard) -> None:
        """One event; `device` says what it has when it was connected."""
        if self._replaced is not None:
            shown = self._replaced.device(device)
            event = self._replaced.event(event)
        else:
            shown = device
        self.events += 1
        for out in self._texts:
            _put(out, files.line(self._begin_s, shown, event).encode())
        for out in self._logs:
            _put(out, b"".join(btsnoop.record(one) for one in self._log.packets(shown, event)))


def is_btsnoop(path: Path) -> bool:
    return path.suffix in (".btsnoop", ".log", ".cfa", ".snoop")


def _put(out: IO[Any], octets: bytes) -> None:
    out.write(octets)
    out.flush()


@contextmanager
def opened(paths: list[Path]) -> Iterator[dict[Path, IO[bytes]]]:
    """New files. What was written stays, whatever ends the capture."""
    with ExitStack() as stack:
        yield {path: stack.enter_context(_own(path)) for path in paths}
