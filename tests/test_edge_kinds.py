"""The tables hold data only, and every package that maps their keys maps all of them."""

import ast
from dataclasses import fields
from pathlib import Path

import pytest

from edge import app, kinds, measurements
from edge.alerts.rules import SILENCE, THRESHOLDS
from edge.config import Alerts, Consent
from edge.history import closing
from edge.kinds import KINDS, Procedure
from edge.local import survey
from edge.measurements import DATA_CLASS, MEASUREMENTS, PERIODS
from edge.upstream import resources


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


def test_alerts_map_every_measurement_to_limits_that_exist() -> None:
    assert set(THRESHOLDS) == set(SILENCE) == set(MEASUREMENTS)
    limits = [t.limit for row in THRESHOLDS.values() for t in row]
    limits += [t.hold for row in THRESHOLDS.values() for t in row if t.hold]
    limits += [silence.limit for silence in SILENCE.values() if silence]
    assert set(limits) == set(Alerts.__struct_fields__)


def test_rows_are_frozen() -> None:
    for row in (*KINDS.values(), *MEASUREMENTS.values(), *PERIODS.values()):
        name = fields(row)[0].name
        with pytest.raises(AttributeError):
            setattr(row, name, None)


def test_the_gateway_knows_what_to_say_to_every_kind_and_how_to_summarise_every_period() -> None:
    assert set(app.SENSORS) == set(survey.NEWEST) == set(Procedure)
    assert set(closing.COMPUTE) == set(closing.KEPT_DAYS) == set(resources.SUMMARIES) == set(PERIODS)
    assert set(closing.AWAITED) == {key for key, period in PERIODS.items() if period.awaits_records}
    assert set(resources.READINGS) == {m.item for m in MEASUREMENTS.values() if m.item}
