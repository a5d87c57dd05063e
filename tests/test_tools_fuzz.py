"""Command lines and configurations as nobody would write them: each is done, or refused in words; never a traceback.

What a command would do for hours, or for ever, is left out: the gateway, the simulated home and its sensors. All that
comes before is the real thing. The default suite tries a few hundred; a hundred thousand, in half an hour:

    .venv/bin/python -P -m pytest -q -m soak tests/test_tools_fuzz.py
"""

import os
import random
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing
from cardiac_records import RECORDINGS
from edge_parts import MINIMAL
from typer.testing import CliRunner

from edge import __main__ as edge_main
from edge import config as config_module
from edge import daemon
from edge.config import load
from tools.cli import app
from tools.rig.demo import day, view
from tools.rig.home import recordings, simulated_gateway, simulation

SHORT, LONG = 400, int(os.environ.get("FUZZED", "100000"))
EXAMPLE = Path(config_module.__file__).with_name("example.toml").read_text()
COMMANDS = [
    ("run",), ("simulate",), ("demo",), ("status",), ("decode",), ("analyse",),
    ("analyse", "glucose"), ("analyse", "rr"), ("analyse", "ecg"), (), ("nonsense",), ("-",),
    ("alert", "list"), ("alert", "test"), ("alert", "snooze"), ("alert", "ack"),
    ("alert", "replay"),
    ("capture", "show"), ("capture", "convert"),
]  # fmt: skip
WORDS = [
    "", " ", "-", "--", "---", "-x", "=", "0", "1", "-1", "0.1", "5", "24", "1e9", "1e400", "-0", "inf", "-inf", "nan",
    "NaN", "٣", "10" * 200, "9" * 5000, "true", "é", "\udcff", "\u202e", "\x1b[31m", "%s", "{}", "[red]", "[/]", "a\nb",
    "None", "auto", "none", "fletcher", "2A37", "2AA7", "0x2a37", "PMD-DATA", "SFLOAT", "1e5532002100", "zz", "00",
    "0" * 3000, "Europe/Berlin", "Mars/Base", "../..", "~", "~nobody-of-that-name",
    "127.0.0.1:1", "127.0.0.1:99999", "[::1]:80", ":", "a:b:c",
    "22:30", "25:61", "5min", "0s", "1h", "-1h", "9" * 30 + "h", "rr_ms", "ecg", "https://example.org/x", "C:\\x",
]  # fmt: skip
VALUES = [
    "", "1", "-1", "0", "1.5", "1e999", "nan", "-inf", "true", "'x'", '"x"', '"~"', '"~x/y"', '""', "[]", "{}", "[[]]",
    "{a=1}", "2030-12-31", "12:00:00", "2030-12-31T00:00:00Z", "0x1F",
    "012345", '"012345"', '"\\u0000"', '"a\\nb"', "'''", '"', "é",
    "9" * 30, "9" * 5000, '"' + "x" * 500 + '"', '"https://example.org"', "[1,", "nope",
    '"[red]"', '"A4:C1:38:00:00:01"', "3.9",
    '"3.9 mmol/L"', '"2 mg/dL/min"', '"22:00-07:00"', '"25:00-07:00"', '["pause"]',
]  # fmt: skip
KEYS = [
    "passkey",
    "glucose_low",
    "glucose_low_mg_d",
    "quiet_hours",
    "off",
    "x y",
    "'q'",
    "a.b",
    "state_dir",
    "id",
    "[gateway",
    "[[people]]",
]


