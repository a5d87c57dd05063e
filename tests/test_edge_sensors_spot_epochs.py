"""Which moment a device's stamp was: the rows of the table, and no moment is made of what nobody vouches for."""

from uuid import UUID

import pytest

from edge.sensors.spot.epochs import BEGUN_MAX, KEPT_S, SET_S, Epoch, Epochs, Now, Seen

S = 10**9
NOON = 1_772_000_000
BOOT = Now(2, 1000 * S, NOON * S)


def epochs(*known: Epoch) -> Epochs:
    numbers = iter(range(100, 1000))
    return Epochs(known, lambda: UUID(int=next(numbers)))


def at(boot_s: float) -> Now:
    return Now(2, round(boot_s * S), round((NOON + boot_s - 1000) * S))


def earlier_boot(shows_s: int, utc_s: int | None) -> Epoch:
    return Epoch(UUID(int=1), shows_s, 1, 50 * S, utc_s)


def taken_s(epoch: Epoch, stamp_s: int, now: Now) -> float:
    taken_ns = epoch.taken_boot_ns(stamp_s, now)
    assert taken_ns is not None
    return taken_ns / S


def test_a_clock_that_was_read_dates_what_was_measured_before() -> None:
    epoch = epochs().of_stamp(5_000, BOOT, [Seen(6_000, 990 * S)])
    assert (epoch.shows_s, epoch.boot_no, epoch.boot_ns) == (6_000, 2, 990 * S)
    assert taken_s(epoch, 5_000, BOOT) == -10.0


@pytest.mark.parametrize(
    ("off_s", "is_same"), [(0, True), (SET_S, True), (-SET_S, True), (SET_S + 1, False), (-SET_S - 1, False)]
)
def test_a_clock_was_set_if_it_is_off_by_more_than_two_minutes(off_s: int, is_same: bool) -> None:
    them = epochs()
    first = them.of_stamp(5_000, at(1000), [Seen(6_000, 1000 * S)])
    again = them.of_stamp(7_000, at(2000), [Seen(7_000 + off_s, 2000 * S)])
    assert (first is again) == is_same


def test_a_clock_that_is_set_back_to_what_it_was_goes_on_in_its_epoch() -> None:
    them = epochs()
    first = them.of_stamp(5_000, at(1000), [Seen(6_000, 1000 * S)])
    other = them.of_stamp(9_000, at(2000), [Seen(9_500, 2000 * S)])
    third = them.of_stamp(8_100, at(3000), [Seen(8_000, 3000 * S)])
    assert other is not first
    assert third is first


def test_after_a_reboot_trusted_clocks_tell_that_nobody_has_set_it_and_others_do_not() -> None:
    for utc_s, now, is_same in (
        (NOON - 5_000, BOOT, True),
        (NOON - 5_000, BOOT._replace(utc_ns=None), False),
        (None, BOOT, False),
    ):
        known = earlier_boot(1_000, utc_s)
        found = epochs(known).of_stamp(2_000, now, [Seen(6_010, 1000 * S)])
        assert (found is known) == is_same
        assert is_same or found.boot_no == 2


def test_of_a_clock_that_was_set_over_the_link_both_times_are_known() -> None:
    """Stamps of before are by what was read, those of after by what was written."""
    them = epochs()
    seen = [Seen(6_000, 1000 * S), Seen(900_000, 1001 * S, by_us=True)]
    before = them.of_stamp(5_990, at(1005), seen)
    after = them.of_stamp(900_003, at(1005), seen)
    assert (before.shows_s, after.shows_s) == (6_000, 900_000)
    assert taken_s(before, 5_990, at(1005)) == 990.0
    assert taken_s(after, 900_003, at(1005)) == 1004.0
    # It is not what the device is taken to have shown before.
    assert them.of_stamp(899_990, at(1005), seen) is before


def test_of_a_clock_that_can_only_be_set_that_is_all_that_is_known() -> None:
    them = epochs()
    epoch = them.of_stamp(899_000, at(1005), [Seen(900_000, 1001 * S, by_us=True)])
    assert taken_s(epoch, 899_000, at(1005)) == 1.0


def test_without_a_clock_the_newest_stamp_is_of_now_in_whatever_order_they_come() -> None:
    for stamps in ([100, 200, 4_000], [4_000, 200, 100]):
        them = epochs()
        found = [them.of_stamp(stamp, at(1000 + n), []) for n, stamp in enumerate(stamps)]
        assert found[0] is found[1] is found[2]
        when = 1000 + stamps.index(4_000)
        assert taken_s(found[0], 4_000, at(1002)) == when
        assert taken_s(found[0], 100, at(1002)) == when - 3_900


def test_without_a_clock_a_stamp_of_the_future_shows_that_it_was_set() -> None:
    them = epochs()
    first = them.of_stamp(100, at(1000), [])
    them.begin_contact()
    assert them.of_stamp(1_200, at(2000), []) is first  # within two minutes
    later = them.of_stamp(2_000, at(2000), [])
    assert later is not first
    assert taken_s(later, 2_000, at(2000)) == 2000.0
    assert taken_s(first, 100, at(2000)) == 1000.0


def test_what_has_no_stamp_belongs_to_its_boot() -> None:
    them = epochs(Epoch(UUID(int=1), None, 1, 0, NOON))
    arrivals = them.of_arrival(BOOT)
    assert (arrivals.boot_no, arrivals.boot_ns, arrivals.shows_s) == (2, 0, None)
    assert them.of_arrival(at(5000)) is arrivals
    assert them.of_stamp(100, BOOT, []) is not arrivals


def test_a_clock_that_new_batteries_have_set_back_by_years_dates_nothing_by_the_old_epoch() -> None:
    them = epochs()
    first = them.of_stamp(900_000_000, at(1000), [])
    them.begin_contact()
    reset = them.of_stamp(60, at(90_000), [])
    assert taken_s(reset, 60, at(90_000)) == 90_000.0
    # What it kept from before is still dated as before, and moves nothing.
    assert them.of_stamp(900_000_100, at(90_000), []) is first
    assert taken_s(reset, 60, at(90_000)) == 90_000.0
    assert taken_s(first, 900_000_100, at(90_000)) == 1100.0


def test_a_clock_that_is_set_without_end_is_none() -> None:
    them = epochs()
    found = []
    for n in range(10 * BEGUN_MAX):
        them.begin_contact()
        found.append(them.of_stamp(1_000_000 * n, at(1000 + n), []))
    assert len(set(map(id, found))) == BEGUN_MAX + 1
    assert found[-1].shows_s is None
    # A day later it may be set again.
    assert them.of_stamp(10**9, at(90_000), []).shows_s == 10**9


def test_what_was_kept_from_years_comes_over_one_link() -> None:
    them = epochs()
    first = them.of_stamp(1_000, at(1000), [])
    assert them.of_stamp(1_000 + 2 * KEPT_S, at(1010), []) is first
    assert taken_s(first, 1_000, at(1010)) == 1010.0 - 2 * KEPT_S
