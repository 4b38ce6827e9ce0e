"""Turns a parsed TOML table into frozen dataclasses, and into a list of everything that is wrong with it.

A dataclass is the only declaration of what a table may say: its annotations are the types, its defaults make keys
optional, and `Annotated[T, "text", rule]` describes a key and narrows its values. Keys are written in kebab-case,
without a trailing underscore. A union of dataclasses is told apart by which one's first key is present.
Readers are built once for each type, because a fleet may have 10,000 targets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from canary_tui.domain.fleet.names import suggest
from canary_tui.domain.fleet.quoting import shorten
from canary_tui.domain.fleet.rules import Rule
from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.fleetfile.locate import KeyPath
from canary_tui.fleetfile.other_words import left_out, synonym
from canary_tui.fleetfile.unsupported import UNSUPPORTED, UNSUPPORTED_STEPS

NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one key of a document."""

    path: KeyPath
    message: str
    hint: str = ""


MOST_FAULTS = 1000
"""Faults after which a file is not looked at any further: nobody mends more at once."""


class TooManyFaultsError(Exception):
    """The file is no fleet file, or as good as none."""


class Faults(list[Fault]):
    """The faults so far, and the paths of array items that were refused and so are missing from their tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.dropped: set[KeyPath] = set()

    def append(self, fault: Fault) -> None:
        """Note one more; TooManyFaultsError when there are enough."""
        super().append(fault)
        if len(self) > MOST_FAULTS:
            raise TooManyFaultsError


class _Refused:
    """The answer of a reader in place of a value that it noted a fault about."""


REFUSED = _Refused()

Reader = Callable[[Any, KeyPath, Faults], Any]
"""Reads a TOML value that stands at a path; notes faults in the list; returns the value, or REFUSED."""


def decode(kind: Any, value: object, faults: Faults, path: KeyPath = ()) -> Any:
    """The value as a `kind`, or REFUSED.

    Where there are faults in optional parts, these are left at their defaults, so that what depends on the sound
    parts can be checked as well.
    """
    return reader(kind)(value, path, faults)


@dataclass(frozen=True, slots=True)
class Key:
    """One key that a table may have."""

    name: str
    """The field's name in the dataclass."""
    hint: Any
    field: Field[Any]

    @property
    def required(self) -> bool:
        """True for a key that must be there."""
        return self.field.default is MISSING and self.field.default_factory is MISSING


@cache
def keys_of(cls: Any) -> dict[str, Key]:
    """The keys of a table, as they are written, in the order of the declaration."""
    hints = get_type_hints(cls, include_extras=True)
    return {one.name.rstrip("_").replace("_", "-"): Key(one.name, hints[one.name], one) for one in fields(cls)}


def first_key(cls: Any) -> str:
    """The key that tells a member of a union from the others."""
    return next(iter(keys_of(cls)))


