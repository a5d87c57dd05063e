import math
import random
import re
import sys

import naive_polar
import numpy as np
import pytest
from protocol_vectors import name, octets, rows

from protocols import polar, polar_live, polar_samples
from protocols.compiled import Kernel
from protocols.errors import DecodeError
from protocols.polar import FRAME, REQUEST, Frame, MeasurementType, OpCode, Request, Response, Setting, Status
from protocols.polar_samples import DELTA, RAW, delta_samples, raw_samples, samples, scaled
from protocols.polar_time import Chain


@pytest.mark.parametrize("row", rows("polar", "PMD-DATA"), ids=name)
def test_published_frames(row):
    expected, frame = row["expected"], FRAME.decode(octets(row))
    assert (frame.measurement, frame.frame_type) == (expected["type"], expected["frame"])
    assert (frame.timestamp_ns, frame.compressed) == (
        expected.get("ts", frame.timestamp_ns),
        expected["compressed"],
    )
    assert FRAME.encode(frame) == octets(row)
    if "reject" in expected:
        with pytest.raises(DecodeError, match=f"of measurement {expected['type']} are not known"):
            samples(frame)
        return
    decoded = samples(frame).tolist()
    assert len(decoded) == expected.get("n", len(decoded))
    if "sample0" in expected:
        # An author may name the first channels of the first sample only.
        assert decoded[0][: len(expected["sample0"])] == expected["sample0"]
    else:
        assert decoded[: len(expected["first"])] == expected["first"]
        assert decoded[-1] == expected["last"]


