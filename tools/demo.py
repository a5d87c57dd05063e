"""A simulated home from end to end: sensors fed with recordings, a gateway, an upstream, as fast as it goes.

The gateway here is the real one, store and upstream included; only the radio's other end and the clock are
simulated.
"""

import asyncio
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from dsp.warm import warm_gateway
from edge import config, workers
from edge.app import Gateway
from edge.clock import NS_PER_S, SystemClock
from edge.errors import ConfigError, StoreUnavailable
from edge.history import glucose_day
from edge.history.bounds import around
from edge.local.status import StatusDocument
from edge.lock import lock
from edge.store.summaries import Summary
from edge.store.tables import Tables
from hw_sim.air import Air
from hw_sim.central import open_central
from hw_sim.clock import VirtualClock, VirtualTimeLoop, run
from hw_sim.faults import LinkFaults, drop_links
from tools.simulation import build_home, passkeys, radio
from tools.worn import Worn

# Midnight in the simulated home, when the recordings begin; the gateway is switched on a minute before.
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
LEAD_S = 60
HOUR_S = 3600
ZONE = ZoneInfo("UTC")
SETTLE_S_MAX = 2 * HOUR_S
MARKER = ".vitalgate-demo"

CONFIG = """\
# Made by `vitalgate demo`: a simulated home.

[gateway]
id = "demo-gateway"
state_dir = "state"
timezone = "UTC"

[[people]]
id = "wearer"
pseudonym = "demo-patient"

[people.consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true

[[sensors]]
id = "strap"
kind = "heart_rate"
address = "F0:00:00:00:00:01"
person = "wearer"

[[sensors]]
id = "cgm"
kind = "cgm"
address = "F0:00:00:00:00:02"
person = "wearer"

[upstream]
directory = "bundles"
"""


Watch = Callable[[float, Gateway], Awaitable[None]]


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    hours: float
    speed: float
    seed: int
    out: Path | None
    drops_per_hour: float
    worn: Worn


@dataclass(frozen=True)
class Result:
    """What came of it."""

    out: Path
    options: Options
    elapsed_s: float
    heart: list[Summary]
    glucose: list[Summary]
    glucose_so_far: dict[str, Any] | None
    status: StatusDocument

    @property
    def bundles(self) -> list[Path]:
        return sorted((self.out / "bundles").glob("*.json"))

    def document(self) -> dict[str, Any]:
        """Everything as one JSON document."""
        worn = self.options.worn
        return {
            "simulated": True,
            "start_utc": MIDNIGHT.isoformat(),
            "hours": self.options.hours,
            "seed": self.options.seed,
            "elapsed_s": round(self.elapsed_s, 2),
            "recordings": {
                "heart": str(worn.rr_recording) if worn.rr_recording else None,
                "glucose": str(worn.glucose_recording) if worn.glucose_recording else None,
            },
            "summaries": {
                "heart_5min": [described(summary) for summary in self.heart],
                "glucose_day": [described(summary) for summary in self.glucose],
                "glucose_so_far": self.glucose_so_far,
            },
            "status": msgspec.to_builtins(self.status),
            "out": str(self.out),
            "config": str(self.out / "gateway.toml"),
            "bundles": [str(path) for path in self.bundles],
        }


def described(summary: Summary) -> dict[str, Any]:
    start, end = (
        datetime.fromtimestamp(s, UTC).isoformat() for s in (summary.key.start_utc_s, summary.end_utc_s)
    )
    return {"start": start, "end": end, "status": summary.status, "revision": summary.rev, **summary.body}


def prepare(out: Path | None) -> Path:
    """An empty directory with the demo's configuration; an earlier demo's is emptied, nobody else's is."""
    if out is None:
        out = Path(tempfile.mkdtemp(prefix="vitalgate-demo-"))
    try:
        out = out.absolute()
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            if not (out / MARKER).exists():
                raise ConfigError("--out", f"{out} is not empty", "name a new or an empty directory")
            _empty_state(out / "state")
            shutil.rmtree(out / "bundles", ignore_errors=True)
        (out / MARKER).touch()
        (out / "bundles").mkdir()
        (out / "gateway.toml").write_text(CONFIG)
    except OSError as error:
        raise ConfigError("--out", f"{out}: {error.strerror}", "name a directory you may write") from error
    return out


