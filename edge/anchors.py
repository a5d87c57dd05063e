"""Which wall time a moment of a boot was: anchors, written while the gateway runs and read to place its data."""

from edge.clock import NS_PER_S, Clock
from edge.store import Store, TimeAnchor

# A wall clock that moved by more than this against the time since boot was set, not drifting.
STEP_NS = NS_PER_S // 2
RENEW_NS = 3600 * NS_PER_S


class Anchors:
    """The anchors of this boot and of those before it, the newest of each."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._newest = {
            boot_id: anchors[-1] for boot_id in store.boots() if (anchors := store.anchors(boot_id))
        }

    def tick(self) -> None:
        """Anchor this boot anew when the wall clock was set, and once an hour."""
        boot_ns, utc_ns = self._clock.boot_ns(), self._clock.utc_ns()
        known = self._newest.get(self._clock.boot_id)
        if known is not None:
            stepped_ns = abs((utc_ns - boot_ns) - (known.utc_ns - known.boot_ns))
            if stepped_ns < STEP_NS and boot_ns - known.boot_ns < RENEW_NS:
                return
        anchor = TimeAnchor(
            self._clock.boot_id, boot_ns, utc_ns, error_ms=STEP_NS // 1_000_000, source="system"
        )
        with self._store.transaction():
            self._store.add_anchor(anchor)
        self._newest[anchor.boot_id] = anchor

    def boots_since(self, utc_s: int) -> list[tuple[str, int]]:
        """Boots that may hold data later than `utc_s`: their ids, and wall time minus time since boot in ns."""
        return [
            (anchor.boot_id, anchor.utc_ns - anchor.boot_ns)
            for anchor in self._newest.values()
            if anchor.utc_ns + RENEW_NS >= utc_s * NS_PER_S
        ]
