"""`vitalgate sensor pair`: a person at a terminal, a running gateway, and a simulated sensor, in real time."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from click.testing import Result
from edge_parts import MINIMAL, StillClock
from radio_parts import radio
from typer.testing import CliRunner

from edge import config
from edge.app import Gateway
from edge.radio.trouble import Trouble
from edge.workers import inline
from hw_sim.radio.air import Air
from hw_sim.radio.central import open_central
from hw_sim.sensors.cgm_sensor import CgmSensor
from tools import pairing
from tools.cli import app

ADDRESS = "A4:C1:38:00:00:02"


class Home:
    """A gateway that runs, with a sensor on whose label a passkey stands; commands are typed meanwhile."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "gateway.toml"
        self.file.write_text(MINIMAL.replace("accept_just_works = true", ""))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[CgmSensor]:
        air = Air()
        begin_s = asyncio.get_running_loop().time()
        sensor = CgmSensor(
            air, ADDRESS, iter([(0.0, 100.0)]), begin_s=begin_s, session_age_s=0.0, passkey=12_345
        )
        await sensor.start()
        central = await open_central(air, bonds=None)
        clock, rng = StillClock(), random.Random(1)
        checked = config.load(self.file)
        gateway = Gateway(checked, clock, radio(central), rng, simulated=True, workers=inline())
        task = asyncio.ensure_future(gateway.run())
        try:
            while gateway.contacts["cgm"].state.trouble is None:
                await asyncio.sleep(0.05)
            yield sensor
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            gateway.close()
            await central.close()
            await sensor.stop()

    async def typed(self, *words: str, code: int = 0) -> Result:
        """What a command says; it must end so."""
        arguments = ["sensor", "pair", *words, "--config", str(self.file)]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert result.exit_code == code, result.output
        return result


def play(directory: Path, scenario: Callable[[Home], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(Home(directory)), 60.0))  # type: ignore[arg-type]


def test_the_passkey_of_the_label_pairs(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running():
            result = await home.typed("cgm", "--passkey", "012345")
            assert result.stdout == "cgm is paired with its passkey\n"
            assert "cgm: pairing\n" in result.stderr
            again = await home.typed("cgm", "--passkey", "012345", "--json")
            assert json.loads(again.stdout) == {"paired": "cgm", "made": "by passkey"}
            assert again.stderr == ""

    play(tmp_path, scenario)


def test_a_person_is_asked_when_the_sensor_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "ask_person", lambda: "012345")

    async def scenario(home: Home) -> None:
        async with home.running():
            result = await home.typed("cgm")
            assert "cgm: the sensor asks for its passkey" in result.stderr
            assert "is paired with its passkey" in result.stdout

    play(tmp_path, scenario)


def test_where_nobody_can_be_asked_that_is_said(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running():
            result = await home.typed("cgm", code=1)
            assert "the sensor asks for its passkey; give it by --passkey" in result.stderr

    play(tmp_path, scenario)


def test_a_wrong_passkey_is_a_failure_with_words(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running():
            result = await home.typed("cgm", "--passkey", "999999", code=1)
            assert f"cgm is not paired: {Trouble.PASSKEY_WRONG.cause}" in result.stderr

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("cgm", "--passkey", "12345"), 2, "--passkey: not a passkey; give the six digits on the sensor"),
        (("cgm", "--passkey", "１23456"), 2, "--passkey: not a passkey"),
        (("nobody",), 2, "SENSOR: there is no sensor 'nobody'; use one of: strap, cgm"),
        (("cgm", "--passkey", "012345"), 1, "no gateway runs on"),
    ],
)
def test_what_is_to_be_mended_is_one_line(
    tmp_path: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "state").mkdir()

    async def scenario(home: Home) -> None:
        (line,) = (await home.typed(*words, code=code)).stderr.splitlines()
        assert said in line

    play(tmp_path, scenario)


def test_a_sensor_that_is_not_paired_is_refused(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running():
            result = await home.typed("strap", code=1)
            said = "there is nothing to pair: strap (Heart-rate sensor) gives its data to whoever connects"
            assert f"{said}; pair one of: cgm" in result.stderr

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("typed", "read"), [("012345\n", "012345"), ("12\n012345\n", "012345"), ("", None), ("12\n", None)]
)
def test_a_person_is_asked_until_six_digits_come(
    monkeypatch: pytest.MonkeyPatch, typed: str, read: str | None
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert pairing.ask_person() == read
