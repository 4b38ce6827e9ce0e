"""Makes hostile text harmless: the one set of characters that a terminal may act on, and the functions that clean it.

A text is cleaned where it comes in (`Sanitiser`, `make_safe`, `one_line`) and once more where it goes out (`make_safe`,
`whole_line`, `written_out`, `blanked`, `stripped`): what the first net lets through, the second one must hold.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

LONGEST_SEQUENCE = 4096
"""Characters of an escape sequence that are held back; a longer one is shown as text, so that nothing is swallowed."""

CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
"""C0 without tab and line feed, DEL and C1, as the inside of a character class."""
HIDDEN = (
    r"\xad"  # soft hyphen
    r"\u061c"  # direction
    r"\u180e"
    r"\u200b-\u200f"  # zero width, direction
    r"\u2028-\u202e"  # line separators, direction
    r"\u2060-\u206f"  # invisible operators, isolated directions
    r"\ud800-\udfff"  # halves of characters
    r"\ufeff\ufff9-\ufffb\ufffe\uffff"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # controls of shorthand and of music
    r"\U000e0000-\U000e007f"  # tags: text that is not seen
)
"""Characters that are not seen, or that change how others are read; as the inside of a character class."""
HOSTILE = CONTROL + HIDDEN
"""All that must reach no terminal. Every exit of the program uses this one set."""

_PLAIN = bytes([0x09, 0x0A, *range(0x20, 0x7F)])
_INTRODUCER = r"(?:\x1b[P\]X^_]|[\x90\x98\x9d\x9e\x9f])"
# Every control ends a string, so that no character is looked at twice however hostile the text.
_ENDS_A_STRING = r"\x0a" + CONTROL
_BODY = rf"[^{_ENDS_A_STRING}]{{0,{LONGEST_SEQUENCE}}}"
_PARAMETERS = rf"(?:\x1b\[|\x9b)[\x20-\x3f]{{0,{LONGEST_SEQUENCE}}}"
_DESIGNATION = rf"\x1b[\x20-\x2f]{{1,{LONGEST_SEQUENCE}}}"
_WHOLE = "|".join(
    (
        rf"{_PARAMETERS}(?:[\x40-\x7e]|(?=[^\x20-\x7e]))",
        rf"{_INTRODUCER}{_BODY}(?:\x07|\x9c|\x1b\\|(?=\x1b[^\\])|(?=[^\x1b])(?=[{_ENDS_A_STRING}]))",
        rf"{_DESIGNATION}(?:[\x30-\x7e]|(?=[^\x20-\x7e]))",
        r"\x1b[\x30-\x4f\x51-\x57\x59\x5a\x5c\x60-\x7e]",
        r"\x1b(?=[^\x20-\x7e])",
    )
)
_BEGUN = rf"(?:{_INTRODUCER}{_BODY}\x1b?|{_PARAMETERS}|{_DESIGNATION}|\x1b)\Z"
_CONTROL_CHARACTER = re.compile(f"[{CONTROL}]")


@dataclass(frozen=True, slots=True)
class _Patterns:
    hostile: re.Pattern[str]
    no_part_of_a_line: re.Pattern[str]
    whole_sequence: re.Pattern[str]
    begun_sequence: re.Pattern[str]


@functools.cache
def _patterns() -> _Patterns:
    """Compiled when a hostile character is first met: 8 ms that most starts can do without."""
    sources = (f"[{HOSTILE}]", rf"[\t\n{HOSTILE}]", _WHOLE, _BEGUN)
    return _Patterns(*map(re.compile, sources))


class Sanitiser:
    """Bytes of one stream in, text out that no terminal acts on, wherever the chunks are cut.

    Of the controls only line feed and tab are left. A carriage return ends a line, so a progress bar becomes lines.
    Escape sequences are dropped; every other hostile character is shown as one that is plainly visible.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._waiting = False

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The text that can be let go now; with `final`, all of it."""
        if not self._waiting and not data.translate(None, _PLAIN):
            return str(data, "ascii")
        text = self._held + self._decoder.decode(data, final)
        waits = "\r" if text.endswith("\r") and not final else ""  # a line feed may follow
        if "\r" in text:
            text = text.removesuffix(waits).replace("\r\n", "\n").replace("\r", "\n")
        text, begun = self._without_sequences(text, final=final)
        self._held = begun + waits
        self._waiting = bool(self._held) or bool(self._decoder.getstate()[0])
        return text

    @staticmethod
    def _without_sequences(text: str, *, final: bool) -> tuple[str, str]:
        """The safe text, and a sequence begun at its end that is not whole yet."""
        parts, position, patterns = [], 0, _patterns()
        while hostile := patterns.hostile.search(text, position):
            start = hostile.start()
            parts.append(text[position:start])
            if whole := patterns.whole_sequence.match(text, start):
                position = whole.end()
            elif not final and patterns.begun_sequence.match(text, start):
                return "".join(parts), text[start:]
            else:
                parts.append(_shown(hostile[0]))
                position = start + 1
        return "".join([*parts, text[position:]]) if parts else text, ""


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


def make_safe(text: str) -> str:
    """A text of any number of lines, made safe: a banner, an error, a name. Escape sequences are dropped."""
    return Sanitiser().feed(text.encode(errors="replace"), final=True)


def whole_line(text: str) -> str:
    """The same in one line, however long it is."""
    return " ".join(make_safe(text).splitlines())


def one_line(text: str, most: int = 300) -> str:
    """Foreign words to stand in a sentence of ours: one safe line of at most `most` characters."""
    line = " ".join(make_safe(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def written_out(text: str) -> str:
    r"""One line in which whatever is not plainly seen is written as an escape (`\x1b`), so that it can be found."""
    return text if text.isascii() and text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    import unicodedata

    if character == "\t":
        return " "
    if not character.isprintable():
        return repr(character)[1:-1]
    return f"\\u{ord(character):04x}" if unicodedata.combining(character) else character


def blanked(text: str) -> str:
    """One line of as many characters, with a blank for each hostile one: quick enough for each cell of a screen."""
    return text if text.isprintable() else _patterns().no_part_of_a_line.sub(" ", text)


def stripped(text: str, width: Callable[[str], int]) -> str:
    """One line of the same width without hostile characters; `width` says how many cells one of them takes."""
    if text.isprintable():
        return text
    return _patterns().no_part_of_a_line.sub(lambda found: " " * width(found[0]), text)


def control_in(text: str) -> str | None:
    """The first control character of a text, None if it has none; tab and line feed are allowed."""
    found = _CONTROL_CHARACTER.search(text)
    return found[0] if found else None
