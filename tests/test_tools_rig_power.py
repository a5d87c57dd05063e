"""Power cuts: every statement of the store is tried, images are judged rightly, and breaks of the store are found."""

import ast
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from random import Random

import pytest

from edge import store as store_package
from edge.store import database, opening
from edge.store.database import Database, Row, Value
from edge.store.schema import create
from edge.store.tables import Tables
from tools.rig.power.cuts import Recorded, acknowledged, cut, cut_again, put, record
from tools.rig.power.images import Image, drawn, image, windows
from tools.rig.power.recording import Link, Recorder, Sync, SyncDirectory, Told, Truncate, Write, recording
from tools.rig.power.script import IDENTITY, SCRIPTS, judge, play, prepare
from tools.rig.power.within import points
from tools.rig.power.write_log import Disk, LogError, entries

STORE = Path(store_package.__file__).parent
# These are said by opening a store: by the scripts that begin with nothing, with a store of the other world, or with
# one of an earlier version.
APART = {"migrations.py", "opening.py", "schema.py"}
CALLS_MAX = 500
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|PRAGMA incremental_vacuum)\b")


class Noting(Database):
    """A database that remembers which statements it was given."""

    said: set[str]

    def write(self, sql: str, *values: Value) -> int:
        self.said.add(" ".join(sql.split()))
        return super().write(sql, *values)

    def write_many(self, sql: str, rows: Iterable[Sequence[Value]]) -> int:
        self.said.add(" ".join(sql.split()))
        return super().write_many(sql, rows)

    def execute(self, sql: str, values: Sequence[Value] = ()) -> list[Row]:
        self.said.add(" ".join(sql.split()))
        return super().execute(sql, values)


