"""What a CGM sensor is asked for, when, and what is given up: one pass after another until nothing is missing.

Contract: pure; times are seconds of a clock that does not jump. The caller makes the request that `next` returns, and
tells `on_end` how it ended. A gap is what is missing between two records; the end is everything after the last one that
is here or given up. A pass is a report of a gap or the end, and a count of the same range. What is long is asked for in
portions, and its newest records first (`cgm_portions`). While no gap is open there is a check now and then: a count,
and a report if the sensor counts more. Records are noted as they come, so a pass that was interrupted goes on where it
stopped, in whatever order they are reported. A request ended unsure if its answer named another request.

    phase     | what happens                                 | next      | and
    ----------|----------------------------------------------|-----------|------------------------------------
    IDLE      | records are missing, their pause is over     | REPORTING | of the first such gap, or the end
    IDLE      | no gap is open, and a check is due of what   | COUNTING  | of what has come since then
              | has come since the last check                |           |
    REPORTING | complete, or unsure                          | COUNTING  | of the same range; IDLE and judged,
              |                                              |           | if the sensor does not count
    REPORTING | the same, of a portion                       | IDLE      | not judged; a check is due
    REPORTING | refused and nothing came                     | REPORTING | with the next wider operator
    REPORTING | refused with the widest, or busy             | IDLE      | pause REFUSED, BUSY
    REPORTING | silent, or the link is lost; nothing came    | IDLE      | pause SILENT, CUT
    REPORTING | refused, silent or lost, and something came  | IDLE      | no pause: it goes on from there
    COUNTING  | counted for a check, and there are more      | REPORTING |
    COUNTING  | counted otherwise                            | IDLE      | judged
    COUNTING  | refused, unsure or silent                    | as above  | as if it did not count, on this link

    a gap after a pass for it                                | after `TRIES` such passes it is given up as
    ---------------------------------------------------------|--------------------------------------------
    a record of it came that could not be read               | UNDECODABLE, this record alone
    the sensor counts more in it than it has reported        | NOT_REPORTED, its first record alone
    otherwise                                                | NO_RECORDS, the gap as a whole

A pass of which the store did not take a record counts for no gap.
Before a gap is asked for again there is a pause, longer each time. The end is never given up: the next record may come
at any moment. A record that was given up is kept all the same if it comes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edge.sensors.cgm_asking import (
    PAUSE_FACTOR,
    TRIES,
    Ask,
    End,
    Hindrance,
    Kind,
    Patience,
    Refusals,
    Tries,
)
from edge.sensors.cgm_ledger import FOLLOWS, OFFSET_MAX, Ledger, Loss, Range
from edge.sensors.cgm_portions import Portions
from protocols.racp import Code
from protocols.racp_procedure import Outcome

# The first pause and the longest, in seconds. At the end there may simply be no new record yet.
GAP_PAUSES_S: Final = 5.0, 3600.0
END_PAUSES_S: Final = 60.0, 900.0


class GiveUp(NamedTuple):
    """Records that will not be asked for again."""

    first: int
    last: int
    reason: Loss
    tries: int


_NOT_TRIED: Final = Tries()


@dataclass
class _Pass:
    """One range that is asked for, or a portion of what is missing, until the result has been judged."""

    missing: Range
    wanted: Range
    clock_min: int
    is_check: bool
    phase: Kind
    asked: Ask | None = None
    gained: int = 0
    unread: list[int | None] = field(default_factory=list)
    report: Outcome | None = None
    reported_range: Range | None = None
    counted: int | None = None
    counted_range: Range | None = None
    is_unstored: bool = False


class Fetch:
    """The passes of one session.

    Attributes:
        miscounts: how often the sensor insisted on having more records than it reports.
    """

    def __init__(self, ledger: Ledger, patience: Patience, check_s: float) -> None:
        """`check_s`: how often the records that are here are compared with the sensor's count."""
        self._ledger = ledger
        self._patience = patience
        self._check_s = check_s
        self._refusals = Refusals()
        self._portions = Portions()
        self._has_looked = False
        self._gap_tries: dict[int, Tries] = {}  # by the gap's first offset
        self._end_tries: tuple[int, Tries] = (0, Tries())
        self._check_tries = Tries()
        self._unread: Counter[int] = Counter()  # reports in which a record could not be read
        self._checked_min = ledger.watermark_min
        self._check_due_s: float | None = None
        self._pass: _Pass | None = None
        self.miscounts = 0

    def on_link(self, refusals: Refusals) -> None:
        """A new link has begun: records may have been taken while there was none."""
        self._refusals = refusals
        self._portions.on_link()
        self.look_at_end()

    def look_at_end(self) -> None:
        """Ask for the end: there may be records that did not come live."""
        self._has_looked = False
        self._end_tries[1].due_s = 0.0

    # What is missing

    def missing(self, clock_s: float) -> list[Range]:
        """What is missing, whether or not it is time to ask for it."""
        gaps = self._ledger.gaps()
        gaps += [Range(offset, offset) for offset in self._seen_between(gaps)]
        end_min = self._ledger.end_min
        if end_min < OFFSET_MAX and clock_s >= 60 * self._end_due_min():
            gaps.append(Range(end_min + 1, None))
        return gaps

    def _seen_between(self, gaps: list[Range]) -> list[int]:
        """Records that came, could not be read, and lie in no gap."""
        end_min = self._ledger.end_min
        return [
            offset
            for offset in sorted(self._unread)
            if offset <= end_min and not any(gap.covers(offset) for gap in gaps)
        ]

    def _end_due_min(self) -> float:
        """When the next record should have come; after a time without a link, when there can be one at all."""
        ledger = self._ledger
        if ledger.end_min < 0 and not self._has_looked:
            return 0.0
        if not self._has_looked:
            return ledger.end_min + 1.0
        # The offset is rounded down: the record may come up to a minute later.
        return ledger.end_min + FOLLOWS * ledger.usual_min + 1.0

    def missing_count(self, clock_s: float) -> int:
        """About how many records are missing."""
        usual_min, clock_min = self._ledger.usual_min, int(clock_s // 60)
        spans = (
            (clock_min if gap.last is None else gap.last) - gap.first + 1 for gap in self.missing(clock_s)
        )
        return sum(max(1, round(span_min / usual_min)) for span_min in spans)

    def _tries_of(self, gap: Range) -> Tries:
        if gap.last is None:
            return self._end_tries[1] if self._end_tries[0] == gap.first else _NOT_TRIED
        return self._gap_tries.get(gap.first, _NOT_TRIED)

    # What to ask for

    def next(self, now_s: float, clock_s: float) -> Ask | None:
        """What to ask for now, if anything; `clock_s` is the sensor's clock."""
        if self._pass is None:
            self._pass = self._begin(now_s, clock_s)
        if self._pass is None:
            return None
        self._pass.asked = self._refusals.widened(Ask(self._pass.phase, self._pass.wanted))
        return self._pass.asked

    def _begin(self, now_s: float, clock_s: float) -> _Pass | None:
        if now_s < self._patience.until_s:
            return None
        clock_min, missing = int(clock_s // 60), self.missing(clock_s)
        due = [gap for gap in missing if now_s >= self._tries_of(gap).due_s]
        if due:
            gap, usual_min = due[0], self._ledger.usual_min
            if due[-1].last is None and self._portions.of(gap, clock_min, usual_min) != gap:
                gap = due[-1]  # before a gap that is long, what may be live
            self._has_looked |= gap.last is None
            wanted = self._portions.of(gap, clock_min, usual_min)
            return _Pass(gap, wanted, clock_min, is_check=False, phase=Kind.REPORT)
        self._has_looked = True
        if not self._is_check_due(now_s, missing):
            return None
        newest_min = self._ledger.newest_min
        phase = Kind.COUNT if self._refusals.counts else Kind.REPORT
        since = Range(self._checked_min + 1, newest_min)
        return _Pass(since, since, clock_min, is_check=True, phase=phase)

    def _is_check_due(self, now_s: float, missing: list[Range]) -> bool:
        if self._check_due_s is None:
            self._check_due_s = now_s + self._check_s
        return self._is_to_check(missing) and now_s >= self._check_due_s

    def _is_to_check(self, missing: list[Range]) -> bool:
        """Records have come since the last check, and between them nothing is missing."""
        newest_min = self._ledger.newest_min
        has_news = newest_min is not None and newest_min > self._checked_min
        return has_news and all(gap.last is None for gap in missing)

    def due_s(self, now_s: float, clock_s: float) -> float:
        """When there may be something to ask for, if nothing happens before."""
        missing = self.missing(clock_s)
        dues = [self._tries_of(gap).due_s for gap in missing]
        if not missing or missing[-1].last is not None:
            dues.append(now_s + max(0.0, 60 * self._end_due_min() - clock_s))
        if self._check_due_s is not None and self._is_to_check(missing):
            dues.append(self._check_due_s)
        return max(min(dues, default=now_s + self._check_s), self._patience.until_s)

    # What comes of it

    def on_record(self, offset_min: int) -> None:
        """A record that was not here has come."""
        self._unread.pop(offset_min, None)
        # A record that was taken after the request comes by itself, so it is no gain of the report.
        if self._pass is not None and self._pass.wanted.covers(offset_min):
            self._pass.gained += offset_min <= self._pass.clock_min

    def on_unstored(self, offsets_min: Iterable[int]) -> None:
        """The store did not take these records: it is no fault of the sensor that they are still missing."""
        if self._pass is not None:
            self._pass.is_unstored |= any(map(self._pass.wanted.covers, offsets_min))

    def on_unread(self, offset_min: int | None) -> None:
        """A record came that could not be read; its offset, as far as it can be guessed."""
        if offset_min is not None and self._is_wanted(offset_min):
            self._unread.setdefault(offset_min, 0)
        if self._pass is not None:
            self._pass.unread.append(offset_min)

    def _is_wanted(self, offset_min: int) -> bool:
        return offset_min not in self._ledger and not self._ledger.is_given_up(offset_min)

    def on_end(self, end: End, now_s: float) -> list[GiveUp]:
        """The request has ended; returns what is to be given up now."""
        current = self._pass
        if current is None or current.asked is None:
            return []
        asked, current.asked = current.asked, None
        if end.outcome is None:
            self._hinder(Hindrance.CUT, current, now_s)
            return []
        is_over = self._on_report if asked.kind is Kind.REPORT else self._on_count
        return self._judge(current, now_s) if is_over(current, asked, end, now_s) else []

    def _hinder(self, hindrance: Hindrance, current: _Pass, now_s: float, code: int | None = None) -> None:
        """The pass has ended early."""
        self._pass = None
        if current.gained:
            self._patience.clear(hindrance)
        else:
            self._patience.fail(hindrance, now_s, code)

    def _on_report(self, current: _Pass, asked: Ask, end: End, now_s: float) -> bool:
        """Whether the pass can be judged."""
        if end.outcome in (Outcome.COMPLETE, Outcome.UNSURE):
            self._patience.clear(Hindrance.REFUSED, Hindrance.BUSY, Hindrance.SILENT, Hindrance.CUT)
            if current.wanted != current.missing:
                self._on_portion(current, now_s)
                return False
            current.report, current.reported_range = end.outcome, asked.range
            current.phase = Kind.COUNT
            return not self._refusals.counts or current.counted is not None
        if end.outcome is not Outcome.REFUSED:
            self._hinder(Hindrance.SILENT, current, now_s)
        elif end.code == Code.SERVER_BUSY:
            self._hinder(Hindrance.BUSY, current, now_s, end.code)
        elif current.gained or not self._refusals.note(asked):
            self._hinder(Hindrance.REFUSED, current, now_s, end.code)
        return False

    def _on_portion(self, current: _Pass, now_s: float) -> None:
        """Nothing follows from it, so what has come is counted once everything has."""
        self._pass = None
        if current.gained:
            self._check_due_s = now_s
        else:
            self._portions.brought_nothing(current.missing, current.wanted)

    def _on_count(self, current: _Pass, asked: Ask, end: End, _: float) -> bool:
        """Whether the pass can be judged."""
        if end.outcome is Outcome.COMPLETE:
            current.counted, current.counted_range = end.counted, asked.range
        elif end.outcome is not Outcome.REFUSED or end.code == Code.OP_CODE_UNSUPPORTED:
            self._refusals.forgo_counting()
        elif end.code != Code.SERVER_BUSY and self._refusals.note(asked):
            return False  # counted with the next operator
        if current.is_check and current.report is None and self._surplus(current) != 0:
            current.phase = Kind.REPORT
            return False
        return True

    # Judging

    def _surplus(self, current: _Pass) -> int | None:
        """By how many records the sensor counts more than are known; None if that cannot be told."""
        if current.counted is None or current.counted_range is None:
            return None
        known = self._ledger.count(current.counted_range, current.clock_min)
        return None if known is None else max(0, current.counted - known)

    def _judge(self, current: _Pass, now_s: float) -> list[GiveUp]:
        self._pass = None
        surplus = self._surplus(current)
        if current.is_check:
            self._judge_check(current, surplus, now_s)
        elif current.wanted.last is None:
            self._judge_end(current, surplus, now_s)
        if current.report is None:
            return []
        given_up = self._judge_unread(current)
        gaps = [] if current.is_check else self._ledger.gaps()
        gaps = [gap for gap in gaps if current.wanted.covers(gap.first)]
        given_up += [give_up for gap in gaps if (give_up := self._judge_gap(gap, current, surplus, now_s))]
        self._judge_seen(current, now_s)
        return given_up

    def _judge_unread(self, current: _Pass) -> list[GiveUp]:
        """Give up the records that were reported often enough and could never be read."""
        offsets = {offset for offset in current.unread if offset is not None and offset <= current.clock_min}
        self._unread.update(filter(self._is_wanted, offsets))
        enough = [offset for offset in sorted(offsets) if self._unread[offset] >= TRIES]
        return [GiveUp(offset, offset, Loss.UNDECODABLE, self._unread.pop(offset)) for offset in enough]

    def _judge_seen(self, current: _Pass, now_s: float) -> None:
        """Where no gap is, a record is asked for only because it was seen. If it is not seen again, there is none."""
        for offset in self._seen_between(self._ledger.gaps()):
            if current.wanted.covers(offset):
                tries = self._gap_tries.setdefault(offset, Tries())
                tries.fail(now_s, current.report, GAP_PAUSES_S)
                if tries.are_enough and offset not in current.unread:
                    del self._unread[offset]

    def _judge_check(self, current: _Pass, surplus: int | None, now_s: float) -> None:
        assert current.wanted.last is not None
        self._check_due_s = now_s + self._check_s
        if surplus:
            self._check_tries.fail(now_s, current.report, GAP_PAUSES_S)
            if not self._check_tries.are_enough:
                self._check_due_s = self._check_tries.due_s
                return
            self.miscounts += 1
        self._checked_min = current.wanted.last
        self._check_tries = Tries()

    def _judge_end(self, current: _Pass, surplus: int | None, now_s: float) -> None:
        end_min = self._ledger.end_min
        if current.clock_min >= end_min + self._ledger.usual_min:
            # By its clock it should have had a record.
            first, tries = self._end_tries
            tries = tries if first == end_min + 1 else Tries()
            tries.fail(now_s, current.report, END_PAUSES_S)
            self._end_tries = end_min + 1, tries
        self._check_due_s = now_s + (GAP_PAUSES_S[0] if surplus else self._check_s)
        if not surplus and current.wanted.first <= self._checked_min + 1:
            self._checked_min = max(self._checked_min, end_min)

    def _judge_gap(self, gap: Range, current: _Pass, surplus: int | None, now_s: float) -> GiveUp | None:
        tries = self._gap_tries.setdefault(gap.first, Tries())
        if current.is_unstored:
            tries.due_s = now_s + GAP_PAUSES_S[0]
            return None
        tries.fail(now_s, current.report, GAP_PAUSES_S)
        if not tries.are_enough or current.wanted != gap:
            return None
        if any(offset is not None and gap.covers(offset) for offset in current.unread):
            return None  # its offset is known, and its own tries are counted
        first_of = self._ledger.first_of(gap)
        if None in current.unread and current.reported_range == gap:
            reason, part = Loss.UNDECODABLE, first_of
        elif surplus and current.counted_range == gap:
            reason, part = Loss.NOT_REPORTED, first_of
        else:
            reason, part = Loss.NO_RECORDS, gap
        assert part.last is not None
        if part != gap:
            # The rest of the gap was asked for just as often.
            rest = Tries(sure=TRIES - 1, due_s=now_s + GAP_PAUSES_S[0] * PAUSE_FACTOR)
            self._gap_tries[part.last + 1] = rest
        return GiveUp(part.first, part.last, reason, tries.number)
