"""Finds the place at which each key of a TOML document is written.

`tomllib` drops positions, so this walks the text a second time. It runs only when there is a problem to report, and
only over text that `tomllib` has accepted, so it checks nothing: it reads just enough to know which key a character
belongs to. What holds no key that is asked for is passed by, in one regular expression where it is plain: a fleet
may have 10,000 targets, and one mistake.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from typing import NamedTuple

KeyPath = tuple[str | int, ...]
"""Table keys and array indexes from the top of a document: ("waves", 1, "share")."""

_SPACE = re.compile(r"(?:[ \t\r\n]++|#[^\n]*+)*+")
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:\\.|[^"\\])*"|'[^']*')[ \t]*""")
_STRING = (
    r'"""(?:\\.|[^\\])*?""""{0,2}'  # up to two quotes may precede the closing three
    r"|'{3}.*?'{3,5}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
)
_SCALAR = re.compile(rf"{_STRING}|\d{{4}}-\d\d-\d\d \d\d:[^\s,\]}}#]+|[^\s,\]}}#]+", re.DOTALL)
_BRACKET = re.compile(rf"{_STRING}|#[^\n]*|[][{{}}]", re.DOTALL)

_SHORT = r"""(?:"(?:[^"\\\n]|\\.)*+"(?!")|'[^'\n]*+'(?!'))"""
_FLAT = rf"""[^][{{}}#"'\n]*+(?:{_SHORT}[^][{{}}#"'\n]*+)*+"""
_PLAIN_PAIRS = re.compile(  # possessive throughout: linear in whatever text it meets
    rf"""(?:[\w.-]++[ \t]*+=[ \t]*+(?:{_SHORT}|\[{_FLAT}\]|\{{{_FLAT}\}}|[^][\s"'{{}}#,]++)[ \t\r]*+\n\s*+)++"""
)


class Position(NamedTuple):
    """A place in a file. Both numbers start at 1; the column counts characters."""

    line: int
    column: int


def locate(text: str, wanted: Collection[KeyPath] | None = None) -> dict[KeyPath, Position]:
    """Map every key path of a valid TOML document, or each that is wanted, to where it is first written.

    A document that nests deeper than Python's stack is mapped as far as that depth.
    """
    walk = _Walk(text, wanted)
    with suppress(RecursionError):  # nothing that a fleet file may say is that deep: the problem itself stands above
        walk.document()
    return dict(_positions(text, walk.offsets))


def _positions(text: str, offsets: Mapping[KeyPath, int]) -> Iterator[tuple[KeyPath, Position]]:
    line, start, reached = 1, 0, 0
    for path, offset in sorted(offsets.items(), key=itemgetter(1)):
        if ends := text.count("\n", reached, offset):
            line, start = line + ends, text.rindex("\n", reached, offset) + 1
        reached = offset
        yield path, Position(line, offset - start + 1)


class _Walk:
    def __init__(self, text: str, wanted: Collection[KeyPath] | None) -> None:
        self.text = text
        self.wanted = None if wanted is None else set(wanted)
        self.missing = set() if wanted is None else set(wanted) - {()}
        self.branches = {path[:end] for path in wanted or () for end in range(len(path))}
        """Everything that leads to something wanted."""
        self.at = 0
        self.offsets: dict[KeyPath, int] = {(): 0}
        self.last_element: dict[KeyPath, int] = {}  # of each array of tables

    def document(self) -> None:
        table: KeyPath = ()
        while self.more() and (self.wanted is None or self.missing):
            if self.text[self.at] == "[":
                table = self.header()
            elif self.leads_on(table) or not self.passes(_PLAIN_PAIRS):
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
            case "[" | "{" if not self.leads_on(path):
                self.pass_by()
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

    def leads_on(self, path: KeyPath) -> bool:
        """Something below it is wanted."""
        return self.wanted is None or path in self.branches

    def pass_by(self) -> None:
        """Move past an array or an inline table."""
        depth = 0
        for match in _BRACKET.finditer(self.text, self.at):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
            if not depth:
                self.at = match.end()
                return

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

    def passes(self, pattern: re.Pattern[str]) -> bool:
        """Move past what the pattern matches here, if it does."""
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return match is not None

    def mark(self, path: KeyPath, offset: int) -> None:
        if self.wanted is None or path in self.wanted:
            self.offsets.setdefault(path, offset)
            self.missing.discard(path)
