"""Every fault of a scenario does something; every expectation can fail, by a broken gateway or a home that lies."""

import logging
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from edge.errors import ConfigError, UpstreamUnavailable
from edge.radio.trouble import Trouble
from edge.sensors.heart_strap import HeartStrap
from edge.upstream.files import FileUpstream
from tools.rig.language.scenario import parse
from tools.rig.run import play as playing
from tools.rig.run.play import play, require_simulated
from tools.rig.verdict.expectations import Played

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

HOME = """
lasts = "{lasts}"
sensors = [{sensors}]
faults = [{faults}]
expect = [{expect}]
"""
STRAP, CGM = '{ id = "strap", kind = "heart_rate" }', '{ id = "cgm", kind = "cgm" }'


def text(expect: str, faults: str = "", lasts: str = "7min", sensors: str = STRAP) -> str:
    return HOME.format(expect=expect, faults=faults, lasts=lasts, sensors=sensors)


def failures(directory: Path, *said: str, settles_s: float = 7200.0, **more: str) -> list[str]:
    scenario = structs.replace(parse(text(*said, **more).encode(), Path("here.toml")), settles_s=settles_s)
    return play(scenario, directory).failures


AT_5 = '{ what = "status", at = "5min", fields = { %s } }'
AT_6 = AT_5.replace("5min", "6min")
AT_END = '{ what = "status", fields = { %s } }'
NO_SERVICE, ADAPTER_OFF, NO_ADAPTER = (
    one.cause for one in (Trouble.NO_SERVICE, Trouble.ADAPTER_OFF, Trouble.NO_ADAPTER)
)
FAULTS = {
    "out of reach": (
        'at = "4min", sensor = "strap", for = "70s"',
        AT_5 % '"sensors.strap.phase" = "searching"',
    ),
    "link drops": (
        'every = "1min", for = "10s", sensors = ["strap"]',
        AT_END % '"sensors.strap.losses" = "> 1"',
    ),
    "silent": ('at = "4min", sensor = "strap", for = "70s"', AT_END % '"sensors.strap.losses" = "> 0"'),
    "garbage": ('at = "4min", sensor = "cgm", packets = 3', AT_5 % '"sensors.cgm.undecodable" = 3'),
    "gateway stopped": ('at = "4min", for = "30s"', AT_5 % '"sensors.strap.packets" = "< 60"'),
    "gateway killed": ('at = "4min", for = "2s"', '{ what = "log", says = "took over a link" }'),
    "rebooted": ('at = "4min", trusted = false', AT_5 % '"clock.trusted" = false'),
    "config changed": (
        'at = "1min", person = "jo", consent = false',
        AT_END % '"deliveries.files.held.0.person" = "jo"',
    ),
    "clock": ('at = "4min", wrong_by = "1h"', AT_5 % '"clock.utc_s" = "> 1772413200"'),
    "disk full": ('at = "3min", for = "150s"', AT_5 % '"store.trouble" = "No space left on device"'),
    "disk slow": (
        'at = "10s", for = "350s", takes = "2h"',
        '{ what = "status", at = "330s", fields = { "sensors.cgm.session.readings.glucose" = 1 } }',
    ),
    "upstream away": ('at = "10s", for = "400s"', '{ what = "log", says = "what is not sent is kept" }'),
    "link lost": ('at = "4min"', AT_END % '"sensors.strap.losses" = "> 0"'),
    "bond forgotten": ('at = "4min", sensor = "strap"', AT_END % '"sensors.strap.losses" = "> 0"'),
    "packets corrupted": (
        'at = "230s", sensor = "cgm", packets = 1',
        AT_END % '"sensors.cgm.undecodable" = 1',
    ),
    "sensor rebooted": (
        'at = "4min", sensor = "strap", for = "30s"',
        AT_END % '"sensors.strap.losses" = "> 0"',
    ),
    "killed anywhere": ('at = "4min", steps = 77', '{ what = "log", says = "took over a link" }'),
    "disk fails": (
        'at = "1min", for = "4min", share = 1.0',
        AT_5 % '"store.trouble" = "No space left on device"',
    ),
    "upstream slow": (
        'at = "10s", for = "400s", takes = "399s"',
        AT_6 % '"deliveries.files.inflight" = "> 0", "sensors.cgm.losses" = 0',
    ),
    "upstream forgets to answer": (
        'at = "10s", for = "400s"',
        '{ what = "log", says = "the receiver does not answer" }',
    ),
    "upstream rejects": ('at = "10s", for = "400s"', AT_END % '"deliveries.files.parked" = "> 0"'),
    "sensor swapped": ('at = "3min", sensor = "cgm"', AT_END % '"sensors.cgm.session.number" = 2'),
    "bluetoothd killed": (
        'at = "4min", for = "70s"',
        AT_5 % '"sensors.strap.trouble.cause" = "%s"' % NO_SERVICE,
    ),
    "bluetoothd frozen": ('at = "4min", for = "70s"', AT_5 % '"sensors.strap.phase" = "waiting"'),
    "bus killed": ('at = "4min", for = "70s"', AT_5 % '"sensors.strap.trouble.cause" = "%s"' % NO_SERVICE),
    "powered off": ('at = "4min", for = "70s"', AT_5 % '"sensors.strap.trouble.cause" = "%s"' % ADAPTER_OFF),
    "unplugged": ('at = "4min", for = "70s"', AT_5 % '"sensors.strap.trouble.cause" = "%s"' % NO_ADAPTER),
    "sensor replaced": ('at = "3min", sensor = "cgm"', AT_END % '"sensors.cgm.session.number" = 2'),
}


