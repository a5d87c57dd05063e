"""What a feed is asked for, and when: newest entries, then whatever is missing, in order and in bounded pages. Pure.

Contract: no I/O, no clock: `now_s` is time since boot, stamps are milliseconds of the feed. `next` says what to ask
now; whoever asks reports by `on_page`, `on_unchanged` or `on_failed`. A page is kept only if nothing is missing before
it (`on_page` says so), so what is stored is whole up to `cursor_ms`, and a start after a kill goes on from there. Live
values need not wait for that. A phone is asked when its next value should be there, and never more often than every
`PAUSE_S_MIN`.

    state    | event                                             | next
    ---------|---------------------------------------------------|------------------------------------------------
    SEEKING  | entries                                           | RESTING: this is the server
    SEEKING  | it is reached, but this is not how it is asked    | SEEKING with the next; after the last a pause
    SEEKING  | it is not reached                                 | SEEKING, after a pause
    RESTING  | the next value should be there                    | the newest are asked for
    RESTING  | the newest, and no gap before them                | RESTING: kept; the cursor moves to the newest
    RESTING  | the newest, and a gap before them, or `RECHECK_S` | HISTORY
    RESTING  | the newest, all of them dated into the future     | RESTING: for `RECHECK_S` what is of the present
             |                                                   | is asked for instead, at once
    RESTING  | unchanged, or nothing new                         | RESTING; asked again after a growing pause
    HISTORY  | a window that is not full                         | HISTORY: kept; the next is wider if it was empty
    HISTORY  | a full window                                     | HISTORY: asked again in halves
    HISTORY  | the window reaches what was the newest            | RESTING
    any      | a failure                                         | the same, after a growing pause
    any      | `LOST_TRIES` answers that make no sense           | SEEKING, unless the server was configured

What is of the present is up to `STRAY_MS` ahead, so that a clock that is ahead shows. A phone has no windows: it is
asked for as many entries as the gap may hold, up to a thousand, and for `PAGE_ROWS` where the newest are dated into the
future. What is older than these cannot be had from it, which is counted as `lost_s`.
"""

import math
import random
from collections.abc import Sequence
from enum import Enum, auto
from itertools import pairwise
from statistics import median
from typing import Final

from edge.feeds.servers import PHONES, Ask, Server
from edge.radio.trouble import Trouble

NEWEST_ROWS: Final = 12
PAGE_ROWS: Final = 500
PHONE_ROWS_MAX: Final = 1000
INTERVAL_S: Final = 300.0
INTERVAL_S_MIN, INTERVAL_S_MAX = 60.0, 900.0
# Two uploaders of one sensor are closer than any two values of it.
STEP_S_MIN: Final = 30.0
# A value takes some seconds from the sensor to the phone, and from there to Nightscout.
AFTER_S: Final = 15.0
PAUSE_S_MIN: Final = 15.0
FAILED_S: Final = (15.0, 300.0)
REFUSED_S: Final = (60.0, 900.0)
RETRY_AFTER_S_MAX: Final = 3600.0
# Between two pages of history, and two ways to ask.
PAGE_PAUSE_S: Final = 1.0
RECHECK_S: Final = 3600.0
RECHECK_MS: Final = 86_400_000
HISTORY_MS: Final = 90 * 86_400_000
# What is dated further into the future, and follows on nothing of the present, says nothing of the clock.
STRAY_MS: Final = 3_600_000
PRESENT_MS: Final = 7_200_000
WINDOW_MS_MIN, WINDOW_MS, WINDOW_MS_MAX = 1_800_000, 86_400_000, 16 * 86_400_000
LOST_TRIES: Final = 5
# In telling order: who refuses is more likely the one that is meant than who does not understand.
_TELLING: Final = (Trouble.FEED_REFUSED, Trouble.FEED_NONSENSE)


class State(Enum):
    """What goes on."""

    SEEKING = auto()
    RESTING = auto()
    HISTORY = auto()


