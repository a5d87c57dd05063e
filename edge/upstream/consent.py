"""Consent: whose data of which class may be sent now, according to the configuration.

Contract: pure. Consent with a last day needs a trusted clock: without one it is unknown whether that day is over, and
nothing is sent. Somebody who is not in the configuration has consented to nothing.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from edge.config import Config, Person
from edge.measurements import DATA_CLASS


class Held(NamedTuple):
    """Items that wait for consent: their person, their class of data, how many they are, and why they wait."""

    person: str
    data_class: str
    items: int
    reason: str

    def __str__(self) -> str:
        return f"held: {self.reason}"


class Consents:
    """The consents of all people of a gateway."""

    def __init__(self, config: Config) -> None:
        self._people = {person.pseudonym: person for person in config.people}
        self._zone = ZoneInfo(config.gateway.timezone)

    def permitted(self, utc_s: int | None) -> frozenset[tuple[str, str]]:
        """The (pseudonym, kind) of items that may be sent now; `utc_s` is None without a trusted clock."""
        groups = ((pseudonym, kind) for pseudonym in self._people for kind in DATA_CLASS)
        return frozenset(group for group in groups if self._refusal(*group, utc_s) is None)

    def needs_clock(self) -> bool:
        """Whether anybody's consent has a last day."""
        return any(person.consent.valid_until is not None for person in self._people.values())

    def held(self, pending: Mapping[tuple[str, str], int], utc_s: int | None) -> list[Held]:
        """The items that wait for consent, out of all waiting items, counted by pseudonym and kind."""
        found: dict[tuple[str, str, str], int] = {}
        for (pseudonym, kind), items in sorted(pending.items()):
            reason = self._refusal(pseudonym, kind, utc_s)
            if reason is not None:
                key = (self._called(pseudonym), DATA_CLASS.get(kind, kind), reason)
                found[key] = found.get(key, 0) + items
        return [
            Held(person, data_class, items, reason) for (person, data_class, reason), items in found.items()
        ]

    def _called(self, pseudonym: str) -> str:
        person = self._people.get(pseudonym)
        return pseudonym if person is None else person.id

    def _refusal(self, pseudonym: str, kind: str, utc_s: int | None) -> str | None:
        """Why such items may not be sent; None if they may."""
        person, data_class = self._people.get(pseudonym), DATA_CLASS.get(kind)
        what = f"{(data_class or kind).replace('_', ' ')} of {self._called(pseudonym)}"
        if person is None or data_class is None or not getattr(person.consent, data_class):
            return f"no consent for {what}"
        return self._expiry(person, what, utc_s)

    def _expiry(self, person: Person, what: str, utc_s: int | None) -> str | None:
        last_day = person.consent.valid_until
        if last_day is None:
            return None
        if utc_s is None:
            return f"without a trusted clock nobody knows whether the consent for {what} ended on {last_day}"
        if datetime.fromtimestamp(utc_s, self._zone).date() > last_day:
            return f"the consent for {what} ended on {last_day}"
        return None
