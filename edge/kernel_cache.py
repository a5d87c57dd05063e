"""Where compiled kernels are kept, so that only the first start compiles them, which takes a small machine a minute.

Contract: `chosen` is entered before anything imports kernels, because the compiler looks once where its cache is. The
cache lies in the state directory, the one place that a service may write to; what the installation has compiled already
(`sh tools/setup.sh install`) is copied there. A cache that cannot be used costs a line and time, never the start.
Compiling happens in a thread that nobody waits for. Where a library holds the kernels, or nothing compiles them, there
is no cache. Which kernels there are, how they are run (`dsp.mode`) and what they compute, is not known here.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from edge.workers import in_thread

log = logging.getLogger(__name__)

VARIABLE: Final = "NUMBA_CACHE_DIR"
INSTALLED: Final = Path(sys.prefix) / "kernels"
# A kernel that was compiled but could not be kept is ready when it is called again. So many may need a second call.
KERNELS_MAX: Final = 1000


class Place(NamedTuple):
    """Where compiled kernels lie while this process runs, and whether the next one will find them there."""

    directory: Path
    lasts: bool


@contextmanager
def chosen(state_dir: Path) -> Iterator[Place | None]:
    """Let the compiler keep its kernels in the state directory or, where that cannot be, in a temporary one.

    None if nothing will be compiled.
    """
    if not _is_compiling():
        yield None
        return
    directory = state_dir / "kernels"
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_usable(directory)
    except OSError as fault:
        # If the whole state directory cannot be used, the code that opens the store reports it.
        if state_dir.is_dir() and os.access(state_dir, os.W_OK):
            log.warning(
                "compiled kernels cannot be kept in %s: %s; each start compiles them",
                directory,
                fault.strerror,
            )
        with _temporary() as temporary:
            if temporary is not None:
                _fill(Path(temporary))
                os.environ[VARIABLE] = temporary
            yield Place(Path(temporary or directory), lasts=False)
    else:
        _fill(directory)
        os.environ[VARIABLE] = str(directory)
        yield Place(directory, lasts=True)


def _temporary() -> AbstractContextManager[str | None]:
    """A directory for this process, None where there is room for none: then kernels are kept in memory alone."""
    try:
        return tempfile.TemporaryDirectory(prefix="vitalgate-kernels-", ignore_cleanup_errors=True)
    except OSError:
        return nullcontext()


def _is_compiling() -> bool:
    """Whether numba will compile kernels; says what an operator does not expect of how they are run."""
    from dsp import mode

    if mode.MODE == "plain":
        log.warning("kernels are run uncompiled, a hundred times slower: %s", mode.REASON)
    elif mode.REASON:
        log.warning("kernels are compiled here: %s", mode.REASON)
    return mode.MODE == "jit"


def _make_usable(directory: Path) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        """What the compiler tries, too, before it takes the directory."""


def _fill(directory: Path) -> None:
    """Copy what the installation has compiled since; without it everything is compiled here."""
    # An index is copied after the kernels that it names.
    for source in sorted(INSTALLED.rglob("*.nb[ci]")):
        target = directory / source.relative_to(INSTALLED)
        torn = target.with_name(f".{target.name}.part")
        with suppress(OSError):
            if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
                continue
            target.parent.mkdir(mode=0o700, exist_ok=True)
            torn.write_bytes(source.read_bytes())
            os.utime(torn, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
            torn.rename(target)


async def warm(place: Place) -> bool:
    """Have every kernel of the gateway ready, from the cache or, with a line that says so, from the compiler.

    False if some are not, because the disk prevents it again and again.
    """
    before = await in_thread(partial(_kept, place.directory))
    if not before:
        once = " for this machine, once" if place.lasts else ""
        log.info("kernels are being compiled%s; the gateway works meanwhile", once)
    is_ready, is_kept = await in_thread(_warm)
    if is_kept and await in_thread(partial(_kept, place.directory)) != before:
        log.info("kernels are compiled%s", f" and kept in {place.directory}" if place.lasts else "")
    return is_ready


def _warm() -> tuple[bool, bool]:
    """Whether all kernels are ready, and whether all are kept."""
    from dsp.warm import warm_gateway

    reason, is_ready = None, False
    for _ in range(KERNELS_MAX):
        try:
            warm_gateway()
        except OSError as fault:
            reason = fault.strerror
        else:
            is_ready = True
            break
    if reason is not None:
        says = (
            "compiled, but cannot be kept" if is_ready else "not ready, so rhythm and forecasts are not known"
        )
        log.warning("kernels are %s: %s", says, reason)
    return is_ready, reason is None


def _kept(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob("*.nbi")}


if __name__ == "__main__":
    # At installation: for every gateway of this machine, whichever its state directory.
    if _is_compiling():
        INSTALLED.mkdir(exist_ok=True)
        os.environ[VARIABLE] = str(INSTALLED)
        _warm()
