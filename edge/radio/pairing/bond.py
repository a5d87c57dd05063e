"""The bond of one sensor with this machine: makes it, watches it, and lets nothing through a link that is not safe.

Contract: `connect` is called in the radio's turn, with an attempt to connect; it pairs first if it has to, as `policy`
says. `check` is called before anything is said over a new link. What is wrong is raised as `SensorLost`, with the
trouble that tells cause and remedy. A person may ask to pair at any time (`ask`); what comes of it is `outcome`.

How the system pairs is in `system`, whether a link is safe in `security`.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, NamedTuple, Protocol

from bleak.backends.device import BLEDevice
from bleak.exc import BleakCharacteristicNotFoundError, BleakDBusError, BleakGATTProtocolError

from edge.clock import NS_PER_S, Clock
from edge.config import SensorConfig
from edge.errors import SensorLost
from edge.kinds import Kind, Procedure, Security
from edge.radio.deadline import leave
from edge.radio.diagnosis import CONNECTING, FORESEEN, diagnose
from edge.radio.link import Link
from edge.radio.pairing import policy
from edge.radio.pairing.ceremony import Ceremony
from edge.radio.pairing.policy import BondState, Stage, Step
from edge.radio.pairing.security import Made, shortfall
from edge.radio.pairing.system import Pairing, Trial
from edge.radio.trouble import Trouble
from protocols import uuids

log = logging.getLogger(__name__)

# The pause before a bonded sensor is tried again whose link came up and ended, and before it is paired anew.
SOON_S: Final = 1.0

_FRUITLESS: Final = f"its link came up and ended {policy.FRUITLESS_MAX} times in a row"
_ASKED: Final = "somebody asks to pair it"

# What a sensor gives only over an encrypted link.
PROOFS: Final[Mapping[Procedure, str]] = {Procedure.CGM: uuids.CGM_FEATURE}

_REFUSALS: Final = ("org.bluez.Error.AuthenticationFailed", "org.bluez.Error.AuthenticationRejected")


class BondMemory(Protocol):
    """What is remembered of a bond for as long as the store is kept."""

    made: Made | None

    def keep(self, made: Made | None) -> None:
        """Remember how the bond was made; None: there is none."""
        ...


class Outcome(NamedTuple):
    """What came of a person's request to pair: what made the key, or what went wrong."""

    made: Made | None
    trouble: Trouble | None = None
    detail: str | None = None


