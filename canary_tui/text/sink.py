"""Carries a target's raw output to a sink for text: secrets redacted first, hostile characters made harmless then."""

from __future__ import annotations

from typing import Literal, Protocol

from canary_tui.text.safe import Sanitiser
from canary_tui.text.secrets import Redactor

Stream = Literal["out", "err"]
_STREAMS: tuple[Stream, ...] = ("out", "err")


class TextSink(Protocol):
    """Takes text that was made safe."""

    def write(self, text: str, stream: Stream = "out") -> None: ...


class SafeSink:
    """A sink for raw bytes before a sink for text. Each stream is cleaned by itself.

    Secrets go first, because one may hold characters that the sanitiser would rewrite.
    """

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
