import json
import random
import re

import pytest
from protocol_vectors import all_rows, name
from typer.testing import CliRunner

from protocols import polar, uuids
from tools.cli import app
from tools.decode import answers as decode
from tools.decode.packets import DECODERS


def cli(*args, stdin=None):
    result = CliRunner().invoke(app, ["decode", *args], input=stdin)
    return result.exit_code, result.output


ROWS = [row for row in all_rows() if row["provenance"] != "unit_test_response_only"]
# What the authors of the packets call the fields, and what the specification does.
_DIALECT = {
    "SFLOAT": {}, "FLOAT": {}, "E2E-CRC": {}, "CRC-CCITT-FALSE": {}, "2A26": {}, "2A29": {}, "PMD-SETTINGS": {},
    "2A08": {"time": "date_time"},
    "2A1D": {"type": "temperature_type"},
    "2A23": {"manufacturer": "manufacturer_identifier", "oui": "organizationally_unique_identifier"},
    "2A39": {"control": "heart_rate_control_point"},
    "2A49": {"features": "blood_pressure_feature"},
    "2A18": {
        "seq": "sequence_number", "base": "base_time", "offset": "time_offset_min", "conc": "glucose_concentration",
        "unit": "glucose_concentration_unit", "location": "sample_location", "status": "sensor_status_annunciation",
        "context": "context_information_follows", "trailing": "trailing_octets",
    },
    "2BF2": {
        "ticks": "tick_counter",
        "current": "current_timeline",
        "count": "time_value",
        "source": "time_sync_source_type",
        "zone": "tz_dst_offset",
        "status": "clock_status",
        "capabilities": "clock_capabilities",
    },
    "2A19": {"level": "battery_level_pct"},
    "2A1C": {"temp": "temperature_measurement_value", "time": "timestamp", "type": "temperature_type"},
    "2A2B": {"time": "date_time", "dow": "day_of_week", "frac256": "fractions256", "reason": "adjust_reason"},
    "2A34": {
        "seq": "sequence_number", "ext": "extended_flags", "carb": "carbohydrate_id", "carb_kg": "carbohydrate_kg",
        "ex_s": "exercise_duration_s", "ex_pct": "exercise_intensity_pct", "med": "medication_id",
        "med_amt": "medication", "med_unit": "medication_unit", "hba1c": "hba1c_pct", "trailing": "trailing_octets",
    },
    "2A35": {
        "sys": "systolic", "dia": "diastolic", "map": "mean_arterial_pressure", "time": "timestamp",
        "pulse": "pulse_rate_bpm", "user": "user_id", "status": "measurement_status",
    },
    "2A37": {
        "hr": "heart_rate_measurement_value_bpm", "contact": "sensor_contact_detected",
        "contact_supported": "sensor_contact_supported", "energy": "energy_expended_kj",
        "rr_1024": "rr_interval_ticks", "trailing": "trailing_octets",
    },
    "2A38": {"location": "body_sensor_location"},
    "2A50": {
        "source": "vendor_id_source", "vendor": "vendor_id", "product": "product_id", "version": "product_version",
    },
    "2A51": {"features": "glucose_feature"},
    "2A52": {
        "op": "op_code", "req": "request_op_code", "code": "response_code_value", "count": "number_of_records",
    },
    "2A5E": {
        "spo2": "spo2pr_spot_check_spo2_pct", "pr": "spo2pr_spot_check_pr_bpm", "time": "timestamp",
        "mstatus": "measurement_status", "dstatus": "device_and_sensor_status", "pai": "pulse_amplitude_index_pct",
        "clock_not_set": "device_clock_not_set",
    },
    "2A5F": {
        "spo2": "spo2pr_normal_spo2_pct", "pr": "spo2pr_normal_pr_bpm", "mstatus": "measurement_status",
        "dstatus": "device_and_sensor_status", "pai": "pulse_amplitude_index_pct",
    },
    "2A60": {
        "features": "supported_features", "mstatus": "measurement_status_support",
        "dstatus": "device_and_sensor_status_support",
    },
    "2A9C": {
        "fat_pct": "body_fat_percentage", "basal_kj": "basal_metabolism_kj", "muscle_pct": "muscle_percentage",
        "fat_free_kg": "fat_free_mass", "soft_lean_kg": "soft_lean_mass", "body_water_kg": "body_water_mass",
        "unit": "mass_unit", "time": "timestamp", "user": "user_id", "weight_kg": "weight", "height_m": "height",
    },
    "2A9B": {
        "features": "body_composition_feature",
        "mass_resolution": "mass_measurement_resolution", "height_resolution": "height_measurement_resolution",
    },
    "2A9D": {"unit": "weight_unit", "time": "timestamp", "user": "user_id", "bmi": "bmi_kg_m2"},
    "2AA7": {
        "glucose": "cgm_glucose_concentration_mg_dl", "t": "time_offset_min", "status": "status_octet",
        "caltemp": "cal_temp_octet", "warning": "warning_octet", "trend": "cgm_trend_information_mg_dl_min",
        "quality": "cgm_quality_pct", "crc": "e2e_crc",
    },
    "2AA8": {"features": "cgm_feature", "location": "sample_location", "crc": "e2e_crc"},
    "2AA9": {"t": "time_offset_min", "status": "cgm_status", "crc": "e2e_crc"},
    "2AAA": {"time": "session_start_time", "tz_q15": "time_zone", "dst": "dst_offset", "crc": "e2e_crc"},
    "2AAB": {"hours": "cgm_session_run_time_h", "crc": "e2e_crc"},
    "2AAC": {
        "op": "op_code", "req": "request_op_code", "code": "response_code_value",
        "conc": "glucose_concentration_of_calibration_mg_dl", "cal_t": "calibration_time_min",
        "type": "calibration_type", "location": "calibration_sample_location", "next_t": "next_calibration_time_min",
        "record": "calibration_data_record_number", "status": "calibration_status",
        "interval": "communication_interval_min",
    },
    "AIDEX-ADV": {
        "status": "sensor_status_annunciation", "offset": "time_offset_min", "quality": "quality_pct",
    },
    "XIAOMI-181B": {"stable": "is_stable", "removed": "is_removed", "time": "timestamp"},
    "XIAOMI-181D": {"stable": "is_stable", "removed": "is_removed", "time": "timestamp"},
    "PMD-CP": {"op": "op_code", "type": "measurement_type"},
    "PMD-DATA": {
        "type": "measurement_type", "ts": "timestamp_ns", "frame": "frame_type", "compressed": "delta_compressed",
        "n": "sample_count",
    },
    "PMD-DELTA": {"n": "sample_count"},
}  # fmt: skip

