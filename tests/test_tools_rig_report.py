"""What is left of plays: JUnit as others read it, a page that needs no eyes, and a directory that plays it again."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from bumble.hci import HCI_Packet
from junitparser import Error, Failure, JUnitXml, TestSuite
from typer.testing import CliRunner

from tools.cli import app
from tools.rig.report import junit, page
from tools.rig.run.rounds import Round
from tools.rig.verdict.blame import Blame, Finding
from tools.rig.verdict.evidence import Evidence, PersonEvidence
from tools.rig.verdict.expectations import RaisedAlert
from tools.rig.verdict.outcome import Outcome, wilson

GLUCOSE = [(300.0 * n, 100.0 + n) for n in range(12)]
EVIDENCE = Evidence(
    [PersonEvidence("jo <&>", GLUCOSE, GLUCOSE[:-1], [], [])],
    [RaisedAlert("glucose_low", "cgm", 900.0)],
    [],
    [],
    [],
)


def outcome(seed: int, *findings: tuple[Blame, str]) -> Outcome:
    return Outcome(
        seed=seed, findings=tuple(Finding(*one) for one in findings), took_s=1.5, evidence=EVIDENCE
    )


ROUNDS = [
    Round("a/good.toml", "All is well.", [outcome(1), outcome(2)], "virtual"),
    Round("a/bad.toml", "<b>", [outcome(1), outcome(2, (Blame.PRODUCT, "1 < 2\x00 & so on"))], "virtual"),
    Round("a/ugly.toml", "", [outcome(1, (Blame.PRODUCT, "late"), (Blame.BENCH, "flat"))], "bluez"),
]


def test_a_stock_reader_opens_the_junit_file(tmp_path: Path) -> None:
    file = tmp_path / "junit.xml"
    file.write_bytes(junit.document(ROUNDS))
    suites = list(JUnitXml.fromfile(str(file)))
    assert [
        (one.name, one.tests, one.failures, one.errors) for one in suites if isinstance(one, TestSuite)
    ] == [
        ("a/good.toml", 2, 0, 0),
        ("a/bad.toml", 2, 1, 0),
        ("a/ugly.toml", 1, 0, 1),
    ]
    cases = [case for suite in suites for case in suite]
    assert [case.classname for case in cases] == ["virtual.good"] * 2 + ["virtual.bad"] * 2 + ["bluez.ugly"]
    (failure,), (error,) = cases[3].result, cases[4].result
    assert isinstance(failure, Failure)
    assert (failure.type, failure.message) == ("product", "1 < 2\ufffd & so on")
    assert isinstance(error, Error)
    assert (error.type, error.message) == ("bench", "flat")


class Reader(HTMLParser):
    """What an assistive program finds: headings in order, names of images, references and their targets."""

    def __init__(self) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.images: list[str | None] = []
        self.ids: set[str] = set()
        self.references: set[str] = set()
        self.tags: list[str] = []
        self.header_cells: list[str | None] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.tags.append(tag)
        if tag not in ("meta",):
            self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.headings.append(int(tag[1]))
        if tag == "svg":
            assert told["role"] == "img"
            self.images.append(told["aria-label"])
        if tag == "th":
            self.header_cells.append(told["scope"])
        if "id" in told:
            self.ids.add(str(told["id"]))
        self.references |= {str(told[key]).lstrip("#") for key in ("href", "aria-labelledby") if key in told}

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_can_be_read_without_seeing_it() -> None:
    text = page.document(ROUNDS)
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert reader.headings[0] == 1
    assert all(
        after <= before + 1 for before, after in zip(reader.headings, reader.headings[1:], strict=False)
    )
    assert all(label and "are true" in label and "were told" in label for label in reader.images)
    assert len(reader.images) == 5
    assert reader.references <= reader.ids
    assert set(reader.header_cells) == {"col", "row"}
    assert "script" not in reader.tags
    assert not {"b", "jo"} & set(reader.tags)
    assert 'lang="en"' in text
    assert "1 of 2" in text
    assert "<p></p>" not in text
    assert "http" not in text


def test_the_interval_of_the_pass_rate_is_wilsons() -> None:
    # As in Newcombe, Statistics in Medicine 17 (1998), table I, method 3: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (passed, played), expected in published.items():
        assert wilson(passed, played) == pytest.approx(expected, abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


SCENARIO = """
about = "A strap that is always there."
lasts = "2min"
sensors = [{ id = "strap", kind = "heart_rate" }]
expect = [{ what = "complete" }, { what = "status", fields = { "sensors.strap.losses" = 1 } }]
"""


def test_what_is_kept_plays_it_again_by_one_command(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(SCENARIO)
    names = ["--artefacts", str(tmp_path / "kept"), "--html", str(tmp_path / "page.html")]
    done = CliRunner().invoke(app, ["rig", "run", str(file), "--seed", "7", "--json", *names])
    assert done.exit_code == 1
    (told,) = json.loads(done.stdout)
    assert (told["verdict"], told["played"], told["first_failing_seed"]) == ("product", 1, 7)
    wrong = "status at the end: sensors.strap.losses is 0, expected 1"
    assert [one["text"] for one in told["plays"][0]["findings"]] == [wrong]
    (kept,) = (tmp_path / "kept").iterdir()
    assert {path.name for path in kept.iterdir()} == {
        "scenario.toml", "gateway.toml", "state", "bundles", "air.btsnoop", "log", "status.jsonl", "truth.json",
        "verdict.json", "versions.json", "replay.sh",
    }  # fmt: skip
    assert read_btsnoop((kept / "air.btsnoop").read_bytes()) > 100
    again = subprocess.run(
        [kept / "replay.sh", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ, PYTHON=sys.executable),
    )
    assert again.returncode == 1, again.stderr
    (once_more,) = json.loads(again.stdout)
    assert once_more["plays"][0]["digest"] == told["plays"][0]["digest"] != ""


def read_btsnoop(content: bytes) -> int:
    """How many packets there are, each of which Bumble's own parser takes."""
    assert content[:8] == b"btsnoop\0"
    at, count = 16, 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4])
        HCI_Packet.from_bytes(content[at + 24 : at + 24 + size])
        at, count = at + 24 + size, count + 1
    return count