class Polling:
    """One feed.

    Attributes:
        state: what goes on.
        interval_s: of the sensor, as far as its entries show.
        trouble: why nothing comes; None while something does.
        lost_s: for how long a phone was away longer than it remembers.
    """

    def __init__(self, servers: Sequence[Server], cursor_ms: int | None, rng: random.Random) -> None:
        """What is known.

        Args:
            servers: what may be at the address, likeliest first; one: it is known.
            cursor_ms: up to where it was read; None: never. Then `HISTORY_MS` are wanted.
            rng: so that not everybody asks at once.
        """
        self.state = State.SEEKING
        self._cursor_ms = cursor_ms
        self.interval_s = INTERVAL_S
        self.trouble: Trouble | None = None
        self.lost_s = 0.0
        self._servers = tuple(servers)
        self._tried = 0
        self._rng = rng
        self._due_s = 0.0
        self._history_due_s = math.inf
        self._is_crowded = False  # the newest entries are all dated into the future
        self._crowded_until_s = 0.0
        self._present = (0, 0.0)  # a moment of the feed, and the same since boot
        self._recheck_s = 0.0  # the last hours are looked at again after each start, too
        self._goal_ms = cursor_ms or 0
        self._window_ms = WINDOW_MS
        self._phone_rows = 0
        self._failures = self._nonsense = self._late = 0
        self._failed_until_s = 0.0

    @property
    def server(self) -> Server:
        return self._servers[self._tried]

    @property
    def cursor_ms(self) -> int:
        """What is not newer than this is stored, or cannot be had."""
        return self._goal_ms - HISTORY_MS if self._cursor_ms is None else self._cursor_ms

    @property
    def is_seeking(self) -> bool:
        """Whether no server has answered as it should so far."""
        return self.state is State.SEEKING

    # What to ask

    def due_s(self) -> float:
        """When `next` has something to ask."""
        return max(self._failed_until_s, min(self._due_s, self._history_due_s))

    def next(self, now_s: float) -> Ask | None:
        """What to ask now; None: nothing before `due_s`."""
        if now_s < self.due_s():
            return None
        if now_s >= self._due_s:
            return self._newest(now_s)
        if self.server in PHONES:
            return Ask(self.server, self._phone_rows, is_history=True)
        until_ms = min(self.cursor_ms + self._window_ms, self._goal_ms)
        return Ask(self.server, PAGE_ROWS, self.cursor_ms, until_ms, is_history=True)

    def _newest(self, now_s: float) -> Ask:
        if now_s >= self._crowded_until_s:
            return Ask(self.server, NEWEST_ROWS)
        if self.server in PHONES:
            return Ask(self.server, PAGE_ROWS)
        present_ms, at_s = self._present
        present_ms += round(1000.0 * (now_s - at_s))
        return Ask(self.server, PAGE_ROWS, present_ms - PRESENT_MS, present_ms + STRAY_MS)

    # What came of it

    def on_page(
        self, ask: Ask, stamps_ms: Sequence[int], rows: int, now_s: float, present_ms: int, ahead: int = 0
    ) -> bool:
        """Entries have come; whether they are to be kept.

        Args:
            ask: what was asked for.
            stamps_ms: of the entries that make sense and are not dated into the future, ascending.
            rows: how many rows there were, sensible or not.
            now_s: the time since boot.
            present_ms: the same moment as stamps tell it.
            ahead: how many entries are dated into the future.
        """
        self._on_answer()
        if ask.is_history:
            return self._on_history(ask, stamps_ms, rows, now_s)
        self.state = State.RESTING if self.state is State.SEEKING else self.state
        is_news = bool(stamps_ms) and stamps_ms[-1] > self._goal_ms
        self._learn_interval(stamps_ms)
        age_s = (present_ms - stamps_ms[-1]) / 1000.0 if stamps_ms else None
        self._plan(now_s, age_s, is_news=is_news)
        self._present = present_ms, now_s
        if ask == Ask(ask.server, NEWEST_ROWS):
            self._is_crowded = ahead > 0 and not stamps_ms and rows >= NEWEST_ROWS
            self._look_behind(now_s)
        if not stamps_ms:
            return False
        self._goal_ms = max(self._goal_ms, stamps_ms[-1])
        if self.state is State.HISTORY:
            return False
        is_whole = stamps_ms[0] <= self.cursor_ms
        if now_s >= self._recheck_s:
            self._recheck_s = now_s + RECHECK_S
            self._begin_history(min(self.cursor_ms, self._goal_ms - RECHECK_MS), now_s)
        elif is_whole:
            self._cursor_ms = self._goal_ms
        else:
            self._begin_history(self.cursor_ms, now_s)
        return is_whole

    def on_unchanged(self, now_s: float) -> None:
        """The server says that its newest entries are those that it has told already."""
        self._on_answer()
        self._plan(now_s, None, is_news=False)
        self._look_behind(now_s)

    def _look_behind(self, now_s: float) -> None:
        """If the newest entries are all dated into the future, ask for those behind them."""
        if self._is_crowded and now_s >= self._crowded_until_s:
            self._crowded_until_s = now_s + RECHECK_S
            self._due_s = now_s + PAGE_PAUSE_S

    def on_failed(self, trouble: Trouble, now_s: float, retry_after_s: float = 0.0) -> None:
        """No entries have come."""
        if self.state is State.SEEKING and trouble in _TELLING and len(self._servers) > 1:
            self._try_next(trouble, now_s)
            return
        self.trouble = trouble
        self._pause(trouble, now_s, retry_after_s)
        if trouble is Trouble.FEED_NONSENSE:
            self._nonsense += 1
            if self._nonsense >= LOST_TRIES:
                self.state, self._nonsense = State.SEEKING, 0

    def _try_next(self, trouble: Trouble, now_s: float) -> None:
        if (
            self._tried == 0
            or self.trouble not in _TELLING
            or _TELLING.index(trouble) < _TELLING.index(self.trouble)
        ):
            self.trouble = trouble
        self._tried += 1
        if self._tried < len(self._servers):
            self._failed_until_s = now_s + PAGE_PAUSE_S
            return
        self._tried = 0
        assert self.trouble is not None
        self._pause(self.trouble, now_s, 0.0)

    def _pause(self, trouble: Trouble, now_s: float, retry_after_s: float) -> None:
        least_s, most_s = REFUSED_S if trouble is Trouble.FEED_REFUSED else FAILED_S
        pause_s = min(most_s, least_s * 2.0 ** min(self._failures, 10))
        self._failures += 1
        pause_s = max(pause_s, min(retry_after_s, RETRY_AFTER_S_MAX))
        self._failed_until_s = now_s + pause_s * self._rng.uniform(0.9, 1.0)

    def _on_answer(self) -> None:
        self._failures = self._nonsense = 0
        self._failed_until_s = 0.0
        self.trouble = None

    def on_lost(self, stamp_ms: int) -> None:
        """Entries that were to be kept, from this stamp on, could not be stored: they are asked for again."""
        self._cursor_ms = min(self.cursor_ms, stamp_ms - 1)

    # When

    def _learn_interval(self, stamps_ms: Sequence[int]) -> None:
        steps_s = [(b - a) / 1000.0 for a, b in pairwise(stamps_ms)]
        steps_s = [step_s for step_s in steps_s if step_s >= STEP_S_MIN]
        if len(steps_s) >= 3:
            self.interval_s = min(INTERVAL_S_MAX, max(INTERVAL_S_MIN, median(steps_s)))

    def _plan(self, now_s: float, age_s: float | None, *, is_news: bool) -> None:
        """Ask again when the next value should be there; if it should be there already, after a growing pause."""
        self._late = 0 if is_news else self._late + 1
        until_s = -1.0 if age_s is None else self.interval_s + AFTER_S - age_s
        if until_s <= 0.0:
            until_s = min(PAUSE_S_MIN * 2.0 ** min(self._late, 10), self.interval_s)
        self._due_s = now_s + max(PAUSE_S_MIN, until_s) + self._rng.uniform(0.0, 2.0)

    # What is missing

    def _begin_history(self, from_ms: int, now_s: float) -> None:
        self.state = State.HISTORY
        self._cursor_ms = from_ms
        self._window_ms = WINDOW_MS
        gap_s = (self._goal_ms - from_ms) / 1000.0
        self._phone_rows = min(PHONE_ROWS_MAX, int(gap_s / self.interval_s * 1.2) + NEWEST_ROWS)
        self._history_due_s = now_s + PAGE_PAUSE_S

    def _on_history(self, ask: Ask, stamps_ms: Sequence[int], rows: int, now_s: float) -> bool:
        self._history_due_s = now_s + PAGE_PAUSE_S
        if ask.until_ms is None:
            return self._on_phone(ask, stamps_ms, rows)
        if rows >= ask.rows_max and self._window_ms > WINDOW_MS_MIN:
            self._window_ms //= 2
            return False
        if 4 * rows < ask.rows_max:
            self._window_ms = min(WINDOW_MS_MAX, 2 * self._window_ms)
        self._cursor_ms = ask.until_ms
        if self.cursor_ms >= self._goal_ms:
            self._end_history()
        return True

    def _on_phone(self, ask: Ask, stamps_ms: Sequence[int], rows: int) -> bool:
        is_all = rows < ask.rows_max or ask.rows_max >= PHONE_ROWS_MAX
        if not is_all and stamps_ms and stamps_ms[0] > self.cursor_ms:
            self._phone_rows = min(PHONE_ROWS_MAX, 4 * self._phone_rows)
            return False
        if stamps_ms and stamps_ms[0] > self.cursor_ms and rows >= PHONE_ROWS_MAX:
            self.lost_s += (stamps_ms[0] - self.cursor_ms) / 1000.0
        self._cursor_ms = max((self._goal_ms, *stamps_ms))
        self._end_history()
        return True

    def _end_history(self) -> None:
        self.state = State.RESTING
        self._goal_ms = max(self._goal_ms, self.cursor_ms)
        self._history_due_s = math.inf
