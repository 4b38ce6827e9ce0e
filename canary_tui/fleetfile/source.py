"""From a path to a parsed TOML table: everything that can be wrong with a file before its meaning is looked at.

`tomllib` raises errors without a place, or none for minutes, on what no fleet file has; each such text is refused
by a cheap look of our own first.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from canary_tui.errors import FleetFileError, Problem
from canary_tui.regular import NotRegularError, TooLargeError, read_regular

LARGEST = 4 * 2**20
"""Bytes. 10,000 targets, each in a table of its own with all its keys, take about 2 MiB."""
_DEEPEST_KEY = 8
"""Parts of a dotted key. The format needs four; tomllib's time grows with the square."""
MOST_MARKS = 400_000
"""Of what parts keys and values from one another: 40 for each of 10,000 targets. tomllib takes 1 to 3 s a million."""
_MARKS = "=,.[{"

_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(  # possessive throughout: linear in whatever text it meets
    rf"(?:^[ \t]*+\[{{0,2}}+|[{{,])[ \t]*+(?P<key>{_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_DEEPEST_KEY},}}+)[ \t]*+[\]=]",
    re.MULTILINE,
)
_DEEP = re.compile(r"""(?:[\[{][^\[\]{}"']*+){20}""")
_LONG_NUMBER = re.compile(r"[0-9_]{4000,}")
_LONE_RETURN = re.compile(r"\r(?!\n)")
_AT = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)

_PLAINER = {"Cannot overwrite a value": "a key is set twice"}


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a regular file; FleetFileError for whatever else is there. Never blocks on a pipe."""
    try:
        data = read_regular(path, largest)
    except NotRegularError as error:
        hint = "name the file in it" if error.kind == "is a folder" else "a regular file is needed"
        raise _refused(path, error.kind, hint) from None
    except TooLargeError as error:
        raise _refused(path, str(error.strerror), "no fleet file needs that") from None
    except (OSError, ValueError) as error:
        raise _refused(path, getattr(error, "strerror", None) or str(error)) from None
    return _decoded(path, data)


def parse(path: Path, text: str) -> dict[str, Any]:
    """The text as a TOML table; FleetFileError with the place where it is none."""
    _refuse_early(path, text)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _at(path, text, _deepest(text), "nests too deep", "no fleet file needs more than six levels") from None
    except ValueError as error:
        raise _at(path, text, *_explained(text, str(error))) from None


def source_line(text: str, line: int) -> str:
    """The line of a text, counted from 1; empty behind the end."""
    lines = text.split("\n", line)
    return lines[line - 1].removesuffix("\r") if line <= len(lines) else ""


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        text = data.decode(errors="replace")
        offset = len(data[: error.start].decode())
        message = f"not UTF-8: the byte 0x{data[error.start]:02x} begins no character"
        raise _at(path, text, offset, message, "save the file as UTF-8") from None


def _refuse_early(path: Path, text: str) -> None:
    if sum(map(text.count, _MARKS)) > MOST_MARKS:
        raise _refused(path, f"has more than {MOST_MARKS:,} keys and values", "no fleet file needs that")
    if text.startswith("\ufeff"):
        raise _at(path, text, 0, "begins with a byte order mark", "save the file as UTF-8 without one")
    if found := _LONE_RETURN.search(text):
        message = "a carriage return without a line feed"
        raise _at(path, text, found.start(), message, "end lines with a line feed, as Unix and git do")
    if found := _LONG_NUMBER.search(text):
        raise _at(path, text, found.start(), f"a number of {len(found[0]):,} digits", "no key takes one")
    if found := _LONG_KEY.search(text):
        raise _at(
            path, text, found.start("key"), f"a key of more than {_DEEPEST_KEY} parts", "no fleet file needs that"
        )


def _deepest(text: str) -> int:
    """About where it gets too deep: more brackets inside one another than in any sound file."""
    found = _DEEP.search(text)
    return found.start() if found else 0


def _explained(text: str, error: str) -> tuple[int, str, str]:
    match = _AT.match(error)
    if match is None:
        return 0, error, ""
    message = _PLAINER.get(match[1], match[1][:1].lower() + match[1][1:])
    if match[2] is None:
        return len(text.rstrip()), f"{message}, and the file ends", ""
    start = sum(len(line) + 1 for line in text.split("\n")[: int(match[2]) - 1])
    # tomllib counts in a text whose line ends are single characters.
    return start + int(match[3]) - 1, message, ""


def _refused(path: Path, message: str, hint: str = "") -> FleetFileError:
    return FleetFileError((Problem(message, hint, path=str(path)),))


def _at(path: Path, text: str, offset: int, message: str, hint: str) -> FleetFileError:
    line = text.count("\n", 0, offset) + 1
    column = offset - (text.rfind("\n", 0, offset) + 1) + 1
    problem = Problem(message, hint, path=str(path), line=line, column=column, source=source_line(text, line))
    return FleetFileError((problem,))
