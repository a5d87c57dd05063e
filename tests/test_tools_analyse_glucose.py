"""`vitalgate analyse glucose` as a user meets it: files in, numbers and files out, one line for what is wrong."""

import csv
import gzip
import json
import os
import re
import subprocess
import sys
import zlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import IO
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner, Result

from dsp.glucose.alerts import Rules
from tools.analyse import glucose_csv
from tools.cli import app

RECORDINGS = Path(__file__).parent / "recordings"
AZT1D = RECORDINGS / "azt1d_09_glucose.csv.gz"


def analyse(*args: object) -> Result:
    return CliRunner().invoke(app, ["analyse", "glucose", *map(str, args)])


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_json_holds_metrics_episodes_and_profile_of_each_person(tmp_path: Path) -> None:
    rows = ["id,time,glucose_mg_dl"]
    for name, level in (("ann", 90), ("bob", 200)):
        rows += [
            f"{name},2026-01-01 {m // 60:02d}:{m % 60:02d}:00,{level + m % 7}" for m in range(0, 1440, 5)
        ]
    (tmp_path / "two.csv").write_text("\n".join(rows))
    done = analyse(tmp_path / "two.csv", "--json")
    assert done.exit_code == 0, done.output
    ann, bob = json.loads(done.stdout)["people"]
    assert (ann["id"], bob["id"]) == ("ann", "bob")
    assert len(ann["metrics"]) >= 48
    assert ann["metrics"]["in_70_180_pct"] == 100.0
    assert bob["episodes"]["hyper_level_1"]["episodes"] == 1
    assert ann["sufficient"] is False
    assert len(ann["agp"]) == 287  # the last grid time lies after the last reading
    assert ann["agp"][0]["clock"] == "00:05"


def test_mmol_and_mg_say_the_same(tmp_path: Path) -> None:

    rows = list(csv.DictReader(gzip.decompress(AZT1D.read_bytes()).decode().splitlines()))
    text = "\n".join(
        ["time,glucose_mmol_l", *(f"{r['time']},{float(r['glucose_mg_dl']) / 18!r}" for r in rows)]
    )
    (tmp_path / "mmol.csv").write_text(text)
    mmol, mg = (json.loads(analyse(f, "--json").stdout) for f in (tmp_path / "mmol.csv", AZT1D))
    assert mmol["people"][0]["metrics"] == pytest.approx(mg["people"][0]["metrics"], rel=1e-9)


def test_every_row_gets_its_word_and_nothing_is_hidden(tmp_path: Path) -> None:
    source = tmp_path / "odd.csv"
    source.write_text(
        "time,glucose_mg_dl\n2026-01-01 08:00,120\n2026-01-01 08:05,\n2026-01-01 08:05,LO\n"
        "2026-01-01 07:00,65\n2026-01-01 08:10,High\n"
    )
    out = tmp_path / "out.csv"
    assert analyse(source, "--per-reading", out).exit_code == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["time"][-5:] for row in rows] == ["08:00", "08:05", "08:05", "07:00", "08:10"]
    assert [row["low"] for row in rows] == ["0", "0", "1", "1", "0"]
    assert [row["high"] for row in rows] == ["0", "0", "0", "0", "1"]
    assert [row["in_30_mg_dl"] == "" for row in rows] == [False, True, False, True, False]
    assert rows[0]["grade"] == "warm_up"