def statements() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every statement of the store that writes, as it stands in the source, and what it looks like when it is said."""
    for path in sorted(STORE.glob("*.py")):
        tree = ast.parse(path.read_text())
        inner = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree) if path.name not in APART else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                texts = [node.value]
            elif isinstance(node, ast.JoinedStr):
                texts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]  # type: ignore[misc]
            else:
                continue
            text = " ".join("".join(texts).split())
            if WRITES.match(text):
                yield f"{path.name}: {text}", re.compile(".*".join(map(re.escape, text.split("\0"))))


def test_the_scripts_say_every_statement_of_the_store_that_writes(tmp_path: Path) -> None:
    said: set[str] = set()
    noting = Noting(tmp_path / "store.db", IDENTITY)
    noting.said = said
    noting.execute("PRAGMA synchronous = OFF")
    noting.execute("PRAGMA auto_vacuum = INCREMENTAL")
    with noting.transaction():
        create(noting)
    tables = Tables(noting)
    leaving = SCRIPTS["leaving"]
    assert leaving.before is not None
    for step in (*leaving.before, *leaving.steps):
        with noting.transaction():
            step.work(tables)
    noting.close()
    found = list(statements())
    assert len(found) > 50
    missing = [text for text, form in found if not any(form.fullmatch(one) for one in said)]
    assert missing == []


# Images


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record("day", tmp_path_factory.mktemp("day"))


@pytest.mark.parametrize("name", ["new", "sending", "leaving", "after-kill", "from-version-2"])
def test_after_a_power_cut_all_that_was_acknowledged_is_there_and_nothing_by_halves(
    tmp_path: Path, name: str
) -> None:
    one = record(name, tmp_path)
    assert 0 < one.calls <= CALLS_MAX
    cuts = [*cut(one, 40, 1, tmp_path), *cut_again(one, 16, 1, tmp_path)]
    assert len(cuts) > 40
    assert [each for each in cuts if each.wrong] == []


def test_a_recording_says_what_the_files_hold_in_the_end(tmp_path: Path) -> None:
    played = tmp_path / "played"
    prepare(SCRIPTS["new"], played)
    with recording(played) as recorder:
        assert play(SCRIPTS["new"], played, recorder.tell) == 0
    *_, last = windows(recorder)
    assert last.told == ("acked 0", "acked 1", "acked 2", "acked 3")
    everything = image(last, ((1 << len(last.pieces)) - 1, len(last.renamings)))
    assert everything.files == {path.name: path.read_bytes() for path in played.iterdir()}


def test_of_what_was_not_synced_any_sectors_may_be_there(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.entries += [Link("a", 0), Write(0, 0, b"1" * 1024), Sync(0), SyncDirectory(), Told("acked 0")]
    recorder.entries += [Write(0, 256, b"2" * 512), Truncate(0, 700), Link("b", 0)]
    *_, last = windows(recorder)
    found = {frozenset(one.files.items()) for one in drawn(last, 100, Random(1))}
    contents = {dict(one)["a"] for one in found}
    old, first, second = (
        b"1" * 1024,
        b"1" * 256 + b"2" * 256 + b"1" * 512,
        b"1" * 512 + b"2" * 256 + b"1" * 256,
    )
    both = b"1" * 256 + b"2" * 512 + b"1" * 256
    assert contents == {whole[:size] for whole in (old, first, second, both) for size in (700, 1024)}
    assert {len(one) for one in found} == {1, 2}
    assert last.told == ("acked 0",)


def test_a_judge_tells_what_is_lost_from_what_is_damaged(tmp_path: Path, recorded: Recorded) -> None:
    before, after = recorded.windows[-1], recorded.windows[5]
    whole = image(before, ((1 << len(before.pieces)) - 1, len(before.renamings)))
    steps = len(SCRIPTS["day"].steps)

    def judged(files: dict[str, bytes], acked: int, expected: list[str] = recorded.expected) -> str | None:
        put(Image(files, (0, 0)), tmp_path / "image")
        return judge(tmp_path / "image", expected, acked)

    assert judged(whole.files, steps) is None
    early = image(after, (0, 0))
    assert acknowledged(after.told) is not None
    assert judged(early.files, steps) == "acknowledged steps are lost"
    assert judged(whole.files, steps, ["?"] * (steps + 1)) == "half of a step"
    aside = {"store.db": b"", "store.db.corrupt-1": whole.files["store.db"]}
    assert judged(aside, 0, ["?"]) == "set aside as damaged"
    torn = bytearray(whole.files["store.db"])
    torn[5 * 1024 + 100 : 7 * 1024] = bytes(2 * 1024 - 100)
    assert judged(whole.files | {"store.db": bytes(torn)}, steps) == "set aside as damaged"


def test_a_store_that_does_not_wait_for_the_disk_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tuple(one.replace("synchronous = FULL", "synchronous = NORMAL") for one in database.WRITING)
    monkeypatch.setattr(opening, "WRITING", kept)
    wrong = [each.wrong for each in cut(record("day", tmp_path), 60, 1, tmp_path)]
    assert "acknowledged steps are lost" in wrong


# What the kernel logged


def logged(*parts: tuple[int, int, int, bytes]) -> BytesIO:
    """A log as drivers/md/dm-log-writes.c writes it: a superblock, and entries of a sector each before their data."""
    log = struct.pack("<QQQI", 0x6A736677736872, 1, len(parts), 512).ljust(512, b"\0")
    for sector, sectors, flags, data in parts:
        is_mark = bool(flags & 8)
        head = struct.pack("<QQQQ", sector, sectors, flags, len(data) if is_mark else 0)
        log += (head + data if is_mark else head).ljust(512, b"\0") + (b"" if is_mark else data)
    return BytesIO(log)


LOGGED = (
    (2, 1, 0, b"a" * 512),
    (0, 0, 8, b"prepared"),
    (2, 1, 1, b"b" * 512),
    (0, 0, 8, b"acked-0"),
    (0, 4, 4, b""),
    (3, 1, 2, b"c" * 512),
    (0, 0, 8, b"acked-11"),
)


def test_a_log_of_writes_is_replayed_in_order_up_to_any_entry() -> None:
    disk = Disk(2048)
    found = [(number, acked, bytes(disk.octets)) for number, acked in points(entries(logged(*LOGGED)), disk)]
    a, b, c = (bytes(1024) + one * 512 + bytes(512) for one in (b"a", b"b", b"\0"))
    last = bytes(1536) + b"c" * 512
    assert found == [(1, None, a), (2, None, b), (3, 0, b), (4, 0, c), (5, 0, last), (6, 11, last)]


def test_a_log_that_is_none_or_torn_is_refused() -> None:
    whole = logged(*LOGGED).getvalue()
    with pytest.raises(LogError, match="no log"):
        list(entries(BytesIO(b"\0" * 4096)))
    with pytest.raises(LogError, match="it ends within entry 5 of 7"):
        list(entries(BytesIO(whole[:-1024])))
    with pytest.raises(LogError, match="on a disk of 1024 octets"):
        list(points(entries(BytesIO(whole)), Disk(1024)))
