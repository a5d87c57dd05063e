"""Composing: what each kind of item stands for, what cannot be composed and why, and how a batch is named."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from edge_parts import IDENTITY, MIDNIGHT_UTC_S, in_transaction
from fhir_check import faults, unmarked
from upstream_parts import ANNA, BEN, CGM, DAY_S, STRAP, Kept, two_people

from edge.history import glucose_day, heart_window
from edge.history.bounds import around
from edge.measurements import DATA_CLASS
from edge.store.deliveries import Batch, Carried, Item, reading_ref, summary_ref
from edge.store.summaries import Summaries, SummaryKey
from edge.upstream import composer, resources
from edge.upstream.composer import Composed, Composer, named_utc_s

FRESH = Carried(0, 0, None)
NOW_UTC_S = MIDNIGHT_UTC_S + 2 * DAY_S


class Scene:
    """A composer over the two people's store."""

    def __init__(self, directory: Path, simulated: bool = True) -> None:
        config = two_people(directory)
        self.kept = Kept(config)
        self.composer = Composer(config, IDENTITY, version="0.1.0", simulated=simulated)

    def compose(self, *items: Item, utc_s: int | None = NOW_UTC_S, after: Carried = FRESH) -> Composed:
        return self.composer.compose(self.kept.store.tables, items, utc_s, after)

    def reasons(self, *items: Item) -> list[str]:
        composed = self.compose(*items)
        assert composed.batch is None
        assert [item for item, _ in composed.failed] == list(items)
        return [reason for _, reason in composed.failed]

    def write(self, sql: str, *values: Any) -> None:
        assert in_transaction(self.kept.store, lambda tables: tables.database.write(sql, *values))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def whole(composed: Composed) -> dict[str, Any]:
    assert composed.batch is not None
    found: dict[str, Any] = json.loads(composed.batch.body)
    return found


def found(composed: Composed, kind: str = "Observation") -> list[dict[str, Any]]:
    resources = [entry["resource"] for entry in whole(composed)["entry"]]
    return [resource for resource in resources if resource["resourceType"] == kind]


def test_every_kind_of_item_is_found_in_the_store() -> None:
    assert composer.FIND.keys() == DATA_CLASS.keys()
    assert composer.FIND.keys() == resources.SUMMARIES.keys() | resources.READINGS.keys()


def test_a_batch_of_every_kind_is_valid_marked_and_anonymous(scene: Scene) -> None:
    items = [scene.kept.heart(0), scene.kept.day(), *scene.kept.readings(4)]
    composed = scene.compose(*items)
    assert composed.failed == ()
    assert composed.batch is not None
    assert composed.batch.items == tuple(items)
    assert faults(whole(composed)) == []
    assert unmarked(whole(composed)) == []
    assert len(found(composed)) == 2 + 8 + 4
    # The gateway and the two sensors, each once.
    assert [device["type"].get("text") for device in found(composed, "Device")] == [
        None,
        "Heart-rate sensor",
        "Continuous glucose monitor",
    ]
    assert {one["subject"]["reference"] for one in found(composed)} == {f"Patient/{ANNA}"}
    text = composed.batch.body.decode()
    for identifier in ("A4:C1:38", "A4-C1-38", "anna-strap", "anna-cgm", '"anna"'):
        assert identifier not in text


def test_real_data_carry_no_mark(tmp_path: Path) -> None:
    scene = Scene(tmp_path, simulated=False)
    composed = scene.compose(scene.kept.heart(0))
    assert "HTEST" not in json.dumps(whole(composed))


def test_a_reading_is_placed_by_its_sessions_start(scene: Scene) -> None:
    items = scene.kept.readings(3)
    scene.write("UPDATE sessions SET start_utc_s = ?", MIDNIGHT_UTC_S + 7)
    times = [one["effectiveDateTime"] for one in found(scene.compose(*items))]
    assert times == [f"2026-11-21T00:{minute:02}:07+00:00" for minute in (0, 5, 10)]


@pytest.mark.parametrize("status", ["preliminary", "final", "amended"])
def test_the_status_of_a_summary_goes_up(scene: Scene, status: str) -> None:
    item = scene.kept.day()
    scene.write("UPDATE summaries SET status = ?", status)
    assert {one["status"] for one in found(scene.compose(item))} == {status}


