"""What is drawn from a seed, what is found in it, how a failing one is made small, and how a campaign goes on."""

import json
import logging
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.errors import ConfigError
from tools.rig.explore.campaign import Call, Tally, explore, named, read
from tools.rig.explore.checks import Due, wrong_readings
from tools.rig.explore.draw import DRAWERS, LEFT_OUT, STRAP, WORN_S, document
from tools.rig.explore.play import Result, scenario_of
from tools.rig.explore.shrink import kinds, shrink
from tools.rig.home.faults import HAPPENINGS
from tools.rig.language.vocabulary import Interruption, OutOfReach
from tools.rig.verdict.received import Reading

SEEDS, DRAWN = 20, 40
DAY_S = 86_400.0


def test_every_fault_that_befalls_a_simulated_home_is_drawn_or_left_out_for_a_reason() -> None:
    names = {str(kind.__struct_config__.tag) for kind in HAPPENINGS}
    assert DRAWERS.keys() | LEFT_OUT.keys() == names
    assert not DRAWERS.keys() & LEFT_OUT.keys()
    drawn = {row["what"] for seed in range(SEEDS) for row in document(seed)["faults"]}
    assert drawn == DRAWERS.keys()


def test_a_seed_gives_the_same_home_each_time_and_each_is_a_scenario() -> None:
    for seed in range(DRAWN):
        made = document(seed)
        assert json.dumps(made) == json.dumps(document(seed))
        scenario = scenario_of(made)
        assert scenario.lasts_s == 2 * DAY_S
        lives = [fault for fault in scenario.faults if isinstance(fault, Interruption)]
        assert all(fault.end_s < scenario.lasts_s for fault in lives)
    assert document(1)["faults"] != document(2)["faults"]


def test_the_strap_is_worn_two_hours_a_day() -> None:
    for seed in range(DRAWN):
        away = sorted(
            (fault.at_s, fault.end_s)
            for fault in scenario_of(document(seed)).faults[:3]
            if isinstance(fault, OutOfReach) and fault.sensor == STRAP
        )
        assert away[0][0] == 0.0
        assert away[-1][1] == pytest.approx(2 * DAY_S, abs=0.01)
        assert [later[0] - before[1] for before, later in pairwise(away)] == pytest.approx(
            [WORN_S] * 2, abs=0.01
        )


def test_a_reading_that_is_missing_double_or_invented_is_found() -> None:
    due = [Due(1000.0, 100.0, must=True), Due(1300.0, 110.0, must=True), Due(1600.0, 120.0, must=False)]
    told = [Reading(990.0, 100.0, "a"), Reading(1300.0, 110.0, "b")]
    assert list(wrong_readings(due, told)) == []
    assert list(wrong_readings(due, [*told, Reading(1600.0, 120.04, "c")])) == []
    assert "not upstream" in next(wrong_readings(due, told[:1]))
    for extra in (Reading(1300.0, 110.0, "d"), Reading(1300.0, 111.0, "d"), Reading(2000.0, 110.0, "d")):
        assert "never measured, or is double" in next(wrong_readings(due, [*told, extra]))


# Making small


def failing(document: dict[str, Any]) -> list[str]:
    """Fails if it is killed while the disk is slow, for ten minutes at least; says so with a number."""
    scenario_of(document)
    names = {row["what"]: row for row in document["faults"]}
    slow_s = float(names.get("disk slow", {"for": "0s"})["for"].rstrip("s"))
    fails = "gateway killed" in names and slow_s >= 600
    return [f"{slow_s:g} readings are lost"] if fails else []


def test_a_home_that_fails_is_made_small() -> None:
    seed = next(seed for seed in range(DRAWN) if failing(document(seed)))
    made = document(seed)
    small = shrink(made, failing(made), failing)
    assert sorted(row["what"] for row in small["faults"]) == ["disk slow", "gateway killed"]
    assert failing(small)
    assert 600 <= float(next(row["for"] for row in small["faults"] if row["what"] == "disk slow")[:-1]) < 1200
    assert scenario_of(small).lasts_s <= scenario_of(made).lasts_s


