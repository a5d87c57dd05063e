"""User Data Service: User Control Point (2A9F), as far as a gateway needs it: somebody known to the sensor consents.

Contract: a consent is a user's index in the sensor and the code that the user was given there. The codes are no secrets
of this module, but of people: nothing here prints them.

Source: User Data Service 1.0; GATT Specification Supplement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from construct import GreedyBytes, Int8ul, Int16ul

from protocols.codec import Codec
from protocols.envelopes import Tagged
from protocols.mappings import Coded
from protocols.schema import Record

CHARACTERISTIC: Final = "User Control Point"
CONSENT_CODE_MAX: Final = 9999
USER_INDEX_MAX: Final = 254


class OpCode(IntEnum):
    """Operations."""

    REGISTER_NEW_USER = 0x01
    CONSENT = 0x02
    DELETE_USER_DATA = 0x03
    RESPONSE_CODE = 0x20


class Code(IntEnum):
    """Response code values."""

    SUCCESS = 1
    OP_CODE_UNSUPPORTED = 2
    INVALID_PARAMETER = 3
    OPERATION_FAILED = 4
    USER_NOT_AUTHORIZED = 5


@dataclass(frozen=True, slots=True)
class Consent:
    """A user whom the sensor knows lets it tell that user's data."""

    user_index: int
    consent_code: int


@dataclass(frozen=True, slots=True)
class Response:
    """How a request ended; `request_op` and `code` are plain integers where they are unknown."""

    request_op: int
    code: int
    parameter: bytes = b""


#   OP UI CC CC
#   02 01 d2 04             user 1, code 1234
CONSENT: Final = Codec[Consent](
    CHARACTERISTIC,
    Tagged(Int8ul, {OpCode.CONSENT: Record(Consent, "user_index" / Int8ul, "consent_code" / Int16ul)}),
)

#   20 OP RC [parameter]
#   20 02 01                the consent was accepted
_RESPONSES: Final[Mapping[IntEnum, Record]] = {
    OpCode.RESPONSE_CODE: Record(
        Response,
        "request_op" / Coded(Int8ul, OpCode),
        "code" / Coded(Int8ul, Code),
        "parameter" / GreedyBytes,
    ),
}
RESPONSE: Final = Codec[Response](CHARACTERISTIC, Tagged(Int8ul, _RESPONSES))
