"""What becomes of the records that a CGM sends: live values are known at once; new records of its session are kept.

Contract: nothing here waits. A record that does not fit is neither kept nor lost: it is set aside until the sensor has
been looked at (its clock and its session), and is then judged once more. `look_due_s` says when to look. Which session
the sensor is in, and whether that is known, is told from outside.

    the session   | a record                                          | is
    --------------|---------------------------------------------------|----------------------------------
    not known yet | any                                               | set aside
    known         | STRAY; AHEAD for the first time; here with        | set aside, and the sensor is to be
                  | another value; older than the newest, while no    | looked at
                  | report is expected; settled already, in a report  |
                  | during which the clock has not been read yet      |
    known         | of another person                                 | dropped
    known         | LIVE or STORED, and not here yet                  | kept
    known         | the rest                                          | dropped; AHEAD is counted

Whatever the session: a LIVE value is a fact as soon as the sensor's clock is known, unless it is or may be of another
person, who wore the sensor before. While records are compared (`cgm_identity.Comparison`), each record is handed to the
comparison, too.
"""

from collections.abc import Callable, Sequence
from typing import Final

from edge.clock import NS_PER_S, Clock
from edge.now.facts import Facts
from edge.sensors.cgm_asking import Pause
from edge.sensors.cgm_identity import Comparison
from edge.sensors.cgm_live import AHEAD_NS_MAX, NS_PER_MIN, Live, Sort
from edge.sensors.cgm_store import GLUCOSE
from edge.sensors.cgm_wearing import Wearing
from edge.sensors.validity import NotCounted
from edge.store.readings import Reading

# The first and the longest pause between two looks at a sensor whose records still do not fit.
LOOK_PAUSES_S: Final = 60.0, 300.0
ASIDE_MAX: Final = 64


