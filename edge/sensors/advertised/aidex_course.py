"""Is an advertisement of the session that is known, of the next one, or of something else? For AiDEX and LinX.

Contract: pure; times are nanoseconds since boot. Anybody in range can send an advertisement, and a recorded one looks
like any other. What tells them apart is the time: a session's minutes go with the clock and never back.

    the known session | the advertisement's minute | its start, reckoned back      | verdict
    ------------------|----------------------------|-------------------------------|----------------
    none              | -                          | -                             | BEGINS
    one               | the newest one, or later   | 10 min off at most, or cannot | FOLLOWS
                      |                            | be compared                   |
    one               | otherwise                  |                               | STRANGE

    STRANGE advertisements that                                                    | and then verdict
    -------------------------------------------------------------------------------|----------------
    fit each other, `CONFIRMED_BY` of them, each a later minute than the one before; | BEGINS
    the known session has told nothing for `SILENT_NS`                             |

So a second sensor with the same serial number, and old advertisements that are played again, change nothing as long as
the sensor itself is heard. A sensor that was started anew is followed after a few minutes. Over a reboot without a
trusted clock two starts cannot be compared; a later minute under the same serial number is then the same session.
"""

from enum import Enum, auto
from typing import Final

from edge.clock import NS_PER_S
from edge.sensors.cgm_identity import Known, Seen, Verdict, is_alike, judge, judge_alone, start_off_s

SILENT_NS: Final = 15 * 60 * NS_PER_S
CONFIRMED_BY: Final = 3


class Course(Enum):
    """What an advertisement is."""

    FOLLOWS = auto()
    BEGINS = auto()
    STRANGE = auto()


class CourseJudge:
    """Remembers the strange ones."""

    def __init__(self) -> None:
        self._rival: Seen | None = None
        self._confirmed = 0

    def judge(self, known: Known | None, seen: Seen, told_boot_ns: int | None, boot_ns: int) -> Course:
        """The verdict on one that shows this; `told_boot_ns`: when the known session told something last."""
        if known is None:
            return Course.BEGINS
        if self._is_of(known, seen):
            self._rival, self._confirmed = None, 0
            return Course.FOLLOWS
        self._note(seen)
        is_silent = told_boot_ns is None or boot_ns - told_boot_ns >= SILENT_NS
        if not is_silent or self._confirmed < CONFIRMED_BY:
            return Course.STRANGE
        self._rival, self._confirmed = None, 0
        return Course.BEGINS

    def _is_of(self, known: Known, seen: Seen) -> bool:
        newest_min = known.newest_min
        if newest_min is not None and seen.clock_min < newest_min:
            return False
        if (
            judge(known.beginning, newest_min, seen) is Verdict.SAME
            or start_off_s(known.beginning, seen) is None
        ):
            return True
        return judge_alone(known.beginning, seen) is Verdict.SAME

    def _note(self, seen: Seen) -> None:
        rival, self._rival = self._rival, seen
        if rival is None or not is_alike(rival, seen):
            self._confirmed = 1
        elif seen.clock_min > rival.clock_min:
            self._confirmed += 1
