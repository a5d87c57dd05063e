"""What can be shown of a CGM, as typed values. Only the phases hold words for people."""

from dataclasses import dataclass
from enum import Enum

from edge.sensors.cgm_asking import Hindrance
from edge.store.sessions import GivenUp


class Phase(Enum):
    """What is going on with a connected sensor."""

    SETTLING = "finding out which session it is in"
    FETCHING = "fetching what is missing"
    STREAMING = "streaming"


@dataclass(frozen=True, slots=True)
class CgmState:
    """What there is to show of a CGM.

    Attributes:
        phase: None while it is not connected.
        warm_up_left_s: how long its session may still be without values; None if it did not just begin.
        session_number, watermark_min, missing, given_up: of its session; `missing` is an estimate.
        records, unread, ahead: how many were kept, could not be read, and were of the future.
        asks: how often it was asked for stored records or their number.
        miscounts: how often it insisted on having more records than it reports.
        hindrance, hindrance_code: why it was last left alone, and the response code if it had refused.
    """

    phase: Phase | None
    warm_up_left_s: float | None
    session_number: int | None
    watermark_min: int | None
    missing: int | None
    given_up: tuple[GivenUp, ...]
    records: int
    unread: int
    ahead: int
    asks: int
    miscounts: int
    hindrance: Hindrance | None
    hindrance_code: int | None
