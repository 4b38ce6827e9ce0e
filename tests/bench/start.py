"""How long an operator waits before the first screen: python tests/bench/start.py

First paint of the target picker on a pseudo-terminal, and `check`, each for fleets of several sizes.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile

import measuring
from measuring import middle
from terminal import Terminal

_STEP = '\n[[steps]]\nname = "deploy"\nrun = "true"\n'


def _tables(count: int) -> str:
    entry = '[[targets]]\nname = "web-{0:05d}"\nhost = "10.{1}.{2}.{3}"\nroles = ["web-server"]\ntags = {{ zone = "{4}" }}\n'
    entries = (entry.format(i, i // 65536, i // 256 % 256, i % 256, "abc"[i % 3]) for i in range(1, count + 1))
    return 'name = "shop"\n' + "".join(entries) + _STEP


def _pattern(count: int) -> str:
    return f'name = "shop"\n[[targets]]\nname = "web-[00001-{count:05d}]"\nroles = ["web-server"]\n' + _STEP


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory(prefix="canary-bench-") as text:
        folder = pathlib.Path(text)
        env = {"CANARY_TUI_STATE": str(folder / "state")}
        fleets = {"10 targets": _tables(10), "10,000 targets, a table each": _tables(10_000)}
        fleets["10,000 targets, one name"] = _pattern(10_000)
        for name, content in fleets.items():
            fleet = folder / f"{len(rows)}.toml"
            fleet.write_text(content)
            painted = [_first_paint(fleet, env) for _ in range(rounds)]
            checked = [_check(fleet, env) for _ in range(rounds)]
            walls, cpus = [wall for wall, _ in painted], [cpu for _, cpu in painted]
            figures = (middle(walls), max(walls), middle(cpus), middle(checked))
            rows.append([name, *(f"{figure:.2f}" for figure in figures)])
    print(f"\nSeconds to the first screen, medians of {rounds}. {measuring.machine()}\n")
    print(measuring.table(["", "first paint", "slowest", "its CPU", "`check`"], rows))


def _first_paint(fleet: pathlib.Path, env: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-m", "canary_tui", fleet, "--release", "1.4.2"]
    with Terminal(command, env=env) as terminal:
        return terminal.shows("web-00001") - terminal.started, terminal.cpu()


def _check(fleet: pathlib.Path, env: dict[str, str]) -> float:
    done = measuring.run([sys.executable, "-m", "canary_tui", "check", fleet], env)
    if done.code:
        sys.exit(f"check {fleet} ended with {done.code}:\n{done.output[-3000:]}")
    return done.wall


if __name__ == "__main__":
    main()
