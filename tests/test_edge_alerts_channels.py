"""The channels of this machine: the journal betrays nothing, a listener has been told when it has read, and a command
proves it by its exit status.
"""

import asyncio
import io
import json
import logging
import math
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import msgspec
import pytest
from store_parts import alert_event

from edge.alerts.channels import SAYS, TECHNICAL, Command, Journal, Listener, Socket, run_program
from edge.alerts.message import TEST, Message, message
from edge.alerts.rules import RULES
from edge.alerts.state import Tier, What
from edge.errors import Undelivered
from hw_sim import clock

GUIDE = Path(__file__).parents[1] / "edge" / "README.md"


def letter(
    rule: str = "glucose_urgent_low", what: str = "raised", *, ordinal: int = 1, value: float = 42.0
) -> Message:
    sensor = None if RULES.get(rule) and RULES[rule].about == "gateway" else "cgm"
    return message(alert_event(rule, what, ordinal=ordinal, value=value), sensor, "anna", 7.0)


# What is told


@pytest.mark.parametrize(
    ("value", "said"), [(42.0, (42.0, None)), (math.inf, (None, "above")), (-math.inf, (None, "below"))]
)
def test_a_message_is_a_document_that_json_can_say(
    value: float, said: tuple[float | None, str | None]
) -> None:
    one = letter(value=value)
    assert (one.value, one.beyond) == said
    assert (one.sensor, one.person, one.tier, one.utc_s) == ("cgm", "anna", "reminder", 7.0)


# The journal


