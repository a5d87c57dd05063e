"""The watchman: rings when the gateway's process is dead, stopped or stuck, and its alerts can therefore not ring.

A timer (`tools/systemd`) or cron runs it several times a minute; edge/README.md says how to install it. Each run is one
look at the gateway's heartbeat (`edge.local.heartbeat`):

    newest heartbeat of this boot               | the gateway is
    --------------------------------------------|----------------------------------------------------------
    none                                        | silent, once the machine has been up for `START_S`
    stopping: somebody told the process to end  | silent, `STOPPED_S` after that
    older than `LIMIT_S`                        | silent
    running for `SETTLED_S`                     | well
    starting, or running for a shorter time     | silent, if it has been neither well nor silent for `START_S`
    any of these before its time has come       | unsure: nothing rings, and an alarm that stands goes on standing

    alarm   | look         | then, by each route for itself
    --------|--------------|----------------------------------------------------------
    none    | silent       | raised
    stands  | silent       | follow-up, `REPEAT_S` later, then after twice the time each, `REPEAT_S_MAX` at most
    stands  | well         | over, once, by the routes that have rung
    any     | a route fails | the same again, `RETRY_S` later, then after twice the time each, `RETRY_S_MAX` at most

Contract: this file is all there is. It needs Python 3.11 and its standard library, runs from wherever it was copied
to, and reads nothing of the gateway but the heartbeat: it works when the installation, the state directory and the
configuration are gone. Without a memory of its last look it rings at each. What it tells and prints holds no health
data, and what it prints not the address of the remote route. One look takes little more than `ROUTE_S_MAX` at most.

Variables of the environment say how to ring; one of the first two has to be there:

    VITALGATE_WATCH_COMMAND    run without a shell, with the event as JSON on standard input; 0 proves that it rang
    VITALGATE_WATCH_URL        an HTTPS address, to which the same JSON is posted; status 2xx proves that it rang
    VITALGATE_WATCH_NAME       what to call the gateway in what is told ("vitalgate")
    VITALGATE_WATCH_HEARTBEAT  the file with the heartbeat (/run/vitalgate/heartbeat)
    RUNTIME_DIRECTORY          where it remembers its last look (/run/vitalgate-watch)

It exits with 0 after a look, 1 if a route that was to ring did not, and 2 if it cannot be run like this.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple

# The gateway beats every 15 s, and a look follows at most 20 s later. It takes 30 ms of CPU, nearly all to load
# modules: what few looks need is imported where they need it.
LIMIT_S: Final = 45.0
START_S: Final = 300.0
SETTLED_S: Final = 60.0
STOPPED_S: Final = 900.0
REPEAT_S: Final = 60.0
REPEAT_S_MAX: Final = 3600.0
RETRY_S: Final = 20.0
RETRY_S_MAX: Final = 300.0
# After so many failures nobody is told any more that an alarm is over.
OVER_TRIES_MAX: Final = 10
ROUTE_S_MAX: Final = 20.0
BYTES_MAX: Final = 4096
COMMAND: Final = "command"
REMOTE: Final = "remote"


class What(Enum):
    """What is told."""

    RAISED = "raised"
    FOLLOW_UP = "follow_up"
    OVER = "over"


class State(Enum):
    """What a look says of the gateway."""

    WELL = "well"
    UNSURE = "unsure"
    SILENT = "silent"


class Beat(NamedTuple):
    """One heartbeat, in seconds of CLOCK_MONOTONIC."""

    boot: str
    phase: str
    since_s: float
    at_s: float


class Moment(NamedTuple):
    """When a look happens: seconds of CLOCK_MONOTONIC, the id of the boot, and for how long the system has been up."""

    now_s: float
    boot: str
    up_s: float


class Route:
    """How often a route has rung in this alarm, how often it has failed since, and when it is due again."""

    def __init__(self, rung: int = 0, failed: int = 0, due_s: float = 0.0) -> None:
        self.rung, self.failed, self.due_s = rung, failed, due_s


class Memory:
    """What one look leaves for the next one, within a boot."""

    def __init__(self, boot: str) -> None:
        self.boot = boot
        self.beat: Beat | None = None
        # Since when the gateway has been starting, and since when an alarm stands.
        self.unsettled_s: float | None = None
        self.alarm_s: float | None = None
        # If no alarm stands: those that have yet to tell that it is over.
        self.routes: dict[str, Route] = {}


Ring = Callable[[str, Mapping[str, Any]], str | None]
"""Tells an event by a route; why that failed, None where it is proven that it did not."""


def moment() -> Moment:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    since_boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    try:  # in a container this is when the container began
        init_began_ticks = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        init_began_ticks = 0
    up_s = since_boot_s - init_began_ticks / os.sysconf("SC_CLK_TCK")
    return Moment(time.clock_gettime(time.CLOCK_MONOTONIC), boot, up_s)


def read(path: Path) -> Any:
    """What JSON the file holds; None if it holds none. Whatever lies there, this neither waits nor fails."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            text = os.read(descriptor, BYTES_MAX)
        finally:
            os.close(descriptor)
        return json.loads(text)
    except (OSError, ValueError, RecursionError):
        return None


