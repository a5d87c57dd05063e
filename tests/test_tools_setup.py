"""tools/setup.sh behind the README's two commands, run with stand-ins for Python and uv; and the locks it installs."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from service_user import without_power_over_files

ROOT = Path(__file__).resolve().parents[1]
SETS = ("runtime", "jit", "sim", "dev", "kernels")
LOCKS = {name: (ROOT / f"tools/locks/{name}.txt").read_text() for name in SETS}

# Notes each call; `uv venv` puts real enough programs where the script expects them.
STAND_IN_UV = """#!/bin/sh
echo "uv $*" >>"$CALLS"
for last; do :; done
if [ "$1" = venv ]; then
    mkdir -p "$last/bin"
    printf '#!/bin/sh\ncase "$*" in *kernel_cache*) echo "python $*" >>"$CALLS"; [ ! -e "$CALLS.no-kernels" ] ;;\n' \
        >"$last/bin/python"
    printf '*-m?mypy* | *-m?pytest* | *dsp.warm*) echo "python $*" >>"$CALLS"; [ ! -e "$CALLS.no-types" ] ;;\n' \
        >>"$last/bin/python"
    printf '*) exec "%s" "$@" ;; esac\n' "$REAL_PYTHON" >>"$last/bin/python"
    chmod +x "$last/bin/python"
    printf '#!/bin/sh\\necho "ruff $*" >>"$CALLS"\\n' >"$last/bin/ruff"
    chmod +x "$last/bin/ruff"
    printf '#!/bin/sh\\npwd >>"$CALLS"; echo "vitalgate $*" >>"$CALLS"\\n' >"$last/bin/vitalgate"
    chmod +x "$last/bin/vitalgate"