def worn_for(name: str) -> str:
    return CGM if "cgm" in "".join(FAULTS[name]) else STRAP


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name: str, tmp_path: Path) -> None:
    said, expect = FAULTS[name]
    assert failures(tmp_path, expect, f'{{ what = "{name}", {said} }}', sensors=worn_for(name)) == []


@pytest.mark.parametrize("sensors", [STRAP, CGM])
def test_without_the_fault_nothing_of_it_is(sensors: str, tmp_path: Path) -> None:
    expected = [expect for name, (_, expect) in FAULTS.items() if worn_for(name) == sensors]
    assert len(failures(tmp_path, ", ".join(expected), sensors=sensors)) == len(expected)


def test_a_hung_disconnect_is_seen(tmp_path: Path) -> None:
    silent = '{ what = "silent", at = "2min", sensor = "strap", for = "1min" }'
    hung = '{ what = "disconnect hangs", at = "2min", sensor = "strap", for = "1min" }'
    expect = '{ what = "log", says = "hanging up does not end" }'
    assert failures(tmp_path / "with", expect, f"{silent}, {hung}") == []
    assert failures(tmp_path / "without", expect, silent) == [
        "log: 0 lines say 'hanging up does not end' (never), expected 1"
    ]


def test_what_a_sensor_holds_no_more_is_not_missed_and_the_rest_is(tmp_path: Path) -> None:
    off = '{ what = "gateway stopped", at = "1min", for = "20min" }'
    overwritten = '{ what = "storage overwritten", at = "20min", sensor = "cgm", keeps = 1 }'
    few = AT_END % '"sensors.cgm.session.readings.glucose" = 3'
    expect = f"{COMPLETE}, {few}"
    assert failures(tmp_path / "with", expect, f"{off}, {overwritten}", lasts="24min", sensors=CGM) == []
    assert failures(tmp_path / "without", expect, off, lasts="24min", sensors=CGM) == [
        "status at the end: sensors.cgm.session.readings.glucose is 5, expected 3"
    ]


def test_an_answer_that_never_comes_is_missed(tmp_path: Path) -> None:
    lost = '{ what = "link lost", at = "1min" }'
    answer = '{ what = "answer lost", at = "1min", sensor = "strap" }'
    soon = '{ what = "data", after = "1min", within = "12s" }'
    assert failures(tmp_path / "1", soon, lost, lasts="2min") == []
    (line,) = failures(tmp_path / "2", soon, f"{lost}, {answer}", lasts="2min")
    assert line == "data: strap: none came, expected within 12 s after 00:01:00"