@pytest.mark.parametrize("what", What)
@pytest.mark.parametrize("rule", [*RULES, TEST])
def test_no_line_says_what_anybodys_health_is_like(
    rule: str, what: What, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asyncio.run(Journal().deliver(letter(rule, what.value)))
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith(("cgm: ", "gateway: "))
    assert SAYS[what] in line
    about_health = rule not in TECHNICAL
    assert (rule in line) == (not about_health)
    assert "42" not in line
    assert "anna" not in line
    for word in ("glucose", "heart_rate_low", "low", "high", "rhythm", "pause"):
        assert not about_health or word not in line


def test_only_what_is_no_measured_value_is_called_by_its_name() -> None:
    """A rule that somebody adds is health data until somebody says that it is not."""
    assert {name for name, rule in RULES.items() if name not in TECHNICAL} >= {
        name
        for name, rule in RULES.items()
        if rule.side is not None and rule.unit in ("mg/dL", "/min", "mg/dL/min")
    }
    assert {*RULES, TEST} >= TECHNICAL


# Who listens


async def read(listener: Listener, seconds: float = 1.0) -> list[int]:
    return [one.ordinal async for one in listener.until(seconds)]


def test_a_listener_is_told_at_once_and_that_is_the_proof() -> None:
    async def main() -> None:
        socket = Socket()
        with socket.listen() as listener:
            telling = asyncio.ensure_future(socket.deliver(letter()))
            await asyncio.sleep(0)
            assert not telling.done()
            began_s = asyncio.get_running_loop().time()
            assert await read(listener, 100.0) == [1]
            assert asyncio.get_running_loop().time() == began_s
            await telling

    clock.run(main())


def test_what_nobody_has_read_waits_for_the_next_who_listens() -> None:
    async def main() -> None:
        socket = Socket()
        telling = asyncio.ensure_future(socket.deliver(letter()))
        await asyncio.sleep(100)
        with socket.listen() as gone:
            async for _ in gone.until(1.0):
                break  # it went away before it could be written
        await asyncio.sleep(1)
        assert not telling.done()
        with socket.listen() as listener:
            assert await read(listener) == [1]
            await telling
            assert await read(listener) == []

    clock.run(main())


def test_all_who_listen_are_told_and_one_that_reads_nothing_delays_nobody() -> None:
    async def main() -> None:
        socket = Socket()
        with socket.listen(), socket.listen() as one, socket.listen() as other:
            for n in (1, 2, 3):
                telling = asyncio.ensure_future(socket.deliver(letter(ordinal=n)))
                await asyncio.sleep(0)
                assert await read(one) == [n]
                await telling
            assert await read(other) == [1, 2, 3]

    clock.run(main())


# A command

KEEP = "import json, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"


def test_a_command_gets_the_message_on_its_standard_input(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    channel = Command((sys.executable, "-c", KEEP, str(kept)), 20.0)
    asyncio.run(channel.deliver(letter()))
    said = json.loads(kept.read_text())
    assert (said["rule"], said["sensor"], said["value"], said["urgent"]) == (
        "glucose_urgent_low",
        "cgm",
        42.0,
        False,
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import time; time.sleep(60)", "has not ended after 0.5 s"),
    ],
)
def test_only_its_exit_status_proves_that_it_was_told(code: str, reason: str) -> None:
    channel = Command((sys.executable, "-c", code), 0.5 if "sleep" in code else 20.0)
    with pytest.raises(Undelivered, match=reason):
        asyncio.run(channel.deliver(letter()))


def test_a_command_that_is_not_there_is_said_so() -> None:
    with pytest.raises(Undelivered, match="/nowhere/alarm cannot be run: No such file or directory"):
        asyncio.run(Command(("/nowhere/alarm",), 1.0).deliver(letter()))


def test_no_shell_reads_its_arguments(tmp_path: Path) -> None:
    code = "import sys; raise SystemExit(sys.argv[1:] != ['$HOME; touch x', '*'])"
    asyncio.run(Command((sys.executable, "-c", code, "$HOME; touch x", "*"), 20.0).deliver(letter()))
    assert not (tmp_path / "x").exists()


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    """A sound that plays for ever would be heard for ever."""
    code = f"import pathlib, subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(p.pid)); time.sleep(60)"  # noqa: E501

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await run_program((sys.executable, "-c", code), b"", 2.0)
        child = Path("/proc") / (tmp_path / "pid").read_text() / "stat"
        for _ in range(200):
            if not child.exists() or child.read_text().split()[2] == "Z":
                return
            await asyncio.sleep(0.02)
        raise AssertionError("it still runs")

    asyncio.run(main())


def test_the_guide_says_what_a_command_gets() -> None:
    about = GUIDE.read_text().partition("## How alerts are told")[2].partition("\n## ")[0]
    example = about[about.index("{") : about.index("}") + 1]
    keys = list(Message.__struct_fields__)
    assert list(msgspec.json.decode(example)) == keys
    assert msgspec.json.decode(example, type=Message).rule in RULES
    told = [
        name
        for row in re.findall(r"^\| (`.*?) \| ", about, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    assert set(keys) <= set(told)
    words = set(re.findall(r"`(\w+)`", about))
    assert words >= {what.value for what in What} | {tier.name.lower() for tier in Tier}


@pytest.mark.parametrize(
    ("changes", "sound"),
    [
        ({}, None),
        ({"rule": "test"}, "alert"),
        ({"tier": "home"}, "alert"),
        ({"tier": "remote", "what": "escalated", "urgent": True}, "urgent"),
        ({"tier": "home", "what": "over"}, None),
    ],
)
def test_the_command_of_the_guide_plays_a_sound_when_it_must(
    changes: dict[str, object], sound: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = GUIDE.read_text().partition("#!/usr/bin/python3\n")[2].partition("\nIt must be executable")[0]
    event = {"rule": "glucose_low", "what": "raised", "tier": "reminder", "urgent": False} | changes
    played: list[list[str]] = []
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(event)))
    monkeypatch.setattr(subprocess, "run", lambda argv, check: played.append(argv))
    exec(textwrap.dedent(about))
    assert played == ([["/usr/bin/aplay", f"/etc/vitalgate/{sound}.wav"]] if sound else [])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "glucose low, cgm (anna): 66 mg/dL"),
        ({"what": "over", "value": 76.4}, "over: glucose low, cgm (anna): 76 mg/dL"),
        (
            {"rule": "glucose_urgent_low", "urgent": True, "value": -math.inf},
            "Urgent: glucose urgent low, cgm (anna): below the scale",
        ),
        ({"rule": "pause", "value": 3.25, "unit": "s"}, "pause, cgm (anna): 3.2 s"),
        ({"what": "retracted", "value": None, "reason": "gone"}, "void: glucose low, cgm (anna): gone"),
    ],
)
def test_a_message_says_all_in_one_line(change: dict[str, Any], says: str) -> None:
    event = alert_event("glucose_low", value=66.0)._replace(**({"unit": "mg/dL"} | change))
    assert message(event, "cgm", "anna", None).text == says
