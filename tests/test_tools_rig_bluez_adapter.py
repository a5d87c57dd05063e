"""An adapter of a guest: what comes out of its serial line, with power and without."""

import asyncio
from typing import cast

from bumble import hci

from hw_sim.clock import run
from hw_sim.radio.air import Air
from tools.rig.bluez.adapter import Adapter

RESET = bytes(hci.HCI_Reset_Command())
READ_ADDRESS = bytes(hci.HCI_Read_BD_ADDR_Command())


class Line:
    """The host's end."""

    def __init__(self) -> None:
        self.said: list[hci.HCI_Packet] = []

    def write(self, packet: bytes) -> None:
        self.said.append(hci.HCI_Packet.from_bytes(packet))


async def ask(adapter: Adapter, line: Line, request: bytes) -> list[hci.HCI_Packet]:
    line.said.clear()
    adapter.data_received(request)
    await asyncio.sleep(0.1)
    return line.said.copy()


def plugged(air: Air) -> tuple[Adapter, Line]:
    adapter, line = Adapter(air, "hci0"), Line()
    adapter.connection_made(cast(asyncio.Transport, line))
    return adapter, line


def test_without_power_it_answers_nothing_and_with_it_it_is_the_one_that_it_was() -> None:
    async def use() -> None:
        adapter, line = plugged(Air())
        (before,) = await ask(adapter, line, READ_ADDRESS)
        adapter.unplug()
        assert await ask(adapter, line, RESET) == []
        adapter.plug()
        assert len(await ask(adapter, line, RESET)) == 1
        (after,) = await ask(adapter, line, READ_ADDRESS)
        assert bytes(before) == bytes(after)

    run(use())


def test_two_adapters_have_addresses_of_their_own() -> None:
    async def use() -> None:
        air = Air()
        said = [bytes(*await ask(*plugged(air), READ_ADDRESS)) for _ in range(2)]
        assert said[0] != said[1]

    run(use())


def test_what_it_was_in_the_middle_of_is_forgotten_with_its_power() -> None:
    async def use() -> None:
        adapter, line = plugged(Air())
        adapter.data_received(RESET[:2])
        adapter.unplug()
        adapter.plug()
        assert len(await ask(adapter, line, RESET)) == 1

    run(use())
