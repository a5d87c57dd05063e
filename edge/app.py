"""The gateway as a whole: builds the parts, runs their tasks, ends cleanly.

Each task has the one broad `except` of this program: it logs what nobody foresaw and lets it end the process, because
a restart from the store is the recovery.
"""

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Any, Final
from zoneinfo import ZoneInfo

from edge import identity
from edge.agenda import Agenda
from edge.alerts.board import AlertBoard, Parts
from edge.alerts.channels import Command, Journal, Socket
from edge.alerts.delivery import Channel, Delivery
from edge.alerts.ledger import Ledger
from edge.clock import NS_PER_S, Clock
from edge.config import Config, SensorConfig
from edge.contacts import CONTACTS, Ways
from edge.errors import StoreCorrupt, StoreGone, StoreUnavailable
from edge.feeds.client import Web
from edge.feeds.sensor import SgvFeed
from edge.feeds.web import open_web
from edge.history.periods import Periods
from edge.identity import Identity
from edge.kernels_ready import KernelsReady
from edge.kinds import KINDS, PAIRABLE, Procedure
from edge.local import survey
from edge.local.control import Control
from edge.local.reception import Reception, moment
from edge.local.status import StatusDocument
from edge.lock import lock
from edge.now.facts import Facts
from edge.now.present import Insight, Present
from edge.radio.adapter import Radio
from edge.radio.inbox import Inbox
from edge.radio.intake import Intake
from edge.radio.pairing.bond import Bond
from edge.radio.pairing.kept import KeptBond, prune
from edge.sensors.advertised.aidex import AidexSensor
from edge.sensors.advertised.scale import ScaleSensor
from edge.sensors.cgm import CgmSensor
from edge.sensors.heart_strap import HeartStrap
from edge.sensors.means import Means
from edge.sensors.polar.sensor import Polar
from edge.sensors.sensor import Sensor
from edge.sensors.sources import known_pairs
from edge.sensors.spot.sensor import SpotSensor
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
LOOK_UPSTREAM_S = 900.0


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
        kernels: KernelsReady | None = None,
        channels: Sequence[Channel] = (),
        web: Callable[[SensorConfig], Web] = open_web,
    ) -> None:
        """Open the store and wire the parts; nothing runs yet. `known` is the identity, if its file has vanished.

        `kernels` become ready later; None: they are. `channels` tell alerts, beside those of this machine. `web` opens
        the way to a feed.

        Raises:
            ConfigError: what the operator has to mend, another gateway on this state directory included.
            StoreUnavailable: the database cannot be used.
        """
        self.config = config
        self.clock = clock
        self._workers = workers
        self._radio = radio
        self._kernels = kernels or KernelsReady()
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
        self.insights: dict[str, Insight] = {}
        means = self._means(rng)
        self.sensors = {
            sensor.id: SENSORS[KINDS[sensor.kind].procedure](sensor, row, means)
            for sensor, row in zip(config.sensors, self.rows, strict=True)
        }
        self.intake = Intake(self.inbox, {name: sensor.take for name, sensor in self.sensors.items()}, clock)
        self.bonds = {
            name: Bond(sensor.config, sensor.kind, radio.pairing, KeptBond(self.store, row.no), clock)
            for (name, sensor), row in zip(self.sensors.items(), self.rows, strict=True)
            if sensor.kind in PAIRABLE
        }
        self._pairing = radio.pairing
        ways = Ways(radio, self.inbox, clock, config.limits, rng, self.bonds, web)
        self.contacts = {
            name: CONTACTS[sensor.kind.reach](sensor, ways) for name, sensor in self.sensors.items()
        }
        self.uploader = self._uploader(rng, simulated=simulated)
        self.timekeeper.look()
        self._recall()
        socket, ledger = Socket(), Ledger(self.store, self.agenda, clock, self.boot_no)
        self._delivery = Delivery([*self._own_channels(), socket, *channels], ledger, clock)
        self.present = self._present()
        self.alerts = self._board(ledger)
        self.reception = self._reception(socket)

    def _means(self, rng: random.Random) -> Means:
        return Means(
            store=self.store,
            periods=self.periods,
            facts=self.facts,
            agenda=self.agenda,
            clock=self.clock,
            timekeeper=self.timekeeper,
            limits=self.config.limits,
            identity=self.identity,
            zone=ZoneInfo(self.config.gateway.timezone),
            insights=self.insights,
            kernels=self._kernels,
            rng=rng,
        )

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

    def _own_channels(self) -> list[Channel]:
        delivery = self.config.delivery
        command = [Command(delivery.command, delivery.command_timeout_s)] if delivery.command else []
        return [Journal(), *command]

    def _board(self, ledger: Ledger) -> AlertBoard:
        parts = Parts(
            config=self.config,
            identity=self.identity,
            facts=self.facts,
            present=self.present,
            timekeeper=self.timekeeper,
            agenda=self.agenda,
            ledger=ledger,
            delivery=self._delivery,
        )
        return AlertBoard(self.rows, self.store.tables, parts)

    def _reception(self, socket: Socket) -> Reception:
        return Reception(
            config=self.config,
            store=self.store,
            timekeeper=self.timekeeper,
            sensors=self.sensors,
            contacts=self.contacts,
            bonds=self.bonds,
            facts=self.facts,
            inbox=self.inbox,
            intake=self.intake,
            uploader=self.uploader,
            periods=self.periods,
            alerts=self.alerts,
            present=self.present,
            socket=socket,
            radio=self._radio,
        )

    def _present(self) -> Present:
        present = Present(
            self.config,
            facts=self.facts,
            sensors=self.sensors,
            contacts=self.contacts,
            timekeeper=self.timekeeper,
            store=self.store,
            clock=self.clock,
            dead_channels=lambda: self._delivery.dead,
        )
        present.insights = self.insights
        self.facts.before_fact = present.standing.note
        for one, other, are_same in known_pairs(self.store.tables, self.rows):
            present.standing.recall(one, other, are_same=are_same)
        present.route_troubles = lambda: {FILES: self.uploader.state.trouble}
        return present

    async def run(self) -> None:
        """Run until cancelled; what is open in memory is stored on the way out."""
        self.timekeeper.on_change = self.periods.place_again
        self.periods.on_marked = self._await_periods
        self.periods.on_enqueued = self.uploader.wake.set
        self.alerts.start()
        self._poll_clock()
        # Nothing else asks when the periods are due that an earlier process left open.
        self._kernels.when(self._await_periods)
        asking = Control(self.config.gateway.state_dir, self.reception)
        writing = asyncio.ensure_future(unforeseen(self.store.run(), "store"))
        try:
            await asking.open()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_until_it_fails(writing))
                for name, contact in self.contacts.items():
                    tasks.create_task(unforeseen(contact.run(), f"contact {name}"))
                tasks.create_task(unforeseen(self._radio.run(), "radio"))
                tasks.create_task(unforeseen(self.intake.run(), "intake"))
                tasks.create_task(unforeseen(self.uploader.run(), "uploader"))
                tasks.create_task(unforeseen(self.agenda.run(), "agenda"))
                tasks.create_task(unforeseen(self._delivery.run(), "delivery of alerts"))
                tasks.create_task(unforeseen(self._look_upstream(), "look upstream"))
                tasks.create_task(unforeseen(self._purge(), "retention"))
                tasks.create_task(unforeseen(prune(self.store, self._pairing), "bonds"))
        finally:
            asking.close()
            await self._store_the_rest(writing)

    async def _store_the_rest(self, writing: "asyncio.Future[None]") -> None:
        for sensor in self.sensors.values():
            sensor.flush()
        try:
            if not writing.done():
                # What is under way does not hold the newest.
                for _ in range(2):
                    self.alerts.save()
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
        return await self.reception.status()

    @property
    def is_catching_up(self) -> bool:
        """Whether a sensor is still asked for what was missed."""
        return any(sensor.live().is_catching_up for sensor in self.sensors.values())

    def _recall(self) -> None:
        """Silence counts from what an earlier process stored, too."""
        now = moment(self.timekeeper)
        stored = survey.stored(self.config, now, self.store.tables, simulated=self.store.simulated)
        for sensor in stored.sensors:
            for value in sensor.values:
                # What seems to come from the future was dated by a clock that was fast.
                if value.counts and value.age_s is not None and value.age_s >= 0.0:
                    self.facts.note_heard(sensor.id, now.boot_ns - round(value.age_s * NS_PER_S))

    async def _look_upstream(self) -> None:
        """See now and then how long the oldest item has waited that may be sent."""
        while True:
            with suppress(StoreUnavailable):
                self.present.note_oldest(FILES, await self.uploader.oldest())
            await asyncio.sleep(LOOK_UPSTREAM_S)

    def _poll_clock(self) -> None:
        self.timekeeper.poll()
        self.agenda.set("clock", self.clock.boot_ns() + CLOCK_POLL_NS, self._poll_clock)

    def _await_periods(self) -> None:
        if self._kernels.is_ready:
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
                now=retention.Present(now_ns // NS_PER_S, self.boot_no, self.clock.boot_ns()),
                limits=self.config.limits,
                rows_max=PURGE_ROWS_MAX,
            )
            with suppress(StoreUnavailable):
                while await self.store.write(slice_of):
                    await asyncio.sleep(PURGE_PAUSE_S)


SENSORS: Final[dict[Procedure, Callable[[SensorConfig, SensorRow, Means], Sensor]]] = {
    Procedure.HEART_STRAP: HeartStrap,
    Procedure.POLAR: Polar,
    Procedure.CGM: CgmSensor,
    Procedure.AIDEX: AidexSensor,
    Procedure.SCALE: ScaleSensor,
    Procedure.SPOT: SpotSensor,
    Procedure.SGV: SgvFeed,
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
