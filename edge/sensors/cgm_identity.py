"""Is a CGM sensor still in the session that is known? And when did its session begin?

Contract: pure; the verdict depends on the arguments only. The sensor is in the known session or in another one. That
follows from the start that the sensor tells, and from the start that the gateway reckons from the sensor's clock. If
both leave a doubt, records of the known session are asked for again and compared.

    known session | its clock is before    | told start | reckoned start    | verdict
                  | its newest record      |            |                   |
    --------------|------------------------|------------|-------------------|--------
    none          | -                      | -          | -                 | NEW
    one           | no                     | the same   | -                 | SAME
    one           | no                     | none known | 3 min off at most | SAME
    one           | otherwise              |            |                   | DOUBT

    in DOUBT, of the known records that are asked for | verdict
    --------------------------------------------------|----------------------------------------------------
    more come back equal than different, two at least | SAME: its clock was set
    none comes back equal, two at least different     | NEW
    anything else, after `ASKS` answers               | NEW
    no answer, twice as often; or none can be asked   | SAME if the reckoned start is 10 min off at most,
    for                                               | else NEW: better one session stored as two than two
                                                      | stored as one

Where only one record is known, one is enough. A record that comes back equal once is equal: without a checksum, one
that looks different may have been spoilt on its way.
A told start is believed only if it is plausible: devices that do not know the time begin in 1970, in 2000, or in the
year they were made. The reckoned start is compared by the time since boot, if it was last seen in this boot, or else by
a trusted wall clock. A wall clock that nobody vouches for is no evidence of anything.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from typing import Final, NamedTuple
from uuid import UUID

from edge.anchors import SURE_ERROR_MS
from protocols.cgm import SessionStartTime

NS_PER_S = 1_000_000_000
# If the starts differ by no more than this, a clock that was set is likelier than a new session.
NEAR_START_S: Final = 600
# A record's minute may be rounded up while the clock's is rounded down.
MINUTE_SLACK: Final = 1
# The start is reckoned from whole minutes, and two clocks drift apart. What differs by more is not the same start.
START_ERROR_S_MAX: Final = 180
# The error of a start that is reckoned from whole minutes.
RECKONED_ERROR_MS: Final = 60_000
# 2015-01-01. Nobody wore such a sensor before, so an earlier clock was never set.
CREDIBLE_FROM_UTC_S: Final = 1_420_070_400
CREDIBLE_UNTIL_UTC_S: Final = 1 << 32
COMPARED_RECORDS: Final = 6
ASKS: Final = 3


class Beginning(NamedTuple):
    """How a session began, as far as is known; the fields have the names that they have in the store.

    `start_error_ms` is None while nothing vouches for `start_utc_s`.
    """

    uuid: UUID
    told_start_utc_s: int | None
    start_boot_no: int | None
    start_boot_ns: int | None
    start_utc_s: int | None
    start_error_ms: int | None
    run_time_h: int | None


class Known(NamedTuple):
    """A session that the sensor may be in: how it began, and the newest of its records."""

    beginning: Beginning
    newest_min: int | None
    values: Mapping[int, float]


class Seen(NamedTuple):
    """The session that the sensor is in: its clock, the start it tells, and what the gateway's clocks say now."""

    clock_min: int
    told_start_utc_s: int | None
    boot_no: int
    start_boot_ns: int
    trusted_utc_s: int | None
    trusted_error_ms: int | None

    @property
    def reckoned_utc_s(self) -> int | None:
        """The start by a trusted clock; None without one."""
        return None if self.trusted_utc_s is None else self.trusted_utc_s - 60 * self.clock_min


class Verdict(Enum):
    """Whether it is the known session."""

    SAME = auto()
    NEW = auto()
    DOUBT = auto()


def told_utc_s(start: SessionStartTime | None) -> int | None:
    """The start that a sensor tells, if it can be one."""
    utc_s = None if start is None else start.utc_seconds()
    if utc_s is None or not CREDIBLE_FROM_UTC_S <= utc_s < CREDIBLE_UNTIL_UTC_S:
        return None
    return utc_s


def judge(known: Beginning | None, newest_min: int | None, seen: Seen) -> Verdict:
    """The first table; `newest_min` is the offset of the newest record of the known session."""
    if known is None:
        return Verdict.NEW
    off_s = start_off_s(known, seen)
    is_behind = newest_min is not None and seen.clock_min < newest_min - MINUTE_SLACK
    is_near = off_s is not None and off_s <= START_ERROR_S_MAX
    is_start_same = is_near if known.told_start_utc_s is None else _is_told_equal(known, seen)
    return Verdict.SAME if is_start_same and not is_behind else Verdict.DOUBT


def judge_alone(known: Beginning, seen: Seen) -> Verdict:
    """The verdict in doubt, if no record of the known session can be compared."""
    off_s = start_off_s(known, seen)
    return Verdict.SAME if off_s is not None and off_s <= NEAR_START_S else Verdict.NEW


def is_alike(seen: Seen, again: Seen) -> bool:
    """Whether two looks, one soon after the other, show the same session."""
    off_s = abs(again.start_boot_ns - seen.start_boot_ns) / NS_PER_S
    return again.told_start_utc_s == seen.told_start_utc_s and off_s <= START_ERROR_S_MAX


def _is_told_equal(known: Beginning, seen: Seen) -> bool:
    return seen.told_start_utc_s is not None and seen.told_start_utc_s == known.told_start_utc_s


