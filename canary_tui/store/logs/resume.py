"""The part of an execution's output that a log already holds, so that reading it again adds exactly the rest."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from typing import NamedTuple

from canary_tui.store.logs.format import OURS, begin_mark, end_mark

_OTHERS = re.compile(rb"^\S{20,28} [^\s|]+ (?:(out\+|err[|+])|--\|) .*\n", re.MULTILINE)
"""Every line but the plain lines of `out`, which are counted as the remainder."""


@dataclass(frozen=True, slots=True)
class Held:
    """The held part. `skip` counts for each stream the bytes of text in whole lines of the execution.

    The end of the last line is not counted, because only the text itself can say whether it ends the line there.
    """

    skip: dict[str, int]
    ended: bool


def held(fd: int, size: int, execution: str) -> Held | None:
    """Measure an execution in the first `size` bytes of a log, which are whole lines; None if it is not there."""
    if not size:
        return None
    # Only the writer shortens a log, and this runs in it: the mapping stays valid.
    with mmap.mmap(fd, size, prot=mmap.PROT_READ) as data:
        begin = _find_begin(data, execution)
        if begin is None:
            return None
        following = re.compile(rb"^\S{20,28} [^\s|]+ --\| begin [0-9a-f]{1,12}\n", re.MULTILINE).search(
            data, begin.start
        )
        stop = following.start() if following else size
        return _count(data, begin.start, stop, begin.step_size, end_mark(execution).encode())


class _Begin(NamedTuple):
    """The start of an execution's output, and the bytes of its step's name in each line."""

    start: int
    step_size: int


def _find_begin(data: mmap.mmap, execution: str) -> _Begin | None:
    mark = f" {OURS}| {begin_mark(execution)}\n".encode()
    place = data.rfind(mark)
    while place >= 0:
        line = data[data.rfind(b"\n", 0, place) + 1 : place]
        # The same words in the middle of a target's own text are no mark.
        if match := re.fullmatch(rb"\S{20,28} ([^\s|]+)", line):
            return _Begin(place + len(mark), len(match[1]))
        place = data.rfind(mark, 0, place)
    return None


def _count(data: mmap.mmap, start: int, stop: int, step_size: int, end: bytes) -> Held:
    head = 24 + 1 + step_size + 1 + 5
    """Bytes before the text of a line: time, step, stream with its mark, and the spaces."""
    whole = {"out": 0, "err": 0}
    text = {"out": 0, "err": 0}
    ended, other_bytes, other_lines = False, 0, 0
    for match in _OTHERS.finditer(data, start, stop):
        size = match.end() - match.start()
        other_bytes, other_lines = other_bytes + size, other_lines + 1
        if match[1] is None:
            ended = ended or b" --| " + end in match[0][: head + len(end)]
            continue
        stream = match[1][:3].decode()
        text[stream] += size - head - 1
        whole[stream] += match[1][3:] == b"|"
    plain = _lines(data, start, stop) - other_lines
    whole["out"] += plain
    text["out"] += stop - start - other_bytes - plain * (head + 1)
    return Held({stream: text[stream] + count - 1 for stream, count in whole.items() if count}, ended)


def _lines(data: mmap.mmap, start: int, stop: int) -> int:
    return sum(data[place : min(stop, place + (1 << 20))].count(b"\n") for place in range(start, stop, 1 << 20))
