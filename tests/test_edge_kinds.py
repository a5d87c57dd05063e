"""The tables hold data only, and every package that maps their keys maps all of them."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from edge import app, contacts, kinds, measurements
from edge.alerts.findings import GATEWAY_FINDERS, SENSOR_FINDERS
from edge.alerts.rules import RULES, SENSOR
from edge.alerts.state import GATEWAY
from edge.config import Alerts, Consent
from edge.history import closing
from edge.kinds import KINDS, Procedure, Reach
from edge.local import survey
from edge.measurements import DATA_CLASS, MEASUREMENTS, PERIODS
from edge.sensors.spot.measured import WAYS
from edge.sensors.spot.table import SPOTS
from edge.upstream import resources
from hw_sim.scenario import FOREIGN, MAKERS
from tools.rig.language.vocabulary import FOREIGN_SENSORS


@pytest.mark.parametrize("module", [kinds, measurements])
def test_tables_hold_no_functions(module: object) -> None:
    tree = ast.parse(Path(str(module.__file__)).read_text())  # type: ignore[attr-defined]
    functions = [
        n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
    assert functions == []


def test_kinds_measure_what_the_measurements_know() -> None:
    for kind in KINDS.values():
        assert kind.measurements
        assert set(kind.measurements) <= set(MEASUREMENTS)


def test_measurements_belong_to_periods_that_are_known() -> None:
    for measurement in MEASUREMENTS.values():
        assert set(measurement.periods) <= set(PERIODS)
        assert measurement.least < measurement.most
        assert (measurement.item is None) == (measurement.data_class is None)


def test_whatever_goes_up_has_a_class_of_consent() -> None:
    classes = set(Consent.__struct_fields__) - {"valid_until"}
    assert set(DATA_CLASS.values()) == classes
    assert set(DATA_CLASS) == set(PERIODS) | {m.item for m in MEASUREMENTS.values() if m.item}


def test_every_rule_of_the_alerts_is_about_something_known_with_limits_that_exist() -> None:
    of_gateway = {name for name, rule in RULES.items() if rule.about == GATEWAY}
    assert (set(GATEWAY_FINDERS), set(SENSOR_FINDERS)) == (of_gateway, set(RULES) - of_gateway)
    assert {rule.about for rule in RULES.values()} - {GATEWAY, SENSOR} <= set(MEASUREMENTS)
    keys = {key for rule in RULES.values() for key in (rule.limit, rule.hold) if key}
    assert keys <= set(Alerts.__struct_fields__)


def test_every_kind_of_sensor_that_stays_has_a_rule_about_its_silence_and_no_other() -> None:
    silences = {rule.about for name, rule in RULES.items() if name.endswith("silence")}
    assert all(bool(set(kind.measurements) & silences) == kind.stays for kind in KINDS.values())


def test_there_is_a_contact_and_a_simulated_sensor_for_every_kind() -> None:
    assert {kind.reach for kind in KINDS.values()} <= set(contacts.CONTACTS)
    assert set(MAKERS) == {key for key, kind in KINDS.items() if kind.reach is not Reach.FEED}
    assert set(FOREIGN) == set(FOREIGN_SENSORS)
    assert all(bool(kind.advertised) is (kind.reach is Reach.ADVERTISEMENT) for kind in KINDS.values())


def test_rows_are_frozen() -> None:
    for row in (*KINDS.values(), *MEASUREMENTS.values(), *PERIODS.values()):
        name = fields(row)[0].name
        with pytest.raises(AttributeError):
            setattr(row, name, None)


def test_the_gateway_knows_what_to_say_to_every_kind_and_how_to_summarise_every_period() -> None:
    assert set(app.SENSORS) == set(survey.NEWEST) == set(Procedure)
    assert set(SPOTS) == {key for key, kind in KINDS.items() if kind.procedure is Procedure.SPOT}
    assert {uuid for spot in SPOTS.values() for uuid in spot.measures} == set(WAYS)
    assert set(closing.COMPUTE) == set(closing.KEPT_DAYS) == set(resources.SUMMARIES) == set(PERIODS)
    assert set(closing.AWAITED) == {key for key, period in PERIODS.items() if period.awaits_records}
    assert set(resources.DEVICE_PROFILES) == set(KINDS)
    assert set(resources.READINGS) == {m.item for m in MEASUREMENTS.values() if m.item}


# Adding a kind

OF_THERMOMETERS = re.compile(r"thermometer|TemperatureMeasurement|TEMPERATURE_MEASUREMENT|HEALTH_THERMOMETER")
KEYS = {"thermometer", "body_temperature", "uuids.TEMPERATURE_MEASUREMENT"}


def lines_of_thermometers(path: Path) -> int:
    """Entries of tables, functions, imports and constants that are there for thermometers."""
    source = path.read_text()
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                name = key.value if isinstance(key, ast.Constant) else ast.unparse(key) if key else ""
                if key is not None and name in KEYS:
                    found |= set(range(key.lineno, (value.end_lineno or 0) + 1))
        elif isinstance(node, ast.FunctionDef) and node.name == "_temperature":
            found |= set(range(node.lineno, (node.end_lineno or 0) + 1))
        elif isinstance(node, ast.alias | ast.ImportFrom) and node.end_lineno == node.lineno:
            found |= {node.lineno} if OF_THERMOMETERS.search(ast.unparse(node)) else set()
        elif isinstance(node, ast.Assign) and OF_THERMOMETERS.search(ast.unparse(node.targets[0])):
            found |= {node.lineno}
    return len(found)


def test_a_kind_costs_what_the_guide_says_beside_its_simulated_sensor() -> None:
    root = Path(app.__file__).parents[1]
    paths = [*(root / "edge").rglob("*.py"), root / "protocols" / "uuids.py"]
    ours = {path.name: lines for path in paths if (lines := lines_of_thermometers(path))}
    packet = len((root / "protocols" / "thermometer.py").read_text().splitlines())
    said = (root / "CONTRIBUTING.md").read_text()
    total = packet + sum(ours.values())
    assert f"It has {total} lines beside its" in said
    assert set(ours) == {"kinds.py", "measurements.py", "table.py", "measured.py", "resources.py", "uuids.py"}
    told = re.findall(r"^\| `(?:edge|protocols)/.*\| (\d+) \|$", said, re.MULTILINE)
    assert sum(map(int, told)) == total <= 150