def start_off_s(known: Beginning, seen: Seen) -> float | None:
    """How far the start as it is reckoned now is from the one that is known; None if they cannot be compared."""
    if known.start_boot_no == seen.boot_no and known.start_boot_ns is not None:
        return abs(known.start_boot_ns - seen.start_boot_ns) / NS_PER_S
    reckoned_utc_s = seen.reckoned_utc_s
    if reckoned_utc_s is None or known.start_utc_s is None or known.start_error_ms is None:
        return None
    return abs(known.start_utc_s - reckoned_utc_s)


class SessionNames:
    """The names of a sensor's sessions, no two the same.

    A session is named by the start that the sensor tells, if a trusted clock confirms it. So if the store is lost and
    the session is met again, it has its former name, and its data go up under their former ids. Otherwise the name is
    random.
    """

    def __init__(self, by_start: Callable[[int], UUID], taken: Iterable[UUID], rng: random.Random) -> None:
        self._by_start = by_start
        self._taken = set(taken)
        self._rng = rng

    def name(self, start_utc_s: int | None) -> UUID:
        """The name of a new session."""
        uuid = self._draw() if start_utc_s is None else self._by_start(start_utc_s)
        if uuid in self._taken:
            uuid = self._draw()
        self._taken.add(uuid)
        return uuid

    def _draw(self) -> UUID:
        return UUID(int=self._rng.getrandbits(128), version=4)


def begin(seen: Seen, utc_s: int, run_time_h: int | None, names: SessionNames) -> Beginning:
    """A new session. `utc_s` is what the gateway thinks the time is, where no trusted clock says it."""
    told = seen.told_start_utc_s
    estimate_utc_s = utc_s - 60 * seen.clock_min if told is None else told
    start_utc_s, error_ms = _start(seen) or (estimate_utc_s, None)
    return Beginning(
        uuid=names.name(told if error_ms is not None and told == start_utc_s else None),
        told_start_utc_s=told,
        start_boot_no=seen.boot_no,
        start_boot_ns=seen.start_boot_ns,
        start_utc_s=start_utc_s,
        start_error_ms=error_ms,
        run_time_h=run_time_h,
    )


def _start(seen: Seen) -> tuple[int, int] | None:
    """The start and its error by a trusted clock: as the sensor tells it where that agrees, else as reckoned."""
    told, reckoned = seen.told_start_utc_s, seen.reckoned_utc_s
    if reckoned is None or seen.trusted_error_ms is None:
        return None
    is_told_right = told is not None and abs(told - reckoned) <= START_ERROR_S_MAX
    return (
        told if told is not None and is_told_right else reckoned
    ), seen.trusted_error_ms + RECKONED_ERROR_MS


def changes(known: Beginning, seen: Seen) -> dict[str, int | None]:
    """What is known better of the session now that it has been seen again.

    A trusted start stays as it is, because readings have been placed by it. If the sensor's clock was set since, what
    comes now may be placed wrongly by as much.
    """
    better: dict[str, int | None] = {"told_start_utc_s": seen.told_start_utc_s}
    off_s = start_off_s(known, seen)
    is_set = off_s is not None and off_s > START_ERROR_S_MAX
    if known.start_boot_no != seen.boot_no or is_set:
        better |= {"start_boot_no": seen.boot_no, "start_boot_ns": seen.start_boot_ns}
    start = _start(seen)
    if known.start_error_ms is None and start is not None:
        better |= {"start_utc_s": start[0], "start_error_ms": start[1]}
    elif known.start_error_ms is not None and off_s is not None and is_set:
        better["start_error_ms"] = max(known.start_error_ms, round(1000 * off_s))
    return better


def time_told(known: Beginning, seen: Seen) -> tuple[int, int] | None:
    """The wall time at the sensor's minute 0 and its error in ms, if the session is a source of time.

    It is one if a trusted clock has vouched for its start once, and the sensor tells the same start still; but not if
    its clock was set since, so that its start and what it shows no longer belong together.
    """
    if known.start_utc_s is None or known.start_error_ms is None or not _is_told_equal(known, seen):
        return None
    if known.start_error_ms >= SURE_ERROR_MS:
        return None
    return known.start_utc_s, known.start_error_ms + RECKONED_ERROR_MS


class Comparison:
    """Known records, asked for again.

    Attributes:
        first_min, last_min: ask for the records from here to here.
        verdict: DOUBT until it is known.
        unanswered: how many requests were not answered; such a request counts half.
    """

    def __init__(self, values: Mapping[int, float], alone: Verdict, unanswered: int = 0) -> None:
        """`values`: of the newest known records that have one, by offset; `alone`: the verdict without them."""
        values = {offset: values[offset] for offset in sorted(values)[-COMPARED_RECORDS:]}
        self._values = values
        self._alone = alone
        self._equal: set[int] = set()
        self._different: set[int] = set()
        self._answered = 0
        self.unanswered = unanswered
        self.first_min, self.last_min = min(values, default=0), max(values, default=0)
        self.verdict = Verdict.DOUBT if values else alone

    @property
    def is_proved(self) -> bool:
        """Whether the sensor has said something of its records."""
        return bool(self._answered or self._equal or self._different)

    def on_record(self, offset_min: int, value: float | None) -> None:
        """The sensor has reported this."""
        if offset_min in self._values:
            is_equal = self._values[offset_min] == value
            (self._equal if is_equal else self._different).add(offset_min)

    def on_end(self, *, is_answered: bool) -> None:
        """A request has ended: the sensor answered it, or did not."""
        self._answered += is_answered
        self.unanswered += not is_answered
        equal, different = len(self._equal), len(self._different - self._equal)
        enough = min(2, len(self._values))
        if equal > different and equal >= enough:
            self.verdict = Verdict.SAME
        elif different >= enough and not equal:
            self.verdict = Verdict.NEW
        elif 2 * self._answered + self.unanswered >= 2 * ASKS:
            self.verdict = Verdict.NEW if self._answered else self._alone
