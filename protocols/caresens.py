"""Time of CareSens glucose meters (i-SENS): a characteristic of their own instead of Current Time; it is written only.

Contract: local time, as in `date_time`; nothing says in which zone.

Source: what clients of these meters write (four octets, then a Date Time); the maker publishes nothing.
"""

from typing import Final

from protocols import date_time
from protocols.date_time import DateTime
from protocols.errors import DecodeError

CHARACTERISTIC: Final = "CareSens time"
TIME_UUID: Final = "c4dea3bc-5a9d-11e9-8647-d663bd873d93"

_SET_TIME: Final = bytes.fromhex("c0030100")


#   SET TIME    YY YY MM DD hh mm ss
#   c0 03 01 00 ea 07 0b 1c 0f 2d 00
def encode_time(now: DateTime) -> bytes:
    """What sets the meter's clock."""
    return _SET_TIME + date_time.DATE_TIME_VALUE.encode(now)


def decode_time(payload: bytes) -> DateTime:
    """What a client wrote.

    Raises:
        DecodeError: it sets no clock.
    """
    if not payload.startswith(_SET_TIME):
        raise DecodeError(CHARACTERISTIC, payload, "does not set the time")
    return date_time.DATE_TIME_VALUE.decode(payload[len(_SET_TIME) :])
