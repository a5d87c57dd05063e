"""Recordings for simulated sensors: what is in the shipped files, and how one that no sensor sent is refused."""

import csv
import gzip
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError
from tools.rig.home.recordings import RECORDINGS, DemoRecordings, read_glucose, read_heart

AFDB = RECORDINGS / "afdb_08219_rr.csv.gz"
AZT1D = RECORDINGS / "azt1d_09_glucose.csv.gz"
HALL = RECORDINGS / "hall_2133-004_glucose.csv.gz"


def test_the_heart_record_is_ten_hours_with_fibrillation():
    rr_ms = read_heart(AFDB).rr_ms
    assert rr_ms.dtype == np.float64
    assert len(rr_ms) == 59_293
    assert rr_ms.sum() / 3.6e6 == pytest.approx(10.0, abs=0.01)
    with gzip.open(AFDB, "rt") as file:
        rhythm = [row["rhythm"] for row in csv.DictReader(file)]
    onsets = sum(now == "AFIB" != before for before, now in itertools.pairwise(rhythm))
    assert set(rhythm) == {"N", "AFIB"}
    assert onsets == 39


def test_the_heart_record_is_read_once_for_all_homes_of_a_process():
    one, other = (DemoRecordings.chosen(None, None) for _ in range(2))
    assert one.rr_ms is other.rr_ms
    with pytest.raises(ValueError, match="read-only"):
        one.rr_ms[0] = 0.0


def test_the_first_day_of_the_diabetes_trace_touches_all_five_ranges():
    trace = read_glucose(AZT1D)
    first_day = trace.glucose_mg_dl[trace.t_s < 86_400]
    counts, _ = np.histogram(first_day, bins=(0, 54, 70, 181, 251, 1000))
    assert counts.tolist() == [1, 8, 141, 39, 85]
    assert len(trace.t_s) == 818
    assert np.all(trace.t_s % 60 == 0)


def test_times_count_from_midnight_of_the_first_day():
    trace = read_glucose(HALL)
    assert trace.t_s[0] == 4 * 60 + 11
    assert trace.glucose_mg_dl[0] == 142
    assert 2 * 86_400 < trace.t_s[-1] < 3 * 86_400


def test_the_files_are_small_and_without_a_build_time():
    files = list(RECORDINGS.glob("*.gz"))
    assert sum(file.stat().st_size for file in files) < 1_000_000
    for file in files:
        assert file.read_bytes()[4:8] == bytes(4), "gzip mtime"


def test_files_as_spreadsheets_write_them_are_read(tmp_path):
    rr, glucose = tmp_path / "rr.csv", tmp_path / "glucose.csv"
    rr.write_text("800\n812.5\n")
    glucose.write_text(
        "\ufeffTime;Glucose_mmol_L\n2024-01-01 23:55:00+01:00;5,55\n2024-01-02 00:00+01:00;LO\n"
        "2024-01-02 00:05+01:00;HI\n2024-01-02 00:10+01:00;\n"
    )
    worn = DemoRecordings.chosen(rr, glucose)
    assert worn.rr_ms.tolist() == [800.0, 812.5]
    t_s, mg_dl = worn.glucose
    assert t_s.tolist() == [86_100, 86_400, 86_700, 87_000]
    assert mg_dl[0] == pytest.approx(5.55 * 18.0, abs=0.1)
    assert mg_dl.tolist()[1:3] == [-math.inf, math.inf]
    assert math.isnan(mg_dl[3])


