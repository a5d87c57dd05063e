"""What it takes to have a sensor erase what it has stored, end what it is doing, or measure otherwise: a decision, in
words.

Contract: a value; nothing here decides.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Permit:
    """Somebody has decided that records may be erased, a session start or stop, or a sensor be calibrated; and why."""

    reason: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise ValueError("A permit needs a reason.")
