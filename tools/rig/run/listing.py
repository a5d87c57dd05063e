"""`vitalgate rig list` and `check`: scenario files, without playing them."""

from pathlib import Path
from typing import Any

from edge.errors import ConfigError
from tools.rig.language.drawing import drawn
from tools.rig.language.durations import UNITS_S
from tools.rig.language.scenario import load


def rows(places: list[Path]) -> list[dict[str, Any]]:
    """What there is in directories and below. Raises ConfigError for a file that is no scenario."""
    files = [
        file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*.toml")))
    ]
    if not files:
        said = ", ".join(map(str, places))
        raise ConfigError(said, "there is no scenario", "name a directory with .toml files")
    return [_row(file) for file in files]


def _row(file: Path) -> dict[str, Any]:
    scenario = load(file)
    return {
        "file": str(file),
        "about": scenario.about,
        "lasts_s": float(scenario.lasts_s),
        "sensors": [one.kind for one in scenario.sensors],
        "faults": sorted({str(one.__struct_config__.tag) for one in scenario.faults}),
        "expects": sorted({str(one.__struct_config__.tag) for one in scenario.expect}),
    }


def show(found: list[dict[str, Any]]) -> None:
    """A line or two for each."""
    for row in found:
        print(
            f"{row['file']}  ({_shown(row['lasts_s'])}; {', '.join(row['faults']) or 'nothing goes wrong'})"
        )
        if row["about"]:
            print(f"    {row['about']}")


def _shown(lasts_s: float) -> str:
    """As a scenario file has it."""
    said = ""
    for unit, unit_s in UNITS_S.items():
        count, lasts_s = divmod(lasts_s, unit_s)
        said += f"{count:g}{unit}" if count else ""
    return said or "0s"


def wrong(files: list[str]) -> list[str]:
    """What is wrong, a line for each file with which something is."""
    found = []
    for file in files:
        try:
            drawn(load(Path(file)))
        except ConfigError as error:
            found.append(str(error))
    return found
