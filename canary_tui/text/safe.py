"""What may leave a target's output: no secret, and no character that a terminal would act on."""

from __future__ import annotations

import codecs
import re

from canary_tui.text.secrets import Redactor, Stream, TextSink


def _class(*ranges: tuple[int, int]) -> str:
    return "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges)


_PLAIN = bytes([0x09, 0x0A, *range(0x20, 0x7F)])
LONGEST_SEQUENCE = 4096
"""Characters of an escape sequence that are held back; a longer one is shown as text, so that nothing is swallowed."""


_HOSTILE = _class(
    (0x00, 0x08),
    (0x0B, 0x1F),
    (0x7F, 0x9F),
    (0x061C, 0x061C),  # bidi
    (0x180E, 0x180E),
    (0x200B, 0x200F),  # zero width, bidi
    (0x2028, 0x202E),  # line separators, bidi
    (0x2060, 0x206F),  # invisible operators, bidi isolates
    (0xD800, 0xDFFF),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xFFFE, 0xFFFF),
    (0xE0000, 0xE007F),  # tags: text that is not seen
)
_INTRODUCER = r"(?:\x1b[P\]X^_]|[\x90\x98\x9d\x9e\x9f])"
# Every control ends a string, so that no character is looked at twice however hostile the text.
_CONTROL = r"\x00-\x08\x0a-\x1f\x7f-\x9f"
_BODY = rf"[^{_CONTROL}]{{0,{LONGEST_SEQUENCE}}}"
_PARAMETERS = rf"(?:\x1b\[|\x9b)[\x20-\x3f]{{0,{LONGEST_SEQUENCE}}}"
_DESIGNATION = rf"\x1b[\x20-\x2f]{{1,{LONGEST_SEQUENCE}}}"
_WHOLE = "|".join(
    (
        rf"{_PARAMETERS}(?:[\x40-\x7e]|(?=[^\x20-\x7e]))",
        rf"{_INTRODUCER}{_BODY}(?:\x07|\x9c|\x1b\\|(?=\x1b[^\\])|(?=[^\x1b])(?=[{_CONTROL}]))",
        rf"{_DESIGNATION}(?:[\x30-\x7e]|(?=[^\x20-\x7e]))",
        r"\x1b[\x30-\x4f\x51-\x57\x59\x5a\x5c\x60-\x7e]",
        r"\x1b(?=[^\x20-\x7e])",
    )
)
_HOSTILE_CHARACTER = re.compile(f"[{_HOSTILE}]")
_WHOLE_SEQUENCE = re.compile(_WHOLE)
_BEGUN_SEQUENCE = re.compile(rf"(?:{_INTRODUCER}{_BODY}\x1b?|{_PARAMETERS}|{_DESIGNATION}|\x1b)\Z")


def _visible(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"<U+{code:04X}>"


class Sanitiser:
    """Bytes of one stream in, text out that no terminal acts on, wherever the chunks are cut.

    Of the controls only line feed and tab are left. A carriage return ends a line, so a progress bar becomes lines.
    Escape sequences are dropped; every other character that is not plainly visible is shown as one that is.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._waiting = False

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """What can be let go now; with `final`, everything."""
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
        parts, position = [], 0
        while hostile := _HOSTILE_CHARACTER.search(text, position):
            start = hostile.start()
            parts.append(text[position:start])
            if whole := _WHOLE_SEQUENCE.match(text, start):
                position = whole.end()
            elif not final and _BEGUN_SEQUENCE.match(text, start):
                return "".join(parts), text[start:]
            else:
                parts.append(_visible(hostile[0]))
                position = start + 1
        return "".join([*parts, text[position:]]) if parts else text, ""


def make_safe(text: str) -> str:
    """One text on its own made safe: a banner, an error, a name."""
    return Sanitiser().feed(text.encode(errors="replace"), final=True)


def one_line(text: str, most: int = 300) -> str:
    """Foreign text as one safe line of at most `most` characters."""
    line = " ".join(make_safe(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


class SafeSink:
    """A sink for raw bytes before a sink for text: redacted, then made safe, each stream by itself."""

    def __init__(self, sink: TextSink, secrets: Redactor) -> None:
        self._sink = sink
        self._streams = {stream: (secrets.stream(), Sanitiser()) for stream in _STREAMS}

    def write(self, data: bytes, stream: Stream = "out") -> None:
        self._write(data, stream, final=False)

    def finish(self) -> None:
        """The streams have ended: let go what was held back. The sink may be used again, for another execution."""
        for stream in _STREAMS:
            self._write(b"", stream, final=True)

    def _write(self, data: bytes, stream: Stream, *, final: bool) -> None:
        redacted, sanitiser = self._streams[stream]
        text = sanitiser.feed(redacted.feed(data, final=final), final=final)
        if text:
            self._sink.write(text, stream)


_STREAMS: tuple[Stream, ...] = ("out", "err")
