"""Tries mutants: writes each into a copy of the tree, runs its tests stage by stage, and puts the original back.

Contract: the checkout is only read. A stage has a multiple of the time that it takes without a mutation; a mutant that
needs more has timed out, which is told apart from killed. Tests that fail without a mutation end the run. What a test
left running in its process group is ended. A compiled file never stands for another source than that beside it: those
of Python are compared by content, and kernels are compiled anew for each mutant of what may be compiled.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from timeit import default_timer
from typing import Final, NamedTuple

from tools.mutate.selection import Imports
from tools.mutate.source import Mutant

PATIENCE: Final = 5  # times the unmutated time
LEAST_S: Final = 10.0
BASELINE_S: Final = 1800.0
MEMORY_MAX: Final = 8 << 30
# All that is hidden, but for .ci, which guides and their tests name.
LEFT_OUT: Final = (".[!c]*", ".c[!i]*", "__pycache__", "*.egg-info", "build")
NO_TESTS: Final = 5  # pytest's exit code
COMPILED: Final = ("dsp/", "protocols/")


class Outcome(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    TIMED_OUT = "timed out"


class Verdict(NamedTuple):
    """The outcome, and the test that failed, or the stage that did not end."""

    mutant: Mutant
    outcome: Outcome
    by: str = ""


class TestsFail(Exception):  # noqa: N818 - they do
    """Tests that fail although nothing was changed."""

    __test__ = False


class _Run(NamedTuple):
    code: int | None  # None: it took too long
    output: str
    seconds: float


class _Tree:
    """A copy of the checkout, in which one mutant at a time is tried."""

    def __init__(self, root: Path, directory: Path) -> None:
        self._directory = directory
        self._tree = directory / "tree"
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copytree(root, self._tree, ignore=shutil.ignore_patterns(*LEFT_OUT))
        (directory / "tmp").mkdir()
        compileall = ["compileall", "-q", "--invalidation-mode", "checked-hash", "."]
        command = [sys.executable, "-P", "-m", *compileall]
        subprocess.run(command, cwd=self._tree, check=False, stdout=subprocess.DEVNULL)  # noqa: S603

    @contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        path = self._tree / mutant.file
        original = path.read_bytes()
        path.write_text(mutant.source)
        try:
            yield
        finally:
            path.write_bytes(original)

    def run(self, tests: Sequence[str], limit_s: float, *, is_fresh: bool = False) -> _Run:
        """Run tests until one fails."""
        temporary = self._directory / "tmp"
        environment = os.environ | {
            "PYTHONPATH": str(self._tree),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(temporary),
            "NUMBA_CACHE_DIR": str(self._directory / ("fresh" if is_fresh else "kernels")),
        }
        shutil.rmtree(self._directory / "fresh", ignore_errors=True)
        options = ["-x", "-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", f"--basetemp={temporary / 't'}"]
        command = [sys.executable, "-P", "-m", "pytest", *options, *tests]
        began_s = default_timer()
        with tempfile.TemporaryFile("w+", dir=self._directory, errors="replace") as output:
            process = subprocess.Popen(  # noqa: S603
                command,
                cwd=self._tree,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                process_group=0,  # no session: a test that opens a terminal must not come to be controlled by it
            )
            self._process = process
            with suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                self.end()
                process.wait()
                self._process = None
            output.seek(0)
            return _Run(code, output.read(), default_timer() - began_s)

    def end(self) -> None:
        """Of what is running, and of what a test has left running."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


class Trials:
    """The copies, and how long each set of tests takes without a mutation."""

    def __init__(
        self, root: Path, directory: Path, *, jobs: int = 1, is_near: bool = False, least_s: float = LEAST_S
    ) -> None:
        """`is_near`: only the tests that are named after a module or import it."""
        self._imports = Imports(root)
        self._stages_max = {"named", "direct"} if is_near else {"named", "direct", "far", "system"}
        self._least_s = least_s
        self._jobs = jobs
        self._trees: SimpleQueue[_Tree] = SimpleQueue()
        self._all = [_Tree(root, directory / str(n)) for n in range(jobs)]
        for tree in self._all:
            self._trees.put(tree)
        self._limits_s: dict[tuple[str, ...], float | None] = {}
        self._measuring = Lock()

    def stages(self, mutant: Mutant) -> dict[str, tuple[str, ...]]:
        """The tests that look at a mutant, in this order; first of all the one that must notice."""
        found = self._imports.stages(mutant.file)
        first = {"its own": (mutant.test,)} if mutant.test else {}
        return first | {stage: tests for stage, tests in found.items() if stage in self._stages_max}

    def _limit_s(self, tree: _Tree, tests: tuple[str, ...]) -> float | None:
        """How long these tests may take; None if nothing of them is run by default."""
        with self._measuring:
            if tests not in self._limits_s:
                done = tree.run(tests, BASELINE_S)
                if done.code not in (0, NO_TESTS):
                    raise TestsFail(
                        "tests fail without a mutation (is this the environment of `sh tools/setup.sh test`?)\n"
                        + done.output[-2000:]
                    )
                limit_s = max(self._least_s, PATIENCE * done.seconds)
                self._limits_s[tests] = None if done.code == NO_TESTS else limit_s
            return self._limits_s[tests]

    def _verdict(self, tree: _Tree, mutant: Mutant) -> Verdict:
        is_fresh = mutant.file.startswith(COMPILED)
        for stage, tests in self.stages(mutant).items():
            limit_s = self._limit_s(tree, tests)
            if limit_s is None:
                continue
            with tree.changed(mutant):
                done = tree.run(tests, limit_s, is_fresh=is_fresh)
            if done.code is None:
                return Verdict(mutant, Outcome.TIMED_OUT, stage)
            if done.code:
                failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.output, re.MULTILINE)
                return Verdict(mutant, Outcome.KILLED, failed[1] if failed else f"{stage}: exit {done.code}")
        return Verdict(mutant, Outcome.SURVIVED)

    def _tried(self, mutant: Mutant) -> Verdict:
        tree = self._trees.get()
        try:
            return self._verdict(tree, mutant)
        finally:
            self._trees.put(tree)

    def run(self, mutants: Sequence[Mutant], on_verdict: Callable[[Verdict], None]) -> list[Verdict]:
        """Try them all, several at a time.

        Raises:
            TestsFail: tests fail without a mutation.
        """
        with ThreadPoolExecutor(self._jobs) as pool:
            waiting = [pool.submit(self._tried, mutant) for mutant in mutants]
            try:
                for done in as_completed(waiting):
                    on_verdict(done.result())
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for tree in self._all:
                    tree.end()
                raise
        return [done.result() for done in waiting]
