from contextlib import suppress
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED

from protocols import racp_procedure
from protocols.errors import DecodeError
from protocols.racp import Code
from protocols.racp_procedure import Outcome


def test_requests_of_the_procedures():
    # The bytes are those of the specification's tables, least significant octet first.
    assert racp_procedure.ReportRecords(now_s=0.0).request.hex() == "0101"
    assert racp_procedure.ReportRecords(now_s=0.0, first=2).request.hex() == "0103010200"
    assert racp_procedure.ReportRecords(now_s=0.0, first=512).request.hex() == "0103010002"
    assert racp_procedure.CountRecords(now_s=0.0, first=2).request.hex() == "0403010200"
    assert racp_procedure.ReportRecords(now_s=0.0, first=0, last=512).request.hex() == "01040100000002"
    assert racp_procedure.CountRecords(now_s=0.0, first=2, last=3).request.hex() == "04040102000300"
    assert racp_procedure.ReportRecords(now_s=0.0).abort_request(1.0).hex() == "0300"


class Script(NamedTuple):
    """What happens to a procedure that starts at 100 s, and how it must then stand."""

    events: tuple[tuple[str, float], ...]
    outcome: Outcome | None
    deadline_s: float
    records: int = 0
    code: int | None = None
    found_none: bool = False


SUCCESS, NO_RECORDS, BUSY = "06000101", "06000106", "0600010a"
STRAY_SUCCESS, STRAY_NO_RECORDS, STRAY_REFUSAL = "06000401", "06000406", "06000402"
ABORTED, ABORT_REFUSED = "06000301", "06000307"
NUMBER, COMBINED_NUMBER = "05000700", "08000900"

REPORTS = {
    "nothing yet": Script((), None, 130),
    "every record restarts the timer": Script((("record", 120), ("record", 140)), None, 170, 2),
    "complete": Script((("record", 101), (SUCCESS, 102)), Outcome.COMPLETE, 131, 1),
    "nothing there is complete": Script(((NO_RECORDS, 101),), Outcome.COMPLETE, 130, found_none=True),
    "a success that names another request completes nothing": Script(((STRAY_SUCCESS, 101),), None, 106),
    "nor does a denial that does": Script(((STRAY_NO_RECORDS, 101), ("time", 105.9)), None, 106),
    "after it silence ends the report, unsure": Script(
        ((STRAY_SUCCESS, 101), ("time", 106)), Outcome.UNSURE, 106
    ),
    "but the honest answer counts": Script(
        ((STRAY_SUCCESS, 101), ("record", 103), ("record", 106), (SUCCESS, 110)), Outcome.COMPLETE, 111, 2
    ),
    "and so does an honest denial": Script(
        ((STRAY_SUCCESS, 101), (NO_RECORDS, 102)), Outcome.COMPLETE, 106, found_none=True
    ),
    "a refusal counts whatever it names": Script(
        ((STRAY_REFUSAL, 101),), Outcome.REFUSED, 130, code=Code.OP_CODE_UNSUPPORTED
    ),
    "in doubt it can be refused": Script(
        ((STRAY_SUCCESS, 101), (BUSY, 102)), Outcome.REFUSED, 106, code=Code.SERVER_BUSY
    ),
    "in doubt it can be aborted": Script(
        ((STRAY_SUCCESS, 101), ("abort", 102), (ABORTED, 103)), Outcome.ABORTED, 132
    ),
    "an abort answered in the name of something else": Script(
        (("abort", 110), (STRAY_SUCCESS, 111)), Outcome.ABORTED, 140
    ),
    "refused": Script(((BUSY, 101),), Outcome.REFUSED, 130, code=Code.SERVER_BUSY),
    "refused for no known reason": Script((("060001ee", 101),), Outcome.REFUSED, 130, code=0xEE),
    "stopped half-way": Script(
        (("record", 101), ("06000108", 102)), Outcome.REFUSED, 131, 1, Code.NOT_COMPLETED
    ),
    "silence": Script((("time", 129.9), ("time", 130)), Outcome.TIMED_OUT, 130),
    "no silence": Script((("record", 120), ("time", 149.9)), None, 150, 1),
    "aborted": Script((("record", 101), ("abort", 110), (ABORTED, 111)), Outcome.ABORTED, 140, 1),
    "records under way do not prolong an abort": Script(
        (("abort", 110), ("record", 111), ("time", 140)), Outcome.TIMED_OUT, 140, 1
    ),
    "an abort asked for twice does not start again": Script((("abort", 110), ("abort", 120)), None, 140),
    "an abort answered in the name of the report": Script(
        (("abort", 110), (SUCCESS, 111)), Outcome.ABORTED, 140
    ),
    "an abort refused: it goes on": Script(
        (("abort", 110), (ABORT_REFUSED, 111), ("record", 112), (SUCCESS, 113)), Outcome.COMPLETE, 142, 1
    ),
    "a late answer to an abort before": Script(((ABORTED, 101), (ABORT_REFUSED, 102)), None, 130),
    "once ended, nothing counts": Script(
        ((SUCCESS, 101), ("record", 102), (BUSY, 103), ("time", 999), ("abort", 999)), Outcome.COMPLETE, 130
    ),
}
COUNTS = {
    "answered": Script(((NUMBER, 101),), Outcome.COMPLETE, 130),
    "answered as a combined report": Script(((COMBINED_NUMBER, 101),), Outcome.COMPLETE, 130),
    "none": Script((("06000406", 101),), Outcome.COMPLETE, 130, found_none=True),
    "a late answer to a report counts nothing": Script(
        ((NO_RECORDS, 101), ("time", 106)), Outcome.UNSURE, 106
    ),
    "nor does it hide the number": Script(((SUCCESS, 101), (NUMBER, 102)), Outcome.COMPLETE, 106),
    "refused": Script(((BUSY, 101),), Outcome.REFUSED, 130, code=Code.SERVER_BUSY),
    "live records do not prolong it": Script((("record", 120), ("time", 130)), Outcome.TIMED_OUT, 130),
    "aborted": Script((("abort", 110), ("record", 111), (ABORTED, 112)), Outcome.ABORTED, 140),
    "answered after all": Script((("abort", 110), (NUMBER, 112)), Outcome.COMPLETE, 140),
}
COUNT_OF = {
    "answered": 7,
    "answered as a combined report": 9,
    "none": 0,
    "nor does it hide the number": 7,
    "answered after all": 7,
}


