"""The whole gateway: what it costs an hour, beside a script of today; what it stands; what years of data cost.

    python -P -m tools.bench.gateway [PART ...] [--json] [--hours H] [--runs N] [--no-peer] [--minutes M]

Parts (all but `written` unless some are named; each runs in processes of its own, one after the other):

    hour      CPU and written octets an hour: a strap, a CGM, both, both silent. The real gateway over a radio that is
              none, in virtual time; what the feed itself costs is measured with a null gateway and subtracted. The
              same notifications go to a script that uses bluetooth-sig (`script`), which is installed into an
              environment of its own. What a beat and a reading cost is that of a strap and of a CGM less what a silent
              gateway costs. 18,000 ms an hour are 0.5 % of a core.
    sensors   the same for 1, 10 and 100 straps, and CGMs.
    latency   8 straps and 4 CGMs in real time: from a notification whose value is beyond its limit until a channel is
              given the alert, and windows that close meanwhile.
    load      1,000 straps on one core: what is dropped. 16 straps in real time with 50 ms for each fsync: the longest
              callback on the loop, and by how much the latest packet is stamped late.
    history   a year, 400 days of raw data, three years of two straps and a CGM: start, status, an old window, a slice
              of purging.
    written   octets that a gateway process with a strap and a CGM writes in real time, by /proc/PID/io; `--minutes 60`
              is an hour.

Of several runs the best counts, on both sides; they take turns. In `hour` and `sensors` each process has one core, on
both sides. Whoever else uses the machine makes everything slower.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from tools.bench.gateway import peer
from tools.bench.gateway import written as octets_written
from tools.bench.gateway.feed import beats, recorded

Numbers = dict[str, float]
MIXES: Final = {"strap": (1, 0), "CGM": (0, 1), "strap + CGM": (1, 1)}
SIZES: Final = (1, 10, 100)
LATENCY_S: Final = 420  # the first window closes after a minute and a half, the next one five minutes later


class Target(NamedTuple):
    """What a figure is to be at most, or at least."""

    part: str
    figure: str
    bound: float
    is_least: bool = False

    def holds(self, value: float) -> bool:
        return value >= self.bound if self.is_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.is_least else '<='} {self.bound:g}"


TARGETS: Final = (
    Target("hour", "strap + CGM: CPU ms an hour", 18_000.0),
    Target("hour", "strap + CGM: times less CPU than the script", 5.0, is_least=True),
    Target("latency", "8 straps + 4 CGMs: alerts not told", 0.0),
    Target("latency", "8 straps + 4 CGMs: from notification to alert, ms, 99 of 100", 20.0),
    Target("load", "1000 straps: dropped", 0.0),
    Target("load", "16 straps, 50 ms per fsync: longest callback ms", 50.0),
    Target("load", "16 straps, 50 ms per fsync: latest stamp ms", 100.0),
    *(
        Target("history", f"{store}: {figure}", bound)
        for store in ("a year", "400 days of raw data")
        for figure, bound in (
            ("start, CPU s", 1.0),
            ("status ms", 2.0),
            ("old window ms", 5.0),
            ("longest slice of purging ms", 50.0),
        )
    ),
    Target("history", "3 years of 2 straps + 1 CGM: start, CPU s", 1.0),
    Target("history", "3 years of 2 straps + 1 CGM: status ms", 20.0),
    Target("written", "MB an hour", 2.5),
)


def child(module: str, *arguments: object) -> dict[str, Any]:
    """What a process of its own has measured."""
    command = [sys.executable, "-P", "-m", f"tools.bench.gateway.{module}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def best(runs: int, *measures: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each the run with the least CPU. They take turns, so that a slow time of the machine meets them all."""
    rounds = [[measure() for measure in measures] for _ in range(runs)]
    return [min(results, key=lambda result: float(result["cpu_s"])) for results in zip(*rounds, strict=True)]


@contextmanager
def on_one_core() -> Iterator[None]:
    """What is started within runs on one core: the cost of wandering between cores varies more than all else."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def a_day(
    options: argparse.Namespace,
    straps: int,
    cgms: int,
    *flags: str,
    beside: Sequence[Callable[[], dict[str, Any]]] = (),
) -> tuple[Numbers, list[dict[str, Any]]]:
    """Cost an hour of so many sensors, the feed's own subtracted; and what was measured in turns with it."""
    arguments = (straps, cgms, options.hours)
    with on_one_core():
        ours, feed, *others = best(
            options.runs,
            lambda: child("day", *arguments, *flags),
            lambda: child("day", *arguments, "--null", *flags),
            *beside,
        )
    assert ours["dropped"] == ours["undecodable"] == ours["losses"] == 0, ours
    numbers = {
        "CPU ms an hour": 1000 * (ours["cpu_s"] - feed["cpu_s"]) / options.hours,
        "MB written an hour": (ours["written_octets"] - feed["written_octets"]) / options.hours / 1e6,
        "MB of memory": ours["rss_mb"],
    }
    return numbers, others


