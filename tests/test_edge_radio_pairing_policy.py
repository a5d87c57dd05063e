"""The policy of bonds: its table row by row, its limits, and what holds whatever happens."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from edge.radio.pairing import policy
from edge.radio.pairing.ceremony import Asked
from edge.radio.pairing.policy import (
    DAY_S,
    FRUITLESS_MAX,
    RENEWALS_MAX,
    WAITS,
    BondState,
    Stage,
    Step,
    plan,
    why_failed,
)
from edge.radio.trouble import Trouble

NOW_S = 1_000_000.0
SETTLED = BondState()
DOUBTED = BondState(Stage.DOUBTED, 1)
LAST_DOUBT = BondState(Stage.DOUBTED, FRUITLESS_MAX - 1)
LOST = BondState(Stage.LOST, FRUITLESS_MAX)
REFUSED = BondState(Stage.REFUSED, 1, NOW_S + 60.0)
ASKED = BondState(Stage.ASKED)
ALL = (SETTLED, DOUBTED, LAST_DOUBT, LOST, REFUSED, ASKED)


def failed(state: BondState) -> BondState:
    return policy.on_failed(state, Trouble.PASSKEY_WRONG, NOW_S)


def forgotten(state: BondState) -> BondState:
    return policy.on_forgotten(state, NOW_S)


@pytest.mark.parametrize(
    ("state", "happened", "stage"),
    [
        (SETTLED, policy.on_fruitless, Stage.DOUBTED),
        (DOUBTED, policy.on_fruitless, Stage.DOUBTED),
        (LAST_DOUBT, policy.on_fruitless, Stage.LOST),
        (LOST, policy.on_fruitless, Stage.LOST),
        (REFUSED, policy.on_fruitless, Stage.DOUBTED),
        (ASKED, policy.on_fruitless, Stage.ASKED),
        (LOST, forgotten, Stage.SETTLED),
        (ASKED, forgotten, Stage.ASKED),
        (LOST, failed, Stage.LOST),
        *((state, failed, Stage.REFUSED) for state in ALL if state is not LOST),
        *((state, policy.on_linked, Stage.SETTLED) for state in ALL),
        *((state, policy.on_asked, Stage.ASKED) for state in ALL),
    ],
)
def test_each_row_of_the_table(
    state: BondState, happened: Callable[[BondState], BondState], stage: Stage
) -> None:
    assert happened(state).stage is stage


@pytest.mark.parametrize("renews", [True, False])
@pytest.mark.parametrize("state", ALL)
def test_without_a_bond_a_sensor_is_paired(state: BondState, *, renews: bool) -> None:
    assert plan(state, is_bonded=False, renews=renews, now_s=NOW_S) is Step.PAIR


@pytest.mark.parametrize(
    ("state", "renews", "step"),
    [
        (SETTLED, True, Step.CONNECT),
        (DOUBTED, True, Step.CONNECT),
        (LAST_DOUBT, True, Step.CONNECT),
        (REFUSED, True, Step.CONNECT),
        (LOST, True, Step.FORGET),
        (LOST, False, Step.CONNECT),
        (ASKED, True, Step.FORGET),
        (ASKED, False, Step.FORGET),
        (replace(LOST, renewed_s=(NOW_S - 1.0,) * (RENEWALS_MAX - 1)), True, Step.FORGET),
        (replace(LOST, renewed_s=(NOW_S - 1.0,) * RENEWALS_MAX), True, Step.CONNECT),
        (replace(LOST, renewed_s=(NOW_S - DAY_S,) * RENEWALS_MAX), True, Step.FORGET),
        (replace(ASKED, renewed_s=(NOW_S - 1.0,) * RENEWALS_MAX), True, Step.FORGET),
    ],
)
def test_a_bond_is_deleted_only_when_it_is_lost_or_a_person_asks(
    state: BondState, step: Step, *, renews: bool
) -> None:
    assert plan(state, is_bonded=True, renews=renews, now_s=NOW_S) is step


@pytest.mark.parametrize(
    ("asked", "had_passkey", "by_person", "was_refused", "trouble"),
    [
        (Asked.NOTHING, False, False, True, Trouble.PAIRING_CLOSED),
        (Asked.NOTHING, True, False, True, Trouble.PAIRING_CLOSED),
        (Asked.NOTHING, True, True, True, Trouble.BONDS_FULL),
        (Asked.NOTHING, True, False, False, Trouble.PAIRING_FAILED),
        (Asked.PASSKEY, True, False, True, Trouble.PASSKEY_WRONG),
        (Asked.PASSKEY, True, True, True, Trouble.PASSKEY_WRONG),
        (Asked.PASSKEY, True, False, False, Trouble.PAIRING_FAILED),
        (Asked.PASSKEY, False, False, True, Trouble.PASSKEY_MISSING),
        # The sensor hung up while nobody answered.
        (Asked.PASSKEY, False, True, False, Trouble.PASSKEY_MISSING),
        (Asked.SHOWN, False, True, True, Trouble.PASSKEY_WRONG),
        (Asked.CONFIRMATION, False, False, True, Trouble.INSECURE),
    ],
)
def test_why_a_pairing_failed_follows_from_what_was_asked(
    asked: Asked, trouble: Trouble, *, had_passkey: bool, by_person: bool, was_refused: bool
) -> None:
    why = why_failed(asked, had_passkey=had_passkey, by_person=by_person, was_refused=was_refused)
    assert why is trouble


def test_every_trouble_of_pairing_has_a_pause_and_words() -> None:
    reasons = itertools.product(Asked, (True, False), (True, False), (True, False))
    for asked, had_passkey, by_person, was_refused in reasons:
        why = why_failed(asked, had_passkey=had_passkey, by_person=by_person, was_refused=was_refused)
        assert why in WAITS
    for trouble, waits in WAITS.items():
        assert 0.0 < waits.first_s <= waits.longest_s
        assert trouble.cause
        assert trouble.remedy


@pytest.mark.parametrize("trouble", WAITS)
def test_pauses_double_up_to_a_limit(trouble: Trouble) -> None:
    state, now_s, pauses_s = SETTLED, NOW_S, []
    for _ in range(2000):
        state = policy.on_failed(state, trouble, now_s)
        pauses_s.append(state.rest_until_s - now_s)
        now_s = state.rest_until_s
    first_s, longest_s = WAITS[trouble]
    assert pauses_s[0] == first_s
    assert pauses_s[-1] == longest_s
    assert all(a <= b <= 2 * a for a, b in itertools.pairwise(pauses_s))


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_a_day_has_few_renewals_and_a_good_bond_stays(seed: int) -> None:
    """Events in any order: the policy deletes a bond after enough evidence alone, and not too often."""
    rng = random.Random(seed)
    state, is_bonded, now_s, fruitless = BondState(), rng.random() < 0.5, 0.0, 0
    deleted_s: list[float] = []
    for _ in range(400):
        now_s += rng.expovariate(1 / 600.0)
        if rng.random() < 0.02:
            state, fruitless = policy.on_asked(state), 0
        match plan(state, is_bonded=is_bonded, renews=True, now_s=now_s):
            case Step.FORGET:
                if state.stage is not Stage.ASKED:
                    assert fruitless >= FRUITLESS_MAX
                    deleted_s.append(now_s)
                state, is_bonded = policy.on_forgotten(state, now_s), False
            case Step.PAIR if rng.random() < 0.5:
                state, is_bonded, fruitless = policy.on_linked(state), True, 0
            case Step.PAIR:
                state = policy.on_failed(state, rng.choice(list(WAITS)), now_s)
            case Step.CONNECT if rng.random() < 0.8:
                fruitless += 1
                state = policy.on_fruitless(state)
            case Step.CONNECT:
                state, fruitless = policy.on_linked(state), 0
        assert state.renewals(now_s) <= RENEWALS_MAX
        assert state.renewals(now_s) == sum(then_s > now_s - DAY_S for then_s in deleted_s)
    for first_s, last_s in zip(deleted_s, deleted_s[RENEWALS_MAX:], strict=False):
        assert last_s - first_s >= DAY_S
