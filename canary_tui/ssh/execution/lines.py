"""The runner's lines: takes them out of a stream of other bytes, and reads their words."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

LONGEST_LINE = 4096
"""Bytes of one line of ours. A longer one was never written by the runner."""


class LostError(Exception):
    """A conversation ended before its last word. `silent`: nothing was heard, so the whole connection is in doubt.

    `full`: the server opens no further channel on this connection (MaxSessions).
    """

    def __init__(self, detail: str, *, silent: bool = False, full: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.silent = silent
        self.full = full


class SudoRefusedError(LostError):
    """sudo did not let the command in, so that nothing was run."""


class MergedError(Exception):
    """The other end puts standard error into standard output, so that no answer can be told from a step's output."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the runner: a word and the text behind it. Both are a stranger's until they were looked at."""

    word: str
    text: str

    @property
    def fields(self) -> dict[str, str]:
        """The `key=value` words of the text."""
        return {key: value for key, equals, value in (word.partition("=") for word in self.text.split(" ")) if equals}

    @property
    def first(self) -> str:
        """The text's first word."""
        return self.text.partition(" ")[0]


def new_nonce() -> str:
    """A word that marks our lines in one conversation."""
    return secrets.token_hex(12)


class Splitter:
    """Takes our lines out of a stream. Holds back at most one line, or what may be the beginning of one."""

    def __init__(self, nonce: str) -> None:
        self._mark = f"CTUI1 {nonce} ".encode()
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """The bytes before our next line, and that line without its mark; None while it is not there.

        Call again with nothing until there is none. LostError for a line that the runner cannot have written.
        """
        data = self._held + data
        at = data.find(self._mark)
        if at < 0:
            keep = self._beginning(data)
            self._held = data[len(data) - keep :]
            return data[: len(data) - keep], None
        end = data.find(b"\n", at)
        if (end if end >= 0 else len(data)) - at > LONGEST_LINE:
            raise LostError("it sends lines that are none of ours")
        if end < 0:
            self._held = data[at:]
            return data[:at], None
        self._held = data[end + 1 :]
        return data[:at], data[at + len(self._mark) : end]

    def rest(self) -> bytes:
        """The bytes that were held back."""
        held, self._held = self._held, b""
        return held

    def _beginning(self, data: bytes) -> int:
        """The number of last bytes that may begin the mark."""
        longest = min(len(data), len(self._mark) - 1)
        return next((size for size in range(longest, 0, -1) if self._mark.startswith(data[-size:])), 0)
