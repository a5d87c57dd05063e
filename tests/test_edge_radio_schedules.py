"""Random days of a radio: whatever happens to links, scans and gateways, no packet comes twice, and data come back."""

import asyncio
import itertools
import random
from typing import Any

import pytest
from bleak.exc import BleakError
from radio_parts import Talker, now_s

from edge.config import Limits
from edge.contact import Phase
from edge.radio.adapter import ADOPT_S, Radio
from edge.radio.inbox import Inbox, Notification
from edge.radio.intake import Intake
from edge.radio.link import Link
from edge.radio.session import Session
from hw_sim.clock import VirtualClock, run
from hw_sim.radio.direct_radio import backends
from hw_sim.radio.direct_stack import DirectStack
from hw_sim.sensors.direct_strap import DirectStrap
from protocols import uuids

ADDRESSES = [f"F0:00:00:00:00:{n:02X}" for n in (1, 2, 3)]
LIMITS = Limits(connect_timeout_s=5.0, gatt_timeout_s=3.0, backoff_s_max=20.0)
SCAN_START_S_MAX = 15.0
CONNECT_S = 1.0
LINKED = {Phase.SETTLING, Phase.STREAMING}
FAULTS = ["cut", "away", "hang", "break", "kill", "stop", "restart", "slow"]
# The longest pause, the next time that the system is asked what it holds, and everybody's turn to connect.
BACK_AGAIN_S = LIMITS.backoff_s_max + ADOPT_S + len(ADDRESSES) * CONNECT_S


class Home:
    """Straps that count their packets, a machine's Bluetooth, and one gateway process at a time."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.stack = DirectStack(connect_s=CONNECT_S, request_s=0.05)
        self.straps = {address: DirectStrap(address) for address in ADDRESSES}
        self.stack.add(*self.straps.values())
        self.scan_start_s = 0.0
        self.taken: dict[str, list[int]] = {address: [] for address in ADDRESSES}
        self.broken_off: set[str] = set()
        self.gateway = Gateway(self)

    async def send(self) -> None:
        """Every strap a packet each second, whether somebody listens or not."""
        for n in range(1 << 32):
            for strap in self.straps.values():
                strap.send(n.to_bytes(4, "big"))
            await asyncio.sleep(1.0)

    async def has_all(self, since: dict[str, int]) -> None:
        while any(len(self.taken[address]) == since[address] for address in ADDRESSES):
            await asyncio.sleep(0.5)


class Gateway:
    """The radio half of one."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.inbox = Inbox(4096)
        clock = VirtualClock(0, "boot-1")
        scanner, client, adapter, _ = backends(home.stack)
        self.radio = Radio(type("Slow", (scanner,), {"start": slow_start(home, scanner)}), client, adapter)
        intake = Intake(self.inbox, dict.fromkeys(ADDRESSES, self._take), clock)
        self.intake = asyncio.ensure_future(intake.run())
        self.sessions = {
            address: Session(
                Talker(self._talk(address), address=address, sensor_id=address),
                self.radio,
                self.inbox,
                clock,
                LIMITS,
                home.chance,
            )
            for address in ADDRESSES
        }
        self.running = {address: asyncio.ensure_future(s.run()) for address, s in self.sessions.items()}

    def _take(self, notification: Notification) -> None:
        self.home.taken[notification.sensor_id].append(int.from_bytes(notification.payload, "big"))

    def _talk(self, address: str) -> Any:
        async def talk(link: Link) -> None:
            await link.subscribe(uuids.HEART_RATE_MEASUREMENT)
            while address not in self.home.broken_off:
                await asyncio.sleep(1.0)
            self.home.broken_off.discard(address)
            raise BleakError("the conversation fails")

        return talk

    def kill(self) -> None:
        """As by `kill -9`, while the stack lives on."""
        self.home.stack.abandon_clients()
        for task in (self.intake, *self.running.values()):
            task.cancel()

    async def stop(self) -> None:
        """As by SIGTERM; nothing of it may be left."""
        stack = self.home.stack
        # What another has left behind, or could not be hung up before, is not its own.
        own = {address for address, session in self.sessions.items() if session.state.phase in LINKED}
        own -= stack.hangs_on_disconnect
        for task in self.running.values():
            task.cancel()
        await asyncio.wait(self.running.values())
        assert all(task.cancelled() for task in self.running.values())
        assert stack._scanners == []
        assert own & set(stack.links) == set()
        self.intake.cancel()

    async def restart(self, address: str) -> None:
        """Cancel one session, wherever it is, and run another."""
        self.running[address].cancel()
        await asyncio.wait({self.running[address]})
        old = self.sessions[address]
        session = Session(old.sensor, self.radio, self.inbox, old.clock, LIMITS, self.home.chance)
        self.sessions[address] = session
        self.running[address] = asyncio.ensure_future(session.run())


def slow_start(home: Home, scanner: Any) -> Any:
    async def start(self: Any) -> None:
        try:
            await asyncio.sleep(home.scan_start_s)
        except asyncio.CancelledError:
            # As with BlueZ: the scan begins all the same, and nobody can stop it.
            if self.process.is_alive:
                home.stack.scan(self)
            raise
        await scanner.start(self)

    return start


async def something_happens(home: Home) -> None:
    stack, chance = home.stack, home.chance
    address = chance.choice(ADDRESSES)
    match chance.choice(FAULTS):
        case "cut":
            stack.cut(address)
        case "away":
            stack.lose(address)
            asyncio.get_running_loop().call_later(chance.uniform(1, 60), stack.regain, address)
        case "hang":
            stack.hangs_on_disconnect.add(address)
            home.broken_off.add(address)
            asyncio.get_running_loop().call_later(
                chance.uniform(1, 60), stack.hangs_on_disconnect.discard, address
            )
        case "break":
            home.broken_off.add(address)
        case "kill":
            home.gateway.kill()
            await asyncio.sleep(chance.choice([0.0, 0.0, 5.0, 60.0]))
            home.gateway = Gateway(home)
        case "stop":
            await home.gateway.stop()
            home.gateway = Gateway(home)
        case "restart":
            await home.gateway.restart(address)
        case "slow":
            home.scan_start_s = chance.choice([0.0, 0.5, 5.0, SCAN_START_S_MAX])


async def a_day(seed: int) -> float:
    """A schedule of faults, then none: how long it took until everybody's data were back."""
    home = Home(seed)
    sending = asyncio.ensure_future(home.send())
    for _ in range(25):
        await asyncio.sleep(home.chance.choice([0.01, 0.3, 2.0, 20.0]) * home.chance.random())
        await something_happens(home)
    await asyncio.sleep(60)  # what went away comes back
    home.scan_start_s = 0.0
    home.broken_off.clear()
    calm_s = now_s()
    since = {address: len(taken) for address, taken in home.taken.items()}
    async with asyncio.timeout(BACK_AGAIN_S):
        await home.has_all(since)
    back_s = now_s() - calm_s
    assert home.stack.connects_while_scanning == 0
    for taken in home.taken.values():
        assert all(a < b for a, b in itertools.pairwise(taken)), "a packet came twice, or out of order"
    await home.gateway.stop()
    assert home.stack.links == {}
    sending.cancel()
    return back_s


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.soak] * (seed >= 75)) for seed in range(300)]
)
def test_no_packet_comes_twice_and_data_come_back_whatever_happens(seed: int) -> None:
    assert run(a_day(seed)) <= BACK_AGAIN_S
