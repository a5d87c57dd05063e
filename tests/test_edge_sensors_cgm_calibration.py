"""When a CGM can be calibrated, and what became of a value: the table, by hand."""

import pytest

from edge.sensors.cgm_calibration import Became, Calibrated, CalibrationError, judged, refuse, span
from protocols import cgm_control
from protocols.cgm import CgmStatus, Feature, SensorStatus
from protocols.cgm_control import Calibration, CalibrationStatus, Code, OpCode, ResponseCode

CAN = Feature.CALIBRATION
NOTHING = SensorStatus(0)
ALLOWED, ASKS = SensorStatus(0), SensorStatus.CALIBRATION_RECOMMENDED
SUCCESS = ResponseCode(OpCode.SET_CALIBRATION, Code.SUCCESS)


def record(number: int, next_min: int, status: int = 0) -> Calibration:
    return Calibration(112.0, 700, 2, 1, next_min, number, CalibrationStatus(status))


@pytest.mark.parametrize(
    ("features", "status", "newest", "warm_up_left_s", "words"),
    [
        (Feature(0), NOTHING, None, None, "it cannot be calibrated"),
        (CAN, SensorStatus.SESSION_STOPPED, None, None, "its session has ended"),
        (CAN, SensorStatus.SENSOR_MALFUNCTION, None, None, "it reports a malfunction"),
        (CAN, SensorStatus.GENERAL_FAULT, None, None, "it reports a fault"),
        (CAN, SensorStatus.CALIBRATION_PENDING, None, None, "it still works on the last calibration"),
        (CAN, NOTHING, None, 3000.0, "it is warming up, for 50 min at most"),
        (CAN, NOTHING, None, 10.0, "it is warming up, for 1 min at most"),
        (CAN, SensorStatus.CALIBRATION_NOT_ALLOWED, None, None, "it allows no calibration now"),
        # The bits of a real sensor that wants a calibration and does not allow it.
        (
            CAN,
            SensorStatus.CALIBRATION_NOT_ALLOWED | SensorStatus.CALIBRATION_REQUIRED,
            record(0, 765),
            None,
            "it allows no calibration now; it wants the next calibration in 1 h 5 min",
        ),
        (CAN, NOTHING, record(1, 720), None, "it is too early; it wants the next calibration in 20 min"),
        (CAN, NOTHING, record(1, 820), None, "it is too early; it wants the next calibration in 2 h"),
    ],
)
def test_in_the_wrong_phase_it_is_refused_with_words(
    features: Feature,
    status: SensorStatus,
    newest: Calibration | None,
    warm_up_left_s: float | None,
    words: str,
) -> None:
    with pytest.raises(CalibrationError) as refused:
        refuse(features, CgmStatus(700, status), newest, warm_up_left_s)
    assert refused.value.cause == words
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("status", "newest"),
    [
        (NOTHING, None),
        (NOTHING, record(0, 0)),
        (NOTHING, record(1, 700)),
        (NOTHING, record(1, cgm_control.NEVER_MIN)),
        (ASKS, record(1, 900)),
        (SensorStatus.CALIBRATION_REQUIRED, record(1, 900)),
    ],
)
def test_else_it_is_not(status: SensorStatus, newest: Calibration | None) -> None:
    refuse(CAN, CgmStatus(700, status), newest, None)
    refuse(CAN, CgmStatus(700, status), newest, 0.0)


@pytest.mark.parametrize(
    ("answer", "before", "after", "expected", "bits"),
    [
        (SUCCESS, None, record(1, 730), Calibrated(Became.ACCEPTED, 1, 30), 0),
        (SUCCESS, record(1, 700), record(2, 0xFFFF), Calibrated(Became.ACCEPTED, 2, None), 0),
        (None, record(1, 700), record(2, 690), Calibrated(Became.ACCEPTED, 2, 0), 0),
        (SUCCESS, None, record(1, 730, 4), Calibrated(Became.PENDING, 1, 30), 4),
        (SUCCESS, None, record(1, 730, 1), Calibrated(Became.REJECTED, 1, 30), 1),
        (SUCCESS, None, record(1, 730, 2), Calibrated(Became.OUT_OF_RANGE, 1, 30), 2),
        (SUCCESS, None, record(1, 730, 7), Calibrated(Became.REJECTED, 1, 30), 7),
        (SUCCESS, None, None, Calibrated(Became.ACCEPTED, None, None), 0),
        (SUCCESS, record(1, 730), record(1, 730, 1), Calibrated(Became.ACCEPTED, None, 30), 0),
        (None, None, None, Calibrated(Became.UNSURE, None, None), 0),
        (None, record(1, 730), record(1, 730), Calibrated(Became.UNSURE, None, 30), 0),
    ],
)
def test_what_became_of_it(
    answer: cgm_control.Response | None,
    before: Calibration | None,
    after: Calibration | None,
    expected: Calibrated,
    bits: int,
) -> None:
    assert judged(answer, before, after, 700) == (expected, bits)


@pytest.mark.parametrize(("code", "words"), [(2, "it cannot be calibrated"), (77, "it refuses with code 77")])
def test_a_refusal_is_told(code: int, words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        judged(ResponseCode(OpCode.SET_CALIBRATION, code), None, record(1, 730), 700)


@pytest.mark.parametrize(("minutes", "text"), [(0, "0 min"), (59, "59 min"), (60, "1 h"), (125, "2 h 5 min")])
def test_lengths_of_time(minutes: int, text: str) -> None:
    assert span(minutes) == text
