"""The door to the kernels: the same results in every mode, one signature, and whatever may be wrong with a library."""

import _ctypes
import ast
import functools
import json
import math
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import kernel_cases
import numpy as np
import pytest
from kernel_modes import EVERY, ROOT, environment, library_path

from dsp import compiled
from dsp.arrays import F64, F64x2
from dsp.cardiac.time_domain import time_domain
from dsp.cardiac.variability import reasons, variability
from dsp.compiled import KERNELS
from dsp.mode import MODE, MODES, digest
from tools import build_kernels
from tools.kernels import elf

CASES = kernel_cases.cases()
in_every_mode = pytest.mark.parametrize("mode", MODES)
only_jit = pytest.mark.skipif(MODE != "jit", reason="about the other modes, from here")


def python(mode: str, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process in which the kernels run in a mode; or, for an empty one, in whichever they find."""
    env = environment(mode or "jit")
    env |= {"VITALGATE_KERNELS": mode} | variables
    command = [sys.executable, "-P", "-W", "error", "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)


def said(mode: str, code: str, **variables: str) -> str:
    run = python(mode, code, **variables)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@functools.cache
def ours() -> kernel_cases.Outcomes:
    return kernel_cases.outcomes()


def test_every_kernel_has_its_cases() -> None:
    assert {f"dsp.{name}" for name in kernel_cases.TEMPLATES} == set(KERNELS)
    assert len({case.id for case in CASES}) == len(CASES) > 1500


@only_jit
@pytest.mark.parametrize(
    ("mode", "every"), [("library", 1), ("plain", EVERY), pytest.param("plain", 1, marks=pytest.mark.soak)]
)
def test_results_are_those_of_the_compiled_kernel(mode: str, every: int, tmp_path: Path) -> None:
    """On ordinary, empty, missing, constant, infinite and senseless input; nothing raises, nothing warns."""
    write = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); import kernel_cases; kernel_cases.main"
    said(mode, f"{write}('write', {str(tmp_path / 'found')!r}, {str(every)!r})")
    found = json.loads((tmp_path / "found").read_text())
    assert found["mode"] == mode
    same = {case.id: ours()[case.id] for case in CASES[::every]}
    assert {case.kernel for case in CASES[::every]} == set(KERNELS)
    assert [
        d for d in kernel_cases.differences(same, found["outcomes"]) if d[0] > kernel_cases.CLOSE[mode]
    ] == []


def test_differences_are_seen() -> None:
    """Of the largest number, and of what is none."""
    one = {"a": [[1.0, 200.0, math.nan, math.inf], []]}
    for k, (value, expected) in enumerate(
        ((1.5, 0.0025), (202.0, 0.01), (0.0, math.inf), (-math.inf, math.inf))
    ):
        other = {"a": [[*one["a"][0][:k], value, *one["a"][0][k + 1 :]], []]}
        [(found, name)] = kernel_cases.differences(one, other)
        assert (found, name) == (pytest.approx(expected), "a")
    assert list(kernel_cases.differences(one, one)) == []


def test_what_takes_no_time_has_no_rate_and_says_why() -> None:
    nothing = np.zeros(3)
    found = time_domain(nothing, np.ones(3))
    assert found.beats == 3.0
    assert all(math.isnan(value) for value in found[1:])
    whole = variability(np.arange(3.0), nothing, np.ones(3))
    assert reasons(whole)["hr_mean_bpm"] == "needs intervals that take time"


def pieces(signature: compiled.Signature) -> list[object]:
    return [np.ones((2,) * of) if of else 1.0 for of in signature.takes]


WRONG = {
    0: [1, np.float32(1.0), np.array(1.0), None, "1"],
    1: [
        [1.0, 2.0],
        np.ones(2, dtype=np.float32),
        np.ones(2, dtype=np.int64),
        np.ones((2, 2)),
        np.ones(4)[::2],
        np.frombuffer(np.ones(2).tobytes()),
        np.array(1.0),
        1.0,
        None,
    ],
    2: [
        np.ones(4),
        np.ones((3, 4))[:, ::2],
        np.asfortranarray(np.ones((2, 3))),
        np.ones((2, 2), np.float32),
    ],
}


@pytest.mark.parametrize("name", KERNELS)
def test_what_does_not_fit_is_refused(name: str) -> None:
    """One signature, and nothing is converted, in whichever mode this runs."""
    kernel = KERNELS[name]
    for place, of in enumerate(kernel.signature.takes):
        for wrong in WRONG[of]:
            given = pieces(kernel.signature)
            given[place] = wrong
            with pytest.raises(TypeError):
                kernel.run(*given)
    for given in (pieces(kernel.signature)[1:], [*pieces(kernel.signature), 1.0]):
        with pytest.raises(TypeError):
            kernel.run(*given)


def test_annotations_say_what_is_taken_and_given() -> None:
    def kernel(x: F64, y: F64x2, z: float) -> tuple[F64, F64x2]: ...

    assert compiled._signature(kernel)[:2] == ((1, 2, 0), (1, 2))
    kernel.__annotations__["x"] = int
    with pytest.raises(KeyError):
        compiled._signature(kernel)


@only_jit
@in_every_mode
def test_results_are_pythons_own(mode: str) -> None:
    code = """
import numpy as np
from dsp.cardiac.hrv import heart_stats
from dsp.glucose import realtime
from dsp.glucose.ranges import glucose_stats
from dsp.mode import MODE
x = np.full(20, 800.0)
live = realtime.update(realtime.new_wearer(), np.float64(5.0), np.float64(100.0))
for value in (*heart_stats(x, np.ones(20)), *glucose_stats(x), *live):
    assert type(value) is float, type(value)
print(MODE)
"""
    assert said(mode, code) == mode


@only_jit
def test_switching_numba_off_is_plain_mode_and_the_demo_runs(tmp_path: Path) -> None:
    assert said("jit", "from dsp.mode import MODE; print(MODE)", NUMBA_DISABLE_JIT="1") == "plain"
    code = "import sys; from tools.cli import main; sys.argv = ['vitalgate', *sys.argv[1:]]; main()"
    command = [sys.executable, "-P", "-c", code, "demo", "--hours", "0.2", "--out", str(tmp_path / "home")]
    env = environment("jit") | {"NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr


WARM = """
import sys
from dsp.mode import MODE
from dsp.warm import warm
warm()
print(MODE, *{'numba', 'llvmlite'} & {*sys.modules})
"""


@only_jit
@in_every_mode
def test_warming_works_and_loads_no_compiler_but_to_compile(mode: str) -> None:
    loaded = ["llvmlite", "numba"] if mode == "jit" else []
    assert sorted(said(mode, WARM).split()) == sorted([mode, *loaded])


@only_jit
def test_the_library_runs_where_no_memory_may_become_executable() -> None:
    """Linux refuses it to this process from here on, as systemd's MemoryDenyWriteExecute does."""
    deny = "import ctypes; assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0, 'too old'\n"
    if python("plain", deny).returncode:
        pytest.skip("this kernel knows no PR_SET_MDWE")
    assert said("library", deny + WARM) == "library"
    assert python("jit", deny + WARM).returncode != 0


@only_jit
def test_a_library_is_used_only_if_it_is_one_of_these_sources(tmp_path: Path) -> None:
    """Whatever is wrong with it, the kernels run, and `REASON` tells."""
    code = "from dsp.mode import MODE, REASON; print(MODE, REASON)"
    good = library_path()
    bad = tmp_path / "bad.so"
    for content, reason in (
        (b"", "no library of kernels for this machine"),
        (good.read_bytes().replace(digest().encode(), b"0" * 64), "built from other sources"),
        (Path(_ctypes.__file__).read_bytes(), "no library of kernels for this machine"),
    ):
        bad.write_bytes(content)
        mode, _, why = said("", code, VITALGATE_KERNEL_LIBRARY=str(bad)).partition(" ")
        assert mode == "jit"
        assert reason in why
        run = python("library", code, VITALGATE_KERNEL_LIBRARY=str(bad))
        assert run.returncode == 1
        assert run.stderr.splitlines()[-1].startswith("ImportError: ")
        assert reason in run.stderr
    assert said("", code, VITALGATE_KERNEL_LIBRARY=str(good)) == "library"
    assert said("", code, VITALGATE_KERNEL_LIBRARY="nowhere.so") == "jit"
    run = python("library", code, VITALGATE_KERNEL_LIBRARY="nowhere.so")
    assert run.stderr.splitlines()[-1] == "ImportError: nowhere.so does not exist"


@only_jit
def test_an_unknown_mode_is_refused() -> None:
    run = python("fast", "import dsp.mode")
    assert run.stderr.splitlines()[-1] == (
        "ImportError: VITALGATE_KERNELS is 'fast'; there are library, jit, plain"
    )


@only_jit
def test_without_numba_kernels_run_as_they_stand() -> None:
    code = "import sys; sys.modules['numba'] = None\nfrom dsp.mode import MODE, REASON; print(MODE, REASON)"
    mode, _, why = said("", code, VITALGATE_KERNEL_LIBRARY="nowhere.so").partition(" ")
    assert mode == "plain"
    assert "nowhere.so does not exist" in why
    assert "numba" in why


@only_jit
def test_where_nothing_can_be_kept_numba_compiles_all_the_same(tmp_path: Path) -> None:
    """As in an installation that only root may write, run by someone without a home."""
    shutil.copytree(ROOT / "dsp", tmp_path / "dsp", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    code = """
import numba.core.caching as caching
caching.CacheImpl._locator_classes = []
import numpy as np
from dsp.cardiac.hrv import extreme_rates
print(*extreme_rates(np.full(9, 1000.0), np.ones(9)))
"""
    assert said("jit", code, PYTHONPATH=str(tmp_path)) == "60.0 60.0"


@pytest.mark.soak
def test_no_kernel_divides_by_nothing(tmp_path: Path) -> None:
    """Compiled so that a division by zero raises, as Python's would, they raise for none of the cases (a minute)."""
    shutil.copytree(ROOT / "dsp", tmp_path / "dsp", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    door = tmp_path / "dsp/compiled.py"
    strict = door.read_text().replace('"error_model": "numpy"', '"error_model": "python"')
    assert strict != door.read_text()
    door.write_text(strict)
    paths = f"{tmp_path}:{ROOT / 'tests'}"
    code = f"import kernel_cases; kernel_cases.main('write', {str(tmp_path / 'found')!r})"
    said("jit", code, PYTHONPATH=paths, NUMBA_CACHE_DIR=str(tmp_path / "cache"))


@pytest.fixture
def library() -> elf.Wants:
    return elf.wants(library_path())


@only_jit
def test_library_asks_for_libc_and_libm_alone(library: elf.Wants) -> None:
    names = {compiled.symbol(name) for name in KERNELS}
    assert build_kernels.faults(library_path(), platform.machine(), frozenset(names), None) == []
    assert library.undefined
    assert library.defined == names | {"dsp_sources", "dsp_release"}


FAULTY = """
extern int PyErr_Occurred(void);
extern void *malloc(unsigned long);
const char *dsp_sources = "";
int dsp_release(void) { return PyErr_Occurred() && malloc(1); }
int dsp_more(void) { return 0; }
"""


def test_faults_of_a_library_are_named(tmp_path: Path) -> None:
    if not (cc := shutil.which("cc")):
        pytest.skip("no C compiler (cc)")
    (tmp_path / "faulty.c").write_text(FAULTY)
    command = [cc, "-shared", "-fPIC", "-o", "faulty.so", "faulty.c", "-Wl,-z,execstack"]
    subprocess.run(command, cwd=tmp_path, check=True)
    found = build_kernels.faults(tmp_path / "faulty.so", "riscv64", frozenset({"dsp_less"}), (2, 1))
    for expected in (
        "needs PyErr_Occurred",
        "dsp_less, dsp_more",
        "is for",
        "an executable stack",
        "needs glibc",
    ):
        assert any(expected in fault for fault in found), (expected, found)


def kernels_in(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
            if any(isinstance(name, ast.Name) and name.id == "njit" for name in names):
                yield node


def calls(node: ast.AST) -> set[str]:
    return {n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}


SOURCES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "dsp").rglob("*.py"))}


def test_kernels_call_only_kernels_of_their_own_file() -> None:
    """Numba would not notice that the other file has changed."""
    everywhere = {kernel.name for tree in SOURCES.values() for kernel in kernels_in(tree)}
    for path, tree in SOURCES.items():
        own = {kernel.name for kernel in kernels_in(tree)}
        for kernel in kernels_in(tree):
            assert calls(kernel) & everywhere <= own, f"{path}: {kernel.name}"


def test_private_kernels_are_called_by_kernels_alone() -> None:
    """Only public ones check what they are given, and give Python's own numbers."""
    for path, tree in SOURCES.items():
        kernels = list(kernels_in(tree))
        private = {kernel.name for kernel in kernels if kernel.name.startswith("_")}
        for node in tree.body:
            if node not in kernels:
                assert not calls(node) & private, f"{path}:{node.lineno}"


def test_the_pinned_numba_builds_the_library() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    source = (ROOT / "tools/kernels/emit.py").read_text()
    pinned = source.partition('NUMBA: Final = "')[2].partition('"')[0]
    assert f'"numba=={pinned}",' in project
    assert f"\nnumba=={pinned} " in (ROOT / "tools/locks/jit.txt").read_text()
