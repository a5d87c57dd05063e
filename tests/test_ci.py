""".ci/run and its stages, run with stand-ins for the test command, dpkg, apt and sudo."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = sorted((ROOT / ".ci/stages").glob("*.sh"))
# What is installed is a file in the directory `installed`; `offline` lets apt fail.
DPKG_QUERY = '#!/bin/sh\nfor last; do :; done\n[ -e "$MACHINE/installed/$last" ] && printf installed\n'
APT_GET = """#!/bin/sh
echo "apt-get $*" >>"$MACHINE/calls"
[ ! -e "$MACHINE/offline" ] || { echo "E: no network" >&2; exit 100; }
for last; do :; done
[ "$1" = update ] || touch "$MACHINE/installed/$last"
"""
SUDO = '#!/bin/sh\necho "sudo $*" >>"$MACHINE/calls"\nshift\nexec "$@"\n'
STAGE = '#!/bin/sh\n# packages: {package}\n{more}\necho {name} >>"$MACHINE/calls"\nexit {code}\n'


class Machine:
    """A checkout with two stages, on a machine with the package of neither, used by somebody who is not root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checkout = directory / "a checkout"
        for name in ("bin", "installed", "a checkout/tools", "a checkout/.ci/stages"):
            (directory / name).mkdir(parents=True)
        shutil.copy(ROOT / ".ci/run", self.checkout / ".ci/run")
        self.write(self.checkout / "tools/setup.sh", '#!/bin/sh\necho "setup $*" >>"$MACHINE/calls"\n')
        self.stage("one", "first")
        self.stage("two", "second")
        for tool in ("bash", "sh", "sed", "basename", "dirname", "touch"):
            (directory / "bin" / tool).symlink_to(shutil.which(tool) or tool)
        self.program("dpkg-query", DPKG_QUERY)
        self.program("apt-get", APT_GET)
        self.program("sudo", SUDO)
        self.user(1000)

    def write(self, path: Path, script: str) -> None:
        path.write_text(script)
        path.chmod(0o755)

    def program(self, name: str, script: str) -> None:
        self.write(self.directory / "bin" / name, script)

    def user(self, number: int) -> None:
        self.program("id", f"#!/bin/sh\necho {number}\n")

    def stage(self, name: str, package: str, code: int = 0, more: str = "# of any user") -> None:
        script = STAGE.format(package=package, name=name, code=code, more=more)
        self.write(self.checkout / f".ci/stages/{name}.sh", script)

    def install(self, *packages: str) -> None:
        for package in packages:
            (self.directory / "installed" / package).touch()

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        env |= {"PATH": str(self.directory / "bin"), "MACHINE": str(self.directory)}
        command = [str(self.checkout / ".ci/run")]
        return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=60)

    def calls(self) -> list[str]:
        return (self.directory / "calls").read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_with_the_packages_the_tests_run_and_then_every_stage_with_its_duration(machine: Machine) -> None:
    machine.install("first", "second")
    done = machine.run()
    assert (done.returncode, machine.calls()) == (0, ["setup test", "one", "two"])
    assert re.findall(r"^ci: stage (\w+) took \d s$", done.stderr, re.MULTILINE) == ["one", "two"]


def test_a_local_run_leaves_out_what_it_has_no_packages_for_and_says_so_last(machine: Machine) -> None:
    machine.install("second")
    done = machine.run()
    assert (done.returncode, machine.calls()) == (0, ["setup test", "two"])
    assert done.stderr.splitlines()[-1] == ("ci: left out: one; to run it too: sudo apt-get install first")


@pytest.mark.parametrize(("number", "sudo"), [(0, []), (1000, ["sudo"])])
def test_in_ci_missing_packages_are_installed_and_every_stage_runs(
    machine: Machine, number: int, sudo: list[str]
) -> None:
    machine.install("first")
    machine.user(number)
    done = machine.run(CI="true")
    calls = [call for call in machine.calls() if not call.startswith("sudo")]
    assert done.returncode == 0
    assert calls == ["setup test", "one", "apt-get update -q", calls[3], "two"]
    assert calls[3].startswith("apt-get install")
    assert calls[3].endswith(" second")
    assert len(machine.calls()) - len(calls) == 2 * len(sudo)


def test_root_gets_missing_packages_without_being_in_ci(machine: Machine) -> None:
    machine.user(0)
    assert machine.run().returncode == 0
    assert [call for call in machine.calls() if "apt-get" not in call] == ["setup test", "one", "two"]


def test_in_ci_a_package_that_cannot_be_had_fails_the_stage_and_the_others_run(machine: Machine) -> None:
    machine.install("second")
    machine.user(0)
    (machine.directory / "offline").touch()
    done = machine.run(CI="true")
    assert done.returncode == 1
    assert machine.calls()[-1] == "two"
    assert "ci: cannot install first; the lines above say why" in done.stderr.splitlines()
    assert done.stderr.splitlines()[-1] == "ci: failed: one"


@pytest.mark.parametrize(
    ("missing", "how"),
    [
        ("nothing", "sudo .ci/stages/two.sh"),
        ("second", "sudo apt-get install second; sudo .ci/stages/two.sh"),
    ],
)
def test_a_local_run_leaves_out_what_root_has_to_run_and_says_so_last(
    machine: Machine, missing: str, how: str
) -> None:
    machine.stage("two", "second", more="# as root")
    machine.install(*{"first", "second"} - {missing})
    done = machine.run()
    assert (done.returncode, machine.calls()) == (0, ["setup test", "one"])
    assert done.stderr.splitlines()[-1] == f"ci: left out: two; to run it too: {how}"


@pytest.mark.parametrize(
    ("number", "calls"), [(0, ["two"]), (1000, ["sudo -nE sh .ci/stages/two.sh", "two"])]
)
def test_in_ci_and_of_root_a_stage_of_root_runs(machine: Machine, number: int, calls: list[str]) -> None:
    machine.stage("two", "second", more="# as root")
    machine.install("first", "second")
    machine.user(number)
    done = machine.run(**({} if number == 0 else {"CI": "true"}))
    assert (done.returncode, machine.calls()) == (0, ["setup test", "one", *calls])


def test_root_without_a_network_leaves_the_stage_out(machine: Machine) -> None:
    machine.install("second")
    machine.user(0)
    (machine.directory / "offline").touch()
    done = machine.run()
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].startswith("ci: left out: one;")


def test_a_stage_that_fails_fails_the_run_after_the_others(machine: Machine) -> None:
    machine.install("first", "second")
    machine.stage("one", "first", code=3)
    done = machine.run()
    assert (done.returncode, machine.calls()) == (1, ["setup test", "one", "two"])
    assert done.stderr.splitlines()[-1] == "ci: failed: one"


def test_where_the_tests_fail_no_stage_runs(machine: Machine) -> None:
    machine.install("first", "second")
    machine.write(machine.checkout / "tools/setup.sh", "exit 1\n")
    assert machine.run().returncode == 1
    assert not (machine.directory / "calls").exists()


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.stem)
def test_every_stage_names_its_packages_once_and_is_executable(stage: Path) -> None:
    named = [line for line in stage.read_text().splitlines() if line.startswith("# packages: ")]
    assert len(named) == 1
    assert named[0].split()[2:]
    assert os.access(stage, os.X_OK)
