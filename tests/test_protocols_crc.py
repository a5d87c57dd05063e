import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol_vectors import BOUNDED, name, octets, rows

from protocols import crc


def plain_crc(data: bytes) -> int:
    """Bit by bit, in the unreflected form of the definition: reflect each octet in, and the result out."""
    register = 0xFFFF
    for octet in data:
        register ^= int(f"{octet:08b}"[::-1], 2) << 8
        for _ in range(8):
            register = (register << 1 ^ (0x1021 if register & 0x8000 else 0)) & 0xFFFF
    return int(f"{register:016b}"[::-1], 2)


@pytest.mark.parametrize("row", rows("crc", "E2E-CRC"), ids=name)
def test_published_checksums(row):
    assert crc.mcrf4xx(octets(row)) == row["expected"]["crc"]


@pytest.mark.parametrize("row", rows("crc", "CRC-CCITT-FALSE"), ids=name)
def test_published_checksums_against_the_specification(row):
    assert crc.ccitt_false(octets(row)) == row["expected"]["crc"]


# The second is the example of the Continuous Glucose Monitoring Service.
@pytest.mark.parametrize(
    ("data", "expected"), [("58251f98", 0x07F1), ("3e010203040506070809", 0x2F01), ("", 0xFFFF)]
)
def test_check_values_of_the_specifications(data, expected):
    assert crc.mcrf4xx(bytes.fromhex(data)) == expected


@BOUNDED
@given(st.binary(max_size=64))
def test_equals_the_definition_and_cancels_itself(data):
    checksum = crc.mcrf4xx(data)
    assert checksum == plain_crc(data)
    assert crc.mcrf4xx(data + checksum.to_bytes(2, "little")) == 0
