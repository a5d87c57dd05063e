"""What is wrong with the operator's file, in the operator's words: which key, why, and what may stand there.

Contract: `undecodable`, `not_toml` and `not_valid` make one `ConfigError` each, and no word of a parser gets into it.
What a key may be is read off the types in `config`: limits, the description of a pattern, and the unit at the end of
the key's name. A value is repeated only if it is a number, a truth value, or stands where one is wanted.

The checks themselves are in `config`.
"""

import difflib
import math
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import inspect

from edge.errors import ConfigError

CORRECT: Final = "correct it; example.toml shows every key with its default"
UNITS: Final = {
    "_bpm": " beats per minute",
    "_s": " seconds",
    "_days": " days",
    "_pct": " %",
}

# What tomllib says, and what that means to somebody who has just typed the line.
_TOML: Final = (
    ("Expected '='", "no `=` follows the key", "write key = value"),
    ("Invalid initial character for a key", "no key begins like that", "write key = value, or a [section]"),
    ("Invalid statement", "no line begins like that", "write key = value, or a [section]"),
    ("Expected ']' at the end of a table", "a [section] is not closed", "add `]`"),
    ("Expected ']]' at the end of", "a [[section]] is not closed", "add `]]`"),
    (
        "Expected newline",
        "something follows where the line should end",
        "put text in quotes, and each key on a line",
    ),
    ("Cannot overwrite", "a key is given twice", "remove one of the two"),
    (
        "Cannot declare",
        "a section is given twice",
        "put its keys under one heading, or use [[...]] for a list",
    ),
    (
        "Cannot mutate",
        "a section is written both inside braces and as a heading",
        "write it in one of the two ways",
    ),
    ("Cannot redefine", "a section is given twice", "put its keys under one heading"),
    ("Duplicate inline table key", "a key is given twice", "remove one of the two"),
    ("Unclosed array", "a list is not closed", "add `]`"),
    ("Unclosed inline table", "a section in braces is not closed", "add `}`"),
    ("Unterminated string", "a text is not closed", "add the quote at its end"),
    ("Unescaped", "`\\` is not allowed alone in double quotes", "write `\\\\`, or use single quotes"),
    ("Invalid hex", "`\\` is not allowed alone in double quotes", "write `\\\\`, or use single quotes"),
    ("Escaped character", "`\\u` names no character there", "write the character itself"),
    ("Found invalid character '\\n'", "a text is not closed in its line", "add the quote at its end"),
    ("Found invalid character", "a character that cannot be seen is not allowed there", "remove it"),
    ("Expected \"'", "a text is not closed", "add the quote at its end"),
    ("Illegal character '\\n'", "a text is not closed in its line", "add the quote at its end"),
    ("Illegal character", "a character that cannot be seen is not allowed there", "remove it"),
    ("Expected", "something is missing or too much", CORRECT),
    ("Invalid date", "there is no such date or time", "write it like 2030-12-31"),
    ("Invalid value", "the value makes no sense", "put text in quotes; yes and no are true and false"),
)
_ROWS: Final = {"sensors": "sensor", "people": "person"}
_NAME: Final = re.compile(r"[A-Za-z0-9_\- ]{1,32}")
_CURLED: Final = re.compile("[\u2018-\u201f\u00ab\u00bb\u2039\u203a]")
_LEADING_ZERO: Final = re.compile(r"^\s*([\w.\-\"']+)\s*=\s*(0\d+)\s*(#.*)?$")


def undecodable(path: Path, content: bytes, fault: UnicodeDecodeError) -> ConfigError:
    """It is not UTF-8."""
    line = content[: len(content) - len(fault.object) + fault.start].count(b"\n") + 1
    return ConfigError(f"{path}: line {line}", "this is not UTF-8", "save the file as UTF-8")


def not_toml(path: Path, text: str, fault: Exception) -> ConfigError:
    """It is not TOML."""
    message = str(fault)
    found = re.search(r"\(at (?:line (\d+), column (\d+)|end of document)\)", message)
    lines = text.split("\n")
    number = int(found[1]) if found and found[1] else len(lines) if found else None
    cause, remedy = "the file is nested too deeply, or a number is too long", CORRECT
    if found:
        said = (row[1:] for row in _TOML if row[0] in message)
        cause, remedy = next(said, ("this is not valid TOML", CORRECT))
    line = lines[number - 1] if number is not None and number <= len(lines) else ""
    if zeros := _LEADING_ZERO.match(line):
        remedy = f'put it in quotes: "{zeros[2]}"'
        if zeros[1] != "passkey":
            remedy = f"write {int(zeros[2])}, or, if it is a text, {remedy}"
        cause = "a number must not begin with 0"
    elif _CURLED.search(line):
        cause, remedy = "the quotes are those of printed text", 'type straight ones: "'
    where = str(path) if number is None else f"{path}: line {number}"
    return ConfigError(where, f"not valid TOML: {cause}", remedy)


def not_valid(path: Path | str, document: Any, root: type, fault: msgspec.ValidationError) -> ConfigError:
    """Turn "Expected `int` <= 250 - at `$.alerts.x`" into file, key, reason and remedy."""
    reason, _, place = str(fault).rpartition(" - at `$")
    if not reason:
        reason, place = str(fault), ""
    place = place.removesuffix("`").lstrip(".")
    expected, name, value = _look_up(root, document, place)
    named = re.search(r" field `(.*)`\Z", reason, re.DOTALL)
    if fault.__cause__ is not None:  # the words of a check in `config`
        cause, _, remedy = reason.partition("; ")
    elif named and isinstance(expected, inspect.StructType):
        place = f"{place}.{named[1]}".lstrip(".")
        is_missing = reason.startswith("Object missing")
        cause, remedy = (_missing if is_missing else _unknown)(root, expected, named[1])
    else:
        cause, remedy = _unsuitable(expected, name, value)
    where = _in_words(place, document)
    return ConfigError(f"{path}: {where}" if where else str(path), cause, remedy or CORRECT)