def test_plots_are_what_their_names_say(tmp_path: Path) -> None:
    for name in ("agp.svg", "agp.png"):
        assert analyse(AZT1D, "--plot", tmp_path / name).exit_code == 0
    svg = (tmp_path / "agp.svg").read_text()
    assert svg.startswith("<svg")
    assert "nan" not in svg
    png = (tmp_path / "agp.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    start = png.index(b"IDAT") + 4
    pixels = zlib.decompress(png[start : start + int.from_bytes(png[start - 8 : start - 4], "big")])
    assert len(set(pixels)) > 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "columns"),
        ("time,bg\n", "columns"),
        ("time,glucose_mg_dl\n", "no rows"),
        ("time,glucose_mg_dl\nyesterday,100\n", "line 2"),
        ("time,glucose_mg_dl\n2026-01-01 08:00,1OO\n", "line 2"),
        ("time,glucose_mmol_l\n2026-01-01 08:00,101\n2026-01-01 08:05,109\n", "unit"),
        ("time,glucose_mg_dl\n0001-01-01T00:00+14:00,100\n9999-12-31T23:59-12:00,100\n", None),
        ("time,glucose_mg_dl\n9999-12-31T23:59:60,100\n", "line 2"),
        ("time,glucose_mg_dl,TIME\n2026-01-01 08:00,100\n", "two columns time"),
        ("time,glucose_mg_dl,Id, id\n2026-01-01 08:00,100,a,b\n", "two columns id"),
        ("time,glucose_mg_dl,note,note\n2026-01-01 08:00,100,a,b\n", None),
        ("time,glucose_mg_dl\n , \nNaT,100\n", "line 2"),
        ("time,glucose_mg_dl\n2026-01-01 08:00,100,7,8\n", None),
        ("time,glucose_mg_dl\n\n\n2026-01-01 08:00,-3\n2026-01-01 08:00,1e400\n", None),
        ("time,glucose_mg_dl\n2026-01-01 08:00\n", None),
        ("time,glucose_mg_dl\n2026-01-01 08:00,100\n", None),
    ],
)
def test_mistakes_are_one_line(text: str, said: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    done = analyse(tmp_path / "x.csv", "--json", "--plot", tmp_path / "x.svg")
    if said is None:
        assert done.exit_code == 0, done.output
        return
    assert done.exit_code == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert said in line


def test_a_date_in_local_time_before_all_time_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("time,glucose_mg_dl\n0001-01-01 00:00,100\n")
    done = analyse(tmp_path / "x.csv", "--timezone", "Europe/Berlin")
    assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("time,glucose_mg_dl\n{0},90\n{1},99\n{2},108\n", "utf-8-sig"),
        ('time, "Glucose_mg_dl"\n{0}, "90"\n{1}, "99"\n{2}, "108"\n', "utf-8"),
        ("time;glucose_mmol_l\r\n{0};5,0\r\n{1};5,5\r\n{2};6\r\n", "utf-8-sig"),
        ("glucose_mmol_l, time ,note\n5.0,{0},\n5.5,{1},x\n6,{2},\n", "utf-8"),
        ("time,glucose_mg_dl,glucose_mmol_l\n{0},90,\n{1},,5.5\n{2},NaN,6\n", "utf-8"),
        ("time,glucose_mg_dl\n{2},108\n{0},90\n{1},1\n{1},99\n", "utf-8"),
    ],
    ids=["bom", "spaces", "spreadsheet", "order of columns", "both units", "order of rows"],
)
def test_files_as_they_come_say_the_same(text: str, encoding: str, tmp_path: Path) -> None:
    times = (f"2026-01-01 08:{minute:02d}" for minute in (0, 5, 10))
    (tmp_path / "x.csv").write_text(text.format(*times), encoding=encoding, newline="")
    done = analyse(tmp_path / "x.csv", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["people"][0]["metrics"]
    assert (found["readings"], found["min_mg_dl"], found["mean_mg_dl"], found["max_mg_dl"]) == (
        3,
        90,
        99,
        108,
    )


def test_newest_first_is_followed_from_its_end(tmp_path: Path) -> None:
    rows = [f"2026-01-01 {k // 12:02d}:{k % 12 * 5:02d},{100 + k}" for k in range(60)]
    said = []
    for order in (rows, rows[::-1]):
        (tmp_path / "x.csv").write_text("\n".join(["time,glucose_mg_dl", *order]))
        assert analyse(tmp_path / "x.csv", "--per-reading", tmp_path / "out.csv").exit_code == 0
        said.append((tmp_path / "out.csv").read_text().splitlines()[1:])
    assert said[0] == said[1][::-1]


@pytest.mark.parametrize(
    "option",
    [
        ("--timezone", "Mars/Olympus"),
        ("--timezone", "Europe"),  # a directory among the zones
        ("--timezone", ""),
        ("--plot", "x.gif"),
        ("--plot", "nowhere/x.png"),
        ("--per-reading", "/"),
        ("--per-reading", "nowhere/x.csv"),
        ("--per-reading", AZT1D),
        ("--per-reading", AZT1D.parent / ".." / AZT1D.parent.name / AZT1D.name),
    ],
)
def test_wrong_options_are_one_line(option: tuple[str, object]) -> None:
    before = AZT1D.read_bytes()
    done = analyse(AZT1D, *option)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert AZT1D.read_bytes() == before


def test_no_result_overwrites_what_is_read_or_another_result(tmp_path: Path) -> None:
    source = write(tmp_path / "x.svg", "time,glucose_mg_dl", "2026-01-01 08:00,100")
    (tmp_path / "link.svg").hardlink_to(source)
    for options in (
        ["--plot", source],
        ["--plot", tmp_path / "link.svg"],
        ["--plot", tmp_path / "y.svg", "--per-reading", tmp_path / "y.svg"],
    ):
        done = analyse(source, *options)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 1
    assert "2026" in source.read_text()
    assert not (tmp_path / "y.svg").exists()


def test_help_says_the_limits_of_the_alerts() -> None:
    rules = Rules()
    text = " ".join(re.sub(r"[^\w.,;]+", " ", analyse("--help").output).split())
    limits = f"low below {rules.low_mg_dl:g}, very_low below {rules.very_low_mg_dl:g}, high above {rules.high_mg_dl:g}"
    assert limits in text
    assert f"before {rules.low_mg_dl:g} and {rules.high_mg_dl:g}" in text


@pytest.mark.parametrize("name", ["x.PNG", "x.SVG"])
@pytest.mark.parametrize(
    "rows", [("2024-01-01 23:59:00,100", "2024-01-02 00:01:00,120"), ("2024-01-01,100", "2024-01-02,100")]
)
def test_a_profile_may_have_midnight_only(name: str, rows: tuple[str, str], tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", "time,glucose_mg_dl", *rows)
    assert analyse(source, "--plot", tmp_path / name).exit_code == 0
    assert (tmp_path / name).read_bytes()[:4] in (b"\x89PNG", b"<svg")


IDS = ("[/]", "[red]x[/red]", "J\u00f6rg", "a\x01\x1b[31m<b>")


def test_ids_are_shown_as_they_are_and_spoil_no_file(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", "id,time,glucose_mg_dl", *(f"{i},2026-01-01 08:00,100" for i in IDS))
    shown = analyse(source, "--plot", tmp_path / "x.svg").stdout
    titles = [
        text.text for text in ElementTree.parse(tmp_path / "x.svg").iter("{http://www.w3.org/2000/svg}text")
    ]
    for name in (*IDS[:3], r"a\x01\x1b[31m<b>"):
        assert f"\n{name}  2026" in f"\n{shown}"
        assert name in titles
    found = analyse(source, "--json").stdout
    assert found.isascii()
    assert [person["id"] for person in json.loads(found)["people"]] == list(IDS)


def vitalgate(
    *args: object, stdout: int | IO[str] = subprocess.PIPE, **environment: str
) -> tuple[int, str, str]:
    """The command in a process of its own."""
    command = [sys.executable, "-P", "-m", "tools", *map(str, args)]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[1],
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(
    not sys.prefix.isascii(),
    reason="in a locale of ASCII alone, Python loads nothing from a directory like ö",
)
def test_files_are_utf_8_and_stdout_takes_all_whatever_the_locale(tmp_path: Path) -> None:
    source = write(tmp_path / "x.csv", "id,time,glucose_mg_dl", "J\u00f6rg,2026-01-01 08:00,100")
    files = ("--plot", tmp_path / "x.svg", "--per-reading", tmp_path / "out.csv")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    code, shown, errors = vitalgate("analyse", "glucose", source, *files, **plain)
    assert (code, errors) == (0, "")
    assert r"J\xf6rg" in shown
    assert "J\u00f6rg" in (tmp_path / "x.svg").read_text("utf-8")
    assert "\nJ\u00f6rg,2026" in (tmp_path / "out.csv").read_text("utf-8")


@pytest.mark.parametrize("words", [["decode", "2A19", "64"], ["decode", "2A19", "64", "--json"], ["--help"]])
def test_a_full_disk_is_one_line(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        code, _, errors = vitalgate(*words, stdout=full)
    assert code == 1
    assert len(errors.splitlines()) == 1
    assert "No space left" in errors


def test_a_closed_stdout_is_no_defect() -> None:
    command = [sys.executable, "-P", "-m", "tools", "decode", "2A19", "64", "--json"]
    closed = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command],
        cwd=Path(__file__).parents[1],
        stderr=subprocess.PIPE,
        timeout=120,
    )
    assert (closed.returncode, closed.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("row", "reading"),
    [
        (",100", None),
        (" , ", None),
        (",", None),
        ("   ", None),
        ("NaT,100", None),
        ("2026-01-01 99:00,100", None),
        ("2026-01-01 09:00,1OO", None),
        ("2026-01-01 09:00,1_00", None),
        ("2026-01-01 09:00,<120", None),
        ("2026-01-01 09:00,1000", None),
        ("2026-01-01 09:00,inf", None),
        ("2026-01-01 09:00,1e400", None),
        ("2026-01-01 09:00,999", "999"),
        *(
            (f"2026-01-01 09:00,{word}", "")
            for word in ("<NA>", "N/A", "na", "-", "NULL", "nan", "None", "0", "-3")
        ),
        *((f"2026-01-01 09:00,{word}", "LO") for word in ("<40", "< 40", "Low", "LO", "lo")),
        *((f"2026-01-01 09:00,{word}", "HI") for word in (">400", "High", "HI", "hi")),
    ],
)
def test_one_odd_row_spoils_nothing(row: str, reading: str | None, tmp_path: Path) -> None:
    good = [f"2026-01-01 08:{k:02d},{100 + k}" for k in range(0, 30, 5)]
    source = write(tmp_path / "x.csv", "time,glucose_mg_dl", *good[:3], row, *good[3:])
    done = analyse(source, "--json", "--per-reading", tmp_path / "out.csv")
    assert (done.exit_code, done.stderr) == (0, "")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    odd = [r["reading_mg_dl"] for r in rows if r["time"].endswith("09:00")]
    left_out = json.loads(done.stdout)["rows_left_out"]
    if reading is None:
        assert (odd, len(rows)) == ([], 6)
        [group] = left_out
        assert (group["rows"], group["first_line"]) == (1, 5)
        told = analyse(source).stderr
        assert told == f"vitalgate: rows left out: 1 with {group['reason']} (first in line 5)\n"
    else:
        assert (odd, len(rows)) == ([reading], 7)
        assert left_out == []


@pytest.mark.parametrize(
    ("word", "reading"), [("54.9", "988.2"), ("55", None), ("<2.2", "LO"), (">22.2", "HI")]
)
def test_impossible_and_off_scale_values_in_mmol(word: str, reading: str | None, tmp_path: Path) -> None:
    source = write(
        tmp_path / "x.csv", "time,glucose_mmol_l", "2026-01-01 08:00,5", f"2026-01-01 08:05,{word}"
    )
    assert analyse(source, "--per-reading", tmp_path / "out.csv").exit_code == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["reading_mg_dl"] for row in rows] == ["90", reading][: len(rows)]
    assert len(rows) == 1 + (reading is not None)


def test_rows_left_out_are_counted_by_kind(tmp_path: Path) -> None:
    good = [f"2026-01-01 08:{k:02d},{100 + k}" for k in range(20)]
    bad = ["later,100", ",,", "2026-01-01 09:00,x", ",100", "soon,100"]
    source = write(tmp_path / "x.csv", "time,glucose_mg_dl", *good, *bad, ",,", "", ",")
    left_out = json.loads(analyse(source, "--json").stdout)["rows_left_out"]
    assert left_out == [
        {"reason": "unreadable time", "rows": 2, "first_line": 22},
        {"reason": "no time", "rows": 4, "first_line": 23},
        {"reason": "unreadable value", "rows": 1, "first_line": 24},
    ]


def test_a_fifth_that_cannot_be_read_is_another_format(tmp_path: Path) -> None:
    good = [f"2026-01-01 08:{k:02d},{100 + k}" for k in range(0, 60, 5)]
    for bad, code in ((2, 0), (3, 2)):
        source = write(tmp_path / "x.csv", "time,glucose_mg_dl", *good, *["2026-01-01 09:00,x"] * bad)
        done = analyse(source, "--json")
        assert done.exit_code == code
    [line] = done.stderr.splitlines()
    assert "line 14" in line


def test_the_unit_is_judged_over_the_whole_file_and_not_on_a_few_readings(tmp_path: Path) -> None:
    low = [f"a,2026-01-01 08:{k:02d},20" for k in range(12)]
    for rows, refused in ((low, True), (low[:11], False), ([*low, *(f"b{r[1:-2]}100" for r in low)], False)):
        done = analyse(write(tmp_path / "x.csv", "id,time,glucose_mg_dl", *rows), "--json")
        assert done.exit_code == (2 if refused else 0), done.output
        assert ("name the column after its unit" in done.stderr) is refused
    mmol = [f"{row[:-2]}101" for row in low]
    done = analyse(write(tmp_path / "x.csv", "id,time,glucose_mmol_l", *mmol))
    assert "its usual value is 1818 mg/dL; name the column after its unit" in done.stderr


@pytest.mark.parametrize(
    ("text", "offset_h"),
    [
        ("2026/03/05 08:05:00", 0),
        ("2026/3/5 8:05", 0),
        ("2026-3-5 8:05:00", 0),
        ("2026-03-05 08:05:00 UTC", 0),
        ("2026-03-05 08:05 Z", 0),
        ("2026-03-05T08:05Z", 0),
        ("2026/3/5 8:05 +02:00", 2),
        ("20260305T080500", 0),
    ],
)
def test_times_as_they_are_written(text: str, offset_h: int, tmp_path: Path) -> None:
    [row] = glucose_csv.read(write(tmp_path / "x.csv", "time,glucose_mg_dl", f"{text},100")).rows
    stamp = datetime(2026, 3, 5, 8, 5, tzinfo=timezone(timedelta(hours=offset_h)))
    assert (row.utc_min, row.offset_min) == (stamp.timestamp() / 60, offset_h * 60)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("05/03/2026 08:05", "which is the day"),
        ("5.3.2026", "which is the day"),
        ("03/05/26 08:05", "which is the day"),
        ("1704067200", "is a number"),
        ("1711123100000", "is a number"),  # without the check that is midnight of 1711-12-31
        ("28401120", "is a number"),
        ("2026/03-05 08:05", "is not a time"),
        ("2026-02-30 08:05", "is not a time"),
    ],
)
def test_times_that_may_be_another_are_refused(text: str, said: str, tmp_path: Path) -> None:
    done = analyse(write(tmp_path / "x.csv", "time,glucose_mg_dl", f"{text},100"))
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert said in line
    assert "line 2" in line
    assert "2026-01-31 08:05:00" in line


