"""Which records of a sensor are of somebody else, if its wearer has changed.

Contract: pure. What a sensor recorded before the change is not the new wearer's. Its records are known by the minutes
since its session began, so the change has to be placed on the sensor's clock. That clock may have been set since. The
session is compared with the newest one that the store knows of the sensor, whoever wore it (see `cgm_identity`).

    the sensor is in                       | of somebody else is what was recorded up to
    ---------------------------------------|--------------------------------------------------------------
    the known session, as is proved        | the change, by its clock now and as it was known before; and
                                           | the newest record that is known
    another one, as is proved; or none is  | the change, by its clock: nothing of a session begun later
    known                                  |
    another one than a session that this   | the change, by its clock; nothing, if that cannot be told
    wearer had already, as is proved       |
    one of which nothing is proved         | now
    any other, if the change cannot be     | now
    placed on its clock                    |

A moment is placed on the sensor's clock by the time since boot if it was in this boot, else by trusted wall times.
"""

from math import ceil
from typing import NamedTuple

from edge.anchors import NS_PER_MS, Placement
from edge.clock import NS_PER_S
from edge.sensors.cgm_identity import MINUTE_SLACK, Beginning, Known, Seen, Verdict
from edge.sensors.cgm_ledger import OFFSET_MAX
from edge.sensors.cgm_live import NS_PER_MIN
from edge.store.sensors import WornFrom


class Handover(NamedTuple):
    """When the wearer changed; `placement` is its wall time, as far as that is known."""

    at: WornFrom
    placement: Placement | None

    def by_clock_min(self, seen: Seen) -> int | None:
        """The largest offset of a record of before, by the sensor's clock as it is seen; None if it cannot be told."""
        if seen.boot_no == self.at.boot_no:
            return _offset_min(self.at.boot_ns - seen.start_boot_ns)
        return self._by_wall_min(seen.reckoned_utc_s, seen.trusted_error_ms)

    def by_beginning_min(self, known: Beginning) -> int | None:
        """The same by the sensor's clock as it was when the session was seen last."""
        if known.start_boot_no == self.at.boot_no and known.start_boot_ns is not None:
            return _offset_min(self.at.boot_ns - known.start_boot_ns)
        return self._by_wall_min(known.start_utc_s, known.start_error_ms)

    def _by_wall_min(self, start_utc_s: int | None, error_ms: int | None) -> int | None:
        placement = self.placement
        if placement is None or placement.error_ms is None or start_utc_s is None or error_ms is None:
            return None
        unsure_ns = NS_PER_MS * (placement.error_ms + error_ms)
        return _offset_min(placement.utc_ns - start_utc_s * NS_PER_S + unsure_ns)


def _offset_min(age_ns: int) -> int:
    # The clock shows whole minutes, so the session may be older by one; and the offset of a record may be rounded up.
    return ceil(age_ns / NS_PER_MIN) + MINUTE_SLACK


def foreign_until_min(
    handover: Handover,
    seen: Seen,
    verdict: Verdict,
    *,
    is_proved: bool,
    known: Known | None,
    is_known_own: bool,
) -> int:
    """The largest offset of a record that is of somebody else; below 0 if none is.

    `known`: the session that the verdict is about; `is_known_own`: whether the new wearer had it already.
    """
    now_min = min(seen.clock_min + MINUTE_SLACK, OFFSET_MAX)
    by_clock_min = handover.by_clock_min(seen)
    if not is_proved:
        return now_min
    if verdict is Verdict.NEW and is_known_own and by_clock_min is None:
        return -1
    until_min = [now_min if by_clock_min is None else by_clock_min]
    if verdict is Verdict.SAME and known is not None:
        before_min = handover.by_beginning_min(known.beginning)
        until_min += [offset for offset in (before_min, known.newest_min) if offset is not None]
    return min(max(until_min), OFFSET_MAX)
