"""`vitalgate alert`: of a running gateway by its socket, of a stopped one from its store, in words and in JSON."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from board_parts import Ear
from edge_parts import MINIMAL, DeafScanner, StillClock
from typer.testing import CliRunner

from edge import config
from edge.alerts.delivery import Channel
from edge.app import Gateway
from edge.radio.adapter import Radio
from edge.workers import inline
from tools.cli import app


class Home:
    """A gateway that runs, with a low that stands; commands are typed meanwhile."""

    def __init__(self, directory: Path, ear: Ear) -> None:
        self.file = directory / "gateway.toml"
        self.file.write_text(MINIMAL)
        self.ear = ear
        self.clock = StillClock()

    @asynccontextmanager
    async def running(self, *channels: Channel) -> AsyncIterator[Gateway]:
        checked = config.load(self.file)
        gateway = Gateway(
            checked,
            self.clock,
            Radio(DeafScanner),
            random.Random(1),
            simulated=True,
            workers=inline(),
            channels=(self.ear, *channels),
        )
        task = asyncio.ensure_future(gateway.run())
        await asyncio.sleep(0.05)
        gateway.facts.note_heard("cgm", self.clock.boot_ns())
        gateway.facts.note("cgm", "glucose", 65.0, self.clock.boot_ns())
        try:
            yield gateway
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            gateway.close()

    async def typed(self, *words: str, code: int = 0) -> str:
        """What a command says; it must end so."""
        result = await asyncio.to_thread(
            CliRunner().invoke, app, ["alert", *words, "--config", str(self.file)]
        )
        assert result.exit_code == code, result.output
        return result.output if code == 0 or not result.stderr else result.stderr


def play(directory: Path, scenario: Callable[[Home], Awaitable[None]], ear: Ear | None = None) -> None:
    asyncio.run(asyncio.wait_for(scenario(Home(directory, ear or Ear())), 60.0))  # type: ignore[arg-type]


def test_list_says_what_stands_running_or_not(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running():
            assert "alert glucose_low on cgm (now 65 mg/dL, since 0 s)" in await home.typed("list")
            said = json.loads(await home.typed("list", "--json"))
            assert [one["kind"] for one in said["alerts"]] == ["glucose_low"]
        stopped = json.loads(await home.typed("list", "--json"))
        assert list(stopped) == list(said)
        assert [one["kind"] for one in stopped["alerts"]] == ["glucose_low"]

    play(tmp_path, scenario)


def test_snooze_and_ack_do_what_they_say(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running() as gateway:
            said = await home.typed("snooze", "glucose_low", "--for", "2h", "--unless", "3.3 mmol/L")
            assert (
                "glucose_low of all sensors is snoozed for another 2 h, unless it falls below 59 mg/dL"
                in said
            )
            (snooze,) = gateway.alerts.snoozes()
            assert (snooze.left_s, snooze.unless) == (7200.0, 59.0)
            said = await home.typed("snooze", "glucose_low", "--for", "30min", "--sensor", "cgm", "--json")
            assert {one["sensor"] for one in json.loads(said)["snoozes"]} == {None, "cgm"}
            await home.typed("snooze", "glucose_low", "--off")
            await home.typed("snooze", "glucose_low", "--off", "--sensor", "cgm")
            assert gateway.alerts.snoozes() == []
            assert "acknowledged" in await home.typed("ack", "glucose_low", "cgm")
            assert "no such alert waits to be acknowledged; `vitalgate alert list`" in await home.typed(
                "ack", "glucose_low", "cgm", code=1
            )

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("ack", "low", "cgm"), "ALERT: there is no alert 'low'; use one of: glucose_urgent_low, "),
        (("ack", "glucose_low", "x"), "SENSOR: there is no sensor 'x'; use one of: gateway, strap, cgm"),
        (
            ("snooze", "glucose_low", "--for", "2"),
            "--for: '2' is not a length of time up to 24h; write it like",
        ),
        (("snooze", "glucose_low", "--for", "25h"), "--for: '25h' is not a length of time up to 24h; "),
        (
            ("snooze", "glucose_low", "--for", "1h", "--unless", "3.9"),
            "--unless: it is not in the right form; write",
        ),
        (("snooze", "heart_rate_low", "--for", "1h", "--unless", "x"), "--unless: could not convert string"),
        *(
            (
                ("snooze", "heart_rate_low", "--for", "1h", "--unless", odd),
                f"--unless: '{odd}' is no number; give",
            )
            for odd in ("nan", "inf")
        ),
        (("snooze", "glucose_low"), "alert snooze needs --for LENGTH, or --off"),
        (("snooze", "glucose_low", "--for", "1h", "--off"), "alert snooze needs --for LENGTH, or --off"),
    ],
)
def test_what_is_wrong_with_a_call_is_one_line(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    async def scenario(home: Home) -> None:
        (said,) = (await home.typed(*words, code=2)).splitlines()
        assert said.startswith(f"vitalgate: {line}")

    play(tmp_path, scenario)


def test_urgent_ones_are_refused(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running():
            said = await home.typed("snooze", "glucose_urgent_low", "--for", "1h", code=1)
            assert "this alert is urgent and cannot be snoozed; acknowledge it" in said

    play(tmp_path, scenario)


def test_what_would_do_nothing_is_refused_with_what_helps(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running():
            said = await home.typed("snooze", "glucose_low", "--for", "1h", "--unless", "80 mg/dL", code=1)
            assert "is not beyond the limit of the alert; give a worse one, or none" in said
            said = await home.typed("snooze", "glucose_low", "--for", "1h", "--sensor", "strap", code=1)
            assert "this sensor has no such alert; use one that has it" in said
            said = await home.typed("ack", "glucose_low", "strap", code=1)
            assert "this sensor has no such alert; use one that has it" in said

    play(tmp_path, scenario)


def test_where_no_gateway_runs_that_is_said(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        for words in (("test",), ("ack", "glucose_low", "cgm"), ("snooze", "glucose_low", "--for", "1h")):
            assert "no gateway runs on" in await home.typed(*words, code=1)

    play(tmp_path, scenario)


def test_test_tells_on_every_channel_and_says_what_came_of_it(tmp_path: Path) -> None:
    async def scenario(home: Home) -> None:
        async with home.running():
            assert await home.typed("test") == "journal: told\near: told\n"
            assert home.ear.said[-1] == ("test", "raised")
            home.ear.trouble = "it is mute"
            said = await asyncio.to_thread(
                CliRunner().invoke, app, ["alert", "test", "--json", "--config", str(home.file)]
            )
            assert said.exit_code == 1
            assert json.loads(said.stdout)["channels"][1] == {"channel": "ear", "trouble": "it is mute"}

    play(tmp_path, scenario)
