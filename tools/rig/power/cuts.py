"""Power cuts of scripts: each is recorded once, and images of the disk are opened by the store's own code.

Contract: `cut` draws images of a script and judges each; a fault says the script, the image and what is wrong, and the
same seed draws the same images. Recording leaves nothing behind. `cut_again` also cuts the opening of an image.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from edge.errors import ConfigError, StoreCorrupt, StoreUnavailable
from edge.store.opening import open_for_writing
from tools.rig.power.images import Image, Window, drawn, image, windows
from tools.rig.power.recording import Recorder, recording
from tools.rig.power.script import IDENTITY, SCRIPTS, STORE, judge, play, prepare, states


class Cut(NamedTuple):
    """One image that was opened: of which script and moment, which pieces it has, and what was wrong with it."""

    script: str
    window: int
    chosen: tuple[int, int]
    wrong: str | None


class Recorded(NamedTuple):
    """A script as it was played without any fault."""

    script: str
    windows: tuple[Window, ...]
    expected: list[str]
    calls: int


def record(name: str, directory: Path) -> Recorded:
    """Play a script once; `directory` is free to be used, and left empty."""
    script = SCRIPTS[name]
    expected = states(script, directory / "expected")
    played = directory / "played"
    prepare(script, played)
    with recording(played) as recorder:
        code = play(script, played, recorder.tell)
    assert code == 0, f"{name} ends with {code} though nothing failed"
    shutil.rmtree(played)
    return Recorded(name, tuple(windows(recorder)), expected, _calls(recorder))


def _calls(recorder: Recorder) -> int:
    """How many writes, truncations and syncs there were."""
    return sum(type(entry).__name__ in ("Write", "Truncate", "Sync") for entry in recorder.entries)


def cut(recorded: Recorded, images: int, seed: int, directory: Path) -> Iterator[Cut]:
    """Draw about so many images, more of moments with more that may be missing, and open each."""
    rng = Random(f"{seed}/{recorded.script}")  # noqa: S311
    weights = [1 + len(window.pieces) + len(window.renamings) for window in recorded.windows]
    for number, window in enumerate(recorded.windows):
        acked = acknowledged(window.told)
        for one in drawn(window, -(-images * weights[number] // sum(weights)), rng):
            put(one, directory / "image")
            yield Cut(
                recorded.script, number, one.chosen, judge(directory / "image", recorded.expected, acked)
            )


def cut_again(recorded: Recorded, images: int, seed: int, directory: Path) -> Iterator[Cut]:
    """Draw an image of each moment, cut the power again while it is opened, and open about so many images of that."""
    rng = Random(f"{seed}/{recorded.script}/again")  # noqa: S311
    share = max(1, images // (8 * len(recorded.windows)))
    for number, window in enumerate(recorded.windows):
        acked = acknowledged(window.told)
        first = image(
            window, (rng.getrandbits(len(window.pieces) + 1) >> 1, rng.randint(0, len(window.renamings)))
        )
        opened = directory / "opened"
        put(first, opened)
        with recording(opened) as recorder:
            try:
                open_for_writing(opened / STORE, IDENTITY, simulated=True).database.close()
            except (ConfigError, StoreUnavailable, StoreCorrupt):
                continue  # `cut` judges that
        for moment in windows(recorder):
            for one in drawn(moment, share, rng):
                put(one, directory / "image")
                wrong = judge(directory / "image", recorded.expected, acked)
                yield Cut(f"{recorded.script}, again", number, one.chosen, wrong)


def acknowledged(told: tuple[str, ...]) -> int | None:
    """How many steps were acknowledged; None: the store was not said to be open."""
    counts = [int(line.split()[1]) for line in told if line.startswith("acked ")]
    return max(counts, default=None)


def put(one: Image, directory: Path) -> None:
    """Make a directory that holds the image, and nothing else."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for name, content in one.files.items():
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o600)
