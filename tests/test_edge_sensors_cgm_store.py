"""What of a session is written is written whole, and the watermark with the records it moves over."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cgm_parts import Gateway, MemoryStore, PlainPeriods, session_names
from edge_parts import (
    IDENTITY,
    MIDNIGHT_UTC_S,
    in_transaction,
    minimal_config,
    open_store,
    running,
    sensor_row,
)
from scripted_cgm import Sensor

from edge.agenda import Agenda
from edge.history.periods import Periods
from edge.kernels_ready import KernelsReady
from edge.now.facts import Facts
from edge.radio.inbox import Inbox
from edge.radio.intake import Intake
from edge.sensors import cgm_store
from edge.sensors.cgm import CgmSensor
from edge.sensors.cgm_identity import Beginning, Seen, begin
from edge.sensors.cgm_ledger import Loss
from edge.sensors.cgm_store import Entry
from edge.sensors.means import Means
from edge.sensors.validity import NotCounted
from edge.store.readings import Reading
from edge.store.sessions import GivenUp
from edge.store.tables import Tables
from edge.timekeeper import Timekeeper
from hw_sim.clock import VirtualClock, run
from protocols.cgm import CgmMeasurement, OctetOrder
from protocols.cgm_profile import CgmProfile
from protocols.medfloat import MedFloat, Special

S = 10**9


def beginning(seed: int = 1) -> Beginning:
    return begin(
        Seen(1000, None, 1, -60_000 * S, MIDNIGHT_UTC_S, 500), 0, 240, session_names(random.Random(seed))
    )


def reading(offset: int, value: float | None = 100.0) -> Reading:
    return Reading(offset, 60 * offset, value, None, None, 0, None, 1, 0, fetched=False)


def gap(first: int, last: int) -> GivenUp:
    return GivenUp(first, last, Loss.NO_RECORDS.value, 3, 1, 0)


class Box:
    """A store in memory, and entries written into it, each in a transaction of its own."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.periods = PlainPeriods()
        self.entry = Entry(self.store.row.no, beginning())

    def write(self, **fields: Any) -> cgm_store.Written:
        periods: Any = self.periods
        timeline: Any = None
        with self.store.tables.database.transaction():
            return cgm_store.write(self.store.tables, self.entry._replace(**fields), periods, timeline)

    def keep(self, offsets: Sequence[int], usual_min: float | None = 5.0, **fields: Any) -> cgm_store.Written:
        return self.write(readings=[reading(o) for o in offsets], usual_min=usual_min, **fields)


def test_the_first_entry_begins_the_session_and_the_next_ones_find_it() -> None:
    box = Box()
    session = box.write().session
    assert (session.uuid, session.number, session.watermark) == (box.entry.beginning.uuid, 1, -1)
    assert box.keep(range(0, 50, 5)).session.no == session.no
    assert len(box.store.sessions()) == 1


def test_an_entry_that_could_not_be_written_takes_none_with_it() -> None:
    box = Box()
    box.write()
    box.store.tables.database.execute("DELETE FROM sessions")
    # The entries before this one were not written: it begins the session, and passes none of their records.
    assert box.keep([25, 30, 35]).session.watermark == -1
    assert box.keep([0, 5, 10, 15, 20]).session.watermark == 35


def test_another_session_ends_the_one_before_and_says_so() -> None:
    box = Box()
    box.keep([0])
    box.entry = box.entry._replace(beginning=beginning(2))
    box.write()
    first, second = box.store.sessions()
    assert (first.ended, second.ended, second.number) == ("superseded", None, 2)
    assert (first._replace(ended=None), first) in box.periods.changes


def test_the_watermark_moves_by_what_the_store_has_over_what_follows() -> None:
    box = Box()
    assert box.keep([0, 5, 10]).session.watermark == 10
    assert box.keep([20, 25], usual_min=None).session.watermark == 10
    assert box.keep([30]).session.watermark == 10
    assert box.keep([15]).session.watermark == 30
    assert box.write(given_up=[gap(31, 99)], usual_min=5.0).session.watermark == 99
    assert box.keep([100, 200]).session.watermark == 100
    assert box.periods.changes[-1][1].watermark == 100


def test_what_was_given_up_and_comes_after_all_is_given_up_no_longer() -> None:
    box = Box()
    written = box.write(given_up=[gap(0, 99)])
    assert written.given_up == [gap(0, 99)]
    assert box.keep([50], came_after_all=[50]).given_up == [gap(0, 49), gap(51, 99)]
    # Also where both are written at once, because the first could not be before.
    written = box.keep([150], given_up=[gap(150, 150)], came_after_all=[150])
    assert written.given_up == [gap(0, 49), gap(51, 99)]


def test_a_start_that_somebody_vouched_for_first_is_left_alone() -> None:
    box = Box()
    box.entry = box.entry._replace(beginning=beginning()._replace(start_utc_s=5, start_error_ms=None))
    no = box.write().session.no
    with box.store.tables.database.transaction():
        box.store.tables.sessions.update(no, start_utc_s=1000, start_error_ms=9)
    changes = (("start_utc_s", 1060), ("start_error_ms", 60_500), ("told_start_utc_s", 7))
    session = box.write(changes=changes).session
    assert (session.start_utc_s, session.told_start_utc_s) == (1000, 7)


