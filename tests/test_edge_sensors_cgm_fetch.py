"""What is asked for, when, and what is given up: courses of requests and answers, without a link or a loop."""

from collections.abc import Callable, Iterable

import pytest

from edge.sensors.cgm_asking import Ask, End, Hindrance, Kind, Patience, Pause, Refusals
from edge.sensors.cgm_fetch import Fetch, GiveUp
from edge.sensors.cgm_ledger import Ledger, Loss, Range
from protocols.racp import Code, Operator
from protocols.racp_procedure import Outcome

DONE, UNSURE, SILENT, CUT = End(Outcome.COMPLETE), End(Outcome.UNSURE), End(Outcome.TIMED_OUT), End(None)
DAY = range(0, 1000, 5)


def refused(code: int | None) -> End:
    return End(Outcome.REFUSED, code)


def counted(number: int) -> End:
    return End(Outcome.COMPLETE, counted=number)


class Course:
    """A fetch that is told what happens; `now_s` is also the sensor's clock, from `clock_min` on."""

    def __init__(self, held: Iterable[int] = (), watermark_min: int = -1, clock_min: int = 995) -> None:
        self.patience = Patience()
        self.ledger = Ledger(watermark_min, held)
        self.refusals = Refusals()
        self.fetch = Fetch(self.ledger, self.patience, 3600.0)
        self.fetch.on_link(self.refusals)
        self.now_s = 0.0
        self.clock_min = clock_min
        self.given_up: list[GiveUp] = []

    @property
    def clock_s(self) -> float:
        return 60.0 * self.clock_min + self.now_s

    def next(self) -> Ask | None:
        return self.fetch.next(self.now_s, self.clock_s)

    def asks(self, kind: Kind, first: int, last: int | None = None) -> None:
        assert self.next() == Ask(kind, Range(first, last))

    def ends(self, end: End, *records: int, unread: Iterable[int | None] = ()) -> None:
        for offset in records:
            if self.ledger.hold(offset):
                self.fetch.on_record(offset)
        for hint in unread:
            self.fetch.on_unread(hint)
        given_up = self.fetch.on_end(end, self.now_s)
        self.given_up += given_up
        notes = [(part.first, part.last, part.reason.value, part.tries, 1, 0) for part in given_up]
        self.ledger.note_given_up([*self.ledger.given_up, *(type(self).note(*note) for note in notes)])

    @staticmethod
    def note(*fields: object) -> object:
        from edge.store.sessions import GivenUp

        return GivenUp(*fields)  # type: ignore[arg-type]

    def rests(self) -> float:
        """Nothing is asked for until it is due; how long that takes."""
        assert self.next() is None
        due_s = self.fetch.due_s(self.now_s, self.clock_s)
        rest_s, self.now_s = due_s - self.now_s, due_s
        return rest_s


def test_the_usual_course() -> None:
    course = Course()
    course.asks(Kind.REPORT, 0)
    course.ends(DONE, *DAY)
    course.asks(Kind.COUNT, 0)
    course.ends(counted(200))
    assert course.rests() == 60 * (7.5 + 1)  # for a record that does not come by itself
    course.asks(Kind.REPORT, 996)


def test_live_records_cost_no_request_but_a_count_an_hour() -> None:
    course = Course(DAY, 995)
    asked = []
    for minute in range(1000, 1200):
        course.now_s = 60.0 * (minute - 995)
        if minute % 5 == 0:
            course.ledger.hold(minute)
            course.fetch.on_record(minute)
        while (ask := course.next()) is not None:
            asked.append((minute, ask))
            course.ends(counted(course.ledger.count(ask.range, minute)))
    assert asked == [
        (1060, Ask(Kind.COUNT, Range(996, 1060))),
        (1120, Ask(Kind.COUNT, Range(1061, 1120))),
        (1180, Ask(Kind.COUNT, Range(1121, 1180))),
    ]


@pytest.mark.parametrize("last", [None, 600])
def test_a_report_that_was_cut_goes_on_where_it_stopped(last: int | None) -> None:
    course = Course(() if last is None else [*range(605, 1000, 5)])
    course.asks(Kind.REPORT, 0, None if last is None else 604)
    course.ends(CUT, *range(0, 300, 5))
    course.fetch.on_link(Refusals())
    course.asks(Kind.REPORT, 296, None if last is None else 604)


