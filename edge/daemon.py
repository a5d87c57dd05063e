"""The gateway as a process: real radio, real clock, signals, log, exit codes.

A signal is acted on from the first moment: what is slow, such as importing the numerics, compiling their kernels and
opening the store on a slow disk, happens in threads. Only the first signal counts: whoever sends more, as some process
managers do, does not disturb how the open data are stored. If the state directory vanishes
while a gateway runs, another one begins in the same process with the same secret. What a gateway does is decided in
`app`.
"""

import asyncio
import gc
import logging
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge import config, kernel_cache, workers
from edge.clock import SystemClock, boot_id
from edge.errors import ConfigError, StoreCorrupt, StoreGone, StoreUnavailable
from edge.kernels_ready import KernelsReady
from edge.local.heartbeat import Heartbeat, Phase, file_of_service
from edge.local.service_manager import ServiceManager
from edge.log_masking import MaskingFormatter
from edge.loop_watch import LoopWatch

if TYPE_CHECKING:  # slow to import
    from edge.app import Gateway
    from edge.feeds.client import Web
    from edge.identity import Identity
    from edge.radio.adapter import Radio

log = logging.getLogger(__name__)

ENDING = (signal.SIGINT, signal.SIGTERM)
EXIT_OK, EXIT_FAILURE, EXIT_CONFIG = 0, 1, 2

# The radio can be used while the context is open.
OpenRadio = Callable[[config.Config], "AbstractAsyncContextManager[Radio]"]
# What opens the way to a feed; None: the web as it is.
OpenWeb = Callable[[config.SensorConfig], "Web"] | None


@asynccontextmanager
async def real_radio(checked: config.Config) -> "AsyncIterator[Radio]":
    from edge.radio.adapter import Radio, System
    from edge.radio.bluez.mending import reset_adapter
    from edge.radio.bluez.system_bus import SystemBus
    from edge.radio.pairing.bluez import BluezPairing

    pairing = BluezPairing()
    registering = asyncio.ensure_future(pairing.run())
    try:
        yield Radio(pairing=pairing, system=System(SystemBus, reset_adapter), use=checked.radio)
    finally:
        registering.cancel()
        await asyncio.wait({registering})


def main(
    config_file: Path, open_radio: OpenRadio = real_radio, *, simulated: bool = False, web: OpenWeb = None
) -> int:
    """Run until a signal comes; the exit code.

    One line on stderr says what the operator has to mend (exit code 2) or what of the machine failed (1).
    """
    log_to_stderr()
    problems: list[BaseException] = []
    try:
        asyncio.run(serve(config.load(config_file), open_radio, simulated=simulated, web=web))
    except* (ConfigError, StoreCorrupt, StoreUnavailable) as errors:
        problems.extend(leaves(errors))
    # The loop has put back the defaults. By now everything is stored, and the process is about to end by itself.
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    if not problems:
        return EXIT_OK
    print(f"vitalgate: {problems[0]}", file=sys.stderr)
    return EXIT_CONFIG if isinstance(problems[0], ConfigError) else EXIT_FAILURE


async def serve(
    checked: config.Config, open_radio: OpenRadio, *, simulated: bool, web: OpenWeb = None
) -> None:
    """Run until SIGINT or SIGTERM; further ones change nothing."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(complain)
    heartbeat = Heartbeat(file_of_service(os.environ), boot_id(), ServiceManager.of_service(os.environ))
    watch = LoopWatch(heartbeat, loop.time)
    life = asyncio.ensure_future(_live(checked, open_radio, heartbeat, simulated=simulated, web=web))

    def end() -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        heartbeat.enter(Phase.STOPPING)
        life.cancel()

    for number in ENDING:
        loop.add_signal_handler(number, end)
    heartbeat.start()
    watch.start()
    await asyncio.wait({life})
    watch.stop()
    heartbeat.stop()
    if not life.cancelled():
        life.result()


def complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Say what asyncio found. Of a connection that is gone a library's future tells once more, when nobody waits for it
    any longer; ours are tasks."""
    error, future = context.get("exception"), context.get("future")
    if isinstance(error, OSError | EOFError) and not isinstance(future, asyncio.Task):
        log.info("a connection that nobody uses any more has ended: %s", error)
    else:
        loop.default_exception_handler(context)


async def _live(
    checked: config.Config, open_radio: OpenRadio, heartbeat: Heartbeat, *, simulated: bool, web: OpenWeb
) -> None:
    with ExitStack() as kept:
        cache = kernel_cache.chosen(checked.gateway.state_dir)
        kernels = await workers.in_thread(partial(kept.enter_context, cache))
        build: Callable[..., Gateway] = await workers.in_thread(_gateway_class)
        if web is not None:
            build = partial(build, web=web)
        ready = KernelsReady(is_ready=kernels is None)
        async with open_radio(checked) as radio, asyncio.TaskGroup() as tasks:
            tasks.create_task(_warm(kernels, ready))
            known = None
            while True:
                known = await _run(build, checked, radio, known, ready, heartbeat, simulated=simulated)


async def _warm(kernels: kernel_cache.Place | None, ready: KernelsReady) -> None:
    """`kernels` is where compiled ones are kept, None where nothing is compiled."""
    if kernels is not None and await kernel_cache.warm(kernels):
        ready.set()
    # What is loaded, the compiler above all, stays. Without this, each garbage collection would search it all and delay
    # the loop.
    gc.freeze()


def _gateway_class() -> "type[Gateway]":
    from edge.app import Gateway

    return Gateway


async def _run(
    build: "Callable[..., Gateway]",
    checked: config.Config,
    radio: "Radio",
    known: "Identity | None",
    ready: KernelsReady,
    heartbeat: Heartbeat,
    *,
    simulated: bool,
) -> "Identity":
    """Run one gateway until it is cancelled or its state directory is gone; its identity."""
    gateway = await workers.in_thread(
        partial(
            build,
            checked,
            SystemClock(vouched=checked.gateway.trust_clock or simulated),
            radio,
            random.SystemRandom(),
            simulated=simulated,
            workers=workers.threads(),
            known=known,
            kernels=ready,
        )
    )
    name, sensors = checked.gateway.id, ", ".join(sensor.id for sensor in checked.sensors)
    log.info(
        "%s runs: vitalgate %s, state in %s, sensors: %s",
        name,
        version("vitalgate"),
        gateway.store.path.parent,
        sensors,
    )
    heartbeat.enter(Phase.RUNNING)
    try:
        await gateway.run()
    except* StoreGone as gone:
        heartbeat.enter(Phase.STARTING)
        log.error("%s; a new store begins, with the same key", next(leaves(gone)))
    finally:
        await workers.in_thread(gateway.close)
        log.info("%s has stopped", name)
    return gateway.identity


def log_to_stderr() -> None:
    """What the gateway itself reports, and of others what matters; no line holds an address."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskingFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("numba").setLevel(logging.WARNING)
    # The sessions report failures themselves, in words and without an address.
    logging.getLogger("bleak").setLevel(logging.ERROR)
    # The simulated radio logs every lost link as an error with a traceback.
    logging.getLogger("bumble").setLevel(logging.CRITICAL)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors inside, however deep the groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
