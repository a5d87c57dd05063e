"""The store: everything the gateway must not forget, in one encrypted database.

Each room of it is a module of its own; this is the door. Reads may stand alone, writes happen inside
`with store.transaction()`, and what belongs together goes into one.
"""

from edge.alert_log import Alert, AlertLog
from edge.boot_log import BootLog, TimeAnchor
from edge.cgm_log import CgmLog, CgmRecord, CgmSession
from edge.heart_log import HeartChunk, HeartLog
from edge.summary_log import Cursors, Summary, SummaryLog

__all__ = ["Alert", "CgmRecord", "CgmSession", "HeartChunk", "Store", "Summary", "TimeAnchor"]


class Store(BootLog, HeartLog, CgmLog, SummaryLog, AlertLog, Cursors):
    """All rooms of the store over one connection."""
