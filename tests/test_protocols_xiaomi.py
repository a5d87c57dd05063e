"""What Xiaomi's scales advertise: packets that others have published."""

import pytest
from protocol_vectors import accepted, encoded, name, octets

from protocols import xiaomi
from protocols.codec import Codec
from protocols.errors import DecodeError
from protocols.xiaomi import Composition, Weight

CODECS: dict[str, Codec] = {"XIAOMI-181D": xiaomi.WEIGHT, "XIAOMI-181B": xiaomi.COMPOSITION}


@pytest.mark.parametrize("row", accepted("xiaomi", *CODECS), ids=name)
def test_published_advertisements_are_read_and_written(row: dict) -> None:
    codec, expected = CODECS[row["characteristic"]], row["expected"]
    reading, _ = codec.decode_lenient(octets(row))
    assert reading.weight_kg == pytest.approx(expected["weight_kg"])
    assert (reading.is_stable, reading.is_removed) == (expected["stable"], expected["removed"])
    assert (None if reading.timestamp is None else str(reading.timestamp)) == expected["time"]
    if isinstance(reading, Composition):
        assert reading.impedance_ohm == expected["impedance_ohm"]
    assert codec.encode(reading) == encoded(row)


@pytest.mark.parametrize(
    ("in_pounds", "in_jin", "weight_kg"),
    [(False, False, 80.0), (True, False, 72.5747792), (False, True, 80.0)],
)
def test_each_unit_is_a_weight_in_kilograms(in_pounds: bool, in_jin: bool, weight_kg: float) -> None:
    weight = Weight(in_pounds, in_jin, is_stable=True, is_removed=False, weight_counts=16_000)
    assert weight.weight_kg == pytest.approx(weight_kg)


@pytest.mark.parametrize("codec", CODECS.values())
@pytest.mark.parametrize("length", [0, 1, 2, 8, 9])
def test_a_piece_of_one_is_refused(codec: Codec, length: int) -> None:
    whole = bytes([0x22, 0x22]) + bytes(11)
    with pytest.raises(DecodeError):
        codec.decode(whole[:length])
