"""The form of a scenario file as JSON Schema, for editors and for programs that write scenarios.

Contract: what the schema allows may still be refused for what it means: a sensor that is not there, a fault that goes
on after the end. What it forbids is refused. It is made from the same Structs that files are read by.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import NODEFAULT, Struct, inspect

from edge.alerts.rules import RULES
from edge.kinds import KINDS
from tools.rig.language.durations import Offset, Span
from tools.rig.language.scenario import Scenario
from tools.rig.language.vocabulary import EXPECTATIONS, FAULTS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SPAN: Final = r"(?=\d)(\d+(\.\d+)?d)?(\d+(\.\d+)?h)?(\d+(\.\d+)?min)?(\d+(\.\d+)?s)?$"
_DURATIONS: Final[Mapping[type, str]] = {Span: f"^{_SPAN}", Offset: f"^-?{_SPAN}"}
# What the types alone do not say.
_ENUMS: Final = {("Sensor", "kind"): list(KINDS), ("Alert", "alert"): list(RULES)}
_LISTS: Final = {"faults": FAULTS, "expect": EXPECTATIONS}


def schema() -> dict[str, Any]:
    """The document."""
    whole = _struct(Scenario)
    for key, known in _LISTS.items():
        rows = [_struct(one) for one in known.values()]
        whole["properties"][key] = {"type": "array", "items": {"oneOf": rows}}
    whole["properties"]["expect"]["minItems"] = 1
    whole["required"] = [*whole["required"], "expect"]
    return {"$schema": DIALECT, "title": "A scenario of vitalgate", **whole}


def _struct(kind: type[Struct]) -> dict[str, Any]:
    told = inspect.type_info(kind)
    assert isinstance(told, inspect.StructType)
    properties: dict[str, Any] = {}
    required = []
    if told.tag is not None:
        properties["what"] = {"const": told.tag}
        required = ["what"]
    for field in told.fields:
        if kind is Scenario and field.encode_name in _LISTS:
            continue
        properties[field.encode_name] = _type(field.type)
        if (kind.__name__, field.encode_name) in _ENUMS:
            properties[field.encode_name] = {"enum": _ENUMS[kind.__name__, field.encode_name]}
        if field.default is NODEFAULT and field.default_factory is NODEFAULT:
            required.append(field.encode_name)
    said = (kind.__doc__ or "").partition("\n")[0]
    return {
        "type": "object",
        "description": said,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _type(kind: inspect.Type) -> dict[str, Any]:
    match kind:
        case inspect.Metadata(type=inner):
            return _type(inner)
        case inspect.CustomType(cls=cls):
            return {"type": "string", "pattern": _DURATIONS[cls]}
        case inspect.StructType(cls=cls):
            return _struct(cls)
        case inspect.UnionType(types=types):
            return _type(next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.VarTupleType(item_type=item, min_length=least, max_length=most):
            limits = {"minItems": least, "maxItems": most}
            return {"type": "array", "items": _type(item)} | _given(limits)
        case inspect.DictType(min_length=least):
            return {"type": "object"} | _given({"minProperties": least})
        case inspect.StrType(pattern=pattern, min_length=least):
            return {"type": "string"} | _given({"pattern": pattern, "minLength": least})
        case inspect.IntType(ge=least, le=most):
            return {"type": "integer"} | _given({"minimum": least, "maximum": most})
        case inspect.FloatType(gt=above, le=most):
            return {"type": "number"} | _given({"exclusiveMinimum": above, "maximum": most})
        case inspect.BoolType():
            return {"type": "boolean"}
    raise NotImplementedError(kind)


def _given(limits: dict[str, Any]) -> dict[str, Any]:
    return {name: limit for name, limit in limits.items() if limit is not None}