def hour(options: argparse.Namespace) -> Numbers:
    numbers: Numbers = {}
    packets = recorded(options.hours)
    for name, mix in MIXES.items():
        script = partial(peer.run, options.peer, packets, *mix)
        scripts = [] if options.no_peer else [script, partial(script, ["--by-hand"])]
        ours, others = a_day(options, *mix, beside=scripts)
        numbers |= {f"{name}: {figure}": value for figure, value in ours.items()}
        if others:
            theirs, by_hand = others
            their_ms = 1000 * theirs["cpu_s"] / options.hours
            numbers[f"{name}: the script, CPU ms an hour"] = their_ms
            numbers[f"{name}: the script, decoding by hand"] = 1000 * by_hand["cpu_s"] / options.hours
            numbers[f"{name}: the script, MB written an hour"] = (
                theirs["written_octets"] / options.hours / 1e6
            )
            numbers[f"{name}: the script, MB of memory"] = theirs["rss_mb"]
            numbers[f"{name}: times less CPU than the script"] = their_ms / ours["CPU ms an hour"]
    silent, _ = a_day(options, 1, 1, "--silent")
    numbers |= {f"silent: {figure}": value for figure, value in silent.items()}
    for name, whole, each in (
        ("a beat", "strap", beats(packets) / options.hours),
        ("a reading", "CGM", len(packets.glucose) / options.hours),
    ):
        ms = numbers[f"{whole}: CPU ms an hour"] - numbers["silent: CPU ms an hour"]
        numbers[f"{name}: CPU us"] = 1000 * ms / each
    return numbers


def sensors(options: argparse.Namespace) -> Numbers:
    numbers: Numbers = {}
    for size in SIZES:
        for kind, mix in (("straps", (size, 0)), ("CGMs", (0, size))):
            ours, _ = a_day(options, *mix)
            numbers |= {f"{size} {kind}: {figure}": value for figure, value in ours.items()}
    return numbers


def latency(_: argparse.Namespace) -> Numbers:
    found = child("latency", 8, 4, LATENCY_S)
    figures = {
        "alerts": found["alerts"],
        "alerts not told": found["not_told"],
        "from notification to alert, ms, median": found["median_ms"],
        "from notification to alert, ms, 99 of 100": found["p99_ms"],
        "from notification to alert, ms, longest": found["longest_ms"],
        "busy %": found["busy_pct"],
    }
    return {f"8 straps + 4 CGMs: {name}": value for name, value in figures.items()}


def load(_: argparse.Namespace) -> Numbers:
    many = child("load", "many", 1000, 400)
    slow = min(
        (child("load", "slow-disk", 16, 50) for _ in range(2)),
        key=lambda result: float(result["latest_ms"]),
    )
    return {
        "1000 straps: sent": many["sent"],
        "1000 straps: dropped": many["dropped"],
        "1000 straps: links lost": many["links_lost"],
        "1000 straps: busy %": many["busy_pct"],
        "1000 straps: latest stamp ms": many["latest_ms"],
        "1000 straps: longest callback ms": many["longest_callback_ms"],
        "1000 straps: longest callback, CPU ms": many["longest_callback_cpu_ms"],
        "16 straps, 50 ms per fsync: dropped": slow["dropped"],
        "16 straps, 50 ms per fsync: latest stamp ms": slow["latest_ms"],
        "16 straps, 50 ms per fsync: longest callback ms": slow["longest_callback_ms"],
        "16 straps, 50 ms per fsync: longest callback, CPU ms": slow["longest_callback_cpu_ms"],
    }


def history(_: argparse.Namespace) -> Numbers:
    stores = {
        "a year": (365, 14, 1, 1),
        "400 days of raw data": (400, 400, 1, 1),
        "3 years of 2 straps + 1 CGM": (1095, 14, 2, 1, "--purge"),
    }
    numbers: Numbers = {}
    for store, arguments in stores.items():
        found = child("history", *arguments)
        slices = found.get("purge_slice_ms", found["purge_slice_of_a_day_ms"])
        figures = {
            "MB": found["size_mb"],
            "start, CPU s": found["start_cpu_s"],
            "status ms": found["status_ms"][0],
            "old window ms": found["old_window_ms"][0],
            "slice of purging ms, 99 of 100": slices[1],
            "longest slice of purging ms": slices[2],
            "MB after purging": found.get("size_after_mb"),
        }
        numbers |= {f"{store}: {name}": value for name, value in figures.items() if value is not None}
    return numbers


def written(options: argparse.Namespace) -> Numbers:
    return octets_written.measure(options.minutes)


PARTS: Final[dict[str, Callable[[argparse.Namespace], Numbers]]] = {
    "hour": hour,
    "sensors": sensors,
    "latency": latency,
    "load": load,
    "history": history,
    "written": written,
}


def show(part: str, numbers: Numbers) -> None:
    print(f"\n{part}")
    targets = {target.figure: target for target in TARGETS if target.part == part}
    for figure, value in numbers.items():
        line = f"  {figure:<62}{value:>12,.2f}"
        if figure in targets:
            line += f"   {targets[figure]}" + ("" if targets[figure].holds(value) else "   MISSED")
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument(
        "--hours", type=float, default=2.0, help="simulated hours of `hour` and `sensors` (2)"
    )
    parser.add_argument("--runs", type=int, default=3, help="of which the best counts (3)")
    parser.add_argument("--no-peer", action="store_true", help="install and run nothing else")
    parser.add_argument("--peer", type=Path, default=peer.ENVIRONMENT, help="where the script is installed")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long `written` takes (60)")
    options = parser.parse_args()
    results: dict[str, Numbers] = {}
    for part in options.parts or [part for part in PARTS if part != "written"]:
        results[part] = PARTS[part](options)
        if not options.json:
            show(part, results[part])
    if options.json:
        print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
