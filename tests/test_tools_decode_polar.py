"""Polar's control point and frames as `vitalgate decode` answers them, beyond the published packets."""

import pytest

from tools.decode import answers as decode

TIMESTAMP = "0094357700000000"


def head(document):
    return [document[name] for name in ("op_code", "measurement_type", "status", "more", "parameters")]


# By the public SDK: parameters are settings only of a success, and only once there are no more to come.
@pytest.mark.parametrize(
    ("packet", "said", "settings", "is_odd"),
    [
        ("f0010000000001820001010e00", [1, 0, 0, 0, "0001820001010e00"],
         {"sample_rate_hz": [130], "resolution_bits": [14]}, False),
        ("f001020000ffffff", [1, 2, 0, 0, "ffffff"], None, True),
        ("f00200000000", [2, 0, 0, 0, "00"], None, True),
        ("f0020000000501" "0000803f", [2, 0, 0, 0, "05010000803f"], {"factor": [1.0]}, False),
        ("f001020500ff", [1, 2, 5, 0, "ff"], None, False),
        ("f0010205010000", [1, 2, 5, 0, "0000"], None, False),
        ("f0010100010201c1", [1, 1, 0, 1, "0201c1"], None, False),
        ("f0010100", [1, 1, 0, 0, ""], {}, False),
        ("f00501000002", [5, 1, 0, 0, "02"], None, False),
    ],
)  # fmt: skip
def test_responses(packet, said, settings, is_odd):
    document = decode.answer("PMD-CP", packet)
    assert "error" not in document
    assert head(document) == said
    assert document.get("settings") == settings
    assert ("oddities" in document) is is_odd
    assert ("error" in decode.answer("PMD-CP", packet, {"strict": True})) is is_odd


def test_a_response_about_a_recording():
    document = decode.answer("PMD-CP", "f0028200 00")
    assert head(document) == [2, 2, 0, 0, ""]
    assert document["offline"] is True
    assert decode.answer("PMD-CP", "f0020200 00")["offline"] is False


@pytest.mark.parametrize(
    ("packet", "measurements"),
    [("01", []), ("010102", ["ppg", "acceleration"]), ("01003f02", ["ecg", 63, "acceleration"])],
)
def test_streams_the_device_stopped(packet, measurements):
    document = decode.answer("PMD-CP", packet)
    assert (document["marker_name"], document["measurements"]) == ("stream_stopped", measurements)


def test_one_measurement_after_01_is_a_request_for_its_settings():
    document = decode.answer("PMD-CP", "0182")
    assert (document["op_code_name"], document["measurement_type"], document["offline"]) == (
        "get_settings",
        2,
        True,
    )


def test_a_start_without_readable_settings():
    document = decode.answer("PMD-CP", "0202 00")
    assert (document["op_code_name"], document["parameters"], "settings" in document) == (
        "start",
        "00",
        False,
    )
    assert document["oddities"]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (f"0a{TIMESTAMP}01 f5070080ff07", [10, 2_000_000_000, 1, False]),
        (f"01{TIMESTAMP}06 00000000 00000000", [1, 2_000_000_000, 6, False]),
        (f"00{TIMESTAMP}85 0000", [0, 2_000_000_000, 5, True]),
        (f"3f{TIMESTAMP}00 0000", [63, 2_000_000_000, 0, False]),
        (f"00{TIMESTAMP}00 0000", [0, 2_000_000_000, 0, False]),
    ],
)
def test_the_head_of_a_frame_without_samples(frame, said):
    document = decode.answer("PMD-DATA", frame)
    assert [
        document[n] for n in ("measurement_type", "timestamp_ns", "frame_type", "delta_compressed")
    ] == said
    assert "samples" not in document
    assert "<" not in document["error"]