def test_another_failure_is_not_taken_for_the_same() -> None:
    assert (
        kinds(["3 readings of 00:10:00"])
        == kinds(["14 readings of 11:00:09"])
        != kinds(["3 beats of 00:10:00"])
    )
    made = document(3)

    def other(document: dict[str, Any]) -> list[str]:
        return ["a"] if document["faults"] == made["faults"] else ["b"]

    assert shrink(made, ["a"], other)["faults"] == made["faults"]


# A campaign


def call(directory: Path, last: int, first: int = 0, hours: float | None = None) -> Call:
    until = None if hours is not None else last
    return Call(first, until, hours, 2, 1, directory / "done.jsonl", directory / "failures")


def result(seed: int, *wrong: str, rss_mb: float = 50.0) -> Result:
    return Result(seed, list(wrong), {"clock": 1}, 1.0, 7, rss_mb)


def test_a_campaign_goes_on_where_it_was_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    played: list[int] = []

    def play(seed: int, _: int) -> Result:
        played.append(seed)
        return result(seed)

    assert explore(call(tmp_path, 2), play) == 0
    with (tmp_path / "done.jsonl").open("ab") as file:
        file.write(b'{"seed": 3, "wr')
    assert explore(call(tmp_path, 4), play) == 0
    assert played == [0, 1, 2, 3, 4]
    assert [one.seed for one in read(tmp_path / "done.jsonl")] == [0, 1, 2, 3, 4]
    assert "5 seeds, 0 failed" in capsys.readouterr().out


def test_a_campaign_that_stops_plays_nothing_after_a_failure(tmp_path: Path) -> None:
    played: list[int] = []

    def play(seed: int, _: int) -> Result:
        played.append(seed)
        return result(seed, *(["it hangs"] if seed == 2 else []))

    assert explore(replace(call(tmp_path, 9), stops=True), play) == 1
    assert played == [0, 1, 2]


def loud(seed: int, _: int) -> Result:
    logging.getLogger("edge").warning("the sensor of seed %d hung up", seed)
    return result(seed)


def test_what_gateways_log_in_processes_of_their_own_is_not_shown(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert explore(replace(call(tmp_path, 1), jobs=2), loud) == 0
    said = capfd.readouterr()
    assert said.err == ""
    assert "2 seeds, 0 failed" in said.out


def test_no_hours_are_over_at_once(tmp_path: Path) -> None:
    assert explore(call(tmp_path, 0, hours=0.0), lambda seed, _: pytest.fail(f"{seed} was played")) == 0


def test_memory_that_grows_is_a_failure(tmp_path: Path) -> None:
    sizes = [50.0 + 5 * k for k in range(30)]
    assert explore(call(tmp_path, 29), lambda seed, _: result(seed, rss_mb=sizes[seed])) == 1
    assert Tally([result(seed, rss_mb=50.0) for seed in range(30)]).growth_mb() == 0.0


def test_what_was_played_is_one_line_of_json() -> None:
    line = msgspec.json.encode(result(4, "something"))
    assert msgspec.json.decode(line, type=Result) == result(4, "something")
    assert b"\n" not in line


@pytest.mark.parametrize(("said", "first", "last"), [("0..19", 0, 19), ("7", 7, 7), ("5..5", 5, 5)])
def test_seeds_are_named_by_their_first_and_last(said: str, first: int, last: int) -> None:
    assert named(said) == (first, last)


@pytest.mark.parametrize("said", ["all", "", "1..", "..2", "1..x", "-1"])
def test_what_is_no_seed_is_refused(said: str) -> None:
    with pytest.raises(ConfigError, match=r"is not A\.\.B"):
        named(said)


def test_seeds_that_are_none_are_not_a_pass() -> None:
    with pytest.raises(ConfigError, match=r"'3\.\.1' names no seed"):
        named("3..1")


def test_what_was_played_is_noted_in_a_directory_that_was_not_there(tmp_path: Path) -> None:
    assert explore(call(tmp_path / "build" / "explore", 0), lambda seed, _: result(seed)) == 0
    assert [one.seed for one in read(tmp_path / "build" / "explore" / "done.jsonl")] == [0]
