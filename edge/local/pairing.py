"""What a person is told while a sensor is paired, and what status says of a bond.

Contract: a request to pair ends by itself, at the latest after `PAIR_S_MAX`. If whoever asked is gone before, the bond
that there is stays. Only one person at a time pairs a sensor. What is done is decided in `edge.radio.pairing`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

from msgspec import Struct

from edge.contact import Contact, ContactState, Phase
from edge.kinds import Reach
from edge.local.status import PairingStatus
from edge.local.verbs import Error, Paired, PairingNews, Refusal
from edge.radio.pairing.bond import Bond, Outcome
from edge.sensors.sensor import Sensor

PAIR_S_MAX: Final = 120.0
# How often it is looked where the contact stands, which nobody tells.
LOOK_S: Final = 1.0
# How often the same is told again: only so it is seen that whoever asked has gone.
AGAIN_S: Final = 5.0
# How sensors are reached that are not paired.
_WITHOUT_A_BOND: Final = {
    Reach.CONNECTION: "gives its data to whoever connects",
    Reach.ADVERTISEMENT: "tells its data to all around, without a connection",
    Reach.FEED: "is asked over the network, not by Bluetooth",
}


def pairing_status(bond: Bond) -> PairingStatus:
    """How a sensor is paired with this machine, and what is being done about it."""
    ceremony = bond.ceremony
    made = bond.memory.made
    return PairingStatus(
        bonded=bond.is_bonded,
        made=None if made is None else made.value,
        accepts_just_works=bond.accepts_just_works,
        under_way=ceremony is not None,
        awaits_passkey=ceremony is not None and ceremony.awaits_passkey,
        shown_passkey=None if ceremony is None or ceremony.shown is None else f"{ceremony.shown:06}",
        renewed_today=bond.renewals,
        rest_s=round(bond.rest_s, 1) or None,
    )


async def pair(
    sensors: Mapping[str, Sensor],
    bonds: Mapping[str, Bond],
    contacts: Mapping[str, Contact],
    sensor: str,
    passkey: int | None,
) -> AsyncGenerator[Struct, None]:
    """Pair a sensor anew: what happens meanwhile, and at the end what came of it."""
    refused = _unfit(sensors, bonds, sensor)
    if refused is None and bonds[sensor].is_asked:
        refused = Refusal(Error(f"somebody is pairing {sensor} already", "wait until that has ended"))
    if refused is not None:
        yield refused
        return
    bond, state = bonds[sensor], contacts[sensor].state
    bond.ask(passkey)
    try:
        async for news in _news(bond, lambda: PairingNews(sensor, state.phase, pairing_status(bond))):
            yield news
        yield _result(sensor, bond.outcome, state)
    finally:
        bond.withdraw()


async def _news(bond: Bond, now: Callable[[], PairingNews]) -> AsyncGenerator[PairingNews, None]:
    """What is new, until it is over, and now and then the same again."""
    loop = asyncio.get_running_loop()
    end_s, said, again_s = loop.time() + PAIR_S_MAX, None, 0.0
    while bond.outcome is None and (left_s := end_s - loop.time()) > 0.0:
        news = now()
        if news != said or loop.time() >= again_s:
            yield news
            said, again_s = news, loop.time() + AGAIN_S
        await bond.news(min(left_s, LOOK_S))


def tell_passkey(
    sensors: Mapping[str, Sensor],
    bonds: Mapping[str, Bond],
    contacts: Mapping[str, Contact],
    sensor: str,
    passkey: int,
) -> Struct:
    """Answer a sensor that waits for its passkey."""
    refused = _unfit(sensors, bonds, sensor)
    if refused is not None:
        return refused
    ceremony = bonds[sensor].ceremony
    if ceremony is None or not ceremony.answer(passkey):
        return Refusal(Error(f"{sensor} does not wait for a passkey", "ask to pair it first"))
    return PairingNews(sensor, contacts[sensor].state.phase, pairing_status(bonds[sensor]))


def _unfit(sensors: Mapping[str, Sensor], bonds: Mapping[str, Bond], sensor: str) -> Refusal | None:
    if sensor not in sensors:
        return Refusal(Error(f"there is no sensor {sensor!r}", f"use one of: {', '.join(sensors)}"))
    if sensor not in bonds:
        which = f"pair one of: {', '.join(bonds)}" if bonds else "no sensor of this gateway has to be paired"
        kind = sensors[sensor].kind
        what = f"{sensor} ({kind.title}) {_WITHOUT_A_BOND[kind.reach]}"
        return Refusal(Error(f"there is nothing to pair: {what}", which))
    return None


def _result(sensor: str, outcome: Outcome | None, state: ContactState) -> Struct:
    if outcome is None:
        trouble = state.trouble
        if state.phase is Phase.SEARCHING or trouble is None:
            cause = f"{sensor} was not heard within {PAIR_S_MAX:.0f} s"
            return Refusal(Error(cause, "put it on and bring it nearer; disconnect it from any phone"))
        return Refusal(Error(f"{sensor} could not be connected: {trouble.cause}", trouble.remedy))
    if outcome.trouble is not None:
        return Refusal(Error(f"{sensor} is not paired: {outcome.trouble.cause}", outcome.trouble.remedy))
    return Paired(sensor, None if outcome.made is None else outcome.made.value)