def test_what_befalls_only_a_real_machine_is_refused_with_the_command_that_plays_it() -> None:
    blocked = '{ what = "radio blocked", at = "1min", for = "1s" }'
    scenario = parse(text(AT_END % "running = true", blocked).encode(), Path("real.toml"))
    with pytest.raises(ConfigError, match="'radio blocked' befalls no simulated Bluetooth") as caught:
        require_simulated("real.toml", scenario)
    assert caught.value.remedy.endswith("vitalgate rig run --setting bluez real.toml")
    with pytest.raises(ConfigError, match="has one adapter"):
        require_simulated("real.toml", structs.replace(scenario, faults=(), adapters=2))


def test_a_sensor_may_be_another_than_the_file_says(tmp_path: Path) -> None:
    expect = AT_END % '"sensors.cgm.trouble.cause" = "the sensor lacks what its kind must have"'
    strap = '{ id = "cgm", kind = "cgm", really = "heart_rate" }'
    scenario = structs.replace(
        parse(text(expect, lasts="2min", sensors=strap).encode(), Path("here.toml")), settles_s=1.0
    )
    assert play(scenario, tmp_path).failures == ["not settled after 1 s (at 00:07:31)"]


# Data


def test_data_after_a_moment_are_waited_for(tmp_path: Path) -> None:
    away = '{ what = "out of reach", at = "1min", sensor = "strap", for = "30s" }'
    data = '{ what = "data", after = "1min", within = "%s" }'
    assert failures(tmp_path / "1", data % "55s", away, lasts="2min") == []
    (line,) = failures(tmp_path / "2", data % "25s", away, lasts="2min")
    assert line == "data: strap: none came, expected within 25 s after 00:01:00"


def test_a_sensor_that_measures_once_in_minutes_brings_data_if_the_next_that_it_sends_arrives(
    tmp_path: Path,
) -> None:
    lost = '{ what = "link lost", at = "6min" }'
    data = '{ what = "data", after = "6min", within = "30s" }'
    assert failures(tmp_path, data, lost, lasts="11min", sensors=CGM) == []


COMPLETE = '{ what = "complete" }'


def test_a_whole_home_is_complete(tmp_path: Path) -> None:
    both = f"{STRAP}, {CGM}"
    assert failures(tmp_path, f'{COMPLETE}, {{ what = "nothing else" }}', lasts="11min", sensors=both) == []


def test_a_reading_that_does_not_arrive_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send = FileUpstream.send

    async def forget(upstream: FileUpstream, name: str, body: bytes) -> None:
        if b"99504-3" not in body:
            await send(upstream, name, body)

    monkeypatch.setattr(FileUpstream, "send", forget)
    found = failures(tmp_path, COMPLETE, sensors=CGM)
    assert found
    assert all(line.startswith("complete: jo: ") and line.endswith("is not upstream") for line in found)


def test_a_beat_that_is_not_counted_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take, count = HeartStrap.take, [0]

    def forgetful(strap: HeartStrap, notification: Any) -> None:
        count[0] += 1
        if count[0] != 120:
            take(strap, notification)

    monkeypatch.setattr(HeartStrap, "take", forgetful)
    (line,) = failures(tmp_path, COMPLETE)
    assert "beats are upstream, and" in line


def test_a_reading_that_nobody_measured_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lie(played: Played) -> None:
        await tell(played)
        played.world.home.cgms[0].measured.pop()

    tell = playing._pass
    monkeypatch.setattr(playing, "_pass", lie)
    (line,) = failures(tmp_path, '{ what = "complete", sensors = ["cgm"] }', sensors=CGM)
    assert "is upstream and was never measured" in line


def test_a_value_of_the_status_that_is_another_is_seen(tmp_path: Path) -> None:
    expect = ", ".join([AT_5 % '"sensors.strap.phase" = "waiting"', AT_END % '"store.trouble" = "much"'])
    stopped = '{ what = "gateway stopped", at = "4min", for = "90s" }'
    assert failures(tmp_path / "1", expect) == [
        "status at 00:05:00: sensors.strap.phase is 'streaming', expected 'waiting'",
        "status at the end: store.trouble is null, expected 'much'",
    ]
    assert failures(tmp_path / "2", AT_5 % "running = true", stopped) == [
        "status at 00:05:00: no gateway runs"
    ]


