"""The pulse intervals of a Polar sensor, for the packets of its Heart Rate Service, which lack them.

Contract: pure. What the sensor itself doubts (movement, an error of more than `ERROR_MS_MAX`, no contact) and what no
heart does is left out, and the chain of intervals breaks there. At most `RUNS_MAX` runs wait, the oldest are dropped.
Whether the sensor has contact is believed once it has said so: of what the bit that announces it means, sources and
devices disagree.

Source: Polar Measurement Data Specification 1.0; public Polar BLE SDK.
"""

from collections import deque
from typing import Final, NamedTuple

from protocols.heart_rate import RR_TICKS_PER_S
from protocols.polar_samples import Samples

ERROR_MS_MAX: Final = 30
INTERVAL_MS_MIN, INTERVAL_MS_MAX = 270, 2500
RUNS_MAX: Final = 32
RUN_INTERVALS_MAX: Final = 64
_BLOCKER, _CONTACT, _CONTACT_SUPPORTED = 1, 2, 4


class Run(NamedTuple):
    """Intervals that follow each other; `follows`: and those before."""

    follows: bool
    ticks: list[int]


class Intervals:
    """The intervals of one stream.

    Attributes:
        contact: whether the sensor has skin contact; None while that is not known.
        doubtful: how many intervals were left out.
    """

    def __init__(self) -> None:
        self.contact: bool | None = None
        self.doubtful = 0
        self._runs: deque[Run] = deque(maxlen=RUNS_MAX)
        self._is_broken = True

    def take(self, samples: Samples) -> None:
        """The samples of a frame: rate, interval, error, flags."""
        for _, interval_ms, error_ms, flags in samples.tolist():
            self._note_contact(flags)
            is_sure = not flags & _BLOCKER and error_ms <= ERROR_MS_MAX and self.contact is not False
            if not is_sure or not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
                self.doubtful += 1
                self._is_broken = True
                continue
            if self._is_broken or not self._runs or len(self._runs[-1].ticks) >= RUN_INTERVALS_MAX:
                self._runs.append(Run(not self._is_broken, []))
                self._is_broken = False
            self._runs[-1].ticks.append(round(interval_ms * RR_TICKS_PER_S / 1000))

    def _note_contact(self, flags: int) -> None:
        if flags & _CONTACT_SUPPORTED and (flags & _CONTACT or self.contact is not None):
            self.contact = bool(flags & _CONTACT)

    def next_run(self) -> Run | None:
        """The next intervals that wait."""
        return self._runs.popleft() if self._runs else None