fi
"""
WARM = "python -P -m edge.kernel_cache"
OWN_WARM = "python -P -c from dsp.warm import warm; warm()"
OLD_PYTHON = "#!/bin/sh\nexit 1\n"
PYTHON_WITHOUT_ENSUREPIP = f"""#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; *) exec {shlex.quote(sys.executable)} "$@" ;; esac
"""


class Checkout:
    """A copy of what the script reads, in a directory with a space, and a PATH of stand-ins."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "a checkout"
        self.programs = directory / "bin"
        self.calls_file = directory / "calls"
        self.programs.mkdir()
        (self.root / "tools").mkdir(parents=True)
        shutil.copy(ROOT / "tools/setup.sh", self.root / "tools")
        shutil.copytree(ROOT / "tools/locks", self.root / "tools/locks")
        shutil.copy(ROOT / "pyproject.toml", self.root)
        for tool in ("sh", "cat", "cksum", "dirname", "ln", "mkdir", "chmod", "sed", "uname"):
            (self.programs / tool).symlink_to(shutil.which(tool) or tool)

    def add(self, name: str, script: str) -> None:
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def run(
        self, *args: str, preexec_fn: Callable[[], None] | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        env |= {"PATH": str(self.programs), "CALLS": str(self.calls_file), "REAL_PYTHON": sys.executable}
        command = ["sh", str(self.root / "tools/setup.sh"), *args]
        return subprocess.run(
            command,
            cwd=self.programs,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=preexec_fn,
        )

    def calls(self) -> list[str]:
        """Notes since the last time."""
        lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
        self.calls_file.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


@pytest.fixture
def with_uv(checkout: Checkout) -> Checkout:
    checkout.add("uv", STAND_IN_UV)
    (checkout.programs / "python3").symlink_to(sys.executable)
    return checkout


def test_demo_installs_the_locked_set_and_stays_where_the_user_is(with_uv: Checkout) -> None:
    done = with_uv.run("demo", "--out", "here")
    assert (done.returncode, done.stdout) == (0, "")
    venv, third_party, ours, directory, demo = with_uv.calls()
    assert venv.startswith("uv venv")
    assert "--require-hashes" in third_party
    assert third_party.endswith("tools/locks/sim.txt")
    assert "--no-deps" in ours
    assert ours.endswith(str(with_uv.root))
    assert directory == str(with_uv.programs)
    assert demo == "vitalgate demo --hours 24 --out here"


def test_second_run_installs_nothing(with_uv: Checkout) -> None:
    with_uv.run("demo")
    with_uv.calls()
    assert with_uv.run("install").stderr == ""  # the simulation set contains what a gateway runs
    assert with_uv.calls() == [WARM]


@pytest.mark.parametrize("changed", ["tools/locks/jit.txt", "pyproject.toml"])
def test_change_installs_again_in_the_same_environment(with_uv: Checkout, changed: str) -> None:
    with_uv.run("install")
    with_uv.calls()
    with (with_uv.root / changed).open("a") as file:
        file.write("# changed\n")
    with_uv.run("install")
    *installed, warm = with_uv.calls()
    assert [line.split()[1] for line in installed] == ["pip", "pip"]
    assert warm == WARM


def test_an_installation_compiles_the_kernels_and_does_without_where_that_cannot_be(
    with_uv: Checkout,
) -> None:
    assert with_uv.run("install").returncode == 0
    assert with_uv.calls()[-1] == WARM
    with_uv.calls_file.with_name("calls.no-kernels").touch()
    done = with_uv.run("install")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("setup: the kernels could not be compiled now")


def test_tests_begin_when_types_are_right_and_all_kernels_compiled(with_uv: Checkout) -> None:
    assert with_uv.run("test", "-k", "some").returncode == 0
    calls = with_uv.calls()
    checked, compiled, own, tests = map(calls.index, ("python -P -m mypy", WARM, OWN_WARM, calls[-1]))
    assert calls[-1] == "python -P -m pytest -n auto -k some"
    assert {call for call in calls if call.startswith("ruff")} == {"ruff check .", "ruff format --check ."}
    assert compiled < own < tests
    assert checked < tests
    with_uv.calls_file.with_name("calls.no-types").touch()
    assert with_uv.run("test").returncode == 1
    assert not any("-m pytest" in call for call in with_uv.calls())


def test_interrupted_install_is_taken_up_again(with_uv: Checkout) -> None:
    with_uv.add("uv", STAND_IN_UV + '[ "$1" = venv ]\n')
    failed = with_uv.run("install")
    assert failed.returncode == 1
    assert "could not be installed" in failed.stderr.splitlines()[-1]
    with_uv.add("uv", STAND_IN_UV)
    assert with_uv.run("install").returncode == 0


# What installers say where there is no network, and where what was fetched is not what is locked.
PIP_OFFLINE = """\
WARNING: Retrying (Retry(total=4, connect=None, read=None, redirect=None, status=None)) after connection broken by \
'NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: Failed to establish a new \
connection: [Errno -3] Temporary failure in name resolution')': /simple/bleak/
ERROR: Could not find a version that satisfies the requirement bleak==3.1.0 (from versions: none)
ERROR: No matching distribution found for bleak==3.1.0
"""
UV_OFFLINE = """\
error: Request failed after 3 retries in 8.0s
  Caused by: Failed to fetch: `https://index.example/simple/bleak/`
  Caused by: dns error
"""
WRONG_HASH = """\
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.
    bleak==3.1.0: Expected sha256 00, Got 11
"""
FAILING_UV = STAND_IN_UV + '[ "$1" = venv ] || { cat "$CALLS.says" >&2; exit 1; }\n'


@pytest.mark.parametrize("says", [PIP_OFFLINE, UV_OFFLINE], ids=["pip", "uv"])
def test_no_network_is_one_line_with_a_remedy(with_uv: Checkout, says: str) -> None:
    with_uv.add("uv", FAILING_UV)
    with_uv.calls_file.with_name("calls.says").write_text(says)
    done = with_uv.run("install")
    assert (done.returncode, done.stdout) == (1, "")
    progress, line = done.stderr.splitlines()
    assert progress.startswith("setup: installing")
    assert "no connection to the package index; connect this machine" in line
    (log,) = re.findall(r"run this again; (.*) says more$", line)
    assert Path(log).read_text() == says


def test_what_else_an_installer_says_is_shown(with_uv: Checkout) -> None:
    with_uv.add("uv", FAILING_UV)
    with_uv.calls_file.with_name("calls.says").write_text(WRONG_HASH)
    done = with_uv.run("install")
    assert done.returncode == 1
    assert WRONG_HASH in done.stderr
    assert "the jit set could not be installed, see above" in done.stderr.splitlines()[-1]


def test_an_environment_of_another_owner_is_left_alone_in_one_line(with_uv: Checkout) -> None:
    with_uv.run("install")
    (with_uv.root / ".venv/vitalgate-jit.stamp").unlink()
    (with_uv.root / ".venv").chmod(0o555)
    done = with_uv.run("install", preexec_fn=without_power_over_files)
    (with_uv.root / ".venv").chmod(0o755)
    assert done.returncode == 1
    assert "is not yours to write to" in done.stderr.splitlines()[-1]


def one_line_error(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_no_python_is_one_line_with_a_remedy(checkout: Checkout) -> None:
    checkout.add("python3", OLD_PYTHON)
    assert "apt install python3" in one_line_error(checkout.run("install"))


def test_unsuitable_python_asked_for_is_not_replaced_silently(with_uv: Checkout) -> None:
    with_uv.add("old", OLD_PYTHON)
    assert "PYTHON=old" in one_line_error(with_uv.run("install", PYTHON="old"))


def test_missing_venv_module_is_one_line_with_a_remedy(checkout: Checkout) -> None:
    checkout.add("python3", PYTHON_WITHOUT_ENSUREPIP)
    assert "apt install python3-venv" in one_line_error(checkout.run("install"))


def test_other_system_is_refused(with_uv: Checkout) -> None:
    (with_uv.programs / "uname").unlink()
    with_uv.add("uname", "#!/bin/sh\necho Darwin\n")
    assert "Linux only" in one_line_error(with_uv.run("install"))


def test_unknown_command_prints_usage(checkout: Checkout) -> None:
    done = checkout.run("tset")
    assert done.returncode == 2
    assert "sh tools/setup.sh test" in done.stderr


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z][\w.-]*)==(\S+)", lock, re.MULTILINE))


