"""Warnings of a plan: what is allowed, and still worth a second look before the start."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from canary_tui.domain.fleet.names import count, some_names
from canary_tui.domain.fleet.steps import LocalStep, RunStep, Step
from canary_tui.domain.planning.plan import PlannedTarget, PlannedWave, canaries_of

_PIPEFAIL = re.compile(r"^[ \t]*set[ \t]+(?:-\w+[ \t]+)*-\w*o[ \t]+pipefail", re.MULTILINE)


def warnings(
    waves: Sequence[PlannedWave], targets: Mapping[str, PlannedTarget], steps: Sequence[Step]
) -> tuple[str, ...]:
    """Sentences about text that not every sh reads, and about canaries that prove less than they seem to."""
    return (*_strange_to_sh(steps), *_of_canaries(waves, targets, steps))


def _strange_to_sh(steps: Sequence[Step]) -> Iterator[str]:
    for step in steps:
        text = step.run if isinstance(step, RunStep) else step.local if isinstance(step, LocalStep) else ""
        if _PIPEFAIL.search(text):
            yield (
                f"step {step.name!r} sets pipefail, which sh is not bound to know (dash, on Debian and Ubuntu); "
                "a script with #!/bin/bash is sure to"
            )


def _of_canaries(
    waves: Sequence[PlannedWave], targets: Mapping[str, PlannedTarget], steps: Sequence[Step]
) -> tuple[str, ...]:
    canaries = [targets[name] for name in canaries_of(waves) if name in targets]
    if not canaries:
        return ()
    rest = [targets[name] for wave in waves[1:] for name in wave.targets if name in targets]
    return (*_untried(canaries, rest, steps), *_one_sided(canaries, rest))


def _untried(canaries: Sequence[PlannedTarget], rest: Sequence[PlannedTarget], steps: Sequence[Step]) -> Iterator[str]:
    tried = {index for target in canaries for index in target.steps}
    for index, step in enumerate(steps):
        others = [target.name for target in rest if index in target.steps]
        if index not in tried and others:
            number = count(len(others), "target")
            yield f"no canary tries step {step.name!r}, which is for {number}: {some_names(others)}"


def _one_sided(canaries: Sequence[PlannedTarget], rest: Sequence[PlannedTarget]) -> Iterator[str]:
    for key in dict.fromkeys(key for target in rest for key in target.tags):
        values = {target.tags.get(key) for target in canaries}
        others = {target.tags[key] for target in rest if key in target.tags} - values
        if len(values) == 1 and None not in values and others:
            number = count(len(others), "other value")
            yield f"all canaries have {key}={next(iter(values))}, the rest has {number} of {key} too"
