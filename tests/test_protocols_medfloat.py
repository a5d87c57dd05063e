from decimal import Decimal
from operator import attrgetter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_codecs import CODECS
from protocol_vectors import BOUNDED, encoded, medfloat, name, octets, rows

from protocols import cgm
from protocols.columnar import Kernel, flatten
from protocols.glucose_meter import GlucoseContext
from protocols.medfloat import (
    FLOAT,
    SFLOAT,
    Special,
    decode_float,
    decode_sfloat,
    encode_float,
    encode_sfloat,
)

VECTORS = rows("medfloat", "SFLOAT")


def plain_value(word: int) -> float | None:
    """The number a word stands for by the text of the format, in decimal arithmetic; None for a special."""
    exponent, mantissa = word >> 12, word & 0xFFF
    if exponent > 7:
        exponent -= 16
    if mantissa > 2047:
        mantissa -= 4096
    if exponent == 0 and mantissa in (2046, 2047, -2048, -2047, -2046):
        return None
    return float(Decimal(mantissa).scaleb(exponent))


PLAIN = [plain_value(word) for word in range(1 << 16)]
FINITE = np.array(sorted({value for value in PLAIN if value is not None}))


@pytest.mark.parametrize("row", VECTORS, ids=name)
def test_decodes_and_encodes_the_published_words(row):
    assert SFLOAT.parse(octets(row)) == medfloat(row["expected"]["value"])
    assert SFLOAT.build(medfloat(row["expected"]["value"])) == encoded(row)


@pytest.mark.parametrize("row", rows("medfloat", "FLOAT"), ids=name)
def test_decodes_and_encodes_the_published_long_words(row):
    value = medfloat(row["expected"]["value"])
    assert FLOAT.parse(octets(row)) == value
    assert FLOAT.parse(FLOAT.build(value)) == value


def test_long_words_have_the_same_specials_and_an_exponent_of_eight_bits():
    # By hand from the format: the special mantissas with exponent 0, an ordinary one with another.
    assert decode_float(0x007FFFFF) is Special.NAN
    assert decode_float(0x00800002) is Special.NEGATIVE_INFINITY
    assert decode_float(0x00800001) is Special.RESERVED
    assert decode_float(0xFF7FFFFF) == 838860.7
    assert [encode_float(special) for special in Special] == [
        0x7FFFFF,
        0x800000,
        0x7FFFFE,
        0x800002,
        0x800001,
    ]
    with pytest.raises(ValueError, match="range of a FLOAT"):
        encode_float(1e140)


def test_every_word_decodes_to_the_float_nearest_its_decimal():
    for word, expected in enumerate(PLAIN):
        value = decode_sfloat(word)
        assert isinstance(value, Special) if expected is None else value == expected, hex(word)


def test_the_five_specials_are_whole_words():
    assert {decode_sfloat(special.value) for special in Special} == set(Special)
    assert PLAIN.count(None) == 5
    assert decode_sfloat(0xE802) == -20.46


def test_every_number_is_encoded_exactly():
    for value in PLAIN:
        if value is not None:
            assert decode_sfloat(encode_sfloat(value)) == value


# The first are the numbers whose plain word is a special: 2046.0 must not be sent as infinity.
@pytest.mark.parametrize("value", [2046.0, 2047.0, -2046.0, -2047.0, -2048.0, 2049.0, 1e-9, 2047e7, -2048e7])
def test_the_edges_are_encoded_to_the_closest_of_all_words(value):
    sent = decode_sfloat(encode_sfloat(value))
    assert isinstance(sent, float)
    assert abs(sent - value) == np.abs(FINITE - value).min()


@BOUNDED
@given(st.floats(min_value=-2048e7, max_value=2047e7))
def test_encodes_to_the_closest_of_all_words(value):
    sent = decode_sfloat(encode_sfloat(value))
    assert abs(sent - value) == np.abs(FINITE - value).min()


