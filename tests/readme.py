"""Writes the generated parts of the README: the demo's faults, the keys and the fleet file's reference.

`python tests/readme.py --write` brings them up to date; a test compares.
"""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from canary_tui.demo.faults import FAULTS
from canary_tui.domain.fleet import steps
from canary_tui.domain.fleet import tables as fleet
from canary_tui.domain.fleet.units import Duration, Share, Size
from canary_tui.tui.actions import key_table

README = pathlib.Path(__file__).parent.parent / "README.md"
TABLES = (
    ("Top level", fleet.Fleet),
    ("`[release]`", fleet.ReleaseTable),
    ("`[ssh]`, and `ssh` of an environment or a target", fleet.Ssh),
    ("`[environments.NAME]`", fleet.Environment),
    ("`[[targets]]`", fleet.Target),
    ("`[[steps]]`, `[[rollback]]`, `[[finally]]`: `run`", steps.RunStep),
    ("... `script`", steps.ScriptStep),
    ("... `upload`", steps.UploadStep),
    ("... `http`", steps.HttpStep),
    ("`expect` of an `http` step", steps.Expect),
    ("... `local`", steps.LocalStep),
    ("`[[waves]]`", fleet.Wave),
    ("`[waves.gate]`", fleet.Gate),
    ("`[limits]`", fleet.Limits),
)
WORDS = {str: "text", int: "whole number", bool: "true or false", Duration: "duration", Size: "size", Share: "share"}


def reference() -> str:
    """Every key of the fleet file, a table each, from the declarations that the loader reads."""
    return "\n".join(line for title, kind in TABLES for line in _table(title, kind))


def _table(title: str, kind: Any) -> Iterator[str]:
    hints = get_type_hints(kind, include_extras=True)
    yield f"**{title}**: {(kind.__doc__ or '').splitlines()[0]}\n"
    yield "| key | is | default | |\n|---|---|---|---|"
    for one in fields(kind):
        base, text, *_ = (
            get_args(hints[one.name]) if get_origin(hints[one.name]) is Annotated else (hints[one.name], "")
        )
        key = one.name.rstrip("_").replace("_", "-")
        yield f"| `{key}` | {_is(base)} | {_default(one)} | {text} |".replace("|  |", "| |")
    yield ""


def _is(kind: Any) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _is(args[0])
    if origin is Literal:
        return ", ".join(f"`{json_like(value)}`" for value in args)
    if origin in (Union, UnionType):
        known = [arg for arg in args if arg is not NoneType]
        steps = len(known) > 1 and all(is_dataclass(arg) for arg in known)
        return "a step" if steps else " or ".join(map(_is, known))
    if origin is tuple:
        return (
            f"list of {'steps' if _is(args[0]) == 'a step' else _is(args[0]) + ('s' if is_dataclass(args[0]) else '')}"
        )
    if origin is dict:
        return f"table of {_is(args[1])}"
    name: str = kind.__name__
    return name.lower().removesuffix("table") + " table" if is_dataclass(kind) else WORDS[kind]


def _default(one: Any) -> str:
    missing = type(one.default).__name__ == "_MISSING_TYPE"
    if missing and type(one.default_factory).__name__ == "_MISSING_TYPE":
        return "required"
    value = None if missing else one.default
    if value in (None, "", ()):
        return ""
    return f"`{_written(value)}`"


def _written(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case Duration():
            number, unit = next(
                (value / size, unit) for size, unit in ((3600, "h"), (60, "m"), (1, "s")) if value % size == 0
            )
            return f'"{number:g}{unit}"'
        case Size():
            return f'"{value // 2**20}MiB"'
        case Share():
            return str(value)
        case str():
            return f'"{value}"'
    return str(value)


def json_like(value: object) -> str:
    return f'"{value}"'


def keys() -> str:
    """The keys of the screens, as `canary-tui keys` prints them."""
    return f"```\n{key_table().rstrip()}\n```"


def faults() -> str:
    """The faults of the demo, as `canary-tui demo --help` explains them."""
    return "\n".join(
        ["| fault | what goes wrong |", "|---|---|", *(f"| `{name}` | {FAULTS[name]} |" for name in FAULTS)]
    )


def _always(text: str) -> Callable[[re.Match[str]], str]:
    """A replacement in which a backslash is a backslash."""
    return lambda _match: text


def updated(text: str) -> str:
    """The README with its generated parts made anew."""
    for name, made in (("faults", faults()), ("reference", reference()), ("keys", keys())):
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        text = re.sub(f"{begin}.*?{end}", _always(f"{begin}\n{made}\n{end}"), text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    now = README.read_text()
    if sys.argv[1:] == ["--write"]:
        README.write_text(updated(now))
    sys.exit(0 if now == updated(now) else 1)