def test_what_is_read_at_the_start_is_what_was_written() -> None:
    box = Box()
    assert cgm_store.load(box.store.tables, box.store.row.no) is None
    box.write(
        readings=[reading(0, None), reading(5, None), *(reading(o, float(o)) for o in range(10, 100, 5))]
    )
    box.write(given_up=[gap(100, 200)])
    stored = cgm_store.load(box.store.tables, box.store.row.no)
    assert stored is not None
    assert stored.beginning == box.entry.beginning
    assert stored.offsets_min == [*range(0, 100, 5)]
    assert stored.given_up == [gap(100, 200)]
    assert stored.values == {offset: float(offset) for offset in range(10, 100, 5)}
    assert stored.first_value_min == 10


def test_the_values_of_a_sensor_that_failed_last_are_still_known() -> None:
    box = Box()
    box.write(readings=[reading(o) for o in range(0, 500, 5)])
    box.write(readings=[reading(o, None) for o in range(500, 900, 5)])
    stored = cgm_store.load(box.store.tables, box.store.row.no)
    assert stored is not None
    assert max(stored.values) == 495


def test_how_a_sensor_is_read_is_kept_with_the_device() -> None:
    box = Box()
    tables, no = box.store.tables, box.store.row.no
    assert cgm_store.load_profile(tables, no) == CgmProfile()
    with tables.database.transaction():
        cgm_store.keep_profile(tables, no, CgmProfile(octet_order=OctetOrder.REVERSED))
    assert cgm_store.load_profile(tables, no).octet_order is OctetOrder.REVERSED


@pytest.mark.parametrize(
    ("profile", "sent", "kept_pct", "not_counted"),
    [
        (CgmProfile(), 0.0, 0.0, NotCounted.LOW_QUALITY),
        (CgmProfile(), 10.0, 10.0, NotCounted.LOW_QUALITY),
        (CgmProfile(quality_full_scale=10.0), 10.0, 100.0, None),  # as pumps send it
        (CgmProfile(), Special.NAN, None, None),
        (CgmProfile(), None, None, None),
    ],
)
def test_the_quality_that_is_sent_decides_and_is_kept(
    profile: CgmProfile, sent: MedFloat | None, kept_pct: float | None, not_counted: NotCounted | None
) -> None:
    record = CgmMeasurement(44.0, 500, quality_pct=sent)
    kept = cgm_store.reading_of(record, profile, first_value_min=0, boot_no=1, boot_ns=0)
    assert (kept.value, kept.quality_pct, kept.not_counted) == (44.0, kept_pct, not_counted)


# With the store, the periods and the timekeeper of a gateway


def test_a_sensor_on_the_parts_of_a_gateway(tmp_path: Path) -> None:
    """Without a trusted clock nothing is placed; with it all of it is, and announced."""

    async def scenario() -> None:
        config = minimal_config(tmp_path)
        store = open_store(config)
        clock = VirtualClock((MIDNIGHT_UTC_S + 100_000) * S, "boot-1")
        clock.error_ms = None
        timekeeper = Timekeeper(clock, store, 1, store.tables.boots.timeline())
        periods = Periods(config, IDENTITY, store, timekeeper)
        timekeeper.on_change = periods.place_again
        inbox, facts = Inbox(4096), Facts()
        cgm = CgmSensor(
            config.sensors[1],
            sensor_row(store, "cgm"),
            Means(
                store=store,
                periods=periods,
                facts=facts,
                agenda=Agenda(clock),
                clock=clock,
                timekeeper=timekeeper,
                limits=config.limits,
                identity=IDENTITY,
                zone=ZoneInfo("UTC"),
                insights={},
                kernels=KernelsReady(),
                rng=random.Random(1),
            ),
        )
        world: Any = Gateway()
        world.inbox, world.cgm, world.clocks, world.facts = inbox, cgm, clock, facts
        world.intake = Intake(inbox, {"cgm": cgm.take}, clock)
        sensor = Sensor(age_min=1000, stored=range(0, 1000, 5))
        async with running(store):
            timekeeper.poll()
            assert await world.talk(sensor, 100) is None

        def look(tables: Tables) -> tuple[int, int, int | None, int]:
            (session,) = tables.sessions.of_sensor(sensor_row(store, "cgm").no)
            waiting = tables.deliveries.counts("files").pending
            kept = tables.readings.count(session.no, "glucose")
            return kept, session.watermark, session.start_error_ms, waiting

        assert in_transaction(store, look) == (200, 995, None, 0)
        clock.error_ms = 500
        async with running(store):
            timekeeper.poll()
            assert await world.talk(sensor, 100) is None
        kept, watermark, error_ms, waiting = in_transaction(store, look)
        assert (kept, watermark, waiting) == (200, 995, 200)
        assert error_ms is not None
        assert error_ms < 70_000
        days = {key.start_utc_s for key in store.tables.dirty.all() if key.kind == "glucose_day"}
        assert days == {MIDNIGHT_UTC_S, MIDNIGHT_UTC_S + 86_400}
        store.close()

    run(scenario())
