"""Which records of a session are here, which were given up, and which are missing.

Contract: pure. A record is known by its offset: the minutes since the session began. No sensor says which offsets there
should be. So two records that lie at most one and a half usual intervals apart follow each other, and between two that
lie farther apart there is a gap. The watermark is the offset up to which the store has every record, or has noted that
it was given up. It moves only over records that follow each other. What was handed to the store counts as here, until
the store says that it could not write it.

What is asked for, and when, is decided in `cgm_fetch`.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from heapq import merge
from itertools import pairwise
from typing import Final, NamedTuple

from edge.store.sessions import GivenUp

OFFSET_MAX: Final = 0xFFFF
# A longer interval is believed only after the sensor has said of so many gaps that it has no records there: a sensor
# that leaves out every second record looks like one that measures half as often.
INTERVAL_MIN: Final = 5
CONFIRMED_BY_GAPS: Final = 3
# The usual interval is a short one of so many newest steps from record to record: not the shortest, which may be an
# exception.
STEPS_LOOKED_AT: Final = 24
SHORT_STEPS: Final = 4  # one step in so many is shorter
# With fewer steps the shortest is taken, and the watermark does not move.
STEPS_TO_TELL: Final = 4
FOLLOWS: Final = 1.5


class Loss(StrEnum):
    """Why records were given up: a gap as a whole, or one record of it; or they are not its wearer's."""

    NO_RECORDS = "the sensor has no records there"
    UNDECODABLE = "never decodable"
    NOT_REPORTED = "counted by the sensor, never reported"
    OF_ANOTHER = "of another person"
    NOT_HEARD = "advertised while nobody listened"


class Range(NamedTuple):
    """Offsets from `first` to `last`, both included; None: to the end."""

    first: int
    last: int | None

    def covers(self, offset_min: int) -> bool:
        return self.first <= offset_min and (self.last is None or offset_min <= self.last)


class _Part(NamedTuple):
    """Something that is settled: a record, a record that was given up, or a gap that was given up.

    A gap was given up between two records. If the store could not keep one of them, something is missing beside the
    gap. So a gap has to begin right where the part before it ends (`is_joined`), and the next part right where a gap
    without records ends (`is_closed`).
    """

    first: int
    last: int
    is_joined: bool = False
    is_closed: bool = False


def advance(watermark_min: int, held: Sequence[int], given_up: Sequence[GivenUp], usual_min: float) -> int:
    """How far the watermark may move: over all parts that follow each other. `held` is ascending."""
    for _, part, follows in _walk(watermark_min, held, given_up, usual_min):
        if not follows:
            break
        watermark_min = max(watermark_min, part.last)
    return watermark_min


def _walk(
    watermark_min: int, held: Sequence[int], given_up: Sequence[GivenUp], usual_min: float
) -> Iterator[tuple[int, _Part, bool]]:
    """For each settled part above the watermark: where the part before ended, the part, whether it follows that."""
    end_min = watermark_min
    is_closed = any(note.last == end_min and note.reason == Loss.NO_RECORDS for note in given_up)
    for part in _settled(watermark_min, held, given_up):
        step_min_max = 1.0 if is_closed or part.is_joined else _step_min_max(end_min, usual_min)
        yield end_min, part, part.first - end_min <= step_min_max
        if part.last > end_min:
            end_min, is_closed = part.last, part.is_closed


def _step_min_max(end_min: int, usual_min: float) -> float:
    """How far the next record may lie from the last. The first one of a session comes within its first interval."""
    return usual_min if end_min < 0 else FOLLOWS * usual_min


def _settled(watermark_min: int, held: Sequence[int], given_up: Sequence[GivenUp]) -> Iterator[_Part]:
    start = bisect_right(held, watermark_min)
    records = (_Part(held[place], held[place]) for place in range(start, len(held)))
    notes = []
    for first, last, reason, *_ in given_up:
        if last > watermark_min:
            is_gap = reason == Loss.NO_RECORDS
            notes.append(_Part(first, last, is_joined=is_gap or first < last, is_closed=is_gap))
    return merge(records, sorted(notes))


