"""Rules for the values of a fleet file beyond their types. The loader applies them, the JSON Schema prints them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Protocol

from canary_tui.domain.fleet.quoting import shorten
from canary_tui.text.safe import control_in


class RuleError(ValueError):
    """A value breaks a rule; `hint` says what to write instead, "" where the rule says it all."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Rule(Protocol):
    """A further condition on a value, written beside its type in `Annotated`."""

    def check(self, value: object) -> None:
        """Raise ValueError that says what was expected."""
        ...

    def schema(self) -> dict[str, object]:
        """The same as far as JSON Schema can say it."""
        ...


@dataclass(frozen=True, slots=True)
class Between:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    def check(self, value: object) -> None:
        if isinstance(value, int) and not self.low <= value <= self.high:
            raise ValueError(f"expected a number from {self.low:,} to {self.high:,}, got {shorten(value)}")

    def schema(self) -> dict[str, object]:
        return {"minimum": self.low, "maximum": self.high}


@dataclass(frozen=True, slots=True)
class Positive:
    """A duration or size that is more than nothing."""

    def check(self, value: object) -> None:
        if isinstance(value, int | float) and value <= 0:
            raise ValueError("expected more than nothing")

    def schema(self) -> dict[str, object]:
        return {}


@dataclass(frozen=True, slots=True)
class Matches:
    """Text of which `pattern` matches the whole; `words` says so to a person."""

    pattern: str
    words: str
    longest: int = 255

    def check(self, value: object) -> None:
        if not isinstance(value, str):
            return
        if len(value) > self.longest:
            raise ValueError(f"longer than {self.longest} characters: {shorten(value)}")
        if re.fullmatch(self.pattern, value) is None:
            raise ValueError(f"expected {self.words}, got {shorten(value)}")

    def schema(self) -> dict[str, object]:
        return {"pattern": f"^(?:{self.pattern})$", "maxLength": self.longest}


@dataclass(frozen=True, slots=True)
class HostMatches(Matches):
    """The same for a host; where login, port or `ssh://` stand beside it, the hint says where they belong.

    `single`: no pattern for several hosts, so that a colon can only be an IPv6 address's.
    """

    single: bool = True

    def check(self, value: object) -> None:
        if not isinstance(value, str):
            return
        parts = _MORE_THAN_A_HOST.fullmatch(value)
        if parts is not None and (parts["scheme"] or parts["user"] or parts["port"]) and not _is_ipv6(value):
            raise RuleError(f"expected a host alone, got {shorten(value)}", _apart(parts))
        Matches.check(self, value)
        if self.single and ":" in value and not _is_ipv6(value):
            raise RuleError(f"{shorten(value)} has a colon, and is no IPv6 address", "a port is written ssh.port")


def _apart(parts: re.Match[str]) -> str:
    """The same as keys of a target."""
    host, user, port = parts["host"], parts["user"], parts["port"]
    keys = [f"user = '{user}'" if "\\" in user else f'user = "{user}"'] if user else []
    keys += [f"port = {port}"] if port else []
    table = f", ssh = {{ {', '.join(keys)} }}" if keys else ""
    return f'write host = "{host[1:-1] if host.startswith("[") else host}"{table}'


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Printable:
    """Text in one line, not empty, nothing in it that could move a cursor or hide."""

    longest: int

    def check(self, value: object) -> None:
        if not isinstance(value, str):
            return
        if not value.strip():
            raise ValueError("expected some text, got none")
        if not value.isprintable():
            raise ValueError(f"expected one line without control characters, got {shorten(value)}")
        if len(value) > self.longest:
            raise ValueError(f"longer than {self.longest} characters: {shorten(value)}")

    def schema(self) -> dict[str, object]:
        return {"minLength": 1, "maxLength": self.longest}


@dataclass(frozen=True, slots=True)
class Prose:
    """Text of any number of lines, without control characters; empty only where `needed` is false."""

    longest: int
    needed: bool = True

    def check(self, value: object) -> None:
        if not isinstance(value, str):
            return
        if self.needed and not value.strip():
            raise ValueError("expected some text, got none")
        if hidden := control_in(value):
            raise ValueError(f"the control character {hidden!r} does not belong here")
        if len(value) > self.longest:
            raise ValueError(f"longer than {self.longest:,} characters")

    def schema(self) -> dict[str, object]:
        return {"minLength": 1} if self.needed else {}


@dataclass(frozen=True, slots=True)
class ShellText:
    """Text for sh, which asks no #! line what should read it."""

    longest: int

    def check(self, value: object) -> None:
        Prose(self.longest).check(value)
        if isinstance(value, str) and (named := re.match(r"\s*#!\s*(?!/bin/sh\s*(?:\n|$))([^\n]*)", value)):
            words = f"sh runs this text, not {shorten(named[1].strip())}"
            raise ValueError(f"{words}; put it into a file of its own: `script` runs that by its #! line")

    def schema(self) -> dict[str, object]:
        return Prose(self.longest).schema()


