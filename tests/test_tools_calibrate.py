"""`vitalgate sensor calibrate`: what is typed, confirmed, sent to a running gateway, and said of it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from edge_parts import MINIMAL
from test_tools_alert import Home, play
from typer.testing import CliRunner, Result

from edge.local.verbs import Calibration, Error, Refusal
from tools import calibrate
from tools.cli import app

ACCEPTED = Calibration("cgm", 112.0, "accepted", 1, 45)


def typed(file: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["sensor", "calibrate", *words, "--config", str(file)])


def answered(
    directory: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], answer: Calibration | Refusal
) -> tuple[Result, list[tuple[Any, ...]]]:
    """The command against a gateway that answers so, and what that was asked."""
    asked: list[tuple[Any, ...]] = []
    results: list[Result] = []

    async def scenario(home: Home) -> None:
        async with home.running() as gateway:

            async def calibrated(_: object, *what: Any) -> Calibration | Refusal:
                asked.append(what)
                return answer

            monkeypatch.setattr(type(gateway.reception), "calibrate", calibrated)
            results.append(await asyncio.to_thread(typed, home.file, *words))

    play(directory, scenario)
    if results[0].exception is not None and not isinstance(results[0].exception, SystemExit):
        raise results[0].exception
    return results[0], asked


@pytest.mark.parametrize(
    ("words", "mg_dl"),
    [
        (("112 mg/dL",), 112),
        (("112", "--unit", "mg/dL"), 112),
        (("6.2 mmol/L",), 112),
        (("6.2", "--unit", "mmol/L"), 112),
    ],
)
def test_a_value_goes_to_the_gateway_in_mg_dl_and_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], mg_dl: int
) -> None:
    result, asked = answered(tmp_path, monkeypatch, ["cgm", *words, "--yes"], ACCEPTED)
    assert asked == [("cgm", mg_dl, "calibrated by hand")]
    assert result.exit_code == 0, result.output
    assert result.output == "cgm: the sensor has accepted the value\nnext calibration: in 45 min\n"


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (Calibration("cgm", 112.0, "pending", 1, 0), 0, "works on it\nnext calibration: now\n"),
        (Calibration("cgm", 112.0, "accepted", 2, None), 0, "has accepted the value\n"),
        (Calibration("cgm", 112.0, "accepted", 2, 720), 0, "next calibration: in 12 h\n"),
        (Calibration("cgm", 112.0, "rejected", 2, None), 1, "has rejected the value; measure once more\n"),
        (
            Calibration("cgm", 30.0, "out of range", 2, None),
            1,
            "out of the sensor's range; measure once more\n",
        ),
        (Calibration("cgm", 112.0, "unsure", None, None), 1, "see what it shows before you measure again\n"),
    ],
)
def test_what_became_of_it_is_said_in_words_and_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Calibration, code: int, words: str
) -> None:
    result, _ = answered(tmp_path, monkeypatch, ["cgm", "112 mg/dL", "--yes"], said)
    assert (result.exit_code, result.output.endswith(words)) == (code, True), result.output


def test_as_json_it_is_one_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["cgm", "112 mg/dL", "--yes", "--json", "--reason", "first of two"]
    result, asked = answered(tmp_path, monkeypatch, words, ACCEPTED)
    assert json.loads(result.output) == {
        "sensor": "cgm",
        "glucose_mg_dl": 112.0,
        "result": "accepted",
        "record_number": 1,
        "next_in_min": 45,
    }
    assert asked == [("cgm", 112.0, "first of two")]


def test_a_refusal_is_one_line_with_cause_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = Refusal(Error("cgm was not calibrated: it is warming up, for 40 min at most", "calibrate it later"))
    result, _ = answered(tmp_path, monkeypatch, ["cgm", "112 mg/dL", "--yes"], why)
    assert result.exit_code == 1
    assert result.stderr == (
        "vitalgate: cgm was not calibrated: it is warming up, for 40 min at most; calibrate it later\n"
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("nobody", "112 mg/dL"), "SENSOR: there is no sensor 'nobody'; use one of: strap, cgm"),
        (("cgm", "112"), 'VALUE: 112 has no unit; write it like "112 mg/dL"'),
        (("cgm", "6.2"), 'VALUE: 6.2 has no unit; write it like "6.2 mmol/L"'),
        (("cgm", "6.2", "--unit", "mg/dL"), 'VALUE: "6.2 mg/dL" is not allowed; give 20 to 600 mg/dL, or'),
        (("cgm", "112", "--unit", "mmol/L"), 'VALUE: "112 mmol/L" is not allowed; give 20 to 600 mg/dL'),
        (("cgm", "112", "--unit", "g/L"), "VALUE: it is not in the right form; write it like"),
        (("cgm", "high"), "VALUE: it is not in the right form; write it like"),
        (
            ("cgm", "x", "--unit", "mg/dL"),
            "VALUE: could not convert string to float: 'x'; give a number, and",
        ),
        (("cgm", "112 mg/dL", "--reason", " "), "--reason: it is empty; say why, or leave it out"),
        (("cgm", "112 mg/dL"), "sensor calibrate: not confirmed, and nothing was done; --yes confirms"),
    ],
)
def test_what_is_wrong_with_a_call_is_one_line_and_asks_nobody(
    tmp_path: Path, words: Sequence[str], line: str
) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(MINIMAL)
    yes = [] if "not confirmed" in line else ["--yes"]
    result = typed(file, *words, *yes)
    assert result.exit_code == 2
    (said,) = result.stderr.splitlines()
    assert said.startswith(f"vitalgate: {line}")


def test_without_a_gateway_nothing_is_calibrated(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(MINIMAL)
    result = typed(file, "cgm", "112 mg/dL", "--yes")
    assert result.exit_code == 1
    assert "no gateway runs on" in result.stderr


class Terminal:
    """A person at a terminal."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "is_confirmed"), [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)]
)
def test_a_person_at_a_terminal_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, is_confirmed: bool
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert calibrate.is_confirmed(calibrate.Wanted("cgm", 112, "by hand")) is is_confirmed
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "Calibrate cgm by 112 mg/dL (6.2 mmol/L)? That cannot be undone. [y/N] "


@pytest.mark.parametrize(
    "request_of",
    [
        lambda good: good | {"glucose_mg_dl": 19.0},
        lambda good: good | {"glucose_mg_dl": 601.0},
        lambda good: good | {"reason": ""},
        lambda good: good | {"reason": "  "},
        lambda good: {key: value for key, value in good.items() if key != "reason"},
        lambda good: good | {"force": True},
    ],
)
def test_the_socket_takes_no_value_that_cannot_be_and_none_without_a_reason(
    tmp_path: Path, request_of: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    from edge.local import control

    good = {"do": "calibrate", "sensor": "cgm", "glucose_mg_dl": 112.0, "reason": "by hand"}

    async def scenario(home: Home) -> None:
        async with home.running() as gateway:
            state_dir = gateway.config.gateway.state_dir
            line = await asyncio.to_thread(control.ask, state_dir, request_of(good))
            assert line is not None
            assert json.loads(line)["error"]["cause"].startswith("not a request")
            line = await asyncio.to_thread(control.ask, state_dir, good)
            assert line is not None
            assert "is not connected" in json.loads(line)["error"]["cause"]

    play(tmp_path, scenario)
