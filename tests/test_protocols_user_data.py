"""A user's consent (2A9F) and its answers, and the time of meters that have their own characteristic for it."""

import pytest

from protocols import caresens, user_data
from protocols.date_time import DateTime
from protocols.errors import DecodeError
from protocols.user_data import Code, Consent, OpCode, Response


def test_a_consent_is_the_octets_that_scales_are_known_to_take() -> None:
    # "02 user lo hi": KristianP26/ble-scale-sync issue 168.
    assert user_data.CONSENT.encode(Consent(1, 1234)).hex() == "0201d204"
    assert user_data.CONSENT.decode(bytes.fromhex("0201d204")) == Consent(1, 1234)


@pytest.mark.parametrize(
    ("hexed", "response"),
    [
        ("200201", Response(OpCode.CONSENT, Code.SUCCESS)),
        ("200205", Response(OpCode.CONSENT, Code.USER_NOT_AUTHORIZED)),
        ("20010103", Response(OpCode.REGISTER_NEW_USER, Code.SUCCESS, b"\x03")),
        ("207f7e", Response(0x7F, 0x7E)),
    ],
)
def test_answers(hexed: str, response: Response) -> None:
    assert user_data.RESPONSE.decode(bytes.fromhex(hexed)) == response
    assert user_data.RESPONSE.encode(response).hex() == hexed


@pytest.mark.parametrize("hexed", ["", "20", "2002", "0201d204", "ff0201"])
def test_these_are_no_answers(hexed: str) -> None:
    with pytest.raises(DecodeError):
        user_data.RESPONSE.decode(bytes.fromhex(hexed))


def test_the_time_of_a_caresens_meter() -> None:
    now = DateTime(2026, 11, 28, 15, 45, 0)
    assert caresens.encode_time(now).hex() == "c0030100ea070b1c0f2d00"
    assert caresens.decode_time(caresens.encode_time(now)) == now
    for payload in (b"", bytes.fromhex("c0030200ea070b1c0f2d00"), bytes.fromhex("c0030100ea07")):
        with pytest.raises(DecodeError):
            caresens.decode_time(payload)
