"""When data of a sensor have come: what the sensor knows is held against what a gateway has counted."""

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from hw_sim.clock import run
from tools.rig.home.flow import times
from tools.rig.home.scene import Count
from tools.rig.language.durations import Span
from tools.rig.language.vocabulary import Data

AFTER_S, WITHIN_S = 20.0, 15.0
EXPECTED = Data(after_s=Span(AFTER_S), within_s=Span(WITHIN_S))


@dataclass
class Play:
    """A sensor that is listened to from some time on, sends at times, and a gateway that counts at times."""

    linked_s: float
    sent_s: tuple[float, ...] = ()
    counted_s: tuple[float, ...] = ()
    restarts_s: float | None = None

    def __post_init__(self) -> None:
        outer = self

        class Sensor:
            @property
            def is_subscribed(self) -> bool:
                return outer.now_s >= outer.linked_s

            @property
            def sent_s(self) -> float:
                return max((s for s in outer.sent_s if s <= outer.now_s), default=float("-inf"))

        self.scenario = SimpleNamespace(sensors=[SimpleNamespace(id="one")])
        self._sensor = Sensor()

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def until_moment(self, at_s: float) -> None:
        await asyncio.sleep(at_s - self.now_s)

    def sensor(self, _: str) -> Any:
        return self._sensor

    async def count(self, _: str) -> Count | None:
        if self.restarts_s is None or self.now_s < AFTER_S + 0.7:
            return Count(1, 5 + sum(s <= self.now_s for s in self.counted_s))
        if self.now_s < self.restarts_s:
            return None
        return Count(2, sum(self.restarts_s <= s <= self.now_s for s in self.counted_s))


def took(play: Any) -> float | None:
    """Rounded down: who looks ten times a second sees it a little later."""
    found: dict[str, float | None] = run(times(play, EXPECTED))
    return None if found["one"] is None else float(int(found["one"]))


@pytest.mark.parametrize(
    ("play", "took_s"),
    [
        (Play(0.0, (25.0,), (25.0,)), 5.0),
        # What is on its way at the moment is no answer to what has happened then.
        (Play(0.0, (19.9, 28.0), (20.3, 28.0)), 8.0),
        (Play(0.0, (19.9,), (20.3,)), None),
        (Play(0.0, (19.9,), (23.0,)), None),
        # It sends, and nothing arrives, or too late.
        (Play(0.0, (25.0, 26.0, 60.0), ()), None),
        (Play(0.0, (25.0,), (38.0,)), None),
        # Nobody listens in time.
        (Play(36.0, (60.0,), (60.0,)), None),
        # Nothing was to be had before: it flows since somebody listens, if what comes next arrives.
        (Play(26.0, (60.0,), (60.5,)), 6.0),
        (Play(26.0, (60.0,), ()), None),
        (Play(26.0, (60.0,), (65.0,)), None),
        # Another life counts from nothing.
        (Play(0.0, (30.0,), (30.0,), restarts_s=24.0), 10.0),
        (Play(0.0, (30.0,), (), restarts_s=24.0), None),
    ],
)
def test_the_time_is_that_of_the_first_data_after_the_moment(play: Play, took_s: float | None) -> None:
    assert took(play) == took_s


def test_nobody_waits_for_ever_for_a_sensor_that_never_sends() -> None:
    assert took(Play(0.0)) is None
