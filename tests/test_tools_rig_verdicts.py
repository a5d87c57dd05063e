"""Faults put into scenario, bench and infrastructure on purpose, and whether the verdict names whose they are.

Each row of the tables is one fault. Some are played with a whole gateway; what needs a machine that breaks is put
before the rig as the error, or the number, that such a machine gives.
"""

import errno
import os
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from edge.errors import ConfigError, UpstreamUnavailable
from edge.sensors.heart_strap import HeartStrap
from edge.upstream.files import FileUpstream
from hw_sim.sensors.cgm_sensor import CgmSensor
from hw_sim.sensors.heart_rate_strap import HeartRateStrap
from tools.rig.bluez.guest import GuestError
from tools.rig.home import faults as happening
from tools.rig.home.machine import GatewayEnded, NotSettled
from tools.rig.language import vocabulary as v
from tools.rig.language.scenario import Scenario
from tools.rig.run.infrastructure import Probes
from tools.rig.run.rounds import Round, Wanted, play_all
from tools.rig.run.settings import Options, Setting, setting
from tools.rig.verdict.blame import ROOT, Blame, Finding, blame
from tools.rig.verdict.outcome import Outcome

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

GOOD = """
lasts = "7min"
sensors = [{ id = "strap", kind = "heart_rate" }, { id = "cgm", kind = "cgm" }]
faults = [{ what = "silent", at = "1min", for = "10s", sensor = "strap" }]
expect = [{ what = "complete" }, { what = "status", fields = { running = true } }]
"""
STRAP_ONLY = ', { id = "cgm", kind = "cgm" }'
WELL = Probes(lambda _: 1 << 40, lambda _: True, lambda: 1 << 34)


def verdict(
    directory: Path, text: str = GOOD, probes: Probes = WELL, where: Setting | None = None, **more: Any
) -> Round:
    file = directory / "here.toml"
    file.write_text(text)
    wanted = Wanted(where or setting("virtual", Options()), probes=probes, **more)
    (one,) = play_all([str(file)], wanted, lambda *_: None)
    return one


# The scenario

WRITTEN = {
    "expects nothing": ("expect = [", "none = ["),
    "no fault of that name": ('"silent"', '"quiet"'),
    "no expectation of that name": ('"complete"', '"whole"'),
    "no such sensor": ('sensor = "strap"', 'sensor = "belt"'),
    "a duration without a unit": ('for = "10s"', "for = 10"),
    "a fault after the end": ('at = "1min"', 'at = "8min"'),
    "no TOML": ('lasts = "', "lasts = "),
    "no such kind": ('"heart_rate"', '"heart"'),
    "nobody of that name": ('kind = "cgm"', 'kind = "cgm", person = "bob"'),
    "a limit that no gateway takes": ("lasts", 'gateway = { alerts = { glucose_low = "4 mg/dL" } }\nlasts'),
    "no such field": ("running", "walking"),
    "a key that means nothing": ("lasts", 'colour = "red"\nlasts'),
    "complete though batches are thrown away": (
        "faults = [",
        'faults = [{ what = "upstream lies", at = "1s", for = "1s" },',
    ),
    "two things at once to one sensor": (
        "faults = [",
        'faults = [{ what = "silent", at = "65s", for = "1s", sensor = "strap" },',
    ),
    "two lives at once": (
        "faults = [",
        'faults = [{ what = "gateway killed", at = "1min" }, { what = "rebooted", at = "1min" },',
    ),
    "what cannot be drawn": (
        "faults = [",
        'faults = [{ what = "drawn", every = "1min", faults = ["rain"] },',
    ),
    "what no simulated radio suffers": (
        "faults = [",
        'faults = [{ what = "radio blocked", at = "1min", for = "1s" },',
    ),
    "more adapters than are simulated": ("lasts", "adapters = 2\nlasts"),
}


@pytest.mark.parametrize("fault", WRITTEN)
def test_a_scenario_that_is_wrong_is_called_so(fault: str, tmp_path: Path) -> None:
    old, new = WRITTEN[fault]
    assert old in GOOD
    assert verdict(tmp_path, GOOD.replace(old, new, 1)).verdict == "scenario"


PLAYED = {
    "nothing that could be complete": (
        '[{ what = "silent", at = "1min", for = "10s", sensor = "strap" }]',
        '[{ what = "out of reach", at = "0s", for = "7min", sensor = "strap" }]',
    ),
    "asks a gateway that it has stopped itself": (
        '{ what = "complete" }',
        '{ what = "status", at = "2min", fields = { running = true } }',
    ),
}


def test_a_scenario_that_can_expect_nothing_is_called_so(tmp_path: Path) -> None:
    old, new = PLAYED["nothing that could be complete"]
    one = verdict(tmp_path, GOOD.replace(STRAP_ONLY, "").replace(old, new))
    assert (one.verdict, one.outcomes[0].failures[0][:9]) == ("scenario", "complete:")


