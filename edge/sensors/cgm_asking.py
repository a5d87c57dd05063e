"""How a CGM sensor is asked for its records: with which operator, and when it is left alone.

Contract: pure. If a request is refused, the next one asks for more: first a range, then everything from an offset on,
then everything. The answer may then hold more than was wanted, never less. Each reason for leaving the sensor alone
(`Hindrance`) has a pause of its own, four times as long each time.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from edge.sensors.cgm_ledger import Range
from protocols.racp import Operator
from protocols.racp_procedure import CountRecords, Outcome, Procedure, ReportRecords

PAUSE_FACTOR: Final = 4.0
# What is missing is given up after this many complete reports, or twice as many unsure ones.
TRIES: Final = 3


class Hindrance(Enum):
    """Why the sensor is not asked for anything for a while; the first pause and the longest, in seconds."""

    REFUSED = "refused to report", 30.0, 3600.0
    BUSY = "busy", 5.0, 300.0
    SILENT = "did not answer in time", 60.0, 3600.0
    CUT = "the link was lost before anything came", 5.0, 300.0
    NOT_STORED = "what came could not be stored", 30.0, 900.0


class Pause:
    """A pause after something was in vain, each time four times as long."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self.until_s = 0.0
        self._first_s = first_s
        self._longest_s = longest_s
        self._failures = 0

    def fail(self, now_s: float) -> None:
        """It was in vain. A second failure within the pause changes nothing."""
        if now_s >= self.until_s:
            self.until_s = now_s + min(self._longest_s, self._first_s * PAUSE_FACTOR**self._failures)
            self._failures += 1

    def clear(self) -> None:
        self._failures, self.until_s = 0, 0.0


@dataclass
class Tries:
    """How often something was asked for in vain, and when it may be asked for again."""

    sure: int = 0
    unsure: int = 0
    due_s: float = 0.0

    @property
    def number(self) -> int:
        return self.sure + self.unsure

    @property
    def are_enough(self) -> bool:
        """An unsure answer may have been to another request, so it counts half."""
        return 2 * self.sure + self.unsure >= 2 * TRIES

    def fail(self, now_s: float, report: Outcome | None, pauses_s: tuple[float, float]) -> None:
        is_unsure = report is Outcome.UNSURE
        self.sure, self.unsure = self.sure + (not is_unsure), self.unsure + is_unsure
        first_s, longest_s = pauses_s
        self.due_s = now_s + min(longest_s, first_s * PAUSE_FACTOR ** (self.number - 1))


class Patience:
    """A sensor's pauses by their reasons; they outlast links and sessions.

    Attributes:
        newest, newest_code: the newest reason, and the response code if it was a refusal.
    """

    def __init__(self) -> None:
        self._pauses = {hindrance: Pause(*hindrance.value[1:]) for hindrance in Hindrance}
        self.newest: Hindrance | None = None
        self.newest_code: int | None = None

    @property
    def until_s(self) -> float:
        return max(pause.until_s for pause in self._pauses.values())

    def fail(self, hindrance: Hindrance, now_s: float, code: int | None = None) -> None:
        self.newest, self.newest_code = hindrance, code
        self._pauses[hindrance].fail(now_s)

    def clear(self, *hindrances: Hindrance) -> None:
        """These hinder nothing any more."""
        for hindrance in hindrances:
            self._pauses[hindrance].clear()


class Kind(Enum):
    """What is asked for."""

    REPORT = auto()
    COUNT = auto()


PROCEDURES: Final[dict[Kind, type[Procedure]]] = {Kind.REPORT: ReportRecords, Kind.COUNT: CountRecords}


class Ask(NamedTuple):
    """A request to make."""

    kind: Kind
    range: Range

    @property
    def operator(self) -> Operator:
        if self.range.last is not None:
            return Operator.WITHIN_RANGE
        return Operator.GREATER_OR_EQUAL if self.range.first else Operator.ALL


class End(NamedTuple):
    """How a request ended; `outcome` is None if the link ended first. `counted` is the answer to a count."""

    outcome: Outcome | None
    code: int | None = None
    counted: int | None = None


class Refusals:
    """What a sensor has refused over this link, so that it is not asked in that way again."""

    def __init__(self) -> None:
        self._refused: set[tuple[Kind, Operator]] = set()

    def widened(self, ask: Ask) -> Ask:
        """The narrowest request that the sensor may answer, and that asks for all of it."""
        while (ask.kind, ask.operator) in self._refused and ask.operator is not Operator.ALL:
            within = ask.operator is Operator.WITHIN_RANGE
            ask = ask._replace(range=Range(ask.range.first if within else 0, None))
        return ask

    def note(self, ask: Ask) -> bool:
        """Note a refusal; returns whether a wider request can be tried. Refused reports are tried again later."""
        self._refused.add((ask.kind, ask.operator))
        if ask.operator is not Operator.ALL:
            return True
        if ask.kind is Kind.REPORT:
            self._refused = {(kind, operator) for kind, operator in self._refused if kind is not Kind.REPORT}
        return False

    def forgo_counting(self) -> None:
        self._refused.update((Kind.COUNT, operator) for operator in Operator)

    @property
    def counts(self) -> bool:
        return (Kind.COUNT, Operator.ALL) not in self._refused
