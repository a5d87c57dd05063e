"""Which source of glucose stands for the others."""

from pathlib import Path

import pytest
from feed_world import config_of, sensor

from edge.now.facts import Fact
from edge.now.standing import LIVE_NS, Standing

MIN = 60 * 10**9


def standing(directory: Path, more: str = "") -> Standing:
    return Standing(
        config_of(directory, sensor("cgm", "cgm", "F0:00:00:00:00:02"), sensor(more=more)).sensors
    )


def tell(one: Standing, sensor_id: str, minute: float, value: float, not_counted: str | None = None) -> None:
    one.note(sensor_id, "glucose", Fact(value, round(minute * MIN), not_counted))


def test_the_best_live_source_stands_and_the_newest_when_none_is_live(tmp_path: Path) -> None:
    one = standing(tmp_path)
    for minute in range(0, 30, 5):
        tell(one, "cgm", minute, 100 + minute)
        tell(one, "phone", minute + 0.5, 100 + minute)
    assert (one.covered_by("phone", 26 * MIN), one.covered_by("cgm", 26 * MIN)) == ("cgm", None)
    for minute in range(30, 300, 5):  # longer than the values of the other are remembered
        tell(one, "phone", minute, 100 + minute)
    assert (one.covered_by("phone", 296 * MIN), one.covered_by("cgm", 296 * MIN)) == (None, "phone")
    silent = 300 * MIN + LIVE_NS
    assert (one.covered_by("phone", silent), one.covered_by("cgm", silent)) == (None, "phone")
    tell(one, "cgm", 320, 80)
    assert (one.covered_by("phone", 321 * MIN), one.covered_by("cgm", 321 * MIN)) == ("cgm", None)


@pytest.mark.parametrize(
    ("more", "off", "covered"),
    [
        ("", 0.0, "cgm"),
        ("", 20.0, None),
        ('same_as = "cgm"', 20.0, "cgm"),
        ("another_sensor = true", 0.0, None),
    ],
)
def test_which_sources_tell_one_sensor(more: str, off: float, covered: str | None, tmp_path: Path) -> None:
    one = standing(tmp_path, more)
    for minute in range(0, 30, 5):
        tell(one, "cgm", minute, 100 + minute)
        tell(one, "phone", minute, 100 + minute + off)
    assert one.covered_by("phone", 26 * MIN) == covered


@pytest.mark.parametrize(("more", "covered"), [("", None), ('same_as = "cgm"', "cgm")])
def test_two_that_the_gateway_reads_itself_both_stand_however_alike_their_values(
    tmp_path: Path, more: str, covered: str | None
) -> None:
    cgms = (
        sensor("cgm", "cgm", "F0:00:00:00:00:02"),
        sensor("arm", "cgm", "F0:00:00:00:00:03") + more + "\n",
    )
    one = Standing(config_of(tmp_path, *cgms).sensors)
    for minute in range(0, 30, 5):
        tell(one, "cgm", minute, 100 + minute)
        tell(one, "arm", minute, 100 + minute)
    assert one.covered_by("arm", 26 * MIN) == covered
    assert one.covered_by("cgm", 26 * MIN) is None


def test_what_does_not_count_shows_nothing(tmp_path: Path) -> None:
    one = standing(tmp_path)
    for minute in range(0, 30, 5):
        tell(one, "cgm", minute, 100, "low quality")
        tell(one, "phone", minute, 100)
    assert one.covered_by("phone", 26 * MIN) is None


def test_what_the_store_knows_holds_until_there_is_other_evidence(tmp_path: Path) -> None:
    one = standing(tmp_path)
    one.recall("cgm", "phone", are_same=True)
    tell(one, "phone", 0, 100)
    assert one.covered_by("cgm", MIN) == "phone"
    tell(one, "cgm", 0.5, 180)
    assert one.covered_by("cgm", MIN) is None
