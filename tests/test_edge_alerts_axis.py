"""The time of the alerts never goes back, and outlives reboots by the wall time that has passed, once that is known."""

import pytest

from edge.alerts.axis import Axis, Mark
from edge.anchors import Anchor, Timeline

S = 10**9
UTC_NS = 1_795_219_200 * S
MARK = Mark(1, 500 * S, 700.0)


def timeline(*boots: tuple[int, float, int | None]) -> Timeline:
    """Boots by number, when they began in seconds, and how far their clocks may be wrong."""
    return Timeline(
        {
            no: [Anchor(no, 0, UTC_NS + round(began_s * S), error_ms, "system")]
            for no, began_s, error_ms in boots
        }
    )


def test_it_begins_with_the_boot() -> None:
    axis = Axis(None, 1, 30 * S, timeline())
    assert (axis.at_s(30 * S), axis.mark(40 * S)) == (30.0, Mark(1, 40 * S, 40.0))


@pytest.mark.parametrize("wrong_s", [0.0, 1e6])
def test_within_a_boot_it_goes_on_whatever_the_wall_clock_says(wrong_s: float) -> None:
    axis = Axis(MARK, 1, 900 * S, timeline((1, wrong_s, 500)))
    assert axis.at_s(900 * S) == 1100.0


@pytest.mark.parametrize(
    ("boots", "at_s"),
    [
        # The first boot was marked 500 s after it began, the second began 3600 s after the first.
        ([(1, 0.0, 500), (2, 3600.0, 500)], 700.0 + 3100.0 + 10.0),
        ([(1, 0.0, None), (2, 3600.0, 500)], 700.0),
        ([(1, 0.0, 500), (2, 3600.0, None)], 700.0),
        ([(1, 0.0, 500)], 700.0),
        ([(1, 0.0, 500), (2, -3600.0, 500)], 700.0),  # a clock that was set back
    ],
)
def test_over_a_reboot_it_goes_on_by_the_wall_time_that_both_boots_vouch_for(
    boots: list[tuple[int, float, int | None]], at_s: float
) -> None:
    axis = Axis(MARK, 2, 10 * S, timeline(*boots))
    assert axis.at_s(10 * S) == pytest.approx(at_s)
    assert axis.at_s(11 * S) == pytest.approx(at_s + 1.0)


def test_what_was_skipped_is_made_up_for_once_when_the_clock_is_trusted() -> None:
    axis = Axis(MARK, 2, 10 * S, timeline((1, 0.0, 500)))
    assert axis.at_s(60 * S) == 750.0
    axis.look(60 * S, timeline((1, 0.0, 500), (2, 3600.0, 500)))
    assert axis.at_s(60 * S) == pytest.approx(700.0 + 3100.0 + 60.0)
    axis.look(70 * S, timeline((1, 0.0, 500), (2, 9000.0, 500)))
    assert axis.at_s(70 * S) == pytest.approx(700.0 + 3100.0 + 70.0)


def test_it_never_goes_back() -> None:
    axis = Axis(MARK, 2, 10 * S, timeline((1, 0.0, 500)))
    axis.look(5000 * S, timeline((1, 0.0, 500), (2, 100.0, 500)))
    assert axis.at_s(5000 * S) >= 700.0 + 4990.0
