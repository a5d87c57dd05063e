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
    facts.note_worn("strap-a", False)
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
