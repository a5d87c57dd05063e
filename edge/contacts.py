"""The ways to sensors: for each way in which data reach the gateway, what keeps the contact up."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from edge.clock import Clock
from edge.config import Limits, SensorConfig
from edge.contact import Contact
from edge.feeds.client import Web
from edge.feeds.contact import FeedContact
from edge.kinds import Reach
from edge.radio.adapter import Radio
from edge.radio.inbox import Inbox
from edge.radio.listening import Listening
from edge.radio.pairing.bond import Bond
from edge.radio.session import Session
from edge.sensors.sensor import Sensor


class Ways(NamedTuple):
    """What the ways to sensors share."""

    radio: Radio
    inbox: Inbox
    clock: Clock
    limits: Limits
    rng: random.Random
    bonds: Mapping[str, Bond]
    web: Callable[[SensorConfig], Web]


def _connected(sensor: Any, ways: Ways) -> Contact:
    bond = ways.bonds.get(sensor.config.id)
    return Session(sensor, ways.radio, ways.inbox, ways.clock, ways.limits, ways.rng, bond)


def _asked(sensor: Any, ways: Ways) -> Contact:
    return FeedContact(sensor, ways.inbox, ways.clock, ways.web(sensor.config))


def _advertised(sensor: Any, ways: Ways) -> Contact:
    return Listening(sensor, ways.radio, ways.inbox, ways.clock)


CONTACTS: Final[dict[Reach, Callable[[Sensor, Ways], Contact]]] = {
    Reach.CONNECTION: _connected,
    Reach.ADVERTISEMENT: _advertised,
    Reach.FEED: _asked,
}
"""What keeps the contact with a sensor up, by how its data reach the gateway; each needs a sensor of its own form, as
`edge.sensors.sensor` has it."""
