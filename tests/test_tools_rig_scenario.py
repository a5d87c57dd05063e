"""Scenario files: what they mean, and the one line that says what is wrong with one."""

import tomllib
from pathlib import Path

import pytest

from edge.errors import ConfigError
from tools.rig.bluez import faults as real
from tools.rig.demo.day import HEAD, Options
from tools.rig.home.faults import HAPPENINGS, ON_THE_AIR, REAL_ALONE
from tools.rig.home.recordings import DemoRecordings
from tools.rig.language import vocabulary as v
from tools.rig.language.durations import Offset, Span, seconds
from tools.rig.language.gateway_file import to_toml
from tools.rig.language.scenario import CGM, STRAP, Person, Scenario, home_of, load, parse
from tools.rig.verdict.expectations import CHECKS

WHERE = Path("here.toml")
GOOD = """
lasts = "1h"
people = [{ id = "anna" }, { id = "ben", consent = false }]
sensors = [{ id = "strap", kind = "heart_rate" }, { id = "cgm", kind = "cgm", person = "ben" }]
faults = [{ what = "out of reach", at = "10min", sensor = "cgm", for = "90s" }]
expect = [{ what = "complete" }, { what = "status", fields = { "sensors.cgm.phase" = "streaming" } }]
"""


def test_a_file_is_read() -> None:
    scenario = parse(GOOD.encode(), WHERE)
    assert scenario.lasts_s == 3600.0
    assert scenario.faults == (v.OutOfReach(at_s=Span(600.0), sensor="cgm", for_s=Span(90.0)),)
    assert scenario.faults[0].end_s == 690.0
    assert [type(one) for one in scenario.expect] == [v.Complete, v.Status]
    assert [scenario.wearer(one.id) for one in scenario.sensors] == ["anna", "ben"]


@pytest.mark.parametrize(
    ("text", "size_s"),
    [
        ("90s", 90),
        ("15min", 900),
        ("2h", 7200),
        ("1h30min", 5400),
        ("3d", 259_200),
        ("61.5s", 61.5),
        ("0s", 0),
    ],
)
def test_durations_have_units(text: str, size_s: float) -> None:
    assert seconds(Span, text) == seconds(Offset, text) == size_s
    assert seconds(Offset, f"-{text}") == -size_s


