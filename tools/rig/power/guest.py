"""Scripts on a real file system, every write of which the kernel logs and replays: dm-log-writes and ext4, in a guest.

    guest (Linux 6.12 in user mode)
    /dev/ubda  <- ext4 <- dm-log-writes  a script plays here
    /dev/ubdb  <- the log of its writes
    /dev/ubdc  <- what /dev/ubda held after each entry of the log: mounted, and opened by the store's own code

Contract: needs no privilege; the kernel is that of the real Bluetooth stack (`tools/rig/bluez/provide.sh`), and
mkfs.ext4 and dmsetup are this machine's. A script gives some hundred points. `within` is what runs in the guest.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge.errors import ConfigError
from tools.rig.bluez import provided
from tools.rig.bluez.guest import Guest, GuestError, command
from tools.rig.power.script import SCRIPTS, states

ROOT: Final = Path(__file__).parents[3]
# Enough for a file system with a journal and a store of a few hundred pages; each point writes the whole disk.
DISK_BYTES: Final = 16 << 20
LOG_BYTES: Final = 256 << 20
STEP_S_MAX: Final = 600.0
REPLAY_S_MAX: Final = 3600.0
TOOLS: Final = {"mkfs.ext4": "e2fsprogs", "dmsetup": "dmsetup"}
_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"


def require() -> None:
    """Raises ConfigError if the kernel or a tool is missing."""
    provided.require("linux")
    for tool, package in TOOLS.items():
        if shutil.which(tool, path=_PATH) is None:
            raise ConfigError(tool, "is missing", f"apt-get install {package}")
    provided.require_one_word(ROOT, Path(sys.executable))


@contextmanager
def _disks(directory: Path) -> Iterator[list[Path]]:
    disks = [directory / name for name in ("data", "log", "replayed")]
    for disk, size in zip(disks, (DISK_BYTES, LOG_BYTES, DISK_BYTES), strict=True):
        with disk.open("wb") as file:
            file.truncate(size)
    try:
        yield disks
    finally:
        for disk in disks:
            disk.unlink()


def steps(name: str) -> list[tuple[str, float]]:
    """What the guest is told to do, in order, and how long each may take."""
    python = command("env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-m", "tools.rig.power.within")
    table = f"0 {DISK_BYTES // 512} log-writes /dev/ubda /dev/ubdb"
    return [
        ("mkdir -p /run/data /run/replayed", STEP_S_MAX),
        (command("dmsetup", "--noudevsync", "create", "logged", "--table", table), STEP_S_MAX),
        ("mkfs.ext4 -q -F -J size=4 /dev/mapper/logged && mount /dev/mapper/logged /run/data", STEP_S_MAX),
        (f"{python} play {name} /run/data/{name} logged", STEP_S_MAX),
        ("umount /run/data && dmsetup --noudevsync remove logged", STEP_S_MAX),
        (f"{python} replay {name} /dev/ubdb /dev/ubdc /run/replayed /run/host/expected.json", REPLAY_S_MAX),
    ]


async def replayed(name: str, directory: Path) -> tuple[str, bool]:
    """Play a script in a guest, and judge every point; what was said, and whether anything was wrong.

    Raises:
        GuestError: the guest did not do what it was told.
    """
    run = directory / "guest"
    run.mkdir(parents=True)
    (run / "expected.json").write_text(json.dumps(states(SCRIPTS[name], directory / "expected")))
    console: list[str] = []
    with _disks(directory) as disks:
        guest = Guest(run, Path("none"), console.append, disks=disks)
        try:
            await guest.open([])
            for line, limit_s in steps(name):
                answer = await guest.say(line, limit_s)
                if answer.status and "replay" not in line.split():
                    raise GuestError(f"{line}: {answer.text[-500:]} {console[-5:]}")
        finally:
            await guest.close()
            shutil.rmtree(run, ignore_errors=True)
    if "replay points" not in answer.text:
        raise GuestError(answer.text[-500:])
    return answer.text, answer.status != 0


def replay_all(names: list[str], directory: Path) -> int:
    """Every script; how many were wrong."""
    require()
    wrong = 0
    for name in names:
        text, is_wrong = asyncio.run(replayed(name, directory / name))
        print(text, flush=True)
        wrong += is_wrong
    return wrong
