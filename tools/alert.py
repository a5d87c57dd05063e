"""`vitalgate alert`: what stands, whether it can be told, and what people do about it.

Contract: `list` answers of a stopped gateway, too; everything else asks the running one.
"""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar

from rich.console import Console
from rich.markup import escape

from edge import config
from edge.alerts.rules import RULES
from edge.alerts.state import GATEWAY
from edge.config_values import Glucose
from edge.errors import ConfigError, StoreUnavailable
from edge.local.verbs import AlertList, Tested
from tools import status_view, terminal
from tools.status_view import alert_text, snooze_text

T = TypeVar("T")

TEST_S: Final = 60.0
LONGEST_H: Final = 24


def listed(config_file: Path) -> AlertList:
    """The alerts that stand, and the snoozes. Raises as `status_view.document`."""
    document = status_view.document(config_file)
    return AlertList(document.alerts, document.snoozes)


def tested(config_file: Path) -> Tested:
    """What came of telling a test on each channel of the running gateway.

    Raises:
        StoreUnavailable: none runs, or it does not answer.
        ConfigError: a wrong configuration, or it belongs to another user.
    """
    return _told(config_file, {"do": "test"}, Tested, timeout_s=TEST_S)


def snoozed(
    config_file: Path, alert: str, length: str | None, sensor: str | None, unless: str | None
) -> AlertList:
    """What stands after an alert was snoozed; without a length its snooze ends. Raises as `tested`."""
    _check(config_file, alert, sensor)
    request = {
        "do": "snooze",
        "alert": alert,
        "for_s": 0.0 if length is None else terminal.length_s("--for", length, LONGEST_H),
        "sensor": sensor,
        "unless": None if unless is None else _value(alert, unless),
    }
    return _told(config_file, request, AlertList)


def acknowledged(config_file: Path, alert: str, sensor: str) -> AlertList:
    """What stands after somebody took note of an alert. Raises as `tested`."""
    _check(config_file, alert, sensor)
    return _told(config_file, {"do": "ack", "alert": alert, "sensor": sensor}, AlertList)


def _told(config_file: Path, request: Mapping[str, Any], form: type[T], timeout_s: float | None = None) -> T:
    checked = config.load(config_file)
    answer = status_view.asked(checked, config_file, request, form, timeout_s)
    if answer is None:
        raise StoreUnavailable(f"no gateway runs on {checked.gateway.state_dir}; start it first")
    return answer


def _check(config_file: Path, alert: str, sensor: str | None) -> None:
    if alert not in RULES:
        raise ConfigError("ALERT", f"there is no alert {alert!r}", f"use one of: {', '.join(RULES)}")
    known = [GATEWAY] + [one.id for one in config.load(config_file).sensors]
    if sensor is not None and sensor not in known:
        raise ConfigError("SENSOR", f"there is no sensor {sensor!r}", f"use one of: {', '.join(known)}")


def _value(alert: str, text: str) -> float:
    """A value in the unit of an alert."""
    try:
        value = float(Glucose.read(text)) if RULES[alert].unit == "mg/dL" else float(text)
        if not isfinite(value):
            raise ValueError(f"{text!r} is no number")
        return value
    except ValueError as fault:
        cause, _, remedy = str(fault).partition("; ")
        remedy = remedy or f"give a number in {RULES[alert].unit or 'the unit of the alert'}"
        raise ConfigError("--unless", cause, remedy) from fault


def show(said: AlertList) -> None:
    """The list as a person reads it."""
    console = Console()
    lines = [f"[bold red]alert[/] {escape(alert_text(alert))}" for alert in said.alerts] or ["no alerts"]
    for line in [*lines, *(escape(snooze_text(snooze)) for snooze in said.snoozes)]:
        console.print(line, soft_wrap=True, highlight=False)


def show_test(said: Tested) -> None:
    """What came of a test as a person reads it."""
    for channel in said.channels:
        print(f"{channel.channel}: {'told' if channel.trouble is None else channel.trouble}")
