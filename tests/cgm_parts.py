"""What a CGM collector stands on, in memory and in virtual time: a store whose commits are late, fail or are cut, the
clocks of a boot, a link that is cut at any packet, facts that are watched.

The tables are the real ones, over a database in memory; the writer is not: it commits what waits after `delay_s`, or
fails to, and what was not committed when the gateway is killed is lost.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any, Protocol
from uuid import UUID
from zoneinfo import ZoneInfo

from bleak.exc import BleakError
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, minimal_config
from msgspec import structs

from edge.agenda import Agenda
from edge.anchors import Anchor, Timeline
from edge.errors import StoreUnavailable
from edge.kernels_ready import KernelsReady
from edge.now.facts import Fact, Facts
from edge.radio.inbox import Inbox, Notification
from edge.radio.intake import Intake
from edge.sensors.cgm import CgmSensor
from edge.sensors.cgm_identity import SessionNames
from edge.sensors.means import Means
from edge.store.database import Database
from edge.store.readings import Reading
from edge.store.schema import create
from edge.store.sessions import Session
from edge.store.tables import Tables
from hw_sim.radio.direct_stack import DirectLink, DirectStack

S = 10**9
CONFIG = minimal_config(Path("nowhere"))
CGM = CONFIG.sensors[1]
SHM = Path("/dev/shm")


class MemoryStore:
    """A store that commits after `delay_s`, or fails while `is_full`."""

    def __init__(self) -> None:
        # The file goes at once; what is in it is there for as long as it is open.
        with TemporaryDirectory(dir=SHM if SHM.is_dir() else None) as directory:
            database = Database(Path(directory) / "store.db", IDENTITY)
            database.execute("PRAGMA journal_mode = MEMORY")
            with database.transaction():
                create(database)
        self.tables = Tables(database)
        with database.transaction():
            (self.row,) = self.tables.sensors.register([CGM], CONFIG.people, boot_no=1, boot_ns=0)
        self.delay_s = 0.0
        self.is_full = False
        self.commits = 0
        self._waiting: list[tuple[Callable[[Tables], Any], asyncio.Future[Any]]] = []

    def submit(self, work: Callable[[Tables], Any]) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not self._waiting:
            loop.call_later(self.delay_s, self._commit, self._waiting)
        self._waiting.append((work, future))
        return future

    def _commit(self, group: list[tuple[Callable[[Tables], Any], "asyncio.Future[Any]"]]) -> None:
        if group is not self._waiting:
            return  # the gateway was killed
        self._waiting = []
        if self.is_full:
            for _, future in group:
                future.set_exception(StoreUnavailable("the disk is full"))
                future.exception()
            return
        results = []
        with self.tables.database.transaction():
            for work, _ in group:
                results.append(work(self.tables))
        self.commits += 1
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():  # the world has ended
                future.set_result(result)

    async def read(self, work: Callable[[Tables], Any]) -> Any:
        await asyncio.sleep(0)
        return work(self.tables)

    def post(self, work: Callable[[Tables], Any]) -> None:
        self.submit(work)

    def kill(self) -> None:
        """What was not committed is lost."""
        self._waiting = []

    # What is there

    def sessions(self) -> list[Session]:
        return self.tables.sessions.of_sensor(self.row.no)

    def kept(self, number: int | None = None) -> list[int]:
        """Offsets of the newest session, or of the one with that number."""
        sessions = [s for s in self.sessions() if number in (None, s.number)]
        return self.tables.readings.sequences(sessions[-1].no, "glucose") if sessions else []

    def readings(self, session: Session) -> list[Reading]:
        return self.tables.readings.between(session.no, "glucose", 0, 1 << 30)

    @property
    def watermark(self) -> int:
        return self.sessions()[-1].watermark

    @property
    def given_up(self) -> list[tuple[int, int, str]]:
        return [note[:3] for note in self.tables.sessions.given_up(self.sessions()[-1].no)]


class PlainPeriods:
    """Keeps readings, and nothing else."""

    def __init__(self) -> None:
        self.changes: list[tuple[Session, Session]] = []

    def keep_readings(
        self, tables: Tables, session: Session, measurement: str, readings: Sequence[Reading], _: object
    ) -> list[Reading]:
        return tables.readings.insert(session.no, measurement, readings)

    def session_changed(self, _: Tables, before: Session, after: Session) -> None:
        self.changes.append((before, after))


@dataclass
class Clocks:
    """The clocks of one boot, and what is made of them; the world's time is the loop's."""

    boot_no: int = 1
    booted_s: float = 0.0
    wrong_s: float = 0.0
    error_ms: int | None = 500
    suggested: list[tuple[int, int, int, str]] = field(default_factory=list)
    timeline: Timeline = field(default_factory=Timeline)
    _newest_ns: int = 0

    @property
    def boot_id(self) -> str:
        return f"boot-{self.boot_no}"

    def boot_ns(self) -> int:
        now_ns = round((asyncio.get_running_loop().time() - self.booted_s) * S)
        if self.booted_s:
            # A later boot tells moments apart that are one to the loop, whose seconds are more: whoever waits for the
            # next of them would wait for ever, if looking at the clock took no time.
            now_ns = self._newest_ns = max(self._newest_ns + 1, now_ns)
        return now_ns

    def utc_ns(self) -> int:
        return round((MIDNIGHT_UTC_S + self.wrong_s + asyncio.get_running_loop().time()) * S)

    def boot_ns_at(self, utc_ns: int) -> int | None:
        return None if self.error_ms is None else self.boot_ns() + utc_ns - self.utc_ns()

    def trusted_utc_ns(self) -> int | None:
        return None if self.error_ms is None else self.utc_ns()

    def trusted_error_ms(self) -> int | None:
        return self.error_ms

    def suggest(self, utc_ns: int, boot_ns: int, error_ms: int, source: str) -> None:
        self.suggested.append((utc_ns, boot_ns, error_ms, source))


class WatchedFacts(Facts):
    """Remembers everything that was noted."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[float, Fact]] = []

    def note(
        self,
        sensor_id: str,
        measurement: str,
        value: float,
        taken_boot_ns: int,
        not_counted: str | None = None,
    ) -> None:
        super().note(sensor_id, measurement, value, taken_boot_ns, not_counted)
        newest = self.newest(sensor_id, measurement)
        assert newest is not None
        self.noted.append((asyncio.get_running_loop().time(), newest))