def test_what_is_reported_newest_first_and_cut_is_asked_for_from_below() -> None:
    course = Course()
    course.asks(Kind.REPORT, 0)
    course.ends(CUT, *range(500, 1000, 5))
    course.asks(Kind.REPORT, 0, 499)


# Gaps


@pytest.mark.parametrize(
    ("unread", "number", "reason", "part"),
    [
        ((), 0, Loss.NO_RECORDS, (301, 399)),
        ((), None, Loss.NO_RECORDS, (301, 399)),
        ((), 20, Loss.NOT_REPORTED, (301, 305)),
        ((350,), 1, Loss.UNDECODABLE, (350, 350)),
        ((350,), None, Loss.UNDECODABLE, (350, 350)),
        ((None,), 1, Loss.UNDECODABLE, (301, 305)),
        ((None,), None, Loss.UNDECODABLE, (301, 305)),
        ((700,), 0, Loss.NO_RECORDS, (301, 399)),
    ],
)
def test_a_gap_is_asked_for_again_and_then_given_up_with_its_reason(
    unread: tuple[int | None, ...], number: int | None, reason: Loss, part: tuple[int, int]
) -> None:
    course = Course([*range(0, 305, 5), *range(400, 1000, 5)], 300)
    pauses_s = []
    for tries in range(3):
        assert course.given_up == []
        course.asks(Kind.REPORT, 301, 399)
        course.ends(DONE, unread=unread)
        if number is not None:
            course.asks(Kind.COUNT, 301, 399)
            course.ends(counted(number))
        elif tries == 0:
            course.asks(Kind.COUNT, 301, 399)
            course.ends(refused(Code.OP_CODE_UNSUPPORTED))
        if not course.given_up:
            pauses_s.append(course.rests())
    assert course.given_up == [GiveUp(*part, reason, 3)]
    assert pauses_s == [5.0, 20.0]


def test_an_answer_that_may_be_to_something_else_counts_half() -> None:
    course = Course([*range(0, 305, 5), *range(400, 1000, 5)], 300)
    course.refusals.forgo_counting()
    reports = 0
    while not course.given_up:
        ask = course.next()
        if ask is None:
            course.rests()
        else:
            reports += ask.range == Range(301, 399)
            course.ends(UNSURE)
    assert reports == 6


def test_a_gap_that_shrinks_is_a_new_one() -> None:
    course = Course([*range(0, 305, 5), *range(400, 1000, 5)], 300)
    course.refusals.forgo_counting()
    for first in range(301, 396, 5):
        course.asks(Kind.REPORT, first, 399)
        course.ends(DONE, first + 4)
        course.now_s += 5.0
    assert course.given_up == []
    assert course.ledger.gaps() == []


def test_what_remains_of_a_gap_is_asked_for_once_more_before_its_next_record_is_given_up() -> None:
    course = Course([*range(0, 305, 5), *range(400, 1000, 5)], 300)
    reports = 0
    while course.ledger.gaps():
        while (ask := course.next()) is None:
            course.rests()
        reports += ask.kind is Kind.REPORT
        missing = round((399 - course.ledger.gaps()[0].first + 1) / 5)
        course.ends(DONE if ask.kind is Kind.REPORT else counted(missing))
    assert {given.reason for given in course.given_up} == {Loss.NOT_REPORTED}
    assert [given.first for given in course.given_up] == list(range(301, 396, 5))
    assert reports == 3 + 18
    assert course.now_s >= 25 + 18 * 20


def test_a_gap_that_waits_keeps_nothing_else_waiting() -> None:
    course = Course([*range(0, 305, 5), *range(400, 1000, 5)], 300)
    course.refusals.forgo_counting()
    course.asks(Kind.REPORT, 301, 399)
    course.ends(DONE)
    course.ledger.hold(1010)
    course.asks(Kind.REPORT, 996, 1009)


