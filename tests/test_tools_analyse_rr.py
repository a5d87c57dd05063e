"""`vitalgate analyse rr`: rows and their numbers, several records, gaps, and columns that hold something else."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cardiac_records import RECORDINGS, sinus_ms
from typer.testing import CliRunner

from tools.cli import app

NSR = RECORDINGS / "nsr2db_nsr001_rr.csv.gz"


def table(file: Path, header: str, rows: list[object]) -> str:
    file.write_text("\n".join([header, *map(str, rows)]) + "\n")
    return str(file)


def ran(*words: str) -> dict:
    result = CliRunner().invoke(app, ["analyse", "rr", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*words: str) -> str:
    result = CliRunner().invoke(app, ["analyse", "rr", *words])
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    return line


def lines(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_per_beat_has_a_line_for_each_row_in_order(tmp_path: Path) -> None:
    values = [
        "813.8888888888889",
        "",
        "801.1",
        "nan",
        "-5",
        "0",
        "12000",
        "799.7",
        "short",
        "805.123456789012",
    ]
    file = table(tmp_path / "x.csv", "note,rr_ms", ["a" if v == "short" else f"a,{v}" for v in values])
    ran(file, "--per-beat", str(tmp_path / "out.csv"))
    found = lines(tmp_path / "out.csv")
    assert [row["row"] for row in found] == [str(k) for k in range(1, 11)]
    assert [row["class"] == "gap" for row in found] == [v[:1] not in ("8", "7") for v in values]
    assert [row["rr_ms"] for row in found] == [v if v[:1] in ("8", "7") else "" for v in values]
    assert [row["time_s"] for row in found[5:8]] == ["1.6150", "13.6150", "14.4147"]
    assert [row["follows"] for row in found] == ["0", "", "0", "", "", "", "", "0", "", "0"]
    for row in found:
        if row["class"] == "gap":
            assert {row[name] for name in row if name not in ("row", "time_s", "class")} == {""}
        if row["class"] == "normal":
            assert row["corrected_ms"] == row["rr_ms"]


@pytest.mark.parametrize("name", ["record", "Subject", "ID", "subject_id", "Patient_ID"])
def test_each_record_has_its_own_result(tmp_path: Path, name: str) -> None:
    one, other = sinus_ms(0, 500).round(3).tolist(), (0.7 * sinus_ms(1, 400)).round(3).tolist()
    mixed = [f"a/1,{x}" for x in one[:300]] + [f"b,{x}" for x in other] + [f"a/1,{x}" for x in one[300:]]
    file = table(tmp_path / "x.csv", f"{name},RR_ms", mixed)
    beats, plot = tmp_path / "out.csv", tmp_path / "x.svg"
    found = ran(file, "--per-beat", str(beats), "--plot", str(plot))["records"]
    assert [r["id"] for r in found] == ["a/1", "b"]
    for result, rr_ms in zip(found, (one, other), strict=True):
        alone = ran(table(tmp_path / "alone.csv", "rr_ms", rr_ms))
        assert {k: v for k, v in result.items() if k != "id"} == alone
    rows = lines(beats)
    assert [(row["id"], float(row["rr_ms"])) for row in rows] == [
        (a, float(b)) for a, b in (row.split(",") for row in mixed)
    ]
    assert [int(row["row"]) for row in rows] == list(range(1, 901))
    assert sorted(p.name for p in tmp_path.glob("*.svg")) == ["x-a%2F1.svg", "x-b.svg"]
    shown = CliRunner().invoke(app, ["analyse", "rr", file]).stdout
    assert shown.index("record a/1") < shown.index("500 intervals") < shown.index("record b")


def test_a_column_that_numbers_the_rows_names_no_record(tmp_path: Path) -> None:
    rows = [f"{k},{x:.1f}" for k, x in enumerate(sinus_ms(0, 100))]
    assert ran(table(tmp_path / "x.csv", "id,rr_ms", rows))["beats"]["total"] == 100


def test_which_record_is_wrong_is_said(tmp_path: Path) -> None:
    file = table(tmp_path / "x.csv", "record,rr_ms", ["a,800", "a,810", "b,", "b,nan"])
    assert "record b: no intervals" in refused(file)


def test_an_empty_cell_is_a_gap_but_says_nothing_in_a_row_with_a_time(tmp_path: Path) -> None:
    rows = ["1,800", "2,810", "3,", "4,790", "5,nan", "6,805"]
    assert ran(table(tmp_path / "x.csv", "beat,rr_ms", rows))["beats"]["gaps"] == 2
    beats = tmp_path / "out.csv"
    found = ran(table(tmp_path / "x.csv", "Time,rr_ms", rows), "--per-beat", str(beats))
    assert found["beats"]["gaps"] == 1
    assert [row["class"] for row in lines(beats)][2:] == ["", "normal", "gap", "normal"]
    plain = ["800", "", "810", '""', "805", "", ""]
    assert ran(table(tmp_path / "x.csv", "rr_ms", plain), "--per-beat", str(beats))["beats"]["gaps"] == 2
    assert len(lines(beats)) == 5


def test_a_gap_counts_as_time_not_covered(tmp_path: Path) -> None:
    hour = sinus_ms(0, 4200).round(1).tolist()
    found = ran(table(tmp_path / "x.csv", "rr_ms", [*hour, 6 * 3_600_000, *hour]))
    assert found["summary"]["coverage_pct"] == pytest.approx(25.0, abs=0.5)
    assert found["af"]["observed_s"] == pytest.approx(2 * sum(hour) / 1000)
    shown = CliRunner().invoke(app, ["analyse", "rr", str(tmp_path / "x.csv")]).stdout
    assert "1 breaks that may be pauses or lost data, of 2 s or more, longest 21600.0 s" in shown
    (pause,) = found["pauses"]
    assert (pause["length_ms"], pause["may_be_lost_data"]) == (pytest.approx(6 * 3.6e6), True)


def test_windows_of_bigeminy_are_there_and_say_why_they_are_empty(tmp_path: Path) -> None:
    found = ran(table(tmp_path / "x.csv", "rr_ms", [600, 1000] * 2250))
    assert [w["start_s"] for w in found["windows"]] == [300.0 * k for k in range(12)]
    for window in found["windows"][1:]:
        assert (window["rmssd_ms"], window["normal_pct"], window["af_pct"]) == (None, 0.0, 0.0)
        assert window["missing"]["rmssd_ms"] == "needs 2 successive beats"
    assert found["beats"]["left_out"] == 4500 - found["beats"]["normal"]


def test_raw_takes_every_interval() -> None:
    """The published values of this window are of all its beats."""
    found = ran(str(NSR), "--raw")
    assert found["beats"]["left_out"] == 0
    assert found["summary"]["sdnn_ms"] == pytest.approx(60.0840, rel=1e-5)
    assert found["summary"]["rmssd_ms"] == pytest.approx(51.9872, rel=1e-5)


@pytest.mark.parametrize(("value", "says"), [(75, "rate"), (249, "rate"), (2600, "rate"), (0.8, "seconds?")])
def test_what_no_heart_does_is_refused(tmp_path: Path, value: float, says: str) -> None:
    assert says in refused(table(tmp_path / "x.csv", "hr", [value] * 300), "--column", "hr")


@pytest.mark.parametrize("window", ["0.001s", "9.9s", "0s", "0.1min"])
def test_windows_that_hold_nothing_are_refused(window: str) -> None:
    assert "--window" in refused(str(NSR), "--window", window)


def test_a_long_record_takes_no_longer_beat_by_beat(tmp_path: Path) -> None:
    """100000 intervals, with all that grew with the square of their number."""
    rng = np.random.default_rng(0)
    rr_ms = np.concatenate([rng.normal(rng.choice([480.0, 850.0, 1400.0]), 15.0, 500) for _ in range(200)])
    file = table(tmp_path / "x.csv", "rr_ms", rr_ms.round(1).tolist())
    found = ran(file, "--per-beat", str(tmp_path / "out.csv"))
    assert len(lines(tmp_path / "out.csv")) == found["beats"]["total"] == 100_000
    assert found["summary"]["lf_ms2"] > 0.0
    assert "mean of 5-min windows" in found["units"]["lf_ms2"]["settings"]


def test_an_interrupt_amid_the_analysis_is_one_line() -> None:
    code = """
import os, signal
from tools.terminal import ended_by_interrupt
with ended_by_interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    while True:
        pass
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (130, "vitalgate: interrupted\n")


def test_a_bare_list_of_intervals_needs_no_header(tmp_path: Path) -> None:
    rr_ms = sinus_ms(1, 400).tolist()
    headed = ran(table(tmp_path / "headed.csv", "rr_ms", rr_ms))
    bare, per_beat = table(tmp_path / "bare.txt", str(rr_ms[0]), rr_ms[1:]), tmp_path / "beats.csv"
    assert ran(bare, "--per-beat", str(per_beat)) == headed
    assert float(lines(per_beat)[0]["rr_ms"]) == rr_ms[0]
    assert "line 3" in refused(table(tmp_path / "spoilt.txt", "800", [810, "eight hundred"]))
