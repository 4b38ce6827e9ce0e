"""Default names of steps, for those that the fleet file gives none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep

_LONGEST = 32
_UNTELLING = re.compile(r"\s*(#.*|set [-+].*|)")


def named(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps, each with a name that no other in the list has."""
    steps = tuple(steps)
    taken = {step.name for step in steps if step.name}
    done: list[Step] = []
    for step in steps:
        if step.name:
            done.append(step)
            continue
        name = _free(default_name(step), taken)
        taken.add(name)
        done.append(replace(step, name=name))
    return tuple(done)


def default_name(step: Step) -> str:
    """A name from what the step does: a command's first words, or its kind and file."""
    match step:
        case RunStep():
            return _first_words(step.run)
        case LocalStep():
            return f"local {_first_words(step.local)}"
        case ScriptStep():
            return f"script {_file(step.script)}"
        case UploadStep():
            return f"upload {_file(step.upload)}"
        case HttpStep():
            return f"http {_cut(re.sub(r'^https?://', '', step.http))}"
        case _:
            assert_never(step)


def _first_words(command: str) -> str:
    lines = command.splitlines()
    telling = next((line for line in lines if _cut(line) and not _UNTELLING.fullmatch(line)), command)
    return _cut(telling) or "step"  # text of nothing but zero-width characters


def _file(path: str) -> str:
    return _cut(path.rsplit("/", 1)[-1])


def _cut(text: str) -> str:
    """At most 32 characters of one line, cut between words where there is a good place."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    if len(line) <= _LONGEST:
        return line
    short = line[: _LONGEST - 1]
    space = short.rfind(" ")
    return (short[:space] if space > _LONGEST // 2 else short) + "…"


def _free(name: str, taken: set[str]) -> str:
    number = 1
    free = name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