@pytest.mark.parametrize(
    "text", ["", "90", "90 s", "30min1h", "-5s", "1m", "5sec", "s", 90, 1.5, None, "9" * 20 + "d"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds(Span, text)


EXPECT = (
    'expect = [{ what = "complete" }, { what = "status", fields = { "sensors.cgm.phase" = "streaming" } }]'
)
WRONG = [
    (EXPECT, "", "expect", "expects nothing", "complete, data, status"),
    ('"complete"', '"compleat"', "expect[0]", "'compleat' is no expectation", "complete"),
    ('what = "complete"', "", "expect[0]", "does not say what", "complete"),
    ('"out of reach"', '"out of sight"', "faults[0]", "'out of sight' is no fault", "gateway killed"),
    ('"out of reach"', '"out of reech"', "faults[0]", "'out of reech' is no fault", "use 'out of reach'"),
    (
        "faults = [",
        "falts = 3\nfaults = [7,",
        "falts",
        "no such key",
        "use faults (a list of sections [[faults]])",
    ),
    (
        '"complete"',
        '"data", within = "1s", sensor = "cgm"',
        "expect[0]: sensor",
        "no such key",
        "use sensors (a list)",
    ),
    ("faults = [", "faults = 3 #", "faults", "not in the right form", "[[faults]]"),
    ('sensor = "cgm"', 'sensor = "cmg"', "faults[0]", "no sensor 'cmg'", "cgm, strap"),
    ('for = "90s"', "for = 90", "faults[0]: for", "not a duration", '"90s"'),
    ('for = "90s"', 'for = "2h"', "faults[0]", "goes on after the end", "earlier"),
    (', for = "90s"', "", "faults[0]: for", "missing", "a duration"),
    ('for = "90s"', 'fro = "90s"', "faults[0]: fro", "no such key", "for"),
    ('"1h"', '"an hour"', "lasts", "not a duration", '"1h30min"'),
    (
        'kind = "heart_rate"',
        'kind = "heart_rate", label = "12345"',
        "sensor strap, label",
        "right form",
        "the six digits",
    ),
    ('kind = "cgm"', 'kind = "cgm", really = "pump"', "sensors[1]", "no kind of sensor 'pump'", "heart_rate"),
    ('kind = "cgm"', 'kind = "sgv"', "faults[0]", "cgm is a feed", "feed away"),
    ('"out of reach"', '"feed away"', "faults[0]", "cgm is no feed", "name a feed"),
    (
        '{ what = "complete" }',
        '{ what = "alert", alert = "pause", sensor = "strap" }, { what = "no alert", sensor = "strap" }',
        "expect[1]",
        "another expectation wants this alert",
        "name an alert",
    ),
    (
        '{ what = "complete" }',
        '{ what = "alert", alert = "pause", sensor = "strap", after = "5min", before = "4min" }',
        "expect[0]",
        "`before` is not after",
        "a span",
    ),
    (
        "faults = [",
        'faults = [{ what = "upstream lies", at = "1min", for = "1min" },',
        "expect[0]",
        "nothing is complete after 'upstream lies'",
        "the status",
    ),
    (
        "faults = [",
        'faults = [{ what = "out of reach", at = "11min", sensor = "cgm", for = "1s" },',
        "faults",
        "has not ended when it begins again",
        "be over",
    ),
    ('"1h"', '"0s"', "lasts", "nothing can happen", '"15min"'),
    (
        '{ what = "complete" }',
        '{ what = "alert", alert = "pause", sensor = "strap", after = "4h" }',
        "expect[0]",
        "after the end",
        "last longer",
    ),
    ("lasts", "takes", "takes", "no such key", "lasts"),
    ('"heart_rate"', '"heart"', "(the gateway's file): sensor strap", "kind", "heart_rate"),
    ('person = "ben"', 'person = "bob"', "(the gateway's file)", "'bob'", "ben"),
    ("sensors.cgm.phase", "sensors.cmg.phase", "sensors.cmg.phase", "no sensor 'cmg'", "strap"),
    ("sensors.cgm.phase", "sensors.cgm.fase", "sensors.cgm.fase", "no field 'fase'", "phase"),
    ("sensors.cgm.phase", "store.trouble.why", "store.trouble.why", "nothing is below", "leave out"),
    (
        "lasts",
        'gateway = { alerts = { glucose_low = "4 mg/dL" } }\nlasts',
        "glucose_low",
        "not allowed",
        "20 to 600",
    ),
    ("expect =", 'more = "\nexpect =', "line", "not valid TOML", "quote"),
    ('"complete"', '"complete", sensors = ["cmg"]', "expect[0]", "no sensor 'cmg'", "cgm"),
    ('"complete"', '"alert", sensor = "cgm", alert = "low"', "expect[0]", "'low' is no alert", "glucose_low"),
    ('"complete"', '"status", at = "2h", fields = { running = true }', "expect[0]", "after the end", "leave"),
    (
        "faults = [",
        'faults = [{ what = "sensor replaced", at = "1min", sensor = "strap" },',
        "faults[0]",
        "strap is no simulated CGM",
        "stores",
    ),
    (
        "faults = [",
        'faults = [{ what = "config changed", at = "1min", person = "bob", consent = true },',
        "faults[0]",
        "no person 'bob'",
        "anna, ben",
    ),
    (
        "faults = [",
        'faults = [{ what = "gateway stopped", at = "1min", for = "1min" }, { what = "rebooted", at = "90s" },',
        "faults",
        "does not run at 90 s",
        "before the other",
    ),
]


@pytest.mark.parametrize(("old", "new", "place", "cause", "remedy"), WRONG)
def test_what_is_wrong_is_one_line_with_file_place_cause_and_remedy(
    old: str, new: str, place: str, cause: str, remedy: str
) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        parse(GOOD.replace(old, new, 1).encode(), WHERE)
    error = caught.value
    assert error.key.startswith("here.toml")
    assert place in error.key
    assert cause in f"{error.key}: {error.reason}"
    assert remedy in error.remedy


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none\.toml: No such file or directory; give a readable scenario file"
    ):
        load(tmp_path / "none.toml")


def test_nothing_that_may_be_said_lacks_its_function() -> None:
    of_the_system = {fault for fault in v.FAULTS.values() if issubclass(fault, v.SystemFault)}
    assert set(HAPPENINGS) == set(v.FAULTS.values()) - {*REAL_ALONE, v.Drawn}
    assert of_the_system | set(ON_THE_AIR) <= set(real.HAPPENINGS)
    assert set(CHECKS) == set(v.EXPECTATIONS.values())


def test_the_gateways_file_follows_from_people_and_sensors(tmp_path: Path) -> None:
    people = (Person(id="anna"), Person(id="ben", consent=False))
    scenario = Scenario(
        lasts_s=Span(60.0),
        people=people,
        sensors=(STRAP, CGM),
        gateway={"upstream": {"interval_s": 1.0}, "limits": {"retention_days": 30}},
    )
    config = scenario.configure(tmp_path)
    assert [(one.pseudonym, one.consent.glucose_readings) for one in config.people] == [
        ("patient-anna", True),
        ("patient-ben", False),
    ]
    assert {sensor.person for sensor in config.sensors} == {"anna"}
    assert (config.upstream.interval_s, config.limits.retention_days) == (1.0, 30)
    assert config.upstream.directory == tmp_path / "bundles"
    assert scenario.changed(v.ConfigChanged(at_s=Span(0.0), person="ben", consent=True)).people[1].consent


def test_sections_are_written_as_toml() -> None:
    document = {
        "a": {"x": 1, "y": 'é"', "z": [1.5, True]},
        "b": [{"c": {"d": "e"}}, {"f": 2}],
        "g": {"h": {"i": 3}},
    }
    assert tomllib.loads(to_toml(document)) == document


DEMO = """\
# Made by `vitalgate demo`: a simulated home.

[gateway]
id = "demo-gateway"
state_dir = "state"
timezone = "UTC"

[[people]]
id = "wearer"
pseudonym = "demo-patient"

[people.consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true

[[sensors]]
id = "strap"
kind = "heart_rate"
address = "F0:00:00:00:00:01"
person = "wearer"

[[sensors]]
id = "cgm"
kind = "cgm"
address = "F0:00:00:00:00:02"
person = "wearer"
passkey = "123456"

[upstream]
directory = "bundles"
"""


def test_the_demos_file_is_fit_to_be_shown() -> None:
    options = Options(24.0, 0.0, 1, None, 0.0, DemoRecordings(None, None, None, None))
    assert HEAD + options.scenario().gateway_text() == DEMO


def test_a_python_test_sends_at_once() -> None:
    assert "interval_s = 1.0" in home_of(CGM, gateway={"limits": {"retention_days": 30}}).gateway_text()
