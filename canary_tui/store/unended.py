"""The rollouts of a fleet that have not ended, as whoever opens the fleet must know them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from canary_tui.domain.fleet.names import compress_names
from canary_tui.domain.planning.plan import Plan, PlannedTarget
from canary_tui.domain.rollout.apply import IllegalEvent, replay
from canary_tui.domain.rollout.narration import left_to_do
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.errors import CanaryError, ExitCode
from canary_tui.store.history import RolloutSummary, history
from canary_tui.store.journal import read_journal
from canary_tui.store.layout import RolloutDirectory, resume_command

_STANDS = {"waiting": "waits for an approval", "unknown": "waits: an outcome is unknown"}


class InTheWay(CanaryError):
    """An open rollout of ours holds targets of the one that is to begin; nothing was connected to."""

    exit_code = ExitCode.LOCKED


@dataclass(frozen=True, slots=True)
class Unended:
    """A rollout that has not ended, with the fold of its journal."""

    summary: RolloutSummary
    state: RolloutState

    @property
    def name(self) -> str:
        """The release and the time of its start: `1.4.2 of 13:03`."""
        one = self.summary
        began, now = time.localtime(one.started_at), time.localtime()
        when = time.strftime("%H:%M" if began[:3] == now[:3] else "%Y-%m-%d %H:%M", began)
        return f"{one.release}{f' in {one.environment}' if one.environment else ''} of {when}"

    @property
    def stands(self) -> str:
        """Its state, in a few words."""
        if self.summary.engine is not None:
            return f"is worked on by {self.summary.engine.who}"
        return _STANDS.get(self.summary.reason, "was interrupted")

    @property
    def left(self) -> str:
        """The work that is left in it."""
        return left_to_do(self.state)


def unended(state_dir: Path, fleet: str) -> list[Unended]:
    """The rollouts of a fleet that have not ended, the newest first; one that cannot be read is left out."""
    return [
        Unended(one, state) for one in history(state_dir, fleet) if one.verdict is None and (state := _folded(one.path))
    ]


def _folded(path: Path) -> RolloutState | None:
    try:
        state = replay(read_journal(RolloutDirectory(path).journal))
    except (CanaryError, IllegalEvent, OSError):
        return None
    return state if state.plan is not None else None


def refuse_what_is_in_the_way(state_dir: Path, plan: Plan, breaks: tuple[str, ...]) -> None:
    """Refuse a plan some of whose targets an open rollout of this state directory holds.

    The targets would refuse it, too, but one after another, and without the way on.

    Raises:
        InTheWay: with the command that resumes the one in the way, and the option that takes its targets from it.
    """
    for one in unended(state_dir, plan.fleet):
        held = list(_held(one.state, plan))
        if held and one.summary.rollout not in breaks:
            raise InTheWay(
                f"{plan.fleet} {one.name} {one.stands} ({one.left}) and holds {compress_names(held)}\n"
                f"resume it with: {resume_command(one.summary.rollout)}\n"
                f"or take its targets over with: --break-lock {one.summary.rollout}"
            )


def _held(state: RolloutState, plan: Plan) -> Iterator[str]:
    """The targets of a plan whose locks a rollout has, or may have."""
    assert state.plan is not None
    locked = {_machine(state.plan.targets[name]) for name, target in state.targets.items() if target.locked}
    yield from (name for name, target in plan.targets.items() if _machine(target) in locked)


def _machine(target: PlannedTarget) -> tuple[str, str, int | None]:
    return target.name, target.address, target.ssh.port