def _in_words(place: str, document: Any) -> str:
    """Where it is, for somebody who looks for it in the file: "sensor cgm, passkey" for `sensors[1].passkey`."""
    found = re.fullmatch(r"(sensors|people)\[(\d+)\](?:\.(.*))?", place)
    if found is None:
        return place
    rows, number = document[found[1]], int(found[2])
    names = [row.get("id") if isinstance(row, dict) else None for row in rows]
    name = names[number]
    is_clear = isinstance(name, str) and _NAME.fullmatch(name) is not None and names.count(name) == 1
    which = name if is_clear else f"number {number + 1}"
    return f"{_ROWS[found[1]]} {which}" + (f", {found[3]}" if found[3] else "")


def _look_up(root: type, document: Any, place: str) -> tuple[inspect.Type, str, Any]:
    """What is expected at a place such as `sensors[0].address`, the name of its key, and what stands there."""
    expected, name, value = inspect.type_info(root), "", document
    for key, index in re.findall(r"(\w+)|\[(\d+)\]", place):
        plain = _plain(expected)
        if key and isinstance(plain, inspect.StructType) and isinstance(value, dict):
            expected = next(field.type for field in plain.fields if field.encode_name == key)
            name, value = key, value.get(key)
        elif index and isinstance(plain, inspect.VarTupleType) and isinstance(value, list):
            expected, value = plain.item_type, value[int(index)]
    return (expected if _description(expected) else _plain(expected)), name, value


def _plain(expected: inspect.Type) -> inspect.Type:
    """Without its description, and without the None that only a default may be."""
    if isinstance(expected, inspect.Metadata):
        return _plain(expected.type)
    if isinstance(expected, inspect.UnionType):
        return _plain(next(one for one in expected.types if not isinstance(one, inspect.NoneType)))
    return expected


def _description(expected: inspect.Type) -> str | None:
    """What a pattern means, as its type says."""
    if isinstance(expected, inspect.UnionType):
        return next(filter(None, map(_description, expected.types)), None)
    if isinstance(expected, inspect.Metadata):
        return (expected.extra_json_schema or {}).get("description")
    return None


def allowed(expected: inspect.Type, name: str) -> str:
    """What a key may be."""
    if described := _description(expected):
        return described
    unit = next((words for end, words in UNITS.items() if name.endswith(end)), "")
    match _plain(expected):
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}{unit}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:g}{unit}"
        case inspect.BoolType():
            return "true or false"
        case inspect.DateType():
            return "a date like 2030-12-31"
        case inspect.VarTupleType(item_type=item) if not isinstance(_plain(item), inspect.StructType):
            return "a list"
        case inspect.VarTupleType(min_length=low, max_length=high):
            return f"a list of sections [[{name}]]" + (
                f", {low or 0} to {high} of them" if high is not None else ""
            )
        case inspect.StructType():
            return f"a section [{name}]" if name else "a section"
        case inspect.CustomType(cls=cls) if not issubclass(cls, int):
            return "a path in quotes"
    return "a text in quotes"


def _missing(_root: type, section: inspect.StructType, name: str) -> tuple[str, str]:
    field = next(field for field in section.fields if field.encode_name == name)
    return "it is missing", f"add it: {allowed(field.type, name)}"


def _unknown(root: type, section: inspect.StructType, name: str) -> tuple[str, str]:
    known = {field.encode_name: field.type for field in section.fields}
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return "there is no such key", f"use {near[0]} ({allowed(known[near[0]], near[0])})"
    homes = [title for title, keys in _sections(root) if name in keys]
    if homes:
        return "there is no such key here", f"put it under {' or '.join(homes)}"
    return "there is no such key", f"remove it, or use one of: {', '.join(known)}"


def _sections(root: type) -> Iterator[tuple[str, set[str]]]:
    """The heading of each section, and its keys."""
    for field in msgspec.structs.fields(root):
        plain, heading = _plain(inspect.type_info(field.type)), f"[{field.encode_name}]"
        if isinstance(plain, inspect.VarTupleType):
            plain, heading = _plain(plain.item_type), f"[{heading}]"
        if isinstance(plain, inspect.StructType):
            yield heading, {inner.encode_name for inner in plain.fields}


def _unsuitable(expected: inspect.Type, name: str, value: Any) -> tuple[str, str]:
    remedy = f"give {allowed(expected, name)}"
    is_told = isinstance(
        _plain(expected), inspect.IntType | inspect.FloatType | inspect.BoolType | inspect.DateType
    )
    return f"{_shown(value)} is not allowed" if is_told else "it is not in the right form", remedy


def _shown(value: Any) -> str:
    """A value as it stands in the file."""
    match value:
        case bool():
            return str(value).lower()
        case float() if not math.isfinite(value):
            return str(value)
        case int() if abs(value) >= 10**18:
            return "such a large number"
        case int() | float() | date():
            return str(value)
        case str():
            return f'"{value if len(value) <= 40 else value[:39] + "…"}"'
    return "a list" if isinstance(value, list) else "a section"