_DIALECT["2A36"] = _DIALECT["2A35"]


def said(document, characteristic, field):
    """What a document says of a field that the author of a packet names."""
    match characteristic, field:
        case _, "first":
            return document["samples"][:2]
        case _, "sample0":
            return document["samples"][0]
        case _, "last":
            return document["samples"][-1]
        case "2A5F", "fast" | "slow":
            return [document[f"spo2pr_{field}_spo2_pct"], document[f"spo2pr_{field}_pr_bpm"]]
        case "2AAC", "value":
            return next(value for name, value in document.items() if "_alert_level_mg_dl" in name)
        case "PMD-SETTINGS", kind:
            return document[polar.Setting(int(kind)).name.lower()]
    return document[_DIALECT.get(characteristic, {}).get(field, field)]


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_every_published_packet_is_answered_field_by_field(row):
    number, expected = row["characteristic"], row["expected"]
    document = decode.answer(number, row["hex"], row["args"])
    json.dumps(document, allow_nan=False)
    assert ("error" in document) is ("reject" in expected), document
    expected = {field: value for field, value in expected.items() if field != "reject"}
    pairs = (
        zip(expected["records"], document["records"], strict=True)
        if "records" in expected
        else [(expected, document)]
    )
    for meant, answered in pairs:
        for field, value in meant.items():
            answer = said(answered, number, field)
            # An author may name the first channels of a sample only.
            assert (answer[: len(value)] if field == "sample0" else answer) == value, field