def test_a_record_that_was_seen_and_not_read_is_asked_for_though_nothing_seems_missing() -> None:
    course = Course(DAY, 995)
    course.refusals.forgo_counting()
    course.fetch.on_unread(302)
    for _ in range(3):
        course.asks(Kind.REPORT, 302, 302)
        course.ends(DONE, unread=[302])
        course.now_s += 20.0
    assert course.given_up == [GiveUp(302, 302, Loss.UNDECODABLE, 3)]
    course.fetch.on_unread(302)
    course.fetch.on_link(course.refusals)
    course.now_s = 0.0
    assert course.next() is None
    course.fetch.on_unread(307)  # no such record: what was read there was not its offset
    for _ in range(3):
        course.asks(Kind.REPORT, 307, 307)
        course.ends(DONE)
        course.now_s += 20.0
    assert course.next() is None
    assert len(course.given_up) == 1


# The end


def test_the_end_is_asked_for_less_and_less_while_nothing_comes_and_never_given_up() -> None:
    course = Course(DAY, 995, clock_min=1001)
    course.refusals.forgo_counting()
    pauses_s = []
    for _ in range(6):
        course.asks(Kind.REPORT, 996)
        course.ends(DONE)
        pauses_s.append(course.rests())
    assert pauses_s[:2] == [150.0, 240.0]  # not before it is late
    assert pauses_s[2:] == [900.0] * 4
    assert course.given_up == []
    course.fetch.on_link(course.refusals)
    course.asks(Kind.REPORT, 996)


def test_on_a_new_link_what_may_have_come_is_asked_for_and_what_cannot_have_is_not() -> None:
    for clock_min, asks in ((995, False), (996, True)):
        course = Course(DAY, 995, clock_min=clock_min)
        assert (course.next() is not None) is asks


def test_after_the_last_offset_there_is_nothing() -> None:
    course = Course([*DAY, 0xFFFF], 995, clock_min=0xFFFF + 100)
    course.refusals.forgo_counting()
    for first in range(996, 0xFFFF - 1280, 1280):  # in portions, and at last the whole
        course.asks(Kind.REPORT, first, first + 1279)
        course.ends(DONE)
    course.asks(Kind.REPORT, 996, 0xFFFE)


# What is long


def test_of_a_long_end_the_newest_are_asked_for_first_and_the_rest_in_portions() -> None:
    course = Course(clock_min=4000)
    course.asks(Kind.REPORT, 3971)
    course.ends(DONE, *range(3975, 4001, 5))
    course.asks(Kind.REPORT, 0, 1279)
    course.ends(DONE, *range(0, 1280, 5))
    course.asks(Kind.REPORT, 1276, 2555)
    course.ends(DONE, *range(1280, 2556, 5))
    course.asks(Kind.REPORT, 2556, 3835)
    course.ends(DONE, *range(2560, 3836, 5))
    course.asks(Kind.REPORT, 3836, 3974)
    course.ends(DONE, *range(3840, 3975, 5))
    course.asks(Kind.COUNT, 3836, 3974)
    course.ends(counted(27))
    course.asks(Kind.COUNT, 0, 4000)  # no portion was counted
    course.ends(counted(801))
    assert course.rests() == 60 * (7.5 + 1)


def test_a_portion_without_records_proves_nothing_and_the_next_is_asked_for() -> None:
    course = Course(clock_min=4000)
    course.refusals.forgo_counting()
    course.asks(Kind.REPORT, 3971)
    course.ends(DONE)  # it measures no more
    course.asks(Kind.REPORT, 0)
    course.ends(DONE, *range(2600, 3000, 5))
    assert course.rests() == 5.0
    course.asks(Kind.REPORT, 0, 1279)
    course.ends(DONE)
    course.asks(Kind.REPORT, 1280, 2559)
    course.ends(DONE)
    course.asks(Kind.REPORT, 0, 2599)
    course.ends(DONE)
    assert course.rests() == 20.0
    course.asks(Kind.REPORT, 0, 2599)
    course.ends(DONE)
    assert course.given_up == [GiveUp(0, 2599, Loss.NO_RECORDS, 3)]


def test_what_may_be_live_is_asked_for_before_a_long_gap() -> None:
    course = Course([*DAY, *range(3000, 3900, 5)], 995, clock_min=3990)
    course.asks(Kind.REPORT, 3896)
    course.ends(DONE, *range(3900, 3991, 5))
    course.asks(Kind.COUNT, 3896)
    course.ends(counted(19))
    course.asks(Kind.REPORT, 996, 2275)
    course.ends(CUT, 1000)
    course.asks(Kind.REPORT, 1001, 2280)


