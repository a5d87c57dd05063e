"""What is kept of a feed's entries, and which of them count. Pure.

Contract: the identity of an entry is its own stamp, whole seconds of it. Sessions are weeks of UTC, for a feed does not
say when a sensor began: a week's number of seconds is the sequence of a reading. When a sensor was put on and when it
ends is unknown; so are warm-up and wear time. The first row that fits gives the reason.

    the entry                                                            | reason
    ---------------------------------------------------------------------|-----------------------------------
    is code 1                                                            | session stopped
    is code 5                                                            | calibration required
    is another code                                                      | no measurement
    has heavy noise                                                      | low quality
    comes less than `TWICE_S` after or before one that counts            | sent twice
    comes within half an interval of one that counts, by another device  | sent twice; with another value: of another
                                                                         | sensor in the same feed

Two uploaders send each measurement of one sensor twice, some seconds apart. The one that was here first stands.
"""

import math
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from edge.sensors.validity import NotCounted
from edge.store.readings import Reading
from protocols.sgv import HEAVY, Sgv

WEEK_S: Final = 7 * 86_400
WEEK_H: Final = WEEK_S // 3600
# No sensor measures twice within this.
TWICE_S: Final = 30
INTERVAL_S_MIN, INTERVAL_S, INTERVAL_S_MAX = 60, 300, 900
# What one server rounds, another need not.
CLOSE_MG_DL: Final = 2.0
_CODES: Final = {1: NotCounted.STOPPED, 5: NotCounted.UNCALIBRATED}
_NOISE_AT, _DEVICE_AT = 4, 8


class Seen(NamedTuple):
    """What decides whether an entry was sent twice: when, what, and by which device."""

    utc_s: int
    value: float
    device: int


def week_of(utc_s: int) -> int:
    """When the week of a moment began: its session."""
    return utc_s // WEEK_S * WEEK_S


def reading_of(entry: Sgv, *, boot_no: int, boot_ns: int, fetched: bool) -> Reading:
    """An entry as it is kept, before it is known what was sent twice. `status` holds code, noise and device."""
    utc_s = entry.utc_ms // 1000
    in_week_s = utc_s - week_of(utc_s)
    device = 0 if entry.device is None else zlib.crc32(entry.device.encode()) & 0xFFFF
    status = (entry.code or 0) | (entry.noise or 0) << _NOISE_AT | device << _DEVICE_AT
    reason = _why_not_counted(entry)
    return Reading(
        sequence=in_week_s,
        at_s=in_week_s,
        value=entry.glucose_mg_dl,
        trend=None,
        quality_pct=None,
        status=status,
        not_counted=None if reason is None else reason.value,
        boot_no=boot_no,
        boot_ns=boot_ns,
        fetched=fetched,
    )


def _why_not_counted(entry: Sgv) -> NotCounted | None:
    if entry.code is not None:
        return _CODES.get(entry.code, NotCounted.NO_MEASUREMENT)
    return NotCounted.LOW_QUALITY if entry.noise == HEAVY else None


def seen(week_utc_s: int, readings: Iterable[Reading]) -> list[Seen]:
    """Of the readings of a week those that count."""
    return [
        Seen(week_utc_s + reading.at_s, reading.value, reading.status >> _DEVICE_AT)
        for reading in readings
        if reading.not_counted is None and reading.value is not None
    ]


def once(week_utc_s: int, new: Sequence[Reading], held: Iterable[Seen]) -> list[Reading]:
    """New readings of a week in order of time, of which those that were sent twice do not count.

    Args:
        week_utc_s: when the week began.
        new: the readings, in order of time.
        held: those around them that count.
    """
    counted = sorted(held)
    half_s = _interval_s([*counted, *seen(week_utc_s, new)]) / 2.0
    marked = []
    for reading in new:
        for one in seen(week_utc_s, [reading]):
            reason = _why_twice(one, counted, half_s)
            if reason is None:
                counted.insert(bisect_left(counted, one), one)
            else:
                reading = reading._replace(not_counted=reason.value)
        marked.append(reading)
    return marked


def _why_twice(one: Seen, counted: Sequence[Seen], half_s: float) -> NotCounted | None:
    place = bisect_left(counted, Seen(one.utc_s - math.floor(half_s), -math.inf, -1))
    for other in counted[place:]:
        apart_s = abs(other.utc_s - one.utc_s)
        if other.utc_s > one.utc_s + half_s:
            break
        if apart_s < TWICE_S and other.device == one.device:
            return NotCounted.SENT_TWICE
        if other.device != one.device:
            return NotCounted.SENT_TWICE if is_close(one.value, other.value) else NotCounted.OTHER_SENSOR
    return None


def is_close(one: float, other: float) -> bool:
    """Whether two values may be one measurement."""
    return one == other or abs(one - other) <= CLOSE_MG_DL


def _interval_s(some: Iterable[Seen]) -> float:
    """How often the sensor measures: the usual step of one device."""
    of_device: dict[int, list[int]] = {}
    for one in sorted(some):
        of_device.setdefault(one.device, []).append(one.utc_s)
    steps_s = [
        b - a
        for times_s in of_device.values()
        for a, b in pairwise(times_s)
        if TWICE_S <= b - a <= INTERVAL_S_MAX
    ]
    return min(INTERVAL_S_MAX, max(INTERVAL_S_MIN, median(steps_s))) if len(steps_s) >= 3 else INTERVAL_S
