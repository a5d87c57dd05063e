"""What devices that deliver have really sent is read in the clinic's units, with its time, and with what speaks against
it; rubbish is a DecodeError and nothing else."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, accepted, octets, rejected

from edge.measurements import MEASUREMENTS
from edge.sensors.spot.epochs import date_time_of, seconds_of
from edge.sensors.spot.measured import WAYS, Measured, Reader
from edge.sensors.spot.validity import (
    CUFF_BITS,
    METER_BITS,
    OXIMETER_BITS,
    OXIMETER_DEVICE_BITS,
    NotCounted,
    of_user,
)
from protocols import body_composition, glucose_meter, uuids
from protocols.body_composition import BodyComposition
from protocols.date_time import DateTime
from protocols.errors import DecodeError
from protocols.glucose_meter import (
    Carbohydrate,
    Exercise,
    GlucoseContext,
    GlucoseMeasurement,
    Medication,
    MedicationUnit,
    Sample,
    SensorStatus,
)
from protocols.medfloat import Special
from protocols.weight_scale import UNSUCCESSFUL, USER_UNKNOWN, Units

FILES = {
    uuids.GLUCOSE_MEASUREMENT: ("glucose_meter", "2A18"),
    uuids.GLUCOSE_CONTEXT: ("glucose_meter", "2A34"),
    uuids.PLX_SPOT_CHECK: ("pulse_oximeter", "2A5E"),
    uuids.PLX_CONTINUOUS: ("pulse_oximeter", "2A5F"),
    uuids.TEMPERATURE_MEASUREMENT: ("thermometer", "2A1C"),
    uuids.BLOOD_PRESSURE_MEASUREMENT: ("blood_pressure", "2A35"),
    uuids.WEIGHT_MEASUREMENT: ("weight_scale", "2A9D"),
    uuids.BODY_COMPOSITION_MEASUREMENT: ("body_composition", "2A9C"),
}


def read(characteristic: str, hexed: str) -> Measured:
    measured = Reader().read(characteristic, bytes.fromhex(hexed))
    assert measured is not None
    return measured


def said(measured: Measured) -> Mapping[str, float | None]:
    return {value.measurement: value.value for value in measured.values}


def reasons(measured: Measured) -> set[str | None]:
    return {value.not_counted for value in measured.values}


def shown(text: str) -> int:
    day, time = text.split("T")
    return seconds_of(DateTime(*map(int, (*day.split("-"), *time.split(":"))))) or 0


# Captures of devices


@pytest.mark.parametrize(
    ("characteristic", "hexed", "values", "stamp"),
    [
        # A real meter, told in an issue: 112 mg/dL, 6.2 mmol/L (stackoverflow, mirror pullrequest.ru/14028530).
        (
            uuids.GLUCOSE_MEASUREMENT,
            "030000e407030e171700000070b011",
            {"capillary_glucose": 112.0},
            "2020-03-14T23:23:00",
        ),
        # ChoiceMMed oximeter whose clock was never set (stackoverflow 71264072).
        (
            uuids.PLX_SPOT_CHECK,
            "1761006000e10701010122132000200000",
            {"oxygen_saturation": 97.0, "pulse_rate": 96.0},
            None,
        ),
        # A cuff that tells no mean pressure and found an irregular pulse (stackoverflow 78176577).
        (
            uuids.BLOOD_PRESSURE_MEASUREMENT,
            "de88f420f3ff07e4070113163700bcf2014401",
            {"systolic": 116.0, "diastolic": 80.0, "pulse_rate": 70.0},
            "2020-01-19T22:55:00",
        ),
        # A thermometer (stackoverflow 49217297).
        (
            uuids.TEMPERATURE_MEASUREMENT,
            "06680100ffe207030a15340002",
            {"body_temperature": 36.0},
            "2018-03-10T21:52:00",
        ),
        # Scales: ble_monitor issue 292, eclipse-smarthome-bluetooth-binding issue 42, ble-scale-sync issue 229.
        (uuids.WEIGHT_MEASUREMENT, "222044b20701010a1a11", {"body_weight": 87.2}, "1970-01-01T10:26:17"),
        (uuids.WEIGHT_MEASUREMENT, "a24c63e20702010f2f1c", {"body_weight": 127.1}, "2018-02-01T15:47:28"),
        (
            uuids.WEIGHT_MEASUREMENT,
            "0e205cea07070e1729200140018007",
            {"body_weight": 117.92, "height": 1.92},
            "2026-07-14T23:41:32",
        ),
        (
            uuids.BODY_COMPOSITION_MEASUREMENT,
            "9803f300962389014042fa2f550f",
            {
                "body_fat": 24.3,
                "basal_metabolism": 9110.0,
                "muscle": 39.3,
                "soft_lean_mass": 84.8,
                "body_water_mass": 61.41,
                "impedance": 392.5,
            },
            None,
        ),
    ],
)
def test_captures_say_what_their_owners_read(
    characteristic: str, hexed: str, values: Mapping[str, float], stamp: str | None
) -> None:
    measured = read(characteristic, hexed)
    assert said(measured) == pytest.approx(values)
    assert measured.stamp_s == (None if stamp is None else shown(stamp))


def test_a_meter_that_sends_ffff_has_measured_nothing() -> None:
    # Kept for its number: it would be asked for again and again otherwise.
    measured = read(uuids.GLUCOSE_MEASUREMENT, "030100e407030e1717000000ffff11")
    assert (said(measured), reasons(measured)) == ({"capillary_glucose": None}, {"no measurement"})
    assert measured.number == 1


def test_a_temperature_below_zero_is_no_measurement() -> None:
    measured = read(uuids.TEMPERATURE_MEASUREMENT, "00feffffff")
    assert (said(measured), reasons(measured)) == ({"body_temperature": None}, {"no measurement"})


def test_zeros_that_a_scale_sends_before_it_has_measured_are_nothing() -> None:
    reader = Reader()
    zeros = bytes.fromhex("9803000096230000000000000000")
    assert reader.read(uuids.BODY_COMPOSITION_MEASUREMENT, zeros) is None


def test_the_user_s_time_of_a_meter_is_its_base_time_and_what_the_user_added() -> None:
    # 5 min back; the status says too little blood and too cold.
    measured = read(uuids.GLUCOSE_MEASUREMENT, "1b0100e307021b0b0a1efbff1e00120501")
    assert measured.stamp_s == shown("2019-02-27T11:05:30")
    assert reasons(measured) == {"too little blood"}


@pytest.mark.parametrize("characteristic", FILES)
def test_every_published_packet_is_read_in_range_or_says_what_is_wrong(characteristic: str) -> None:
    for row in accepted(*FILES[characteristic]):
        reader = Reader()
        measured = reader.read(characteristic, octets(row))
        for value in measured.values if measured else ():
            limits = MEASUREMENTS[value.measurement]
            is_plausible = value.value is not None and limits.least <= value.value <= limits.most
            assert is_plausible or value.not_counted, row["hex"]
    for row in rejected(*FILES[characteristic]):
        with pytest.raises(DecodeError):
            Reader().read(characteristic, octets(row))


# What speaks against a value


def glucose(value: float | Special = 0.0012, status: int = 0, fluid: int = 1, location: int = 1) -> Measured:
    reading = GlucoseMeasurement(
        7,
        DateTime(2024, 3, 15, 14, 30, 45),
        sample=Sample(value, fluid, location),
        status=SensorStatus(status) if status else None,
    )
    return read(uuids.GLUCOSE_MEASUREMENT, glucose_meter.MEASUREMENT.encode(reading).hex())


@pytest.mark.parametrize(("bit", "reason"), METER_BITS.items())
def test_a_meter_s_bits_speak_against_its_value(bit: SensorStatus, reason: str) -> None:
    assert reasons(glucose(status=int(bit))) == {reason}
    assert glucose(status=int(bit)).status == bit


@pytest.mark.parametrize(
    "bit", [SensorStatus.BATTERY_LOW, SensorStatus.TIME_FAULT, SensorStatus.ABOVE_MEASURABLE]
)
def test_other_bits_do_not(bit: SensorStatus) -> None:
    assert reasons(glucose(status=int(bit))) == {None}


def test_control_solution_is_nobody_s_blood() -> None:
    assert reasons(glucose(fluid=10)) == reasons(glucose(location=4)) == {"control solution"}


def test_beyond_a_meter_s_scale_it_says_on_which_side() -> None:
    assert said(glucose(Special.POSITIVE_INFINITY)) == {"capillary_glucose": math.inf}
    assert said(glucose(Special.NAN, status=1 << 5)) == {"capillary_glucose": math.inf}
    assert said(glucose(Special.NAN, status=1 << 6)) == {"capillary_glucose": -math.inf}
    assert reasons(glucose(Special.NAN, status=1 << 6)) == {None}
    assert reasons(glucose(Special.NAN)) == {"no measurement"}
    assert reasons(glucose(0.02)) == {"out of range"}


@pytest.mark.parametrize(("bit", "reason"), [*OXIMETER_BITS.items(), *OXIMETER_DEVICE_BITS.items()])
def test_an_oximeter_s_bits_speak_against_both_values(bit: int, reason: str) -> None:
    status, device_status = (
        (bit, 0) if bit in OXIMETER_BITS and reason == OXIMETER_BITS.get(bit) else (0, bit)
    )  # type: ignore[call-overload]
    packet = bytes([0x06]) + bytes.fromhex("61006000")
    packet += int(status).to_bytes(2, "little") + int(device_status).to_bytes(3, "little")
    assert reasons(read(uuids.PLX_SPOT_CHECK, packet.hex())) == {reason}


@pytest.mark.parametrize(("bit", "reason"), CUFF_BITS.items())
def test_a_cuff_s_bits_speak_against_its_pressures(bit: int, reason: str) -> None:
    packet = bytes.fromhex("147900510060004000") + int(bit).to_bytes(2, "little")
    assert reasons(read(uuids.BLOOD_PRESSURE_MEASUREMENT, packet.hex())) == {reason}


def test_an_irregular_pulse_speaks_against_the_pulse_rate_alone() -> None:
    packet = read(uuids.BLOOD_PRESSURE_MEASUREMENT, "1479005100600040000400")
    found = {value.measurement: value.not_counted for value in packet.values}
    assert found == {
        "systolic": None,
        "diastolic": None,
        "mean_arterial": None,
        "pulse_rate": "irregular pulse",
    }


def test_units_are_those_of_the_clinic() -> None:
    # 18.9 and 11.0 kPa; 98.6 degrees Fahrenheit; 157 pounds.
    pressure = said(read(uuids.BLOOD_PRESSURE_MEASUREMENT, "15bdf00b009ff03c001200"))
    assert pressure["systolic"] == pytest.approx(141.76, abs=0.01)
    assert said(read(uuids.TEMPERATURE_MEASUREMENT, "01da0300ff"))["body_temperature"] == pytest.approx(37.0)
    assert said(read(uuids.WEIGHT_MEASUREMENT, "01543d"))["body_weight"] == pytest.approx(71.214, abs=0.001)
    assert reasons(read(uuids.WEIGHT_MEASUREMENT, "00ffff")) == {"no measurement"}


def test_whose_it_is() -> None:
    assert of_user(2, 2) is of_user(None, 2) is of_user(7, None) is None
    assert of_user(1, 2) is NotCounted.ANOTHER_USER
    assert of_user(USER_UNKNOWN, 2) is NotCounted.USER_UNKNOWN


# What comes in pieces


def test_what_belongs_to_a_glucose_value_comes_in_its_units() -> None:
    context = GlucoseContext(
        9,
        carbohydrate=Carbohydrate(1, 0.06),
        meal=2,
        exercise=Exercise(1800, 50),
        medication=Medication(1, 4e-5),
        medication_unit=MedicationUnit.LITRES,
        hba1c_pct=6.5,
    )
    measured = read(uuids.GLUCOSE_CONTEXT, glucose_meter.CONTEXT.encode(context).hex())
    assert said(measured) == pytest.approx(
        {"meal": 2.0, "carbohydrate": 60.0, "exercise": 30.0, "medication_volume": 0.04, "hba1c": 6.5}
    )
    assert (measured.number, measured.joins, reasons(measured)) == (9, True, {None})
    empty = glucose_meter.CONTEXT.encode(GlucoseContext(9))
    assert Reader().read(uuids.GLUCOSE_CONTEXT, empty) is None


def test_a_composition_in_two_packets_is_one() -> None:
    noon = DateTime(2024, 3, 15, 14, 30, 45)
    first = BodyComposition(200, Units.SI, noon, 2, muscle_mass_counts=7000, multiple_packets=True)
    second = BodyComposition(200, weight_counts=15000, multiple_packets=True)
    reader = Reader()
    packets = [body_composition.MEASUREMENT.encode(one) for one in (first, second)]
    assert reader.read(uuids.BODY_COMPOSITION_MEASUREMENT, packets[0]) is None
    whole = reader.read(uuids.BODY_COMPOSITION_MEASUREMENT, packets[1])
    assert whole is not None
    assert said(whole) == {"body_fat": 20.0, "muscle_mass": 35.0, "body_weight": 75.0}
    assert (whole.user, whole.stamp_s, whole.joins) == (2, seconds_of(noon), False)
    # The second alone, as after a lost first, is the beginning of nothing.
    assert Reader().read(uuids.BODY_COMPOSITION_MEASUREMENT, packets[1]) is None


def test_of_a_composition_that_failed_nothing_else_is_taken() -> None:
    failed = BodyComposition(UNSUCCESSFUL, muscle_tenths=400)
    measured = read(uuids.BODY_COMPOSITION_MEASUREMENT, body_composition.MEASUREMENT.encode(failed).hex())
    assert (said(measured), reasons(measured)) == ({"body_fat": None}, {"no measurement"})


# Times


@pytest.mark.parametrize(
    "time",
    [
        None,
        DateTime(0, 4, 17, 20, 41, 59),
        DateTime(2024, 2, 30, 0, 0, 0),
        DateTime(2024, 1, 1, 25, 0, 0),
        DateTime(9999, 1, 1, 0, 0, 0),
    ],
)
def test_there_is_no_such_time(time: DateTime | None) -> None:
    assert seconds_of(time) is None


@given(st.integers(0, 4_000_000_000))
@BOUNDED
def test_times_come_back(seconds: int) -> None:
    assert seconds_of(date_time_of(seconds)) == seconds


# Rubbish


@pytest.mark.parametrize("characteristic", WAYS)
@given(payloads=st.lists(st.binary(max_size=40), max_size=4))
@BOUNDED
def test_rubbish_is_a_decode_error_and_nothing_else(characteristic: str, payloads: list[bytes]) -> None:
    reader = Reader()
    for payload in payloads:
        try:
            measured = reader.read(characteristic, payload)
        except DecodeError:
            continue
        for value in measured.values if measured else ():
            assert value.value is None or not math.isnan(value.value)
            assert value.measurement in MEASUREMENTS
