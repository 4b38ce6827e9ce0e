"""The form of one line of a journal, and the proof in a run of lines: checksums, hash chain, sequence.

    {"seq":7,"at":1795428900.25,"event":{...},"prev":"<32 hex digits>","crc":"<8 hex digits>"}

`prev` is the beginning of the sha256 of the line before, `crc` is the crc32 of all that stands before it.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

from canary_tui.domain.codec import CodecError, decoder, encode
from canary_tui.domain.rollout.events import FORMAT, Event, Record
from canary_tui.errors import CanaryError
from canary_tui.store.format_1 import Format1

_START = "0" * 32
_TAIL = len(b',"crc":"01234567"}')
_KEYS = ["seq", "at", "event", "prev", "crc"]
_dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_event = decoder(Event)


class JournalError(CanaryError):
    """A journal cannot be believed from this line (counted from 1) on."""

    def __init__(self, where: str, line: int, problem: str) -> None:
        super().__init__(f"{where}:{line}: {problem}")
        self.line = line
        self.problem = problem


class Damaged(ValueError):
    """A line that is not whole: torn or altered."""


def write_line(record: Record, previous: str) -> bytes:
    """The line of a record, with its end, after the line whose `line_hash` is `previous`."""
    head = (
        f'{{"seq":{record.seq},"at":{_dump(record.at)},"event":{_dump(encode(record.event))},"prev":"{previous}"'
    ).encode()
    return b'%s,"crc":"%08x"}\n' % (head, crc32(head))


def line_hash(line: bytes) -> str:
    """The hash that the next line names as its `prev`."""
    return hashlib.sha256(line).hexdigest()[:32]


def is_whole(line: bytes) -> bool:
    """True for a line (with its end) that is as it was written, whatever it says."""
    head, tail = line[: -_TAIL - 1], line[-_TAIL - 1 :]
    return tail == b',"crc":"%08x"}\n' % crc32(head)


def read_line(line: bytes) -> dict[str, Any]:
    """The data of a line, not yet decoded; Damaged where it is not whole."""
    if not is_whole(line):
        raise Damaged("the checksum does not agree")
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"not JSON: {error}") from None
    if not isinstance(data, dict) or list(data) != _KEYS or type(data["seq"]) is not int:
        raise Damaged("not a record")
    if type(data["at"]) not in (int, float) or not math.isfinite(data["at"]):
        raise Damaged("not a time")
    return data


@dataclass(slots=True)
class Chain:
    """Reads a journal's lines in order, from the first one; `where` is the name that errors give."""

    where: str
    seq: int = 0
    previous: str = _START
    damage: str = ""
    """The damage of the line where the last `read` ended, "" if there is none."""
    _older: Format1 = field(default_factory=Format1)

    def read(self, data: bytes) -> tuple[list[Record], int]:
        """The records of whole lines at the beginning of `data`, and how many bytes they are.

        A line that is not whole ends the reading, and is an error where a whole one comes after it: then it was
        altered, not torn.

        Raises:
            JournalError: altered in the middle, out of sequence, not chained, or of a newer format.

        """
        records: list[Record] = []
        used, self.damage = 0, ""
        while end := data.find(b"\n", used) + 1:
            line = data[used:end]
            try:
                records.append(self._record(line, read_line(line)))
            except Damaged as error:
                self.damage = str(error)
                self._refuse_if_followed(data, used + 1)
                break
            used = end
        return records, used

    def _record(self, line: bytes, data: dict[str, Any]) -> Record:
        if data["seq"] != self.seq:
            raise self._error(f"record {data['seq']} stands where {self.seq} is due")
        if data["prev"] != self.previous:
            raise self._error("it does not continue the line before: a line was altered, removed or put in")
        self._check_format(data["event"])
        try:
            event = _event(self._older.event(data["event"]))
        except CodecError as error:
            raise self._error(f"an event that this version does not know: {error}") from None
        self.seq, self.previous = self.seq + 1, line_hash(line)
        return Record(data["seq"], data["at"], event)

    def _check_format(self, event: Any) -> None:
        # The first record says it, and each engine that goes on says it again: a newer one may have taken over.
        written = event.get("format", 1) if isinstance(event, dict) else 1
        if type(written) is not int or written > FORMAT:
            raise self._error(f"journal format {written}, this version reads up to {FORMAT}; use a newer canary-tui")

    def _refuse_if_followed(self, data: bytes, start: int) -> None:
        # Not line by line: where a line's end itself was altered, the next record stands in the same line.
        # No text inside a record reads like this, as its quotes would be escaped.
        while (start := data.find(b'{"seq":', start)) >= 0:
            end = data.find(b"\n", start) + 1
            if end and is_whole(data[start:end]):
                raise self._error(f"it was altered: {self.damage}, and whole records follow it")
            start += 1

    def _error(self, problem: str) -> JournalError:
        return JournalError(self.where, self.seq + 1, problem)