@cache
def reader(kind: Any) -> Reader:
    """The reader of a type."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _narrowed(reader(args[0]), [rule for rule in args[1:] if not isinstance(rule, str)])
    if origin is Literal:
        return _choice(args)
    if origin is tuple:
        return _array(reader(args[0]))
    if origin is dict:
        return _mapping(reader(args[0]), reader(args[1]))
    if origin in (Union, UnionType):
        return _union([arg for arg in args if arg is not NoneType])
    if is_dataclass(kind):
        return _table(kind)
    if hasattr(kind, "parse"):
        return _parsed(kind.parse)
    return _scalar(kind)


def _narrowed(inner: Reader, rules: list[Rule]) -> Reader:
    if not rules:
        return inner

    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        found = inner(value, path, faults)
        if found is not REFUSED:
            try:
                for rule in rules:
                    rule.check(found)
            except ValueError as error:
                return _refuse(faults, path, str(error), getattr(error, "hint", ""))
        return found

    return read


def _choice(choices: tuple[Any, ...]) -> Reader:
    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        if isinstance(value, str) and value in choices:
            return value
        listed = ", ".join(map(repr, choices))
        hint = suggest(value, choices) if isinstance(value, str) else ""
        return _refuse(faults, path, f"expected one of {listed}, got {describe(value)}", hint)

    return read


def _array(item: Reader) -> Reader:
    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        if type(value) is not list:
            hint = 'write ["..."]' if isinstance(value, str) else ""
            return _refuse(faults, path, f"expected an array, got {describe(value)}", hint)
        found = [item(one, (*path, index), faults) for index, one in enumerate(value)]
        if REFUSED in found:
            faults.dropped.update((*path, index) for index, one in enumerate(found) if one is REFUSED)
        return tuple(one for one in found if one is not REFUSED)

    return read


def _mapping(key: Reader, item: Reader) -> Reader:
    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        if type(value) is not dict:
            return _refuse(faults, path, f"expected a table, got {describe(value)}")
        found = {}
        for name, one in value.items():
            at = (*path, name)
            good_name, good = key(name, at, faults), item(one, at, faults)
            if good_name is not REFUSED and good is not REFUSED:
                found[good_name] = good
        return found

    return read


def _parsed(parse: Callable[[Any], Any]) -> Reader:
    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        try:
            return parse(value)
        except ValueError as error:
            return _refuse(faults, path, str(error))

    return read


def _scalar(kind: type) -> Reader:
    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        if type(value) is kind:
            return value
        hint = f'write "{value}"' if kind is str and type(value) is int and abs(value) < 2**63 else ""
        return _refuse(faults, path, f"expected {NAMES[kind]}, got {describe(value)}", hint)

    return read


def _union(members: list[Any]) -> Reader:
    if len(members) == 1:  # T | None
        return reader(members[0])
    if all(map(is_dataclass, members)):
        return _tables({first_key(member): member for member in members})

    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        if type(value) in members:
            return value
        listed = " or ".join(NAMES[member] for member in members)
        return _refuse(faults, path, f"expected {listed}, got {describe(value)}")

    return read


def _tables(members: dict[str, Any]) -> Reader:
    listed = ", ".join(members)

    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        if type(value) is not dict:
            return _refuse(faults, path, f"expected a table, got {describe(value)}")
        if later := [name for name in UNSUPPORTED_STEPS if name in value]:
            return _refuse(faults, (*path, later[0]), f"{later[0]} is not supported yet", f"a step is one of {listed}")
        present = [name for name in members if name in value]
        if len(present) == 1:
            return reader(members[present[0]])(value, path, faults)
        if present:
            message = f"expected one kind of step, got {' and '.join(present)}"
            return _refuse(faults, (*path, present[1]), message, "make them steps of their own")
        strange = [name for name in value if not any(name in keys_of(member) for member in members.values())]
        meant = {name: suggest(synonym(RunStep, name) or name, members) for name in strange}
        at, near = next(((name, hint) for name, hint in meant.items() if hint), (None, ""))
        message = f"expected a step with one of {listed}"
        return _refuse(faults, path if at is None else (*path, at), message, near)

    return read


def _table(cls: Any) -> Reader:
    keys = {key: (one.name, reader(one.hint)) for key, one in keys_of(cls).items()}
    required = [(key, one.name) for key, one in keys_of(cls).items() if one.required]

    def read(value: Any, path: KeyPath, faults: Faults) -> Any:
        if type(value) is not dict:
            return _refuse(faults, path, f"expected a table, got {describe(value)}")
        arguments = read_keys(cls, keys, value, path, faults)
        for key, name in required:
            if key not in value:
                _refuse(faults, path, f"missing key {key!r}")
            if name not in arguments:
                return REFUSED
        return cls(**arguments)

    return read


def read_keys(
    cls: type, keys: dict[str, tuple[str, Reader]], table: dict[str, Any], path: KeyPath, faults: Faults
) -> dict[str, Any]:
    """The sound values of a table, by field name."""
    arguments = {}
    for key, item in table.items():
        at = (*path, key)
        if key in keys:
            name, read = keys[key]
            found = read(item, at, faults)
            if found is not REFUSED:
                arguments[name] = found
        elif key in UNSUPPORTED.get(cls, ()):
            _refuse(faults, at, f"{key} is not supported yet", "leave it out")
        else:
            faults.append(_unknown(cls, key, at, keys))
    return arguments


def _unknown(cls: type, key: str, at: KeyPath, known: Collection[str]) -> Fault:
    if why := left_out(key):
        return Fault(at, f"{key} is left out on purpose", why)
    return Fault(at, f"unknown key {shorten(key)}", suggest_key(cls, key, known))


def suggest_key(cls: type, key: str, known: Collection[str]) -> str:
    """The key that is meant, by its name elsewhere or a near one (`connect_timeout`), or else all that there are."""
    written = key.replace("_", "-")
    meant = synonym(cls, key)
    if meant and (near := suggest(meant, known)):
        return near
    if written not in known and written in keys_of(Ssh) and "ssh" in known:
        return f"it belongs into the table ssh: ssh.{written}"
    return suggest(written, known) or f"the keys here: {', '.join(known)}"


def describe(value: object) -> str:
    """The kind of a value, as a message says it."""
    match value:
        case dict():
            return "a table"
        case list():
            return "an array"
        case str():
            return f"the string {shorten(value)}"
        case bool():
            return str(value).lower()
        case int() | float():
            return shorten(value)
        case _:
            return f"the date or time {value}"


def _refuse(faults: Faults, path: KeyPath, message: str, hint: str = "") -> _Refused:
    faults.append(Fault(path, message, hint))
    return REFUSED