def test_fields_stand_under_their_names():
    code, output = cli("2A37", "1e 55 32 00", "21 00")
    assert code == 0
    assert output.splitlines() == [
        "characteristic: 2A37",
        "heart_rate_measurement_value_bpm: 85",
        "sensor_contact_detected: True",
        "energy_expended_kj: 50",
        "rr_interval_ticks: [33]",
        "sensor_contact_supported: True",
        "rr_interval_ms: [32.2265625]",
        "trailing_octets: 0",
    ]


def test_the_checksum_is_found_or_demanded():
    pump = "0ec38d00e803000010e00a00d9af"
    _, output = cli("2aa7", pump, "--json")
    document = json.loads(output)
    (record,) = document["records"]
    assert (record["e2e_crc"], record["e2e_crc_algorithm"]) == (0xAFD9, "ccitt_false")
    assert record["cgm_glucose_concentration_mg_dl"] == 141.0
    assert cli("2AA7", pump, "--crc", "mcrf4xx")[0] == 1
    assert cli("2AA7", pump, "--crc", "none")[0] == 1
    assert cli("2AA7", pump, "--crc", "fletcher")[0] == 2


@pytest.mark.parametrize(
    "uuid",
    [
        "2A19",
        "0x2a19",
        "00002A19",
        "0x00002a19",
        "00002a19-0000-1000-8000-00805f9b34fb",
        "{00002A19-0000-1000-8000-00805F9B34FB}",
        "urn:uuid:00002a19-0000-1000-8000-00805f9b34fb",
        "00002a1900001000800000805f9b34fb",
    ],
)
def test_any_way_to_write_the_uuid(uuid):
    assert cli(uuid, "64") == (0, "characteristic: 2A19\nbattery_level_pct: 100\n")


@pytest.mark.parametrize(
    "uuid", ["fb005c81-02e7-f387-1cad-8acd2d8df0c8", "{FB005C8102E7F3871CAD8ACD2D8DF0C8}"]
)
def test_so_with_polars(uuid):
    assert decode.answer(uuid, "0f05")["measurements"] == ["ecg", "acceleration"]


@pytest.mark.parametrize(
    "uuid", ["12342a19-0000-1000-8000-00805f9b34fb", "2a19-0000-1000-8000-00805f9b34fb", "12342a19", "2a1"]
)
def test_another_uuid_is_not_taken_for_ours(uuid):
    assert "not known here" in decode.answer(uuid, "64")["error"]


@pytest.mark.parametrize(
    "digits",
    ["0x1e5532002100", "1e:55:32:00:21:00", "1E-55-32-00-21-00", "0x1e 0X55 0x32002100", " 1e55 32002100 "],
)
def test_any_way_to_write_octets(digits):
    assert decode.answer("2A37", digits)["rr_interval_ticks"] == [33]


@pytest.mark.parametrize("digits", ["1:e5:53", "0x", "0:48", "104", "10 4 8", "\u0661\u0660"])
def test_half_octets_are_no_octets(digits):
    assert "error" in decode.answer("2A37", digits)


@pytest.mark.parametrize("name", ["MCRF4XX", "mcrf4xx"])
def test_any_way_to_write_the_checksum(name):
    assert decode.answer("2AA9", "6702080a4027e1", {"crc": name})["e2e_crc_algorithm"] == "mcrf4xx"
    assert cli("2AA9", "6702080a4027e1", "--crc", name)[0] == 0


@pytest.mark.parametrize("name", ["CCITT_FALSE", "Ccitt-False", "ccitt_false"])
def test_and_the_other(name):
    args = {"crc": name}
    assert decode.answer("2AA7", "0ec38d00e803000010e00a00d9af", args)["records"][0]["e2e_crc"] == 0xAFD9
    assert decode.answer("E2E-CRC", "313233343536373839", {"alg": name}) == {
        "characteristic": "E2E-CRC",
        "crc": 0x29B1,
    }


def test_bare_octets_have_the_specifications_checksum_and_no_unknown_one():
    assert decode.answer("E2E-CRC", "313233343536373839", {"alg": "MCRF4XX"})["crc"] == 0x6F91
    for alg in ("xmodem", "none", "", 1):
        assert "error" in decode.answer("E2E-CRC", "31", {"alg": alg})


