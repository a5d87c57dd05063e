"""The contact with a sensor: where it stands, and what keeps it up.

Each way in which data reach the gateway (`kinds.Reach`) has a loop of its own that keeps the contact up for years.
Status, facts and alerts read where it stands here, and do not know the way.
"""

from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Protocol

from edge.radio.trouble import OF_THE_MACHINE, Trouble


class Phase(StrEnum):
    """Where a contact stands; one without a link is searching, or streaming."""

    WAITING = auto()
    SEARCHING = auto()
    CONNECTING = auto()
    SETTLING = auto()
    STREAMING = auto()
    CLOSING = auto()


@dataclass(slots=True)
class ContactState:
    """What the status page shows of a contact.

    `trouble` is the newest one, `detail` what happened then, `trouble_boot_ns` when. While `phase` is streaming, the
    trouble is over. `adopted` counts connections that the system had already.
    """

    phase: Phase = Phase.WAITING
    connects: int = 0
    losses: int = 0
    adopted: int = 0
    trouble: Trouble | None = None
    detail: str | None = None
    trouble_boot_ns: int | None = None


def forget_the_machine(state: ContactState) -> None:
    """The machine's Bluetooth can be used: what it was troubled by is over."""
    if state.trouble in OF_THE_MACHINE:
        state.trouble = state.detail = state.trouble_boot_ns = None


class Contact(Protocol):
    """Keeps the data of one sensor coming."""

    state: ContactState

    async def run(self) -> None:
        """Run until cancelled."""
        ...
