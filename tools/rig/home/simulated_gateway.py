"""A gateway as a process that meets simulated sensors: `python -P -m tools.rig.home.simulated_gateway --config FILE`.

Contract: as `edge`, but for radio and feeds. With `--world` the sensors live in the process of `vitalgate simulate`.
"""

import signal

# Until the gateway handles signals, an interrupt ends the process as SIGTERM does: nothing has to be cleaned up yet.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse  # noqa: E402
import sys  # noqa: E402
from collections.abc import AsyncIterator  # noqa: E402
from contextlib import asynccontextmanager  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from edge import daemon  # noqa: E402
from tools.rig.home.extra import endpoint, simulation_extra  # noqa: E402


def simulated_radio(world: str | None, seed: int) -> Any:
    """What opens the radio of a simulated home, in this process or in another, which is reached at `world`.

    The home is imported when it is opened: before that the daemon has to say where compiled kernels are kept.
    """

    @asynccontextmanager
    async def open_radio(config: Any) -> AsyncIterator[Any]:
        from edge.workers import in_thread

        # Signals are acted on meanwhile.
        simulation = await in_thread(simulation_extra)
        if world is None:
            home = simulation.own_radio(config, await in_thread(own_recordings), seed)
        else:
            home = simulation.world_radio(config, *endpoint("--world", world))
        async with home as radio:
            yield radio

    return open_radio


def simulated_web(seed: int) -> Any:
    """What opens the way to a feed: to a server that is simulated here, whatever address the configuration names."""
    made: list[Any] = []

    def open_web(sensor: Any) -> Any:
        if not made:
            from edge.clock import NS_PER_S, SystemClock
            from tools.rig.home.simulated_feeds import SimulatedFeeds

            clock = SystemClock(vouched=True)
            made.append(SimulatedFeeds(own_recordings(), lambda: clock.utc_ns() / NS_PER_S, seed))
        return made[0].web(sensor)

    return open_web


def own_recordings() -> Any:
    from tools.rig.home.recordings import DemoRecordings

    return DemoRecordings.chosen(None, None)


def main(arguments: list[str]) -> int:
    """Run the gateway; the exit code."""
    parser = argparse.ArgumentParser(
        prog="simulated_gateway", description="Run a gateway with simulated sensors."
    )
    parser.add_argument("--config", type=Path, required=True, help="the gateway's TOML file")
    parser.add_argument("--world", help="HOST:PORT of a running `vitalgate simulate`")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    called = parser.parse_args(arguments)
    radio, web = simulated_radio(called.world, called.seed), simulated_web(called.seed)
    return daemon.main(called.config, radio, simulated=True, web=web)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
