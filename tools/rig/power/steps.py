"""What is written while the power may fail: steps, each one job of the store, that together use every statement in it.

Contract: the same steps on the same store leave the same contents, each time. A step that was refused may be done
again. Steps know nothing of files, of power and of who does them (`script`). A test holds that no statement of
`edge.store` that writes is missing here.
"""

from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

from edge.anchors import Anchor
from edge.config import Limits, Person, SensorConfig
from edge.store.alerts import AlertEvent
from edge.store.deliveries import Batch, Item, reading_ref
from edge.store.raw_chunks import NO_BEAT, HeartChunk, Packet
from edge.store.readings import Reading
from edge.store.retention import Present, purge_slice
from edge.store.stream_figures import Figures
from edge.store.summaries import SummaryKey
from edge.store.tables import Tables

STRAP, CGM = 1, 2
ANNA: Final = Person(id="anna", pseudonym="p-7f3a")
BEN: Final = Person(id="ben", pseudonym="p-91c2")
ROUTE: Final = "files"
MIDNIGHT_UTC_S: Final = 1_795_219_200
DAY_S: Final = 86_400
SECOND_NS: Final = 1_000_000_000
LIMITS: Final = Limits()


class Step(NamedTuple):
    """One job, and what it is about."""

    name: str
    work: Callable[[Tables], object]


def _sensor(sensor_id: str, kind: str, last: int, person: str = "anna") -> SensorConfig:
    return SensorConfig(id=sensor_id, kind=kind, address=f"A4:C1:38:00:00:{last:02X}", person=person)


def _home(tables: Tables, *sensors: SensorConfig, boot: tuple[int, int] = (1, 0)) -> None:
    tables.sensors.register(sensors, (ANNA, BEN), boot_no=boot[0], boot_ns=boot[1])


def _boot(tables: Tables, name: str, day: int = 0) -> None:
    no = tables.boots.note(name)
    tables.boots.add_anchor(Anchor(no, 0, (MIDNIGHT_UTC_S + day * DAY_S) * SECOND_NS, 500, "system"))


