"""The gateway as a whole: builds the parts, runs their tasks, ends cleanly.

Each task has the one broad `except` of this program: it logs what nobody foresaw and lets it end the process,
because a restart from the store is the recovery.
"""

import asyncio
import logging
import os
import random
from collections.abc import Coroutine
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from dsp.warm import warm_gateway
from edge import identity, status
from edge.alerts import AlertBoard, glucose_rules, heart_rules
from edge.anchors import Anchors
from edge.cgm_sensor import CgmSensor
from edge.clock import NS_PER_S, Clock
from edge.config import Config, SensorConfig
from edge.heart_sensor import HeartSensor
from edge.inbox import Inbox
from edge.lock import lock
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.radio import Radio
from edge.session import Session
from edge.store import Store
from edge.summary import Summaries
from edge.upstream.composer import Composer
from edge.upstream.files import FileUpstream
from edge.upstream.uploader import Uploader

log = logging.getLogger(__name__)

TICK_S = 1.0
DAY_S = 86_400


class Gateway:
    """One gateway on one state directory."""

    def __init__(
        self, config: Config, clock: Clock, radio: Radio, rng: random.Random, *, simulated: bool
    ) -> None:
        """Open the store and wire the parts; nothing runs yet.

        Raises:
            ConfigError: what the operator has to mend, another gateway on this state directory included.
            StoreUnavailable: the database cannot be used.
        """
        self.config = config
        self.clock = clock
        self._lock = lock(config.gateway.state_dir)
        self.identity = identity.load(config.key_file, config.database)
        self.store = Store(config.database, self.identity, simulated=simulated)
        if self.store.quarantined:
            log.error(
                "the database was damaged and is set aside as %s; a new one begins", self.store.quarantined
            )
        with self.store.transaction():
            self.store.note_boot(clock.boot_id)
            for sensor in config.sensors:
                self.store.register_sensor(sensor)
        self.inbox = Inbox(config.limits.queue_notifications_max)
        self.anchors = Anchors(self.store, clock)
        self.outbox = Outbox(self.store, clock)
        self.summaries = Summaries(config, self.identity, self.store, self.outbox, self.anchors, clock)
        self.sensors = {sensor.id: self._sensor(sensor) for sensor in config.sensors}
        self.pipeline = Pipeline(self.inbox, self.sensors)
        self.sessions = {
            name: Session(sensor, radio, self.inbox, clock, config.limits, rng)
            for name, sensor in self.sensors.items()
        }
        self.alerts = AlertBoard(self._rules(), self.store, clock)
        compose = Composer(
            config, self.identity, self.store, clock, version=version("vitalgate"), simulated=simulated
        ).compose
        upstream = FileUpstream(config.upstream.directory)
        self.uploader = Uploader(config, self.outbox, compose, upstream, clock, rng)

    def _sensor(self, sensor: SensorConfig) -> HeartSensor | CgmSensor:
        limits = self.config.limits
        if sensor.kind == "heart_rate":
            return HeartSensor(sensor, self.store, self.clock.boot_id, limits.heart_stale_s)
        return CgmSensor(sensor, self.store, self.summaries, self.inbox, self.clock, limits)

    def _rules(self) -> list[Any]:
        started = self.clock.boot_ns()
        return [
            rule
            for sensor in self.sensors.values()
            for rule in (
                heart_rules(sensor, self.config.alerts, started)
                if isinstance(sensor, HeartSensor)
                else glucose_rules(sensor, self.config.alerts, started)
            )
        ]

    async def run(self) -> None:
        """Run until cancelled; what is open in memory is committed on the way out."""
        warm_gateway()
        server = await status.serve(self.config.gateway.state_dir, self.status)
        try:
            async with asyncio.TaskGroup() as tasks:
                for name, session in self.sessions.items():
                    tasks.create_task(unforeseen(session.run(), f"session {name}"))
                tasks.create_task(unforeseen(self.pipeline.run(), "pipeline"))
                tasks.create_task(unforeseen(self.uploader.run(), "uploader"))
                tasks.create_task(unforeseen(self._keep_time(), "clockwork"))
        finally:
            server.close()
            self.flush()

    def close(self) -> None:
        self.store.close()
        os.close(self._lock)

    async def _keep_time(self) -> None:
        """Everything that happens because time passes, and not because data came."""
        chunk_due_ns = purge_due_ns = 0
        while True:
            now_ns = self.clock.boot_ns()
            self.anchors.tick()
            self.alerts.tick()
            if now_ns >= chunk_due_ns:
                chunk_due_ns = now_ns + round(self.config.limits.chunk_s * NS_PER_S)
                self.flush()
                self.summaries.tick()
                self.uploader.wake.set()
            if now_ns >= purge_due_ns:
                purge_due_ns = now_ns + DAY_S * NS_PER_S
                self._purge()
            await asyncio.sleep(TICK_S)

    def flush(self) -> None:
        for sensor in self.sensors.values():
            sensor.flush()

    def _purge(self) -> None:
        retention_s = self.config.limits.raw_retention_days * DAY_S
        with self.store.transaction():
            self.store.delete_chunks_before(self.clock.utc_ns() // NS_PER_S - retention_s)

    def status(self) -> status.Document:
        """Everything there is to say about the gateway at this moment."""
        now_ns = self.clock.boot_ns()
        sensors = []
        for name, sensor in self.sensors.items():
            session = self.sessions[name].state
            failed_ns = session.last_error_boot_ns
            sensors.append(
                {
                    "id": name,
                    "kind": sensor.config.kind,
                    "phase": session.phase,
                    "connects": session.connects,
                    "losses": session.losses,
                    "last_error": session.last_error,
                    "last_error_age_s": None if failed_ns is None else (now_ns - failed_ns) / NS_PER_S,
                    "battery_pct": sensor.battery_pct,
                    "undecodable": self.pipeline.undecodable[name],
                    "dropped": self.inbox.dropped[name],
                    **sensor.live_status(now_ns),
                }
            )
        return {
            "running": True,
            "utc_s": self.clock.utc_ns() // NS_PER_S,
            "sensors": sensors,
            "upstream": asdict(self.uploader.state),
            **status.stored(self.config, self.store, self.outbox),
        }


async def unforeseen(task: Coroutine[Any, Any, None], name: str) -> None:
    """Run a task; name it in the log if it ends in a way nobody foresaw, and pass that on."""
    try:
        await task
    except Exception as error:
        log.critical("%s stopped: %s: %s", name, type(error).__name__, error)
        raise
