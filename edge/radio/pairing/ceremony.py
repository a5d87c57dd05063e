"""One pairing with one sensor, while it lasts: what the sensor asks, and who answers.

Contract: it is for one address only. A passkey comes from the configuration, or from a person who is waited for; if
neither is there, the question is answered with None, and the pairing fails at once. Whether somebody proved by a
passkey that the two ends are the right ones is known afterwards (`is_authenticated`).

How the system asks is in `agent` and in the simulated radio; what follows from an outcome is in `policy`.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Final

CEREMONY_S_MAX: Final = 60.0


class Asked(Enum):
    """What the sensor has asked for."""

    NOTHING = "nothing: just works"
    PASSKEY = "the passkey on the sensor"
    SHOWN = "that a passkey is entered on the sensor"
    CONFIRMATION = "that two numbers are compared"


class Ceremony:
    """What is asked and answered while one sensor is paired.

    Attributes:
        by_person: a person has asked for it, and waits for what comes of it.
        shown: the passkey that is to be entered on the sensor.
    """

    def __init__(
        self,
        address: str,
        passkey: int | None,
        *,
        confirms: bool,
        by_person: bool,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """`confirms`: what nobody can check is agreed to, such as two numbers that nobody compares.

        `on_change` is called whenever there is something new to tell a person.
        """
        self.address = address.upper()
        self.by_person = by_person
        self.asked = Asked.NOTHING
        self.shown: int | None = None
        self._passkey = passkey
        self._confirms = confirms
        self._on_change = on_change
        self._answer: asyncio.Future[int | None] | None = None

    @property
    def is_authenticated(self) -> bool:
        """Whether a pairing that succeeds has made a key that nobody in between can know."""
        return self.asked in (Asked.PASSKEY, Asked.SHOWN)

    @property
    def awaits_passkey(self) -> bool:
        """Whether a person has to say the passkey now."""
        return self._answer is not None and not self._answer.done()

    @property
    def had_passkey(self) -> bool:
        return self._passkey is not None

    async def passkey(self) -> int | None:
        """The sensor asks for its passkey; None if nobody knows it."""
        self.asked = Asked.PASSKEY
        if self._passkey is None and self.by_person:
            self._answer = asyncio.get_running_loop().create_future()
            self._on_change()
            self._passkey = await self._answer
        return self._passkey

    def answer(self, passkey: int) -> bool:
        """A person says the passkey. Whether it was waited for."""
        if not self.awaits_passkey:
            return False
        assert self._answer is not None
        self._answer.set_result(passkey)
        return True

    def show(self, passkey: int) -> None:
        """This passkey is to be entered on the sensor."""
        self.asked, self.shown = Asked.SHOWN, passkey
        self._on_change()

    def confirm(self) -> bool:
        """Whether to agree to what nobody here can check."""
        self.asked = Asked.CONFIRMATION
        return self._confirms

    def end(self) -> None:
        """It is over: nobody is waited for any longer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)
