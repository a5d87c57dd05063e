"""How long it takes from a notification until the alert that it raises is told; in a process of its own, in real time.

    python -P -m tools.bench.gateway.latency STRAPS CGMS SECONDS

All sensors are connected and send: each strap once a second, each CGM once a minute, which is more often than any does.
Every second packet of a strap has a rate below the limit, and every second reading of a CGM is an urgent low, so that
each raises an alert, which the next one ends. For that the rules have neither hold nor pause; all else is the real
gateway, with its encrypted store, its journal, and windows that close meanwhile. The time counts from the moment at
which the sensor sends to the one at which a channel of delivery is given the alert.
Prints one JSON object: how many alerts were to be told, how many were not; and of the times in milliseconds the median,
the 99th of 100, and the longest.
"""

import argparse
import asyncio
import json
import logging
import math
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec

from edge.alerts.message import Message
from edge.alerts.state import Tier, What
from edge.config import Config
from protocols import heart_rate
from tools.bench.gateway import rig
from tools.bench.gateway.feed import PHASES, Home, recorded
from tools.bench.gateway.load import LIVE_S, LoopClock, RealLoop
from tools.bench.gateway.rig import Spent

RULES: Final = ("heart_rate_low", "glucose_urgent_low")
BPM: Final = (70, 30)
GLUCOSE_MG_DL: Final = (120.0, 50.0)
READING_S: Final = 60.0


class Bell:
    """A channel that notes how long it took until it was told.

    Attributes:
        took_s: from sending to telling, of each alert that was told.
        expected: how many alerts there should have been.
    """

    name = "bell"
    least_tier = Tier.REMINDER
    must_work = True

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.expected = 0
        self._sent_s: dict[str, float] = {}

    def expect(self, sensor_id: str) -> None:
        """Something is about to be sent that raises an alert."""
        self.expected += 1
        self._sent_s[sensor_id] = asyncio.get_running_loop().time()

    async def deliver(self, message: Message) -> None:
        now_s = asyncio.get_running_loop().time()
        if message.rule in RULES and message.what == What.RAISED.value and message.sensor in self._sent_s:
            self.took_s.append(now_s - self._sent_s.pop(message.sensor))


def without_hold_and_pause(checked: Config) -> Config:
    alerts = msgspec.structs.replace(
        checked.alerts,
        heart_rate_hold_s=0.0,
        heart_rate_unsure_hold_s=0.0,
        heart_rate_high_persistent_s=0.0,
        refractory_s=0.0,
    )
    return msgspec.structs.replace(checked, alerts=alerts)


async def beat(home: Home, phase: int, seconds: float, bell: Bell) -> None:
    """Straps whose rate is good in one second and low in the next."""
    loop = asyncio.get_running_loop()
    began_s = loop.time() + phase / PHASES
    for second, payload in recorded(seconds / 3600).heart:
        is_low = int(second) % 2
        reading = heart_rate.decode(payload)
        told = heart_rate.HeartRateMeasurement(BPM[is_low], contact=True, rr_ticks=reading.rr_ticks)
        octets = heart_rate.encode(told)
        await asyncio.sleep(began_s + second - loop.time())
        for number in range(phase, len(home.straps), PHASES):
            if is_low:
                bell.expect(f"s{number}")
            home.straps[number].send(octets)


async def measure(home: Home, seconds: float, bell: Bell) -> None:
    """CGMs whose reading is good in one minute and low in the next, each at another time of the minute."""
    loop = asyncio.get_running_loop()
    # Not at the turn of a sensor's minute, for it takes one reading in each.
    began_s = home.midnight_s + READING_S * math.ceil((loop.time() - home.midnight_s) / READING_S) + 5.0
    for minute in range(int((seconds - READING_S) // READING_S)):
        for number, sensor in enumerate(home.cgms):
            due_s = began_s + READING_S * (minute + number / len(home.cgms))
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if minute % 2:
                bell.expect(f"c{number}")
            sensor.take(GLUCOSE_MG_DL[minute % 2])


async def latency(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    home, bell = Home.of(options.straps, options.cgms), Bell()
    checked = without_hold_and_pause(rig.config(directory, home))
    machine = rig.machine(checked, home, LoopClock(), channels=lambda: [bell])
    logging.getLogger("edge.alerts.channels").propagate = False  # its lines are made, but not shown
    made = machine.start()
    await rig.until_connected(made)
    await asyncio.sleep(LIVE_S)
    loop = asyncio.get_running_loop()
    before, began_s = Spent.now(), loop.time()
    feeds = [beat(home, phase, options.seconds, bell) for phase in range(min(PHASES, options.straps))]
    await asyncio.gather(*feeds, measure(home, options.seconds, bell))
    await asyncio.sleep(LIVE_S)
    spent_s, passed_s = Spent.now().since(before).cpu_s, loop.time() - began_s
    took_ms = sorted(1000 * took_s for took_s in bell.took_s)
    result = {
        "alerts": bell.expected,
        "not_told": bell.expected - len(took_ms),
        "median_ms": median(took_ms),
        "p99_ms": took_ms[int(0.99 * (len(took_ms) - 1))],
        "longest_ms": took_ms[-1],
        "dropped": made.inbox.dropped.total(),
        "busy_pct": 100 * spent_s / passed_s,
    }
    await machine.stop()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("straps", type=int)
    parser.add_argument("cgms", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=RealLoop) as runner:
        print(json.dumps(runner.run(latency(Path(directory), options))))


if __name__ == "__main__":
    main()
