"""What the benches share: a program's wall time and processor time, medians, and a table with its date and machine."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
# What is installed is compiled; compiling all of it at every start would be 40 % of the time to the first screen.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program: seconds on the clock, seconds of processor (it and all that it waited for), its end."""

    wall: float
    cpu: float
    code: int
    output: str
    peak_mb: float = 0.0


def run(argv: Sequence[object], env: Mapping[str, str] | None = None, seconds: float = 300.0) -> Run:
    """Run a program to its end."""
    with subprocess.Popen(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    ) as process:
        started = time.perf_counter()
        # The output of all that is measured here is small; a pipe holds 64 kB, so read while it runs.
        output = _read_all(process, started + seconds)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    return Run(wall, usage.ru_utime + usage.ru_stime, process.returncode, output, usage.ru_maxrss / 1024)


def _read_all(process: subprocess.Popen[bytes], deadline: float) -> str:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            if time.perf_counter() > deadline:
                process.kill()
                return b"".join(pieces).decode(errors="replace") + "\n(took too long)"
            time.sleep(0.002)
            continue
        if not piece:
            return b"".join(pieces).decode(errors="replace")
        pieces.append(piece)


def middle(values: Iterable[float]) -> float:
    """The median."""
    return median(list(values))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in plain text."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [_line(head, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    return "\n".join(lines + [_line(row, widths) for row in rows])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(w) if index == 0 else cell.rjust(w) for index, (cell, w) in enumerate(zip(cells, widths))]
    return "| " + " | ".join(padded) + " |"


def machine() -> str:
    """Date, processors, system and versions: without them a figure says nothing."""
    ssh = (
        subprocess.run(["ssh", "-V"], capture_output=True, text=True).stderr.split(",")[0]
        if shutil.which("ssh")
        else ""
    )
    import asyncssh
    import textual

    versions = f"Python {platform.python_version()}, asyncssh {asyncssh.__version__}, Textual {textual.__version__}"
    today = dt.date.today().isoformat()
    load = f"load {os.getloadavg()[1]:.1f}"  # of the last five minutes: above the bench's own, others were at work
    return f"{today}, {os.cpu_count()} processors ({_processor()}), {load}, {platform.system()} {platform.release()}, {versions}, {ssh}"


def _processor() -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), "?")
