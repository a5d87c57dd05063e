"""Where compiled kernels are kept: with the state, from the installation, and never at the price of the start."""

import asyncio
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import dsp.mode
import dsp.warm
from edge import kernel_cache

LOADED = """
import sys
from pathlib import Path
from edge import kernel_cache
kernel_cache.INSTALLED = Path(sys.argv[2])
with kernel_cache.chosen(Path(sys.argv[1])):
    import numpy as np
    from dsp.cardiac.hrv import extreme_rates
    extreme_rates(np.ones(9), np.ones(9))
print(extreme_rates.stats.cache_path, sum(extreme_rates.stats.cache_misses.values()))
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The compiler of this process has looked already; those that are started later must not be told of here."""
    monkeypatch.setenv(kernel_cache.VARIABLE, os.environ.get(kernel_cache.VARIABLE, ""))
    monkeypatch.setattr(kernel_cache, "INSTALLED", tmp_path / "installed")


def compiled(state_dir: Path, installed: Path) -> tuple[Path, int]:
    """Where a process that chooses for this state directory keeps a kernel, and how often it had to compile it."""
    command = [sys.executable, "-P", "-c", LOADED, str(state_dir), str(installed)]
    directory, misses = subprocess.check_output(command, text=True, timeout=120).rsplit(maxsplit=1)
    return Path(directory), int(misses)


def test_kernels_are_compiled_once_and_kept_with_the_state_for_this_user_alone(tmp_path: Path) -> None:
    state = tmp_path / "a state"
    first, second = (compiled(state, tmp_path / "none") for _ in range(2))
    assert (first[1], second[1]) == (1, 0)
    assert first[0].is_relative_to(state / "kernels")
    assert [(state / name).stat().st_mode & 0o777 for name in (".", "kernels")] == [0o700, 0o700]
    # Another gateway of the same installation compiles nothing.
    other = tmp_path / "other state"
    directory, misses = compiled(other, state / "kernels")
    assert (misses, directory.is_relative_to(other / "kernels")) == (0, True)


def test_what_the_installation_compiled_since_is_taken_and_nothing_older(tmp_path: Path) -> None:
    installed, kept = tmp_path / "installed" / "hrv", tmp_path / "state" / "kernels" / "hrv"
    installed.mkdir(parents=True)
    for name, mtime_s in (("a.nbi", 100), ("a.1.nbc", 100), ("other.txt", 100)):
        (installed / name).write_text("old")
        os.utime(installed / name, (mtime_s, mtime_s))
    with kernel_cache.chosen(tmp_path / "state") as place:
        assert place == (tmp_path / "state" / "kernels", True)
    assert sorted(path.name for path in kept.iterdir()) == ["a.1.nbc", "a.nbi"]
    (kept / "a.nbi").write_text("compiled here later")
    (installed / "a.1.nbc").write_text("a newer installation")
    with kernel_cache.chosen(tmp_path / "state"):
        assert (kept / "a.nbi").read_text() == "compiled here later"
        assert (kept / "a.1.nbc").read_text() == "a newer installation"


@pytest.mark.parametrize(
    ("mode", "reason", "said"),
    [
        ("library", "", []),
        (
            "plain",
            "numba is not installed",
            ["run uncompiled, a hundred times slower: numba is not installed"],
        ),
        ("jit", "a.so was built from other sources", ["compiled here: a.so was built from other sources"]),
        ("jit", "", []),
    ],
)
def test_a_cache_is_there_for_the_compiler_alone_and_what_nobody_expects_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: str,
    reason: str,
    said: list[str],
) -> None:
    monkeypatch.setattr(dsp.mode, "MODE", mode)
    monkeypatch.setattr(dsp.mode, "REASON", reason)
    before = os.environ[kernel_cache.VARIABLE]
    with kernel_cache.chosen(tmp_path / "state") as place:
        assert (place is not None) == (mode == "jit")
        assert (tmp_path / "state").exists() == (mode == "jit")
        assert (os.environ[kernel_cache.VARIABLE] == before) == (mode != "jit")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"kernels are {line}") for line in said
    ]


