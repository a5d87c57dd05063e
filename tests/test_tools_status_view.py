"""The status document as a person reads it."""

import io
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from edge.local.status import (
    AdapterStatus,
    AlertStatus,
    ClockStatus,
    GivenUp,
    Held,
    RadioStatus,
    RouteStatus,
    SensorStatus,
    SessionStatus,
    SnoozeStatus,
    StatusDocument,
    StoreStatus,
    Trouble,
    Value,
)
from tools.status_view import age_text, radio_lines, show, value_text

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
LOW = AlertStatus(
    kind="glucose_low",
    sensor="cgm",
    person="anna",
    value=None,
    beyond=None,
    unit="mg/dL",
    reason=None,
    age_s=60.0,
    urgent=False,
    tier="reminder",
    told=True,
    acknowledged=False,
    snoozed_left_s=None,
)
DOCUMENT = StatusDocument(
    schema=2,
    gateway="gw-1",
    running=True,
    simulated=False,
    clock=ClockStatus(0, trusted=False, error_ms=None, source="system"),
    sensors=[SENSOR],
    store=StoreStatus(1, "disk full", ["/s/store.db.corrupt-1"], 1, 3),
    alerts=[
        LOW,
        structs.replace(LOW, kind="cgm_silence", value=1200.0, unit="s", age_s=300.0, acknowledged=True),
        structs.replace(LOW, beyond="below", age_s=None),
        structs.replace(
            LOW, kind="heart_rate_high", value=151.26, unit="/min", reason="not known to be at rest"
        ),
        structs.replace(LOW, kind="glucose_high", value=301.0, told=False, snoozed_left_s=1800.0),
        structs.replace(LOW, kind="glucose_low_ahead", value=66.0, told=False),
        structs.replace(
            LOW, kind="sound_dead", sensor="gateway", unit=None, reason="command: it is mute [1]"
        ),
    ],
    snoozes=[
        SnoozeStatus("glucose_high", None, 1800.0, 320.0),
        SnoozeStatus("heart_rate_low", "strap", 30.0, 35.0),
        SnoozeStatus("of_tomorrow", "cgm", 30.0, 3.0),
        SnoozeStatus("not_worn", "strap", 30.0, None),
    ],
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
        "alert glucose_low on cgm (nothing fresh is known, since 60 s)",
        "alert cgm_silence on cgm (no data for 20 min, since 5 min, acknowledged)",
        "alert glucose_low on cgm (below the scale)",
        "alert heart_rate_high on cgm (now 151.3 bpm, since 60 s, not known to be at rest)",
        "alert glucose_high on cgm (now 301 mg/dL, since 60 s, snoozed for another 30 min)",
        "alert glucose_low_ahead on cgm (expected 66 mg/dL, since 60 s, not told to anybody yet)",
        "alert sound_dead on gateway (since 60 s, command: it is mute [1])",
        "glucose_high of all sensors is snoozed for another 30 min, unless it rises above 320 mg/dL",
        "heart_rate_low of strap is snoozed for another 30 s, unless it falls below 35 bpm",
        "of_tomorrow of cgm is snoozed for another 30 s, unless it passes 3",
        "not_worn of strap is snoozed for another 30 s, unless it gets worse",
        "nothing can be stored: disk full",
        "a damaged database is set aside as /s/store.db.corrupt-1",
    ],
)
def test_whatever_is_the_matter_is_a_line(line: str) -> None:
    assert any(found.startswith(line) for found in shown(DOCUMENT).splitlines())


def test_what_has_no_record_is_told_with_what_that_means() -> None:
    lost = structs.replace(
        DOCUMENT, sensors=[structs.replace(SENSOR, session=structs.replace(SESSION, given_up_min=60))]
    )
    assert (
        "cgm: 60 minutes of the session have no record and will get none; before its first reading"
        in shown(lost)
    )


@pytest.mark.parametrize(
    ("connections", "most", "words"),
    [
        (0, None, "0 connections"),
        (1, None, "1 connection"),
        (2, None, "2 connections"),
        (1, 5, "1 of 5 connections"),
    ],
)
def test_an_adapter_says_how_many_connections_it_holds(
    connections: int, most: int | None, words: str
) -> None:
    adapter = AdapterStatus("hci0", powered=True, connections=connections, connections_max=most)
    (line,) = radio_lines(RadioStatus(None, [adapter], []))
    assert line == f"adapter hci0: {words}"


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