def test_a_device_that_somebody_else_wears_later_is_not_recognised(scene: Scene) -> None:
    annas = found(scene.compose(scene.kept.heart(0)), "Device")[1]
    scene.write("UPDATE sensors SET address = 'x' WHERE no = ?", STRAP[ANNA])
    scene.write("UPDATE sensors SET address = 'A4:C1:38:00:00:01' WHERE no = ?", STRAP[BEN])
    bens = found(scene.compose(scene.kept.heart(0, BEN)), "Device")[1]
    assert annas["deviceName"] == bens["deviceName"]
    assert annas["id"] != bens["id"]


def test_what_periods_are_computed_to_can_be_composed(scene: Scene) -> None:
    """The bodies that `edge.history` writes are those that are read here."""
    scene.kept.readings(288)
    tables = scene.kept.store.tables
    bounds = around("glucose_day", MIDNIGHT_UTC_S, ZoneInfo("UTC"))
    day = glucose_day.compute(tables, CGM[ANNA], bounds, ZoneInfo("UTC"))
    items = []
    for kind, sensor_no, body in (
        ("glucose_day", CGM[ANNA], day.body),
        ("heart_5min", STRAP[ANNA], heart_window.EMPTY),
    ):
        key = SummaryKey(kind, sensor_no, MIDNIGHT_UTC_S)
        end_utc_s = around(kind, MIDNIGHT_UTC_S, ZoneInfo("UTC")).end_utc_s
        put = partial(Summaries.put, tables.summaries, key, end_utc_s, UUID(int=sensor_no), body, final=False)
        assert in_transaction(scene.kept.store, lambda _, put=put: put()) == 1
        items.append(Item(kind, summary_ref(*key), UUID(int=sensor_no), ANNA, 1))
    composed = scene.compose(*items)
    assert composed.failed == ()
    assert faults(whole(composed)) == []
    assert {one["status"] for one in found(composed)} == {"preliminary"}


# What cannot be composed


def test_what_cannot_be_composed_spoils_nothing_else(scene: Scene) -> None:
    first, second, third = (scene.kept.heart(number) for number in range(3))
    scene.write("DELETE FROM summaries WHERE start_utc_s = ?", MIDNIGHT_UTC_S + 300)
    composed = scene.compose(first, second, third)
    assert composed.batch is not None
    assert composed.batch.items == (first, third)
    assert composed.failed == ((second, "it is gone from the store"),)
    assert faults(whole(composed)) == []


def test_a_reading_that_does_not_count_does_not_go(scene: Scene) -> None:
    items = scene.kept.readings(2, not_counted="warm-up")
    assert scene.reasons(*items) == ["it does not count: warm-up"] * 2


def test_a_reading_whose_time_nothing_vouches_for_does_not_go(scene: Scene) -> None:
    items = scene.kept.readings(1)
    scene.write("UPDATE sessions SET start_error_ms = NULL")
    assert scene.reasons(*items) == ["nothing vouches for its time"]


def test_what_is_gone_does_not_go(scene: Scene) -> None:
    items = [*scene.kept.readings(1), scene.kept.heart(0), scene.kept.day()]
    scene.write("DELETE FROM readings")
    scene.write("DELETE FROM summaries")
    assert scene.reasons(*items) == ["it is gone from the store"] * 3


def test_what_another_person_measured_does_not_go(scene: Scene) -> None:
    item = scene.kept.heart(0)._replace(person=BEN)
    assert scene.reasons(item) == ["its sensor is another person's"]


BROKEN_BODIES = [
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"beats": 1}',
    '{"hr_mean_bpm": "fast"}',
    '{"date": "yesterday"}',
    "\x00",
]


@pytest.mark.parametrize("body", BROKEN_BODIES)
@pytest.mark.parametrize("put", [Kept.heart, Kept.day], ids=["heart", "day"])
def test_a_broken_body_is_told(scene: Scene, put: Callable[..., Item], body: str) -> None:
    item = put(scene.kept, *[0] if put is Kept.heart else [])
    scene.write("UPDATE summaries SET body = ?", body)
    (reason,) = scene.reasons(item)
    assert reason.startswith("it cannot be read: ")
    assert reason.isprintable()