def test_an_alert_that_is_not_raised_is_missed(tmp_path: Path) -> None:
    away = '{ what = "out of reach", at = "1min", sensor = "strap", for = "14min" }'
    alert = '{ what = "alert", alert = "heart_rate_silence", sensor = "strap", after = "%s" }'
    assert failures(tmp_path / "1", alert % "10min", away, lasts="16min") == []
    (late,) = failures(tmp_path / "2", alert % "15min", away, lasts="16min")
    assert late.startswith("alert: heart_rate_silence of strap was raised 00:1")
    assert failures(tmp_path / "3", alert % "0s") == [
        "alert: heart_rate_silence of strap was raised never, expected after 00:00:00"
    ]


def test_an_alert_that_is_raised_is_not_missed_where_there_is_to_be_none(tmp_path: Path) -> None:
    away = '{ what = "out of reach", at = "10s", sensor = "strap", for = "15min" }'
    none = '{ what = "no alert" }, { what = "no alert", alert = "heart_rate_silence", sensor = "strap" }'
    others = '{ what = "no alert", alert = "heart_rate_high" }, { what = "no alert", sensor = "cgm" }'
    found = failures(tmp_path / "1", f"{none}, {others}", away, lasts="16min", sensors=f"{STRAP}, {CGM}")
    assert [line.rpartition(" ")[0] for line in found] == [
        "no alert: heart_rate_silence of strap was raised"
    ] * 2
    assert failures(tmp_path / "2", none) == []


def test_a_warning_that_nobody_expects_is_seen(tmp_path: Path) -> None:
    garbage = '{ what = "garbage", at = "1min", sensor = "strap" }'
    nothing = '{ what = "nothing else" }'
    (line,) = failures(tmp_path / "1", nothing, garbage)
    assert line.startswith("nothing else: at 00:01:0")
    assert "WARNING edge.radio.intake: strap: packet dropped" in line
    named = f'{{ what = "log", says = "packet dropped" }}, {nothing}'
    assert failures(tmp_path / "2", named, garbage) == []


def test_a_traceback_is_seen_whatever_its_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stumble(played: Played) -> None:
        await tell(played)
        try:
            raise ValueError("stumbled")
        except ValueError:
            logging.getLogger("edge.test").info("it went on", exc_info=True)

    tell = playing._pass
    monkeypatch.setattr(playing, "_pass", stumble)
    expect = '{ what = "nothing else" }, { what = "log", says = "it went on" }'
    (line,) = failures(tmp_path, expect, lasts="1min", sensors=CGM)
    assert line.endswith("INFO edge.test: it went on, with a traceback")


def test_a_gateway_that_ends_by_itself_is_a_failure_whatever_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr(HeartStrap, "take", broken)
    (line,) = failures(tmp_path, AT_END % "running = true")
    assert line.startswith("the gateway has ended by itself: ZeroDivisionError: broken")


def test_a_gateway_that_is_never_done_is_a_failure_whatever_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise UpstreamUnavailable("it rains")

    monkeypatch.setattr(FileUpstream, "send", refuse)
    (line,) = failures(tmp_path, AT_END % "running = true", sensors=CGM, settles_s=600.0)
    assert line.startswith("not settled after 600 s")


def test_the_same_scenario_gives_the_same_bundles(tmp_path: Path) -> None:
    drops = '{ what = "link drops", every = "2min", for = "30s" }, { what = "gateway killed", at = "3min" }'
    for name in ("one", "other"):
        assert failures(tmp_path / name, COMPLETE, drops, sensors=CGM, lasts="30min") == []
    one, other = (
        # What follows the number is an identity of the gateway's own, drawn once.
        [
            (path.name.rpartition("-")[0], path.stat().st_size)
            for path in sorted((tmp_path / name / "bundles").iterdir())
        ]
        for name in ("one", "other")
    )
    assert one == other
