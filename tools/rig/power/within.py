"""What runs within the guest: scripts on a disk whose writes the kernel logs, and the replay of that log.

    python -P -m tools.rig.power.within play SCRIPT DIRECTORY DEVICE
    python -P -m tools.rig.power.within replay SCRIPT LOG DISK MOUNTED EXPECTED

Contract: `play` tells the kernel's log of each acknowledged step. `replay` writes the disk as it was after each entry
of the log onto another one, mounts that, and judges what a store's start finds there; a line for each fault, and a last
line that counts. The first entries make the file system, and the directory in which the script begins: what comes
before the mark "prepared" is not judged.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.rig.power.script import SCRIPTS, judge, play, prepare
from tools.rig.power.write_log import Disk, Written, entries

PREPARED: Final = "prepared"
# What mounts a disk after a power cut; errors=continue is not wanted: a broken file system is a fault of the bench.
_MOUNT: Final = ("mount", "-t", "ext4", "-o", "errors=panic")


def _call(*words: str) -> None:
    subprocess.run(words, check=True)  # noqa: S603


def _mark(device: str, words: str) -> None:
    _call("dmsetup", "message", device, "0", "mark", words.replace(" ", "-"))


def play_logged(name: str, directory: Path, device: str) -> int:
    """Play a script, and tell the log what is acknowledged."""
    prepare(SCRIPTS[name], directory)
    _call("sync")
    _mark(device, PREPARED)
    return play(SCRIPTS[name], directory, lambda line: _mark(device, line))


def points(log: Iterator[Written], disk: Disk) -> Iterator[tuple[int, int | None]]:
    """After each entry that wrote something since the script began: its number, and the steps acknowledged by then."""
    acked: int | None = None
    is_prepared = False
    for number, entry in enumerate(log):
        disk.write(entry)
        if entry.mark is not None and entry.mark.startswith("acked"):
            acked = int(entry.mark.split("-")[1])
        is_prepared = is_prepared or entry.mark == PREPARED
        if is_prepared:
            yield number, acked


def replay(name: str, log: Path, device: Path, mounted: Path, expected: list[str]) -> int:
    """Judge every point; how many were wrong."""
    disk = Disk(_size(device))
    wrong = count = 0
    with log.open("rb") as file:
        for number, acked in points(entries(file), disk):
            with device.open("r+b") as target:
                target.write(disk.octets)
            _call(*_MOUNT, str(device), str(mounted))
            found = judge(mounted / name, expected, acked)
            _call("umount", str(mounted))
            count += 1
            if found is not None:
                wrong += 1
                print(f"{name}, entry {number}, {acked} acknowledged: {found}", flush=True)
    print(f"{name}: {count} replay points, {wrong} wrong", flush=True)
    return wrong


def _size(device: Path) -> int:
    with device.open("rb") as file:
        return file.seek(0, 2)


def main() -> int:
    match sys.argv[1:]:
        case ["play", name, directory, device]:
            return play_logged(name, Path(directory), device)
        case ["replay", name, log, device, mounted, expected]:
            states = json.loads(Path(expected).read_text())
            return 1 if replay(name, Path(log), Path(device), Path(mounted), states) else 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