def test_a_scenario_that_asks_whom_it_has_stopped_is_called_so(tmp_path: Path) -> None:
    old, new = PLAYED["asks a gateway that it has stopped itself"]
    stopped = 'faults = [{ what = "gateway stopped", at = "1min30s", for = "1min" },'
    assert verdict(tmp_path, GOOD.replace(old, new).replace("faults = [", stopped)).verdict == "scenario"


# The bench


def dies(*_: object) -> None:
    raise ValueError("the simulation has a defect")


BROKEN_BENCH: dict[str, tuple[object, str, object]] = {
    "a strap that dies": (HeartRateStrap, "_send", dies),
    "a glucose sensor that dies": (CgmSensor, "_offer", dies),
}


@pytest.mark.parametrize("fault", BROKEN_BENCH)
def test_a_sensor_that_dies_is_the_bench(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, instead = BROKEN_BENCH[fault]
    monkeypatch.setattr(owner, name, instead)
    one = verdict(tmp_path, 'settles = "1min"\n' + GOOD)
    assert one.verdict == "bench"
    assert any("the simulation has a defect" in text for text in one.outcomes[0].failures)


def test_a_fault_that_stumbles_is_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumbles(*_: object) -> None:
        raise KeyError("strap")

    monkeypatch.setitem(happening.HAPPENINGS, v.Silent, stumbles)  # type: ignore[misc]
    assert verdict(tmp_path).verdict == "bench"


def test_a_sensor_that_is_flat_is_the_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CgmSensor, "is_off", True)
    one = verdict(tmp_path, 'settles = "1min"\n' + GOOD)
    assert (one.verdict, "measured nothing" in one.outcomes[0].failures[0]) == ("bench", True)


def playing(*outcomes: Outcome | BaseException, deterministic: bool = True) -> Setting:
    """A setting whose plays end so, one after the other."""
    left = list(outcomes)

    def play(_: Scenario, directory: Path) -> Outcome:
        directory.mkdir(exist_ok=True)
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return Setting("virtual", deterministic, lambda *_: None, play)


RIGHT = Outcome(seed=0, digest="a")
OTHER = Outcome(seed=0, digest="b")


def outcomes(*blames: Blame, digest: str = "a") -> Outcome:
    return Outcome(seed=0, digest=digest, findings=tuple(Finding(one, f"{one} text") for one in blames))


REPEATED: dict[str, tuple[list[Outcome], int, str]] = {
    "fails, then passes": ([outcomes(Blame.PRODUCT), RIGHT], 1, "bench"),
    "passes, then fails": ([RIGHT, outcomes(Blame.PRODUCT), RIGHT], 2, "bench"),
    "passes by another way": ([RIGHT, OTHER, RIGHT], 2, "bench"),
    "fails by another way": ([outcomes(Blame.PRODUCT), outcomes(Blame.PRODUCT, digest="b")], 1, "bench"),
    "fails twice": ([outcomes(Blame.PRODUCT), outcomes(Blame.PRODUCT)], 1, "product"),
}


@pytest.mark.parametrize("how", REPEATED)
def test_two_plays_of_a_seed_that_differ_are_the_bench_and_never_a_pass(how: str, tmp_path: Path) -> None:
    plays, repeat, expected = REPEATED[how]
    one = verdict(tmp_path, where=playing(*plays), repeat=repeat)
    assert one.verdict == expected
    assert one.passed < len(one.outcomes)


def test_on_the_air_a_play_that_has_failed_is_not_played_again(tmp_path: Path) -> None:
    where = playing(outcomes(Blame.PRODUCT), RIGHT, RIGHT, deterministic=False)
    one = verdict(tmp_path, where=where, repeat=3)
    assert (one.verdict, one.passed, one.first_failing_seed) == ("product", 2, 0)


# The infrastructure

MACHINES: dict[str, Probes] = {
    "a disk without room": WELL._replace(free_bytes=lambda _: 1 << 20),
    "a directory that nobody may write": WELL._replace(is_writable=lambda _: False),
    "no memory": WELL._replace(memory_bytes=lambda: 1 << 20),
}


@pytest.mark.parametrize("fault", MACHINES)
def test_a_machine_on_which_nothing_can_be_played_is_the_infrastructure(fault: str, tmp_path: Path) -> None:
    assert verdict(tmp_path, probes=MACHINES[fault]).verdict == "infrastructure"


def test_a_disk_that_runs_full_meanwhile_is_the_infrastructure(tmp_path: Path) -> None:
    room = iter([1 << 40, 1 << 10])
    probes = WELL._replace(free_bytes=lambda _: next(room))
    assert (
        verdict(tmp_path, probes=probes, where=playing(outcomes(Blame.PRODUCT))).verdict == "infrastructure"
    )


# Errors, by where they are raised


