"""The gateway as a whole: builds the parts, runs their tasks, ends cleanly.

Each task has the one broad `except` of this program: it logs what nobody foresaw and lets it end the process, because
a restart from the store is the recovery.
"""

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from edge import identity
from edge.agenda import Agenda
from edge.alerts.board import AlertBoard
from edge.clock import NS_PER_S, Clock
from edge.config import Config, SensorConfig
from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable
from edge.history.periods import Periods
from edge.identity import Identity
from edge.kinds import KINDS, Procedure
from edge.local import survey
from edge.local.control import Control
from edge.local.status import Live, LiveAlert, LiveSensor, Moment, StatusDocument, Trouble
from edge.lock import lock
from edge.now.facts import Facts
from edge.radio.adapter import Radio
from edge.radio.inbox import Inbox
from edge.radio.intake import Intake
from edge.radio.session import Phase, Session, SessionState
from edge.sensors.cgm import CgmSensor
from edge.sensors.heart_strap import HeartStrap
from edge.sensors.means import Means
from edge.sensors.sensor import Sensor
from edge.store import retention
from edge.store.door import Store
from edge.store.sensors import SensorRow
from edge.timekeeper import Timekeeper
from edge.upstream.composer import Composer
from edge.upstream.files import FileUpstream
from edge.upstream.routes import FILES
from edge.upstream.uploader import Uploader
from edge.workers import Workers

log = logging.getLogger(__name__)

CLOCK_POLL_NS = 60 * NS_PER_S
PURGE_S, PURGE_PAUSE_S = 3600.0, 1.0
PURGE_ROWS_MAX = 200