def test_a_checksum_demanded_of_all_lines_may_be_another_for_one():
    status = '"characteristic": "2AA9", "hex": "6702080a4027e1"'
    lines = f'{{{status}}}\n{{{status}, "args": {{"crc": true}}}}\n'
    code, output = cli("--jsonl", "--crc", "ccitt-false", stdin=lines)
    assert code == 1
    assert ["error" in json.loads(line) for line in output.splitlines()] == [True, False]
    assert cli("--jsonl", "--crc", "fletcher", stdin=lines)[0] == 2
    assert cli("2A19", "64", "--crc", "fletcher")[0] == 2


def test_a_stream_may_begin_with_a_byte_order_mark_and_hold_anything():
    lines = [
        b'\xef\xbb\xbf{"characteristic": "2A19", "hex": "64"}',
        rb'{"characteristic": "\ud800", "hex": "64"}',
        b'{"characteristic": "2A19\xff", "hex": "64"}',
        b'{"characteristic": "2A29", "hex": "c3a9"}',
    ]
    code, output = cli("--jsonl", stdin=b"\n".join(lines))
    assert code == 1
    assert cli("--jsonl", stdin=b"\n".join([lines[0], lines[3]]))[0] == 0
    answers = [json.loads(line) for line in output.splitlines()]
    assert output.isascii()
    assert answers[0] == {"characteristic": "2A19", "battery_level_pct": 100}
    assert ["error" in answer for answer in answers] == [False, True, True, False]
    assert answers[3]["text"] == "é"


@pytest.mark.parametrize(("options", "said"), [((), "text: \\xe9"), (("--json",), '"text": "\\u00e9"')])
def test_a_terminal_without_the_characters_is_told_too(options, said):
    result = CliRunner(charset="ascii").invoke(app, ["decode", "2A29", "c3a9", *options])
    assert result.exit_code == 0
    assert said in result.output
    assert CliRunner(charset="ascii").invoke(app, ["decode", "\udcff", "00", *options]).exit_code == 1


@pytest.mark.parametrize("args", [("2B99", "00"), ("2A37", "xyz"), ("2A37", "00"), ("PMD-DELTA", "00")])
def test_what_cannot_be_decoded_says_why_on_stderr(args):
    result = CliRunner().invoke(app, ["decode", *args])
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"vitalgate: {args[0]}: ")
    as_json = CliRunner().invoke(app, ["decode", "--json", *args])
    assert (as_json.exit_code, as_json.stderr) == (1, "")
    assert line.endswith(json.loads(as_json.stdout)["error"])


def test_a_call_without_a_packet_is_mended_by_the_caller():
    assert cli("2A37")[0] == 2


def test_lines_are_answered_in_order_whatever_they_hold():
    lines = [
        '{"characteristic": "2A19", "hex": "64"}',
        "",
        "nonsense",
        '{"hex": "64"}',
        '{"characteristic": "2B99", "hex": "64"}',
        '{"characteristic": "2AA9", "hex": "6702080a4027e1", "args": {"crc": true}}',
        '{"characteristic": "2AA9", "hex": "6702080a4027e1", "args": {"crc": "fletcher"}}',
        '{"characteristic": "PMD-DELTA", "hex": "0a0402d2", "args": {"channels": 1, "resolution": 8}}',
        "[1]",
    ]
    code, output = cli("--jsonl", stdin="\n".join(lines))
    answers = [json.loads(line) for line in output.splitlines()]
    assert code == 1
    assert len(answers) == 8
    assert answers[0] == {"characteristic": "2A19", "battery_level_pct": 100}
    assert ["error" in answer for answer in answers] == [False, True, True, True, False, True, False, True]
    assert "not known" in answers[3]["error"]
    assert answers[6]["samples"] == [[10], [12], [9]]


