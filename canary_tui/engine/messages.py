"""Messages between engine and front: one JSON object a line, over a socket pair.

Commands go down; notices go up, and only such as must not be on disk or are worth nothing tomorrow.
Everything else the front reads from the journal and the logs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from canary_tui.domain.codec import decode, encode, wire
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.events import Decision, Operator
from canary_tui.engine.target import Question


@wire("preflight")
@dataclass(frozen=True, slots=True)
class Preflight:
    """Connect to every target of the plan, look, change nothing; answered by one `Preflighted` a target."""

    plan: Plan


@wire("start")
@dataclass(frozen=True, slots=True)
class Start:
    """Begin a rollout of this plan; answered by `Opened`. `breaks`: rollouts that may lose their locks to it."""

    plan: Plan
    by: Operator
    breaks: tuple[str, ...] = ()


@wire("resume")
@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a rollout, by its directory; answered by `Opened`. `breaks` as in `Start`.

    While another engine works on it, the answer is `Busy` first, and `Opened` when that one has ended.
    """

    directory: str
    by: Operator
    breaks: tuple[str, ...] = ()


@wire("decide")
@dataclass(frozen=True, slots=True)
class Decide:
    """A person's decision, as the journal will hold it: for this rollout, and an approval for its open gate only."""

    rollout: str
    decision: Decision


@wire("give-up")
@dataclass(frozen=True, slots=True)
class GiveUp:
    """A person waits no longer for a target that is lost: what became of its step is unknown, and they settle it."""

    rollout: str
    target: str
    by: Operator


@wire("answered")
@dataclass(frozen=True, slots=True)
class Answered:
    """To one `Asked`. `answer` None: refuse this target. Never logged, never journaled."""

    question: int
    answer: str | None


@wire("quit")
@dataclass(frozen=True, slots=True)
class Quit:
    """The front ends. A live rollout is left as when the front is lost."""


@wire("withdraw-resume")
@dataclass(frozen=True, slots=True)
class WithdrawResume:
    """Wait no longer for the rollout that another engine works on."""


Command = Preflight | Start | Resume | Decide | GiveUp | Answered | WithdrawResume | Quit


@wire("ready")
@dataclass(frozen=True, slots=True)
class Ready:
    """The engine's first words."""

    pid: int
    version: str


@wire("preflighted")
@dataclass(frozen=True, slots=True)
class Preflighted:
    """The result of preflight for one target; fields as in `TargetProbed`."""

    target: str
    outcome: str
    release: str = ""
    clock_offset: float = 0.0
    free_bytes: int = 0
    detail: str = ""


@wire("opened")
@dataclass(frozen=True, slots=True)
class Opened:
    """The rollout's directory: journal and logs are there from now on."""

    rollout: str
    directory: str


@wire("refused")
@dataclass(frozen=True, slots=True)
class Refused:
    """A command was not carried out, and why; `command` is its class's name, or its decision's."""

    command: str
    reason: str


@wire("asked")
@dataclass(frozen=True, slots=True)
class Asked:
    """A question for the person at the screen; one at a time."""

    question: int
    about: Question


@wire("progress")
@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a running step: bytes of output, or of `total` uploaded. At most 10 a second a target."""

    target: str
    size: int
    total: int = 0


@wire("heartbeat")
@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Twice a second. `lines` and `size` are of all output so far."""

    lines: int
    size: int


@wire("ended")
@dataclass(frozen=True, slots=True)
class Ended:
    """The engine's last words: the exit code that `--headless` would have, and a sentence."""

    exit_code: int
    message: str


@wire("busy")
@dataclass(frozen=True, slots=True)
class Busy:
    """Another engine works on the rollout that is to be resumed; `who` started it."""

    rollout: str
    who: str


Notice = Ready | Preflighted | Opened | Busy | Refused | Asked | Progress | Heartbeat | Ended


def to_line(message: Command | Notice) -> bytes:
    """One message as a line of JSON."""
    return json.dumps(encode(message), separators=(",", ":")).encode() + b"\n"


def read_command(line: bytes) -> Command:
    """The command of a line; CodecError or ValueError where it is none."""
    command: Command = decode(Command, json.loads(line))
    return command


def read_notice(line: bytes) -> Notice:
    """The notice of a line; CodecError or ValueError where it is none."""
    notice: Notice = decode(Notice, json.loads(line))
    return notice
