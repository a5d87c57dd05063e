"""Entries of Nightscout, xDrip+ and Juggluco: a bad row costs only itself, and nothing but DecodeError comes."""

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocols import sgv
from protocols.errors import DecodeError

VECTORS = Path(__file__).parent / "vectors" / "sgv"
NOW_MS = 1_795_219_200_000


def page(*rows: Any) -> sgv.Page:
    return sgv.decode(json.dumps(rows).encode())


def row(**more: Any) -> dict[str, Any]:
    return {"date": NOW_MS, "sgv": 120, **more}


@pytest.mark.parametrize(
    ("told", "value", "code"),
    [
        (40, 40.0, None),
        (400, 400.0, None),
        (600, 600.0, None),
        ("120", 120.0, None),
        (120.5, 120.5, None),
        (39, -math.inf, None),
        (13, -math.inf, None),
        (401, math.inf, None),
        (0, None, 0),
        (1, None, 1),
        (12, None, 12),
    ],
)
def test_codes_are_no_values(told: object, value: float | None, code: int | None) -> None:
    (entry,) = page(row(sgv=told)).entries
    assert (entry.glucose_mg_dl, entry.code) == (value, code)


def test_a_page_in_mmol_l_holds_neither_lows_nor_codes() -> None:
    """14.4 mmol/L are high, and not LO."""
    for told in ([14.4, 15, 16.1], [4.4, 5, 14], [13.5]):
        found = page(*(row(sgv=value) for value in told))
        assert found.entries == ()
        assert found.refused == {"not in mg/dL": len(told)}
    # With fractions all the same: in mg/dL something is above 39, or a LO is whole.
    assert [entry.glucose_mg_dl for entry in page(row(sgv=38.7), row(sgv=41.2)).entries] == [-math.inf, 41.2]
    assert [entry.glucose_mg_dl for entry in page(row(sgv=39), row(sgv=39)).entries] == [-math.inf, -math.inf]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "no entry"),
        ([], "no entry"),
        (5, "no entry"),
        ("row", "no entry"),
        ({}, "no value"),
        (row(type="mbg"), "of another type"),
        (row(type=7), "of another type"),
        (row(sgv=None), "no value"),
        (row(sgv=True), "no value"),
        (row(sgv=[120]), "no value"),
        (row(sgv="NaN"), "no value"),
        (row(sgv="high"), "no value"),
        (row(sgv=5.6), "not in mg/dL"),
        (row(sgv=-1), "not in mg/dL"),
        (row(sgv=601), "more than any sensor says"),
        (row(date=None), "no time"),
        (row(date="yesterday"), "no time"),
        (row(date="2026-11-21T12:00:00"), "no time"),
        (row(date=NOW_MS // 1000), "no time in milliseconds"),
        (row(date=1e300), "no time in milliseconds"),
        (row(date=-NOW_MS), "no time in milliseconds"),
    ],
)
def test_a_bad_row_costs_nothing_but_itself(bad: Any, reason: str) -> None:
    found = page(row(), bad, row(date=NOW_MS + 1000))
    assert [entry.utc_ms for entry in found.entries] == [NOW_MS, NOW_MS + 1000]
    assert (found.rows, found.refused) == (3, {reason: 1})


def test_what_json_does_not_have_costs_its_row() -> None:
    body = b'[{"date": 1795219200000, "sgv": NaN}, {"date": 1e999, "sgv": 100}, {"date": %s, "sgv": 100}]'
    found = sgv.decode(body % (b"9" * 5000))
    assert (found.entries, found.refused) == ((), {"no value": 1, "no time": 2})


@pytest.mark.parametrize("key", ["date", "dateString", "sysTime"])
def test_a_time_may_be_told_in_words_with_its_zone(key: str) -> None:
    told = {"sgv": 120, key: "2026-11-21T01:00:00.000+01:00"}
    assert [entry.utc_ms for entry in page(told).entries] == [1_795_219_200_000]


def test_entries_are_in_order_of_time_whatever_the_order_of_rows() -> None:
    found = page(row(date=NOW_MS + 2000), row(), row(date=NOW_MS + 1000))
    assert [entry.utc_ms - NOW_MS for entry in found.entries] == [0, 1000, 2000]


@pytest.mark.parametrize(
    ("more", "field", "value", "is_odd"),
    [
        ({"noise": 1}, "noise", 1, False),
        ({"noise": 4}, "noise", 4, False),
        ({"noise": "4"}, "noise", 4, False),
        ({"noise": 0}, "noise", None, False),
        ({"noise": 5}, "noise", None, True),
        ({"noise": "loud"}, "noise", None, True),
        ({"direction": "FortyFiveDown"}, "direction", "FortyFiveDown", False),
        ({"direction": "sideways"}, "direction", None, True),
        ({"device": "share2"}, "device", "share2", False),
        ({"device": "x" * 65}, "device", None, True),
        ({"utcOffset": 60}, "utc_offset_min", 60, False),
        ({"utcOffset": 10_000}, "utcOffset", None, True),
        ({"units_hint": "mmol"}, "glucose_mg_dl", 120.0, False),
    ],
)
def test_oddities_are_passed_over_and_counted(
    more: dict[str, Any], field: str, value: object, is_odd: bool
) -> None:
    found = page(row(**more))
    (entry,) = found.entries
    if field in entry._fields:
        assert getattr(entry, field) == value
    assert bool(found.oddities) == is_odd


@pytest.mark.parametrize("body", [b"", b"  \n", b"[]", b'{"status": 200, "result": []}'])
def test_nothing_is_no_fault(body: bytes) -> None:
    assert sgv.decode(body) == sgv.Page((), 0, {}, {})


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{}",
        b'{"status": 401}',
        b"null",
        b"[",
        b"[" * 300_000,
        b'"' + b"x" * 100,
        b"\xff\xfe\x00",
        b"[" + b"0," * 600_000 + b"0]",
    ],
)
def test_what_is_no_page_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        sgv.decode(body)


def test_a_page_has_a_most_of_rows() -> None:
    found = page(*[row(date=NOW_MS - 1000 * n) for n in range(sgv.ROWS_MAX + 7)])
    assert (len(found.entries), found.refused) == (sgv.ROWS_MAX, {"beyond the most rows of a page": 7})
    assert found.entries[-1].utc_ms == NOW_MS


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_what_servers_say_is_read_whole_truncated_and_changed_anywhere(path: Path) -> None:
    body = path.read_bytes()
    found = sgv.decode(body)
    assert len(found.entries) == found.rows > 0
    assert found.refused == found.oddities == {}
    rng = Random(path.stem)
    for end in range(len(body)):
        _decode_or_refuse(body[:end])
    for _ in range(3000):
        changed = bytearray(body)
        for _ in range(rng.randrange(1, 8)):
            changed[rng.randrange(len(changed))] = rng.choice(b'0123456789.-e"{}[],:ntf\\ \x00\xff')
        _decode_or_refuse(bytes(changed))


def _decode_or_refuse(body: bytes) -> None:
    try:
        found = sgv.decode(body)
    except DecodeError:
        return
    for entry in found.entries:
        assert sgv.UTC_MS_MIN <= entry.utc_ms <= sgv.UTC_MS_MAX
        assert (entry.glucose_mg_dl is None) == (entry.code is not None)