# By hand from the specifications' tables: what packets that nobody has published have to be answered with.
@pytest.mark.parametrize(
    ("number", "packet", "args", "fields"),
    [
        # Heart rate: all flags; reserved flags; half an interval; a strap that counts milliseconds.
        ("2A37", "1fc8000a0000040104", {}, {"energy_expended_kj": 10, "rr_interval_ms": [1000.0, 1025 * 1000 / 1024]}),
        ("2A37", "e055", {}, {"heart_rate_measurement_value_bpm": 85, "trailing_octets": 0}),
        ("2A37", "1048b303c2", {}, {"rr_interval_ticks": [947], "trailing_octets": 1}),
        ("2A37", "103ce803", {"rr_unit": "ms"}, {"rr_interval_ms": [1000], "rr_interval_ticks": None}),
        ("2A37", "104800", {}, {"heart_rate_measurement_value_bpm": 72, "rr_interval_ticks": [], "trailing_octets": 1}),
        ("2A37", "104800", {"strict": True}, None),
        ("2A37", "170101", {}, None),
        ("2A37", "0600", {}, {"heart_rate_measurement_value_bpm": 0, "sensor_contact_detected": True}),
        # Glucose meters: no sample, reserved codes, a special value, the furthest offset.
        ("2A18", "000500000000000000000000", {"strict": True}, None),
        ("2A18", "0005000000000000000000", {}, {"base_time": "0000-00-00T00:00:00", "glucose_concentration": None}),
        ("2A18", "030500e80702 1d173b3b 0080 ff07 bb", {}, {"time_offset_min": -32768, "glucose_concentration": "NaN",
            "glucose_mg_dl": "NaN", "type": 11, "sample_location": 11}),
        ("2A34", "0805 00 ffff ff", {}, {"exercise_duration_s": 65535, "exercise_intensity_pct": 255}),
        ("2A34", "1001000264f0", {}, {"medication_id": 2, "medication": 10.0, "medication_unit": "kg"}),
        # The thermometer in Fahrenheit, the scale that failed, pressure in kPa.
        ("2A1C", "05 da0300ff 09", {}, {"temperature_measurement_value": 98.6, "unit": "F", "temperature_type": 9}),
        ("2A1C", "00 00008000", {}, {"temperature_measurement_value": "NRes", "timestamp": None}),
        ("2A9D", "00 ffff", {}, {"weight": None, "weight_unit": "kg"}),
        ("2A9D", "0f 1027 e807030f0e1e2d ff fa00 b902", {}, {"weight": 100.0, "weight_unit": "lb", "user_id": 255,
            "bmi_kg_m2": 25.0, "height": 69.7, "height_unit": "in", "timestamp": "2024-03-15T14:30:45"}),
        ("2A9C", "0010 ffff", {}, {"body_fat_percentage": None, "multiple_packet_measurement": True}),
        ("2A9C", "210c 2c01 1027 9c40 be02", {}, {"muscle_mass": 100.0, "weight": 165.4, "mass_unit": "lb",
            "height": 70.2, "height_unit": "in", "muscle_percentage": None}),
        ("2A35", "01 a0f0 ff07 fe07", {}, {"systolic": 16.0, "diastolic": "NaN", "mean_arterial_pressure": "+INF",
            "unit": "kPa"}),
        ("2A49", "0102", {}, {"blood_pressure_feature": 0x201}),
        # Oximeters: every optional field, the feature word as sent.
        ("2A5F", "1f 6200 4800 6100 4700 6300 4600 2000 080000 05f0", {}, {"spo2pr_fast_spo2_pct": 97.0,
            "spo2pr_slow_pr_bpm": 70.0, "device_and_sensor_status": 8, "pulse_amplitude_index_pct": 0.5}),
        # What is announced and not sent, as sensors do; a stricter reader refuses it.
        ("2A60", "0700", {}, {"supported_features": 7, "measurement_status_support": None}),
        ("2A60", "0700", {"strict": True}, None),
        ("2A60", "01", {}, None),
        ("2A60", "0300 2000 010000", {}, {"supported_features": 3, "measurement_status_support": 0x20}),
        # CGM: octets the other way round; an octet without a bit; a record and half a one; unknown time zone.
        ("2AA7", "09e078001e00 400208", {"octet_order": "wcs"}, {"records.0.status_octet": 8,
            "records.0.warning_octet": 64}),
        ("2AA7", "078078001e0000", {}, {"records.0.status_octet": 0, "records.0.cal_temp_octet": None}),
        ("2AA7", "060078001e00 0600", {}, {"records.0.time_offset_min": 30, "records.1": None}),
        ("2AA7", "000078001e00", {}, None),
        ("2AA7", "060002080000", {}, {"records.0.cgm_glucose_concentration_mg_dl": "-INF"}),
        ("2AAA", "00000000000000 80 ff", {}, {"session_start_time": "0000-00-00T00:00:00", "time_zone": -128,
            "time_zone_min": None, "dst_offset": 255, "dst_offset_min": None}),
        ("2AAA", "e807030f0e1e2d d0 08", {}, {"time_zone_min": -720, "dst_offset_min": 120}),
        ("2AA8", "6e9e01168ac1", {"crc": "mcrf4xx"}, {"e2e_crc": 0xC18A, "type_name": "arterial_plasma"}),
        ("2AA8", "6e9e01168ac1", {"crc": "ccitt-false"}, None),
        ("2AA8", "00900159c45c", {"crc": "none"}, {"cgm_feature": 0x19000, "e2e_crc": 0x5CC4}),
        ("2AA8", "00900159c45c", {"crc": False}, {"cgm_feature": 0x19000, "e2e_crc": 0x5CC4}),
        ("2AAB", "5000", {"crc": True}, None),
        # Its control point: two widths of an interval, a level, a vendor's operation, wrong operands.
        ("2AAC", "030500", {}, {"communication_interval_min": 5}),
        ("2AAC", "07b400", {}, {"patient_high_alert_level_mg_dl": 180.0}),
        ("2AAC", "18 1ef0", {}, {"rate_of_increase_alert_level_mg_dl_min": 3.0}),
        ("2AAC", "05ffff", {}, {"calibration_data_record_number": 65535}),
        ("2AAC", "1b", {}, {"op_code_name": "stop_session"}),
        ("2AAC", "8c01", {}, {"op_code": 0x8C, "operand": "01"}),
        ("2AAC", "0105ff", {}, None),
        ("2AAC", "1c0263", {}, {"response_code_value": 99}),
        # Records by number, by time, combined; what an operator does not take.
        ("2A52", "0104 01 0200 0900", {}, {"filter_type": 1, "filter_values": [2, 9]}),
        ("2A52", "0103 01 02000000", {}, {"filter_values": [2]}),
        ("2A52", "0103 02 e807030f0e1e2d", {}, {"filter_type": 2, "filter_values": ["2024-03-15T14:30:45"]}),
        ("2A52", "0104 02 e807030f0e1e2d e807030f0e1e2e", {}, {"filter_type": 2}),
        ("2A52", "0800 0300", {}, {"number_of_records": 3}),
        ("2A52", "010101", {}, None),
        ("2A52", "0104 01 0200", {}, None),
        ("2A52", "01", {}, None),
        # What an unknown operation or operator is about is not known either.
        ("2A52", "0f0f5a06", {}, {"op_code": 15, "operator": 15, "operand": "5a06"}),
        ("2A52", "660f0500", {}, {"op_code": 0x66, "operator": 15, "operand": "0500"}),
        ("2A52", "0f005a06", {}, {"op_code": 15, "operator": 0, "operand": "5a06"}),
        ("2A52", "01070102", {}, {"op_code_name": "report", "operator": 7, "operand": "0102"}),
        ("2A52", "01070102", {"strict": True}, None),
        ("2A52", "0f0f", {"strict": True}, {"op_code": 15, "operator": 15}),
        # The rest.
        ("2BF2", "22a66a002c000007 00", {}, {"time_value": 0x2C006AA6, "utc": True, "tz_dst_offset": 0}),
        ("2A2B", "e8070b16130a28070005", {}, {"date_time": "2024-11-22T19:10:40", "day_of_week_name": "sunday",
            "adjust_reason": 5}),
        ("2A08", "e8070b16130a28", {}, {"date_time": "2024-11-22T19:10:40"}),
        ("2A39", "01", {}, {"heart_rate_control_point_name": "reset_energy_expended"}),
        ("2A38", "07", {}, None),
        ("2A1D", "09", {}, {"temperature_type_name": "tympanum"}),
        ("2A23", "563412feffab9078", {}, {"organizationally_unique_identifier": 0x7890AB}),
        ("2A28", "c328", {}, None),
        ("2A2A", "0002001202", {}, {"regulatory_certification_data_list": "0002001202"}),
        ("2A36", "00 7800 ff07 ff07", {}, {"systolic": 120.0, "diastolic": "NaN"}),
        ("PMD-DATA", "02e8030000000000008001000200030000", {}, None),
        ("PMD-CP", "0f05", {}, {"measurements": ["ecg", "acceleration"]}),
        ("PMD-CP", "02000001820001010e00", {}, {"op_code_name": "start", "settings.sample_rate_hz": [130]}),
    ],
)  # fmt: skip
def test_packets_by_hand(number, packet, args, fields):
    document = decode.answer(number, packet, args)
    assert ("error" in document) is (fields is None), document
    for path, value in (fields or {}).items():
        found = document
        for part in path.split("."):
            found = (found[int(part)] if int(part) < len(found) else None) if part.isdigit() else found[part]
        assert found == value, (path, document)