class Ledger:
    """One session's records.

    Attributes:
        watermark_min: where the store's watermark stands; -1 at first.
        given_up: what is noted as given up, in order.
        foreign_until_min: up to here records are of another person; -1 where none are.
    """

    def __init__(
        self, watermark_min: int = -1, held: Iterable[int] = (), given_up: Iterable[GivenUp] = ()
    ) -> None:
        self.watermark_min = watermark_min
        self._usual_min: float | None = None
        self.note_given_up(given_up)
        self._held = sorted(held)
        self._ahead: set[int] = set()

    def __contains__(self, offset_min: int) -> bool:
        place = bisect_left(self._held, offset_min)
        return place < len(self._held) and self._held[place] == offset_min

    def is_given_up(self, offset_min: int) -> bool:
        return any(note.first <= offset_min <= note.last for note in self.given_up)

    def is_settled(self, offset_min: int) -> bool:
        """Whether nothing is missing there: all that the sensor has is here, or given up."""
        return offset_min <= self.watermark_min or self.is_given_up(offset_min)

    @property
    def newest_min(self) -> int | None:
        """The largest offset that is here."""
        return self._held[-1] if self._held else None

    @property
    def end_min(self) -> int:
        """The largest offset of which it is known what became of it."""
        given_up = self.given_up[-1].last if self.given_up else -1
        return max(self.watermark_min, given_up, self._held[-1] if self._held else -1)

    def hold(self, offset_min: int) -> bool:
        """This record is on its way into the store; returns whether it is new."""
        if offset_min in self:
            return False
        insort(self._held, offset_min)
        self._ahead.discard(offset_min)
        self._usual_min = None
        return True

    def drop(self, offsets_min: Iterable[int]) -> None:
        """The store could not take these."""
        gone = set(offsets_min)
        self._held = [offset for offset in self._held if offset not in gone]
        self._usual_min = None

    def refuse(self, offset_min: int) -> bool:
        """Note a record of the future: the sensor counts it, too. Returns whether it is new."""
        is_new = offset_min not in self._ahead
        self._ahead.add(offset_min)
        return is_new

    def note_given_up(self, given_up: Iterable[GivenUp]) -> None:
        """This is all that is given up now."""
        self.given_up = sorted(given_up)
        foreign = (note.last for note in self.given_up if note.reason == Loss.OF_ANOTHER)
        self.foreign_until_min = max(foreign, default=-1)
        self._usual_min = None

    # Steps

    @property
    def usual_min(self) -> float:
        """The interval at which this sensor stores records."""
        if self._usual_min is None:
            steps = sorted(later - earlier for earlier, later in pairwise(self._held[-STEPS_LOOKED_AT - 1 :]))
            usual_min = (
                steps[len(steps) // SHORT_STEPS] if len(steps) >= STEPS_TO_TELL else min(steps, default=1)
            )
            is_confirmed = usual_min <= INTERVAL_MIN or self._gaps_within(usual_min) >= CONFIRMED_BY_GAPS
            self._usual_min = float(usual_min if steps and is_confirmed else INTERVAL_MIN)
        return self._usual_min

    def _gaps_within(self, step_min: int) -> int:
        """In how many gaps, no longer than such a step, the sensor has no records."""
        return sum(
            note.reason == Loss.NO_RECORDS and note.last - note.first + 1 < step_min for note in self.given_up
        )

    # What is settled, and what is not

    @property
    def reach_min(self) -> int:
        """Where the watermark will stand once the store has everything it was given."""
        if len(self._held) <= STEPS_TO_TELL:
            return self.watermark_min
        return advance(self.watermark_min, self._held, self.given_up, self.usual_min)

    def gaps(self) -> list[Range]:
        """What is missing between records, above the watermark."""
        walk = _walk(self.watermark_min, self._held, self.given_up, self.usual_min)
        return [Range(end_min + 1, part.first - 1) for end_min, part, follows in walk if not follows]

    def count(self, asked: Range, clock_min: int) -> int | None:
        """How many records of a range the sensor may have, by what is known of them; None if some are of another."""
        if asked.first <= self.foreign_until_min:
            return None
        self._ahead = {offset for offset in self._ahead if offset > clock_min}
        last = OFFSET_MAX if asked.last is None else asked.last
        held = bisect_right(self._held, last) - bisect_left(self._held, asked.first)
        # Where one record was given up the sensor has it still; where a gap was given up it has nothing.
        singles = sum(note.reason != Loss.NO_RECORDS and asked.covers(note.first) for note in self.given_up)
        return held + singles + sum(map(asked.covers, self._ahead))

    def first_of(self, gap: Range) -> Range:
        """Where in a gap its first record would be; all of it, if there is room for no other."""
        last = gap.first + max(1, round(self.usual_min)) - 1
        if gap.last is not None and gap.last + 1 - last <= _step_min_max(last, self.usual_min):
            last = gap.last
        return Range(gap.first, last)
