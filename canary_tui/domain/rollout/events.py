"""Everything that can happen in a rollout. The journal is a list of these; nothing else is true.

Times are not here: they come with the record. Text that a target or a person wrote has been made safe before.
"""

from __future__ import annotations

from dataclasses import dataclass

from canary_tui.domain.codec import wire
from canary_tui.domain.planning.plan import Phase, Plan
from canary_tui.domain.rollout.words import Ending, Outcome, Pause, Settlement, StopStage, Treatment, Verdict

FORMAT = 2
"""The journal's format: how these events are written. Raised with every change of a tag, a field or its meaning."""


@wire("operator")
@dataclass(frozen=True, slots=True)
class Operator:
    """The person who acted: OS user, host name, and the terminal ("" without one)."""

    user: str
    host: str
    terminal: str = ""

    def __str__(self) -> str:
        return f"{self.user}@{self.host}"


@wire("rollout-started")
@dataclass(frozen=True, slots=True)
class RolloutStarted:
    """Always the first record. `attended`: a person can be asked. `format` is the journal's format.

    `breaks` are rollouts that a person named to lose their targets' locks to this one.
    """

    rollout: str
    plan: Plan
    by: Operator
    attended: bool
    version: str
    format: int = FORMAT
    breaks: tuple[str, ...] = ()


@wire("engine-resumed")
@dataclass(frozen=True, slots=True)
class EngineResumed:
    """Another engine took over a rollout that had not ended; `breaks` as in `RolloutStarted`, for this engine only.

    `version` is that engine's ("" where format 1 does not say it), `format` the one in which it writes.
    """

    by: Operator
    attended: bool
    breaks: tuple[str, ...] = ()
    version: str = ""
    format: int = FORMAT


@wire("engine-stopped")
@dataclass(frozen=True, slots=True)
class EngineStopped:
    """The end of this engine; the rollout has not ended."""

    reason: Pause


@wire("front-lost")
@dataclass(frozen=True, slots=True)
class FrontLost:
    """The screen that could be asked is gone: nothing new is started."""


@wire("artifact-read")
@dataclass(frozen=True, slots=True)
class ArtifactRead:
    """A local file that an upload step sends, as it was before the first change. `size` in bytes, `sha256` in hex."""

    path: str
    size: int
    sha256: str


@wire("probe-started")
@dataclass(frozen=True, slots=True)
class ProbeStarted:
    """Preflight of one target begins; it changes nothing there but the runner's own folder, and takes the lock."""

    target: str


@wire("target-probed")
@dataclass(frozen=True, slots=True)
class TargetProbed:
    """The result of preflight. `outcome` is ok, unreachable or failed.

    `boot` names the boot that the target is in, `release` is what it says it runs ("" unknown),
    `clock_offset` is its clock minus ours in seconds, `free_bytes` the space beside its runner.
    `locked`: although it is not ok, the target's lock is this rollout's, or may be. `held_by`: the rollout in its way.
    """

    target: str
    outcome: Outcome
    boot: str = ""
    release: str = ""
    clock_offset: float = 0.0
    free_bytes: int = 0
    detail: str = ""
    locked: bool = False
    held_by: str = ""


@wire("wave-started")
@dataclass(frozen=True, slots=True)
class WaveStarted:
    wave: int


@wire("target-skipped")
@dataclass(frozen=True, slots=True)
class TargetSkipped:
    """A target that needs nothing: it says that it is on the release already, or no step matches it."""

    target: str
    reason: str


@wire("step-started")
@dataclass(frozen=True, slots=True)
class StepStarted:
    """On disk before the first byte about it is sent. `execution` is the target's name for this one start.

    `step` is an index into the plan's list for the phase, `attempt` counts from 1.
    """

    target: str
    phase: Phase
    step: int
    attempt: int
    execution: str


@wire("step-attached")
@dataclass(frozen=True, slots=True)
class StepAttached:
    """A resumed engine asks the target again about a start that an earlier engine made."""

    target: str
    execution: str