def test_what_is_odd_is_said():
    assert decode.answer("2AA7", "060078001e00 0600")["oddities"] == ["0600: size octet 6 with 2 octets left"]
    assert decode.answer("2AA7", "0600ffff1e00")["oddities"] == ["glucose_mg_dl: -0.1 is no measurement"]
    assert decode.answer("2A37", "1048b303c2")["oddities"] == ["3 octets are not one or more whole items"]
    assert "rr_unit" in decode.answer("2A37", "0048", {"rr_unit": "hours"})["error"]


# Each beyond its range alone; a day that its month does not have is the device's to say.
IMPOSSIBLE = {
    "year": ("2d06 03 0f 0e 1e 2d", "1027 03 0f 0e 1e 2d", "0100 03 0f 0e 1e 2d"),
    "month": ("e807 0d 0f 0e 1e 2d",),
    # As no calendar has them: 30 February, 29 February of no leap year, 31 April.
    "day": (
        "e807 03 20 0e 1e 2d",
        "ea07 02 1e 0e 1e 2d",
        "ea07 02 1d 0e 1e 2d",
        "6c07 02 1d 0e 1e 2d",
        "0000 02 1e 0e 1e 2d",
        "ea07 04 1f 0e 1e 2d",
    ),
    "hours": ("e807 03 0f 18 1e 2d",),
    "minutes": ("e807 03 0f 0e 3c 2d",),
    "seconds": ("e807 03 0f 0e 1e 3c",),
}
POSSIBLE = (
    "0000 00 00 00 00 00",
    "2e06 0c 1f 17 3b 3b",
    "0f27 0c 1f 00 00 00",
    "0000 02 1d 00 00 00",
    "e807 02 1d 0e 1e 2d",
    "d007 02 1d 0e 1e 2d",
    "e807 00 00 0e 1e 2d",
)
DATES = [(part, date) for part, dates in IMPOSSIBLE.items() for date in dates]
WHOLE = (("2A08", "{}"), ("DATETIME", "{}"), ("2A2B", "{} 07 00 05"), ("2AAA", "{} 00 00"))
WITHIN = (
    ("2A18", "00 0500 {}", "sequence_number"),
    ("2A1C", "02 da0300ff {}", "temperature_measurement_value"),
    ("2A1E", "02 da0300ff {}", "temperature_measurement_value"),
    ("2A35", "02 7800 5000 5d00 {}", "systolic"),
    ("2A36", "02 7800 ff07 ff07 {}", "systolic"),
    ("2A5E", "01 6200 4800 {}", "spo2pr_spot_check_spo2_pct"),
    ("2A9C", "0204 c200 {} b036", "weight"),
    ("2A9D", "02 b036 {}", "weight"),
)