def seconds(value: Any, now_s: float) -> float | None:
    """A moment of this boot that is not in the future: what is no such moment is worth nothing."""
    # The file may be newer than the look.
    return float(value) if isinstance(value, int | float) and 0 <= value <= now_s + 1 else None


def count(value: Any) -> int:
    return max(0, min(value, 1000)) if isinstance(value, int) else 0


def beat_of(fields: Any, now: Moment) -> Beat | None:
    if not isinstance(fields, dict) or fields.get("boot") != now.boot:
        return None
    since_s, at_s = (seconds(fields.get(name), now.now_s) for name in ("since_s", "at_s"))
    phase = fields.get("phase")
    if since_s is None or at_s is None or phase not in ("starting", "running", "stopping"):
        return None
    return Beat(now.boot, phase, since_s, at_s)


def memory_of(fields: Any, now: Moment) -> Memory:
    """What was kept; of what makes no sense, what a first look would know."""
    memory = Memory(now.boot)
    if not isinstance(fields, dict) or fields.get("boot") != now.boot:
        return memory
    memory.beat = beat_of(fields.get("beat"), now)
    memory.unsettled_s = seconds(fields.get("unsettled_s"), now.now_s)
    memory.alarm_s = seconds(fields.get("alarm_s"), now.now_s)
    routes = fields.get("routes")
    for name in (COMMAND, REMOTE):
        kept = routes.get(name) if isinstance(routes, dict) else None
        if isinstance(kept, dict):
            due_s = seconds(kept.get("due_s"), now.now_s + REPEAT_S_MAX)
            memory.routes[name] = Route(count(kept.get("rung")), count(kept.get("failed")), due_s or 0.0)
    return memory


