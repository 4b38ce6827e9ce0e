"""The table of step kinds: in which ways one kind differs from another. Who needs to know asks here.

A new kind of step is one dataclass in `steps.py` and one case here; mypy names the places that still miss it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep

StoppedBy = Literal["target", "connection", "engine"]
"""The one that can end a running step: the target, which is asked and answers; the connection, whose end nobody
confirms; the engine, in whose own process it runs."""


@dataclass(frozen=True, slots=True)
class Traits:
    """The answers of one kind of step. `tools` are commands that must be on the target, `script` is the path of the
    script whose interpreter must be there too ("" for none).
    """

    durable: bool
    """The target keeps a record of it: it can be asked later what became of it."""
    repeatable: bool
    """It is safe to do again when it was cut off."""
    changes_target: bool
    """The target may be changed by it, and so may have to be rolled back."""
    stopped_by: StoppedBy
    tools: tuple[str, ...] = ()
    script: str = ""


def traits(step: Step) -> Traits:
    """The traits of one step of a plan."""
    match step:
        case RunStep(durable=True, tools=tools):
            return Traits(durable=True, repeatable=False, changes_target=True, stopped_by="target", tools=tools)
        case RunStep(tools=tools):
            return Traits(durable=False, repeatable=False, changes_target=True, stopped_by="connection", tools=tools)
        case ScriptStep(script=path, tools=tools):
            return Traits(
                durable=True, repeatable=False, changes_target=True, stopped_by="target", tools=tools, script=path
            )
        case UploadStep():
            return Traits(durable=False, repeatable=True, changes_target=True, stopped_by="engine")
        case HttpStep():
            return Traits(durable=False, repeatable=True, changes_target=False, stopped_by="engine")
        case LocalStep():  # it runs here, but for the target: what it changed there nobody knows
            return Traits(durable=False, repeatable=False, changes_target=True, stopped_by="engine")
        case _:
            assert_never(step)