@pytest.mark.parametrize(("part", "date"), DATES)
def test_a_date_that_cannot_be(part, date):
    for number, packet in WHOLE:
        error = decode.answer(number, packet.format(date))["error"]
        assert error.startswith(f"{part}: "), (number, error)
        assert error.endswith(
            ("out of range", "of month 2", "of month 2 of 2026", "of month 2 of 1900", "of month 4 of 2026")
        ), (number, error)
    for number, packet, field in WITHIN:
        document = decode.answer(number, packet.format(date))
        assert document[field], number
        assert document["trailing_octets"] == 0
        (oddity,) = document["oddities"]
        assert oddity.startswith(f"{part}: "), (number, oddity)
        assert "error" in decode.answer(number, packet.format(date), {"strict": True}), number


@pytest.mark.parametrize("date", POSSIBLE)
def test_a_date_that_can_be(date):
    for number, packet, *_ in (*WHOLE, *WITHIN):
        document = decode.answer(number, packet.format(date), {"strict": True})
        assert "error" not in document, (number, document)


@pytest.mark.parametrize(
    ("number", "packet", "part"),
    [
        ("2A2B", "e807 03 0f 0e 1e 2d 08 00 05", "day_of_week"),
        ("2AAA", "e807 03 0f 0e 1e 2d 39 00", "time_zone_quarters"),
        ("2AAA", "e807 03 0f 0e 1e 2d cf 00", "time_zone_quarters"),
        ("2AAA", "e807 03 0f 0e 1e 2d 81 00", "time_zone_quarters"),
        ("2AAA", "e807 03 0f 0e 1e 2d 00 03", "dst"),
        ("2AAA", "e807 03 0f 0e 1e 2d 00 fe", "dst"),
    ],
)
def test_what_goes_with_a_date(number, packet, part):
    assert decode.answer(number, packet)["error"].startswith(f"{part}: ")


