"""The setting on a real Bluetooth stack, as far as it goes without one: what is called and read, and the verdict."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from edge import config
from edge.errors import ConfigError
from tools.rig.bluez import __main__ as command_line
from tools.rig.bluez import counts, provided
from tools.rig.bluez.__main__ import Round, document, rounds, shown
from tools.rig.bluez.faults import between
from tools.rig.bluez.guest import Answer, GuestError, command
from tools.rig.bluez.guest import command_line as kernel_call
from tools.rig.bluez.play import require_playable, unwanted
from tools.rig.bluez.world import gateway_document, parsed_line, told_status
from tools.rig.language import vocabulary as v
from tools.rig.language.durations import Span
from tools.rig.language.gateway_file import to_toml
from tools.rig.language.scenario import CGM, STRAP, Scenario, Sensor, home_of, load
from tools.rig.run.play import shown_times
from tools.rig.verdict.blame import Blame, Finding
from tools.rig.verdict.expectations import Line
from tools.rig.verdict.outcome import Outcome

SCENARIOS = sorted((Path(__file__).parent / "scenarios" / "bluez").rglob("*.toml"))


def played_as(*faults: v.Fault, expect: tuple[v.Expectation, ...] = (), **more: Any) -> Scenario:
    return home_of(STRAP, faults=faults, expect=expect, **more)


# Scenarios


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_each_scenario_can_be_played(path: Path) -> None:
    require_playable(str(path), load(path))


def test_what_only_a_simulated_machine_suffers_is_refused_with_the_command_that_plays_it() -> None:
    full = played_as(v.DiskFull(at_s=Span(1.0), for_s=Span(1.0)))
    with pytest.raises(ConfigError, match="'disk full' is not to be had on a real Bluetooth") as caught:
        require_playable("x.toml", full)
    assert caught.value.key == "x.toml: faults[0]"
    assert caught.value.remedy.endswith("vitalgate rig run x.toml")
    with pytest.raises(ConfigError, match="'no alert' is not to be had"):
        require_playable("x.toml", played_as(expect=(v.NoAlert(),)))


def test_an_adapter_that_is_not_there_cannot_be_unplugged() -> None:
    second = v.Unplugged(at_s=Span(1.0), for_s=Span(1.0), adapter=1)
    with pytest.raises(ConfigError, match="there is no adapter 1"):
        require_playable("x.toml", played_as(second))
    require_playable("x.toml", played_as(second, adapters=2))


# What is called


def test_the_guest_sees_this_machines_files_and_its_serial_lines_are_what_it_is_given() -> None:
    called = kernel_call(Path("/c/linux"), Path("/r"), Path("/c/5.82"), 7, [8, 9], 300)
    assert called[0] == "/c/linux"
    assert {"mem=300M", "rootfstype=hostfs", "rootflags=/", "ro", "run=/r", "bluez=/c/5.82"} <= set(called)
    assert [one for one in called if one.startswith("ssl")] == ["ssl2=fd:7", "ssl1=fd:8", "ssl3=fd:9"]
    alone = kernel_call(Path("/c/linux"), Path("/r"), Path("/c/5.82"), 7, [8], 300)
    assert not any(one.startswith("ssl3") for one in alone)


def test_words_of_a_command_stay_words() -> None:
    assert command("start_gateway", "/a b", "it's") == "start_gateway '/a b' 'it'\"'\"'s'"


def test_the_gateways_file_is_the_scenarios_but_for_where_the_guest_keeps_things(tmp_path: Path) -> None:
    scenario = home_of(Sensor(id="cgm", kind="cgm", passkey="123456", label="654321", really="heart_rate"))
    document = gateway_document(scenario)
    assert document["gateway"]["trust_clock"] is True
    (sensor,) = document["sensors"]
    assert (sensor["kind"], sensor["passkey"]) == ("cgm", "123456")
    checked = config.parse(to_toml(document).encode(), tmp_path / "gateway.toml")
    assert str(checked.upstream.directory) == "/run/host/bundles"
    assert str(checked.gateway.state_dir) == "/var/lib/vitalgate"


def test_a_fault_of_the_system_is_a_command_when_it_begins_and_one_when_it_is_over() -> None:
    did: list[object] = []

    class Told:
        async def do(self, line: str) -> None:
            did.append(line)

        async def until_moment(self, at_s: float) -> None:
            did.append(at_s)

    fault = v.PoweredOff(at_s=Span(3.0), for_s=Span(8.0))
    happening: Any = between("off", "on")(Told(), fault)  # type: ignore[arg-type]
    with pytest.raises(StopIteration):
        happening.send(None)
    assert did == ["off", 11.0, "on"]


def test_what_is_missing_is_one_line_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["bluez", str(SCENARIOS[0])])
    assert command_line.main() == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/vitalgate/bluez/linux is missing" in said
    assert said.strip().endswith("sh tools/rig/bluez/provide.sh")
    assert (provided.HERE / "provide.sh").exists()


def test_a_path_that_a_kernel_cannot_be_told_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is a space in '/a b'"):
        provided.require_one_word(Path("/a"), Path("/a b"))


def test_each_version_plays_each_file_as_often_as_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("linux", *provided.VERSIONS):
        (tmp_path / "vitalgate" / "bluez" / name).mkdir(parents=True)
    to_play = rounds([str(path) for path in SCENARIOS[:2]], provided.VERSIONS, 3)
    assert len({one.name for one in to_play}) == 2 * 2 * 3


# What is read


def test_a_line_of_the_gateway_has_its_level_and_anything_else_is_an_error() -> None:
    warning = parsed_line("WARNING edge.radio.session: strap: the link dropped", 3.0)
    assert warning == Line(3.0, logging.WARNING, "edge.radio.session", "strap: the link dropped", False)
    other = parsed_line("Traceback (most recent call last):", 4.0)
    assert (other.level, other.has_traceback) == (logging.ERROR, True)


def test_tracebacks_and_addresses_are_unwanted_whatever_is_expected() -> None:
    lines = [
        parsed_line("INFO edge.daemon: gateway runs", 0.0),
        parsed_line("Traceback (most recent call last):", 1.0),
        parsed_line("INFO edge.x: to F0:00:00:00:00:01", 2.0),
        parsed_line("INFO edge.x: /org/bluez/hci0/dev_f0_00_00_00_00_01", 3.0),
        parsed_line("INFO edge.x: of 00001800-0000-1000-8000-00805f9b34fb at 10:20:30", 4.0),
    ]
    found = list(unwanted(lines))
    assert [one.split(" at ")[0] for one in found] == ["a traceback", *["an address in the log"] * 2]


SENSOR = {"id": "strap", "packets": 3, "phase": "streaming", "connects": 1, "losses": 0, "values": [1]}


def test_what_the_gateway_counts_is_told_with_its_life_and_its_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "Path", lambda _: tmp_path / "pid")
    (tmp_path / "pid").write_text("42\n")
    answer = json.dumps({"sensors": [{**SENSOR, "trouble": {"cause": "off", "remedy": "on"}}]})
    told = counts.counted(answer.encode())
    assert told == {
        "life": 42,
        "sensors": {
            "strap": {"packets": 3, "phase": "streaming", "connects": 1, "losses": 0, "trouble": "off"}
        },
    }
    assert counts.counted(None) is None


def test_nobody_answers_where_no_gateway_runs(tmp_path: Path) -> None:
    assert counts.ask(str(tmp_path)) is None
    assert counts.main(str(tmp_path), "--status") == 1


def test_the_status_is_found_among_what_else_is_said() -> None:
    assert told_status(Answer(1, "")) is None
    with pytest.raises(GuestError, match="has said 'oh'"):
        told_status(Answer(0, "oh"))
    with pytest.raises(msgspec.ValidationError):
        told_status(Answer(0, 'oh\n{"running": 3}'))


# The verdict


def test_a_verdict_is_a_line_with_the_times_and_a_line_for_each_failure() -> None:
    one = Round("a/x.toml", home_of(STRAP, CGM), "5.66", 2)
    good = Outcome(seed=0, took_s=41.0, times={"00:00:20": {"strap": 4.2, "cgm": None}})
    assert shown(one, good) == "a/x.toml: bluetoothd 5.66: passed in 41 s: 00:00:20: strap 4.2 s, cgm -"
    assert document(one, good)["verdict"] == "passed"
    findings = tuple(Finding(Blame.PRODUCT, f"failure {n}") for n in range(10))
    bad = shown(one, Outcome(seed=0, took_s=41.0, findings=findings)).splitlines()
    assert bad[0].endswith("failed (product) in 41 s")
    assert (bad[1], bad[-1], len(bad)) == ("  failure 0", "  and 2 more", 10)
    assert one.name == "x-5.66-2"


def test_times_are_shown_by_the_moment_from_which_they_count() -> None:
    expected = v.Data(after_s=Span(83.0), within_s=Span(15.0))
    played = SimpleNamespace(times={expected: {"strap": 6.123, "cgm": None}})
    assert shown_times(played) == {"00:01:23": {"strap": 6.1, "cgm": None}}  # type: ignore[arg-type]
