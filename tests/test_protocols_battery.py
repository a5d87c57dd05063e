import pytest
from protocol_vectors import accepted, name, octets, rejected

from protocols import battery
from protocols.errors import DecodeError


@pytest.mark.parametrize("row", accepted("battery", "2A19"), ids=name)
def test_published_levels(row):
    assert battery.decode_level(octets(row)) == row["expected"]["level"]
    assert battery.encode_level(row["expected"]["level"]) == octets(row)


@pytest.mark.parametrize("payload", [*map(octets, rejected("battery", "2A19")), b"", b"\x01\x02", b"\xff"])
def test_refuses_what_is_no_percentage(payload):
    with pytest.raises(DecodeError, match="Battery Level"):
        battery.decode_level(payload)


def test_all_levels_there_are():
    assert [battery.decode_level(battery.encode_level(level)) for level in range(101)] == list(range(101))
    for level in (-1, 101):
        with pytest.raises(ValueError, match="not within 0 to 100"):
            battery.encode_level(level)
