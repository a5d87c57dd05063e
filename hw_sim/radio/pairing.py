"""What a process asks of a simulated machine about pairing, as BlueZ offers it over D-Bus and with an agent.

Contract: while a device is paired, its questions go to whoever asked for the pairing (`Questions`), as to an agent
whose capability is KeyboardDisplay. A pairing that fails is BlueZ's D-Bus error, which does not say why. A link that
comes up and ends while it is made is counted for whoever watches.

Not here: bonds, and links (stack).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bleak.backends.device import BLEDevice
from bumble.pairing import PairingDelegate

from hw_sim.radio.process import Process
from hw_sim.radio.questions import Questions, Standing, Trial
from hw_sim.radio.stack import Stack


class StackPairing:
    """A process's access to the pairing of its machine."""

    def __init__(self, stack: Stack, process: Process) -> None:
        self._stack = stack
        self._process = process

    async def standing(self, device: BLEDevice) -> Standing:
        self._process.require_alive()
        stack, peer = self._stack, device.details
        link = stack.links.get(peer)
        is_encrypted = None if link is None else bool(link.connection.is_encrypted)
        return Standing(await stack.has_bond(peer), device.address in stack.trusted, is_encrypted)

    async def pair(self, device: BLEDevice, ceremony: Questions) -> None:
        self._process.require_alive()
        await self._stack.pair(self._process, device.details, Agent(ceremony))

    async def trust(self, device: BLEDevice) -> None:
        self._process.require_alive()
        self._stack.trusted.add(device.address)

    async def forget(self, address: str) -> bool:
        self._process.require_alive()
        for peer, link in list(self._stack.links.items()):
            if peer.to_string(False) == address:
                await self._stack.hang_up(link)
        return await self._stack.forget(address)

    @asynccontextmanager
    async def watch(self, device: BLEDevice) -> AsyncIterator[Trial]:
        trial = Trial()
        self._stack.watchers[device.details] = trial.on_ended
        try:
            yield trial
        finally:
            del self._stack.watchers[device.details]


class Agent(PairingDelegate):
    """Passes a device's questions on."""

    def __init__(self, questions: Questions) -> None:
        super().__init__(
            self.DISPLAY_OUTPUT_AND_KEYBOARD_INPUT,
            self.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY,
            self.KeyDistribution.DISTRIBUTE_ENCRYPTION_KEY,
        )
        self._questions = questions

    async def get_number(self) -> int | None:
        return await self._questions.passkey()

    # To Just Works BlueZ agrees by itself, if the pairing was asked for on this machine; so does Bumble's delegate.

    async def compare_numbers(self, number: int, digits: int) -> bool:  # noqa: ARG002 - Bumble's interface
        return self._questions.confirm()

    async def display_number(self, number: int, digits: int) -> None:  # noqa: ARG002
        self._questions.show(number)
