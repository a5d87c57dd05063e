"""The status document as a person reads it."""

import io
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from edge.local.status import (
    AlertStatus,
    ClockStatus,
    GivenUp,
    Held,
    RouteStatus,
    SensorStatus,
    SessionStatus,
    StatusDocument,
    StoreStatus,
    Trouble,
    Value,
)
from tools.status_view import age_text, show, value_text

GLUCOSE = Value("glucose", "mg/dL", 104.4, None, 200.0, counts=True, not_counted=None)
SESSION = SessionStatus(
    2, None, None, {"glucose": 1}, 3, 12, [GivenUp(0, 11, "not there any [more]", 3)], 5400.0
)
SENSOR = SensorStatus(
    id="cgm",
    kind="cgm",
    person="anna",
    phase="searching",
    trouble=Trouble("the sensor is not heard", "bring it nearer", age_s=400.0),
    connects=4,
    losses=3,
    battery_pct=80,
    worn=None,
    values=[GLUCOSE],
    session=SESSION,
    packets=7,
    dropped=0,
    undecodable=2,
    oddities=0,
)
ROUTE = RouteStatus(
    route="files",
    trouble="the directory is full",
    pending=9,
    inflight=1,
    parked=1,
    parked_reasons=["cannot be read"],
    oldest_age_s=7300.0,
    held=[Held("anna", "glucose_readings", 8, "no consent for glucose readings of anna")],
    batches=2,
    items=30,
    last_utc_s=None,
)
DOCUMENT = StatusDocument(
    schema=1,
    gateway="gw-1",
    running=True,
    simulated=False,
    clock=ClockStatus(0, trusted=False, error_ms=None, source="system"),
    sensors=[SENSOR],
    store=StoreStatus(1, "disk full", ["/s/store.db.corrupt-1"], 1, 3),
    alerts=[AlertStatus("glucose_low", "cgm", None, 60.0), AlertStatus("cgm_silence", "cgm", 1200.0, 300.0)],
    summaries=[],
    deliveries=[ROUTE],
)


def shown(document: StatusDocument) -> str:
    output = io.StringIO()
    show(document, Console(file=output, width=80))
    return output.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "gw-1 running",
        "cgm: the sensor is not heard; bring it nearer (7 min ago)",
        "cgm: warming up for another 90 min",
        "cgm: about 3 records that it may hold are still to be asked for",
        "cgm: minutes 0 to 11 of the session given up after 3 tries: not there any [more]",
        "cgm: packets: 2 undecodable",
        "nothing vouches for this machine's clock",
        "upstream by files: 30 items sent, 9 waiting, the oldest for 2 h, 1 on their way, 1 parked",
        "upstream by files: the directory is full",
        "upstream by files: 8 of those that wait are held: no consent for glucose readings of anna",
        "upstream by files: parked: cannot be read",
        "alert glucose_low on cgm (off the scale, raised 60 s ago)",
        "alert cgm_silence on cgm (no data for 20 min, raised 5 min ago)",
        "nothing can be stored: disk full",
        "a damaged database is set aside as /s/store.db.corrupt-1",
    ],
)
def test_whatever_is_the_matter_is_a_line(line: str) -> None:
    assert any(found.startswith(line) for found in shown(DOCUMENT).splitlines())


def test_the_table_fits_a_terminal_of_eighty_columns() -> None:
    row = next(line for line in shown(DOCUMENT).splitlines() if "anna" in line and "searching" in line)
    assert row.split() == [
        "cgm",
        "anna",
        "searching",
        "104",
        "mg/dL",
        "3",
        "min",
        "80",
        "%",
        "1",
        "reading",
        "3",
    ]


def test_of_a_stopped_gateway_what_nobody_knows_is_a_dash() -> None:
    unknown: dict[str, Any] = dict.fromkeys(
        ("connects", "losses", "battery_pct", "packets", "undecodable", "trouble")
    )
    sensor = structs.replace(SENSOR, phase="stopped", session=None, values=[], **unknown)
    text = shown(structs.replace(DOCUMENT, running=False, sensors=[sensor]))
    assert "gw-1 stopped" in text
    (row,) = [line for line in text.splitlines() if "anna" in line and "stopped" in line]
    assert row.split() == ["cgm", "anna", "stopped", "-", "-", "-", "-", "-"]


@pytest.mark.parametrize(
    ("age_s", "text"),
    [(None, "-"), (0.4, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7200.0, "2 h"), (200_000.0, "2 d")],
)
def test_an_age_is_in_the_unit_that_a_person_would_choose(age_s: float | None, text: str) -> None:
    assert age_text(age_s) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "104 mg/dL"),
        ({"unit": "/min"}, "104 bpm"),
        ({"value": None, "beyond": "below"}, "below the scale"),
        ({"value": None}, "none"),
        ({"counts": False, "not_counted": "warming up"}, "(104 mg/dL)"),
    ],
)
def test_a_value_says_whether_it_counts_and_where_it_is_no_number(changes: dict[str, Any], text: str) -> None:
    assert value_text(structs.replace(GLUCOSE, **changes)) == text
