"""Where each key of a TOML document is written.

`tomllib` drops positions, so this walks the text a second time. It runs only when there is a problem to report, and
only over text that `tomllib` has accepted, so it checks nothing: it reads just enough to know which key a character
belongs to.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""Table keys and array indexes from the top of a document: ("waves", 1, "share")."""

_SPACE = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')[ \t]*""")
_SCALAR = re.compile(
    r'"""(?:\\.|[^\\])*?""""{0,2}'  # up to two quotes may precede the closing three
    r"|'''.*?''''{0,2}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
    r"|\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]+"
    r"|[^\s,\]}#]+",
    re.DOTALL,
)


class Position(NamedTuple):
    """A place in a file. Both numbers start at 1; the column counts characters."""

    line: int
    column: int


def locate(text: str) -> dict[KeyPath, Position]:
    """Map every key path of a valid TOML document to where it is first written.

    A document that nests deeper than Python's stack is mapped as far as that depth.
    """
    walk = _Walk(text)
    with suppress(RecursionError):  # nothing that a fleet file may say is that deep: the problem itself stands above
        walk.document()
    line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def position(offset: int) -> Position:
        line = bisect_right(line_starts, offset)
        return Position(line, offset - line_starts[line - 1] + 1)

    return {path: position(offset) for path, offset in walk.offsets.items()}


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.offsets: dict[KeyPath, int] = {(): 0}
        self.last_element: dict[KeyPath, int] = {}  # of each array of tables

    def document(self) -> None:
        table: KeyPath = ()
        while self.more():
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)

    def header(self) -> KeyPath:
        """Read `[a.b]` or `[[a.b]]` and return the path of the table it opens."""
        start = self.at
        brackets = 2 if self.text.startswith("[[", start) else 1
        self.at += brackets
        *parents, name = self.dotted_key()
        path: KeyPath = ()
        for parent in parents:
            path = self.newest((*path, parent))
            self.mark(path, start)
        path = (*path, name)
        self.mark(path, start)
        if brackets == 2:
            self.last_element[path] = self.last_element.get(path, -1) + 1
            path = self.newest(path)
            self.mark(path, start)
        self.at += brackets
        return path

    def newest(self, path: KeyPath) -> KeyPath:
        """A header names an array of tables to mean its newest element."""
        index = self.last_element.get(path)
        return path if index is None else (*path, index)

    def pair(self, table: KeyPath) -> None:
        start = self.at
        path = table
        for key in self.dotted_key():
            path = (*path, key)
            self.mark(path, start)
        self.at += len("=")
        self.more()
        self.value(path)

    def value(self, path: KeyPath) -> None:
        match self.text[self.at]:
            case "[":
                self.at += 1
                index = 0
                while self.more() and self.text[self.at] != "]":
                    self.mark((*path, index), self.at)
                    self.value((*path, index))
                    self.comma()
                    index += 1
                self.at += 1
            case "{":
                self.at += 1
                while self.more() and self.text[self.at] != "}":
                    self.pair(path)
                    self.comma()
                self.at += 1
            case _:
                self.read(_SCALAR)

    def dotted_key(self) -> list[str]:
        keys = []
        while True:
            key = self.read(_KEY).strip()
            keys.append(key if key[0] not in "\"'" else tomllib.loads(f"_={key}")["_"])
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def comma(self) -> None:
        self.more()
        if self.text[self.at] == ",":
            self.at += 1

    def more(self) -> bool:
        """Move past space and comments; False at the end of the text."""
        self.read(_SPACE)
        return self.at < len(self.text)

    def read(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        assert match, f"not TOML at character {self.at}"
        self.at = match.end()
        return match[0]

    def mark(self, path: KeyPath, offset: int) -> None:
        self.offsets.setdefault(path, offset)
