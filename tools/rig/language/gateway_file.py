"""The gateway's file of a simulated home, as TOML.

Not here: what a gateway's file may say (`edge.config`).
"""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any


def to_toml(document: Mapping[str, Any]) -> str:
    """A document of sections: tables, lists of tables, texts, numbers, truth values and dates."""
    return "\n".join(_sections("", document))


def _sections(name: str, table: Mapping[str, Any], brackets: str = "[{}]") -> Iterator[str]:
    plain = {key: value for key, value in table.items() if not _is_section(value)}
    is_one_of_many = brackets != "[{}]"
    lines = [brackets.format(name)] if name and (plain or is_one_of_many) else []
    lines += [f"{key} = {_value(value)}" for key, value in plain.items()]
    if lines:
        yield "\n".join(lines) + "\n"
    for key, value in table.items():
        if _is_section(value):
            inner = f"{name}.{key}" if name else key
            for one in value if isinstance(value, list) else [value]:
                yield from _sections(inner, one, "[[{}]]" if isinstance(value, list) else "[{}]")


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and all(isinstance(one, Mapping) for one in value)
    )


def _value(value: Any) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # What JSON writes for texts, numbers and truth values is TOML, too.
    return json.dumps(value, ensure_ascii=False)


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the changes laid over it, section by section."""
    result = dict(document)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result
