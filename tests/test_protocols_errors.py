import pickle

from protocols import uuids
from protocols.errors import DecodeError


def test_the_message_is_one_sentence_with_the_payload():
    error = DecodeError("Battery Level", b"\x65", "101 is not within 0 to 100")
    assert str(error) == "Battery Level cannot be decoded from 65: 101 is not within 0 to 100."
    assert "from no octets:" in str(DecodeError("Battery Level", b"", "too few octets"))


def test_a_peer_cannot_fill_the_log():
    error = DecodeError("Battery Level", b"\xab" * 512, "too long")
    assert "ab" * 64 + "...:" in str(error)
    assert len(str(error)) < 200
    assert error.payload == b"\xab" * 512


def test_it_survives_pickling():
    error = pickle.loads(pickle.dumps(DecodeError("Battery Level", b"\x65", "too much")))
    assert (error.characteristic, error.payload, error.reason) == ("Battery Level", b"\x65", "too much")


def test_uuids_are_written_as_bleak_writes_them():
    from bleak.uuids import normalize_uuid_16, uuidstr_to_str

    assert normalize_uuid_16(0x2AA7) == uuids.CGM_MEASUREMENT
    # bleak's own table of assigned numbers is the judge of ours.
    for constant, uuid in vars(uuids).items():
        if constant.isupper() and not constant.startswith("_"):
            assert uuid == uuid.lower()
            # It says "Battery Service", where the others do without the word.
            assert (
                uuids.name(uuid.upper()) == uuids.name(uuid) == uuidstr_to_str(uuid).removesuffix(" Service")
            )


def test_a_uuid_that_is_not_ours_is_its_own_name():
    assert uuids.name("fb005c80-02e7-f387-1cad-8acd2d8df0c8") == "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