def _chunk(tables: Tables, minute: int, boot_no: int = 1) -> None:
    arrivals = [(60 * minute + n) * SECOND_NS for n in range(60)]
    tables.raw_chunks.append(
        HeartChunk(
            STRAP,
            boot_no,
            tuple(Packet(bytes([0, 60 + n % 7]), at, NO_BEAT) for n, at in enumerate(arrivals)),
        )
    )
    tables.dirty.mark("heart_5min", STRAP, [MIDNIGHT_UTC_S + 60 * minute // 300 * 300])


def _reading(sequence: int) -> Reading:
    return Reading(
        sequence, 300 * sequence, 100.0 + sequence, None, 2.5, 0, None, 1, 300 * sequence * SECOND_NS, False
    )


def _item(sequence: int, rev: int = 1) -> Item:
    return Item("cgm_reading", reading_ref(1, "glucose", sequence), UUID(int=sequence), ANNA.pseudonym, rev)


def _readings(tables: Tables, *sequences: int) -> None:
    """What comes from a sensor's storage: readings, where to go on, and their way upstream, all or nothing."""
    tables.readings.insert(1, "glucose", [_reading(n) for n in sequences])
    tables.sessions.update(1, watermark=sequences[-1])
    for n in sequences:
        tables.deliveries.enqueue(_item(n), ROUTE, 1, n)
    tables.blobs.put("glycaemia", 1, 1, bytes(64) + bytes([sequences[-1]]))


def _session(tables: Tables, sensor_no: int, start_s: int = 0) -> None:
    tables.sessions.begin(
        sensor_no,
        UUID(int=1000 * sensor_no + start_s),
        told_start_utc_s=MIDNIGHT_UTC_S + start_s,
        start_boot_no=1,
        start_boot_ns=start_s * SECOND_NS,
        start_utc_s=MIDNIGHT_UTC_S + start_s,
        start_error_ms=500,
        run_time_h=240,
    )


def _summary(tables: Tables, minute: int, beats: int, *, final: bool = True) -> None:
    """A period is closed: its summary, its delivery and its mark change together."""
    key = SummaryKey("heart_5min", STRAP, MIDNIGHT_UTC_S + 60 * minute)
    rev = tables.summaries.put(key, key.start_utc_s + 300, UUID(int=minute), {"beats": beats}, final=final)
    tables.dirty.clear(*key)
    tables.deliveries.enqueue(
        Item(key.kind, f"{key.kind}/{STRAP}/{key.start_utc_s}", UUID(int=minute), ANNA.pseudonym, rev or 0),
        ROUTE,
        1,
        0,
    )


def _alert(tables: Tables, ordinal: int, what: str, sensor_no: int | None = CGM, boot_no: int = 1) -> None:
    number = 10 * ordinal + len(what)
    tables.alerts.note(
        AlertEvent(
            UUID(int=number), "glucose_low", sensor_no, ANNA.pseudonym, what, 0, ordinal, len(what), 60.0 * ordinal,
            65.0, "mg/dL", True, None, boot_no, number,
        ),
        ("lamp", "phone"),
    )  # fmt: skip
    tables.blobs.put("alerts", 0, 1, bytes([ordinal]) * 40)


def _begin_batch(tables: Tables, *sequences: int) -> None:
    items = tuple(_item(n) for n in sequences)
    tables.deliveries.begin_batch(ROUTE, Batch(f"batch-{sequences[0]}", b"[%d]" % len(items) * 20, items))


def _purge(tables: Tables) -> None:
    now = Present(MIDNIGHT_UTC_S + 500 * DAY_S, 1 << 20, 0)
    purge_slice(tables, tables.boots.timeline(), now, LIMITS, 200)


BEGINNING: Final = (
    Step("a boot is noted", lambda t: _boot(t, "boot-1")),
    Step(
        "sensors are registered",
        lambda t: _home(t, _sensor("strap", "heart_rate", 1), _sensor("cgm", "cgm", 2)),
    ),
    Step("a session begins", lambda t: _session(t, CGM)),
)
DAY: Final = (
    Step("a chunk of a strap", lambda t: _chunk(t, 0)),
    Step("readings from storage", lambda t: _readings(t, 0, 1, 2, 3)),
    Step("what streams said", lambda t: t.stream_figures.put(STRAP, 1, SECOND_NS, Figures(1.0, 2.0))),
    Step("a trait is learnt", lambda t: t.sensors.keep_trait(CGM, "crc", "none")),
    Step("chunks without a time", lambda t: t.raw_chunks.note_unplaced(STRAP, 1)),
    Step("their time is known", lambda t: t.raw_chunks.clear_unplaced(STRAP, 1)),
    Step("a period is closed", lambda t: _summary(t, 0, 300)),
    Step("records are given up", lambda t: t.sessions.give_up(1, 4, 9, "refused", 3, 1, 0)),
    Step("one comes after all", lambda t: t.sessions.take_back(1, 6)),
    Step("a reading does not count", lambda t: t.readings.discount(1, "glucose", 2, "compressed")),
    Step("an alert is raised", lambda t: _alert(t, 1, "raised")),
    Step("a channel has told it", lambda t: t.alerts.move(UUID(int=16), "lamp", "delivered", 1, 1, 2)),
    Step("it is acknowledged", lambda t: t.alerts.close("glucose_low", CGM, 1, "acknowledged", 1, 3)),
    Step("it is over", lambda t: _alert(t, 1, "over")),
    Step("a batch begins", lambda t: _begin_batch(t, 0, 1)),
    Step("a newer revision", lambda t: t.deliveries.enqueue(_item(0, 2), ROUTE, 1, 9)),
    Step("it is acknowledged upstream", lambda t: t.deliveries.acknowledge(ROUTE, MIDNIGHT_UTC_S)),
    Step("another chunk", lambda t: _chunk(t, 5)),
    Step("a preliminary result", lambda t: _summary(t, 5, 150, final=False)),
    Step("another trait", lambda t: t.sensors.keep_trait(STRAP, "rr_unit", "ms")),
    Step("a trait was wrong", lambda t: t.sensors.drop_trait(STRAP, "rr_unit")),
    Step("readings that were sent before are there once", lambda t: _readings(t, 3, 10, 11)),
)
SENDING: Final = (
    Step("two in a batch", lambda t: _begin_batch(t, 2, 3)),
    Step("the batch is refused", lambda t: t.deliveries.reject(ROUTE, "422")),
    Step("one alone", lambda t: _begin_batch(t, 2)),
    Step("it is refused alone", lambda t: t.deliveries.reject(ROUTE, "422")),
    Step("another batch", lambda t: _begin_batch(t, 3)),
    Step("consent was taken away", lambda t: t.deliveries.release(ROUTE)),
    Step("what cannot be composed", lambda t: t.deliveries.park(ROUTE, _item(3), "no unit")),
    Step("a better source", lambda t: t.deliveries.withdraw(ROUTE, "cgm_reading", _item(10).ref)),
    Step("the last batch", lambda t: _begin_batch(t, 0, 11)),
    Step("it arrives", lambda t: t.deliveries.acknowledge(ROUTE, MIDNIGHT_UTC_S + 60)),
    Step(
        "what was acknowledged long ago",
        lambda t: t.deliveries.delete_acked_before(MIDNIGHT_UTC_S + DAY_S, 10),
    ),
    Step("deliveries of what is deleted", lambda t: t.deliveries.forget("cgm_reading", [_item(2).ref])),
)
HANDING_ON: Final = (
    Step("a later boot", lambda t: _boot(t, "boot-2", 1)),
    Step("a blob of a sensor", lambda t: t.blobs.put("rhythm", STRAP, 1, bytes(300))),
    Step("the CGM is another person's", lambda t: _home(
        t, _sensor("strap", "heart_rate", 1), _sensor("cgm", "cgm", 2, "ben"), boot=(2, 1))),
    Step("the CGM comes back", lambda t: _home(
        t, _sensor("strap", "heart_rate", 1), _sensor("cgm", "cgm", 2), boot=(2, 2))),
    Step("its next session", lambda t: _session(t, CGM, DAY_S)),
    Step("a strap that gave nothing gets another address", lambda t: _home(
        t, _sensor("cgm", "cgm", 2), _sensor("belt", "heart_rate", 7), boot=(2, 3))),
    Step("it is replaced", lambda t: _home(t, _sensor("cgm", "cgm", 2), _sensor("belt", "heart_rate", 8), boot=(2, 4))),
    Step("all are removed", lambda t: _home(t, boot=(2, 5))),
    Step("the CGM is back", lambda t: _home(t, _sensor("cgm", "cgm", 2), boot=(2, 6))),
    Step("the session ends", lambda t: t.sessions.end(2, "run time over")),
    Step("as in version 1: no wearer", lambda t: t.database.write("UPDATE sensors SET person = NULL WHERE no = 2")),
    Step("its wearer is told", lambda t: _home(t, _sensor("cgm", "cgm", 2), boot=(2, 7))),
    Step("all are retired", lambda t: _home(t, boot=(2, 8))),
)  # fmt: skip
LEAVING: Final = (
    Step("a hundred pages", lambda t: t.blobs.put("reprocess", 0, 1, bytes(range(256)) * 440)),
    Step("they are forgotten", lambda t: t.blobs.delete("reprocess", 0)),
    *(Step(f"retention, slice {n}", _purge) for n in range(9)),
)
