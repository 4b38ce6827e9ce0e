"""Random keys, pastes and sizes of the terminal against every screen, in a real terminal, on real servers.

`CANARY_TUI_KEYS=600` presses for ten minutes. The seed is printed where the test fails; `CANARY_TUI_SEED` repeats it.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from farm import Farm
from fronts import canary_tui
from links import write_config
from marks import ROLLBACK, fleet_file, let_go, waves
from on_screen import CTRL_C, ENTER, ESCAPE, Terminal, run, start

from canary_tui.domain.rollout import events as e
from canary_tui.store.journal import read_journal
from canary_tui.store.layout import rollouts

SECONDS = float(os.environ.get("CANARY_TUI_KEYS", "40"))
"""For how long keys are pressed, with the program's starts; a minute at most where it is not asked for more."""
LIFE = 5.0
"""Seconds of random keys before the program is started anew in another place."""
SIZES = [(132, 44), (80, 24), (160, 48), (60, 18), (59, 17), (40, 10), (200, 60), (100, 18), (2, 1)]
NUMBER = "2"
"""What approves at the gate: the number of targets that come next."""

STEPS = """
[release]
current = "cat REVISION"
[environments.production]
protected = true
[environments.staging]
[[steps]]
name = "build"
run = "i=0; while [ $i -lt 30 ]; do i=$((i+1)); echo part $i of $TARGET; done; printf '\\\\033[31mred\\\\033[0m \\\\303\\\\244\\\\n'; echo oh >&2"
[[steps]]
name = "deploy"
run = "until [ ! -e slow ] || [ -e go ]; do sleep 0.1; done; [ ! -e bad ] || exit 7; echo $RELEASE > REVISION"
timeout = "20s"
[[finally]]
name = "tidy"
run = "true"
"""
GATE = 'instructions = "Look at $CANARIES."\nchecklist = ["dashboards", "no errors"]'


# What is pressed


SPECIAL: list[str] = [
    *(f"\x1b[{letter}" for letter in "ABCDHFZ"),  # arrows, home, end, backtab
    *(f"\x1b[1;{shift}{letter}" for shift in "2356" for letter in "ABCD"),
    *(f"\x1b[{number}~" for number in (2, 3, 5, 6, 11, 15, 24)),
    *(f"\x1bO{letter}" for letter in "PQRS"),
    *("\x1b[I", "\x1b[O", "\x1b[97u", "\x1b[<0;3;3M", "\x1b[M !!", "\x1b[?2026;2$y", "\x1b[200~\x1b[201~"),
    *("\x7f", "\t", " ", "\x1bx", "\x1b[99;99R", "\x1b["),
]
USUAL: list[str] = [*"jkgGnN/&ldwytehv?:[]AHXRKEBUSPLoasmri", " ", "\t", ENTER, ENTER, ESCAPE, ESCAPE]
LEAVES = ["q", "\x11", CTRL_C, "L"]
PASTED = [
    "3\r",
    "yes\n",
    "A2\r",
    "a\tb\x1b[2J\x07",
    "[red]web[/x] 'quoted' \\",
    "ä漢🙂\u202e",
    "x" * 300,
    "\n" * 40,
    "\x00",
]


def printable(dice: random.Random) -> str:
    return chr(dice.randrange(32, 127)) if dice.random() < 0.9 else dice.choice("äß漢é🙂\u0301\u202e")


def key(dice: random.Random) -> bytes:
    """One key, or one paste, as a terminal sends it."""
    luck = dice.random()
    if luck < 0.45:
        return dice.choice(USUAL).encode()
    if luck < 0.65:
        return printable(dice).encode()
    if luck < 0.85:
        return dice.choice(SPECIAL).encode()
    if luck < 0.90:
        return bytes([dice.randrange(1, 27)])
    if luck < 0.94:
        return f"\x1b[200~{dice.choice(PASTED)}\x1b[201~".encode()
    if luck < 0.97:
        return dice.choice(PASTED).encode()
    if luck < 0.98:
        return bytes(dice.randrange(1, 256) for _ in range(dice.randrange(1, 6)))  # what no keyboard sends
    return dice.choice(LEAVES).encode()