class Body(Protocol):
    """A sensor that is read, written, and told of its link."""

    def on_connected(self, link: DirectLink) -> None: ...

    def on_disconnected(self) -> None: ...

    def read(self, characteristic: str) -> bytes: ...

    def write(self, characteristic: str, payload: bytes) -> None: ...


class ScriptedLink:
    """A link to a body; lost for good when it is cut."""

    def __init__(self, number: int, body: Any, inbox: Inbox, clocks: Clocks) -> None:
        self.number = number
        self.lost = asyncio.Event()
        self.direct = DirectLink(body, lambda _: None, DirectStack().bluetoothd)
        self.direct.join(self)
        self._body = body
        self._inbox = inbox
        self._clocks = clocks
        body.on_connected(self.direct)

    def on_link_ended(self) -> None:
        self.lost.set()

    def _pass(self) -> None:
        if not self.direct.passes():
            raise BleakError("Not connected")

    async def read(self, characteristic: str) -> bytes:
        self._pass()
        value: bytes = self._body.read(characteristic)
        await asyncio.sleep(0)
        self._pass()
        return value

    def has(self, _: str) -> bool:
        return False

    async def write(self, characteristic: str, payload: bytes) -> None:
        self._pass()
        self._body.write(characteristic, payload)
        await asyncio.sleep(0)
        self._pass()

    async def subscribe(self, characteristic: str) -> None:
        self._pass()

        def enqueue(payload: bytearray) -> None:
            self._inbox.put(
                Notification(CGM.id, self.number, characteristic, self._clocks.boot_ns(), bytes(payload))
            )

        self.direct.listen(self, characteristic, enqueue)
        await asyncio.sleep(0)

    async def battery_pct(self) -> int:
        return 50


