"""The published form of scenario files, held against the reader by a validator that others wrote."""

import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tools.rig.language.published import schema

SCENARIOS = sorted((Path(__file__).parent / "scenarios").rglob("*.toml"))
VALIDATOR = jsonschema.Draft202012Validator(schema())
GOOD: dict[str, Any] = {
    "lasts": "1h",
    "sensors": [{"id": "strap", "kind": "heart_rate"}],
    "faults": [{"what": "out of reach", "at": "10min", "for": "90s", "sensor": "strap"}],
    "expect": [{"what": "complete"}],
}
BAD: list[dict[str, Any]] = [
    {"expect": []},
    {"lasts": 90},
    {"lasts": "90"},
    {"lasts": "-90s"},
    {"colour": "red"},
    {"sensors": []},
    {"sensors": [{"id": "strap", "kind": "heart"}]},
    {"faults": [{"what": "rain", "at": "1min"}]},
    {"faults": [{"what": "out of reach", "at": "10min", "sensor": "strap"}]},
    {"faults": [{"what": "garbage", "at": "10min", "sensor": "strap", "packets": 0}]},
    {"expect": [{"what": "alert", "alert": "low", "sensor": "strap"}]},
    {"expect": [{"what": "status", "fields": {}}]},
]


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_what_is_played_is_allowed(path: Path) -> None:
    VALIDATOR.validate(tomllib.loads(path.read_text()))


@pytest.mark.parametrize("change", BAD, ids=str)
def test_what_is_refused_is_forbidden(change: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(GOOD)
    assert not VALIDATOR.is_valid(GOOD | change)