def play(procedure, events):
    for event, now_s in events:
        match event:
            case "record":
                procedure.on_record(now_s)
            case "time":
                procedure.on_time(now_s)
            case "abort":
                procedure.abort_request(now_s)
            case _:
                procedure.on_indication(bytes.fromhex(event), now_s)


@pytest.mark.parametrize("title", REPORTS)
def test_report_records(title):
    script, procedure = REPORTS[title], racp_procedure.ReportRecords(now_s=100.0)
    play(procedure, script.events)
    assert procedure.outcome is script.outcome
    assert procedure.deadline_s == script.deadline_s
    assert procedure.records == script.records
    assert procedure.code == script.code
    assert procedure.found_none is script.found_none


@pytest.mark.parametrize("title", COUNTS)
def test_count_records(title):
    script, procedure = COUNTS[title], racp_procedure.CountRecords(now_s=100.0)
    play(procedure, script.events)
    assert procedure.outcome is script.outcome
    assert procedure.deadline_s == script.deadline_s
    assert procedure.count == COUNT_OF.get(title)
    assert procedure.code == script.code
    assert procedure.found_none is script.found_none


def test_a_peer_that_never_ends_is_left():
    procedure, now_s = racp_procedure.ReportRecords(now_s=0.0), 0.0
    while procedure.outcome is None:
        now_s += 20.0
        procedure.on_record(now_s)
        procedure.on_time(now_s)
        assert now_s < 4000
    assert procedure.outcome is Outcome.TIMED_OUT
    assert now_s == racp_procedure.DURATION_S_MAX


@pytest.mark.parametrize(
    ("procedure", "payload"),
    [(racp_procedure.ReportRecords, NUMBER), (racp_procedure.CountRecords, STRAY_SUCCESS)]
    + [
        (racp_procedure.ReportRecords, malformed)
        for malformed in ("", "06", "060001", "06000101ff", "0103010200")
    ],
)
def test_an_indication_that_makes_no_sense_is_the_peers_fault_and_changes_nothing(procedure, payload):
    running = procedure(now_s=100.0)
    with pytest.raises(DecodeError, match="Record Access Control Point"):
        running.on_indication(bytes.fromhex(payload), 101.0)
    assert (running.outcome, running.deadline_s) == (None, 130.0)


# Whatever comes, in whatever order: only DecodeError, and the deadline ends it.
@BOUNDED
@given(
    st.sampled_from((racp_procedure.ReportRecords, racp_procedure.CountRecords)),
    st.lists(
        st.sampled_from(
            (
                *("record", "time", "abort", SUCCESS, NO_RECORDS, BUSY, ABORTED, ABORT_REFUSED, NUMBER),
                *(STRAY_SUCCESS, STRAY_NO_RECORDS, STRAY_REFUSAL, COMBINED_NUMBER),
            )
        )
        | st.binary(max_size=8).map(bytes.hex),
        max_size=30,
    ),
)
def test_every_course_of_events_ends(procedure, events):
    running = procedure(now_s=0.0)
    for now_s, event in enumerate(events):
        with suppress(DecodeError):
            play(running, [(event, float(now_s))])
        assert running.deadline_s <= now_s + racp_procedure.TIMEOUT_S
    running.on_time(running.deadline_s)
    assert running.outcome is not None
