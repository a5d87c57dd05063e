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
    for number in (*range(0x1800, 0x1860), *range(0x2A00, 0x2C00)):
        uuid = normalize_uuid_16(number)
        # It says "Battery Service", where the others do without the word.
        assigned = uuidstr_to_str(uuid).removesuffix(" Service").removesuffix(" Characteristic")
        assert uuids.name(uuid.upper()).lower() == uuids.name(uuid).lower()
        assert uuids.name(uuid) in (assigned, uuid)
    # Makers take numbers that are not theirs.
    constants = [
        uuid
        for name, uuid in vars(uuids).items()
        if name.isupper() and not name.startswith("_") and uuid != uuids.MICROTECH_DATA
    ]
    assert all(uuid == uuid.lower() and uuids.name(uuid) != uuid for uuid in constants)


def test_a_uuid_that_is_not_ours_is_its_own_name():
    assert uuids.name("fb005c83-02e7-f387-1cad-8acd2d8df0c8") == "fb005c83-02e7-f387-1cad-8acd2d8df0c8"