@pytest.mark.parametrize("row", rows("polar", "PMD-DELTA"), ids=name)
def test_published_delta_frames(row):
    expected, args = row["expected"], row["args"]
    decoded = delta_samples(octets(row), args["channels"], -(-args["resolution"] // 8)).tolist()
    assert len(decoded) == expected["n"]
    assert decoded[: len(expected["first"])] == expected["first"]
    assert decoded[-1] == [expected["last"]] if isinstance(expected["last"], int) else expected["last"]


def test_the_first_samples_of_the_sdks_delta_frame():
    # The first block of the SDK's frame says 56 samples of 10 bits; here with its first sample only.
    frame = Frame(MeasurementType.ACCELERATION, 0, 0, True, bytes.fromhex("7107f06a9e8d 0a01 be5cbeba"))
    assert samples(frame).tolist() == [[1905, 27376, -29282], [1905 + 190, 27376 - 105, -29282 - 85]]
    assert scaled(frame, 0.001)[0].tolist() == pytest.approx([1905, 27376, -29282])


def test_delta_kernel_equals_the_definition_on_anything():
    rng = random.Random(7)
    whole = 0
    for _ in range(3000):
        channels, octet_count = rng.choice(((1, 3), (3, 2), (4, 3), (3, 4), (1, 4), (17, 3)))
        content = rng.randbytes(channels * octet_count)
        for _ in range(rng.randrange(4)):
            width, count = rng.choice((0, 1, 2, 7, 8, 10, 16, 24, 31, 32)), rng.randrange(20)
            content += bytes([width, count]) + rng.randbytes(-(-width * count * channels // 8))
        change = rng.random()
        content = content[: rng.randrange(len(content) + 1)] if change < 0.2 else content
        content += rng.randbytes(rng.randrange(4)) if change > 0.8 else b""
        expected = naive_polar.delta_samples(content, channels, octet_count)
        assert delta_samples(content, channels, octet_count).tolist() == expected, content.hex()
        whole += len(expected) > 1
    assert whole > 1000


def test_raw_kernel_equals_the_definition_on_anything():
    rng = random.Random(8)
    for layout in RAW.values():
        for _ in range(200):
            content = rng.randbytes(layout.stride * rng.randrange(5) + (rng.random() < 0.2))
            expected = naive_polar.raw_samples(content, layout.stride, layout.fields.tolist())
            assert raw_samples(content, layout.stride, layout.fields).tolist() == expected


# What the bits mean stands in the public SDK: value, oversampled, contact, impedance; and value, two tags.
@pytest.mark.parametrize(
    ("frame_type", "content", "expected"),
    [
        (1, "0280ff 800200", [[2, 1, 3, 3], [640, 0, 0, 0]]),
        (1, "ff3f01 000006 000018 00ffe0", [[16383, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 3], [16128, 0, 0, 0]]),
        (2, "8080fc ffff03", [[32896, 7, 7], [262143, 0, 0]]),
        (2, "00001c 0000e0 010024", [[0, 7, 0], [0, 0, 7], [1, 1, 1]]),
    ],
)
def test_what_lies_beside_an_ecg_value_is_read_field_by_field(frame_type, content, expected):
    frame = Frame(MeasurementType.ECG, 0, frame_type, False, bytes.fromhex(content))
    assert samples(frame).tolist() == polar_live.samples(frame).tolist() == expected


def test_frames_that_are_decoded_as_they_come_say_what_the_kernels_say():
    rng = random.Random(9)
    frames = [FRAME.decode(octets(row)) for row in rows("polar", "PMD-DATA")]
    for compressed, layouts in ((False, RAW), (True, DELTA)):
        for (measurement, frame_type), layout in layouts.items():
            for _ in range(60):
                content = rng.randbytes(getattr(layout, "stride", 12) * rng.randrange(5))
                if compressed:
                    content = rng.randbytes(layout.channels * layout.octets)
                    for _ in range(rng.randrange(4)):
                        width, count = rng.choice((0, 1, 2, 7, 10, 31, 32, 33)), rng.randrange(20)
                        content += bytes([width, count])
                        content += rng.randbytes(-(-width * count * layout.channels // 8))
                content = content[: len(content) - rng.choice((0, 0, 0, 0, 1, 2))][:500]
                frames.append(Frame(measurement, 0, frame_type, compressed, content))
    decoded = 0
    for frame in frames:
        try:
            expected = samples(frame)
        except DecodeError as error:
            with pytest.raises(DecodeError, match=re.escape(error.reason)):
                polar_live.samples(frame)
            continue
        found = polar_live.samples(frame)
        assert (found.dtype, found.tobytes()) == (expected.dtype, expected.tobytes())
        assert polar_live.scaled(frame, 0.25).tobytes() == scaled(frame, 0.25).tobytes()
        decoded += 1
    assert decoded > len(frames) / 3


def test_kernels_have_one_signature_each():
    raw_samples(b"\0\0\0", 3, RAW[MeasurementType.ECG, 0].fields)
    delta_samples(b"\0", 1, 1)
    assert len(raw_samples.compiled.signatures) == len(delta_samples.compiled.signatures) == 1


def without_numba(kernel):
    """A kernel that looks for numba anew, where it is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numba", None)
        found = Kernel(kernel.function)
        assert found.compiled is kernel.function
    return found


def test_without_numba_samples_are_the_same(monkeypatch):
    kernels = {kernel.__name__: without_numba(kernel) for kernel in (raw_samples, delta_samples)}
    frames = [
        FRAME.decode(octets(row)) for row in rows("polar", "PMD-DATA") if "reject" not in row["expected"]
    ]
    # Sums that wrap at 32 bits.
    frames.append(
        Frame(MeasurementType.GYROSCOPE, 0, 1, True, b"\xff\xff\xff\x7f" * 3 + b"\x20\x01" + b"\x7f" * 12)
    )
    frames.append(
        Frame(MeasurementType.GYROSCOPE, 0, 1, True, b"\x00\x00\x00\x80" * 3 + b"\x20\x01" + b"\xff" * 12)
    )
    expected = [samples(frame).tobytes() for frame in frames]
    for name_of_kernel, kernel in kernels.items():
        monkeypatch.setattr(polar_samples, name_of_kernel, kernel)
    assert [samples(frame).tobytes() for frame in frames] == expected
    assert {frame.compressed for frame in frames} == {True, False}


def test_floating_point_streams_add_to_the_pattern():
    # 1.0 is 3f800000; plus 0x800000 is 2.0, and the next difference wraps through the sign.
    content = bytes.fromhex("0000803f 2002 00008000 00000080")
    decoded = samples(Frame(MeasurementType.PRESSURE, 0, 0, True, content))
    assert decoded.dtype == np.float32
    assert decoded.tolist() == [[1.0], [2.0], [-2.0]]


@pytest.mark.parametrize(
    "frame",
    [
        Frame(MeasurementType.ECG, 0, 9, False, b"\0\0\0"),
        Frame(63, 0, 0, False, b"\0\0\0"),
        Frame(MeasurementType.ECG, 0, 0, False, b"\0\0"),
        Frame(MeasurementType.ECG, 0, 0, False, b""),
        Frame(MeasurementType.ACCELERATION, 0, 0, True, bytes(6) + b"\x0a\x38\x00"),
        Frame(MeasurementType.ACCELERATION, 0, 0, True, bytes(6) + b"\x21\x00"),
    ],
)
def test_what_is_no_frame_is_the_peers_fault(frame):
    with pytest.raises(DecodeError, match="PMD Data"):
        samples(frame)


def test_every_kind_of_frame_is_of_a_kind_that_exists():
    assert {kind for kind, _ in (*RAW, *DELTA)} <= set(MeasurementType)


@pytest.mark.parametrize("row", rows("polar", "PMD-CP"), ids=name)
def test_published_responses(row):
    e, response = row["expected"], polar.decode_response(octets(row))
    assert (response.op, response.measurement, response.status) == (e["op"], e["type"], e["status"])
    assert (response.more, response.parameters.hex()) == (e["more"], e["parameters"])


@pytest.mark.parametrize("row", rows("polar", "PMD-SETTINGS"), ids=name)
def test_published_settings(row):
    expected = {int(kind): tuple(values) for kind, values in row["expected"].items()}
    assert polar.decode_settings(octets(row)) == expected


def test_control_point_messages():
    # A start of ECG and of acceleration as an H10 takes them, and its features: printed in the specification.
    settings = {Setting.SAMPLE_RATE_HZ: 130, Setting.RESOLUTION_BITS: 14}
    start = Request(OpCode.START, MeasurementType.ECG, parameters=polar.encode_settings(settings))
    assert REQUEST.encode(start).hex() == "0200000182000101" + "0e00"
    settings = {Setting.RANGE: 8, Setting.SAMPLE_RATE_HZ: 200, Setting.RESOLUTION_BITS: 16}
    start = Request(OpCode.START, MeasurementType.ACCELERATION, parameters=polar.encode_settings(settings))
    assert REQUEST.encode(start).hex() == "0202020108000001c8000101" + "1000"
    features = polar.decode_features(bytes.fromhex("0f05"))
    assert [kind for kind in MeasurementType if features.supports(kind)] == [0, 2]
    offered = polar.decode_response(bytes.fromhex("f0010000000001820001010e00"))
    assert offered == Response(0xF0, 1, 0, Status.SUCCESS, 0, bytes.fromhex("0001820001010e00"))
    assert polar.decode_settings(offered.parameters) == {0: (130,), 1: (14,)}
    assert polar.decode_response(bytes.fromhex("f0020006")).status is Status.ALREADY_IN_STATE


def test_a_refusal_has_no_more_and_a_response_may_be_about_a_recording():
    assert polar.decode_response(bytes.fromhex("f001020501ff")) == Response(0xF0, 1, 2, 5, 0, b"\xff")
    assert polar.decode_response(bytes.fromhex("f0018200 01")) == Response(0xF0, 1, 2, 0, 1, offline=True)
    assert polar.STREAM_STOPPED.decode(bytes.fromhex("010102")).measurements == b"\1\2"


@pytest.mark.parametrize("payload", ["", "f0", "f00100", "0f05", "01020304"])
def test_what_is_no_response(payload):
    with pytest.raises(DecodeError):
        polar.decode_response(bytes.fromhex(payload))


# The last: factors that are NaN, infinite, 0, -1, and one of two that is.
@pytest.mark.parametrize(
    "parameters",
    [
        *("00", "000182", "0a01", "00028200"),
        *("05010000c07f", "05010000807f", "050100000000", "0501000080bf", "05020000803f000080ff"),
    ],
)
def test_settings_that_cannot_be_read(parameters):
    with pytest.raises(DecodeError):
        polar.decode_settings(bytes.fromhex(parameters))


def test_sample_times_count_back_from_the_last():
    assert polar.sample_times_ns(1000, 4, previous_ns=600) == [700, 800, 900, 1000]
    assert polar.sample_times_ns(10**9, 3, rate_hz=2.0) == [0, 5 * 10**8, 10**9]
    assert polar.sample_times_ns(5, 2) == [5, 5]


@pytest.mark.parametrize("factor", [math.nan, math.inf, -math.inf, 0.0, -1.0])
def test_what_is_no_factor_scales_nothing(factor):
    frame = Frame(MeasurementType.ACCELERATION, 0, 0, True, bytes(6))
    for scale in (scaled, polar_live.scaled):
        with pytest.raises(ValueError, match="no factor"):
            scale(frame, factor)


def test_the_settings_before_one_that_cannot_be_read_are_read():
    known = bytes.fromhex("0001820005010000803f")
    assert polar.read_settings(known) == ({0: (130,), 5: (1.0,)}, None)
    assert polar.read_settings(known + b"\x0a\x01\x00") == (
        {0: (130,), 5: (1.0,)},
        "kind 0x0a without a known width",
    )
    assert polar.read_settings(bytes.fromhex("000182000501") + b"\x00\x00\xc0\x7f") == (
        {0: (130,)},
        "factor nan",
    )


@pytest.mark.parametrize("previous_ns", [1000, 1001, 2**63])
def test_a_clock_that_was_set_back_begins_a_new_chain(previous_ns):
    assert polar.sample_times_ns(1000, 4, previous_ns=previous_ns, rate_hz=1e7) == [700, 800, 900, 1000]
    assert polar.sample_times_ns(1000, 3, previous_ns=previous_ns) == [1000] * 3


def chained(rate_hz, frames):
    chain = Chain(rate_hz)
    return [(*chain.take(*frame),) for frame in frames]


def test_the_step_follows_from_the_frames_whatever_rate_is_named():
    # A Verity Sense says 135 Hz and samples at 55 Hz.
    step_ns = 1e9 / 55
    frames = [(round(55 * n * step_ns), 55) for n in range(1, 5)]
    timed = chained(135.0, frames)
    assert [begins for *_, begins in timed] == [True, False, False, False]
    assert [step for _, step, _ in timed] == pytest.approx([1e9 / 135, step_ns, step_ns, step_ns])


def test_samples_are_not_stretched_over_a_gap_and_times_never_go_back():
    frames = [(100, 10), (200, 10), (300, 10), (500, 10), (600, 10), (50, 10), (150, 10), (150, 10)]
    assert chained(1e8, frames) == [
        (100, 10.0, True),
        (200, 10.0, False),
        (300, 10.0, False),
        (500, 10.0, True),
        (600, 10.0, False),
        (50, 10.0, True),
        (150, 10.0, False),
        (150, 10.0, True),
    ]
    # A gap that comes first does not hide the step for long.
    assert chained(1e9, [(0, 10), (300, 10), (400, 10), (500, 10)])[2:] == [
        (400, 10.0, False),
        (500, 10.0, False),
    ]