@pytest.mark.parametrize(
    ("value", "word"), [(120.0, 0x0078), (0.0, 0x0000), (12.5, 0xF07D), (-0.4, 0xFFFC), (3640.0, 0x116C)]
)
def test_prefers_the_exponent_nearest_zero(value, word):
    assert encode_sfloat(value) == word


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 2.1e10, -2.1e10])
def test_refuses_what_no_word_can_say(value):
    with pytest.raises(ValueError, match="range of an SFLOAT"):
        encode_sfloat(value)


# By hand: octets FF in the place of what cannot be less than nothing, in every characteristic that has such a place.
NOTHING_MEASURED = [
    ("cgm.MEASUREMENT[0][0]", "0600 ffff 1e00", {"glucose_mg_dl"}),
    ("cgm.MEASUREMENT[0][0]", "0a03 6400 1e00 ffff ffff", {"quality_pct"}),
    ("cgm_control.CALIBRATION", "ffff 6702 11 d002 0100 00", {"glucose_mg_dl"}),
    (
        "cgm_control.RESPONSE[0]",
        "06 ffff 6702 11 d002 0100 00",
        {"calibration_response.calibration.glucose_mg_dl"},
    ),
    ("cgm_control.RESPONSE[0]", "09 ffff", {"patient_high_response.level_mg_dl"}),
    ("glucose_meter.MEASUREMENT", "03 0100 e407030e171700 0000 ffff 11", {"sample.concentration"}),
    ("glucose_meter.CONTEXT", "01 0000 01 ffff", {"carbohydrate.mass_kg"}),
    ("glucose_meter.CONTEXT", "50 0000 01 ffff ffff", {"medication.amount", "hba1c_pct"}),
    (
        "pulse_oximeter.SPOT_CHECK",
        "08 ffff ffff ffff",
        {"oximetry.spo2_pct", "oximetry.pulse_rate_bpm", "pulse_amplitude_index_pct"},
    ),
    ("pulse_oximeter.CONTINUOUS", "01 6200 4800 ffff ffff", {"fast.spo2_pct", "fast.pulse_rate_bpm"}),
    (
        "blood_pressure.MEASUREMENT",
        "04 ffff ffff ffff ffff",
        {"systolic", "diastolic", "mean_arterial", "pulse_rate_bpm"},
    ),
    ("thermometer.MEASUREMENT", "00 ffffffff", {"temperature"}),
    ("health_sensor.SCHEDULE", "01000000 ffffffff ffffffff", {"measurement_period_s", "update_interval_s"}),
]


@pytest.mark.parametrize(("label", "packet", "places"), NOTHING_MEASURED)
def test_octets_ff_are_no_measurement_and_it_is_said_so(label, packet, places, monkeypatch):
    monkeypatch.setattr(Kernel, "compiled", property(lambda kernel: kernel.function))
    codec, payload = CODECS[label], bytes.fromhex(packet)
    reading = codec.decode(payload)
    assert reading == codec.interpret(payload)
    _, oddities = codec.decode_lenient(payload)
    complaints = sorted(f"{place.rpartition('.')[2]}: -0.1 is no measurement" for place in places)
    assert sorted(oddity.complaint for oddity in oddities) == complaints
    with np.errstate(over="ignore"):
        columns = codec.columns(*flatten([payload]))
    for place in places:
        assert np.isnan(columns.values[place]).tolist() == [True]
        assert columns.words[place].tolist() in ([0xFFFF], [0xFFFFFFFF])
        path = place.removeprefix("calibration_response.").removeprefix("patient_high_response.")
        assert attrgetter(path)(reading) is Special.NAN


@pytest.mark.parametrize("value", [-0.1, -2045.0])
def test_what_is_less_than_nothing_is_not_sent_as_a_measurement(value):
    with pytest.raises(ValueError, match="beyond the range of what is measured"):
        CODECS["glucose_meter.CONTEXT"].encode(GlucoseContext(0, hba1c_pct=value))


def test_a_trend_may_be_negative():
    ((reading,), errors) = cgm.decode_measurements(bytes.fromhex("0801 6400 1e00 ffff"), crc=False)
    assert (reading.trend_mg_dl_min, errors) == (-0.1, [])
