"""`vitalgate analyse ecg` on recordings with stretches that say nothing: they become gaps, never rhythm."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cardiac_records import Array, column, sinus_ms
from typer.testing import CliRunner, Result

from tools.cli import app

RATE_HZ = 130


def heart(seed: int, beats: int) -> Array:
    """Made-up ECG with samples of 5 uV."""
    apex_s = 0.7 + np.cumsum(sinus_ms(seed, beats)) / 1000
    t_s = np.arange(0.0, apex_s[-1] + 1.0, 1.0 / RATE_HZ)
    ecg = np.random.default_rng(seed).normal(0.0, 0.01, t_s.size)
    for apex in apex_s:
        ecg += np.exp(-(((t_s - apex) / 0.012) ** 2)) + 0.25 * np.exp(-(((t_s - apex - 0.28) / 0.05) ** 2))
    return 0.005 * np.round(ecg / 0.005)


def analysed(file: Path, ecg: list[str], *words: str) -> Result:
    file.write_text("n,ecg\n" + "".join(f"{k},{sample}\n" for k, sample in enumerate(ecg)))
    return CliRunner().invoke(app, ["analyse", "ecg", str(file), "--rate", str(RATE_HZ), *words])


def found_in(file: Path, ecg: Array, *words: str) -> dict:
    result = analysed(file, [f"{x:.3f}" for x in ecg], "--json", *words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def pauses_of_the_heart(found: dict) -> list:
    return [pause for pause in found["pauses"] if not pause.get("may_be_lost_data")]


@pytest.mark.parametrize(
    ("ecg", "says"),
    [
        (np.full(60 * RATE_HZ, -0.145), "no heartbeats found"),
        (np.full(60 * RATE_HZ, np.nan), "no heartbeats found"),
        (np.sin(2 * np.pi * 50 / RATE_HZ * np.arange(300 * RATE_HZ)), "no "),
        (np.random.default_rng(0).normal(0.0, 0.05, 300 * RATE_HZ), "no usable heartbeats"),
    ],
)
def test_what_holds_no_heartbeats_is_one_line(tmp_path: Path, ecg: Array, says: str) -> None:
    result = analysed(tmp_path / "x.csv", [f"{x:.3f}" for x in ecg])
    assert result.exit_code == 2
    assert says in result.stderr
    assert "heartbeats" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("level", [0.0, 0.05, 1.0])
def test_an_electrode_that_came_off_is_a_gap(tmp_path: Path, level: float) -> None:
    """Seven minutes of nothing or noise between two hearts are no rhythm, no pause and no breathing."""
    ecg = heart(1, 400)
    noise = np.random.default_rng(2).normal(0.0, level, 420 * RATE_HZ)
    from_s, to_s = ecg.size / RATE_HZ, ecg.size / RATE_HZ + 420.0
    per_beat = tmp_path / "beats.csv"
    found = found_in(tmp_path / "x.csv", np.concatenate([ecg, noise, ecg]), "--per-beat", str(per_beat))
    assert found["af"]["af_pct"] == 0.0
    assert found["episodes"] == pauses_of_the_heart(found) == []
    assert found["beats"]["gaps"] == 1
    assert 420.0 <= found["ecg"]["left_out"]["duration_s"] < 445.0
    assert found["ecg"]["left_out"]["intervals"] >= 1
    assert found["beats"]["total"] >= 2 * 399 - 30
    assert 55.0 < found["ecg"]["good_pct"] < 65.0
    with per_beat.open() as lines:
        times = np.array([float(row["time_s"]) for row in csv.DictReader(lines)])
    assert not ((times > from_s + 1.0) & (times < to_s)).any()
    minutes = [row for row in found["ecg"]["respiration"] if from_s < row["start_s"] < to_s - 60.0]
    assert len(minutes) >= 5
    assert all(row["rate_bpm"] is None for row in minutes)


@pytest.mark.parametrize("missing", ["nan", ""])
def test_lost_samples_are_a_gap_and_keep_their_time(tmp_path: Path, missing: str) -> None:
    ecg = [f"{x:.3f}" for x in heart(3, 200)]
    whole = json.loads(analysed(tmp_path / "x.csv", ecg, "--json").stdout)
    ecg[60 * RATE_HZ : 65 * RATE_HZ] = [missing] * (5 * RATE_HZ)
    found = json.loads(analysed(tmp_path / "x.csv", ecg, "--json").stdout)
    assert found["ecg"]["left_out"]["lost_samples_s"] == 5.0
    assert found["ecg"]["left_out"]["intervals"] == 1
    assert found["beats"]["gaps"] == 1
    assert pauses_of_the_heart(found) == []
    assert found["duration_s"] == pytest.approx(whole["duration_s"], abs=0.02)
    assert 5 <= whole["beats"]["total"] - found["beats"]["total"] <= 8


def test_a_few_lost_samples_are_none(tmp_path: Path) -> None:
    ecg = heart(3, 100)
    ecg[40 * RATE_HZ : 40 * RATE_HZ + 19] = np.nan
    found = found_in(tmp_path / "x.csv", ecg)
    assert (found["beats"]["gaps"], found["ecg"]["left_out"]["intervals"]) == (0, 0)


@pytest.mark.parametrize("name", ["r", "r.dat", "r.hea"])
def test_a_wfdb_record_by_any_of_its_names(tmp_path: Path, name: str) -> None:
    ecg = column("mitdb_119_ecg.csv.gz", "ecg")
    np.round(1000.0 * ecg).astype("<i2").tofile(tmp_path / "r.dat")
    (tmp_path / "r.hea").write_text(f"r 1 360 {ecg.size}\nr.dat 16 1000 16 0 0 0 0 MLII\n")
    run = CliRunner().invoke(app, ["analyse", "ecg", str(tmp_path / name), "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["ecg"]["complexes"] >= 129


def test_a_wfdb_signal_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "r.dat").write_bytes(bytes(2000))
    (tmp_path / "r.hea").write_text("r 1 360 1000\nr.dat 16 1000 16 0 0 0 0 MLII\n")
    run = CliRunner().invoke(app, ["analyse", "ecg", str(tmp_path / "r"), "--column", "V5"])
    assert run.exit_code == 2
    assert "it has: MLII" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
