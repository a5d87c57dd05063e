"""Anchors say which wall time a moment of a boot was, and are written anew when that changes."""

from pathlib import Path

import pytest
from edge_parts import MIDNIGHT_UTC_S, minimal_config, open_store

from edge.anchors import Anchors
from edge.store import Store

S = 10**9
HOUR_NS = 3600 * S


class TwoClocks:
    """A boot clock, and a wall clock that can be set."""

    def __init__(self, boot_id: str = "boot-1", zero_utc_ns: int = MIDNIGHT_UTC_S * S) -> None:
        self.boot_id, self.now_ns, self.zero_utc_ns = boot_id, 0, zero_utc_ns

    def boot_ns(self) -> int:
        return self.now_ns

    def utc_ns(self) -> int:
        return self.zero_utc_ns + self.now_ns


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(minimal_config(tmp_path))


def written(store: Store, boot_id: str = "boot-1") -> list[tuple[int, int]]:
    return [(anchor.boot_ns, anchor.utc_ns) for anchor in store.anchors(boot_id)]


def test_one_at_the_start_then_one_an_hour(store: Store) -> None:
    clock = TwoClocks()
    anchors = Anchors(store, clock)
    for second in range(2 * 3600 + 1):
        clock.now_ns = second * S
        anchors.tick()
    assert written(store) == [(k * HOUR_NS, (MIDNIGHT_UTC_S + 3600 * k) * S) for k in range(3)]


@pytest.mark.parametrize(("step_s", "noticed"), [(0.4, False), (-0.4, False), (0.6, True), (-7200.0, True)])
def test_a_clock_that_was_set_is_anchored_at_once(store: Store, step_s: float, noticed: bool) -> None:
    clock = TwoClocks()
    anchors = Anchors(store, clock)
    anchors.tick()
    clock.now_ns = 10 * S
    clock.zero_utc_ns += round(step_s * S)
    anchors.tick()
    anchors.tick()
    assert (len(written(store)) == 2) is noticed
    assert anchors.boots_since(0) == [("boot-1", clock.zero_utc_ns if noticed else MIDNIGHT_UTC_S * S)]


def test_a_slow_drift_is_followed_by_the_hour(store: Store) -> None:
    clock = TwoClocks()
    anchors = Anchors(store, clock)
    for second in range(3 * 3600 + 1):
        clock.now_ns = second * S
        clock.zero_utc_ns = MIDNIGHT_UTC_S * S + second * 50_000  # 50 ppm
        anchors.tick()
    assert [utc - boot - MIDNIGHT_UTC_S * S for boot, utc in written(store)] == [
        0,
        *(180_000_000 * k for k in (1, 2, 3)),
    ]


def test_earlier_boots_are_remembered_and_only_looked_at_for_their_time(store: Store) -> None:
    first = TwoClocks()
    before = Anchors(store, first)
    before.tick()
    with store.transaction():
        store.note_boot("boot-2")
    second = TwoClocks("boot-2", zero_utc_ns=(MIDNIGHT_UTC_S + 10_000) * S)
    after = Anchors(store, second)
    after.tick()
    both = [("boot-1", MIDNIGHT_UTC_S * S), ("boot-2", (MIDNIGHT_UTC_S + 10_000) * S)]
    assert after.boots_since(MIDNIGHT_UTC_S + 3600) == both
    assert after.boots_since(MIDNIGHT_UTC_S + 3601) == both[1:]


def test_a_restart_in_the_same_boot_goes_on_with_its_anchor(store: Store) -> None:
    clock = TwoClocks()
    Anchors(store, clock).tick()
    clock.now_ns = 600 * S
    Anchors(store, clock).tick()
    assert len(written(store)) == 1
