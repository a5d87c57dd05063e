"""What a simulated machine's pairing asks and tells; for both stacks."""

import asyncio
from typing import Final, NamedTuple, Protocol

FLAPS_MAX: Final = 3
"""A link that comes up and ends so often in one attempt will go on doing so."""


class Questions(Protocol):
    """Who answers what a device asks while it is paired."""

    async def passkey(self) -> int | None: ...

    def show(self, passkey: int) -> None: ...

    def confirm(self) -> bool: ...


class Standing(NamedTuple):
    """How a device and the machine stand to each other."""

    is_bonded: bool
    is_trusted: bool
    is_encrypted: bool | None


class Trial:
    """How often a link came up and ended in an attempt to connect."""

    def __init__(self) -> None:
        self.came_up = 0
        self.flapping = asyncio.Event()

    def on_ended(self) -> None:
        self.came_up += 1
        if self.came_up >= FLAPS_MAX:
            self.flapping.set()
