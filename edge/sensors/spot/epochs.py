"""Epochs of a device's clock: which moment a time stamp of the device was.

Contract: pure. Times of the device are the seconds that its clock shows, whatever they are worth. An epoch is a time in
which nobody sets that clock; it is kept as a session. Its start is known by what the device's clock showed, and when
that was since a boot. So it gets a wall time as all sessions do, from trusted anchors alone, and from nothing that the
device believes. What has no time stamp is dated by its arrival, in an epoch of the boot.

    what is known at a contact              | the epoch is
    ----------------------------------------|-------------------------------------------------------------------
    the device's clock was read             | the newest that agrees within `SET_S`, else a new one
    and has then been set by us             | for stamps from then on: the newest that agrees with that time
                                            | within `STEP_S`, else a new one
    it cannot be read, an epoch is known    | the newest that is not off by more than `KEPT_S`, if the stamp is not in
                                            | the future by it; else a new one, which begins as if the newest stamp of
                                            | this contact were of now
    it cannot be read, no epoch is known    | a new one, likewise
    no stamp                                | that of this boot's arrivals
    `BEGUN_MAX` have begun within a day     | that of this boot's arrivals, instead of a new one

Epochs of different boots can be compared only if the clocks of both are trusted; otherwise a new one begins. A device
whose clock is set without end has none: whoever poses as one does not fill the store with sessions.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from edge.clock import NS_PER_S
from protocols.date_time import DateTime

# A clock that is off by more than this against the known epoch was set.
SET_S: Final = 120
# What a clock loses or gains between two contacts. A larger step by us is known exactly, so it is not put up with.
STEP_S: Final = 10
# Between a time that was written and a stamp by it lies no more than a rounding.
ROUNDING_S: Final = 2
# No device has kept a measurement for so long: new batteries have set its clock back by years.
KEPT_S: Final = 400 * 86_400
BEGUN_MAX: Final = 48
_DAY_NS: Final = 86_400 * NS_PER_S
# What clocks show that nobody has set, and all that are right in our time. Nanoseconds between two of them fit into
# the store.
YEARS: Final = range(1970, 2106)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def seconds_of(time: DateTime | None) -> int | None:
    """A time of a device in seconds; None if it does not know it, or if there is no such day in `YEARS`."""
    if time is None or time.year not in YEARS:
        return None
    try:
        moment = datetime(time.year, time.month, time.day, time.hours, time.minutes, time.seconds, tzinfo=UTC)
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(seconds=1)


def date_time_of(seconds: int) -> DateTime:
    """The other way round."""
    moment = _EPOCH + timedelta(seconds=seconds)
    return DateTime(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)


def seconds_of_utc(utc_ns: int, zone: ZoneInfo) -> int:
    """What a clock of this time zone shows at a moment, in the seconds of a device."""
    local = datetime.fromtimestamp(utc_ns // NS_PER_S, zone)
    return (local.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)


class Now(NamedTuple):
    """The present moment; `utc_ns` is None while no trusted clock says it."""

    boot_no: int
    boot_ns: int
    utc_ns: int | None


class Seen(NamedTuple):
    """At this moment of the present boot the device's clock showed that; `by_us`: because it was told."""

    shows_s: int
    boot_ns: int
    by_us: bool = False


@dataclass
class Epoch:
    """A time in which nobody sets the device's clock.

    Attributes:
        shows_s: what the clock showed at its start; None: what arrives in one boot.
        boot_no, boot_ns: when its start was.
        utc_s: the same by a trusted clock; None while it is not known.
        is_guessed: its start was reckoned from a stamp over this link, and a newer one may correct it.
    """

    uuid: UUID
    shows_s: int | None
    boot_no: int
    boot_ns: int
    utc_s: int | None = None
    is_guessed: bool = False

    def start_boot_ns(self, now: Now) -> int | None:
        """Its start in terms of the present boot."""
        if self.boot_no == now.boot_no:
            return self.boot_ns
        if self.utc_s is None or now.utc_ns is None:
            return None
        return now.boot_ns - (now.utc_ns - self.utc_s * NS_PER_S)

    def taken_boot_ns(self, stamp_s: int, now: Now) -> int | None:
        """When a stamp of it was, in terms of the present boot."""
        start_ns = self.start_boot_ns(now)
        if start_ns is None or self.shows_s is None:
            return None
        return start_ns + (stamp_s - self.shows_s) * NS_PER_S


class Epochs:
    """The epochs of one device, the newest last."""

    def __init__(self, known: Iterable[Epoch], new_uuid: Callable[[], UUID]) -> None:
        self._known = list(known)
        self._new_uuid = new_uuid
        self._begun_ns: deque[int] = deque(maxlen=BEGUN_MAX)  # when the newest have begun

    def begin_contact(self) -> None:
        """What was reckoned over the link before is settled."""
        for epoch in self._known:
            epoch.is_guessed = False

    def of_arrival(self, now: Now) -> Epoch:
        """The epoch of what comes without a time."""
        for epoch in self._known:
            if epoch.shows_s is None and epoch.boot_no == now.boot_no:
                return epoch
        arrivals = Epoch(self._new_uuid(), None, now.boot_no, 0)
        self._known.append(arrivals)
        return arrivals

    def of_stamp(self, stamp_s: int, now: Now, seen: Sequence[Seen]) -> Epoch:
        """The epoch of a stamp; `seen`: the device's clock over this link, before and after it was set."""
        for clock in seen:
            shows_s = clock.shows_s + (now.boot_ns - clock.boot_ns) // NS_PER_S
            since_set = clock.shows_s - ROUNDING_S <= stamp_s <= shows_s + ROUNDING_S
            if clock.by_us and (since_set or (len(seen) == 1 and stamp_s <= shows_s + SET_S)):
                return self._of_clock(clock, now)
        for clock in seen:
            if not clock.by_us:
                return self._of_clock(clock, now)
        return self._of_newest(stamp_s, now)

    def _of_clock(self, clock: Seen, now: Now) -> Epoch:
        off_s_max = STEP_S if clock.by_us else SET_S
        for epoch in reversed(self._known):
            shown_ns = epoch.taken_boot_ns(clock.shows_s, now)
            if shown_ns is not None and abs(shown_ns - clock.boot_ns) <= off_s_max * NS_PER_S:
                return epoch
        return self._begin(Epoch(self._new_uuid(), clock.shows_s, now.boot_no, clock.boot_ns), now)

    def _of_newest(self, stamp_s: int, now: Now) -> Epoch:
        found = [
            (epoch, taken_ns - now.boot_ns)
            for epoch in reversed(self._known)
            if (taken_ns := epoch.taken_boot_ns(stamp_s, now)) is not None
        ]
        near = [(epoch, ahead_ns) for epoch, ahead_ns in found if abs(ahead_ns) <= KEPT_S * NS_PER_S]
        # What a device has kept from years may come over one link, the oldest first.
        for epoch, ahead_ns in near[:1] or found[:1]:
            if epoch.is_guessed and ahead_ns > 0:
                epoch.boot_ns -= ahead_ns
                return epoch
            if near and ahead_ns <= SET_S * NS_PER_S:
                return epoch
        guess = Epoch(self._new_uuid(), stamp_s, now.boot_no, now.boot_ns, is_guessed=True)
        return self._begin(guess, now)

    def _begin(self, epoch: Epoch, now: Now) -> Epoch:
        if len(self._begun_ns) == BEGUN_MAX and now.boot_ns - self._begun_ns[0] < _DAY_NS:
            return self.of_arrival(now)
        self._begun_ns.append(now.boot_ns)
        self._known.append(epoch)
        return epoch
