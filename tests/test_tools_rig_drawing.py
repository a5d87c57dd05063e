"""Faults that are drawn from a seed: the same for the same seed, all kinds in some, none that disturbs another."""

from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from msgspec import structs

from edge.errors import ConfigError
from tools.rig.home.faults import HAPPENINGS
from tools.rig.language import vocabulary as v
from tools.rig.language.drawing import DRAWS, FORGIVEN, drawn
from tools.rig.language.scenario import parse

HOME = """
lasts = "2d"
sensors = [{ id = "strap", kind = "heart_rate" }, { id = "cgm", kind = "cgm" }, { id = "phone", kind = "sgv" }]
faults = [{ what = "drawn", every = "20min", longest = "1h", until = "47h" }]
expect = [{ what = "complete" }]
"""
SCENARIO = parse(HOME.encode(), Path("here.toml"))
SEEDS = range(20)


def of_seed(seed: int) -> tuple[v.Fault, ...]:
    return drawn(structs.replace(SCENARIO, seed=seed)).faults


def test_a_seed_draws_the_same_faults_each_time_and_another_seed_others() -> None:
    assert of_seed(3) == of_seed(3)
    assert of_seed(3) != of_seed(4)


def test_every_kind_comes_but_for_those_that_nothing_can_make_good() -> None:
    kinds = Counter(str(one.__struct_config__.tag) for seed in SEEDS for one in of_seed(seed))
    assert set(DRAWS) - kinds.keys() == set(FORGIVEN)
    assert {v.FAULTS[name] for name in DRAWS} <= set(HAPPENINGS)


def test_all_is_over_in_time_and_the_clock_is_right_in_the_end() -> None:
    for seed in SEEDS:
        faults = of_seed(seed)
        assert all(one.end_s <= 47 * 3600.0 for one in faults)
        clocks = [one for one in faults if isinstance(one, v.ClockSet | v.Rebooted)]
        assert not clocks or clocks[-1].trusted


def test_the_gateways_lives_do_not_overlap_and_no_sensor_suffers_the_same_twice_at_once() -> None:
    for seed in SEEDS:
        for one, other in combinations(of_seed(seed), 2):
            is_life = isinstance(one, v.Interruption) and isinstance(other, v.Interruption)
            is_same = type(one) is type(other) and getattr(one, "sensor", 1) == getattr(other, "sensor", 2)
            assert not (is_life or is_same) or one.end_s < other.at_s or other.end_s < one.at_s


def test_what_is_named_is_drawn_and_nothing_else() -> None:
    only = v.Drawn(every_s=SCENARIO.faults[0].every_s, faults=("link lost", "upstream lies"))  # type: ignore[attr-defined]
    found = drawn(structs.replace(SCENARIO, faults=(only,))).faults
    assert {type(one) for one in found} == {v.LinkLost, v.UpstreamLies}


def test_what_cannot_be_drawn_is_refused_by_its_place() -> None:
    rain = structs.replace(SCENARIO.faults[0], faults=("rain",))
    with pytest.raises(ConfigError, match=r"faults\[0\]: 'rain' cannot be drawn; use some of: out of reach"):
        drawn(structs.replace(SCENARIO, faults=(rain,)))
