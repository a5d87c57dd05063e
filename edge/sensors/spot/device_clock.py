"""The clock of a device over one link: read, and set.

Contract: it is read before it is set, because what the device has stored is dated by what it showed until then. It is
set to the local time, and only by a clock that is trusted; many devices send nothing before. A device that has no
clock, or does not let it be read or set, is taken as it is; only a link that is not secure enough is passed on.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from bleak.exc import BleakCharacteristicNotFoundError, BleakError, BleakGATTProtocolError
from bleak.exc import BleakGATTProtocolErrorCode as AttCode

from edge.clock import Clock
from edge.radio.link import Link
from edge.sensors.spot.epochs import Seen, date_time_of, seconds_of
from protocols import caresens, current_time, date_time, uuids
from protocols.current_time import AdjustReason, CurrentTime
from protocols.date_time import DateTime
from protocols.errors import DecodeError

_INSECURE: Final = frozenset(
    {
        AttCode.INSUFFICIENT_AUTHENTICATION,
        AttCode.INSUFFICIENT_AUTHORIZATION,
        AttCode.INSUFFICIENT_ENCRYPTION,
        AttCode.INSUFFICIENT_ENCRYPTION_KEY_SIZE,
    }
)
_DAY_S: Final = 86_400
_THURSDAY: Final = 3  # 1970-01-01, counted from Monday


def _current_time(shows_s: int) -> bytes:
    day_of_week = (shows_s // _DAY_S + _THURSDAY) % 7 + 1
    return current_time.CURRENT_TIME.encode(
        CurrentTime(date_time_of(shows_s), day_of_week, 0, AdjustReason.EXTERNAL_REFERENCE)
    )


class _Way(NamedTuple):
    """A characteristic that is a clock; `decode` is None where it is only written."""

    uuid: str
    decode: Callable[[bytes], DateTime] | None
    encode: Callable[[int], bytes]


WAYS: Final = (
    _Way(
        uuids.CURRENT_TIME,
        lambda payload: current_time.CURRENT_TIME.decode_lenient(payload)[0].date_time,
        _current_time,
    ),
    _Way(
        uuids.DATE_TIME,
        lambda payload: date_time.DATE_TIME_VALUE.decode_lenient(payload)[0],
        lambda shows_s: date_time.DATE_TIME_VALUE.encode(date_time_of(shows_s)),
    ),
    _Way(caresens.TIME_UUID, None, lambda shows_s: caresens.encode_time(date_time_of(shows_s))),
)
"""How clocks are read and set; the first that a device has is used."""


class DeviceClock:
    """The clock of a device, as far as it has one.

    Attributes:
        seen: what it showed, before and after it was set.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self.seen: list[Seen] = []
        self._link = link
        self._clock = clock
        self._way: _Way | None = None

    @property
    def is_there(self) -> bool:
        """Whether the device has a clock that might be set."""
        return self._way is not None

    async def read(self) -> None:
        """Find the clock, and read it."""
        for way in WAYS:
            if way.decode is None:
                self._way = way
                return
            try:
                # The moment of the request: with it nothing seems to have been measured after it came.
                boot_ns = self._clock.boot_ns()
                shows_s = seconds_of(way.decode(await self._link.read(way.uuid)))
            except DecodeError:
                shows_s = None
            except BleakError as error:
                if isinstance(error, BleakCharacteristicNotFoundError):
                    continue
                _require_answer(error)
                shows_s = None
            self._way = way
            if shows_s is not None:
                self.seen.append(Seen(shows_s, boot_ns))
            return

    async def set(self, local_s: int) -> None:
        """Let it show this time from now on."""
        if self._way is None:
            return
        boot_ns = self._clock.boot_ns()
        try:
            await self._link.write(self._way.uuid, self._way.encode(local_s))
        except BleakCharacteristicNotFoundError:
            self._way = None
        except BleakError as error:
            _require_answer(error)
        else:
            self.seen.append(Seen(local_s, boot_ns, by_us=True))


def is_insecure(error: BleakError) -> bool:
    """Whether the device wants another link than this one."""
    return isinstance(error, BleakGATTProtocolError) and error.code in _INSECURE


def _require_answer(error: BleakError) -> None:
    """A refusal is an answer; everything else is the link's."""
    if not isinstance(error, BleakGATTProtocolError) or is_insecure(error):
        raise error