@dataclass(frozen=True, slots=True)
class RemotePath:
    """A path on a target that cannot climb out of where it points; `~/` begins it in the home."""

    def check(self, value: object) -> None:
        if not isinstance(value, str):
            return
        Printable(1024).check(value)
        if ".." in value.split("/"):
            raise ValueError(f"'..' does not belong into a path on a target: {shorten(value)}")
        if value.endswith("/"):
            raise ValueError(f"expected the path of a file, got a folder: {shorten(value)}")
        if value.startswith("~") and not value.startswith("~/"):
            raise ValueError(f"of all '~' only '~/' is known, the home; for a file of that name write './{value}'")

    def schema(self) -> dict[str, object]:
        return {"minLength": 1, "maxLength": 1024}


@dataclass(frozen=True, slots=True)
class VariableName:
    """A name that a variable may have."""

    def check(self, value: object) -> None:
        from canary_tui.domain.fleet.variables import check_name

        if isinstance(value, str):
            check_name(value)

    def schema(self) -> dict[str, object]:
        return {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}


@dataclass(frozen=True, slots=True)
class VariableValue:
    """A text that an environment variable can hold."""

    def check(self, value: object) -> None:
        from canary_tui.domain.fleet.variables import check_value

        if isinstance(value, str):
            check_value(value)

    def schema(self) -> dict[str, object]:
        return {}


_HOST = r"[A-Za-z0-9_.:][A-Za-z0-9_.:-]*(?:%[A-Za-z0-9_.-]+)?"
_USER = r"[A-Za-z0-9._+@][A-Za-z0-9._+@-]*"
_LOGIN = r"[A-Za-z0-9._+@](?:[A-Za-z0-9._+@\\-]*[A-Za-z0-9._+@-])?"
_MORE_THAN_A_HOST = re.compile(
    r"(?P<scheme>ssh://)?(?:(?P<user>[^/:]+)@)?(?P<host>\[[^\]@/]*:[^\]@/]*\]|[^:@/]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_HOP = rf"(?:{_LOGIN}@)?(?:\[[0-9A-Fa-f:.]+\](?::[0-9]+)?|[A-Za-z0-9_.][A-Za-z0-9_.:-]*)"

WORD = Matches(r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits and . _ -, beginning with a letter or digit", longest=64)
TARGET_NAME = Matches(
    r"[A-Za-z0-9_][A-Za-z0-9_.:-]*(?:%[A-Za-z0-9_.-]+)?",
    "letters, digits and . _ : -, beginning with a letter or digit",
    longest=200,
)
"""Also the name of the target's log file: 200 leaves room for what a file system allows."""
NAME_PATTERN = Matches(
    r"[A-Za-z0-9_\[][A-Za-z0-9_.:%\[\],-]*", "a name of letters, digits and . _ : -, with [1-40] for several"
)
HOST = HostMatches(_HOST, "an address or host name of letters, digits and . _ : -, not beginning with '-'")
HOST_PATTERN = HostMatches(
    r"[A-Za-z0-9_.:\[][A-Za-z0-9_.:%\[\],-]*",
    "an address or host name of letters, digits and . _ : -, not beginning with '-'",
    single=False,
)
LOGIN = Matches(_LOGIN, "a login name of letters, digits and . _ @ + - \\, not beginning with '-'")
USER = Matches(_USER, "a login name of letters, digits and . _ @ + -, not beginning with '-'")
JUMP = Matches(rf"none|{_HOP}(?:,{_HOP})*", "jump hosts such as 'bastion' or 'user@bastion:2222'", longest=1024)
TAG_VALUE = Matches(r"[A-Za-z0-9._:/@+-]+", "a word of letters, digits and . _ : / @ + -")
OCTAL = Matches(r"0?[0-7]{3}|[0-7]{4}", "permissions in octal such as '0644'", longest=16)
URL = Matches(r"https?://[!-~]+", "a URL that begins with http:// or https:// and has no spaces", longest=2048)
TOOL = Matches(
    r"[A-Za-z0-9_/][A-Za-z0-9_./+-]*", "the name or path of a command: letters, digits and _ . / + -", longest=128
)
ROLLOUT = Matches(r"[A-Za-z0-9][A-Za-z0-9._~-]*", "a rollout's id", longest=160)
"""Also a word that no shell reads anything into."""
LABEL = Printable(80)
PATH = Printable(1024)
COMMAND = ShellText(2**20)
