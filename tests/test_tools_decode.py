import json

import pytest
from protocol_vectors import all_rows, name
from typer.testing import CliRunner

from tools import decode
from tools.cli import app


def cli(*args, stdin=None):
    result = CliRunner().invoke(app, ["decode", *args], input=stdin)
    return result.exit_code, result.output


ROWS = [row for row in all_rows() if row["provenance"] != "unit_test_response_only"]


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_every_published_packet_is_answered(row):
    document = decode.answer(row["characteristic"], row["hex"], row["args"])
    assert ("error" in document) is ("reject" in row["expected"]), document
    json.dumps(document, allow_nan=False)


def test_fields_stand_under_their_names():
    code, output = cli("2A37", "1e 55 32 00", "21 00")
    assert code == 0
    assert output.splitlines() == [
        "characteristic: 2A37",
        "heart_rate_bpm: 85",
        "contact: True",
        "energy_kj: 50",
        "rr_ticks: [33]",
    ]


def test_the_checksum_is_found_or_demanded():
    pump = "0ec38d00e803000010e00a00d9af"
    _, output = cli("2aa7", pump, "--json")
    document = json.loads(output)
    assert document["crc"] == "ccitt_false"
    assert document["records"][0]["glucose_mg_dl"] == 141.0
    assert cli("2AA7", pump, "--crc", "mcrf4xx")[0] == 1
    assert cli("2AA7", pump, "--crc", "none")[0] == 1
    assert cli("2AA7", pump, "--crc", "fletcher")[0] == 2


@pytest.mark.parametrize("uuid", ["2A19", "0x2a19", "00002a19-0000-1000-8000-00805f9b34fb"])
def test_any_way_to_write_the_uuid(uuid):
    assert cli(uuid, "64") == (0, "characteristic: 2A19\nlevel_pct: 100\n")


@pytest.mark.parametrize("args", [("2B99", "00"), ("2A37", "xyz"), ("2A37", "00"), ("PMD-DELTA", "00")])
def test_what_cannot_be_decoded_says_why(args):
    code, output = cli(*args)
    assert code == 1
    assert "error: " in output


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
    assert code == 0
    assert len(answers) == 8
    assert answers[0] == {"characteristic": "2A19", "level_pct": 100}
    assert ["error" in answer for answer in answers] == [False, True, True, True, False, True, False, True]
    assert "not known" in answers[3]["error"]
    assert answers[6]["samples"] == [[10], [12], [9]]
