"""The newest is known at once; what is older changes nothing; what does not count is shown, and no sign of life."""

from edge.now.facts import Fact, Facts


def test_the_newest_is_kept_by_when_it_was_taken() -> None:
    facts = Facts()
    told: list[tuple[str, str, float]] = []
    facts.on_fact = lambda sensor_id, measurement, fact: told.append((sensor_id, measurement, fact.value))
    facts.note("cgm", "glucose", 100.0, 50)
    facts.note("cgm", "glucose", 41.0, 20)  # a stored record of long ago
    assert facts.newest("cgm", "glucose") == Fact(100.0, 50, None)
    facts.note("cgm", "glucose", 90.0, 60)
    assert facts.newest("cgm", "glucose") == Fact(90.0, 60, None)
    assert told == [("cgm", "glucose", 100.0), ("cgm", "glucose", 90.0)]


def test_sensors_share_nothing() -> None:
    facts = Facts()
    facts.note("cgm-a", "glucose", 100.0, 5)
    facts.note_worn("strap-a", False, 5)
    assert facts.newest("cgm-b", "glucose") is None
    assert facts.heard_boot_ns("cgm-b") is None
    assert (facts.worn("strap-a"), facts.worn("strap-b")) == (False, None)


def test_what_does_not_count_is_no_sign_of_life() -> None:
    facts = Facts()
    facts.note_heard("cgm", 5)
    facts.note("cgm", "glucose", 100.0, 5)
    facts.note("cgm", "glucose", 44.0, 9, "malfunction")
    assert facts.newest("cgm", "glucose") == Fact(44.0, 9, "malfunction")
    assert facts.heard_boot_ns("cgm") == 5
    facts.note_heard("cgm", 7)
    facts.note_heard("cgm", 6)
    assert facts.heard_boot_ns("cgm") == 7


def test_when_it_was_worn_last_is_known_once_it_is_not() -> None:
    facts = Facts()
    facts.note_worn("strap", False, 5)
    assert facts.worn_boot_ns("strap") is None
    facts.note_worn("strap", True, 10)
    facts.note_worn("strap", False, 30)
    facts.note_worn("strap", False, 40)
    assert (facts.worn("strap"), facts.worn_boot_ns("strap")) == (False, 30)


def test_what_follows_from_many_values_is_renewed_without_a_new_one() -> None:
    facts = Facts()
    renewed: list[str] = []
    facts.on_renewed = renewed.append
    facts.note("strap", "heart_rate", 60.0, 1)
    facts.renew("strap")
    assert renewed == ["strap"]
