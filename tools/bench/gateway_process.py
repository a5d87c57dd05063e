"""The gateway as a process, in real time, with sensors of its own instead of a radio: for tools that look from outside.

    python -P -m tools.bench.gateway_process CONFIG.toml [--glucose-every SECONDS]

Runs what `vitalgate run` runs, until a signal ends it; every sensor of the configuration is there and sends recordings.
With PYTHONASYNCIODEBUG=1 asyncio names every callback that takes longer than 50 ms on standard error.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from edge import daemon
from edge.clock import NS_PER_S, SystemClock
from edge.config import Config
from edge.radio.adapter import Radio
from hw_sim.direct_radio import backends
from tools.bench.gateway_feed import Home, Packets, recorded

SLOW_CALLBACK_S: Final = 0.05
HOURS: Final = 24.0


def sensors(glucose_every_s: float) -> daemon.OpenRadio:
    """What opens the radio of a home that is alive as long as it is open."""
    packets = recorded(HOURS)
    values = [mg_dl for _, mg_dl in packets.glucose]
    played = Packets(packets.heart, [(glucose_every_s * n, mg_dl) for n, mg_dl in enumerate(values, 1)])

    @asynccontextmanager
    async def open_radio(checked: Config) -> AsyncIterator[Radio]:
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = SLOW_CALLBACK_S
        home = Home(
            (sensor.address for sensor in checked.sensors if sensor.kind == "heart_rate"),
            (sensor.address for sensor in checked.sensors if sensor.kind == "cgm"),
            midnight_s=loop.time(),
            midnight_utc_s=SystemClock().utc_ns() // NS_PER_S,
        )
        feed = asyncio.ensure_future(home.send(played))
        yield Radio(*backends(home.stack))
        feed.cancel()

    return open_radio


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("--glucose-every", type=float, default=300.0, metavar="SECONDS")
    options = parser.parse_args()
    sys.exit(daemon.main(options.config, sensors(options.glucose_every), simulated=True))


if __name__ == "__main__":
    main()
