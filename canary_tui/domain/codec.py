"""How frozen dataclasses become JSON data and come back, exactly: journal, plan and messages all use it.

A dataclass becomes an object of its fields and its class's name as `type`; fields at their default are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

Json = Any
"""What json.loads returns. Beside the fleet file's decoder, the one place where Any is honest."""


class CodecError(ValueError):
    """The data is not an encoding of the type that was asked for."""


def encode(value: object) -> Json:
    """The JSON data of a dataclass, a tuple, a dict or a scalar. Loses nothing that `decode` needs."""
    if is_dataclass(value) and not isinstance(value, type):
        data: dict[str, Json] = {"type": type(value).__name__}
        for name, default in _defaults(type(value)):
            item = getattr(value, name)
            if item != default:
                data[name] = encode(item)
        return data
    match value:
        case dict():
            return {key: encode(item) for key, item in value.items()}
        case tuple() | list():
            return [encode(item) for item in value]
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            return float(value)
    raise TypeError(f"cannot encode {type(value).__name__}")


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
def _defaults(kind: type) -> tuple[tuple[str, object], ...]:
    return tuple((one.name, _default(one)) for one in fields(kind))


def _default(one: Field[Any]) -> object:
    return one.default_factory() if one.default_factory is not MISSING else one.default


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
    tables = {member.__name__: member for member in members if isinstance(member, type) and is_dataclass(member)}
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
    hints = get_type_hints(kind)
    readers = {one.name: _decoder(hints[one.name]) for one in fields(kind)}

    def read(data: Json) -> Any:
        if not isinstance(data, dict) or data.get("type") != kind.__name__:
            raise CodecError(f"expected a {kind.__name__}, got {data!r:.80}")
        try:
            return kind(**{key: readers[key](value) for key, value in data.items() if key != "type"})
        except KeyError as error:
            raise CodecError(f"{kind.__name__} has no field {error}") from None
        except TypeError as error:
            raise CodecError(str(error)) from None

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
