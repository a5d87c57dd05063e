import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, accepted, name, octets

from protocols import device_information
from protocols.errors import DecodeError


@pytest.mark.parametrize("row", accepted("device_information", "2A26", "2A29"), ids=name)
def test_published_strings(row):
    text = row["expected"]["text"]
    assert device_information.decode_string(octets(row)) == text
    # Padding is the sender's habit and not repeated.
    assert device_information.encode_string(text) == octets(row).rstrip(b"\0")


def test_refuses_what_is_not_utf_8():
    with pytest.raises(DecodeError, match="not UTF-8 from octet 1"):
        device_information.decode_string(b"H\xff")


@BOUNDED
@given(st.text(max_size=100).filter(lambda text: not text.endswith("\0")))
def test_round_trip(text):
    assert device_information.decode_string(device_information.encode_string(text)) == text


def test_refuses_more_than_an_attribute_can_hold():
    assert device_information.decode_string(b"a" * 512) == "a" * 512
    with pytest.raises(DecodeError, match="513 octets"):
        device_information.decode_string(b"a" * 513)
    with pytest.raises(ValueError, match="513 octets"):
        device_information.encode_string("a" * 513)
