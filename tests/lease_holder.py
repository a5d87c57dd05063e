"""A process that takes things on the bench, uses them and gives them back, until it is killed.

    lease_holder.py DIRECTORY SEED NAMES...

While it holds a thing it has that thing's file locked: the kernel, which frees a lock when a process ends, says whether
two hold it. Each use is noted in DIRECTORY/NAME with its fence. It prints "ready" when it begins, and says "twice" and
ends if somebody else has what it was given.
"""

import fcntl
import os
import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from edge.clock import SystemClock
from tools.rig.bench.errors import NothingFree
from tools.rig.bench.leases import Lease, Leases, Wanted


def use(directory: Path, lease: Lease, dice: random.Random) -> None:
    """Hold everything for a moment. Raises BlockingIOError if another holds it, too."""
    with ExitStack() as open_files:
        for name, fence in lease.fences.items():
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            open_files.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, f"{fence}\n".encode())
        time.sleep(dice.uniform(0.0, 0.02))
        lease.require()


def main(directory: Path, seed: int, names: list[str]) -> None:
    leases = Leases(directory / "bench.leases", SystemClock())
    dice = random.Random(seed)
    print("ready", flush=True)
    while True:
        wanted = [Wanted(names[1:], dice.randint(1, 2))] + [Wanted(names[:1])] * dice.randint(0, 1)
        try:
            lease = leases.take(wanted, f"seed {seed}")
        except NothingFree:
            time.sleep(dice.uniform(0.0, 0.02))
            continue
        try:
            use(directory, lease, dice)
        except BlockingIOError:
            print("twice", dict(lease.fences), flush=True)
            sys.exit(1)
        if dice.random() < 0.5:
            leases.renew(lease)
        leases.give_back(lease)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