def test_a_sensor_that_knows_no_ranges_reports_a_long_gap_at_once() -> None:
    course = Course(clock_min=4000)
    course.asks(Kind.REPORT, 3971)
    course.ends(DONE, *range(3975, 4001, 5))
    course.asks(Kind.REPORT, 0, 1279)
    course.ends(refused(Code.OPERATOR_UNSUPPORTED))
    course.asks(Kind.REPORT, 0)
    course.ends(DONE, *range(0, 3975, 5))
    course.asks(Kind.COUNT, 0, 4000)
    course.ends(counted(801))


# Counting


def test_more_records_than_were_reported_are_looked_for() -> None:
    course = Course()
    course.asks(Kind.REPORT, 0)
    course.ends(DONE, *range(0, 1000, 10))  # every other one: no step is odd
    course.ledger.note_given_up([course.note(o, o + 8, Loss.NO_RECORDS.value, 3, 1, 0) for o in (1, 11, 21)])
    course.ledger.watermark_min = 990
    course.asks(Kind.COUNT, 0)
    course.ends(counted(200))
    assert course.rests() == 5.0
    course.asks(Kind.COUNT, 0, 990)
    course.ends(counted(199))
    course.asks(Kind.REPORT, 0, 990)
    course.ends(DONE, *range(0, 995, 5))
    assert course.fetch.miscounts == 0
    assert course.rests() > 60.0


def test_a_sensor_that_insists_on_more_than_it_reports_is_believed_no_longer() -> None:
    course = Course(clock_min=996)
    course.asks(Kind.REPORT, 0)
    course.ends(DONE, *DAY)
    course.asks(Kind.COUNT, 0)
    course.ends(counted(207))
    pauses_s = []
    for _ in range(3):
        pauses_s.append(course.rests())
        course.asks(Kind.COUNT, 0, 995)
        course.ends(counted(207))
        course.asks(Kind.REPORT, 0, 995)
        course.ends(DONE)
    assert pauses_s == [5.0, 5.0, 20.0]
    assert course.fetch.miscounts == 1
    assert course.rests() > 60.0


def test_fewer_than_are_here_are_no_reason_to_ask() -> None:
    course = Course()
    course.asks(Kind.REPORT, 0)
    course.ends(DONE, *DAY)
    course.asks(Kind.COUNT, 0)
    course.ends(counted(40))  # the rest was overwritten
    assert course.rests() > 60.0


# Refusals and silence


@pytest.mark.parametrize(
    "code", [Code.OPERATOR_UNSUPPORTED, Code.OPERAND_UNSUPPORTED, Code.NOT_COMPLETED, 77, None]
)
def test_a_refused_request_is_widened(code: int | None) -> None:
    course = Course([*range(0, 305, 5), *range(400, 1000, 5)], 300)
    course.asks(Kind.REPORT, 301, 399)
    course.ends(refused(code))
    course.asks(Kind.REPORT, 301)
    course.ends(refused(code))
    course.asks(Kind.REPORT, 0)
    course.ends(DONE, *DAY)
    course.asks(Kind.COUNT, 301, 399)
    course.ends(refused(Code.OPERATOR_UNSUPPORTED))
    course.asks(Kind.COUNT, 301)
    course.ends(counted(139))
    assert course.patience.newest is None
    # It is remembered for the link, and for no other.
    course.ledger.hold(1010)
    course.asks(Kind.REPORT, 0)
    course.ends(CUT)
    course.now_s += 5.0
    course.fetch.on_link(Refusals())
    course.asks(Kind.REPORT, 996, 1009)


ENDS: list[tuple[Callable[[Course], None], Hindrance, list[float]]] = [
    (lambda course: course.ends(SILENT), Hindrance.SILENT, [60, 240, 960, 3600, 3600]),
    (lambda course: course.ends(CUT), Hindrance.CUT, [5, 20, 80, 300, 300]),
    (lambda course: course.ends(refused(Code.SERVER_BUSY)), Hindrance.BUSY, [5, 20, 80, 300, 300]),
    (lambda course: course.ends(refused(77)), Hindrance.REFUSED, [30, 120, 480, 1920, 3600]),
]


