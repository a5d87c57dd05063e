"""Consent is one person's, for one class of data, until the end of a day that only a trusted clock can tell."""

from datetime import date
from pathlib import Path

import msgspec
import pytest
from edge_parts import MIDNIGHT_UTC_S, minimal_config

from edge.config import Config, Consent, Person
from edge.measurements import DATA_CLASS
from edge.upstream.consent import Consents, Held

ALL = Consent(heart_summaries=True, glucose_summaries=True, glucose_readings=True)
ANNA, BEN = Person("anna", "p-anna", ALL), Person("ben", "p-ben", Consent(heart_summaries=True))


def config(directory: Path, *people: Person, timezone: str = "UTC") -> Config:
    whole = minimal_config(directory)
    gateway = msgspec.structs.replace(whole.gateway, timezone=timezone)
    return msgspec.structs.replace(whole, people=people, gateway=gateway)


def until(person: Person, last_day: date) -> Person:
    return msgspec.structs.replace(
        person, consent=msgspec.structs.replace(person.consent, valid_until=last_day)
    )


def test_each_person_consents_for_each_class(tmp_path: Path) -> None:
    consents = Consents(config(tmp_path, ANNA, BEN))
    everything = {("p-anna", kind) for kind in DATA_CLASS}
    for utc_s in (None, 0, MIDNIGHT_UTC_S):
        assert consents.permitted(utc_s) == everything | {("p-ben", "heart_5min")}
    assert not consents.needs_clock()


def test_by_default_nothing_may_go(tmp_path: Path) -> None:
    assert Consents(config(tmp_path, Person("anna", "p-anna"))).permitted(MIDNIGHT_UTC_S) == frozenset()


@pytest.mark.parametrize("data_class", sorted(set(DATA_CLASS.values())))
def test_every_class_of_data_is_a_field_of_the_configuration(tmp_path: Path, data_class: str) -> None:
    person = Person("anna", "p-anna", Consent(**{data_class: True}))  # type: ignore[arg-type]
    kinds = {kind for kind, its_class in DATA_CLASS.items() if its_class == data_class}
    assert kinds
    assert Consents(config(tmp_path, person)).permitted(None) == {("p-anna", kind) for kind in kinds}


@pytest.mark.parametrize(
    ("timezone", "utc_s", "allowed"),
    [
        ("UTC", MIDNIGHT_UTC_S - 1, True),
        ("UTC", MIDNIGHT_UTC_S, False),
        # The day is the gateway's own: in Auckland (+13 h) it ends earlier, in Los Angeles (-8 h) later.
        ("Pacific/Auckland", MIDNIGHT_UTC_S - 13 * 3600 - 1, True),
        ("Pacific/Auckland", MIDNIGHT_UTC_S - 13 * 3600, False),
        ("America/Los_Angeles", MIDNIGHT_UTC_S + 8 * 3600 - 1, True),
        ("America/Los_Angeles", MIDNIGHT_UTC_S + 8 * 3600, False),
    ],
)
def test_consent_ends_with_its_last_day(tmp_path: Path, timezone: str, utc_s: int, allowed: bool) -> None:
    last_day = date(2026, 11, 20)
    consents = Consents(config(tmp_path, until(ANNA, last_day), BEN, timezone=timezone))
    annas = {(person, kind) for person, kind in consents.permitted(utc_s) if person == "p-anna"}
    assert annas == ({("p-anna", kind) for kind in DATA_CLASS} if allowed else set())
    assert ("p-ben", "heart_5min") in consents.permitted(utc_s)
    assert consents.needs_clock()


@pytest.mark.parametrize("last_day", [date(1970, 1, 1), date(2999, 1, 1), date.max])
def test_consent_with_a_last_day_needs_a_trusted_clock(tmp_path: Path, last_day: date) -> None:
    consents = Consents(config(tmp_path, until(ANNA, last_day), BEN))
    assert consents.permitted(None) == {("p-ben", "heart_5min")}
    assert bool(consents.permitted(MIDNIGHT_UTC_S) - {("p-ben", "heart_5min")}) == (last_day.year > 2026)


def test_what_is_held_is_told_by_person_and_class_with_its_reason(tmp_path: Path) -> None:
    people = until(ANNA, date(2026, 11, 20)), BEN
    consents = Consents(config(tmp_path, *people))
    pending = {
        ("p-anna", "cgm_reading"): 3,
        ("p-ben", "cgm_reading"): 288,
        ("p-ben", "heart_5min"): 7,
        ("p-ben", "glucose_day"): 1,
        ("p-gone", "heart_5min"): 2,
    }
    bens_and_others = [
        Held("ben", "glucose_readings", 288, "no consent for glucose readings of ben"),
        Held("ben", "glucose_summaries", 1, "no consent for glucose summaries of ben"),
        Held("p-gone", "heart_summaries", 2, "no consent for heart summaries of p-gone"),
    ]
    assert consents.held(pending, MIDNIGHT_UTC_S - 1) == bens_and_others
    assert consents.held(pending, MIDNIGHT_UTC_S) == [
        Held("anna", "glucose_readings", 3, "the consent for glucose readings of anna ended on 2026-11-20"),
        *bens_and_others,
    ]
    (annas, *_) = consents.held(pending, None)
    assert annas[:3] == ("anna", "glucose_readings", 3)
    assert annas.reason.startswith("without a trusted clock nobody knows whether the consent")
    assert str(annas) == f"held: {annas.reason}"


def test_a_kind_nobody_knows_is_held(tmp_path: Path) -> None:
    consents = Consents(config(tmp_path, ANNA))
    assert [held.reason for held in consents.held({("p-anna", "brain_waves"): 1}, None)] == [
        "no consent for brain waves of anna"
    ]
