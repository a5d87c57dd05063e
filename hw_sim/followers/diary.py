"""What a wearer's CGM measured and what reached a server: the truth, and entries with the quirks of those who send
them.

Contract: `truth` holds each measurement once. `entries` are what a server has: two uploaders may have sent one
measurement each by its own clock; codes stand where the sensor had no value; and each has the moment at which it
reached the server, before which nobody can read it.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """An entry of a server, by its stamp; `here_utc_s`: when it came."""

    utc_ms: int
    here_utc_s: float
    row: dict[str, Any]


class Uploader(NamedTuple):
    """Who sends measurements: by which clock; when one is here that was taken at a moment, None: never."""

    device: str
    off_s: float = 0.0
    here_utc_s: Callable[[float], float | None] = lambda utc_s: utc_s + 5.0


@dataclass
class Diary:
    """One wearer's measurements, and what is known of them.

    Attributes:
        truth: mg/dL by second; a measurement that gave no value is not in it.
        entries: in order of their stamps.
    """

    truth: dict[int, float] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)

    def measure(self, utc_s: float, sgv: float, uploaders: Iterable[Uploader], **more: Any) -> None:
        """The sensor says something; a code is no measurement."""
        is_sent = False
        for uploader in uploaders:
            if (here_utc_s := uploader.here_utc_s(utc_s)) is not None:
                self.enter(utc_s + uploader.off_s, sgv, here_utc_s, device=uploader.device, **more)
                is_sent = True
        if is_sent and sgv > 12 and more.get("noise", 1) < 4:
            self.truth[int(utc_s)] = sgv

    def enter(self, stamp_utc_s: float, sgv: Any, here_utc_s: float, **more: Any) -> None:
        """A server is given an entry."""
        row = {"date": round(stamp_utc_s * 1000), "sgv": sgv, "direction": "Flat", "noise": 1, "type": "sgv"}
        insort(self.entries, Entry(row["date"], here_utc_s, {**row, **more}), key=_utc_ms)

    def newest(
        self, now_utc_s: float, count: int, after_ms: int = 0, until_ms: int = 1 << 50
    ) -> list[dict[str, Any]]:
        """The newest entries of (after, until] that are here, newest first."""
        first = bisect_right(self.entries, after_ms, key=_utc_ms)
        end = bisect_right(self.entries, until_ms, key=_utc_ms)
        rows: list[dict[str, Any]] = []
        for place in range(end - 1, first - 1, -1):
            if len(rows) == count:
                break
            if self.entries[place].here_utc_s <= now_utc_s:
                rows.append(self.entries[place].row)
        return rows


def _utc_ms(entry: Entry) -> int:
    return entry.utc_ms
