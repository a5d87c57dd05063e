"""People who wear sensors, and the machine with the gateway that hears them: for schedules.

The world knows what is true. What a reading is worth says whose it is, of which session, and which: `glucose_of`. Time
is the loop's; `utc_s` is the true time of day, whatever the machine's clock shows. Nothing random happens here but what
is drawn from the world's `rng`, so a seed replays.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from edge.app import Gateway
from edge.config import Config, parse
from edge.contact import Phase
from edge.workers import Workers
from hw_sim.disk import InstantDisk, SimulatedDisk
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from hw_sim.sensors.wayward_cgm import WaywardCgm
from protocols import heart_rate
from protocols.cgm import CgmMeasurement, SensorStatus
from tools.rig.home.machine import Machine, direct

PEOPLE = ("anna", "ben")
# 2026-03-02 00:00 in Berlin
MIDNIGHT_UTC_S = 1_772_406_000
INTERVAL_S = 300.0
BEAT_S = 5.0
RR_TICKS = 1020
LIVE_S = 2.0
AGE_S_MAX = 12 * 60.0
WATCH_S = 60.0
DISK_DELAYS_S = ((0.005, 0.05), (0.0, 0.5), (0.5, 4.0))
# A second's back-off, the first look at what is connected, and the requests of setting up.
BACK_AGAIN_S = 10.0
CONNECTED = (Phase.SETTLING, Phase.STREAMING)
INVALID = SensorStatus.SENSOR_MALFUNCTION

FILE = """
[gateway]
id = "gw"
state_dir = "state"
timezone = "Europe/Berlin"
[upstream]
directory = "bundles"
interval_s = 900.0
[limits]
racp_reconcile_s = 900.0
"""
PERSON = """
[[people]]
id = "{name}"
pseudonym = "p-{name}"
[people.consent]
heart_summaries = true
glucose_summaries = true
glucose_readings = true
"""
SENSOR = """
[[sensors]]
id = "{name}-{kind}"
kind = "{kind}"
address = "{address}"
person = "{name}"
stale_s = {stale_s}
accept_just_works = true
"""
# A strap is silent most of the time here, and not for that taken for lost.
STALE_S = {"cgm": 660.0, "heart_rate": 7200.0}


def glucose_of(person: int, session: int, number: int) -> float:
    """A value that says whose it is, of which session, and which reading."""
    return float(40 + person + 2 * (session % 5) + 10 * (number % 50))


def person_of(glucose_mg_dl: float) -> int:
    return int(glucose_mg_dl) % 2


@dataclass
class Wearer:
    """A person, what they wear, and what was measured: records by session and offset, and when it was."""

    number: int
    cgm: WaywardCgm
    strap: DirectStrap | None
    taken: list[dict[int, CgmMeasurement]] = field(default_factory=lambda: [{}])
    taken_s: dict[tuple[int, int], float] = field(default_factory=dict)
    beats: list[tuple[float, int]] = field(default_factory=list)
    clock_was_set: set[int] = field(default_factory=set)
    readings: int = 0
    packets: int = 0
    newest_live: float | None = None
    is_told_from_s: float = 0.0

    @property
    def name(self) -> str:
        return PEOPLE[self.number]

    @property
    def cgm_id(self) -> str:
        return f"{self.name}-cgm"

    @property
    def strap_id(self) -> str:
        return f"{self.name}-heart_rate"

    def note(self, record: CgmMeasurement | None, at_s: float) -> None:
        if record is not None:
            session = len(self.taken) - 1
            self.taken[session][record.time_offset_min] = record
            self.taken_s[session, record.time_offset_min] = at_s

    def next_value(self) -> float:
        self.readings += 1
        return glucose_of(self.number, len(self.taken) - 1, self.readings)


class World:
    """Everything outside the gateway, and the gateway of the moment."""

    def __init__(self, directory: Path, rng: Random, *, zero_utc_s: float, stack: DirectStack) -> None:
        """`zero_utc_s` is the true time at the loop's zero."""
        self.directory = directory
        self.rng = rng
        self.stack = stack
        self.wearers: list[Wearer] = []
        self.is_worn = True
        self.disk_failed = False
        self.broken: list[str] = []
        self.counts: Counter[str] = Counter()
        self.on_watch: Callable[[], None] = lambda: None
        self.machine = Machine(
            self.config,
            direct(stack),
            zero_utc_s=zero_utc_s,
            new_rng=lambda _: Random(rng.getrandbits(32)),
            new_workers=self._new_workers,
        )
        self.machine.on_start = self._check_age
        self.machine.died.add_done_callback(
            lambda died: self.fail(f"the gateway ended by itself: {died.result()}")
        )

    @property
    def now_s(self) -> float:
        return self.machine.now_s

    @property
    def utc_s(self) -> float:
        return self.machine.utc_s

    def config(self) -> Config:
        text = FILE + "".join(PERSON.format(name=wearer.name) for wearer in self.wearers)
        for wearer in self.wearers:
            worn = {"cgm": wearer.cgm, **({"heart_rate": wearer.strap} if wearer.strap else {})}
            for kind, sensor in worn.items():
                text += SENSOR.format(
                    name=wearer.name, kind=kind, address=sensor.address, stale_s=STALE_S[kind]
                )
        return parse(text.encode(), self.directory / "gateway.toml")

    def fail(self, what: str) -> None:
        """Note what must never happen; raising in a timer would be lost."""
        self.broken.append(f"{what} (at {self.now_s:.3f} s)")

    # The gateway's lives

    def _new_workers(self) -> Workers:
        delay_s = self.rng.choice(DISK_DELAYS_S)
        disk = SimulatedDisk(self.rng.getrandbits(32), delay_s=delay_s)
        return Workers(disk, InstantDisk(), InstantDisk())

    @property
    def gateway(self) -> Gateway | None:
        return self.machine.gateway if self.machine.is_running else None

    def _check_age(self, gateway: Gateway) -> None:
        """A record is live by its age, whatever else is going on."""
        note = gateway.facts.note

        def noted(
            sensor_id: str, measurement: str, value: float, taken_boot_ns: int, *why: str | None
        ) -> None:
            age_s = (self.machine.clock.boot_ns() - taken_boot_ns) / 1e9
            if age_s > AGE_S_MAX:
                self.fail(f"{sensor_id}: {value} is told as live and was taken {age_s:.0f} s ago")
            note(sensor_id, measurement, value, taken_boot_ns, *why)

        setattr(gateway.facts, "note", noted)  # noqa: B010 - a method is not to be assigned to

    def expect_back(self) -> None:
        """Whoever was connected, and stays so, is heard again within one back-off."""
        held = {address: self.stack.losses[address] for address in self.stack.links}
        life = len(self.machine.starts_s)

        def check() -> None:
            if self.gateway is None or len(self.machine.starts_s) != life:
                return
            for name, session in self.gateway.contacts.items():
                address = session.sensor.config.address
                is_lost = self.stack.losses[address] != held.get(address)
                if not is_lost and session.state.phase not in CONNECTED:
                    self.fail(
                        f"{name} was connected all along and is {session.state} {BACK_AGAIN_S} s after a kill"
                    )

        asyncio.get_running_loop().call_later(BACK_AGAIN_S, check)

    # What people's bodies do

    def wear(self, wearer: Wearer, phase_s: float) -> None:
        self.wearers.append(wearer)
        self.stack.add(wearer.cgm, *([wearer.strap] if wearer.strap else []))
        wearer.cgm.on_live = lambda record: self._on_live(wearer, record)
        asyncio.get_running_loop().call_later(phase_s, self._measure, wearer)

    def _measure(self, wearer: Wearer) -> None:
        if not self.is_worn:
            return
        draw = self.rng.random()
        value = math.nan if draw < 0.02 else wearer.next_value()
        status = INVALID if 0.02 <= draw < 0.04 else SensorStatus(0)
        (times,) = self.rng.choices([1, 0, 2], [90, 5, 5])
        if self.now_s < wearer.is_told_from_s:
            times = 0
        wearer.newest_live = None
        wearer.note(wearer.cgm.take(value, status=status, times_told=times), self.now_s)
        asyncio.get_running_loop().call_later(INTERVAL_S, self._measure, wearer)

    def _on_live(self, wearer: Wearer, record: CgmMeasurement) -> None:
        """A living gateway has been told: within two seconds it is known, whatever else is going on.

        The first after a session or a clock has changed may need a look at the sensor, for which it takes a link.
        """
        is_readable = record.time_offset_min not in wearer.cgm.unreadable
        if (
            self.gateway is None
            or not is_readable
            or record.status
            or not isinstance(record.glucose_mg_dl, float)
        ):
            return
        address = wearer.cgm.address
        value, life, losses = record.glucose_mg_dl, len(self.machine.starts_s), self.stack.losses[address]
        wearer.newest_live = value
        self.counts["live"] += 1

        def check() -> None:
            is_same_life = self.gateway is not None and len(self.machine.starts_s) == life
            if not is_same_life or wearer.newest_live != value or self.stack.losses[address] != losses:
                return
            assert self.gateway is not None
            fact = self.gateway.facts.newest(wearer.cgm_id, "glucose")
            if fact is None or fact.value != value:
                self.fail(
                    f"{wearer.cgm_id}: {value} of minute {record.time_offset_min} is not known, but {fact}"
                )

        asyncio.get_running_loop().call_later(LIVE_S, check)

    def beat(self, wearer: Wearer, until_s: float) -> None:
        """A strap's packet every few seconds: the energy tells which, the intervals whose."""
        if wearer.strap is None or self.now_s > until_s:
            return
        wearer.packets += 1
        reading = heart_rate.HeartRateMeasurement(
            60, contact=True, energy_kj=wearer.packets, rr_ticks=(RR_TICKS + wearer.number,) * 5
        )
        if wearer.strap.send(heart_rate.encode(reading)) and self.gateway is not None:
            wearer.beats.append((self.now_s, wearer.packets))
        asyncio.get_running_loop().call_later(BEAT_S, self.beat, wearer, until_s)

    # Watching

    def watch(self) -> None:
        """Now and then, as long as the gateway lives."""
        if self.gateway is not None:
            self.on_watch()
        asyncio.get_running_loop().call_later(WATCH_S, self.watch)