@pytest.mark.parametrize("zone_and_dst", ["d0 00", "38 08", "80 ff", "00 02", "00 04"])
def test_zones_and_daylight_saving_times_there_are(zone_and_dst):
    assert "error" not in decode.answer("2AAA", f"e807 03 0f 0e 1e 2d {zone_and_dst}")


def test_a_current_time_may_still_have_octets_left_over():
    assert decode.answer("2A2B", "e8070b16130a2807000500")["trailing_octets"] == 1


@pytest.mark.parametrize(
    ("number", "packet"),
    [("2AA7", "060078001e00 0600"), ("2A60", "0700"), ("2A2B", "e8070b16130a2807000500")],
)
def test_the_strict_take_nothing_odd(number, packet):
    assert "error" not in decode.answer(number, packet)
    assert "error" in decode.answer(number, packet, {"strict": True})


def test_whatever_is_asked_is_answered_in_json():
    rng = random.Random(11)
    seeds = [bytes.fromhex(row["hex"]) for row in ROWS]
    args = [
        {},
        {"crc": True},
        {"strict": True},
        {"factor": 1e300},
        {"factor": "x"},
        {"channels": 2, "resolution": 9},
    ]
    args += [{"channels": 1e400, "resolution": 1}, {"crc": []}, {"rr_unit": "ms", "octet_order": "wcs"}]
    numbers = [*DECODERS, "2B99"]
    for _ in range(20_000):
        packet = bytearray(rng.choice(seeds) if rng.random() < 0.8 else rng.randbytes(rng.randrange(60)))
        if packet and rng.random() < 0.7:
            packet[rng.randrange(len(packet))] = rng.randrange(256)
        document = decode.answer(rng.choice(numbers), packet.hex(), rng.choice(args))
        json.dumps(document, allow_nan=False)


def test_what_can_be_decoded_has_a_name():
    numbers = [number for number in DECODERS if re.fullmatch("[0-9A-F]{4}", number)]
    assert [number for number in numbers if int(number, 16) not in uuids._ASSIGNED] == []
    assert len(numbers) > 40


@pytest.mark.parametrize(
    "line", ["[" * 100_000, '{"characteristic": 1, "hex": 2}', '{"characteristic": "2A37", "hex": "é"}']
)
def test_lines_that_make_no_sense_are_answered(line):
    assert "error" in decode.answer_line(line.encode())
