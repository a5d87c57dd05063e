"""How much of a CGM's missing records is asked for at a time: what is long is asked for in portions.

Contract: pure. While a sensor reports, it may hold back what it measures, so behind a report of two weeks a value that
is live would be minutes late. Therefore of a long end the newest records are asked for first, which makes of the rest a
gap; and of a long gap one portion after the other. A portion is no proof that something does not exist: nothing is
judged by it. If one brings nothing, the next is asked for, and in the end the whole.
"""

from typing import Final

from edge.sensors.cgm_ledger import Range

# At one record in each connection event of 30 to 50 ms that takes 8 to 13 s.
RECORDS: Final = 256
# What is known of the last half hour is what is known now.
NEWEST_MIN: Final = 30


class Portions:
    """What was asked for in portions over this link."""

    def __init__(self) -> None:
        self.on_link()

    def on_link(self) -> None:
        """Nothing was asked for over this link."""
        self._begins: dict[int, int] = {}  # by a gap's first offset: where the portion begins that comes next
        self._ends: set[int] = set()  # those of which there was nothing new, by their first offset

    def of(self, missing: Range, clock_min: int, usual_min: float) -> Range:
        """What to ask for now of what is missing: itself, or a portion of it."""
        longest_min = round(RECORDS * usual_min)
        if missing.last is None:
            is_long = clock_min - missing.first >= longest_min and missing.first not in self._ends
            return Range(clock_min + 1 - NEWEST_MIN, None) if is_long else missing
        begin = self._begins.get(missing.first, missing.first)
        return missing if missing.last - begin < longest_min else Range(begin, begin + longest_min - 1)

    def brought_nothing(self, missing: Range, portion: Range) -> None:
        """A report of a portion is complete, and there was nothing in it."""
        if portion.last is None:
            self._ends.add(missing.first)
        else:
            self._begins[missing.first] = portion.last + 1