def session_names(rng: random.Random, taken: Iterable[UUID] = (), person: str = "p-7f3a") -> SessionNames:
    """Names of the sessions of one sensor and its wearer."""
    return SessionNames(partial(IDENTITY.id, "session", person), taken, rng)


class Gateway:
    """One process after the other on one store."""

    def __init__(
        self,
        *,
        capacity: int = 4096,
        rng: random.Random | None = None,
        kernels: KernelsReady | None = None,
    ) -> None:
        self.kernels = kernels or KernelsReady()
        self.store = MemoryStore()
        self.periods = PlainPeriods()
        self.clocks = Clocks()
        self.facts = WatchedFacts()
        self.links = 0
        self._capacity = capacity
        self._rng = rng or random.Random(1)
        self.start()

    def start(self) -> None:
        """A new process; what it knows is what is stored."""
        self.inbox = Inbox(self._capacity)
        self.facts = WatchedFacts()
        self.agenda = Agenda(self.clocks)
        parts: Any = SimpleNamespace(store=self.store, periods=self.periods, clocks=self.clocks)
        self.cgm = CgmSensor(
            CGM,
            self.store.row,
            Means(
                store=parts.store,
                periods=parts.periods,
                facts=self.facts,
                agenda=self.agenda,
                clock=self.clocks,
                timekeeper=parts.clocks,
                limits=CONFIG.limits,
                identity=IDENTITY,
                zone=ZoneInfo("UTC"),
                insights={},
                kernels=self.kernels,
                rng=self._rng,
            ),
        )
        self.intake = Intake(self.inbox, {CGM.id: self.cgm.take}, self.clocks)

    def restart(self, *, boots: bool = False, error_ms: int | None = 500, wrong_s: float = 0.0) -> None:
        """The process is killed and started again, with `boots` the machine too."""
        self.store.kill()
        if boots:
            now_s = asyncio.get_running_loop().time()
            self.clocks = Clocks(
                self.clocks.boot_no + 1, now_s, wrong_s, error_ms, timeline=self._timeline_until_now()
            )
        self.start()

    def _timeline_until_now(self) -> Timeline:
        clocks = self.clocks
        anchor = Anchor(clocks.boot_no, clocks.boot_ns(), clocks.utc_ns(), clocks.error_ms, "system")
        return clocks.timeline.with_anchor(anchor)

    def hand_on(self, pseudonym: str) -> None:
        """The sensor is another person's from now on: the process is started again with another configuration."""
        self.store.kill()
        people = [structs.replace(CONFIG.people[0], pseudonym=pseudonym)]
        tables, now = self.store.tables, (self.clocks.boot_no, self.clocks.boot_ns())
        with tables.database.transaction():
            (self.store.row,) = tables.sensors.register([CGM], people, boot_no=now[0], boot_ns=now[1])
        self.start()

    def link(self, body: Any) -> ScriptedLink:
        return ScriptedLink(self.inbox.open_link(CGM.id), body, self.inbox, self.clocks)

    async def talk(self, body: Any, seconds: float, cut_at: int | None = None) -> BaseException | None:
        """One link for so long, or until it is cut; how the conversation ended by itself, if it did."""
        link = self.link(body)
        link.direct.cut_at = cut_at
        line = asyncio.ensure_future(self.intake.run())
        talk = asyncio.ensure_future(self.cgm.converse(link))  # type: ignore[arg-type]
        lost = asyncio.ensure_future(link.lost.wait())
        await asyncio.wait({talk, line, lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        assert not line.done(), line.exception()
        ended = talk.exception() if talk.done() else None
        for task in (talk, line, lost):
            task.cancel()
        with suppress(BleakError):
            await asyncio.wait({talk, line, lost})
        link.direct.end()
        return ended


Scenario = Callable[[Gateway], Awaitable[None]]
