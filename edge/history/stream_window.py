"""What the streams of a strap add to a window of five minutes.

Contract: from the stored figures alone. They are of about a minute each, so that what they say of a window is true to
within half a minute at its ends. A window of a sensor without streams is as it was.

    key               | unit | is
    ------------------|------|--------------------------------------------------------------------------------
    still_pct         | %    | of the time of which there is acceleration, without movement
    ecg_quality_pct   | %    | of the time of which there is an ECG, what can be trusted
    ecg_confirmed_pct | %    | of the intervals between beats in that, those that the ECG confirms
"""

from functools import reduce
from typing import Final

from edge.anchors import Timeline
from edge.clock import NS_PER_S
from edge.history.body import Body, Computed
from edge.history.bounds import Bounds
from edge.store.stream_figures import Figures
from edge.store.tables import Tables

# A row is of the minute before its end.
MIDDLE_NS: Final = 30 * NS_PER_S


def with_streams(
    tables: Tables, timeline: Timeline, sensor_no: int, bounds: Bounds, computed: Computed
) -> Computed:
    """The window with what the streams of the strap said of it."""
    found = [
        figures
        for boot_no, from_ns, to_ns in timeline.spans(
            bounds.start_utc_s * NS_PER_S, bounds.end_utc_s * NS_PER_S
        )
        for figures in tables.stream_figures.between(
            sensor_no, boot_no, from_ns + MIDDLE_NS, to_ns + MIDDLE_NS
        )
    ]
    if not found:
        return computed
    total = reduce(Figures.plus, found)
    body: Body = {
        "still_pct": _pct(total.still_s, total.motion_s),
        "ecg_quality_pct": _pct(total.clear_s, total.ecg_s),
        "ecg_confirmed_pct": _pct(total.confirmed, total.intervals),
    }
    return computed._replace(body=computed.body | body)


def _pct(part: float, whole: float) -> float | None:
    return 100.0 * part / whole if whole else None
