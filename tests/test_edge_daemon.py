"""The process: one line for whoever has to act, signals that end it cleanly, one gateway to a directory."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from bleak.backends.scanner import BaseBleakScanner
from bleak.exc import BleakError
from edge_parts import MINIMAL

from edge import daemon, status
from edge.config import Config
from edge.errors import ConfigError, StoreCorrupt, StoreUnavailable
from edge.lock import lock
from edge.radio import Radio


def config_file(directory: Path, text: str = MINIMAL) -> Path:
    path = directory / "gateway.toml"
    path.write_text(text)
    (directory / "upstream").mkdir(exist_ok=True)
    return path


def deaf_radio(error: Exception) -> Radio:
    """As on a machine without Bluetooth."""

    class Scanner(BaseBleakScanner):
        def __init__(self, callback: Any, service_uuids: Any, scanning_mode: str, **_: Any) -> None:
            super().__init__(callback, service_uuids)

        async def start(self) -> None:
            raise error

        async def stop(self) -> None: ...

    return Radio(Scanner)


def kill_when_all_is_told(state_dir: Path, number: int, seen: list[status.Document]) -> "asyncio.Task[None]":
    async def watch() -> None:
        document = None
        while document is None or not all(sensor["last_error"] for sensor in document["sensors"]):
            await asyncio.sleep(0)
            document = await status.ask(state_dir)
        seen.append(document)
        os.kill(os.getpid(), number)

    return asyncio.get_running_loop().create_task(watch())


NO_BUS = FileNotFoundError(2, "No such file or directory")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("error", [NO_BUS, BleakError("No Bluetooth adapters found.")])
def test_without_bluetooth_it_runs_on_with_a_line_a_sensor_and_a_signal_ends_it(
    tmp_path: Path,
    number: int,
    error: Exception,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[status.Document] = []
    watching: list[object] = []

    async def open_radio(checked: Config) -> Radio:
        watching.append(kill_when_all_is_told(checked.gateway.state_dir, number, seen))
        return deaf_radio(error)

    with caplog.at_level(logging.WARNING):
        assert daemon.main(config_file(tmp_path), open_radio, simulated=True) == daemon.EXIT_OK
    [document] = seen
    assert (document["running"], document["simulated"]) == (True, True)
    assert [sensor["id"] for sensor in document["sensors"]] == ["strap", "cgm"]
    reason = (
        str(error)
        if isinstance(error, BleakError)
        else "the system's Bluetooth service cannot be reached ([Errno 2] No such file or directory)"
    )
    assert [record.message for record in caplog.records] == [f"strap: {reason}", f"cgm: {reason}"]
    assert capsys.readouterr().err == ""
    os.close(lock(tmp_path / "state"))  # it let go


def never(_: Config) -> Any:
    raise AssertionError("no radio is opened before everything else is right")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[gateway", "not valid TOML"),
        (MINIMAL.replace("A4:C1:38:00:00:01", "A4"), "sensors[0].address"),
        (MINIMAL.replace('kind = "cgm"', 'kind = "toaster"'), "sensors[1].kind"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(
    tmp_path: Path, text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert daemon.main(config_file(tmp_path, text), never) == daemon.EXIT_CONFIG
    error = capsys.readouterr().err
    assert error.startswith("vitalgate: ")
    assert line in error
    assert error.count("\n") == 1


def test_no_configuration_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert daemon.main(tmp_path / "absent.toml", never) == daemon.EXIT_CONFIG
    assert capsys.readouterr().err.count("\n") == 1


def test_a_second_gateway_on_the_same_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def open_radio(_: Config) -> Radio:
        return deaf_radio(NO_BUS)

    held = lock(tmp_path / "state")
    assert daemon.main(config_file(tmp_path), open_radio, simulated=True) == daemon.EXIT_CONFIG
    error = capsys.readouterr().err
    assert "a gateway is running on" in error
    assert error.count("\n") == 1
    os.close(held)


@pytest.mark.parametrize(
    ("errors", "code", "line"),
    [
        (ConfigError("--world", "nobody answers", "start one"), 2, "--world: nobody answers; start one"),
        (StoreUnavailable("disk full"), 1, "disk full"),
        (StoreCorrupt("page 7"), 1, "page 7"),
        (ExceptionGroup("a", [ExceptionGroup("b", [StoreUnavailable("disk full")])]), 1, "disk full"),
    ],
)
def test_a_failure_is_named_in_one_line_however_deep_it_lies(
    tmp_path: Path, errors: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def open_radio(_: Config) -> Radio:
        raise errors

    assert daemon.main(config_file(tmp_path), open_radio) == code
    assert capsys.readouterr().err == f"vitalgate: {line}\n"


def test_our_own_defect_is_not_hidden_behind_a_line(tmp_path: Path) -> None:
    async def open_radio(_: Config) -> Radio:
        raise ExceptionGroup("tasks", [ZeroDivisionError(), StoreUnavailable("disk full")])

    with pytest.raises(ExceptionGroup) as raised:
        daemon.main(config_file(tmp_path), open_radio)
    assert [type(error) for error in daemon.leaves(raised.value)] == [ZeroDivisionError]