@dataclass
class Fingers:
    """Presses random keys. Exactly the right answer of the gate is left out: its number, and an enter before `esc`.

    The field is empty when it opens, and `esc` closes it: so its text is never the number when it is entered.
    """

    dice: random.Random
    screen: Terminal
    pressed: list[bytes] = field(default_factory=list)
    _answered: bool = False

    def press(self, seconds: float) -> None:
        """Go on for so long, or until the program has ended."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends and self.screen.alive:
            if self.dice.random() < 0.03:
                self.screen.resize(*self.dice.choice(SIZES))
            for _ in range(self.dice.choice((1, 1, 1, 5, 20))):
                self._send(key(self.dice))
            self.screen.pump(self.dice.choice((0.0, 0.01, 0.05, 0.15)))

    def _send(self, sent: bytes) -> None:
        if self._answered and sent == ESCAPE.encode():
            self.screen.pump(0.3)  # alone, or it would be part of another key
            self._answered = False
            self._write(sent)
            self.screen.pump(0.3)
            return
        if self._answered and (b"\r" in sent or b"\n" in sent):
            return
        self._answered = self._answered or NUMBER.encode() in sent
        self._write(sent)

    def _write(self, sent: bytes) -> None:
        self.pressed.append(sent)
        self.screen.send(sent)


# Where it is pressed


@dataclass
class World:
    """The farm, and the files of every place."""

    farm: Farm
    folder: Path
    state: Path

    @property
    def fleet(self) -> Path:
        return fleet_file(self.farm, STEPS + ROLLBACK + waves("web-1", "web-2", gate=GATE))

    @property
    def few_keys(self) -> Path:
        """The fleet with a known_hosts file without one host."""
        known = self.folder / "known_hosts"
        lines = self.farm.known_hosts.read_text().splitlines(keepends=True)
        known.write_text("".join(line for line in lines if self.farm.targets[1].address not in line))
        config = write_config(self.farm, self.folder / "config", "Host *", f" UserKnownHostsFile {known}")
        path = fleet_file(self.farm, STEPS + waves("web-1", gate=GATE), name="keys")
        path.write_text(path.read_text().replace(str(self.farm.ssh_config), str(config)))
        return path

    def run(self, fleet: Path | None = None, *arguments: str) -> Terminal:
        return run(self.state, fleet or self.fleet, "--env", "production", *arguments, **self.variables)

    @property
    def variables(self) -> dict[str, str]:
        """No shell of ours is opened on a target: whatever is typed would be run there."""
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "PAGER": "cat", "PYTHONFAULTHANDLER": "1"}

    def open(self, command: str) -> Terminal:
        newest = rollouts(self.state)[0].id if rollouts(self.state) else ""
        return Terminal(self.state, command, newest, **self.variables)


def at_picker(world: World) -> Terminal:
    screen = world.run()
    screen.shows("targets")
    return screen


def at_environment(world: World) -> Terminal:
    screen = run(world.state, world.fleet, **world.variables)
    screen.shows("Roll out to")
    return screen


def at_plan(world: World) -> Terminal:
    screen = world.run()
    screen.shows("enter Plan", "targets")
    screen.press(ENTER)
    screen.shows("Nothing was connected to yet")
    return screen


def at_work(world: World) -> Terminal:
    for target in world.farm.targets:
        (target.home / "slow").touch()
    screen = world.run()
    start(screen)
    screen.shows("> web-1")
    return screen


def at_gate(world: World) -> Terminal:
    screen = world.run()
    start(screen)
    screen.shows("GATE canary -> rest")
    return screen


def at_failures(world: World) -> Terminal:
    for target in world.farm.targets[:2]:
        (target.home / "bad").touch()
    screen = world.run()
    start(screen)
    screen.shows("2 targets failed")
    return screen


def at_result(world: World) -> Terminal:
    screen = world.run(None, "--only", "web-3 | web-4")
    start(screen)
    screen.shows("exit code 0")
    return screen


def at_history(world: World) -> Terminal:
    screen = world.run()
    screen.shows("targets")
    screen.press("h")
    screen.shows("HISTORY")
    return screen


def at_replay(world: World) -> Terminal:
    screen = world.open("replay")
    screen.shows("? Help")
    return screen


def at_host_key(world: World) -> Terminal:
    screen = world.run(world.few_keys)
    screen.shows("enter Plan", "targets")
    screen.press(ENTER)
    screen.shows("Nothing was connected to yet")
    screen.press("P")
    screen.shows("An unknown host key")
    return screen


PLACES: list[Callable[[World], Terminal]] = [
    at_gate, at_failures, at_plan, at_history, at_picker, at_work, at_result, at_replay, at_host_key, at_environment,
]  # fmt: skip


@contextmanager
def opened(world: World, place: Callable[[World], Terminal]) -> Iterator[Terminal]:
    """The program at a place, on servers that nobody was ever on."""
    for target in world.farm.targets:
        for path in target.home.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (target.home / "REVISION").write_text("1.0\n")
    screen = place(world)
    try:
        yield screen
    finally:
        screen.hang_up()
        let_go(world.farm)
        ends = time.monotonic() + 30
        while any(target.sessions() for target in world.farm.targets) and time.monotonic() < ends:
            time.sleep(0.05)


def approvals(state: Path) -> list[e.GateApproved]:
    """Every approval in any journal; one whose folder is not complete yet has none."""
    found = []
    for one in rollouts(state):
        with suppress(FileNotFoundError):
            found += [record.event for record in read_journal(one.journal)]
    return [event for event in found if isinstance(event, e.GateApproved)]


def the_ssh_of_the_screens(folder: Path) -> None:
    """An ssh that answers questions about its settings, and opens no shell."""
    real = shutil.which("ssh")
    (folder / "ssh").write_text(f'#!/bin/sh\ncase " $* " in *" -G "*) exec {real} "$@" ;; esac\nexit 255\n')
    (folder / "ssh").chmod(0o755)


BUG = re.compile(r"Traceback|Fatal Python error|canary-tui: a bug|╭─+ A bug|the engine is gone")


@pytest.mark.found("fault 4")
def test_no_sequence_of_keys_ends_the_screens_by_a_bug_or_opens_a_gate(farm: Farm, state: Path, tmp_path: Path) -> None:
    """Whatever is pressed, pasted or resized: the screens end in order when they are told to, and approve nothing."""
    ends = time.monotonic() + SECONDS
    seed = os.environ.get("CANARY_TUI_SEED") or ("1" if os.environ.get("CANARY_TUI_CI") else secrets.token_hex(4))
    print(f"CANARY_TUI_SEED={seed}")
    the_ssh_of_the_screens(tmp_path)
    world = World(farm, tmp_path, state)
    canary_tui(state, "run", world.fleet, "--release", "1.5", "--env", "production", "--only", "web-3", "--headless")
    lives = 0
    while not lives or time.monotonic() < ends:
        dice = random.Random(f"{seed} {lives}")
        place = PLACES[lives % len(PLACES)]
        # A state of its own: what the last life left open would be offered, and hold its targets.
        world = World(farm, tmp_path, tmp_path / f"state-{lives}")
        shutil.copytree(state, world.state)
        with opened(world, place) as screen:
            fingers = Fingers(dice, screen)
            fingers.press(min(LIFE, max(1.0, ends - time.monotonic())))
            about = f"seed {seed}, life {lives}, {place.__name__}; pressed last: {fingers.pressed[-60:]}"
            words = screen.last_words()
            assert not BUG.search(words), f"{about}\n{words[-6000:]}"
        assert not approvals(world.state), about
        lives += 1
