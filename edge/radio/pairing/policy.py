"""When a sensor is paired, when its bond is given up and made anew, and when nothing is tried. Pure.

Contract: `plan` says what the next attempt to connect begins with; the functions `on_...` say what has happened. A
sensor without a bond is paired, one with a bond is connected. Only one thing makes the gateway itself delete a bond:
`FRUITLESS_MAX` connects in a row of a bonded sensor whose link came up and ended before anything was said. Then the
sensor seems to have lost its key. The bond is deleted only if the sensor can be paired again without a person
(`renews`), and `RENEWALS_MAX` times a day at most. A person who asks to pair always gets an attempt.

    stage     happened             then
    settled   came to nothing      doubted   once
    doubted   came to nothing      doubted   until FRUITLESS_MAX
    doubted   came to nothing      lost      the FRUITLESS_MAX-th time; then the bond is deleted, if it may be
    lost      came to nothing      lost      the bond may not be renewed: it is connected now and then, all the same
    lost      deleted              settled   now it has no bond, so it is paired
    lost      failed               lost
    any       failed               refused   nothing is tried until the pause of the trouble, which doubles, is over
    any       linked               settled   it is paired, or was connected with its bond, and its link is safe
    any       a person asks        asked     the bond is deleted, if there is one, and the sensor is paired
    asked     came to nothing      asked
    asked     deleted              asked

Which trouble a failed pairing is follows from what the sensor asked for (`why_failed`). BlueZ says no more than that
it failed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, NamedTuple

from edge.radio.pairing.ceremony import Asked
from edge.radio.trouble import Trouble

FRUITLESS_MAX: Final = 3
RENEWALS_MAX: Final = 3
DAY_S: Final = 86_400.0


class Stage(Enum):
    """Where the bond with a sensor stands."""

    SETTLED = auto()
    DOUBTED = auto()
    LOST = auto()
    REFUSED = auto()
    ASKED = auto()


class Step(Enum):
    """What an attempt to connect begins with."""

    CONNECT = auto()
    PAIR = auto()
    FORGET = auto()


class Waits(NamedTuple):
    """The pause after a failed pairing: the first, and the longest."""

    first_s: float
    longest_s: float


# Each attempt costs the sensor's battery, and some sensors lock themselves after wrong passkeys. A window that a person
# opens may be open for a minute.
WAITS: Final[Mapping[Trouble, Waits]] = {
    Trouble.PASSKEY_WRONG: Waits(60.0, 3600.0),
    Trouble.PASSKEY_MISSING: Waits(60.0, 3600.0),
    Trouble.INSECURE: Waits(300.0, 3600.0),
    Trouble.PAIRING_CLOSED: Waits(10.0, 20.0),
    Trouble.BONDS_FULL: Waits(20.0, 120.0),
    Trouble.BOND_LOST: Waits(60.0, 600.0),
    Trouble.PAIRING_FAILED: Waits(5.0, 120.0),
}


@dataclass(frozen=True, slots=True)
class BondState:
    """What is remembered of the bond with a sensor while the gateway runs.

    Attributes:
        times: how often in a row pairing failed, or a connect came to nothing.
        rest_until_s: until then nothing is tried.
        renewed_s: when bonds were deleted by this policy within the last day.
    """

    stage: Stage = Stage.SETTLED
    times: int = 0
    rest_until_s: float = 0.0
    renewed_s: tuple[float, ...] = ()

    def renewals(self, now_s: float) -> int:
        """How many bonds were given up within the last day."""
        return sum(then_s > now_s - DAY_S for then_s in self.renewed_s)


def plan(state: BondState, *, is_bonded: bool, renews: bool, now_s: float) -> Step:
    """What the next attempt begins with."""
    if not is_bonded:
        return Step.PAIR
    is_due = state.stage is Stage.LOST and renews and state.renewals(now_s) < RENEWALS_MAX
    return Step.FORGET if is_due or state.stage is Stage.ASKED else Step.CONNECT


def on_linked(state: BondState) -> BondState:
    """The sensor is paired, or its link is as safe as its kind demands."""
    return BondState(renewed_s=state.renewed_s)


def on_fruitless(state: BondState) -> BondState:
    """A link to a bonded sensor came up, and ended before anything was said."""
    if state.stage in (Stage.LOST, Stage.ASKED):
        return state
    times = state.times + 1 if state.stage is Stage.DOUBTED else 1
    stage = Stage.LOST if times >= FRUITLESS_MAX else Stage.DOUBTED
    return replace(state, stage=stage, times=times, rest_until_s=0.0)


def on_forgotten(state: BondState, now_s: float) -> BondState:
    """The bond is deleted. If nobody asked for that, it counts."""
    if state.stage is Stage.ASKED:
        return state
    kept = tuple(then_s for then_s in state.renewed_s if then_s > now_s - DAY_S)
    return BondState(renewed_s=(*kept, now_s))


def on_failed(state: BondState, trouble: Trouble, now_s: float) -> BondState:
    """The sensor could not be paired, its link is not safe, or its bond may not be renewed."""
    times = state.times + 1 if state.stage in (Stage.REFUSED, Stage.LOST) else 1
    waits = WAITS[trouble]
    rest_s = min(waits.first_s * 2.0 ** min(times - 1, 20), waits.longest_s)
    stage = Stage.LOST if state.stage is Stage.LOST else Stage.REFUSED
    return replace(state, stage=stage, times=times, rest_until_s=now_s + rest_s)


def on_asked(state: BondState) -> BondState:
    """A person asks to pair, now."""
    return replace(state, stage=Stage.ASKED, times=0, rest_until_s=0.0)


def why_failed(asked: Asked, *, had_passkey: bool, by_person: bool, was_refused: bool) -> Trouble:
    """The trouble of a pairing that failed; `was_refused`: one of the two ends has said no."""
    if asked is Asked.PASSKEY and not had_passkey:
        return Trouble.PASSKEY_MISSING
    if not was_refused:
        return Trouble.PAIRING_FAILED
    if asked in (Asked.PASSKEY, Asked.SHOWN):
        return Trouble.PASSKEY_WRONG
    if asked is Asked.CONFIRMATION:
        return Trouble.INSECURE
    # A person who asks has opened the sensor's window just before.
    return Trouble.BONDS_FULL if by_person else Trouble.PAIRING_CLOSED
