"""The gateway as a process: real radio, real clock, signals, exit codes."""

import asyncio
import logging
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from edge import config
from edge.app import Gateway
from edge.clock import SystemClock
from edge.errors import ConfigError, StoreCorrupt, StoreUnavailable
from edge.radio import Radio

EXIT_OK, EXIT_FAILURE, EXIT_CONFIG = 0, 1, 2

OpenRadio = Callable[[config.Config], Awaitable[Radio]]


async def real_radio(_: config.Config) -> Radio:
    return Radio()


def main(config_file: Path, open_radio: OpenRadio = real_radio, *, simulated: bool = False) -> int:
    """Run until a signal comes; the exit code.

    One line on stderr says what the operator has to mend (exit code 2) or what of the machine failed (1).
    """
    log_to_stderr()
    problems: list[BaseException] = []
    try:
        asyncio.run(serve(config.load(config_file), open_radio, simulated=simulated))
    except* (ConfigError, StoreCorrupt, StoreUnavailable) as errors:
        problems.extend(leaves(errors))
    if not problems:
        return EXIT_OK
    print(f"vitalgate: {problems[0]}", file=sys.stderr)
    return EXIT_CONFIG if isinstance(problems[0], ConfigError) else EXIT_FAILURE


async def serve(checked: config.Config, open_radio: OpenRadio, *, simulated: bool) -> None:
    """Run one gateway until SIGINT or SIGTERM."""
    radio = await open_radio(checked)
    gateway = Gateway(checked, SystemClock(), radio, random.SystemRandom(), simulated=simulated)
    running = asyncio.ensure_future(gateway.run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    await asyncio.wait({running})
    gateway.close()
    if not running.cancelled():
        running.result()


def log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("bleak", "numba"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # Of a simulated radio: every lost link is an error to it, with a traceback.
    logging.getLogger("bumble").setLevel(logging.CRITICAL)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside, however deep the groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
