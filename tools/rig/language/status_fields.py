"""Fields of the status document by their paths, as scenarios name them: "store.trouble", "sensors.cgm.phase".

Contract: parts are fields of `edge.local.status.StatusDocument`, keys of a dictionary, or in a list the name that tells
its entries apart (`KEYS`), or their number. `check` refuses a path that no document has; `look_up` gives the value in
one, None where there is nothing.
"""

import operator
from collections.abc import Callable, Collection
from typing import Any, Final

from msgspec import Struct, inspect

from edge.errors import ConfigError
from edge.local.status import StatusDocument

KEYS: Final = ("id", "route", "measurement", "kind")
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def check(path: str, sensors: Collection[str], where: str) -> None:
    """Raises ConfigError if no status document of these sensors has such a field."""
    parts = path.split(".")
    if parts[0] == "sensors" and len(parts) > 1 and parts[1] not in sensors:
        raise ConfigError(
            f"{where}: {path}", f"there is no sensor {parts[1]!r}", f"use one of: {', '.join(sensors)}"
        )
    expected: inspect.Type = inspect.type_info(StatusDocument)
    for part in parts:
        match expected := _plain(expected):
            case inspect.StructType(fields=fields):
                known = {field.encode_name: field.type for field in fields}
                if part not in known:
                    raise ConfigError(
                        f"{where}: {path}", f"there is no field {part!r}", f"use one of: {', '.join(known)}"
                    )
                expected = known[part]
            case inspect.ListType(item_type=item):
                expected = item
            case inspect.DictType(value_type=value):
                expected = value
            case inspect.AnyType():
                return
            case _:
                raise ConfigError(f"{where}: {path}", f"nothing is below {part!r}", "leave out what follows")


def _plain(expected: inspect.Type) -> inspect.Type:
    """Without the None that it may be."""
    if isinstance(expected, inspect.UnionType):
        return next(one for one in expected.types if not isinstance(one, inspect.NoneType))
    return expected


def look_up(document: StatusDocument, path: str) -> Any:
    """The value of a field in a document."""
    found: Any = document
    for part in path.split("."):
        if isinstance(found, Struct):
            found = getattr(found, part)
        elif isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list):
            found = _entry(found, part)
        else:
            return None
    return found


def _entry(entries: list[Any], part: str) -> Any:
    if part.isdecimal():
        return entries[int(part)] if int(part) < len(entries) else None
    named = (one for one in entries if part in [getattr(one, key, None) for key in KEYS])
    return next(named, None)


def agrees(value: Any, wanted: Any) -> bool:
    """Whether a value is what is wanted: equal, or as a comparison like "< 600" says; "null" is None."""
    if isinstance(wanted, str):
        if wanted == "null":
            return value is None
        sign, _, limit = wanted.partition(" ")
        if sign in _COMPARISONS:
            return isinstance(value, int | float) and _COMPARISONS[sign](value, float(limit))
    return bool(value == wanted)