@pytest.mark.parametrize(
    "name", [" ID ", "Subject", "subject_id", "patient", "Patient_ID", "user_id", "participant_id"]
)
def test_columns_are_found_in_any_case(name: str, tmp_path: Path) -> None:
    source = write(
        tmp_path / "x.csv", f"{name},TIME, Glucose_mg_dL ", "a,2026-01-01 08:00,100", "b,2026-01-01 08:00,100"
    )
    assert [person.id for person in glucose_csv.read(source).people()] == ["a", "b"]


def test_rows_per_reading_follow_the_file_and_a_beginning_gives_a_beginning(tmp_path: Path) -> None:
    rows = [
        f"{name},2026-01-01 {k // 12:02d}:{k % 12 * 5:02d},{100 + step * k}"
        for k in range(30)
        for name, step in (("a", 3), ("b", -1))
    ]
    rows[20:20] = ["a,2026-01-01 00:10,77", "c,2026-01-01 05:00,LO"]
    said = []
    for count in (len(rows), 25):
        source = write(tmp_path / "x.csv", "id,time,glucose_mg_dl", *rows[:count])
        assert analyse(source, "--per-reading", tmp_path / "out.csv").exit_code == 0
        said.append((tmp_path / "out.csv").read_text().splitlines())
    assert [line.split(",")[:2] for line in said[0][1:]] == [row.split(",")[:2] for row in rows]
    assert said[1] == said[0][:26]


