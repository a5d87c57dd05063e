"""`vitalgate analyse glucose` as a user meets it: files in, numbers and files out, one line for what is wrong."""

import csv
import gzip
import json
import zlib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tools.cli import app

RECORDINGS = Path(__file__).parent / "recordings"
AZT1D = RECORDINGS / "azt1d_09_glucose.csv.gz"


def analyse(*args: object) -> Result:
    return CliRunner().invoke(app, ["analyse", "glucose", *map(str, args)])


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
        ("time,glucose_mg_dl\n2026-01-01 08:00,5.6\n2026-01-01 08:05,6.1\n", "unit"),
        ("time,glucose_mmol_l\n2026-01-01 08:00,101\n2026-01-01 08:05,109\n", "unit"),
        ("time,glucose_mg_dl\n0001-01-01T00:00+14:00,100\n9999-12-31T23:59-12:00,100\n", None),
        ("time,glucose_mg_dl\n9999-12-31T23:59:60,100\n", "line 2"),
        ("time,glucose_mg_dl,time\n2026-01-01 08:00,100\n", "line 2"),
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
        ("time;glucose_mmol_l\r\n{0};5,0\r\n{1};5,5\r\n{2};6\r\n", "utf-8-sig"),
        ("glucose_mmol_l, time ,note\n5.0,{0},\n5.5,{1},x\n6,{2},\n", "utf-8"),
        ("time,glucose_mg_dl,glucose_mmol_l\n{0},90,\n{1},,5.5\n{2},NaN,6\n", "utf-8"),
        ("time,glucose_mg_dl\n{2},108\n{0},90\n{1},1\n{1},99\n", "utf-8"),
    ],
    ids=["bom", "spreadsheet", "order of columns", "both units", "order of rows"],
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
    "option", [("--timezone", "Mars/Olympus"), ("--plot", "x.gif"), ("--per-reading", "/")]
)
def test_wrong_options_are_one_line(option: tuple[str, str]) -> None:
    done = analyse(AZT1D, *option)
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
