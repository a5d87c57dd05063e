"""Whatever a peer sends, every decoder of protocols ends in a value or a DecodeError, soon."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, octets, rows

from protocols import battery, cgm, cgm_control, device_information, heart_rate, racp
from protocols.errors import DecodeError

# Each decoder with the encoder that undoes it, so that what was read can be written and read again.
CODECS = {
    "2A37": (heart_rate.decode, heart_rate.encode),
    "2A38": (heart_rate.decode_location, heart_rate.encode_location),
    "2A19": (battery.decode_level, battery.encode_level),
    "180A": (device_information.decode_string, device_information.encode_string),
    "2AA8": (cgm.decode_feature, cgm.encode_feature),
    "2A52 request": (racp.decode_request, racp.encode_request),
    "2A52 response": (racp.decode_response, racp.encode_response),
} | {
    f"{name} {'with' if crc else 'without'} crc": (partial(decode, crc=crc), partial(encode, crc=crc))
    for crc in (False, True)
    for name, decode, encode in (
        ("2AA9", cgm.decode_status, cgm.encode_status),
        ("2AAA", cgm.decode_session_start, cgm.encode_session_start),
        ("2AAB", cgm.decode_session_run_time, cgm.encode_session_run_time),
        ("2AAC request", cgm_control.decode_request, cgm_control.encode_request),
        ("2AAC response", cgm_control.decode_response, cgm_control.encode_response),
    )
}
PACKETS = [
    octets(row)
    for file, characteristics in (
        ("heart_rate", ("2A37", "2A38")),
        ("cgm", ("2AA7", "2AA8", "2AA9", "2AAA", "2AAB")),
        ("cgm_control", ("2AAC",)),
        ("racp", ("2A52",)),
        ("battery", ("2A19",)),
        ("device_information", ("2A26", "2A29")),
    )
    for row in rows(file, *characteristics)
]
# Noise, and real packets with some octets changed, which get further.
NOISE = st.binary(max_size=40) | st.binary(min_size=500, max_size=600)
MUTATED = st.builds(
    lambda packet, changes, tail: bytes(changes.get(i, octet) for i, octet in enumerate(packet)) + tail,
    st.sampled_from(PACKETS),
    st.dictionaries(st.integers(0, 14), st.integers(0, 255), max_size=3),
    st.binary(max_size=3),
)


def check(decode, encode, payload):
    try:
        value = decode(payload)
    except DecodeError:
        return
    assert decode(encode(value)) == value


@pytest.mark.parametrize("name", CODECS)
@BOUNDED
@given(NOISE | MUTATED)
def test_any_octets_are_a_value_or_a_decode_error(name, payload):
    check(*CODECS[name], payload)


@pytest.mark.parametrize("name", CODECS)
def test_any_packet_of_any_characteristic_and_any_piece_of_it(name):
    for packet in PACKETS:
        for length in range(len(packet) + 1):
            check(*CODECS[name], packet[:length])


@pytest.mark.parametrize("crc", [False, True])
@BOUNDED
@given(st.lists(MUTATED, max_size=12).map(b"".join) | NOISE)
def test_any_notification_of_measurements_ends(crc, payload):
    readings, errors = cgm.decode_measurements(payload, crc=crc)
    assert len(readings) * cgm.RECORD_OCTETS_MIN <= len(payload)
    assert readings or errors
    again = b"".join(cgm.encode_measurement(reading, crc=crc) for reading in readings)
    assert not readings or cgm.decode_measurements(again, crc=crc) == (readings, [])
