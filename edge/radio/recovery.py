"""The recovery ladder: what is done when the radio does not get well by itself, one rung after the other.

    now        | seen                                     | then       | done
    -----------|------------------------------------------|------------|----------------------------------------
    any        | a sensor is connected                    | ground     | nothing; no rung counts as in vain
    on a rung  | data have come since it was taken        | ground     | nothing; no rung counts as in vain
    ground     | no ailment                               | ground     | nothing
    ground     | an ailment, not for its `patience_s` yet | ground     | nothing
    ground     | an ailment for longer                    | first rung | the first rung of that ailment
    on a rung  | an ailment, not for `settle_s` yet       | the same   | nothing
    on a rung  | an ailment for longer                    | next rung  | the next rung; after the last, the first
    on a rung  | no ailment for `CALM_S`                  | ground     | nothing
    to a rung  | it was taken less than `every_s` ago     | as before  | nothing: its time has not come

The lowest three rungs are a sensor's own, and its session takes them: it subscribes again, it connects again, and it
lets the system forget the device (`is_stale`). The others concern the machine: the adapter and the service.

Contract: pure; times are seconds of a clock that is 0 when the machine starts. So a machine is not restarted within
`every_s` of its start, whoever has restarted it, and nothing has to be remembered for that. A rung that has brought no
data may be taken again only after twice the time, up to a day. Nothing of the machine is touched while any sensor is
connected: its data matter more than another one's.

How a rung is done, and whether that is allowed, is the matter of `bluez.mending`.
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from edge.radio.trouble import Pause, Trouble

DAY_S: Final = 86_400.0
CALM_S: Final = 600.0
# After so many links in a row that brought nothing, what the system remembers of the device is suspect.
FRUITLESS_MAX: Final = 3
# So many attempts to connect in a row have failed on this side, whatever the sensor.
FAILURES_MIN: Final = 5


class Rung(Enum):
    """The rungs from the lowest: what is done; how long it may take to help; how often it may be done at most."""

    RESUBSCRIBE = ("asked a sensor for its notifications again", 0.0, 0.0)
    RECONNECT = ("gave a link up and connected anew", 0.0, 0.0)
    DROP_DEVICE = ("let the system forget a device", 0.0, 0.0)
    POWER_CYCLE = ("switched the adapter off and on", 60.0, 600.0)
    RESET_ADAPTER = ("reset the adapter", 60.0, 1800.0)
    RESTART_SERVICE = ("restarted the Bluetooth service", 90.0, 1800.0)
    REBOOT = ("restarted this machine", 600.0, DAY_S)

    def __init__(self, done: str, settle_s: float, every_s: float) -> None:
        self.done = done
        self.settle_s = settle_s
        self.every_s = every_s


_RUNGS: Final = tuple(Rung)


class Ailment(Enum):
    """What the radio may suffer from: in words; how long it is left alone; the first and the last rung against it."""

    SERVICE_GONE = ("the Bluetooth service does not run", 60.0, Rung.RESTART_SERVICE, Rung.REBOOT)
    SERVICE_SILENT = ("the Bluetooth service does not answer", 90.0, Rung.RESTART_SERVICE, Rung.REBOOT)
    ADAPTER_GONE = ("the adapter has vanished", 60.0, Rung.RESET_ADAPTER, Rung.REBOOT)
    SCAN_REFUSED = ("the adapter does not search", 60.0, Rung.POWER_CYCLE, Rung.REBOOT)
    NO_CONNECTS = ("sensors are heard, and none can be connected", 120.0, Rung.POWER_CYCLE, Rung.REBOOT)
    DEAF = ("no device at all is heard any more", 300.0, Rung.POWER_CYCLE, Rung.REBOOT)
    # Where no other device was ever heard, silence is no proof: whoever wears the sensor may have gone out.
    QUIET = ("no device at all is heard", 600.0, Rung.POWER_CYCLE, Rung.POWER_CYCLE)

    def __init__(self, words: str, patience_s: float, first: Rung, last: Rung) -> None:
        self.words = words
        self.patience_s = patience_s
        self.first = first
        self.last = last


OF_TROUBLE: Final = MappingProxyType(
    {
        Trouble.NO_SERVICE: Ailment.SERVICE_GONE,
        Trouble.SERVICE_SILENT: Ailment.SERVICE_SILENT,
        Trouble.NO_ADAPTER: Ailment.ADAPTER_GONE,
    }
)
"""Ailments by what the watch says. An adapter that is switched off was switched off by somebody, and stays so."""


class Evidence:
    """What has been seen of the radio, from which its ailment follows."""

    def __init__(self) -> None:
        self.data_s = -1.0
        self._trouble: tuple[Trouble, float] | None = None
        self._had_adapter = False
        self._strangers = False
        self._deaf_since_s: float | None = None
        self._refused_since_s: float | None = None
        self._failing: list[float] = []

    def on_health(self, trouble: Trouble | None, now_s: float) -> None:
        """What the watch says now."""
        self._had_adapter |= trouble is None
        if trouble is None:
            self._trouble = None
        elif self._trouble is None or self._trouble[0] is not trouble:
            self._trouble = trouble, now_s

    def on_data(self, now_s: float) -> None:
        """A sensor's data flow."""
        self.data_s = now_s
        self._failing.clear()
        self._deaf_since_s = self._refused_since_s = None

    def on_heard(self, *, is_stranger: bool) -> None:
        """A device was heard; a stranger is none of our sensors."""
        self._strangers |= is_stranger
        self._deaf_since_s = None

    def on_scan(self, now_s: float, *, is_on: bool) -> None:
        """The scan runs, or nothing is searched for."""
        self._refused_since_s = None
        if not is_on:
            self._deaf_since_s = None
        elif self._deaf_since_s is None:
            self._deaf_since_s = now_s

    def on_scan_refused(self, now_s: float) -> None:
        self._deaf_since_s = None
        if self._refused_since_s is None:
            self._refused_since_s = now_s

    def on_connect(self, now_s: float, *, is_made: bool) -> None:
        """An attempt to connect was made; what fails for the sensor's sake is not told."""
        if is_made:
            self._failing.clear()
        elif len(self._failing) < FAILURES_MIN:
            self._failing.append(now_s)

    def ailment(self) -> tuple[Ailment, float] | None:
        """What is the matter, and since when; None if nothing is known to be."""
        if self._trouble is not None:
            trouble, since_s = self._trouble
            ailment = OF_TROUBLE.get(trouble)
            is_proved = ailment is not Ailment.ADAPTER_GONE or self._had_adapter
            return (ailment, since_s) if ailment is not None and is_proved else None
        if self._refused_since_s is not None:
            return Ailment.SCAN_REFUSED, self._refused_since_s
        if len(self._failing) == FAILURES_MIN:
            return Ailment.NO_CONNECTS, self._failing[0]
        if self._deaf_since_s is not None:
            return (Ailment.DEAF if self._strangers else Ailment.QUIET), self._deaf_since_s
        return None