def keep(path: Path, memory: Memory) -> str | None:
    """Remember; why that failed, None if it did not."""
    torn = path.with_name(f".{path.name}.part")
    fields = {
        **vars(memory),
        "beat": memory.beat and memory.beat._asdict(),
        "routes": {name: vars(route) for name, route in memory.routes.items()},
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn.write_text(json.dumps(fields))
        torn.replace(path)
    except OSError as fault:
        return f"{path}: {fault.strerror}"
    return None


def judged(memory: Memory, now: Moment) -> tuple[State, str]:
    """How the gateway is, by the first table above, and why."""
    beat = memory.beat
    if beat is None:
        ago_s, limit_s, cause = now.up_s, START_S, "there is no heartbeat, {} after the system has started"
    elif beat.phase == "stopping":
        ago_s, limit_s, cause = now.now_s - beat.since_s, STOPPED_S, "it was told to stop {} ago"
    elif now.now_s - beat.at_s > LIMIT_S:
        ago_s, limit_s, cause = now.now_s - beat.at_s, LIMIT_S, "its last heartbeat was {} ago"
    elif is_settled(beat):
        return State.WELL, "it runs"
    else:
        began_s = beat.since_s if memory.unsettled_s is None else memory.unsettled_s
        ago_s, limit_s, cause = now.now_s - began_s, START_S, "it has been trying to start for {}"
    return (State.SILENT if ago_s > limit_s else State.UNSURE), cause.format(duration(ago_s))


def is_settled(beat: Beat) -> bool:
    return beat.phase == "running" and beat.at_s - beat.since_s >= SETTLED_S


def duration(seconds: float) -> str:
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def notice(memory: Memory, beat: Beat | None) -> None:
    """Take in what the heartbeat says now. One that is gone does not undo what the last one said."""
    memory.beat = beat or memory.beat
    if beat is None or beat.phase == "stopping":
        return
    if is_settled(beat):
        memory.unsettled_s = None
    elif memory.unsettled_s is None:
        memory.unsettled_s = beat.since_s


def due(memory: Memory, state: State, now_s: float, routes: Sequence[str]) -> list[tuple[str, What]]:
    """What is to be told now by which route, by the second table above."""
    if state is State.SILENT:
        if memory.alarm_s is None:
            memory.alarm_s, memory.routes = now_s, {}
        for name in routes:
            memory.routes.setdefault(name, Route())
    elif state is State.WELL and memory.alarm_s is not None:
        memory.alarm_s = None
        memory.routes = {name: Route(route.rung) for name, route in memory.routes.items() if route.rung}
    if state is State.UNSURE:
        return []
    return [
        (name, What.OVER if state is State.WELL else What.FOLLOW_UP if route.rung else What.RAISED)
        for name, route in memory.routes.items()
        if name in routes and route.due_s <= now_s
    ]


def note(memory: Memory, name: str, what: What, now_s: float, *, told: bool) -> None:
    """Remember what came of it."""
    route = memory.routes[name]
    if told:
        route.rung, route.failed = route.rung + 1, 0
        route.due_s = now_s + min(REPEAT_S_MAX, math.ldexp(REPEAT_S, route.rung - 1))
    else:
        route.failed += 1
        route.due_s = now_s + min(RETRY_S_MAX, math.ldexp(RETRY_S, route.failed - 1))
    if what is What.OVER and (told or route.failed >= OVER_TRIES_MAX):
        del memory.routes[name]


def look(heartbeat: Path, remembered: Path, now: Moment, name: str, routes: Sequence[str], ring: Ring) -> int:
    """One look; the exit code. `name` is the gateway's."""
    memory = memory_of(read(remembered), now)
    notice(memory, beat_of(read(heartbeat), now))
    state, cause = judged(memory, now)
    to_tell = due(memory, state, now.now_s, routes)
    events = {route: described(name, what, cause) for route, what in to_tell}
    failures = ring_all(ring, events)
    for route, what in to_tell:
        note(memory, route, what, now.now_s, told=failures[route] is None)
        say(f"{events[route]['text']} ({what.value} by {route}: {failures[route] or 'done'})")
    is_helpless = state is State.SILENT and not routes
    if is_helpless:
        say(f"{described(name, What.RAISED, cause)['text']} (neither command nor address to ring by)")
    trouble = keep(remembered, memory)
    if trouble and to_tell:
        say(f"what was rung cannot be remembered: {trouble}")
    return 1 if is_helpless or any(failures.values()) else 0


def described(name: str, what: What, cause: str) -> dict[str, Any]:
    """The event as it is told: by rule, sensor and what like those of the gateway, and nothing of anybody's health."""
    silent = f"The gateway {name} is silent: {cause}. Until it runs again, none of its alerts can ring."
    return {
        "rule": "gateway_silent",
        "sensor": "gateway",
        "what": what.value,
        "urgent": what is not What.OVER,
        "gateway": name,
        "text": f"The gateway {name} runs again." if what is What.OVER else silent,
    }


def say(line: str) -> None:
    print(f"watch_alerts: {line}", file=sys.stderr, flush=True)


def ring_all(ring: Ring, events: Mapping[str, Mapping[str, Any]]) -> dict[str, str | None]:
    """Tell all events at once, so that no route waits for another; by route why it failed, None if it did not."""
    if not events:
        return {}
    import threading  # what is imported from here on, only looks that ring need

    failures: dict[str, str | None] = dict.fromkeys(events, f"took longer than {ROUTE_S_MAX:.0f} s")

    def tell(route: str, event: Mapping[str, Any]) -> None:
        failures[route] = ring(route, event)

    # The end of the process does not wait for what hangs, such as the name server.
    threads = [threading.Thread(target=tell, args=one, daemon=True) for one in events.items()]
    for thread in threads:
        thread.start()
    end_s = time.monotonic() + ROUTE_S_MAX
    for thread in threads:
        thread.join(max(0.0, end_s - time.monotonic()))
    return dict(failures)


def ring(route: str, event: Mapping[str, Any], command: str, address: str) -> str | None:
    body = json.dumps(event).encode()
    return run(command, body) if route == COMMAND else post(address, body)


def run(command: str, body: bytes) -> str | None:
    import shlex
    import signal
    import subprocess

    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command, without a shell
            shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
    except (OSError, ValueError) as fault:
        return f"cannot be run: {fault}"
    try:
        process.communicate(body, timeout=ROUTE_S_MAX - 1)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "took too long"
    return f"exit status {process.returncode}" if process.returncode else None


def post(address: str, body: bytes) -> str | None:
    import http.client
    import urllib.error
    import urllib.parse
    import urllib.request

    class Unmoved(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            """Where a redirection leads, a POST would arrive as a GET: that is a failure."""

    try:
        parts = urllib.parse.urlsplit(address)
        is_here = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_here):
            return "the address does not begin with https://"
        request = urllib.request.Request(  # noqa: S310 - the scheme is looked at above
            address, data=body, headers={"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.build_opener(Unmoved).open(request, timeout=ROUTE_S_MAX / 2):
            return None
    except urllib.error.HTTPError as answer:
        return f"HTTP status {answer.code}"
    except OSError as fault:
        return f"cannot be reached: {getattr(fault, 'reason', None) or fault}"
    except (ValueError, http.client.HTTPException) as fault:
        return f"{type(fault).__name__}"  # its text may name the address


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    if arguments:
        print(__doc__)
        return 0 if arguments[0] in ("-h", "--help") else 2
    command, address = (environment.get(f"VITALGATE_WATCH_{name}", "") for name in ("COMMAND", "URL"))
    routes = [name for name, how in ((COMMAND, command), (REMOTE, address)) if how.strip()]
    return look(
        Path(environment.get("VITALGATE_WATCH_HEARTBEAT", "/run/vitalgate/heartbeat")),
        Path(environment.get("RUNTIME_DIRECTORY", "/run/vitalgate-watch"), "memory.json"),
        moment(),
        environment.get("VITALGATE_WATCH_NAME", "vitalgate"),
        routes,
        lambda route, event: ring(route, event, command, address),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
