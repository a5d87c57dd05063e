"""A simulated home from end to end: sensors fed with recordings, a gateway, an upstream, as fast as it goes.

The gateway here is the real one, store and upstream included; only the radio's other end and the clock are
simulated.
"""

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from dsp.warm import warm_gateway
from edge import config
from edge.app import Gateway
from edge.clock import NS_PER_S, SystemClock
from edge.errors import ConfigError, StoreUnavailable
from edge.history import glucose_day
from edge.history.bounds import around
from edge.local.status import StatusDocument
from edge.lock import lock
from edge.store.alerts import AlertEvent
from edge.store.summaries import Summary
from edge.store.tables import Tables
from hw_sim.clock import run
from hw_sim.faults import LinkFaults
from tools.rig.demo.comparison import Comparison, compare
from tools.rig.demo.found import Found, Stood, stood
from tools.rig.demo.truth import truth
from tools.rig.home.recordings import DemoRecordings
from tools.rig.home.world import World, open_world
from tools.rig.language.durations import Span
from tools.rig.language.scenario import CGM, MIDNIGHT, STRAP, Person, Scenario

HOUR_S = 3600
ZONE = ZoneInfo("UTC")
SETTLE_S_MAX = 2 * HOUR_S
EVENTS_MAX = 100_000
MARKER = ".vitalgate-demo"
HEAD = "# Made by `vitalgate demo`: a simulated home.\n\n"
DROP_S_MEAN = 120.0


Watch = Callable[[float, Gateway], Awaitable[None]]


@dataclass(frozen=True)
class Options:
    """What the user asked for."""

    hours: float
    speed: float
    seed: int
    out: Path | None
    drops_per_hour: float
    worn: DemoRecordings

    def scenario(self) -> Scenario:
        """The home that is played."""
        return Scenario(
            about="A simulated home: a strap and a CGM",
            lasts_s=Span(self.hours * HOUR_S),
            seed=self.seed,
            people=(Person(id="wearer", pseudonym="demo-patient"),),
            sensors=(STRAP, msgspec.structs.replace(CGM, passkey="123456")),
            gateway={"gateway": {"id": "demo-gateway"}},
        )


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
    found: Found
    alerts: list[Stood]
    compared: Comparison

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
            "found": msgspec.to_builtins({"alerts": self.alerts, **vars(self.found)}),
            "compared": msgspec.to_builtins(self.compared),
            "out": str(self.out),
            "config": str(self.out / "gateway.toml"),
            "bundles": [str(path) for path in self.bundles],
        }


def described(summary: Summary) -> dict[str, Any]:
    start, end = (
        datetime.fromtimestamp(s, UTC).isoformat() for s in (summary.key.start_utc_s, summary.end_utc_s)
    )
    return {"start": start, "end": end, "status": summary.status, "revision": summary.rev, **summary.body}


def prepare(options: Options) -> Path:
    """An empty directory with the demo's configuration; an earlier demo's is emptied, nobody else's is."""
    out = options.out
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
        (out / "gateway.toml").write_text(HEAD + options.scenario().gateway_text())
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
    checked = config.load(out / "gateway.toml")
    async with open_world(options.scenario(), out, config=checked, worn=options.worn) as world:
        if options.drops_per_hour:
            world.drop_links(LinkFaults(options.seed, HOUR_S / options.drops_per_hour, DROP_S_MEAN))
        duration_s, found = options.hours * HOUR_S, Found()
        closed_s = duration_s + checked.limits.summary_grace_s
        for since_midnight_s in _minutes(duration_s):
            await world.until_s(since_midnight_s)
            gateway = world.gateway
            if gateway.store.trouble is not None:
                raise StoreUnavailable(gateway.store.trouble)
            found.look(since_midnight_s, gateway.present.known())
            await watch(since_midnight_s, gateway)
            if since_midnight_s > closed_s and await world.is_settled():
                break
        elapsed_s = (SystemClock().boot_ns() - started_ns) / NS_PER_S
        return await _result(options, out, world, found, elapsed_s)


def _minutes(duration_s: float) -> Iterator[float]:
    """Each minute of the run, then of the time the gateway is given to finish."""
    minute = 0
    while minute * 60 < duration_s:
        minute += 1
        yield min(60.0 * minute, duration_s)
    for minute in range(1, SETTLE_S_MAX // 60):
        yield duration_s + 60.0 * minute


async def _result(options: Options, out: Path, world: World, found: Found, elapsed_s: float) -> Result:
    gateway = world.gateway
    duration_s = options.hours * HOUR_S
    end_utc_s = round(MIDNIGHT.timestamp() + duration_s)
    cgm_no = world.row_no(CGM.id)

    def read(tables: Tables) -> tuple[list[Summary], list[Summary], dict[str, Any], list[AlertEvent]]:
        today = around("glucose_day", end_utc_s, ZONE)
        so_far = glucose_day.compute(tables, cgm_no, today, ZONE).body
        heart, glucose = (tables.summaries.between(kind) for kind in ("heart_5min", "glucose_day"))
        return heart, glucose, dict(so_far), tables.alerts.newest(EVENTS_MAX)[::-1]

    heart, glucose, so_far, events = await gateway.store.read(read)
    alerts = [one for one in stood(events, world.now_s, gateway.clock.boot_ns()) if one.begin_s < duration_s]
    limits = world.config.alerts
    true = truth(options.worn, duration_s, limits.pause_s)
    return Result(
        out=out,
        options=options,
        elapsed_s=elapsed_s,
        heart=[summary for summary in heart if summary.key.start_utc_s < end_utc_s],
        glucose=[summary for summary in glucose if summary.end_utc_s <= end_utc_s],
        glucose_so_far=so_far if options.hours % 24 else None,
        status=await gateway.status(),
        found=found,
        alerts=alerts,
        compared=compare(found, alerts, true, limits),
    )
