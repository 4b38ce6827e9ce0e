"""The JSON Schema of the fleet file, for editors, from the same declarations that decode it."""

from __future__ import annotations

import json
from dataclasses import MISSING, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from canary_tui.domain.fleet.tables import Fleet
from canary_tui.fleetfile.decode import Key, keys_of

Schema = dict[str, Any]
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def fleet_schema() -> Schema:
    """The draft-07 schema of a whole fleet file."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "canary-tui fleet file"} | _schema(Fleet)


def schema_text() -> str:
    """The same as a file holds it."""
    return json.dumps(fleet_schema(), indent=2, ensure_ascii=False) + "\n"


def _schema(kind: Any) -> Schema:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(args)
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0])}
    if origin is dict:
        named = {"propertyNames": _names(args[0])} if get_origin(args[0]) is Annotated else {}
        return {"type": "object", "additionalProperties": _schema(args[1])} | named
    if origin in (Union, UnionType):
        return _union([arg for arg in args if arg is not NoneType])
    if is_dataclass(kind):
        return _table(kind)
    return {"type": _TYPES[kind]} if kind in _TYPES else dict(kind.SCHEMA)


def _annotated(args: tuple[Any, ...]) -> Schema:
    schema = _schema(args[0])
    for extra in args[1:]:
        if isinstance(extra, str):
            schema["description"] = extra
        elif "anyOf" in schema:
            schema["anyOf"] = [one | extra.schema() if one["type"] == "string" else one for one in schema["anyOf"]]
        else:
            schema |= extra.schema()
    return schema


def _names(kind: Any) -> Schema:
    schema = _schema(kind)
    del schema["type"]  # a key is text anyway
    return schema


def _union(members: list[Any]) -> Schema:
    schemas = [_schema(member) for member in members]
    if len(schemas) == 1:
        return schemas[0]
    return {"oneOf" if is_dataclass(members[0]) else "anyOf": schemas}


def _table(kind: Any) -> Schema:
    keys = keys_of(kind)
    required = [key for key, one in keys.items() if one.required]
    return {
        "type": "object",
        "description": kind.__doc__,
        "properties": {key: _property(one) for key, one in keys.items()},
        "required": required,
        "additionalProperties": False,
    }


def _property(key: Key) -> Schema:
    default = key.field.default
    shown = default is not MISSING and default not in (None, "", ()) and type(default) in _TYPES
    return _schema(key.hint) | ({"default": default} if shown else {})
