"""The parts of the gateway that a sensor works with; the same for all sensors."""

import random
from typing import NamedTuple
from zoneinfo import ZoneInfo

from edge.agenda import Agenda
from edge.clock import Clock
from edge.config import Limits
from edge.history.periods import Periods
from edge.identity import Identity
from edge.kernels_ready import KernelsReady
from edge.now.facts import Facts
from edge.now.present import Insight
from edge.store.door import Store
from edge.timekeeper import Timekeeper


class Means(NamedTuple):
    """What a kind of sensor is given, beside its configuration and its row in the store."""

    store: Store
    periods: Periods
    facts: Facts
    agenda: Agenda
    clock: Clock
    timekeeper: Timekeeper
    limits: Limits
    identity: Identity
    zone: ZoneInfo
    insights: dict[str, Insight]  # by the sensor's id
    kernels: KernelsReady
    rng: random.Random