# What would do, by option; of other options it would do to give no value.
LIKELY = {
    "--config": ["config.toml"], "--world": ["127.0.0.1:1", "[::1]:6402"], "--listen": ["127.0.0.1:0"],
    "--seed": ["0", "7", "-3"], "--hours": ["0.1", "24"], "--speed": ["0", "60"], "--drops-per-hour": ["0", "4"],
    "--history-hours": ["0", "24.5"], "--glucose-pace": ["1", "5"], "--out": ["out", "out/deeper", "a directory"],
    "--heart": ["rr.csv", "torn.csv.gz"], "--glucose": ["glucose.csv", "torn.csv.gz"], "--crc": ["none", "mcrf4xx"],
    "--per-reading": ["readings.csv", "glucose.csv"], "--per-beat": ["beats.csv"], "--plot": ["plot.svg", "plot.gif"],
    "--timezone": ["Europe/Berlin", "Mars/Base"], "--column": ["rr_ms", "ecg", "time"], "--window": ["5min", "10s"],
    "--rate": ["130", "59"], "--start": ["22:30", "24:00"],
    "--for": ["2h", "25h", "30min"], "--sensor": ["cgm", "gateway", "x"], "--unless": ["60 mg/dL", "3.3 mmol/L", "35"],
    "--rules": ["rules.toml", "config.toml"], "--days": ["1", "90", "0"],
}  # fmt: skip
ARGUMENTS = {
    ("decode",): [
        ["2A37", "1e5532002100"],
        ["2AA7", "0ec38d00e803000010e00a00"],
        ["2A19", "64"],
        ["2B99", "00"],
    ],
    ("analyse", "glucose"): [["glucose.csv"], ["rr.csv"], ["missing.csv"], ["torn.csv.gz"]],
    ("analyse", "rr"): [["rr.csv"], ["rr.csv"], ["glucose.csv"], ["a directory"]],
    ("alert", "snooze"): [["glucose_low", "--for", "1h"], ["glucose_low", "--off"], ["pause"], ["not_worn"]],
    ("alert", "ack"): [
        ["glucose_low", "cgm"],
        ["glucose_urgent_low", "cgm"],
        ["disk_full", "gateway"],
        ["x", "y"],
    ],
    ("analyse", "ecg"): [["ecg.csv", "--rate", "130"], ["ecg.csv"], ["ecg.hea"]],
}


class Generator:
    """Everything random comes from one seed; files lie in one directory, which is the working directory."""

    def __init__(self, seed: int, directory: Path) -> None:
        self._rng = random.Random(seed)
        self._directory = directory
        self._options = {command: list(options_of(command)) for command in COMMANDS}
        self._all_options = sorted({option for options in self._options.values() for option in options})
        self._files = [str(path) for path in directory.iterdir()]
        self._files += [
            "config.toml",
            "config.toml",
            "missing.toml",
            "/dev/null",
            "/dev/zero",
            "/",
            "out.csv",
            "out.svg",
        ]

    def call(self) -> list[str]:
        rng = self._rng
        self.write_config(self._directory / "config.toml")
        command = rng.choice(COMMANDS)
        words = list(command)
        if rng.random() < 0.8:
            words += rng.choice(ARGUMENTS.get(command, [[]]))
            words += ["--config", "config.toml"] if "--config" in self._options[command] else []
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            words += self._likely(command) if rng.random() < 0.7 else self._unlikely()
        if rng.random() < 0.1:
            rng.shuffle(words)
        return words

    def _likely(self, command: tuple[str, ...]) -> list[str]:
        option = self._rng.choice(self._options[command] or ["--json"])
        return [option, self._rng.choice(LIKELY[option])] if option in LIKELY else [option]

    def _unlikely(self) -> list[str]:
        rng = self._rng
        option = rng.choice(self._all_options if rng.random() < 0.8 else WORDS)
        value = rng.choice(self._files if rng.random() < 0.4 else WORDS)
        return rng.choice([[option, value], [f"{option}={value}"], [option], [value]])

    def stdin(self) -> bytes:
        rng = self._rng
        lines = [
            rng.randbytes(rng.randrange(40)),
            b'{"characteristic": "2A37", "hex": "0048"}',
            b"[1]",
            b"{}",
            b"[" * 9000,
        ]
        lines += [b'{"characteristic": "%s", "hex": "%s"}' % (b"2A37", rng.randbytes(3).hex().encode()), b""]
        return b"\n".join(rng.choices(lines, k=rng.randrange(4)))

    def write_config(self, path: Path) -> None:
        """A valid configuration with a few things done to it."""
        rng = self._rng
        text = rng.choice([MINIMAL, MINIMAL, EXAMPLE])
        for _ in range(rng.choice([0, 1, 1, 1, 2, 4])):
            text = rng.choice([self._with_other_value, self._with_key, self._without_line, self._spoilt])(
                text
            )
        content = text.encode("utf-8", "surrogateescape")
        if rng.random() < 0.1:
            encodings: list[Callable[[bytes], bytes]] = [
                lambda c: b"\xef\xbb\xbf" + c,
                lambda c: c.decode("utf-8", "replace").encode("utf-16"),
                lambda c: c.replace(b"\n", b"\r\n"),
                lambda c: c[: rng.randrange(len(c) + 1)] + rng.randbytes(3) + c[rng.randrange(len(c) + 1) :],
                lambda c: b"",
            ]
            content = rng.choice(encodings)(content)
        path.write_bytes(content)

    def _with_other_value(self, text: str) -> str:
        lines = text.split("\n")
        at = self._rng.choice([n for n, line in enumerate(lines) if "=" in line] or [0])
        lines[at] = f"{lines[at].split('=')[0].lstrip('# ')}= {self._rng.choice(VALUES)}"
        return "\n".join(lines)

    def _with_key(self, text: str) -> str:
        lines = text.split("\n")
        lines.insert(
            self._rng.randrange(len(lines) + 1), f"{self._rng.choice(KEYS)} = {self._rng.choice(VALUES)}"
        )
        return "\n".join(lines)

    def _without_line(self, text: str) -> str:
        lines = text.split("\n")
        del lines[self._rng.randrange(len(lines))]
        return "\n".join(lines)

    def _spoilt(self, text: str) -> str:
        at = self._rng.randrange(len(text) + 1)
        return text[:at] + self._rng.choice(VALUES) + text[at + self._rng.randrange(4) :]