def test_the_span_is_that_of_the_values(tmp_path: Path) -> None:
    rows = [
        "a,2026-01-01 08:00,",
        "a,2026-01-01 08:05,100",
        "a,2026-01-01 08:10,HI",
        "a,2026-01-01 08:15,0",
        "b,2026-01-01 08:00,-",
    ]
    source = write(tmp_path / "x.csv", "id,time,glucose_mg_dl", *rows)
    a, b = json.loads(analyse(source, "--json").stdout)["people"]
    assert (a["from"], a["to"]) == ("2026-01-01 08:05", "2026-01-01 08:10")
    assert (b["from"], b["to"]) == (None, None)
    assert "b  no readings" in analyse(source).stdout


def test_newest_first_over_the_end_of_summer_time_is_the_same(tmp_path: Path) -> None:
    start, zone = datetime(2024, 10, 26, 12, tzinfo=UTC), ZoneInfo("Europe/Berlin")
    rows = [
        f"{(start + timedelta(minutes=5 * k)).astimezone(zone):%Y-%m-%d %H:%M:%S},{100 + k % 37 + k // 9}"
        for k in range(400)
    ]
    swapped = [*rows[:145], rows[144], *rows[145:]]  # a row twice, in the hour that comes twice, too
    swapped[30], swapped[31] = swapped[31], swapped[30]
    for ascending in (rows, swapped):
        found = []
        for order in (ascending, ascending[::-1]):
            source = write(tmp_path / "x.csv", "time,glucose_mg_dl", *order)
            done = analyse(
                source, "--json", "--timezone", "Europe/Berlin", "--per-reading", tmp_path / "out.csv"
            )
            [person] = json.loads(done.stdout)["people"]
            found.append(
                (
                    person,
                    (tmp_path / "out.csv").read_text().splitlines()[1:][:: 1 if order is ascending else -1],
                )
            )
        assert found[0] == found[1]
        assert found[0][0]["metrics"]["readings"] == 400
        assert found[0][0]["metrics"]["active_pct"] == 100