@pytest.mark.parametrize(("ends", "hindrance", "pauses_s"), ENDS)
def test_each_hindrance_has_pauses_of_its_own(
    ends: Callable[[Course], None], hindrance: Hindrance, pauses_s: list[float]
) -> None:
    course = Course()
    for pause_s in pauses_s:
        course.asks(Kind.REPORT, 0)
        ends(course)
        assert course.patience.newest is hindrance
        assert course.rests() == pytest.approx(pause_s)
    course.asks(Kind.REPORT, 0)
    course.ends(DONE)
    course.next()
    course.ends(counted(0))
    course.now_s += 1000.0
    course.next()
    ends(course)
    assert course.rests() == pytest.approx(pauses_s[0])


@pytest.mark.parametrize("end", [SILENT, CUT, refused(77), refused(Code.NOT_COMPLETED)])
def test_after_what_brought_something_there_is_no_pause(end: End) -> None:
    course = Course()
    course.asks(Kind.REPORT, 0)
    course.ends(end, 0, 5, 10)
    course.asks(Kind.REPORT, 11)


def test_what_was_taken_after_the_request_is_no_progress_of_it() -> None:
    course = Course()
    course.asks(Kind.REPORT, 0)
    course.ends(SILENT, 1000)
    assert course.patience.newest is Hindrance.SILENT
    assert course.rests() == 60.0


def test_a_count_that_is_not_answered_is_forgone_on_this_link() -> None:
    course = Course()
    course.asks(Kind.REPORT, 0)
    course.ends(DONE, *DAY)
    course.asks(Kind.COUNT, 0)
    course.ends(SILENT)
    assert course.rests() > 0
    course.asks(Kind.REPORT, 996)
    course.ends(DONE, 1000)
    assert course.next() is None
    course.fetch.on_link(Refusals())
    course.now_s += 3600.0
    course.asks(Kind.REPORT, 1001)
    course.ends(DONE, 1005)
    course.asks(Kind.COUNT, 1001)


def test_a_request_that_was_widened_is_no_narrower_than_was_wanted() -> None:
    refusals = Refusals()
    wanted = Ask(Kind.REPORT, Range(5, 9))
    asks = [wanted]
    while refusals.note(asks[-1]):
        asks.append(refusals.widened(wanted))
    assert [ask.operator for ask in asks] == [Operator.WITHIN_RANGE, Operator.GREATER_OR_EQUAL, Operator.ALL]
    assert refusals.widened(wanted) == wanted, "another time it may be answered"


def test_a_pause_grows_by_failures_and_not_within_itself() -> None:
    pause = Pause(5.0, 50.0)
    for now_s, until_s in ((0, 5), (1, 5), (5, 25), (24, 25), (25, 75), (100, 150)):
        pause.fail(now_s)
        assert pause.until_s == until_s
    pause.clear()
    pause.fail(200)
    assert pause.until_s == 205


def test_a_record_that_comes_and_is_not_stored_is_asked_for_until_it_is() -> None:
    course = Course(held=[offset for offset in DAY if offset != 300])
    for _ in range(10):
        course.asks(Kind.REPORT, 296, 304)
        course.ledger.hold(300)
        course.fetch.on_record(300)
        # The store does not take it.
        course.ledger.drop([300])
        course.fetch.on_unstored([300])
        course.ends(DONE)
        course.asks(Kind.COUNT, 296, 304)
        course.ends(counted(1))
        assert course.given_up == []
        course.rests()
    course.asks(Kind.REPORT, 296, 304)
    course.ends(DONE, 300)
    assert 300 in course.ledger


def test_what_is_not_stored_elsewhere_counts_for_no_other_gap() -> None:
    course = Course(held=[offset for offset in DAY if offset != 300])
    for _ in range(3):
        course.asks(Kind.REPORT, 296, 304)
        course.fetch.on_unstored([990])
        course.ends(DONE)
        course.asks(Kind.COUNT, 296, 304)
        course.ends(counted(0))
        if not course.given_up:
            course.rests()
    assert [given.reason for given in course.given_up] == [Loss.NO_RECORDS]
