"""`vitalgate sensor calibrate`: a value that a person has measured in blood, by the running gateway into a sensor.

Contract: the value is read strictly, with its unit; nothing is sent before somebody confirms it. Whether the sensor can
be calibrated now, the gateway and the sensor say.
"""

import sys
from pathlib import Path
from typing import Final, NamedTuple

from edge import config
from edge.config_values import MG_DL_PER_MMOL_L, Glucose
from edge.errors import ConfigError, StoreUnavailable
from edge.local.verbs import Calibration
from edge.sensors.cgm_calibration import Became, span
from tools import status_view

ANSWER_S: Final = 180.0
"""Longer than a sensor may take to answer each of three questions."""
TAKEN: Final = frozenset({Became.ACCEPTED.value, Became.PENDING.value})

_WORDS: Final = {
    Became.ACCEPTED: "the sensor has accepted the value",
    Became.PENDING: "the sensor has the value and works on it",
    Became.REJECTED: "the sensor has rejected the value; measure once more",
    Became.OUT_OF_RANGE: "the value is out of the sensor's range; measure once more",
    Became.UNSURE: "the sensor has not said what became of the value; see what it shows before you measure again",
}


class Wanted(NamedTuple):
    """What is to be done."""

    sensor: str
    glucose_mg_dl: int
    reason: str


def wanted(config_file: Path, sensor: str, value: str, unit: str | None, reason: str) -> Wanted:
    """What was typed, checked.

    Raises:
        ConfigError: there is no such sensor, or the value has no unit or is none.
    """
    known = [one.id for one in config.load(config_file).sensors]
    if sensor not in known:
        raise ConfigError("SENSOR", f"there is no sensor {sensor!r}", f"use one of: {', '.join(known)}")
    if not reason.strip():
        raise ConfigError("--reason", "it is empty", "say why, or leave it out")
    try:
        text = value if unit is None else f"{float(value):g} {unit}"
        glucose_mg_dl = int(Glucose.read(float(text) if text.replace(".", "", 1).isdigit() else text))
    except ValueError as fault:
        cause, _, remedy = str(fault).partition("; ")
        raise ConfigError("VALUE", cause, remedy or "give a number, and its unit by --unit") from fault
    return Wanted(sensor, glucose_mg_dl, reason.strip())


def is_confirmed(what: Wanted) -> bool:
    """Whether the person at the terminal says yes; without a terminal nobody does."""
    if not sys.stdin.isatty():
        return False
    mmol_l = what.glucose_mg_dl / MG_DL_PER_MMOL_L
    glucose = f"{what.glucose_mg_dl} mg/dL ({mmol_l:.1f} mmol/L)"
    question = f"Calibrate {what.sensor} by {glucose}? That cannot be undone. [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def calibrated(config_file: Path, what: Wanted) -> Calibration:
    """What became of it.

    Raises:
        StoreUnavailable: no gateway runs, or the sensor was not calibrated; the text says why.
        ConfigError: a wrong configuration, or the gateway belongs to another user.
    """
    checked = config.load(config_file)
    request = {"do": "calibrate", **what._asdict()}
    answer = status_view.asked(checked, config_file, request, Calibration, ANSWER_S)
    if answer is None:
        raise StoreUnavailable(f"no gateway runs on {checked.gateway.state_dir}; start it first")
    return answer


def show(said: Calibration) -> None:
    """What became of it as a person reads it."""
    print(f"{said.sensor}: {_WORDS[Became(said.result)]}")
    if said.next_in_min is not None:
        due = "now" if said.next_in_min == 0 else f"in {span(said.next_in_min)}"
        print(f"next calibration: {due}")
