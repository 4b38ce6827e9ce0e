"""Turns frozen dataclasses into JSON data and back, exactly. Journal, plan and messages all use it.

A dataclass becomes an object: its wire tag as `type`, and every field, also one that stands at its default.
So what was written does not change its meaning when a default changes. The tag, and the name of a field that is
written otherwise than it is called, stand beside the class (`wire`): no file changes when a class is renamed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Json = Any
"""What json.loads returns. Beside the fleet file's decoder, the one place where Any is honest."""

_Class = TypeVar("_Class", bound=type)
_AS_THEY_ARE = frozenset({str, int, float, bool, NoneType})


class CodecError(ValueError):
    """The data is not an encoding of the type that was asked for."""


@dataclass(frozen=True, slots=True)
class _Wire:
    """A class's names in files: `tag` for itself, `names` for those of its fields that are called otherwise here."""

    tag: str
    names: dict[str, str]


def wire(tag: str, **names: str) -> Callable[[_Class], _Class]:
    """Give a dataclass its tag in files, and `field="name in files"` for fields that are called otherwise."""

    def mark(kind: _Class) -> _Class:
        kind.__wire__ = _Wire(tag, names)  # type: ignore[attr-defined]  # read by _wire alone
        return kind

    return mark


def _wire(kind: type) -> _Wire:
    found = kind.__dict__.get("__wire__")
    if not isinstance(found, _Wire):
        raise TypeError(f"cannot encode {kind.__name__}: it has no wire tag")
    return found


def tag_of(kind: type) -> str:
    """The tag by which files name a class; TypeError for one that has none."""
    return _wire(kind).tag


def encode(value: object) -> Json:
    """The JSON data of a dataclass, a tuple, a dict or a scalar. Loses nothing that `decode` needs."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if is_dataclass(kind):
        data: dict[str, Json] = {"type": _wire(kind).tag}
        for name, written in _fields(kind):
            data[written] = encode(getattr(value, name))
        return data
    match value:
        case dict():
            return {key: encode(item) for key, item in value.items()}
        case tuple() | list():
            return [encode(item) for item in value]
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            return float(value)
    raise TypeError(f"cannot encode {kind.__name__}")


@cache
def _fields(kind: type) -> tuple[tuple[str, str], ...]:
    """Each field's name here and in files."""
    names = _wire(kind).names
    return tuple((one.name, names.get(one.name, one.name)) for one in fields(kind))


def decode(kind: Any, data: Json) -> Any:
    """Build a `kind` (a dataclass, or a union of them) from what `encode` made of one.

    Raises:
        CodecError: a field is missing, unknown or of another type.

    """
    return _decoder(kind)(data)


def decoder(kind: Any) -> Callable[[Json], Any]:
    """`decode` for many values of one type: finding the way to read a large union costs more than reading."""
    return _decoder(kind)


@cache
def _decoder(kind: Any) -> Callable[[Json], Any]:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _decoder(args[0])
    if origin is Literal:
        return _literal(args)
    if origin in (Union, UnionType):
        return _union(args)
    if origin is tuple:
        return _sequence(_decoder(args[0]))
    if origin is dict:
        return _mapping(_decoder(args[1]))
    if is_dataclass(kind):
        return _table(kind)
    return _scalar(kind)


def _literal(choices: tuple[Any, ...]) -> Callable[[Json], Any]:
    def read(data: Json) -> Any:
        if data not in choices:
            raise CodecError(f"expected one of {choices}, got {data!r}")
        return data

    return read


def _union(members: tuple[Any, ...]) -> Callable[[Json], Any]:
    tables = {tag_of(member): member for member in members if isinstance(member, type) and is_dataclass(member)}
    others = [_decoder(member) for member in members if not is_dataclass(member) and member is not NoneType]

    def read(data: Json) -> Any:
        if data is None and NoneType in members:
            return None
        if isinstance(data, dict) and data.get("type") in tables:
            return _decoder(tables[data["type"]])(data)
        for other in others:
            try:
                return other(data)
            except CodecError:
                continue
        raise CodecError(f"expected one of {', '.join(map(str, members))}, got {data!r:.80}")

    return read


def _sequence(item: Callable[[Json], Any]) -> Callable[[Json], Any]:
    def read(data: Json) -> Any:
        if not isinstance(data, list):
            raise CodecError(f"expected a list, got {data!r:.80}")
        return tuple(map(item, data))

    return read


def _mapping(item: Callable[[Json], Any]) -> Callable[[Json], Any]:
    def read(data: Json) -> Any:
        if not isinstance(data, dict):
            raise CodecError(f"expected an object, got {data!r:.80}")
        return {key: item(value) for key, value in data.items()}

    return read


def _table(kind: Any) -> Callable[[Json], Any]:
    hints, tag = get_type_hints(kind), tag_of(kind)
    readers = {written: (name, _decoder(hints[name])) for name, written in _fields(kind)}
    due = {"type", *readers}

    def read(data: Json) -> Any:
        if not isinstance(data, dict) or data.get("type") != tag:
            raise CodecError(f"expected {tag!r}, got {data!r:.80}")
        if data.keys() != due:
            missing, unknown = sorted(due - data.keys()), sorted(data.keys() - due)
            raise CodecError(f"{tag!r}: missing {missing}, unknown {unknown}")
        arguments = {}
        for written, (name, reader) in readers.items():
            arguments[name] = reader(data[written])
        return kind(**arguments)

    return read


def _scalar(kind: Any) -> Callable[[Json], Any]:
    base = next(one for one in (bool, int, float, str) if issubclass(kind, one))

    def read(data: Json) -> Any:
        if type(data) is base:
            return data if kind is base else kind(data)
        if base is float and type(data) is int:
            return kind(data)
        raise CodecError(f"expected {base.__name__}, got {data!r:.80}")

    return read