def raised(error: BaseException, *files: str) -> BaseException:
    """The error after it went through functions of these files, the outermost first."""

    def raising() -> None:
        raise error

    call: Callable[[], None] = raising
    for file in reversed(files):
        scope: dict[str, Any] = {"inner": call}
        exec(compile("def outer():\n    inner()\n", str(ROOT / file), "exec"), scope)
        call = scope["outer"]
    try:
        call()
    except BaseException as caught:
        return caught.with_traceback(caught.__traceback__)
    raise AssertionError("it was not raised")


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


RIG, WORLD, GATEWAY = "tools/rig/run/play.py", "hw_sim/radio/stack.py", "edge/radio/session.py"
ERRORS: dict[str, tuple[BaseException, tuple[str, ...], str]] = {
    "no room for the report": (os_error(errno.ENOSPC), (RIG,), "infrastructure"),
    "no right to write": (os_error(errno.EACCES), (RIG,), "infrastructure"),
    "a disk that became read-only": (
        os_error(errno.EROFS),
        (RIG, "tools/rig/report/artefacts.py"),
        "infrastructure",
    ),
    "a card that fails": (os_error(errno.EIO), (RIG,), "infrastructure"),
    "too many files": (os_error(errno.EMFILE), (RIG, WORLD), "infrastructure"),
    "no memory for a play": (MemoryError(), (RIG, GATEWAY), "infrastructure"),
    "a worker that was killed": (BrokenProcessPool("killed"), (RIG,), "infrastructure"),
    "a package that is missing": (ModuleNotFoundError("bumble"), (RIG,), "infrastructure"),
    "a kernel that is missing": (
        ConfigError("the real Bluetooth", "linux is missing", "make it"),
        (RIG,),
        "infrastructure",
    ),
    "a guest that ends": (GuestError("the guest has ended"), (RIG, "tools/rig/bluez/guest.py"), "bench"),
    "a line of the bench that is cut": (
        os_error(errno.ECONNRESET),
        (RIG, "tools/rig/bluez/adapter.py"),
        "bench",
    ),
    "a defect of the rig": (TypeError("a number"), (RIG,), "bench"),
    "a defect of the simulation under a gateway": (AssertionError(), (RIG, GATEWAY, WORLD), "bench"),
    "a defect of a simulated sensor": (IndexError(), (RIG, "hw_sim/sensors/cgm_sensor.py"), "bench"),
    "a scenario's own mistake": (ConfigError("x.toml: faults[0]", "no", "mend it"), (RIG,), "scenario"),
    "a defect of the gateway": (KeyError("cgm"), (RIG, GATEWAY), "product"),
    "a link that nobody catches": (os_error(errno.ECONNRESET), (RIG, GATEWAY, WORLD), "product"),
    "a full disk that nobody catches": (
        os_error(errno.ENOSPC),
        (RIG, "edge/store/door.py", "hw_sim/disk.py"),
        "product",
    ),
    "a gateway that is never done": (
        NotSettled("not settled after 1 s"),
        (RIG, "tools/rig/home/world.py"),
        "product",
    ),
}


@pytest.mark.parametrize("fault", ERRORS)
def test_an_error_is_the_fault_of_whoever_let_it_happen(fault: str) -> None:
    error, files, expected = ERRORS[fault]
    assert blame(raised(error, *files)) == expected
    assert blame(GatewayEnded("ended", [raised(error, *files)])) == expected  # type: ignore[list-item]


def test_of_several_the_weightiest_counts() -> None:
    several = [raised(KeyError("x"), RIG, GATEWAY), raised(os_error(errno.ENOSPC), RIG)]
    assert blame(ExceptionGroup("several", several)) is Blame.INFRASTRUCTURE  # type: ignore[type-var]
    assert outcomes(Blame.PRODUCT, Blame.BENCH).verdict == "bench"


# The product, so that not everything is somebody else's fault


def test_a_gateway_that_fails_is_the_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeartStrap, "take", dies)
    one = verdict(tmp_path)
    assert one.verdict == "product"
    assert one.outcomes[0].failures[0].startswith("the gateway has ended by itself: ValueError")


def test_a_gateway_that_sends_nothing_is_the_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_: object) -> None:
        raise UpstreamUnavailable("it rains")

    monkeypatch.setattr(FileUpstream, "send", refuse)
    assert verdict(tmp_path, 'settles = "10min"\n' + GOOD).verdict == "product"


def test_a_good_scenario_passes_and_again_the_same_way(tmp_path: Path) -> None:
    one = verdict(tmp_path, repeat=2)
    assert [(outcome.verdict, outcome.seed) for outcome in one.outcomes] == [("passed", 0), ("passed", 1)]


def test_there_are_as_many_faults_as_are_wanted() -> None:
    ours = [row for row in ERRORS.values() if row[2] != "product"]
    changed = [row for row in REPEATED.values() if row[2] == "bench"]
    assert len(WRITTEN) + len(PLAYED) + len(BROKEN_BENCH) + len(changed) + len(MACHINES) + len(ours) >= 40
