"""The variables of a step: which names there may be, which there always are, and how `$NAME` is filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from canary_tui.domain.fleet.quoting import shorten

ALWAYS = ("RELEASE", "PREVIOUS", "TARGET", "HOST", "FLEET", "ENVIRONMENT", "WAVE", "ROLLOUT", "CANARIES")
"""Set for every step by the program. PREVIOUS and ROLLOUT are known only once the rollout runs."""
AT_RUN_TIME = ("PREVIOUS", "ROLLOUT")
OF_THE_ROLLOUT = ("RELEASE", "FLEET", "ENVIRONMENT", "WAVE", "CANARIES")
"""Those that are the same for all targets of a wave: what a gate's instructions may use."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_RESERVED = frozenset({*ALWAYS, "CANARY_OUTPUT"})
_DANGEROUS = frozenset({"BASH_ENV", "ENV", "IFS", "PS4", "SHELLOPTS", "BASHOPTS"})
_LONGEST = 32_768
"""Linux refuses to start a program with a single variable above 128 KiB; four bytes a character stay below."""


class UnknownVariable(ValueError):
    """A text uses `$NAME` and nobody says what it is."""

    def __init__(self, name: str) -> None:
        super().__init__(f"${name} is not known")
        self.name = name


def fill(text: str, variables: Mapping[str, str]) -> str:
    """`text` with every `$NAME` and `${NAME}` replaced, once: a value is never searched again.

    A `$` before anything else stands for itself.

    Raises:
        UnknownVariable: a name is not among the variables.

    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in variables:
            raise UnknownVariable(name)
        return variables[name]

    return _USE.sub(value, text)


def names_in(text: str) -> Iterator[str]:
    """The names that `fill` would look up, in order."""
    return (match[1] or match[2] for match in _USE.finditer(text))


def check_name(name: str) -> None:
    """Refuse what cannot be, or must not be, a variable's name; ValueError says why."""
    if _NAME.fullmatch(name) is None or len(name) > 128:
        raise ValueError(f"{shorten(name)} is not a variable's name: letters, digits and _, not beginning with a digit")
    if name in _RESERVED:
        raise ValueError(f"{name} is always set by the program and cannot be set here")
    if name in _DANGEROUS or name.startswith("LD_"):
        raise ValueError(f"{name} changes what every command does and cannot be set here; set it inside a step")


def check_value(value: str) -> None:
    """Refuse what cannot be, or should not be, a variable's value; ValueError says why."""
    if "\0" in value:
        raise ValueError("a variable cannot hold a NUL character")
    if len(value) > _LONGEST:
        raise ValueError(f"a variable can hold at most {_LONGEST:,} characters, this has {len(value):,}")
