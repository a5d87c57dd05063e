"""What the alerts remember from one process to the next: a blob in the store.

Contract: it is written together with the events that led to it. A memory of another version is no memory: then what
stands, and the number of each rule's newest alert, follows from the events that are stored. Nothing is decided here.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from edge.alerts.axis import Mark
from edge.alerts.ledger import BLOB
from edge.alerts.rules import RULES
from edge.alerts.state import GATEWAY, AlertState, Key, Phase, RuleState, Tier, decode, encode
from edge.store import blobs
from edge.store.alerts import ENDS, AlertEvent
from edge.store.tables import Tables

VERSION: Final = 1
RETOLD_S: Final = 300.0


class Memory(NamedTuple):
    """What is kept.

    Attributes:
        mark: the moment of which all this is.
        heard_s: when each sensor, by its number, gave its newest sign of life; if it never did, when it was first
            waited for.
        unsettled: how many processes in a row have begun and not settled, the one that keeps this included.
        has_ended: whether the process that keeps it has ended in order, so that nothing has happened since.
        state: of the engine.
    """

    mark: Mark
    heard_s: Mapping[int, float]
    unsettled: int
    has_ended: bool
    state: AlertState


class _Stored(Struct, array_like=True):
    mark: Mark
    heard_s: dict[int, float]
    unsettled: int
    has_ended: bool
    state: bytes


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Stored).decode


def pack(memory: Memory) -> bytes:
    state = encode(memory.state)
    return _ENCODE(_Stored(memory.mark, dict(memory.heard_s), memory.unsettled, memory.has_ended, state))


def load(tables: Tables) -> Memory | None:
    """The memory in the store, if there is one of this version."""
    version, body = tables.blobs.get(BLOB, blobs.GATEWAY) or (None, b"")
    if version != VERSION:
        return None
    try:
        stored = _DECODE(body)
    except msgspec.MsgspecError:
        return None
    state = decode(stored.state)
    if state is None:
        return None
    return Memory(stored.mark, stored.heard_s, stored.unsettled, stored.has_ended, state)


def after_kill(state: AlertState, at_s: float) -> AlertState:
    """The state to go on from after a process that was killed: what stands is told once more, if it is still beyond.

    For people may have been told that it is over, and that was not stored any more. Where processes are killed again
    and again, it is told each `RETOLD_S` at most, unless it is urgent.
    """
    rules = {
        key: msgspec.structs.replace(
            one, told=False, quiet_until_s=max(at_s, (one.tier_since_s or at_s) + RETOLD_S)
        )
        for key, one in state.standing.items()
        if one.told and not one.acknowledged
    }
    return msgspec.structs.replace(state, rules={**state.rules, **rules})


def rebuilt(newest: Iterable[AlertEvent], subjects: Mapping[int, str], at_s: float) -> AlertState:
    """The state that follows from the newest event of each rule and sensor.

    Args:
        newest: the events.
        subjects: the names of the sensors, by their numbers.
        at_s: now. Alerts that stand count from now, for events of another version may know another time.
    """
    rules: dict[Key, RuleState] = {}
    for event in newest:
        subject = GATEWAY if event.sensor_no is None else subjects.get(event.sensor_no)
        if subject is None:
            continue
        key, known = (event.rule, subject), rules.get((event.rule, subject), RuleState())
        if event.what in ENDS:
            rules[key] = msgspec.structs.replace(known, ordinal=max(known.ordinal, event.ordinal))
        else:
            rules[key] = _standing(event, at_s)
    return AlertState(at_s, rules)


def _standing(event: AlertEvent, at_s: float) -> RuleState:
    rule = RULES.get(event.rule)
    return RuleState(
        phase=Phase.RAISED,
        ordinal=event.ordinal,
        step=event.step + 1,
        since_s=at_s,
        value=event.value,
        worst=event.value,
        tier=Tier(event.tier),
        tier_since_s=at_s,
        told=True,
        armed=rule is None or not rule.once,
    )