BROKEN_REFS = [
    "",
    "1",
    "1/2",
    "a/b/c",
    "1/glucose/x",
    "x/glucose/1",
    "1/nothing/1",
    "1/heart_rate/0",
    "1/2/3/4",
]
BROKEN_REFS += [f"1/glucose/{1 << 70}", "999/glucose/0", "heart_5min/999/0", "heart_5min/1", "//"]
BROKEN_REFS += [str(UUID(int=1)), "\x00/\x00/\x00"]


@pytest.mark.parametrize("kind", [*sorted(DATA_CLASS), "brain_waves"])
@pytest.mark.parametrize("ref", BROKEN_REFS)
def test_a_broken_reference_is_told(scene: Scene, kind: str, ref: str) -> None:
    scene.kept.readings(1)
    (reason,) = scene.reasons(Item(kind, ref, UUID(int=1), ANNA, 1))
    assert reason
    assert reason.isprintable()


def test_a_date_no_calendar_has_is_told(scene: Scene) -> None:
    item, reading = scene.kept.heart(0), scene.kept.readings(1)[0]
    scene.write("UPDATE summaries SET end_utc_s = ?", 1 << 61)
    scene.write("UPDATE sessions SET start_utc_s = ?", -(1 << 61))
    assert all(reason.startswith("it cannot be read") for reason in scene.reasons(item, reading))


def test_a_sensor_of_a_kind_nobody_knows_is_told(scene: Scene) -> None:
    item = scene.kept.heart(0)
    scene.write("UPDATE sensors SET kind = 'toaster' WHERE no = ?", STRAP[ANNA])
    assert scene.reasons(item) == ["it cannot be read: 'toaster'"]


# The name


def test_a_name_is_time_number_and_content(scene: Scene) -> None:
    item = scene.kept.heart(0)
    composed = scene.compose(item, after=Carried(41, 1000, NOW_UTC_S - 300))
    assert composed.batch is not None
    stamp, number, digest = composed.batch.name.split("-")
    assert (stamp, number, len(digest)) == ("20261123T000000Z", "0000042", 16)
    assert named_utc_s(composed.batch.name) == NOW_UTC_S
    assert whole(composed)["timestamp"] == "2026-11-23T00:00:00+00:00"
    assert composed == scene.compose(item, after=Carried(41, 1000, NOW_UTC_S - 300))
    scene.write("UPDATE summaries SET status = 'amended'")
    other = scene.compose(item, after=Carried(41, 1000, NOW_UTC_S - 300)).batch
    assert other is not None
    assert other.name.split("-")[:2] == [stamp, number]
    assert other.name.split("-")[2] != digest


def test_without_a_trusted_clock_a_batch_has_the_time_of_the_newest_thing_in_it(scene: Scene) -> None:
    items = [scene.kept.heart(3), *scene.kept.readings(5), scene.kept.heart(0)]
    composed = scene.compose(*items, utc_s=None)
    assert composed.batch is not None
    assert named_utc_s(composed.batch.name) == MIDNIGHT_UTC_S + 1200
    assert whole(composed)["timestamp"] == "2026-11-21T00:20:00+00:00"
    assert composed == scene.compose(*items, utc_s=None)


@pytest.mark.parametrize("utc_s", [None, MIDNIGHT_UTC_S, NOW_UTC_S])
def test_names_in_order_are_batches_in_the_order_they_were_sent(scene: Scene, utc_s: int | None) -> None:
    after, names = FRESH, []
    for number in (3, 1, 3, 2):
        item = scene.kept.heart(number, beats=len(names))
        batch = scene.compose(item, utc_s=utc_s, after=after).batch
        assert isinstance(batch, Batch)
        names.append(batch.name)
        after = Carried(after.batches + 1, after.items + 1, named_utc_s(batch.name))
        # The clock was set back meanwhile, or is trusted no more.
        utc_s = None if utc_s is None else utc_s - 7
    assert names == sorted(names)
    assert len(set(names)) == len(names)


def test_refs_name_what_the_tests_put(scene: Scene) -> None:
    (reading,) = scene.kept.readings(1)
    assert reading.ref == reading_ref(1, "glucose", 0)
    assert scene.kept.day().ref == summary_ref("glucose_day", CGM[ANNA], MIDNIGHT_UTC_S)