def test_each_set_contains_the_one_before() -> None:
    runtime, jit, sim, dev, kernels = (pins(LOCKS[name]).items() for name in SETS)
    assert runtime < jit < sim < dev
    assert jit < kernels


def test_a_gateway_that_has_a_library_needs_no_compiler() -> None:
    compiler = {"numba", "llvmlite"}
    assert {*pins(LOCKS["jit"])} - {*pins(LOCKS["runtime"])} == compiler


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_hashed_and_the_same_for_everyone(name: str) -> None:
    entries = re.split(r"^(?=[a-z])", LOCKS[name], flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins(LOCKS[name]))
    assert all(re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", entry) for entry in entries)
    assert "sh tools/setup.sh lock" in LOCKS[name].splitlines()[1]
    assert "://" not in LOCKS[name]


def test_locks_answer_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = {
        "runtime": project["project"]["dependencies"] + project["build-system"]["requires"],
    } | {name: extra for name, extra in extras.items() if name != "reset"}
    for name, requirements in asked.items():
        for requirement in requirements:
            if requirement.startswith("vitalgate["):
                continue
            package, minimum = re.fullmatch(r"([\w-]+)(?:[>=]=)([\d.]+)", requirement).groups()  # type: ignore[union-attr]
            locked = pins(LOCKS[name])[package]
            assert [int(n) for n in locked.split(".")] >= [int(n) for n in minimum.split(".")]


def test_ci_runs_the_readme_command() -> None:
    command = "sh tools/setup.sh test"
    assert command in (ROOT / ".ci/run").read_text().splitlines()
    assert command in (ROOT / "README.md").read_text()
    assert os.access(ROOT / ".ci/run", os.X_OK)
