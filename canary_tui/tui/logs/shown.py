"""The drawn form of a log's line: its time, its target, and the sign of our own lines."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from canary_tui.store.logs.format import OURS, LogLine, log_path, parse_line
from canary_tui.store.logs.grouped import GroupedReader
from canary_tui.store.logs.merged import MergedReader
from canary_tui.store.logs.reader import LogReader
from canary_tui.tui.shared.rows import TonedText, ToneSpan, fit
from canary_tui.tui.terminal import one_line

_NAME = 16
"""Most columns of a target's name before its lines."""
_KEPT = 16
_TAIL = 2048
_TAIL_LINES = 16


class ShownLog:
    """The log of one target, or the merged log of all, as a source for the log view."""

    def __init__(self, reader: LogReader | MergedReader | GroupedReader, *, named: bool) -> None:
        self.clocked = True
        self.reader: LogReader | MergedReader | GroupedReader = reader
        self.name_width = _NAME if named else 0
        """Columns of the target's name before each line; 0 in the log of one target."""

    @property
    def lines(self) -> int:
        return self.reader.lines

    @property
    def edition(self) -> int:
        return 0

    def moved(self, line: int) -> int:
        return line

    def poll(self) -> None:
        self.reader.poll()

    def displayed(self, start: int, stop: int) -> Sequence[str]:
        return [self._shape(number, line)[0] for number, line in enumerate(self.reader.read(start, stop), start)]

    def shape(self, line: int) -> tuple[str, Sequence[ToneSpan]]:
        found = self.reader.read(line, line + 1)
        return self._shape(line, found[0]) if found else ("", [])

    def text_column(self, line: int) -> int:
        found = self.reader.read(line, line + 1)
        return sum(len(piece) for piece, _ in self._before(line, found[0])) if found else 0

    def whole(self, line: int) -> str:
        """Return all of a line's text, however long."""
        found = self.reader.read(line, line + 1, whole=True)
        return found[0].text if found else ""

    def close(self) -> None:
        """Close the file; the next look opens it again."""
        self.reader.close()

    def _before(self, number: int, line: LogLine) -> list[TonedText]:  # noqa: ARG002  where lines are told apart by it
        before: list[TonedText] = []
        if self.clocked:
            before.append((f"{_clock(int(line.at))} " if line.at and not line.continued else " " * 9, "time"))
        if self.name_width:
            before.append((f"{fit(line.target, self.name_width)} ", "name"))
        if line.stream == OURS:
            before.append((f"-- {line.step}: ", "note"))
        return before

    def _body(self, number: int, line: LogLine) -> TonedText:  # noqa: ARG002  as above
        text = one_line(line.text.expandtabs(8))
        if line.hidden:
            text += f" … {line.hidden:,} bytes more"
        if line.stream == OURS:
            return text, "note"
        return text, "stderr" if line.stream == "err" else "plain"

    def _shape(self, number: int, line: LogLine) -> tuple[str, list[ToneSpan]]:
        drawn, spans = "", list[ToneSpan]()
        for piece, tone in (*self._before(number, line), self._body(number, line)):
            if tone != "plain":
                spans.append((len(drawn), len(drawn) + len(piece), tone))
            drawn += piece
        return drawn, spans


class ShownLogs:
    """The logs shown last, with their indexes: returning to a huge one costs nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept: OrderedDict[str | None, ShownLog] = OrderedDict()

    def target(self, name: str) -> ShownLog:
        """Return one target's log, which may not exist yet."""
        return self._get(name, lambda: ShownLog(LogReader(log_path(self._folder, name)), named=False))

    def merged(self, longest: int) -> ShownLog:
        """Return all targets' lines in order of arrival; `longest` is the length of the longest name."""
        log = self._get(None, lambda: ShownLog(MergedReader(self._folder), named=True))
        log.name_width = max(1, min(longest, _NAME))
        return log

    def close(self) -> None:
        for log in self._kept.values():
            log.close()
        self._kept.clear()

    def _get(self, name: str | None, make: Callable[[], ShownLog]) -> ShownLog:
        log = self._kept.get(name) or make()
        self._kept[name] = log
        self._kept.move_to_end(name)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)[1].close()
        return log


@lru_cache(1024)
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def last_line(path: Path) -> str:
    """Read a target's newest line, not ours, from the log's last 2 KiB; "" if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            data = file.read(_TAIL)
    except OSError:
        return ""
    lines = [parse_line(line) for line in data.split(b"\n")[-_TAIL_LINES:] if line]
    return next((one_line(line.text) for line in reversed(lines) if line.stream not in (OURS, "")), "")