class Seen(NamedTuple):
    """What the ladder is told: the ailment, its beginning, when data came last, and whether a sensor is connected."""

    ailment: Ailment | None
    since_s: float
    data_s: float
    is_connected: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """When a rung was taken last, and how often in a row in vain."""

    at_s: float = 0.0
    in_vain: int = 0

    def next_s(self, rung: Rung) -> float:
        """When it may be taken next."""
        if rung is not Rung.REBOOT and self.in_vain == 0:
            return 0.0
        return self.at_s + min(DAY_S, rung.every_s * 2.0 ** max(0, self.in_vain - 1))


@dataclass(frozen=True, slots=True)
class Ladder:
    """Where the radio stands; `rung` None: on the ground."""

    top: Rung
    rung: Rung | None = None
    at_s: float = 0.0
    ailing_s: float = 0.0  # when it was ailing last
    taken: dict[Rung, Taken] = field(default_factory=dict)

    def step(self, seen: Seen, now_s: float) -> tuple["Ladder", Rung | None]:
        """Where it stands then, and the rung to take, if it is time for one."""
        if seen.is_connected or (self.rung is not None and seen.data_s > self.at_s):
            return Ladder(self.top, taken=_helped(self.taken)), None
        if seen.ailment is None:
            is_calm = self.rung is not None and now_s - self.ailing_s >= CALM_S
            return (replace(self, rung=None) if is_calm else self), None
        ailing = replace(self, ailing_s=now_s)
        rung = self._due(seen.ailment, seen.since_s, now_s)
        if rung is None:
            return ailing, None
        taken = self.taken.get(rung, Taken())
        if now_s < taken.next_s(rung):
            return ailing, None
        all_taken = {**self.taken, rung: Taken(now_s, taken.in_vain + 1)}
        return replace(ailing, rung=rung, at_s=now_s, taken=all_taken), rung

    def _due(self, ailment: Ailment, since_s: float, now_s: float) -> Rung | None:
        """The rung that comes next, if the time for it has come."""
        first, last = _RUNGS.index(ailment.first), min(_RUNGS.index(ailment.last), _RUNGS.index(self.top))
        if first > last:
            return None
        if self.rung is None:
            return ailment.first if now_s - since_s >= ailment.patience_s else None
        if now_s - self.at_s < self.rung.settle_s:
            return None
        following = _RUNGS.index(self.rung) + 1
        return _RUNGS[following if first <= following <= last else first]


def _helped(taken: dict[Rung, Taken]) -> dict[Rung, Taken]:
    """Data have come: no rung counts as in vain; when each was taken still counts."""
    return {rung: Taken(one.at_s, min(one.in_vain, 1)) for rung, one in taken.items()}


def is_stale(trouble: Trouble, fruitless: int) -> bool:
    """Whether what the system remembers of a device should be dropped: it blocks, or came to nothing so often.

    `fruitless` counts the links in a row, this one included, that could not be made here or brought no packet.
    """
    is_of_sensor = trouble.pause is Pause.GROWING
    return trouble is Trouble.BLOCKED or (is_of_sensor and fruitless > 0 and fruitless % FRUITLESS_MAX == 0)
