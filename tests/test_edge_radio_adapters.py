"""Sensors are spread over adapters, connections are counted, and what is full is said."""

import asyncio
import random
from collections import Counter

import pytest
from radio_parts import LIMITS, Talker, end, start

from edge.config_radio import RadioUse
from edge.radio.adapter import Radio, System
from edge.radio.adapters import ANY, ELSEWHERE_S, LEARNED_S, Adapters
from edge.radio.health import Adapter, Health
from edge.radio.inbox import Inbox
from edge.radio.session import Session
from edge.radio.trouble import Trouble
from hw_sim.clock import VirtualClock, run
from hw_sim.radio.direct_radio import backends
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap

ONE, TWO = Adapter("hci0", "00:1B:DC:F2:44:01", True), Adapter("hci1", "00:1B:DC:F2:44:02", True)
BOTH = RadioUse(adapters=(ONE.address, TWO.address))


def adapters(use: RadioUse, *there: Adapter) -> Adapters:
    health = Health()
    health.back(there)
    return Adapters(use, health)


def test_without_a_configuration_bleak_chooses_and_the_first_that_is_on_is_shown() -> None:
    off = ONE._replace(is_powered=False)
    chosen = adapters(RadioUse(), off, TWO)
    chosen.links = {"a": ANY, "b": ANY}
    assert chosen.names() == [ANY]
    assert chosen.load(off, 0.0) == (0, None)
    assert chosen.load(TWO, 0.0) == (2, None)


def test_only_adapters_that_are_on_are_used() -> None:
    assert adapters(BOTH, ONE, TWO._replace(is_powered=False)).names() == ["hci0"]


def test_the_adapter_that_holds_least_is_taken_and_after_a_while_any() -> None:
    chosen = adapters(BOTH, ONE, TWO)
    chosen.links = {"a": "hci0"}
    assert not chosen.suits("hci0", None, 0.0, 0.0)
    assert chosen.suits("hci1", None, 0.0, 0.0)
    assert chosen.suits("hci0", None, ELSEWHERE_S, 0.0)


def test_a_bond_goes_before_balance() -> None:
    chosen = adapters(BOTH, ONE, TWO)
    chosen.links = {"a": "hci0"}
    assert chosen.suits("hci0", "hci0", 0.0, 0.0)
    assert not chosen.suits("hci1", "hci0", ELSEWHERE_S, 0.0)


def test_a_refusal_teaches_how_many_an_adapter_holds_for_a_while() -> None:
    chosen = adapters(BOTH, ONE, TWO)
    chosen.on_refused("hci0", 0.0)  # it holds none: the refusal had another cause
    assert not chosen.is_full("hci0", 0.0)
    chosen.links = {"a": "hci0", "b": "hci0"}
    chosen.on_refused("hci0", 5.0)
    assert chosen.load(ONE, 10.0) == (2, 2)
    assert chosen.full(10.0) is None
    assert not chosen.suits("hci0", None, ELSEWHERE_S, 10.0)
    assert chosen.load(ONE, 5.0 + LEARNED_S) == (2, None)


# On a machine


class House:
    """So many straps, and a session for each."""

    def __init__(self, straps: int, use: RadioUse, slots: int | None = None) -> None:
        self.stack = DirectStack(connect_s=0.2, request_s=0.02)
        self.stack.slots = slots
        self.stack.bluetoothd.adapters = {ONE.name: ONE.address, TWO.name: TWO.address}
        self.addresses = [f"F0:00:00:00:00:{n:02X}" for n in range(1, straps + 1)]
        self.straps = [DirectStrap(address) for address in self.addresses]
        self.stack.add(*self.straps)
        bluetoothd = self.stack.bluetoothd
        system = System(bluetoothd.new_bus, bluetoothd.reset)
        self.radio = Radio(*backends(self.stack), system, use)
        self.sessions = [self._session(n, address) for n, address in enumerate(self.addresses)]

    def _session(self, n: int, address: str) -> Session:
        talker = Talker(sensor_id=f"strap-{n}", address=address, stale_s=900.0)
        clock = VirtualClock(0, "boot")
        return Session(talker, self.radio, Inbox(4096), clock, LIMITS, random.Random(n))

    def run(self) -> list["asyncio.Task[None]"]:
        return [asyncio.ensure_future(self.radio.run()), *map(start, self.sessions)]


async def close(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        await end(task, 60)


def test_twenty_sensors_are_spread_over_two_adapters() -> None:
    async def main() -> None:
        house = House(20, BOTH, slots=12)
        tasks = house.run()
        await asyncio.sleep(60)
        assert Counter(house.stack.adapter_of.values()) == {"hci0": 10, "hci1": 10}
        assert [session.state.phase for session in house.sessions] == ["settling"] * 20
        assert house.stack.connects_while_scanning == 0
        await close(tasks)

    run(main())


def test_adapters_connect_beside_each_other() -> None:
    async def main() -> None:
        house = House(4, BOTH)
        house.stack.connect_s = 5.0
        tasks = house.run()
        # Two connect by each adapter, one after the other, and the first search begins when the adapters are known.
        await asyncio.sleep(10.5)
        assert [session.state.connects for session in house.sessions] == [1] * 4
        assert house.stack.connects_while_scanning == 0
        await close(tasks)

    run(main())


def test_a_sensor_that_only_the_fuller_adapter_hears_is_connected_by_that() -> None:
    async def main() -> None:
        house = House(3, BOTH)
        house.stack.deaf_to = {("hci1", address) for address in house.addresses}
        tasks = house.run()
        await asyncio.sleep(40)
        assert Counter(house.stack.adapter_of.values()) == {"hci0": 3}
        await close(tasks)

    run(main())


@pytest.mark.parametrize("use", [RadioUse(), RadioUse(connections_max=2)])
def test_what_has_no_connection_left_is_said_and_connected_once_there_is_one(use: RadioUse) -> None:
    async def main() -> None:
        house = House(3, use, slots=2)
        tasks = house.run()
        await asyncio.sleep(30)
        (without,) = [session for session in house.sessions if session.state.connects == 0]
        assert without.state.trouble is Trouble.NO_SLOT
        assert without.state.detail == "2 of 2 connections are in use"
        other = next(session for session in house.sessions if session is not without)
        house.stack.lose(other.sensor.config.address)
        await asyncio.sleep(12)
        assert without.state.connects == 1
        await close(tasks)

    run(main())


def test_none_of_the_adapters_that_were_named_is_there() -> None:
    async def main() -> None:
        house = House(1, RadioUse(adapters=("00:00:00:00:00:09",)))
        tasks = house.run()
        await asyncio.sleep(10)
        state = house.sessions[0].state
        assert (state.trouble, state.detail) == (
            Trouble.NO_ADAPTER,
            "BlueZ runs and has none of those in [radio] adapters",
        )
        await close(tasks)

    run(main())


def test_the_links_of_an_adapter_that_vanishes_end_and_go_to_the_other() -> None:
    async def main() -> None:
        house = House(4, BOTH)
        tasks = house.run()
        await asyncio.sleep(30)
        lost = [address for address, name in house.stack.adapter_of.items() if name == "hci1"]
        for address in lost:
            house.stack.links[address].die()
        house.stack.bluetoothd.adapters.pop("hci1")
        house.stack.bluetoothd.plug()  # a signal that something of the adapters has changed
        await asyncio.sleep(10)
        assert Counter(house.stack.adapter_of.values()) == {"hci0": 4}
        await close(tasks)

    run(main())
