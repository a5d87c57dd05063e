"""The sensors' process is killed and started again under a running gateway, in real time: it finds them again."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.local import control
from tools.rig.language.scenario import CGM, STRAP, home_of

VITALGATE = (sys.executable, "-P", "-m", "tools")
LIMIT_S = 90.0


class Sensors:
    """A process of sensors, on the same port each time."""

    def __init__(self, config: Path) -> None:
        self._command = [*VITALGATE, "simulate", "--bodies", "--config", str(config), "--listen"]
        self.where = "127.0.0.1:0"
        self._process: subprocess.Popen[str]

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, self.where], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.where = self._process.stdout.readline().removeprefix("listening on ").strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def sensors(tmp_path: Path) -> Iterator[Sensors]:
    home_of(STRAP, CGM).configure(tmp_path)
    process = Sensors(tmp_path / "gateway.toml")
    process.start()
    yield process
    process.kill()


def until(condition: Callable[[], bool], said: Callable[[], str]) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, said()
        time.sleep(0.05)


def test_sensors_whose_process_is_killed_and_started_again_are_found_again(
    tmp_path: Path, sensors: Sensors
) -> None:
    log = tmp_path / "log"
    command = [*VITALGATE, "run", "--config", str(tmp_path / "gateway.toml"), "--world", sensors.where]
    with log.open("wb") as errors, subprocess.Popen(command, stderr=errors) as gateway:

        def sensors_told() -> list[dict[str, Any]]:
            assert gateway.poll() is None, log.read_text()
            answer = control.ask(tmp_path / "state", {"do": "status"})
            return [] if answer is None else list(json.loads(answer)["sensors"])

        def streaming(connects: int) -> bool:
            told = sensors_told()
            return bool(told) and all(
                (sensor["phase"], sensor["connects"]) == ("streaming", connects) for sensor in told
            )

        try:
            until(lambda: streaming(1), log.read_text)
            sensors.kill()
            until(lambda: "is gone; it is tried" in log.read_text(), log.read_text)
            until(lambda: all(sensor["trouble"] for sensor in sensors_told()), log.read_text)
            sensors.start()
            until(lambda: streaming(2), log.read_text)
        finally:
            gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(30) == 0
    text = log.read_text()
    assert "Traceback" not in text
    assert text.count("is gone; it is tried") == text.count("is back") == 1
    assert len([line for line in text.splitlines() if line.startswith("WARNING")]) <= 6