@wire("connection-lost")
@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The way to a target is gone while a step runs there; the step goes on, we keep trying."""

    target: str
    detail: str


@wire("connection-restored")
@dataclass(frozen=True, slots=True)
class ConnectionRestored:
    """Attached again at the byte where the output was cut."""

    target: str


@wire("step-finished")
@dataclass(frozen=True, slots=True)
class StepFinished:
    """One execution has ended. `exit_code` is None unless the target's own exit record says it.

    `size` counts the raw bytes of output that arrived and agree with the target's digest.
    `fenced`: the target refused to run it, because its lock is not this rollout's any more.
    """

    target: str
    execution: str
    outcome: Outcome
    exit_code: int | None = None
    size: int = 0
    detail: str = ""
    fenced: bool = False


@wire("failure-treated")
@dataclass(frozen=True, slots=True)
class FailureTreated:
    """A person decided what becomes of failed targets."""

    targets: tuple[str, ...]
    treatment: Treatment
    by: Operator
    note: str = ""


@wire("unknown-settled")
@dataclass(frozen=True, slots=True)
class UnknownSettled:
    """A person said what became of a step that no target can tell about."""

    target: str
    settlement: Settlement
    by: Operator
    note: str = ""


@wire("gate-opened")
@dataclass(frozen=True, slots=True)
class GateOpened:
    """Wave `wave` is through and the next waits. `evidence` is a hash of what was seen of its targets."""

    wave: int
    evidence: str


@wire("item-ticked")
@dataclass(frozen=True, slots=True)
class ItemTicked:
    wave: int
    item: int
    ticked: bool
    by: Operator


@wire("gate-approved")
@dataclass(frozen=True, slots=True)
class GateApproved:
    """A person let the next wave go; void unless both hashes are those of the open gate."""

    wave: int
    plan: str
    evidence: str
    by: Operator
    note: str = ""


@wire("gate-passed")
@dataclass(frozen=True, slots=True)
class GatePassed:
    """A gate that needs no person opened by itself."""

    wave: int


@wire("gate-expired")
@dataclass(frozen=True, slots=True)
class GateExpired:
    wave: int


@wire("aborted")
@dataclass(frozen=True, slots=True)
class Aborted:
    """No more targets. `rollback`: the changed ones are rolled back, otherwise left as they are."""

    by: Operator
    note: str
    rollback: bool


@wire("stop-requested")
@dataclass(frozen=True, slots=True)
class StopRequested:
    """Start nothing new; see `StopStage`. The rollout stays resumable."""

    stage: StopStage
    by: Operator


@wire("stop-withdrawn")
@dataclass(frozen=True, slots=True)
class StopWithdrawn:
    """Keep going after all: only before anything that runs was stopped."""

    by: Operator


@wire("cancel-started")
@dataclass(frozen=True, slots=True)
class CancelStarted:
    """The target is asked to end an execution's process group."""

    target: str
    execution: str


@wire("cancel-finished")
@dataclass(frozen=True, slots=True)
class CancelFinished:
    """`confirmed`: its end was seen; `detail` names the one that saw it. The execution's own end is a StepFinished."""

    target: str
    execution: str
    confirmed: bool
    detail: str = ""


@wire("rollback-started")
@dataclass(frozen=True, slots=True)
class RollbackStarted:
    """Rolling back begins, for these targets in this order; `unnamed` changed but have no former release."""

    ending: Ending
    targets: tuple[str, ...]
    unnamed: tuple[str, ...] = ()


@wire("finally-started")
@dataclass(frozen=True, slots=True)
class FinallyStarted:
    """The last part begins, for the targets that have `finally` steps to run; nothing is deployed any more."""

    ending: Ending
    targets: tuple[str, ...]


@wire("release-read")
@dataclass(frozen=True, slots=True)
class ReleaseRead:
    """A target was asked again, at the end or once it failed, which release it runs ("": it could not be asked)."""

    target: str
    release: str
    detail: str = ""


@wire("target-unlocked")
@dataclass(frozen=True, slots=True)
class TargetUnlocked:
    """The rollout let go of a target's lock, or could not: then `detail` says why it was left."""

    target: str
    released: bool
    detail: str = ""


@wire("rollout-finished")
@dataclass(frozen=True, slots=True)
class RolloutFinished:
    """Always the last record. `reason` is one sentence with numbers."""

    verdict: Verdict
    reason: str
    exit_code: int


Event = (
    RolloutStarted | EngineResumed | EngineStopped | FrontLost | ArtifactRead | ProbeStarted | TargetProbed
    | WaveStarted | TargetSkipped | StepStarted | StepAttached | ConnectionLost | ConnectionRestored
    | StepFinished | FailureTreated | UnknownSettled | GateOpened | ItemTicked | GateApproved | GatePassed
    | GateExpired | Aborted | StopRequested | StopWithdrawn | CancelStarted | CancelFinished | RollbackStarted
    | FinallyStarted | ReleaseRead | TargetUnlocked | RolloutFinished
)  # fmt: skip


Decision = GateApproved | ItemTicked | Aborted | FailureTreated | UnknownSettled | StopRequested | StopWithdrawn
"""The decisions of a person while a rollout is under way."""
TargetEvent = (
    ProbeStarted | TargetProbed | TargetSkipped | StepStarted | StepAttached | ConnectionLost
    | ConnectionRestored | StepFinished | UnknownSettled | CancelStarted | CancelFinished | ReleaseRead
    | TargetUnlocked
)  # fmt: skip
"""The events of one target: `rollout/target.py` says how it changes."""
GateEvent = GateOpened | ItemTicked | GateApproved | GatePassed | GateExpired
"""The events of one gate: `rollout/gate.py` says how it changes."""


@wire("record")
@dataclass(frozen=True, slots=True)
class Record:
    """An event with its place and time: `seq` counts from 0, `at` is seconds since 1970, UTC."""

    seq: int
    at: float
    event: Event


class IllegalEvent(ValueError):
    """The event cannot happen in this state; the message says why, for a person."""


def require(condition: bool, otherwise: str) -> None:
    """Raise IllegalEvent with these words unless the condition holds."""
    if not condition:
        raise IllegalEvent(otherwise)
