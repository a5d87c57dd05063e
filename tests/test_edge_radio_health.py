"""Who is told what of the machine's Bluetooth, and when."""

import asyncio
import logging

import pytest
from radio_parts import now_s

from edge.errors import SensorLost
from edge.radio.health import Adapter, Health
from edge.radio.trouble import Trouble
from hw_sim.clock import run

ONE, TWO = Adapter("hci0", "00:1B:DC:F2:44:01", True), Adapter("hci1", "00:1B:DC:F2:44:02", True)
GONE = SensorLost("BlueZ has ended", Trouble.NO_SERVICE)


def test_whoever_rests_goes_on_the_moment_it_is_back() -> None:
    async def main() -> None:
        health = Health()
        health.ended(GONE)
        resting = asyncio.ensure_future(health.rest(120.0))
        await asyncio.sleep(30)
        health.ended(GONE)
        await asyncio.sleep(0)
        assert not resting.done()
        health.back([ONE])
        await resting
        assert now_s() == 30.0
        # What was back already wakes nobody.
        resting = asyncio.ensure_future(health.rest(120.0))
        await asyncio.sleep(10)
        health.back([ONE])
        await resting
        assert now_s() == 150.0

    run(main())


def test_while_it_cannot_be_used_whoever_needs_it_is_told_why() -> None:
    health = Health()
    health.require()
    health.ended(GONE)
    with pytest.raises(SensorLost, match="BlueZ has ended") as told:
        health.require()
    assert told.value.trouble is Trouble.NO_SERVICE
    health.back([ONE])
    health.require()


def test_the_end_is_told_to_all_and_that_of_an_adapter_to_its_users() -> None:
    health = Health()
    health.back([ONE, TWO])
    by_one: list[SensorLost] = []
    by_two: list[SensorLost] = []
    with health.told(by_one.append, "hci0"), health.told(by_two.append, "hci1"):
        health.back([ONE, TWO._replace(is_powered=False)])
        assert ([lost.reason for lost in by_one], [lost.reason for lost in by_two]) == (
            [],
            ["hci1 is gone or switched off"],
        )
        health.ended(GONE)
        assert (by_one, by_two[1:]) == ([GONE], [GONE])
    health.ended(GONE)
    assert len(by_one) == 1


def test_each_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    health = Health()
    for _ in range(100):
        health.ended(GONE)
    health.back([ONE])
    health.back([ONE])
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "the system's Bluetooth service cannot be reached",
        "Bluetooth can be used again",
    ]
