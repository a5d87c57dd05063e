"""`vitalgate analyse rr` and `analyse ecg` on recordings: the document, the files, and what the user gets wrong."""

import csv
import json
import math
from pathlib import Path

import pytest
from cardiac_records import RECORDINGS, column
from typer.testing import CliRunner

from tools.analyse import wfdb_record
from tools.cli import app

AFDB = str(RECORDINGS / "afdb_08219_rr.csv.gz")
NSR = str(RECORDINGS / "nsr2db_nsr001_rr.csv.gz")
ECG = str(RECORDINGS / "mitdb_119_ecg.csv.gz")


def ran(*words: str) -> dict:
    result = CliRunner().invoke(app, ["analyse", *words, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_rr_document() -> None:
    found = ran("rr", AFDB, "--window", "10min", "--start", "08:00")
    assert found["beats"]["total"] == 59293
    assert found["duration_s"] == pytest.approx(36_000, rel=0.01)
    assert [w["start_s"] for w in found["windows"]] == [600.0 * k for k in range(len(found["windows"]))]
    assert 15.0 < found["af"]["af_pct"] < 30.0  # 24 % of the beats are labelled AFIB
    assert found["af"]["lag_beats"] <= 64
    assert found["units"]["lf_ms2"]["unit"] == "ms2"
    assert len(found["circadian"]["hr_bpm"]) == 24
    assert {e["kind"] for e in found["episodes"]} >= {"af"}


def test_rr_says_what_is_missing() -> None:
    (window,) = ran("rr", NSR, "--window", "2min")["windows"][:1]
    assert window["vlf_ms2"] is None
    assert window["missing"]["vlf_ms2"] == "needs 270 s"
    assert window["rmssd_ms"] > 0


def test_per_beat_and_plots(tmp_path: Path) -> None:
    beats, svg, png = (tmp_path / name for name in ("beats.csv", "x.svg", "x.png"))
    ran("rr", NSR, "--per-beat", str(beats), "--plot", str(svg))
    with beats.open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 304
    assert rows[0]["class"] == "normal"
    assert {row["af_sure_lag_beats"] for row in rows} == {"63"}
    assert math.isclose(
        sum(float(row["rr_ms"]) for row in rows), column("nsr2db_nsr001_rr.csv.gz", "rr_ms").sum()
    )
    assert svg.read_text().startswith("<svg")
    ran("rr", NSR, "--plot", str(png))
    assert png.read_bytes().startswith(b"\x89PNG")


def test_ecg_from_csv_and_from_wfdb_agree(tmp_path: Path) -> None:
    samples = [round(v * 200) + 1024 for v in column("mitdb_119_ecg.csv.gz", "ecg")]
    packed = bytearray()
    for a, b in zip(samples[::2], samples[1::2], strict=True):
        packed += bytes([a & 0xFF, (a >> 8 & 0xF) | (b >> 8 & 0xF) << 4, b & 0xFF])
    (tmp_path / "x.dat").write_bytes(packed)
    (tmp_path / "x.hea").write_text(f"x 1 360 {len(samples)}\nx.dat 212 200 11 1024 0 0 0 MLII\n# note\n")
    assert wfdb_record.read(tmp_path / "x.hea", "MLII").values == pytest.approx(
        column("mitdb_119_ecg.csv.gz", "ecg")
    )
    from_csv, from_wfdb = ran("ecg", ECG, "--rate", "360"), ran("ecg", str(tmp_path / "x.hea"))
    assert from_csv["ecg"]["complexes"] == from_wfdb["ecg"]["complexes"] >= 129
    assert from_csv["ecg"]["good_pct"] > 90.0
    assert from_csv["beats"]["premature"] > 20


def test_people_get_a_table() -> None:
    result = CliRunner().invoke(app, ["analyse", "rr", NSR])
    assert result.exit_code == 0
    assert "304 intervals" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["rr", NSR, "--column", "rr"],
        ["rr", "missing.csv"],
        ["rr", NSR, "--window", "five"],
        ["rr", NSR, "--start", "25:00"],
        ["rr", NSR, "--plot", "x.gif"],
        ["rr", str(RECORDINGS / "afdb_08219_rr.csv.gz"), "--column", "rhythm"],
        ["ecg", ECG],
        ["ecg", "missing.hea"],
    ],
)
def test_mistakes_are_one_line(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["analyse", *words])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it has: nothing"),
        (b"rr_ms\n", "no intervals"),
        (b"hello\nworld\n", "it has: hello"),
        (b"rr_ms\n800\nabc\n", "line 3"),
        (b"rr_ms\n800\n1_00\n", "line 3"),
        (b"rr_ms, RR_ms\n800,800\n", "two columns"),
        (b"rr_ms\n-1\nnan\n", "no intervals"),
        (b"rr_ms\n800\n1e300\n", "1e+300 ms"),
        (b"rr_ms\n800\ninf\n", "inf ms"),
        (b"rr_ms\n0.8\n0.81\n", "seconds?"),
        (b"\x00\xff\xfe\x80", "cannot read"),
    ],
)
def test_files_that_hold_no_intervals_are_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    result = CliRunner().invoke(app, ["analyse", "rr", str(tmp_path / "bad.csv")])
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_broken_archive_and_an_impossible_output_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.csv.gz").write_bytes(Path(NSR).read_bytes()[:200])
    nowhere = str(tmp_path / "nowhere" / "x.csv")
    for words in ([str(tmp_path / "cut.csv.gz")], [NSR, "--per-beat", nowhere]):
        result = CliRunner().invoke(app, ["analyse", "rr", *words])
        assert result.exit_code == 2
        assert len(result.stderr.strip().splitlines()) == 1


def test_what_is_no_interval_is_a_gap(tmp_path: Path) -> None:
    """A spreadsheet's byte order mark, a line without a value, and values that cannot be intervals."""
    (tmp_path / "odd.csv").write_bytes(b"\xef\xbb\xbfrr_ms \n800\n\n810\nnan\n820\n-5\n790\n60000\n800\n")
    beats = ran("rr", str(tmp_path / "odd.csv"))["beats"]
    assert (beats["total"], beats["gaps"]) == (5, 4)


def test_columns_are_found_in_any_case_and_semicolons_go_with_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("n; RR_Ms \n1;800,5\n2;810\n3;820,25\n")
    assert ran("rr", str(tmp_path / "x.csv"))["duration_s"] == pytest.approx(2.43075)


def test_no_result_overwrites_what_is_read_or_another_result(tmp_path: Path) -> None:
    source = tmp_path / "x.svg"
    source.write_text("rr_ms\n800\n810\n820\n")
    for words in (["--per-beat", str(source)], ["--plot", str(tmp_path / "." / "x.svg")]):
        result = CliRunner().invoke(app, ["analyse", "rr", str(source), *words])
        assert result.exit_code == 2
        assert len(result.stderr.strip().splitlines()) == 1
    assert source.read_text().startswith("rr_ms")


def test_capital_suffixes_are_taken(tmp_path: Path) -> None:
    for name, begins in (("x.SVG", b"<svg"), ("x.PNG", b"\x89PNG")):
        ran("rr", NSR, "--plot", str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize(("option", "name"), [("--per-beat", "x.csv"), ("--plot", "x.png")])
def test_a_full_disk_is_one_line(option: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    result = CliRunner().invoke(app, ["analyse", "rr", NSR, option, str(tmp_path / name)])
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