class Bond:
    """The bond of one sensor.

    Attributes:
        ceremony: the pairing that is under way.
        is_bonded: what the system said last; None before it was asked.
        is_asked: a person has asked to pair, and waits.
        outcome: what came of the newest request of a person; None while it is under way.
        interrupt: ends the present link, or the present pause, because a person asks to pair.
    """

    def __init__(
        self, config: SensorConfig, kind: Kind, system: Pairing, memory: BondMemory, clock: Clock
    ) -> None:
        self.id = config.id
        self.ceremony: Ceremony | None = None
        self.is_bonded: bool | None = None
        self.is_asked = False
        self.outcome: Outcome | None = None
        self.interrupt: Callable[[], None] = lambda: None
        self.state = BondState()
        self.memory = memory
        self.is_authenticated_wanted = kind.least_security is Security.AUTHENTICATED
        self.accepts_just_works = config.accept_just_works
        self._config = config
        self._kind = kind
        self._system = system
        self._clock = clock
        self._device: BLEDevice | None = None
        self._passkey: int | None = config.passkey
        self._is_forgotten = False  # just now
        self._listeners: list[asyncio.Future[None]] = []

    # For people

    async def news(self, timeout_s: float) -> None:
        """Wait until something has changed, but not longer."""
        listener: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listeners.append(listener)
        await asyncio.wait({listener}, timeout=timeout_s)

    def _tell(self) -> None:
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            if not listener.done():
                listener.set_result(None)

    def ask(self, passkey: int | None) -> None:
        """A person asks to pair now, with this passkey; without one, with that of the configuration."""
        self.is_asked, self.outcome = True, None
        self._passkey = self._config.passkey if passkey is None else passkey
        self._become(policy.on_asked(self.state))
        self.interrupt()

    def withdraw(self) -> None:
        """The person does not wait any longer: a bond that there still is stays."""
        self.is_asked = False
        self._passkey = self._config.passkey
        if self.state.stage is Stage.ASKED:
            self._become(BondState(renewed_s=self.state.renewed_s))
        if self.ceremony is not None and self.ceremony.by_person:
            self.ceremony.end()

    @property
    def rest_s(self) -> float:
        """How long the sensor is left alone from now on, because it could not be paired."""
        return max(0.0, self.state.rest_until_s - self._now_s)

    @property
    def renewals(self) -> int:
        """How many bonds were given up within the last day."""
        return self.state.renewals(self._now_s)

    # For the session

    def next_pause_s(self, otherwise_s: float) -> float:
        """The pause before the next attempt."""
        is_soon = self._is_forgotten or self.state.stage in (Stage.ASKED, Stage.DOUBTED)
        self._is_forgotten = False
        return self.rest_s or (min(SOON_S, otherwise_s) if is_soon else otherwise_s)

    async def connect(self, device: BLEDevice, attempt: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Connect, and pair first if need be.

        Raises:
            FORESEEN: it could not be done.
        """
        self._device = device
        standing = await self._system.standing(device)
        self._see(standing.is_bonded)
        step = policy.plan(self.state, is_bonded=standing.is_bonded, renews=self._renews, now_s=self._now_s)
        match step:
            case Step.PAIR:
                await self._pair(device)
                await attempt()
            case Step.CONNECT:
                await self._try(device, attempt)
            case Step.FORGET:
                await self._give_up(_ASKED if self.state.stage is Stage.ASKED else _FRUITLESS)

    async def check(self, link: Link) -> None:
        """Let nothing pass over a link that is not as safe as the kind demands.

        Raises:
            SensorLost: it is not.
            FORESEEN: it cannot be found out.
        """
        assert self._device is not None
        if self.state.stage is Stage.ASKED:
            raise SensorLost(_ASKED, Trouble.BOND_LOST)
        least, proof = self._kind.least_security, PROOFS.get(self._kind.procedure)
        if least is not Security.NONE:
            if proof is not None:
                await self._prove(link, proof)
            standing = await self._system.standing(self._device)
            self._see(standing.is_bonded)
            lack = shortfall(least, standing, self.memory.made, accepts_just_works=self.accepts_just_works)
            if lack is not None:
                raise self._failed(Trouble.INSECURE, lack)
        self._become(policy.on_linked(self.state))
        self._passkey = self._config.passkey
        self._end(Outcome(self.memory.made))

    # Parts

    @property
    def _now_s(self) -> float:
        return self._clock.boot_ns() / NS_PER_S

    @property
    def _accepts(self) -> bool:
        """Whether a pairing is good enough that nobody has confirmed."""
        return self.accepts_just_works or not self.is_authenticated_wanted

    @property
    def _renews(self) -> bool:
        """Whether the sensor can be paired again without a person."""
        return self._accepts or self._passkey is not None

    def _become(self, state: BondState) -> None:
        self.state = state
        self._tell()

    def _see(self, is_bonded: bool) -> None:
        if not is_bonded and self.memory.made is not None:
            log.warning("%s: this machine has lost its bond with the sensor; it is paired anew", self.id)
            self.memory.keep(None)
        self.is_bonded = is_bonded
        self._tell()

    def _end(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome
        self._tell()

    def _failed(self, trouble: Trouble, detail: str) -> SensorLost:
        """Remember a failure, and what to raise."""
        self._become(policy.on_failed(self.state, trouble, self._now_s))
        self._passkey = self._config.passkey
        self._end(Outcome(None, trouble, detail))
        return SensorLost(detail, trouble)

    async def _try(self, device: BLEDevice, attempt: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Connect a bonded sensor; a link that comes up and ends is evidence that the sensor has lost its key."""
        async with self._system.watch(device) as trial:
            try:
                await _until_it_flaps(attempt, trial)
            except FORESEEN as error:
                if trial.came_up:
                    await self._doubt(error)
                raise

    async def _prove(self, link: Link, proof: str) -> None:
        try:
            await link.read(proof)
        except BleakCharacteristicNotFoundError:
            return  # it is another kind of sensor: who converses with it says which
        except BleakGATTProtocolError as error:
            if diagnose(error, CONNECTING)[0] is Trouble.PAIRING_FAILED:
                await self._doubt(error)
            raise

    async def _doubt(self, error: Exception) -> None:
        """A link to a bonded sensor came to nothing. Raises SensorLost if the sensor seems to have lost its key."""
        self._become(policy.on_fruitless(self.state))
        if self.state.stage is not Stage.LOST:
            return
        now_s = self._now_s
        if policy.plan(self.state, is_bonded=True, renews=self._renews, now_s=now_s) is Step.FORGET:
            await self._give_up(_FRUITLESS, error)
        is_full = self.renewals >= policy.RENEWALS_MAX
        raise self._failed(Trouble.BONDS_FULL if is_full else Trouble.BOND_LOST, _FRUITLESS) from error

    async def _give_up(self, because: str, error: Exception | None = None) -> None:
        """Delete the bond; the sensor is paired in the next round, when it is found again. Raises SensorLost."""
        what = f"{because}: its bond is deleted, and it is paired anew"
        log.warning("%s: %s", self.id, what)
        await self._forget()
        self._is_forgotten = True
        self._become(policy.on_forgotten(self.state, self._now_s))
        raise SensorLost(what, Trouble.BOND_LOST) from error

    async def _forget(self) -> None:
        await self._system.forget(self._config.address)
        self.memory.keep(None)
        self.is_bonded = False

    async def _pair(self, device: BLEDevice) -> None:
        by_person = self.state.stage is Stage.ASKED
        ceremony = Ceremony(
            self._config.address,
            self._passkey,
            confirms=self._accepts,
            by_person=by_person,
            on_change=self._tell,
        )
        self.ceremony = ceremony
        self._tell()
        try:
            await self._system.pair(device, ceremony)
        except FORESEEN as error:
            raise self._why_not(error, ceremony) from error
        finally:
            ceremony.end()
            self.ceremony = None
            self._tell()
        await self._keep(device, Made.BY_PASSKEY if ceremony.is_authenticated else Made.JUST_WORKS)

    def _why_not(self, error: Exception, ceremony: Ceremony) -> Exception:
        trouble, detail = diagnose(error, CONNECTING)
        if trouble is not Trouble.PAIRING_FAILED:
            return error
        return self._failed(
            policy.why_failed(
                ceremony.asked,
                had_passkey=ceremony.had_passkey,
                by_person=ceremony.by_person,
                was_refused=isinstance(error, BleakDBusError) and error.dbus_error in _REFUSALS,
            ),
            detail,
        )

    async def _keep(self, device: BLEDevice, made: Made) -> None:
        """Remember a new bond; one that is not good enough is deleted at once."""
        if made is Made.JUST_WORKS and not self._accepts:
            await self._forget()
            raise self._failed(Trouble.INSECURE, "the sensor did not ask for a passkey")
        if made is Made.JUST_WORKS and self.is_authenticated_wanted:
            log.info(
                "%s: paired without a passkey, as accept_just_works says: somebody nearby could have posed as it",
                self.id,
            )
        else:
            log.info("%s: paired (%s)", self.id, made.value)
        self.is_bonded = True
        self.memory.keep(made)
        self._become(policy.on_linked(self.state))
        await self._system.trust(device)


async def _until_it_flaps(attempt: Callable[[], Coroutine[Any, Any, None]], trial: Trial) -> None:
    """Connect. bleak would go on for its whole time while link after link ends."""
    connecting: asyncio.Task[Any] = asyncio.ensure_future(attempt())
    flapping: asyncio.Task[Any] = asyncio.ensure_future(trial.flapping.wait())
    leave(connecting)
    try:
        await asyncio.wait({connecting, flapping}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            raise SensorLost(f"its link came up and ended {trial.came_up} times", Trouble.CONNECT_FAILED)
        connecting.result()
    finally:
        flapping.cancel()
        if not connecting.done():
            connecting.cancel()
            await asyncio.wait({connecting})