def options_of(words: tuple[str, ...]) -> Iterator[str]:
    """Every option of a command but the one that writes into the user's shell."""
    command: Any = typer.main.get_command(app)
    for word in words:
        command = getattr(command, "commands", {}).get(word)
    for parameter in getattr(command, "params", []):
        yield from (
            option for option in parameter.opts if option.startswith("-") and "completion" not in option
        )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with some files, and commands that end before they would do for hours what they do."""

    async def nothing(*_: object, **__: object) -> None:
        """Nothing."""

    async def serve_world(config_file: Path, *_: object, **__: object) -> None:
        load(config_file)

    def prepared(options: day.Options, *, quiet: bool) -> None:
        if options.out is not None:
            day.prepare(options)
        raise SystemExit(0)

    # Building the commands anew, and reading the recordings that come along, would take most of the time.
    commands = typer.main.get_command(app)
    monkeypatch.setattr(typer.testing, "_get_command", lambda _: commands)
    monkeypatch.setattr(recordings, "RECORDINGS", tmp_path / "none")
    monkeypatch.setattr(daemon, "serve", nothing)
    monkeypatch.setattr(os, "execv", become)
    monkeypatch.setattr(simulation, "serve_world", serve_world)
    monkeypatch.setattr(view, "watched", prepared)
    monkeypatch.setattr(daemon, "log_to_stderr", lambda: None)
    monkeypatch.delenv("VITALGATE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rr.csv").write_text("rr_ms\n" + "800\n810\n" * 200)
    (tmp_path / "glucose.csv").write_text(
        "time,glucose_mg_dl\n"
        + "".join(f"2026-01-01 {n // 12:02}:{n % 12 * 5:02},{100 + n % 50}\n" for n in range(100))
    )
    (tmp_path / "ecg.csv").write_text("ecg\n" + "0\n1\n0\n-1\n" * 500)
    (tmp_path / "torn.csv.gz").write_bytes((RECORDINGS / "azt1d_09_glucose.csv.gz").read_bytes()[:500])
    (tmp_path / "rules.toml").write_text('[alerts]\nglucose_low = "80 mg/dL"\n')
    (tmp_path / "a directory").mkdir()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path
    for number, handler in before.items():  # the daemon leaves its own
        signal.signal(number, handler)


def become(_: str, command: list[str]) -> None:
    """What `run` becomes, in this process."""
    _, _, _, module, *arguments = command
    programs = {"edge": edge_main.main, "tools.rig.home.simulated_gateway": simulated_gateway.main}
    sys.exit(programs[module](arguments))


def try_calls(place: Path, seed: int, count: int) -> None:
    generator = Generator(seed, place)
    codes: Counter[int] = Counter()
    for number in range(count):
        words, stdin = generator.call(), generator.stdin()
        done = CliRunner().invoke(app, words, input=stdin)
        config = (place / "config.toml").read_bytes()
        told = f"call {number} of seed {seed}: {words}\n{config[-2000:]!r}\n{done.output[-2000:]}"
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise AssertionError(told + "".join(traceback.format_exception(done.exception)))
        assert done.exit_code in (0, 1, 2), told
        assert "Traceback" not in done.output, told
        ours = [line for line in done.stderr.splitlines() if line.startswith("vitalgate: ")]
        assert done.exit_code == 0 or done.output, told
        if done.exit_code and ours:
            assert len(done.stderr.splitlines()) == 1 or ours[0].endswith("already"), told
        codes[done.exit_code] += 1
    assert min(codes[0], codes[1], codes[2]) > count / 50, codes


def test_no_call_and_no_configuration_makes_a_traceback(place: Path) -> None:
    try_calls(place, 1, SHORT)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_not_one_of_very_many_calls_makes_a_traceback(place: Path, seed: int) -> None:
    try_calls(place, seed, LONG // 10)