def _empty_state(state_dir: Path) -> None:
    """Nothing is taken from under a running gateway; the lock file stays, so that there is never a second one."""
    try:
        held = lock(state_dir)
    except ConfigError as error:
        raise ConfigError("--out", error.reason, "stop it first, or name another directory") from error
    try:
        for path in state_dir.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()
    finally:
        os.close(held)


def play(options: Options, out: Path, watch: Watch) -> Result:
    """Run the home; `watch` is told the simulated seconds since midnight once a simulated minute."""
    warm_gateway()
    return run(_play(options, out, watch), speed=options.speed)


async def _play(options: Options, out: Path, watch: Watch) -> Result:
    started_ns = SystemClock().boot_ns()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    checked = config.load(out / "gateway.toml")
    clock = VirtualClock(
        epoch_utc_ns=(round(MIDNIGHT.timestamp()) - LEAD_S) * NS_PER_S, boot_id=f"demo-{options.seed}"
    )
    midnight_s = loop.time() + LEAD_S
    duration_s = options.hours * HOUR_S
    air = Air()
    home = build_home(
        air, checked, options.worn, begin_s=midnight_s, duration_s=duration_s, seed=options.seed
    )
    await home.start()
    central = await open_central(air, bonds=None, passkey=passkeys(checked))
    rng = random.Random(options.seed)  # noqa: S311 - the same seed gives the same run
    gateway = Gateway(checked, clock, radio(central), rng, simulated=True, workers=workers.inline())
    tasks = [asyncio.ensure_future(gateway.run())]
    if options.drops_per_hour:
        faults = LinkFaults(options.seed, up_s_mean=HOUR_S / options.drops_per_hour, down_s_mean=120.0)
        addresses = [sensor.address for sensor in checked.sensors]
        tasks.append(asyncio.ensure_future(drop_links(air, addresses, faults, Counter())))
    try:
        for since_midnight_s in _minutes(duration_s):
            await asyncio.wait(
                tasks,
                timeout=midnight_s + since_midnight_s - loop.time(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            _raise_if_ended(tasks[0])
            if gateway.store.trouble is not None:
                raise StoreUnavailable(gateway.store.trouble)
            await watch(since_midnight_s, gateway)
            if since_midnight_s > duration_s and _is_settled(await gateway.status(), gateway):
                break
        return await _result(options, out, gateway, (SystemClock().boot_ns() - started_ns) / NS_PER_S)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await central.close()
        await home.stop()
        gateway.close()


def _minutes(duration_s: float) -> Iterator[float]:
    """Each minute of the run, then of the time the gateway is given to finish."""
    minute = 0
    while minute * 60 < duration_s:
        minute += 1
        yield min(60.0 * minute, duration_s)
    for minute in range(1, SETTLE_S_MAX // 60):
        yield duration_s + 60.0 * minute


def _raise_if_ended(running: asyncio.Future[None]) -> None:
    if running.done():
        running.result()
        raise AssertionError("the gateway ended by itself")


def _is_settled(said: StatusDocument, gateway: Gateway) -> bool:
    """Whether everything of the simulated time has been fetched, summarised and sent."""
    due_boot_ns = gateway.periods.next_due_boot_ns()
    is_closed = due_boot_ns is None or due_boot_ns > gateway.clock.boot_ns()
    is_connected = all(sensor.phase == "streaming" for sensor in said.sensors)
    is_sent = not any((route.pending or 0) + (route.inflight or 0) for route in said.deliveries)
    return is_closed and is_connected and is_sent and not gateway.is_catching_up


async def _result(options: Options, out: Path, gateway: Gateway, elapsed_s: float) -> Result:
    end_utc_s = round(MIDNIGHT.timestamp() + options.hours * HOUR_S)
    cgm_no = next(row.no for row in gateway.rows if row.kind == "cgm")

    def read(tables: Tables) -> tuple[list[Summary], list[Summary], dict[str, Any]]:
        today = around("glucose_day", end_utc_s, ZONE)
        so_far = glucose_day.compute(tables, cgm_no, today, ZONE).body
        return tables.summaries.between("heart_5min"), tables.summaries.between("glucose_day"), dict(so_far)

    heart, glucose, so_far = await gateway.store.read(read)
    return Result(
        out=out,
        options=options,
        elapsed_s=elapsed_s,
        heart=[summary for summary in heart if summary.key.start_utc_s < end_utc_s],
        glucose=[summary for summary in glucose if summary.end_utc_s <= end_utc_s],
        glucose_so_far=so_far if options.hours % 24 else None,
        status=await gateway.status(),
    )