class Receiver:
    """Takes the records of one sensor.

    Attributes:
        live: the sensor's clock.
        comparison: the one that is under way, if any.
        look_due_s: when the sensor is to be looked at again.
        is_odd: whether it is to be looked at because a record does not fit.
        records, unread, ahead: how many were kept, could not be read, and were of the future.
    """

    def __init__(
        self,
        sensor_id: str,
        facts: Facts,
        clock: Clock,
        on_news: Callable[[], None],
        *,
        worn_from_boot_ns: int | None = None,
    ) -> None:
        """`on_news`: called when something was kept, or has to be looked at.

        `worn_from_boot_ns`: if somebody else wore the sensor before, when that ended at the latest.
        """
        self.live = Live()
        self.comparison: Comparison | None = None
        self.look_due_s = 0.0
        self.is_odd = False
        self.records = self.unread = self.ahead = 0
        self._sensor_id = sensor_id
        self._facts = facts
        self._clock = clock
        self._on_news = on_news
        self._worn_from_boot_ns = worn_from_boot_ns
        self._wearing: Wearing | None = None
        self._session_boot_ns = 0  # when it began, by the clock as it was when the session was known
        self._aside: list[Reading] = []
        self._newest_told: tuple[int, int] | None = None  # its offset, and when it was taken
        # One for each sort of record, during a report and otherwise.
        self._pauses = {(sort, amid): Pause(*LOOK_PAUSES_S) for sort in Sort for amid in (False, True)}

    def on_link(self) -> None:
        """A link has begun or ended: nothing is known of the sensor."""
        self.live.forget()
        self.comparison = None
        self.look_due_s = 0.0
        self.is_odd = False
        self._wearing = None
        self._aside = []

    def on_clock(self, clock_min: int, boot_ns: int, look_again_s: float) -> bool:
        """The sensor was looked at; look again after `look_again_s`. Returns whether its clock was set since."""
        is_set = self.live.on_clock(clock_min, boot_ns) > NS_PER_MIN
        if is_set:
            self._clear_pauses()
        self.look_due_s = self._clock.boot_ns() / NS_PER_S + look_again_s
        self.is_odd = False
        for reading in self._aside:
            if self.live.sort(reading.sequence, reading.boot_ns) is Sort.LIVE:
                self._tell(reading)
        return is_set

    def on_doubt(self) -> None:
        """It is not known which session the sensor is in."""
        self._wearing = None

    def on_session(self, wearing: Wearing, *, is_new: bool) -> None:
        """The sensor is in this session; the records that were set aside are judged again."""
        assert self.live.start_boot_ns is not None
        self._wearing, self._session_boot_ns = wearing, self.live.start_boot_ns
        if is_new:
            self._clear_pauses()
            self._newest_told = None
        aside, self._aside = self._aside, []
        self._take(aside, wearing, is_second_look=True)

    # Records

    def take(self, readings: Sequence[Reading]) -> None:
        """Records have come."""
        if self.live.start_boot_ns is None:
            for reading in readings:
                self._set_aside(reading)
        else:
            self._take(readings, self._wearing)

    def take_unread(self, offset_min: int | None, boot_ns: int) -> None:
        """A record has come that could not be read; its offset, as far as it can be guessed."""
        self.unread += 1
        if self._wearing is None:
            return
        sort = Sort.AHEAD if offset_min is None else self.live.sort(offset_min, boot_ns)
        if sort is Sort.STRAY:
            self._look_again(sort)
        else:
            self._wearing.fetch.on_unread(offset_min if sort is not Sort.AHEAD else None)

    def _take(
        self, readings: Sequence[Reading], wearing: Wearing | None, *, is_second_look: bool = False
    ) -> None:
        kept, live = [], []
        for reading in readings:
            sort = self.live.sort(reading.sequence, reading.boot_ns, was_expected=reading.fetched)
            if sort is Sort.LIVE:
                live.append(reading)
            if self.comparison is not None:
                self.comparison.on_record(reading.sequence, reading.value)
            if wearing is None:
                self._set_aside(reading)
            elif not is_second_look and self._is_odd(reading, sort, wearing):
                self._set_aside(reading)
                self._look_again(sort)
            elif self._is_new(reading, sort, wearing):
                kept.append(reading._replace(fetched=sort is Sort.STORED))
        if kept and wearing is not None:
            self.records += len(kept)
            wearing.keep(kept)
            self._on_news()
        # Whoever is told of a value may ask what follows from it.
        for reading in live:
            self._tell(reading)

    def _tell(self, reading: Reading) -> None:
        taken_boot_ns = self._taken_boot_ns(reading)
        if self._is_foreign(reading.sequence, taken_boot_ns):
            return
        if reading.not_counted in (None, NotCounted.WARMING_UP):
            self._facts.note_heard(self._sensor_id, taken_boot_ns)
        if reading.value is not None:
            self._facts.note(self._sensor_id, GLUCOSE, reading.value, taken_boot_ns, reading.not_counted)

    def _taken_boot_ns(self, reading: Reading) -> int:
        """When it was taken: after what has a smaller offset, although the sensor's clock was set forward since."""
        taken_boot_ns = self.live.taken_boot_ns(reading.sequence, reading.boot_ns)
        offset_min, newest_boot_ns = self._newest_told or (reading.sequence, taken_boot_ns)
        if reading.sequence < offset_min:
            return taken_boot_ns
        taken_boot_ns = max(taken_boot_ns, newest_boot_ns)
        self._newest_told = reading.sequence, taken_boot_ns
        return taken_boot_ns

    def _is_foreign(self, offset_min: int, taken_boot_ns: int) -> bool:
        """Whether a record is of another person; before the session is known, whether it may be."""
        if self._wearing is not None:
            return offset_min <= self._wearing.ledger.foreign_until_min
        worn_from_boot_ns = self._worn_from_boot_ns
        return worn_from_boot_ns is not None and taken_boot_ns < worn_from_boot_ns + AHEAD_NS_MAX

    def _is_odd(self, reading: Reading, sort: Sort, wearing: Wearing) -> bool:
        """Whether a record does not fit: another session may have begun, or the clock was set."""
        if sort is Sort.STRAY:
            return True
        if sort is Sort.AHEAD:
            return wearing.ledger.refuse(reading.sequence)
        if reading.sequence in wearing.ledger:
            return wearing.is_other(reading.sequence, reading.value)
        # Readings come in order, unless they are reported from storage.
        is_back = wearing.newest_min is not None and reading.sequence < wearing.newest_min
        if not self.live.is_expecting(reading.boot_ns):
            return is_back
        return wearing.ledger.is_settled(reading.sequence) and not self._is_clock_the_same()

    def _is_clock_the_same(self) -> bool:
        """Whether the clock was read during this report, and shows that no other session has begun."""
        start_boot_ns = self.live.start_boot_ns
        assert start_boot_ns is not None
        return self.live.is_fresh and abs(start_boot_ns - self._session_boot_ns) <= NS_PER_MIN

    def _is_new(self, reading: Reading, sort: Sort, wearing: Wearing) -> bool:
        """Whether a record is of the session, and not here yet."""
        self.ahead += sort is Sort.AHEAD
        if sort in (Sort.AHEAD, Sort.STRAY) or reading.sequence <= wearing.ledger.foreign_until_min:
            return False
        if not wearing.ledger.hold(reading.sequence):
            return False
        wearing.fetch.on_record(reading.sequence)
        if reading.value is not None:
            wearing.on_value(reading.sequence)
        return True

    # What does not fit

    def _look_again(self, sort: Sort) -> None:
        """Ask for a look at the sensor; if there has just been one, the next comes after a pause."""
        boot_ns = self._clock.boot_ns()
        now_s, pause = boot_ns / NS_PER_S, self._pauses[sort, self.live.is_expecting(boot_ns)]
        self.look_due_s = min(self.look_due_s, max(now_s, pause.until_s))
        pause.fail(now_s)
        self.is_odd = True
        self._on_news()

    def _set_aside(self, reading: Reading) -> None:
        # The report that brought it may be over when it is judged again.
        reading = reading._replace(fetched=self.live.is_expected(reading.sequence, reading.boot_ns))
        self._aside = [*self._aside[1 - ASIDE_MAX :], reading]

    def _clear_pauses(self) -> None:
        for pause in self._pauses.values():
            pause.clear()
