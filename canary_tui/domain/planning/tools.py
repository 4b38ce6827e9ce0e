"""Which commands a target must have for the steps that a plan has for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from canary_tui.domain.fleet.rules import TOOL
from canary_tui.domain.fleet.steps import RunStep, ScriptStep
from canary_tui.domain.planning.plan import Phase, Plan, applicable

_PHASES: tuple[Phase, ...] = ("steps", "rollback", "finally")


def tools_of(plan: Plan, target: str) -> tuple[str, ...]:
    """The tools that are declared by the steps for this target's roles, and its scripts' interpreters; each once."""
    found: dict[str, None] = {}
    for phase in _PHASES:
        steps = plan.phase_steps(phase)
        for index in applicable(plan, target, phase):
            step = steps[index]
            if isinstance(step, RunStep | ScriptStep):
                found |= dict.fromkeys(step.tools)
            if isinstance(step, ScriptStep):
                found |= dict.fromkeys(interpreters(plan.scripts[step.script]))
    return tuple(found)


def interpreters(script: str) -> Iterator[str]:
    """What a script's #! line needs: `env` and what it is to find, too. Not /bin/sh, by which we are there at all."""
    first = script.partition("\n")[0].removesuffix("\r")
    if not first.startswith("#!"):
        return
    words = first[2:].split()
    if words and words[0].endswith("/env"):
        found = (word for word in words[1:] if not word.startswith("-") and "=" not in word)
        words = [words[0], *[word for word in [next(found, "")] if word]]
    else:
        words = words[:1]
    yield from (word for word in words if word != "/bin/sh" and re.fullmatch(TOOL.pattern, word))
