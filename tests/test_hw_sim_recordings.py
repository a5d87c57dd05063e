"""Recordings: what is in the shipped files, and that a file which is not one is told in one line."""

import csv
import gzip
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from hw_sim import recordings

RECORDINGS = Path(__file__).parent / "recordings"
AFDB = RECORDINGS / "afdb_08219_rr.csv.gz"
AZT1D = RECORDINGS / "azt1d_09_glucose.csv.gz"
HALL = RECORDINGS / "hall_2133-004_glucose.csv.gz"


def test_the_heart_record_is_ten_hours_with_fibrillation():
    rr_ms = recordings.load_rr(AFDB)
    assert rr_ms.dtype == np.float64
    assert len(rr_ms) == 59_293
    assert rr_ms.sum() / 3.6e6 == pytest.approx(10.0, abs=0.01)
    with gzip.open(AFDB, "rt") as file:
        rhythm = [row["rhythm"] for row in csv.DictReader(file)]
    onsets = sum(now == "AFIB" != before for before, now in itertools.pairwise(rhythm))
    assert set(rhythm) == {"N", "AFIB"}
    assert onsets == 39


def test_the_first_day_of_the_diabetes_trace_touches_all_five_ranges():
    trace = recordings.load_glucose(AZT1D)
    first_day = trace.glucose_mg_dl[trace.t_s < 86_400]
    counts, _ = np.histogram(first_day, bins=(0, 54, 70, 181, 251, 1000))
    assert counts.tolist() == [1, 8, 141, 39, 85]
    assert len(trace.t_s) == 818
    assert np.all(trace.t_s % 60 == 0)


def test_times_count_from_midnight_of_the_first_day():
    trace = recordings.load_glucose(HALL)
    assert trace.t_s[0] == 4 * 60 + 11
    assert trace.glucose_mg_dl[0] == 142
    assert 2 * 86_400 < trace.t_s[-1] < 3 * 86_400


def test_the_files_are_small_and_without_a_build_time():
    files = list(RECORDINGS.glob("*.gz"))
    assert sum(file.stat().st_size for file in files) < 1_000_000
    for file in files:
        assert file.read_bytes()[4:8] == bytes(4), "gzip mtime"


def test_beats_repeat_without_end():
    assert list(itertools.islice(recordings.repeat(np.array([800.0, 900.0])), 5)) == [800, 900, 800, 900, 800]


def test_readings_repeat_at_the_same_times_of_day():
    trace = recordings.load_glucose(AZT1D)
    source = list(itertools.islice(recordings.repeat_days(trace), 818 * 2))
    assert all(a < b for (a, _), (b, _) in itertools.pairwise(source))
    for (t_s, mg_dl), (again_s, again_mg_dl) in zip(source[:818], source[818:], strict=True):
        assert again_s - t_s == 3 * 86_400
        assert again_mg_dl == mg_dl


def test_readings_beyond_the_sensor_are_numbers_too(tmp_path):
    path = tmp_path / "glucose.csv"
    path.write_text(
        "time,glucose_mg_dl\n2024-01-01 00:05:00,-inf\n2024-01-01 00:10:00,inf\n2024-01-01 00:15:00,nan\n"
    )
    t_s, mg_dl = recordings.load_glucose(path)
    assert t_s.tolist() == [300, 600, 900]
    assert mg_dl.tolist()[:2] == [-math.inf, math.inf]
    assert math.isnan(mg_dl[2])


@pytest.mark.parametrize("cut", [0, 5, 30, 20_000, -1])
def test_a_torn_file_is_an_error_with_its_path(tmp_path, cut):
    torn = tmp_path / "torn.csv.gz"
    torn.write_bytes(AFDB.read_bytes()[:cut])
    with pytest.raises(recordings.RecordingError, match=r"torn\.csv\.gz"):
        recordings.load_rr(torn)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column rr_ms"),
        ("rr_ms\n", "no rows"),
        ("hr_bpm\n60\n", "no column rr_ms"),
        ("rr_ms\n800\nlong\n", "line 3: 'long' is not a number"),
        ("rr_ms,rhythm\n800,N\n\n,N\n", "is not a number"),
        ("rr_ms\n-3\n", "not within"),
        ("rr_ms\nnan\n", "not within"),
        ("rr_ms\n70000\n", "not within"),
        ('rr_ms\n"800\n', "unexpected end"),
    ],
)
def test_a_wrong_rr_file_says_what_is_wrong(tmp_path, text, reason):
    path = tmp_path / "rr.csv"
    path.write_text(text)
    with pytest.raises(recordings.RecordingError, match=reason):
        recordings.load_rr(path)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("yesterday,100\n", "line 2: 'yesterday' is not a time"),
        ("2024-01-01 00:00:00+01:00,100\n", "not a local time"),
        ("2024-01-01 00:05:00,100\n2024-01-01 00:05:00,101\n", "do not increase"),
        ("2024-01-01 00:05:00\n", "line 2: '' is not a number"),
    ],
)
def test_a_wrong_glucose_file_says_what_is_wrong(tmp_path, rows, reason):
    path = tmp_path / "glucose.csv"
    path.write_text("time,glucose_mg_dl\n" + rows)
    with pytest.raises(recordings.RecordingError, match=reason):
        recordings.load_glucose(path)


def test_bytes_that_are_no_text_and_a_file_that_is_not_there(tmp_path):
    path = tmp_path / "rr.csv"
    path.write_bytes(b"rr_ms\n\xff\xfe800\n")
    for wrong in (path, tmp_path / "none.csv"):
        with pytest.raises(recordings.RecordingError):
            recordings.load_rr(wrong)
