"""The history computed anew, with today's code: every period of which the store has data.

Contract: no gateway runs meanwhile. All periods are marked dirty in one transaction, with a note of the code that is to
compute them, and then closed as a gateway closes them, some to a transaction. So it can be interrupted at any moment:
the marks say what is left, whether the next to run is this or a gateway. Run again with the same code while the note is
there, it goes on; without the note it begins anew, and what is the same makes no revision. Periods that are not over
are left to the gateway.

Windows of the heart come from stretches of hours that are decoded and judged once. Where a
window alone would look at too few beats around it to judge them as the stretch does, it is computed alone, so that both
ways say the same.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from edge.anchors import Span, Timeline
from edge.clock import NS_PER_S
from edge.config import Config
from edge.history.body import Computed
from edge.history.bounds import Bounds, around
from edge.history.closing import COMPUTE, Closer, Compute, Now
from edge.history.heart_packets import Judged
from edge.history.heart_window import AFTER_S, BEFORE_S, computed, judged_around
from edge.history.placing import Placing, is_placed
from edge.history.stream_window import with_streams
from edge.identity import Identity
from edge.kinds import KINDS
from edge.measurements import MEASUREMENTS
from edge.sensors.heart_reading import rr_unit
from edge.sensors.sources import Sources
from edge.store.blobs import GATEWAY
from edge.store.summaries import SummaryKey
from edge.store.tables import Tables

KIND: Final = "reprocess"
VERSION: Final = 1
STRETCH_NS: Final = 6 * 3600 * NS_PER_S
# As many beats as `BEFORE_S` and `AFTER_S` are to hold.
BEATS_BEFORE: Final = 450
BEATS_AFTER: Final = 63
# So many periods are closed in one transaction.
SLICE: Final = 144
_EVER_S: Final = 1 << 40


class Progress(NamedTuple):
    """How many periods have been closed of all, and how many of them got a new revision."""

    closed: int
    periods: int
    revisions: int


class Reprocessing:
    """One run over a store."""

    def __init__(
        self, config: Config, identity: Identity, tables: Tables, timeline: Timeline, now: Now
    ) -> None:
        self._tables = tables
        self._timeline = timeline
        self._now = now
        self._zone = ZoneInfo(config.gateway.timezone)
        self._over_utc_s = now.utc_s - round(config.limits.summary_grace_s)
        compute: Mapping[str, Compute] = {**COMPUTE, "heart_5min": _Stretches()}
        self._closer = Closer(config, identity, compute)
        self._placing = Placing(
            identity,
            self._zone,
            lambda tables, kind, sensor_no, starts: tables.dirty.mark(kind, sensor_no, starts),
            lambda: None,
            Sources(config.sensors),
        )

    def run(self, code: str) -> Iterator[Progress]:
        """Mark all periods, unless a run of the same code was interrupted, and close them; a step is a transaction."""
        with self._tables.database.transaction():
            if self._tables.blobs.get(KIND, GATEWAY) != (VERSION, code.encode()):
                self._mark()
                self._tables.blobs.put(KIND, GATEWAY, VERSION, code.encode())
        keys = [key for key in self._tables.dirty.all() if self._is_over(key)]
        progress = Progress(0, len(keys), 0)
        yield progress
        for first in range(0, len(keys), SLICE):
            part = keys[first : first + SLICE]
            with self._tables.database.transaction():
                revisions = sum(self._close(key) for key in part)
            progress = Progress(progress.closed + len(part), progress.periods, progress.revisions + revisions)
            yield progress
        with self._tables.database.transaction():
            self._tables.blobs.delete(KIND, GATEWAY)

    def _is_over(self, key: SummaryKey) -> bool:
        return around(key.kind, key.start_utc_s, self._zone).end_utc_s <= self._over_utc_s

    def _close(self, key: SummaryKey) -> bool:
        closed = self._closer.close(self._tables, key, self._timeline, self._now, only_if_complete=False)
        return closed.rev is not None

    def _mark(self) -> None:
        """Mark every period with data whose wall time is trusted, of sensors whose wearers are known."""
        for sensor in self._tables.sensors.all():
            if sensor.person is None:
                continue
            for boot_no in filter(self._timeline.is_trusted, self._tables.raw_chunks.boots(sensor.no)):
                self._placing.place_chunks(self._tables, self._timeline, sensor.no, boot_no)
            for session in filter(is_placed, self._tables.sessions.of_sensor(sensor.no)):
                assert session.start_utc_s is not None
                for measurement in KINDS[sensor.kind].measurements:
                    readings = self._tables.readings.between(session.no, measurement, -_EVER_S, _EVER_S)
                    moments = [session.start_utc_s + reading.at_s for reading in readings]
                    for kind in MEASUREMENTS[measurement].periods:
                        self._placing.mark(self._tables, kind, sensor.no, moments)


class _Stretch(NamedTuple):
    """Hours of one strap: a span, and its packets with those around it."""

    sensor_no: int
    span: Span
    judged: Judged


class _Stretches:
    """Computes windows of the heart; for windows in order of time each packet is decoded once."""

    def __init__(self) -> None:
        self._stretch: _Stretch | None = None

    def __call__(
        self, tables: Tables, timeline: Timeline, sensor_no: int, bounds: Bounds, _: ZoneInfo
    ) -> Computed:
        unit = rr_unit(tables, sensor_no)

        def judged(span: Span) -> Judged:
            stretch = self._stretch
            if stretch is None or stretch.sensor_no != sensor_no or not _covers(stretch.span, span):
                longer = span._replace(to_boot_ns=max(span.to_boot_ns, span.from_boot_ns + STRETCH_NS))
                stretch = self._stretch = _Stretch(
                    sensor_no, longer, judged_around(tables, sensor_no, unit, longer)
                )
            return (
                stretch.judged
                if _is_enough(stretch.judged, span)
                else judged_around(tables, sensor_no, unit, span)
            )

        return with_streams(tables, timeline, sensor_no, bounds, computed(timeline, bounds, judged))


def _covers(whole: Span, part: Span) -> bool:
    return (
        whole.boot_no == part.boot_no
        and whole.from_boot_ns <= part.from_boot_ns
        and part.to_boot_ns <= whole.to_boot_ns
    )


def _is_enough(judged: Judged, span: Span) -> bool:
    """Whether the beats that a window alone looks at around it are enough, or all that there are."""
    moments_ns = (
        span.from_boot_ns - BEFORE_S * NS_PER_S,
        span.from_boot_ns,
        span.to_boot_ns,
        span.to_boot_ns + AFTER_S * NS_PER_S,
    )
    first, begin, end, last = np.searchsorted(judged.t_ns, moments_ns).tolist()
    is_enough_before = first == 0 or begin - first >= BEATS_BEFORE
    return bool(is_enough_before and (last == judged.t_ns.size or last - end >= BEATS_AFTER))
