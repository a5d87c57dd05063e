"""Which adapter a sensor is connected by, and whether that one has a connection left.

    a sensor was heard, by an adapter          then
    it holds as many sensors as it can         not by that one; by none, if all are full: no slot
    a bond with the sensor lies at another     not by that one
    another one holds fewer sensors            by that one, or by any that hears it after `ELSEWHERE_S`
    otherwise                                  by that one

Contract: pure, but for what `health` knows. An adapter is written in the configuration by its address, because its name
changes. Without any in the configuration there is one, which bleak chooses; its name here is `ANY`. How many sensors an
adapter holds is configured, or learned from its refusal of one more; that is forgotten after `LEARNED_S`, as the
refusal may have had another cause.
"""

from collections import Counter
from typing import Final

from edge.config_radio import RadioUse
from edge.radio.health import Adapter, Health

ANY: Final = ""
ELSEWHERE_S: Final = 10.0
LEARNED_S: Final = 3600.0


class Adapters:
    """The adapters that are used, and what each holds.

    Attributes:
        links: by the address of each sensor that is connected, the name of its adapter.
        coming: the same of those that were found, and wait for their turn to be connected.
    """

    def __init__(self, use: RadioUse, health: Health) -> None:
        self.links: dict[str, str] = {}
        self.coming: dict[str, str] = {}
        self._use = use
        self._health = health
        self._learned: dict[str, tuple[int, float]] = {}

    def names(self) -> list[str]:
        """Those that can be used now."""
        if not self._use.adapters:
            return [ANY]
        return [adapter.name for adapter in self._health.adapters if adapter.is_powered]

    def load(self, adapter: Adapter, now_s: float) -> tuple[int, int | None]:
        """How many sensors an adapter holds, and how many it can hold, if that is known."""
        name = adapter.name if self._use.adapters else ANY
        on = [one for one in self._health.adapters if one.is_powered]
        if name == ANY and on[:1] != [adapter]:
            return 0, self._use.connections_max
        return self._held(name), self._max(name, now_s)

    def _held(self, name: str) -> int:
        return Counter((self.coming | self.links).values())[name]

    def _max(self, name: str, now_s: float) -> int | None:
        learned, at_s = self._learned.get(name, (None, 0.0))
        return self._use.connections_max or (learned if now_s - at_s < LEARNED_S else None)

    def is_full(self, name: str, now_s: float) -> bool:
        most = self._max(name, now_s)
        return most is not None and self._held(name) >= most

    def full(self, now_s: float) -> str | None:
        """What is full, in words, if no adapter has a connection left."""
        names = self.names()
        if not names or not all(self.is_full(name, now_s) for name in names):
            return None
        held = sum(map(self._held, names))
        return f"{held} of {held} connections are in use"

    def suits(self, name: str, bonded_at: str | None, searched_s: float, now_s: float) -> bool:
        """Whether to connect a sensor by the adapter that has just heard it."""
        if self.is_full(name, now_s) or (bonded_at is not None and bonded_at != name):
            return False
        least = min((self._held(one) for one in self.names() if not self.is_full(one, now_s)), default=0)
        return bonded_at == name or self._held(name) <= least or searched_s >= ELSEWHERE_S

    def on_refused(self, name: str, now_s: float) -> None:
        """An adapter has refused one connection more."""
        if held := Counter(self.links.values())[name]:
            self._learned[name] = held, now_s
