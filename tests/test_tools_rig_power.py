"""Power cuts: every statement of the store is under test, images are judged rightly, and breaks of the store are found."""

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edge import store as store_package
from edge.store.database import Database, Row, Value
from edge.store.schema import create
from edge.store.tables import Tables
from tools.rig.power.script import IDENTITY, SCRIPTS

STORE = Path(store_package.__file__).parent
# These are said by opening a store: by the scripts that begin with nothing, with a store of the other world, or with one
# of an earlier version.
APART = {"migrations.py", "opening.py", "schema.py"}
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
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
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
    database = Noting(tmp_path / "store.db", IDENTITY)
    database.said = said
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    with database.transaction():
        create(database)
    tables = Tables(database)
    leaving = SCRIPTS["leaving"]
    assert leaving.before is not None
    for step in (*leaving.before, *leaving.steps):
        with database.transaction():
            step.work(tables)
    database.close()
    found = list(statements())
    assert len(found) > 50
    missing = [text for text, form in found if not any(form.fullmatch(one) for one in said)]
    assert missing == []