def test_what_cannot_be_copied_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "installed" / "a.nbi").mkdir(parents=True)
    with kernel_cache.chosen(tmp_path / "state") as place:
        assert list(place.directory.iterdir()) == []


def test_a_cache_that_cannot_be_used_is_one_line_and_a_temporary_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "a.nbi").touch()
    state = tmp_path / "state"
    state.mkdir()
    (state / "kernels").touch()
    with kernel_cache.chosen(state) as (directory, lasts):
        assert not lasts
        assert os.environ[kernel_cache.VARIABLE] == str(directory)
        assert (directory / "a.nbi").exists()
        assert directory.stat().st_mode & 0o077 == 0
    assert not directory.exists()
    (record,) = caplog.records
    assert (record.levelname, str(state / "kernels") in record.getMessage()) == ("WARNING", True)


def test_without_a_temporary_directory_kernels_are_kept_in_memory_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "kernels").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    before = os.environ[kernel_cache.VARIABLE]
    with kernel_cache.chosen(state) as place:
        assert place is not None  # kernels are compiled all the same
        assert os.environ[kernel_cache.VARIABLE] == before
    (record,) = caplog.records
    assert str(state / "kernels") in record.getMessage()


def test_a_state_directory_that_cannot_be_used_is_for_the_lock_to_tell(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").touch()
    with kernel_cache.chosen(tmp_path / "state") as place:
        assert place.directory.is_dir()
    assert caplog.records == []


def test_compiling_is_told_before_and_after_and_loading_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(dsp.warm, "warm_gateway", lambda: (tmp_path / "hrv.nbi").touch())
    asyncio.run(kernel_cache.warm(kernel_cache.Place(tmp_path, lasts=True)))
    before, after = (record.getMessage() for record in caplog.records)
    assert "are being compiled" in before
    assert f"kept in {tmp_path}" in after
    caplog.clear()
    monkeypatch.setattr(dsp.warm, "warm_gateway", lambda: None)
    asyncio.run(kernel_cache.warm(kernel_cache.Place(tmp_path, lasts=True)))
    assert caplog.records == []


def test_no_line_says_that_kernels_are_kept_where_they_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    state = tmp_path / "state"
    state.mkdir()
    (state / "kernels").touch()
    with kernel_cache.chosen(state) as place:
        monkeypatch.setattr(dsp.warm, "warm_gateway", (place.directory / "hrv.nbi").touch)
        asyncio.run(kernel_cache.warm(place))
    refused, before, after = (record.getMessage() for record in caplog.records)
    assert refused.endswith("kernels: File exists; each start compiles them")
    assert (before, after) == (
        "kernels are being compiled; the gateway works meanwhile",
        "kernels are compiled",
    )


def test_kernels_that_cannot_be_kept_are_ready_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def full_disk() -> None:
        """As the compiler: what it has compiled is in memory when the disk refuses it."""
        calls.append(1)
        if len(calls) <= 90:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(dsp.warm, "warm_gateway", full_disk)
    assert asyncio.run(kernel_cache.warm(kernel_cache.Place(tmp_path, lasts=True)))
    assert len(calls) == 91
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "kernels are compiled, but cannot be kept: No space left on device"
    ]


def test_kernels_that_the_disk_prevents_for_ever_are_not_called_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full_disk() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dsp.warm, "warm_gateway", full_disk)
    assert not asyncio.run(kernel_cache.warm(kernel_cache.Place(tmp_path, lasts=True)))
    assert caplog.messages[-1].startswith("kernels are not ready")


def test_an_installation_without_a_compiler_keeps_nothing(tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.prefix = {str(tmp_path)!r}; runpy.run_module('edge.kernel_cache', {{}}, '__main__')"
    environment = {**os.environ, "VITALGATE_KERNELS": "plain"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, timeout=60
    )
    assert (done.returncode, list(tmp_path.iterdir())) == (0, [])
