"""The commands that a target must have for the steps that a plan has for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from canary_tui.domain.fleet.rules import TOOL
from canary_tui.domain.fleet.traits import traits
from canary_tui.domain.planning.plan import Phase, Plan, applicable

_PHASES: tuple[Phase, ...] = ("steps", "rollback", "finally")


def tools_of(plan: Plan, target: str) -> tuple[str, ...]:
    """The tools that are declared by the steps for this target's roles, and its scripts' interpreters; each once."""
    found: dict[str, None] = {}
    for phase in _PHASES:
        steps = plan.phase_steps(phase)
        for index in applicable(plan, target, phase):
            step = traits(steps[index])
            found |= dict.fromkeys(step.tools)
            if step.script:
                found |= dict.fromkeys(interpreters(plan.scripts[step.script]))
    return tuple(found)


def interpreters(script: str) -> Iterator[str]:
    """The programs that a script's #! line needs: `env`, and the one that it looks up. Not /bin/sh: it is there."""
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
