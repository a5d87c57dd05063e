"""What people have said of mutants: survivors that were judged, and mutants that must die.

Contract: a mutant is known by its file, the class or function, the line and what it becomes, so an entry outlives moved
lines, and not a change of the line. Every entry has a sentence. `tests/test_tools_mutate.py` finds entries that fit
nothing any more.
"""

import tomllib
from pathlib import Path
from typing import Final, NamedTuple

from tools.mutate.source import Mutant, changed_line

JUDGED: Final = Path("tests/mutants_judged.toml")
NAMED: Final = Path("tests/mutants_named.toml")


class Key(NamedTuple):
    """What a mutant is known by."""

    file: str
    where: str
    line: str
    becomes: str


class Entry(NamedTuple):
    """A mutant, and what is said of it; `test` is the one that must notice, "" where nobody has said which."""

    key: Key
    why: str
    test: str = ""


def key_of(mutant: Mutant) -> Key:
    return Key(mutant.file, mutant.where, mutant.line, mutant.becomes)


def entries(path: Path) -> list[Entry]:
    """The mutants of a file; none if there is no such file.

    Raises:
        ValueError: an entry lacks something, has something else, or comes twice.
    """
    if not path.exists():
        return []
    found: dict[Key, Entry] = {}
    for table in tomllib.loads(path.read_text()).get("mutant", []):
        test = table.pop("test", "")
        if set(table) != {*Key._fields, "why"} or not table["why"]:
            wanted = f"{', '.join(Key._fields)}, why and perhaps test"
            raise ValueError(f"{path}: an entry has {wanted}, not {', '.join(table)}")
        why = table.pop("why")
        key = Key(**table)
        if key in found:
            raise ValueError(f"{path}: {key.file}: {key.line!r} becomes {key.becomes!r} twice")
        found[key] = Entry(key, why, test)
    return list(found.values())


def named(root: Path, path: Path) -> list[Mutant]:
    """The mutants that a file names, made of today's sources.

    Raises:
        OSError: there is no such source.
        ValueError: a line is not there, or more than once.
    """
    return [changed_line((root / key.file).read_text(), *key, test) for key, _, test in entries(path)]
