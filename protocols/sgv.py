"""Glucose as people's own servers tell it: the `sgv` entries of Nightscout, xDrip+ and Juggluco, in JSON.

Contract: `decode` raises DecodeError for a body that is no page of entries, and nothing else for any octets. An entry
that makes no sense is left out and counted with its reason; it never costs the others. Values are mg/dL always:
`units_hint` only says what the phone shows. No clock here: whether a stamp lies in the future is for whoever has one.

    sgv            | is
    ---------------|-------------------------------------------------------------------------
    whole, 0 to 12 | a code of the transmitter, not a value: no measurement
    13 to 39       | LO: below the sensor's scale
    40 to 600      | the value, but for 401
    401            | HI: above the sensor's scale
    anything else  | refused: mmol/L where mg/dL must be, or nothing a sensor says

A page with fractions up to 39 and nothing above is in mmol/L: then 14 is no LO, and the whole page is refused.

Sources: Nightscout's API v1 and v3 (github.com/nightscout/cgm-remote-monitor, lib/api and lib/api3); xDrip+,
webservices/WebServiceSgv and UtilityModels/BgGraphBuilder.unitized_string for the codes.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from protocols.errors import DecodeError

NAME: Final = "sgv"
BODY_BYTES_MAX: Final = 1 << 20
# What xDrip+ gives at most; nobody is asked for more.
ROWS_MAX: Final = 1000
TEXT_MAX: Final = 64
CODE_MAX: Final = 12
LO_MAX, HI, MOST = 39.0, 401.0, 600.0
# What is told as milliseconds lies between these: 2000 and 2100.
UTC_MS_MIN, UTC_MS_MAX = 946_684_800_000, 4_102_444_800_000
OFFSET_MIN_MAX: Final = 14 * 60
CLEAN, HEAVY = 1, 4
DIRECTIONS: Final = frozenset(
    {
        "TripleUp",
        "DoubleUp",
        "SingleUp",
        "FortyFiveUp",
        "Flat",
        "FortyFiveDown",
        "SingleDown",
        "DoubleDown",
        "TripleDown",
        "NONE",
        "NOT COMPUTABLE",
        "NOT_COMPUTABLE",
        "NotComputed",
        "RATE OUT OF RANGE",
        "OUT_OF_RANGE",
    }
)


class Sgv(NamedTuple):
    """One entry.

    Attributes:
        utc_ms: its stamp, by the clock of the phone.
        glucose_mg_dl: infinite beyond the sensor's scale; None if it is a code.
        code: the transmitter's code, 0 to 12.
        noise: from 1, clean, to 4, heavy.
        direction: one of `DIRECTIONS`.
        device: what uploaded it.
        utc_offset_min: of the wearer's local time.
    """

    utc_ms: int
    glucose_mg_dl: float | None
    code: int | None = None
    noise: int | None = None
    direction: str | None = None
    device: str | None = None
    utc_offset_min: int | None = None


class Page(NamedTuple):
    """A body.

    Attributes:
        entries: those that make sense, in order of time; of several with one stamp all.
        rows: how many there were.
        refused: why the others do not, with their numbers.
        oddities: what could be passed over in those that do.
    """

    entries: tuple[Sgv, ...]
    rows: int
    refused: Mapping[str, int]
    oddities: Mapping[str, int]


_OTHER_UNIT: Final = "not in mg/dL"


class _Refused(Exception):  # noqa: N818 - a state of the data, not a defect
    """An entry makes no sense."""


def decode(body: bytes) -> Page:
    """The entries of a body; an empty one is what xDrip+ says for none.

    Raises:
        DecodeError: the body is too long, no JSON, or no list of entries.
    """
    if len(body) > BODY_BYTES_MAX:
        raise DecodeError(NAME, body, f"longer than {BODY_BYTES_MAX} octets")
    rows = _rows(body)
    entries: list[Sgv] = []
    refused, oddities = Counter[str](), Counter[str]()
    is_in_mmol = _is_in_mmol(rows[:ROWS_MAX])
    for row in rows[:ROWS_MAX]:
        try:
            if is_in_mmol:
                raise _Refused(_OTHER_UNIT)
            entries.append(_entry(row, oddities))
        except _Refused as fault:
            refused[str(fault)] += 1
    if len(rows) > ROWS_MAX:
        refused["beyond the most rows of a page"] += len(rows) - ROWS_MAX
    entries.sort(key=lambda entry: entry.utc_ms)
    return Page(tuple(entries), len(rows), dict(refused), dict(+oddities))


def _rows(body: bytes) -> list[Any]:
    if not body.strip():
        return []
    try:
        document = json.loads(body, parse_int=_int, parse_constant=_no_number)
    except (ValueError, RecursionError) as fault:
        raise DecodeError(NAME, body, "no JSON") from fault
    if isinstance(document, dict):
        # The third version of Nightscout's API wraps its lists.
        document = document.get("result")
    if not isinstance(document, list):
        raise DecodeError(NAME, body, "no list of entries")
    return document


def _is_in_mmol(rows: Sequence[Any]) -> bool:
    told = [_number(row.get("sgv")) for row in rows if isinstance(row, dict)]
    values = [value for value in told if value is not None]
    return any(0.0 < value < LO_MAX and not value.is_integer() for value in values) and max(values) <= LO_MAX


def _int(digits: str) -> int | None:
    return int(digits) if len(digits) <= 20 else None


def _no_number(_: str) -> None:
    """NaN and Infinity are no JSON, though some write them."""


def _entry(row: Any, oddities: Counter[str]) -> Sgv:
    if not isinstance(row, dict):
        raise _Refused("no entry")
    if row.get("type", NAME) != NAME:
        raise _Refused("of another type")
    value, code = _value(row.get("sgv"))
    return Sgv(
        _utc_ms(row),
        value,
        code,
        _noise(row.get("noise"), oddities),
        _direction(row.get("direction"), oddities),
        _device(row.get("device"), oddities),
        _utc_offset_min(row.get("utcOffset"), oddities),
    )


def _number(value: Any) -> float | None:
    """A finite number, also one in quotes."""
    if isinstance(value, str) and len(value) <= TEXT_MAX:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _value(told: Any) -> tuple[float | None, int | None]:
    """The value and the code."""
    value = _number(told)
    if value is None:
        raise _Refused("no value")
    if 0.0 <= value <= CODE_MAX and value.is_integer():
        return None, int(value)
    if value < CODE_MAX + 1:
        raise _Refused(_OTHER_UNIT)
    if value <= LO_MAX:
        return -math.inf, None
    if value > MOST:
        raise _Refused("more than any sensor says")
    return (math.inf if value == HI else value), None


def _utc_ms(row: dict[Any, Any]) -> int:
    told = _number(row.get("date"))
    if told is None:
        told = _of_text(row.get("date")) or _of_text(row.get("dateString")) or _of_text(row.get("sysTime"))
    if told is None:
        raise _Refused("no time")
    if not UTC_MS_MIN <= told <= UTC_MS_MAX:
        raise _Refused("no time in milliseconds")
    return int(told)


def _of_text(text: Any) -> float | None:
    """Milliseconds of a time in words, if it says its zone."""
    if not isinstance(text, str) or len(text) > TEXT_MAX:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    try:
        return None if moment.tzinfo is None else 1000.0 * moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _noise(told: Any, oddities: Counter[str]) -> int | None:
    noise = _number(told)
    if noise is None or noise == 0.0:  # not computed
        oddities["noise"] += told is not None and noise is None
        return None
    if not noise.is_integer() or not CLEAN <= noise <= HEAVY:
        oddities["noise"] += 1
        return None
    return int(noise)


def _direction(told: Any, oddities: Counter[str]) -> str | None:
    if isinstance(told, str) and told in DIRECTIONS:
        return told
    oddities["direction"] += told is not None
    return None


def _device(told: Any, oddities: Counter[str]) -> str | None:
    # JSON can write half a character, which no text can hold.
    if isinstance(told, str) and len(told) <= TEXT_MAX and told.isprintable():
        return told
    oddities["device"] += told is not None
    return None


def _utc_offset_min(told: Any, oddities: Counter[str]) -> int | None:
    offset = _number(told)
    if offset is not None and abs(offset) <= OFFSET_MIN_MAX:
        return int(offset)
    oddities["utcOffset"] += told is not None
    return None
