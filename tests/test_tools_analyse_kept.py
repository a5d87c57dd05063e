"""`vitalgate analyse ... --store DIR`: what a gateway has kept says what the recordings say that its sensors played."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hw_sim.clock import run
from tools.analyse.command import app
from tools.rig.home.world import open_world
from tools.rig.language.scenario import CGM, STRAP, home_of

HOURS = 4


def analyse(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, float]]]:
    """The state directory of a gateway that was killed once and then stopped; the records of its CGM."""
    directory = tmp_path_factory.mktemp("kept")
    records: list[tuple[int, float]] = []

    async def live() -> None:
        async with open_world(home_of(STRAP, CGM, hours=HOURS), directory) as world:
            await world.for_s(1.7 * 3600)
            await world.machine.kill()
            world.machine.start()
            await world.until_s(HOURS * 3600.0)
            await world.until_settled()
            (body,) = world.home.cgms
            records.extend((record.time_offset_min, float(record.glucose_mg_dl)) for record in body.stored)

    run(live())
    return directory / "state", records


def test_readings_say_what_those_of_a_file_say(
    kept: tuple[Path, list[tuple[int, float]]], tmp_path: Path
) -> None:
    state, records = kept
    own, of_file = tmp_path / "own.csv", tmp_path / "of_file.csv"
    done = analyse("glucose", "--store", state, "--json", "--per-reading", own)
    assert done.exit_code == 0, done.output
    (person,) = json.loads(done.stdout)["people"]
    assert person["id"].endswith(f"/{CGM.id}")
    assert person["metrics"]["readings"] == len(records)
    with (tmp_path / "played.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("time", "glucose_mg_dl"))
        writer.writerows((f"2026-03-02T{m // 60:02}:{m % 60:02}:00Z", value) for m, value in records)
    assert analyse("glucose", tmp_path / "played.csv", "--per-reading", of_file).exit_code == 0
    said = [[row[2:] for row in csv.reader(path.read_text().splitlines())] for path in (own, of_file)]
    assert len(said[0]) == len(records) + 1
    assert said[0] == said[1]


def test_beats_are_those_that_the_strap_sent(
    kept: tuple[Path, list[tuple[int, float]]], tmp_path: Path
) -> None:
    state, _ = kept
    done = analyse("rr", "--store", state, "--json", "--per-beat", tmp_path / "beats.csv")
    assert done.exit_code == 0, done.output
    (record,) = json.loads(done.stdout)["records"]
    assert record["id"].endswith(f"/{STRAP.id}")
    assert 0.97 * HOURS * 3600.0 < record["duration_s"] < 1.01 * HOURS * 3600.0
    with (tmp_path / "beats.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert record["beats"]["total"] == len(rows)
    assert sum(float(row["rr_ms"]) for row in rows) > 0.95 * HOURS * 3_600_000.0
    assert record["beats"]["gaps"] < 20


@pytest.mark.parametrize("command", ["glucose", "rr"])
def test_a_file_or_a_store_and_one_that_is_there(command: str, tmp_path: Path) -> None:
    for arguments, said in (
        ((), "one of both"),
        (("x.csv", "--store", tmp_path), "one of both"),
        (("--store", tmp_path), "holds no store"),
        (("--store", tmp_path / "none"), "holds no store"),
    ):
        done = analyse(command, *arguments)
        assert done.exit_code == 2
        (line,) = done.stderr.splitlines()
        assert said in line
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_lies_elsewhere_is_named(
    kept: tuple[Path, list[tuple[int, float]]], tmp_path: Path
) -> None:
    state, _ = kept
    key = state / "store.key"
    key.rename(tmp_path / "elsewhere")
    try:
        assert analyse("glucose", "--store", state).exit_code == 2
        assert analyse("glucose", "--store", state, "--key-file", tmp_path / "elsewhere").exit_code == 0
    finally:
        (tmp_path / "elsewhere").rename(key)