def test_readings_of_one_minute_are_left_out_and_told(tmp_path, capsys):
    path = tmp_path / "glucose.csv"
    path.write_text(
        "time,glucose_mg_dl\n2024-01-01 00:05:00,100\n2024-01-01 00:05:59,101\n2024-01-01 00:06:00,102\n"
        "2024-01-01 00:06:00,103\n"
    )
    assert read_glucose(path).glucose_mg_dl.tolist() == [100, 102]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("vitalgate: --glucose glucose.csv: 2 of 4 readings")
    # Ten times as fast, readings of five minutes fall into one, too.
    rows = (f"2024-01-01 00:{minute:02}:00,100" for minute in range(0, 60, 5))
    path.write_text("time,glucose_mg_dl\n" + "\n".join(rows))
    assert len(read_glucose(path, 5.0).t_s) == 12
    assert capsys.readouterr().err == ""
    assert len(read_glucose(path, 10.0).t_s) == 6
    assert "6 of 12" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column rr_ms"),
        ("rr_ms\n", "no intervals"),
        ("time,rr_ms\n1,\n", "no intervals"),
        ("hr_bpm\n60\n", "no column rr_ms"),
        ("rr_ms,rr_ms\n800,800\n", "two columns rr_ms"),
        ("rr_ms\n800\nlong\n", "line 3: column rr_ms is not a number"),
        ("rr_ms,rhythm\n800,N\n\n,N\n", "row 2 below the header is nan ms"),
        ("rr_ms\n-3\n", r"is -3 ms; give intervals within 100\.\.10000 ms"),
        ("rr_ms\n800\n0.3\n", "row 2 below the header is 0.3 ms"),
        ("rr_ms\n10001\n", "is 10001 ms"),
        ("rr_ms\ninf\n", "is inf ms"),
        ("id,rr_ms\na,800\na,800\nb,800\n", "2 records"),
    ],
)
def test_a_wrong_rr_file_says_what_is_wrong(tmp_path, text, reason):
    path = tmp_path / "rr.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"^--heart rr\.csv: .*{reason}"):
        read_heart(path)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("yesterday,100\n", "line 2: 'yesterday' is not a time"),
        (",100\n2024-01-01 00:00:00,100\n", "1 rows with no time, the first in line 2"),
        ("2024-01-01 00:00:00,1000\n2024-01-01 00:05:00,100\n", "impossible value, the first in line 2"),
        ("2024-01-01 00:00:00,0.5\n2024-01-01 00:05:00,100\n", "is 0.5 mg/dL; write LO"),
        ("2024-01-01 00:00:00,5.5\n2024-01-01 00:05:00,6.1\n", "below 25 mg/dL; .*glucose_mmol_l"),
        (
            "2024-01-01 00:00:00,100\n2024-01-01 00:10:00,100\n2024-01-01 00:05:00,101\n",
            "00:05:00 comes after 2024-01-01 00:10:00; sort",
        ),
    ],
)
def test_a_wrong_glucose_file_says_what_is_wrong(tmp_path, rows, reason):
    path = tmp_path / "glucose.csv"
    path.write_text("time,glucose_mg_dl\n" + rows)
    with pytest.raises(ConfigError, match=rf"^--glucose glucose\.csv: .*{reason}"):
        read_glucose(path)


def test_several_people_are_refused(tmp_path):
    path = tmp_path / "glucose.csv"
    path.write_text("id,time,glucose_mg_dl\na,2024-01-01 00:00:00,100\nb,2024-01-01 00:05:00,100\n")
    with pytest.raises(ConfigError, match="2 people"):
        read_glucose(path)


@pytest.mark.parametrize("cut", [0, 5, 30, 20_000, -1])
def test_a_torn_file_is_an_error_with_its_name(tmp_path, cut):
    torn = tmp_path / "torn.csv.gz"
    torn.write_bytes(AFDB.read_bytes()[:cut])
    with pytest.raises(ConfigError, match=r"torn\.csv\.gz"):
        read_heart(torn)


def test_bytes_that_are_no_text_and_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "rr.csv"
    path.write_bytes(b"rr_ms\n\xff\xfe800\n")
    for wrong in (path, tmp_path / "none.csv"):
        with pytest.raises(ConfigError, match="cannot read"):
            read_heart(Path(wrong))
