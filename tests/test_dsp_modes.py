"""All tests of `dsp` pass in the modes they do not run in here: kernels from the library, and kernels as they stand."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from kernel_modes import EVERY, environment, leave_out

from dsp import mode as kernel_mode

HERE = Path(__file__).parent
# What places beats in time has no kernels.
OTHERS = {"test_dsp_modes.py", "test_dsp_rr.py", "test_dsp_cardiac_rr.py"}
FILES = [path for path in sorted(HERE.glob("test_dsp_*.py")) if path.name not in OTHERS]


@pytest.mark.parametrize(
    ("mode", "which"),
    [
        pytest.param("library", "not soak", id="library"),
        pytest.param("plain", "not soak", id="plain"),
        pytest.param("library", "soak or not soak", id="library, all", marks=pytest.mark.soak),
        pytest.param("plain", "soak or not soak", id="plain, all", marks=pytest.mark.soak),
    ],
)
def test_everything_passes(mode: str, which: str) -> None:
    """With less of it than where numba compiles."""
    options = ["-q", "-p", "no:cacheprovider", "-m", which]
    command = [sys.executable, "-P", "-m", "pytest", *options, *map(str, FILES)]
    run = subprocess.run(
        command,
        cwd=HERE.parent,
        env=environment(mode),
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]


@pytest.mark.parametrize(
    ("mode", "ran"),
    [
        ("plain", [0, EVERY, 2 * EVERY, 2 * EVERY + 3]),
        ("library", [0, EVERY, 2 * EVERY, 2 * EVERY + 3]),
        ("jit", range(2 * EVERY + 4)),
    ],
)
def test_cases_are_left_out_by_one_rule(monkeypatch: pytest.MonkeyPatch, mode: str, ran: list[int]) -> None:
    monkeypatch.setattr(kernel_mode, "MODE", mode)
    marked: set[str] = set()

    def item(file: str, test: str) -> SimpleNamespace:
        return SimpleNamespace(
            path=Path(file), nodeid=f"{file}::{test}", add_marker=lambda _: marked.add(f"{file}::{test}")
        )

    cases = [item("test_dsp_x.py", f"test_y[{k}]") for k in range(2 * EVERY + 4)]
    others = [
        item("test_dsp_x.py", "test_z"),
        item("test_dsp_x.py", "test_a[1]"),
        item("test_dsp_x.py", "test_a[2]"),
    ]
    elsewhere = [item("test_edge_x.py", f"test_y[{k}]") for k in range(5)]
    leave_out([*cases, *others, *elsewhere])  # type: ignore[list-item]
    assert [case.nodeid for case in cases if case.nodeid not in marked] == [cases[k].nodeid for k in ran]
    assert marked <= {case.nodeid for case in cases}
