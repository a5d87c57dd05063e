"""The watchman rings when the gateway is silent and not otherwise, whatever lies in its files and what its routes do.

The gateway is played here, in time that is given, and writes its heartbeat as a real one would. The laws are checked
against what was played.
"""

import ast
import asyncio
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.local.heartbeat import Heartbeat, Phase
from hw_sim.clock import run as run_virtually
from tools import watch_alerts
from tools.watch_alerts import Moment

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "tools" / "watch_alerts.py"
LOOK_S = 20
BOTH = ("command", "remote")
WITHIN_S = 66  # 45 s without a heartbeat, one look later, and the second by which systemd may be late


class Told(NamedTuple):
    """Something that a route was given."""

    at_s: float
    route: str
    what: str
    text: str


class Home:
    """A gateway and its watchman, in seconds of a clock that a test moves."""

    def __init__(self, directory: Path) -> None:
        self.heartbeat, self.memory = directory / "heartbeat", directory / "memory.json"
        self.now_s = self.up_s = 10_000.0
        self.boot = "this-boot"
        self.phase: str | None = None  # None: no heartbeat is written
        self.since_s = self.now_s
        self.told: list[Told] = []
        self.tried: list[Told] = []
        self.failing: set[str] = set()
        self.codes: list[int] = []

    def enter(self, phase: str | None) -> None:
        """What the gateway does from now on; None: it has died, or hangs."""
        self.phase, self.since_s = phase, self.now_s
        self.beat()

    def beat(self) -> None:
        if self.phase is not None:
            fields = {
                "boot": self.boot,
                "phase": self.phase,
                "since_s": self.since_s,
                "at_s": self.now_s,
            }
            self.heartbeat.write_text(json.dumps(fields).ljust(160))

    def ring(self, route: str, event: Mapping[str, Any]) -> str | None:
        assert set(event) == {"rule", "sensor", "what", "urgent", "gateway", "text"}
        told = Told(self.now_s, route, event["what"], event["text"])
        self.tried.append(told)
        if route in self.failing:
            return "fails"
        self.told.append(told)
        return None

    def look(self, routes: tuple[str, ...] = BOTH) -> None:
        now = Moment(self.now_s, self.boot, self.up_s)
        self.codes.append(watch_alerts.look(self.heartbeat, self.memory, now, "attic", routes, self.ring))

    def passes(self, seconds: float, *, beat_s: float = 15.0) -> None:
        """Time goes by, a second at a time, with a beat and a look every 15 s, not at the same moment."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            next_s = min(
                end_s,
                self.now_s + beat_s - (self.now_s - self.since_s) % beat_s,
                self.now_s + LOOK_S - (self.now_s - 7) % LOOK_S,
            )
            self.up_s += next_s - self.now_s
            self.now_s = next_s
            if (self.now_s - self.since_s) % beat_s == 0:
                self.beat()
            if self.now_s % LOOK_S == 7:
                self.look()

    def said(self, route: str = "command") -> list[str]:
        return [told.what for told in self.told if told.route == route]


@contextmanager
def place() -> Iterator[Path]:
    """A directory on a tmpfs, as on a gateway: elsewhere each file that is replaced waits for the disk."""
    tmpfs = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=tmpfs if tmpfs.is_dir() else None) as directory:
        yield Path(directory)


@pytest.fixture
def home() -> Iterator[Home]:
    with place() as directory:
        yield Home(directory)


def well(home: Home, seconds: float = 300.0) -> None:
    home.enter("starting")
    home.passes(20)
    home.enter("running")
    home.passes(seconds)
    assert home.told == []


@pytest.mark.parametrize("moment_s", range(0, 30, 4))
def test_of_a_gateway_that_dies_or_hangs_both_routes_ring_within_a_minute(home: Home, moment_s: int) -> None:
    well(home, 300 + moment_s)
    since_s = home.now_s
    home.enter(None)
    home.passes(WITHIN_S)
    assert [(told.route, told.what) for told in home.told] == [("command", "raised"), ("remote", "raised")]
    assert 30 < home.told[0].at_s - since_s <= WITHIN_S
    assert re.fullmatch(
        r"The gateway attic is silent: its last heartbeat was (4[6-9]|5\d|60) s ago\. Until .*",
        home.told[0].text,
    )


def test_a_gateway_that_is_well_never_rings(home: Home) -> None:
    well(home, 7200)
    assert set(home.codes) == {0}


def test_a_gateway_that_is_delayed_for_two_beats_does_not_ring(home: Home) -> None:
    well(home)
    for _ in range(20):
        home.passes(44, beat_s=1e9)
        home.beat()
    assert home.told == []


def test_it_rings_again_after_ever_longer_times_and_at_last_every_hour(home: Home) -> None:
    well(home)
    home.enter(None)
    home.passes(6 * 3600)
    assert home.said() == ["raised"] + ["follow_up"] * (len(home.said()) - 1)
    times_s = [told.at_s for told in home.told if told.route == "command"]
    gaps_min = [round((b - a) / 60, 1) for a, b in pairwise(times_s)]
    assert gaps_min == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]


def test_when_the_gateway_runs_again_each_route_says_so_once(home: Home) -> None:
    well(home)
    home.enter(None)
    home.passes(200)
    home.told.clear()
    home.enter("starting")
    home.passes(30)
    home.enter("running")
    home.passes(59)
    assert home.told == []  # it may end again at once
    home.passes(3600)
    assert [(told.route, told.what, told.text) for told in home.told] == [
        (route, "over", "The gateway attic runs again.") for route in BOTH
    ]
    home.told.clear()
    home.enter(None)
    home.passes(WITHIN_S)
    assert home.said() == ["raised"]


def test_a_gateway_that_was_stopped_by_a_signal_and_goes_on_is_over_at_once(home: Home) -> None:
    well(home)
    began_s, home.phase = home.since_s, None
    home.passes(100)
    assert home.said() == ["raised"]
    home.phase, home.since_s = "running", began_s
    home.passes(30)
    assert home.said() == ["raised", "over"]


@pytest.mark.parametrize("failing", BOTH)
def test_a_route_that_fails_is_tried_again_within_minutes_and_hinders_the_other_in_nothing(
    home: Home, failing: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = next(route for route in BOTH if route != failing)
    well(home)
    home.enter(None)
    home.failing = {failing}
    home.passes(1800)
    assert {told.route for told in home.told} == {other}
    tries_s = [told.at_s for told in home.tried if told.route == failing]
    gaps_s = [b - a for a, b in pairwise(tries_s)]
    assert gaps_s[:4] == [20, 40, 80, 160]
    assert set(gaps_s[4:]) == {300}
    assert 1 in home.codes
    assert f"(raised by {failing}: fails)" in capsys.readouterr().err
    # Who never heard of it need not hear that it is over.
    home.failing = set()
    home.told.clear()
    home.enter("running")
    home.passes(280)
    assert [(told.route, told.what) for told in home.told if told.what == "over"] == [(other, "over")]


def test_that_it_is_over_is_tried_again_but_not_for_ever(home: Home) -> None:
    well(home)
    home.enter(None)
    home.passes(100)
    home.failing = {"remote"}
    home.enter("running")
    home.passes(7200)
    assert home.said("command") == ["raised", "over"]
    assert home.said("remote") == ["raised"]
    assert len([told for told in home.tried if (told.route, told.what) == ("remote", "over")]) == 10


def test_a_new_silence_comes_before_what_is_left_of_the_former_one(home: Home) -> None:
    well(home)
    home.enter(None)
    home.passes(100)
    home.failing = {"remote"}
    home.enter("running")
    home.passes(100)
    home.failing = set()
    home.enter(None)
    home.passes(50)
    assert home.said("remote")[:1] == ["raised"]
    assert home.said("remote")[-1] == "raised"


@pytest.mark.parametrize("phase", ["starting", "running"])
def test_a_gateway_that_starts_again_and_again_rings_after_five_minutes(home: Home, phase: str) -> None:
    well(home)
    for _ in range(8):
        home.enter(phase)
        home.passes(39)
    assert home.said() == ["raised"]
    assert "it has been trying to start for 5 min" in home.told[0].text


def test_a_start_that_does_not_come_to_an_end_rings_after_five_minutes(home: Home) -> None:
    home.enter("starting")
    home.passes(299)
    assert home.told == []
    home.passes(20)
    assert home.said() == ["raised"]


def test_without_a_heartbeat_it_rings_five_minutes_after_the_boot(home: Home) -> None:
    home.up_s = 10.0
    home.passes(290)
    assert home.told == []
    home.passes(21)
    assert home.said() == ["raised"]
    assert "there is no heartbeat, 5 min after the system has started" in home.told[0].text


def test_who_stops_the_gateway_has_a_quarter_of_an_hour(home: Home) -> None:
    well(home)
    home.enter("stopping")
    home.passes(30)
    home.phase = None
    home.passes(860)
    assert home.told == []
    home.passes(30)
    assert home.said() == ["raised"]
    assert "it was told to stop 15 min ago" in home.told[0].text


def test_a_stop_that_does_not_come_to_an_end_rings_too(home: Home) -> None:
    well(home)
    home.enter("stopping")
    home.passes(920)
    assert home.said() == ["raised"]


def test_a_restart_does_not_ring(home: Home) -> None:
    well(home)
    for pause_s in (1, 20, 200, 800):
        home.enter("stopping")
        home.passes(5)
        home.phase = None
        home.passes(pause_s)
        home.enter("starting")
        home.passes(60)
        home.enter("running")
        home.passes(100)
    assert home.told == []


def test_a_heartbeat_that_vanishes_is_silent_from_its_last_beat_on(home: Home) -> None:
    """As when the service manager removes the directory of a service that has died."""
    well(home)
    home.enter(None)
    home.heartbeat.unlink()
    home.passes(WITHIN_S)
    assert home.said() == ["raised"]


def test_a_heartbeat_that_vanishes_does_not_undo_what_it_said_last(home: Home) -> None:
    """The watchman has seen that somebody stops the gateway, whose directory goes with it."""
    well(home)
    home.enter("stopping")
    home.passes(30)
    home.enter(None)
    home.heartbeat.unlink()
    home.passes(800)
    assert home.told == []
    home.passes(100)
    assert home.said() == ["raised"]


def test_a_heartbeat_of_an_earlier_boot_or_from_the_future_is_none(home: Home) -> None:
    home.boot = "earlier-boot"
    home.enter("running")
    home.boot = "this-boot"
    home.look()
    assert home.said() == ["raised"]
    home.since_s -= 100
    home.phase = "running"
    home.now_s += 60
    home.beat()
    home.now_s -= 60
    home.phase = None
    home.passes(50)
    assert "over" not in home.said()


def test_without_any_route_it_says_so_where_it_can(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.look(())
    assert home.codes == [1]
    assert "silent: there is no heartbeat, 3 h after the system has started" in capsys.readouterr().err
    home.enter("running")
    home.passes(100)
    home.look(())
    assert home.codes[-1] == 0
    assert capsys.readouterr().err == ""


def test_without_a_memory_it_rings_at_each_look_and_says_why(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    home.memory = home.memory / "below" / "a file"
    home.memory.parents[1].touch()
    home.passes(60)
    assert home.said() == ["raised"] * 3
    assert "what was rung cannot be remembered" in capsys.readouterr().err
    home.told.clear()
    well(home)


# What is played at random: how long, and what the gateway does meanwhile.
DOINGS = ("well", "well", "dead", "stopped", "loops", "gone")


def play(home: Home, rng: random.Random) -> list[tuple[str, float, float]]:
    """A random day; which spells it had, from when to when."""
    spells = []
    for _ in range(rng.randrange(3, 9)):
        doing, seconds = rng.choice(DOINGS), rng.choice((20, 50, 70, 130, 400, 1200, 3000))
        began_s = home.now_s
        home.failing = {route for route in BOTH if rng.random() < 0.1}
        if doing == "loops":
            while home.now_s < began_s + seconds:
                home.enter(rng.choice(("starting", "running")))
                home.passes(rng.randrange(5, 50))
        else:
            home.enter({"well": "running", "stopped": "stopping"}.get(doing))
            if doing == "gone":
                home.heartbeat.unlink(missing_ok=True)
            home.passes(seconds)
        spells.append((doing, began_s, home.now_s))
        if rng.random() < 0.1:
            home.heartbeat.write_bytes(rng.randbytes(rng.randrange(40)))
    return spells


def check(home: Home, spells: list[tuple[str, float, float]]) -> None:
    """The laws, from what was played."""
    tried = [told for told in home.tried if told.route == "command"]
    was_well = False
    for doing, began_s, ended_s in spells:
        rung = [told for told in tried if told.what != "over" and began_s < told.at_s <= ended_s]
        if doing == "well":
            assert not [told for told in rung if told.at_s > began_s + 75]
        if doing in ("dead", "gone") and was_well and ended_s - began_s >= WITHIN_S:
            assert rung
        was_well = doing == "well" and ended_s - began_s >= 75
    for route in BOTH:
        told = [one for one in home.told if one.route == route]
        assert [one.what for one in told[:1]] in ([], ["raised"])
        for one, following in pairwise(told):
            assert (one.what, following.what) not in (("over", "over"), ("over", "follow_up"))
            assert following.what != "follow_up" or following.at_s - one.at_s >= 60
    assert {told.what for told in home.tried} <= {"raised", "follow_up", "over"}


@pytest.mark.parametrize("seed", range(30))
def test_the_laws_hold_on_random_days(home: Home, seed: int) -> None:
    check(home, play(home, random.Random(seed)))


NUMBERS = st.one_of(
    st.floats(),
    st.integers(-(10**400), 10**400),
    st.sampled_from([9_990, 10_000.0, 10_001, 1e308, True, None]),
)
JSON = st.recursive(st.one_of(NUMBERS, st.text(max_size=5), st.none(), st.booleans()), st.lists, max_leaves=5)
BEATS = st.fixed_dictionaries(
    {},
    optional={
        "boot": st.sampled_from(["this-boot", "other", 1]),
        "phase": st.one_of(st.sampled_from(["starting", "running", "stopping"]), JSON),
        "since_s": NUMBERS,
        "at_s": NUMBERS,
    },
)
ROUTES = st.fixed_dictionaries(
    {}, optional={"rung": NUMBERS, "failed": NUMBERS, "due_s": NUMBERS, "more": JSON}
)
MEMORIES = st.fixed_dictionaries(
    {"boot": st.just("this-boot")},
    optional={
        "beat": st.one_of(BEATS, JSON),
        "unsettled_s": st.one_of(NUMBERS, JSON),
        "alarm_s": st.one_of(NUMBERS, JSON),
        "routes": st.one_of(
            JSON,
            st.dictionaries(st.sampled_from(["command", "remote", "x"]), st.one_of(ROUTES, JSON)),
        ),
    },
)


def octets(document: Any) -> bytes:
    return json.dumps(document).encode()


ANYTHING = st.one_of(
    st.binary(max_size=200),
    JSON.map(octets),
    BEATS.map(octets),
    MEMORIES.map(octets),
    st.just(b"[" * 4000),
    st.just(b'{"boot": "this-boot", "at_s": ' + b"9" * 4000),
)


@given(heartbeat=ANYTHING, memory=ANYTHING)
def test_whatever_lies_in_its_files_a_gateway_that_is_dead_rings(heartbeat: bytes, memory: bytes) -> None:
    with place() as directory:
        home = Home(directory)
        home.heartbeat.write_bytes(heartbeat)
        home.memory.write_bytes(memory)
        home.look()
        # By then each beat is old, and the longest pause between two rings over.
        home.now_s += 3700
        home.up_s += 3700
        home.look()
        assert {told.route for told in home.told if told.what != "over"} == set(BOTH)
        assert json.loads(home.memory.read_bytes())["boot"] == "this-boot"


@given(memory=ANYTHING)
def test_whatever_it_remembers_a_gateway_that_is_well_does_not_ring(memory: bytes) -> None:
    with place() as directory:
        home = Home(directory)
        home.enter("running")
        home.now_s += 90
        home.beat()
        home.memory.write_bytes(memory)
        home.passes(60)
        assert {told.what for told in home.told} <= {"over"}
        assert len(home.told) <= 2


@pytest.mark.parametrize("kind", ["directory", "pipe", "endless", "unreadable"])
def test_a_heartbeat_that_is_no_file_is_none_and_keeps_nobody_waiting(home: Home, kind: str) -> None:
    if kind == "directory":
        home.heartbeat.mkdir()
    elif kind == "pipe":
        os.mkfifo(home.heartbeat)
    else:
        home.heartbeat.symlink_to("/dev/zero" if kind == "endless" else "/proc/self/mem")
    home.look()
    assert home.said() == ["raised"]


def test_it_reads_what_the_gateway_writes(home: Home) -> None:
    async def life() -> None:
        loop = asyncio.get_running_loop()
        heartbeat = Heartbeat(home.heartbeat, home.boot)
        heartbeat.start()
        heartbeat.enter(Phase.RUNNING)
        await asyncio.sleep(90.0)
        home.now_s = loop.time()
        home.look()
        assert home.told == []
        heartbeat.stop()
        home.now_s = loop.time() + 61
        home.look()
        assert home.said() == ["raised"]
        heartbeat.enter(Phase.STOPPING)
        heartbeat.stop()

    run_virtually(life())
    home.memory.unlink()
    home.told.clear()
    home.look()
    assert home.told == []  # it was told to stop


@contextmanager
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(watch_alerts, "ROUTE_S_MAX", 1.5)
        yield


def test_a_command_gets_the_event_and_its_exit_status_is_the_proof(tmp_path: Path) -> None:
    out = tmp_path / "an out"
    event = {"what": "raised", "text": "silent: ü 🚨"}

    def rung(command: str) -> str | None:
        return watch_alerts.ring("command", event, command, "https://127.0.0.1:1/not-asked")

    assert rung(f"tee '{out}'") is None
    assert json.loads(out.read_text()) == event
    assert rung("sh -c 'cat; exit 3'") == "exit status 3"
    assert rung("sh -c 'kill -9 $$'") == "exit status -9"
    assert rung("true; false") == "cannot be run: [Errno 2] No such file or directory: 'true;'"
    assert rung("true") is None  # it need not read
    for wrong in ("/nonexistent/command", str(tmp_path), "'not closed", "a\0b"):
        assert (rung(wrong) or "").startswith("cannot be run")


def test_a_command_that_hangs_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    reading = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    with short(monkeypatch):
        assert watch_alerts.run(f"sh -c 'sleep 600 >{held} & sleep 600'", b"{}") == "took too long"
    os.set_blocking(reading, True)
    assert os.read(reading, 1) == b""  # nobody holds it any more
    os.close(reading)


class Receiver(HTTPServer):
    """Answers as it is told to."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.posted: list[tuple[str, str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                content_type = handler.headers["Content-Type"]
                self.posted.append((handler.path, content_type, json.loads(body)))
                answer(handler)

            def do_GET(handler) -> None:  # noqa: N805
                self.posted.append((handler.path, "GET", None))
                handler.send_response(200)
                handler.end_headers()

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@contextmanager
def receiver(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[Receiver]:
    server = Receiver(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return answer


@pytest.mark.parametrize(
    ("code", "failure"),
    [(200, None), (204, None), *((code, f"HTTP status {code}") for code in (301, 303, 307, 308, 404, 500))],
)
def test_an_address_gets_the_event_and_the_status_is_the_proof(code: int, failure: str | None) -> None:
    event = {"what": "raised", "text": "silent"}
    with receiver(status(code, Location="/elsewhere")) as server:
        assert watch_alerts.ring("remote", event, "false", server.url("/a?b=%7B")) == failure
    assert server.posted == [("/a?b=%7B", "application/json", event)]


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Never ends, and never is silent for long."""
    try:
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.02)
    except OSError:
        pass  # the watchman has gone


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff nonsense\r\n\r\n")


def test_an_address_that_hangs_or_makes_no_sense_is_a_failure_and_takes_little_time(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deaf = socket.create_server(("127.0.0.1", 0))
    with short(monkeypatch), receiver(drip) as dripping, receiver(nonsense) as talking:
        for address, failure in (
            (f"http://127.0.0.1:{deaf.getsockname()[1]}/secret", "cannot be reached: timed out"),
            (dripping.url("/secret"), "took longer than 2 s"),
            (talking.url("/secret"), "BadStatusLine"),
        ):
            begun_s = time.monotonic()
            failures = watch_alerts.ring_all(
                lambda route, event: watch_alerts.ring(route, event, "", address),  # noqa: B023
                {"remote": {"what": "raised"}},
            )
            assert failures == {"remote": failure}
            assert time.monotonic() - begun_s < 5
    deaf.close()
    assert "secret" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/secret",
        "ftp://127.0.0.1/secret",
        "file:///etc/passwd",
        "/secret",
        "http://localhost.evil/secret",
    ],
)
def test_nothing_is_posted_where_everybody_could_read_it(address: str) -> None:
    assert watch_alerts.post(address, b"{}") == "the address does not begin with https://"


@settings(max_examples=40)  # each loads the certificates that are trusted
@given(
    st.one_of(
        st.text(), st.text().map("https://127.0.0.1:1/".__add__), st.text().map("http://[::1]:".__add__)
    )
)
def test_an_address_that_is_none_is_a_failure_that_does_not_tell_it(address: str) -> None:
    failure = watch_alerts.post(address, b"{}")
    assert failure is not None
    assert len(address) < 12 or address[-8:] not in failure


def test_no_route_waits_for_the_other(home: Home) -> None:
    both = threading.Barrier(2, timeout=10)

    def ring(route: str, _: Mapping[str, Any]) -> None:
        both.wait()

    assert watch_alerts.ring_all(ring, {route: {} for route in BOTH}) == dict.fromkeys(BOTH)


def test_what_time_it_is_is_asked_of_this_machine() -> None:
    now = watch_alerts.moment()
    assert now.now_s == pytest.approx(time.monotonic(), abs=5)
    assert now.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert 0 < now.up_s <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_the_file_alone_is_enough(tmp_path: Path) -> None:
    """Nothing of the installation is there, and nothing of the environment of Python is used."""
    alone = tmp_path / "alone.py"
    shutil.copy(FILE, alone)
    rung = tmp_path / "rung"
    with receiver(status(200)) as server:
        environment = {
            "PYTHONPATH": "/nonexistent",
            "RUNTIME_DIRECTORY": str(tmp_path / "run"),
            "VITALGATE_WATCH_NAME": "attic",
            "VITALGATE_WATCH_COMMAND": f"tee {rung}",
            "VITALGATE_WATCH_URL": server.url("/secret"),
            "VITALGATE_WATCH_HEARTBEAT": str(tmp_path / "heartbeat"),
        }
        now = watch_alerts.moment()
        beat = {"boot": now.boot, "phase": "running", "since_s": now.now_s - 1000, "at_s": now.now_s - 50}
        (tmp_path / "heartbeat").write_text(json.dumps(beat))
        command = [sys.executable, "-I", "-S", str(alone)]
        dones = [
            subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
            for _ in range(2)
        ]
    assert [done.returncode for done in dones] == [0, 0]
    ((path, _, posted),) = server.posted
    assert (path, posted) == ("/secret", json.loads(rung.read_text()))
    assert posted["what"] == "raised"
    assert len(dones[0].stderr.splitlines()) == 2
    assert "secret" not in dones[0].stderr
    assert dones[1].stderr == ""


def test_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert (watch_alerts.main(["--help"], {}), watch_alerts.main(["rubbish"], {})) == (0, 2)
    assert "VITALGATE_WATCH_URL" in capsys.readouterr().out


def test_it_needs_nothing_but_the_standard_library() -> None:
    tree = ast.parse(FILE.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_the_units_the_guide_and_the_file_agree() -> None:
    guide = (ROOT / "edge" / "README.md").read_text()
    unit = (ROOT / "tools" / "systemd" / "vitalgate-watch.service").read_text()
    timer = (ROOT / "tools" / "systemd" / "vitalgate-watch.timer").read_text()
    (installed,) = re.findall(r"ExecStart=/usr/bin/python3 -I -S (.*)", unit)
    assert f"sudo install -D tools/watch_alerts.py {installed}" in guide
    assert f"OnUnitActiveSec={LOOK_S}s" in timer
    assert "RuntimeDirectory=vitalgate\n" in guide
    assert f"within {WITHIN_S} s" in guide
    for variable in re.findall(r"VITALGATE_WATCH_\w+", guide):
        assert variable in FILE.read_text()