class Gateway:
    """One gateway on one state directory."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        radio: Radio,
        rng: random.Random,
        *,
        simulated: bool,
        workers: Workers,
        known: Identity | None = None,
    ) -> None:
        """Open the store and wire the parts; nothing runs yet. `known` is the identity, if its file has vanished.

        Raises:
            ConfigError: what the operator has to mend, another gateway on this state directory included.
            StoreUnavailable: the database cannot be used.
        """
        self.config = config
        self.clock = clock
        self._workers = workers
        self._lock = lock(config.gateway.state_dir)
        self.identity = identity.load(config.key_file, config.database, known)
        self.store = Store(config.database, self.identity, simulated=simulated, workers=workers)
        self._say_what_was_damaged()
        tables = self.store.tables
        with tables.database.transaction():
            self.boot_no = tables.boots.note(clock.boot_id)
            self.rows = tables.sensors.register(
                config.sensors, config.people, boot_no=self.boot_no, boot_ns=clock.boot_ns()
            )
        self.inbox = Inbox(config.limits.queue_notifications_max)
        self.facts = Facts()
        self.agenda = Agenda(clock)
        self.timekeeper = Timekeeper(clock, self.store, self.boot_no, tables.boots.timeline())
        self.periods = Periods(config, self.identity, self.store, self.timekeeper)
        means = Means(
            store=self.store,
            periods=self.periods,
            facts=self.facts,
            agenda=self.agenda,
            clock=clock,
            timekeeper=self.timekeeper,
            limits=config.limits,
            identity=self.identity,
            rng=rng,
        )
        self.sensors = {
            sensor.id: SENSORS[KINDS[sensor.kind].procedure](sensor, row, means)
            for sensor, row in zip(config.sensors, self.rows, strict=True)
        }
        self.intake = Intake(self.inbox, {name: sensor.take for name, sensor in self.sensors.items()}, clock)
        self.sessions = {
            name: Session(sensor, radio, self.inbox, clock, config.limits, rng)
            for name, sensor in self.sensors.items()
        }
        self.alerts = AlertBoard(
            self.rows,
            facts=self.facts,
            store=self.store,
            agenda=self.agenda,
            clock=clock,
            boot_no=self.boot_no,
            limits=config.alerts,
        )
        self.uploader = self._uploader(rng, simulated=simulated)
        self._recall()

    def _say_what_was_damaged(self) -> None:
        if self.store.quarantined:
            log.error(
                "the database was damaged and is set aside as %s; a new one begins", self.store.quarantined
            )
        if self.store.log_copy:
            log.error(
                "the log of the database was damaged and what followed the damage is lost; a copy is kept as %s",
                self.store.log_copy,
            )

    def _uploader(self, rng: random.Random, *, simulated: bool) -> Uploader:
        compose = Composer(
            self.config, self.identity, version=version("vitalgate"), simulated=simulated
        ).compose
        upstream = FileUpstream(self.config.upstream.directory, self._workers.files)
        return Uploader(self.config, self.store, compose, upstream, timekeeper=self.timekeeper, rng=rng)

    async def run(self) -> None:
        """Run until cancelled; what is open in memory is stored on the way out."""
        self.timekeeper.on_change = self.periods.place_again
        self.periods.on_marked = self._await_periods
        self.periods.on_enqueued = self.uploader.wake.set
        self.alerts.start()
        self._poll_clock()
        # Nothing else asks when the periods are due that an earlier process left open.
        self._await_periods()
        asking = Control(self.config.gateway.state_dir, self)
        writing = asyncio.ensure_future(unforeseen(self.store.run(), "store"))
        try:
            await asking.open()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_until_it_fails(writing))
                for name, session in self.sessions.items():
                    tasks.create_task(unforeseen(session.run(), f"session {name}"))
                tasks.create_task(unforeseen(self.intake.run(), "intake"))
                tasks.create_task(unforeseen(self.uploader.run(), "uploader"))
                tasks.create_task(unforeseen(self.agenda.run(), "agenda"))
                tasks.create_task(unforeseen(self._purge(), "retention"))
        finally:
            asking.close()
            await self._store_the_rest(writing)

    async def _store_the_rest(self, writing: "asyncio.Future[None]") -> None:
        for sensor in self.sensors.values():
            sensor.flush()
        try:
            if not writing.done():
                await self.store.drain()
        finally:
            writing.cancel()
            await asyncio.wait({writing})
            if not writing.cancelled():
                writing.exception()  # `run` or the drain raises it: nobody else has to
            self._say_what_is_lost()

    def _say_what_is_lost(self) -> None:
        for name, sensor in self.sensors.items():
            if waiting := sensor.live().waiting:
                log.error("%d packets of %s could not be stored: %s", waiting, name, self.store.trouble)

    def close(self) -> None:
        """Let go of the store and the state directory."""
        self._workers.close()
        self.store.close()
        self.release()

    def release(self) -> None:
        """Let go of the state directory, as the end of the process does."""
        os.close(self._lock)

    async def status(self) -> StatusDocument:
        """Everything there is to say about the gateway at this moment."""
        now, config, simulated = self._moment(), self.config, self.store.simulated
        try:
            document = await self.store.read(
                lambda tables: survey.stored(config, now, tables, simulated=simulated)
            )
        except StoreUnavailable:
            document = survey.unread(config, now, simulated=simulated)
        return survey.running(document, now, self._live())

    def _moment(self) -> Moment:
        timeline, boot_ns = self.timekeeper.timeline, self.clock.boot_ns()
        newest = timeline.newest(self.boot_no)
        return Moment(
            self.boot_no,
            boot_ns,
            self.timekeeper.utc_ns(),
            self.timekeeper.trusted_error_ms(),
            newest.source if newest else "system",
            timeline,
        )

    def _live(self) -> Live:
        return Live(
            sensors={name: self._live_sensor(name, sensor) for name, sensor in self.sensors.items()},
            alerts=[LiveAlert(*standing) for standing in self.alerts.standing],
            routes={FILES: self.uploader.state.trouble},
            store_trouble=self.store.trouble,
            not_summarised=len(self.periods.parked),
        )

    def _live_sensor(self, name: str, sensor: Sensor) -> LiveSensor:
        state, live = self.sessions[name].state, sensor.live()
        return LiveSensor(
            phase=state.phase,
            connects=state.connects,
            losses=state.losses,
            facts={
                measurement: fact
                for measurement in sensor.kind.measurements
                if (fact := self.facts.newest(name, measurement)) is not None
            },
            trouble=self._trouble(state),
            battery_pct=sensor.battery_pct,
            worn=self.facts.worn(name),
            packets=live.records,
            dropped=live.dropped + self.inbox.dropped[name],
            undecodable=self.intake.undecodable[name],
            oddities=live.oddities,
            missing=live.missing,
            warm_up_left_s=live.warm_up_left_s,
        )

    def _trouble(self, state: SessionState) -> Trouble | None:
        """What keeps a sensor from sending; nothing does while it streams."""
        if state.trouble is None or state.trouble_boot_ns is None or state.phase is Phase.STREAMING:
            return None
        age_s = (self.clock.boot_ns() - state.trouble_boot_ns) / NS_PER_S
        return Trouble(state.trouble.cause, state.trouble.remedy, state.detail, age_s)

    @property
    def is_catching_up(self) -> bool:
        """Whether a sensor is still asked for what was missed."""
        return any(sensor.live().is_catching_up for sensor in self.sensors.values())

    def _recall(self) -> None:
        """Silence counts from what an earlier process stored, too."""
        now = self._moment()
        stored = survey.stored(self.config, now, self.store.tables, simulated=self.store.simulated)
        for sensor in stored.sensors:
            for value in sensor.values:
                if value.counts and value.age_s is not None:
                    self.facts.note_heard(sensor.id, now.boot_ns - round(value.age_s * NS_PER_S))

    def _poll_clock(self) -> None:
        self.timekeeper.poll()
        self.agenda.set("clock", self.clock.boot_ns() + CLOCK_POLL_NS, self._poll_clock)

    def _await_periods(self) -> None:
        self.agenda.set("periods", self.periods.next_due_boot_ns(), self._close_periods)

    def _close_periods(self) -> None:
        # The open packets of the straps are stored before the period is closed, in the same transaction.
        for sensor in self.sensors.values():
            sensor.flush()
        self.periods.close_due()
        self._await_periods()

    async def _purge(self) -> None:
        """Delete what is older than it is kept, a slice at a time; never by a clock that may be wrong."""
        while True:
            await asyncio.sleep(PURGE_S)
            now_ns = self.timekeeper.trusted_utc_ns()
            if now_ns is None:
                continue
            slice_of = partial(
                retention.purge_slice,
                timeline=self.timekeeper.timeline,
                now_utc_s=now_ns // NS_PER_S,
                limits=self.config.limits,
                rows_max=PURGE_ROWS_MAX,
            )
            with suppress(StoreUnavailable):
                while await self.store.write(slice_of):
                    await asyncio.sleep(PURGE_PAUSE_S)


SENSORS: Final[dict[Procedure, Callable[[SensorConfig, SensorRow, Means], Sensor]]] = {
    Procedure.HEART_STRAP: HeartStrap,
    Procedure.CGM: CgmSensor,
}
"""The gateway's side of a sensor, by what is said to it."""


async def unforeseen(task: Coroutine[Any, Any, None], name: str) -> None:
    """Run a task; name it in the log if it ends in a way nobody foresaw, and pass that on."""
    try:
        await task
    except (StoreCorrupt, StoreGone):
        raise  # foreseen: the next start, or the next gateway, begins a new store
    except Exception as error:
        log.critical("%s stopped: %s: %s", name, type(error).__name__, error)
        raise


async def _until_it_fails(task: "asyncio.Future[None]") -> None:
    """Ends as the task does; being cancelled leaves the task alone."""
    await asyncio.shield(task)
