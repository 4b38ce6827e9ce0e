"""The engine's port to a target: requests and reports as plain data, and the Protocols that carry them.

Implemented by `canary_tui.ssh`. Every method returns a report; none raises for what a network or a target can do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal, Protocol

from canary_tui.domain.codec import wire
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.domain.rollout.words import Outcome
from canary_tui.text.sink import Stream


class Sink(Protocol):
    """The receiver of a step's raw output, in order and each byte once."""

    def write(self, data: bytes, stream: Stream = "out") -> None: ...


class Collected:
    """A sink that keeps standard output, for short answers."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, stream: Stream = "out") -> None:
        self.data += data if stream == "out" else b""


@dataclass(frozen=True, slots=True)
class Claim:
    """A rollout that wants the lock of a target, for itself alone until it lets go: there is one a login user.

    `who` and `since` (seconds since 1970) are for people to read. `take_from` is the one rollout that may lose it.
    """

    rollout: str
    who: str
    since: float
    take_from: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """The rollout that holds a target's lock, in the target's words, made safe; `since` is 0 where that is no time."""

    rollout: str
    who: str
    since: float

    def __str__(self) -> str:
        since = time.strftime(" since %Y-%m-%d %H:%MZ", time.gmtime(self.since)) if self.since else ""
        return f"locked by {self.rollout} ({self.who}{since})"


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Preflight: log in, look at clock, disk and the runner's folder. `current` is the fleet's `release.current`.

    With `claim` the lock is taken, or the probe fails. `tools` are commands that must be found there.
    """

    current: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    claim: Claim | None = None
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """`locked`: the claim has, or may have, the lock, however the probe ended. `holder`: who else has it.

    `server` names the server that was reached, the same by whichever way; "" where that is not known.
    """

    outcome: Outcome
    boot: str = ""
    release: str = ""
    clock_offset: float = 0.0
    free_bytes: int = 0
    detail: str = ""
    locked: bool = False
    holder: Holder | None = None
    server: str = ""

    @property
    def note(self) -> str:
        """The words for a person who only looks: the detail, and who holds the lock."""
        return "; ".join(filter(None, (self.detail, str(self.holder or "") if self.outcome == "ok" else "")))


@dataclass(frozen=True, slots=True)
class ExecuteRequest:
    """One durable execution. `execution` (32 hex digits) is started at most once, whatever happens.

    `script` is the text for sh (or with its own #! line); `environment` is data and reaches the step only in its
    environment. `timeout` (seconds) and `output_cap` (bytes) are held on the target. `boot` is what the probe saw.
    Nothing is run unless `rollout` holds the target's lock at that moment; "" needs none.
    """

    execution: str
    script: bytes
    environment: dict[str, str]
    timeout: float
    output_cap: int
    boot: str
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """Ask about an execution that may have been started before, and follow it from its first byte.

    `output_cap` as it was when it was started; 0 for none. `heard`: output of it has come here before, so it has begun.
    """

    execution: str
    boot: str
    timeout: float
    output_cap: int = 0
    heard: bool = False


@dataclass(frozen=True, slots=True)
class ExecuteReport:
    """The end of an execution. `ok` only where the target's exit record says 0 and size and digest agree.

    `not-started` is proof that the command was not and will not be run under this id.
    `fenced`: it was refused there, because its rollout does not hold the lock any more.
    """

    outcome: Outcome
    exit_code: int | None = None
    size: int = 0
    detail: str = ""
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class CancelReport:
    """`confirmed`: the end was seen by the one that could see it; `detail` names it: the target, or this engine
    for what it runs itself.
    """

    confirmed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """A plain command (checks, probes, `durable = false`): it dies with its connection. `script` is text for sh.

    `rollout` as in `ExecuteRequest`.
    """

    script: bytes
    environment: dict[str, str]
    timeout: float
    output_cap: int = 1 << 20
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """A local file to a path on the target. `size` and `sha256` were read once, before the first change.

    `rollout` as in `ExecuteRequest`.
    """

    source: str
    size: int
    sha256: str
    to: str
    mode: int
    timeout: float
    rollout: str = ""


@dataclass(frozen=True, slots=True)
class UploadReport:
    """`skipped` with outcome ok: the same bytes were there already. `fenced` as in `ExecuteReport`."""

    outcome: Outcome
    skipped: bool = False
    detail: str = ""
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class UnlockReport:
    """`released`: the target's lock is not this rollout's any more; otherwise `detail` says why it was left."""

    released: bool
    detail: str = ""


class Watch(Protocol):
    """The listener to a running step; called in the engine's loop, must not block."""

    def connection_lost(self, detail: str) -> None: ...
    def connection_restored(self) -> None: ...
    def upload_progress(self, sent: int, total: int) -> None: ...


class Remote(Protocol):
    """One target: one connection, made when first needed, kept until it is let go of, made again when lost."""

    async def probe(self, request: ProbeRequest) -> ProbeReport: ...

    async def execute(self, request: ExecuteRequest, sink: Sink, watch: Watch) -> ExecuteReport:
        """Start and follow to the end. Cancelling the task leaves the step running on the target."""
        ...

    async def attach(self, request: AttachRequest, sink: Sink, watch: Watch) -> ExecuteReport:
        """The same for a start that an earlier engine made: every byte is delivered again from the first."""
        ...

    async def cancel(self, execution: str, grace: float, boot: str) -> CancelReport:
        """Stop it, or close the gate to it; `boot` as in `ExecuteRequest`."""
        ...

    async def command(self, request: CommandRequest, sink: Sink) -> ExecuteReport: ...

    async def upload(self, request: UploadRequest, watch: Watch) -> UploadReport: ...

    def upload_end(self) -> CancelReport:
        """The target's words about the end of the last upload, once that was cancelled."""
        ...

    async def unlock(self, rollout: str) -> UnlockReport:
        """Let go of the lock, unless something of this rollout still runs there; tried for a bounded time."""
        ...

    def let_go(self) -> None:
        """End the connection, in the background, unless something is under way there; what comes next makes another."""
        ...


class Network(Protocol):
    """Makes remotes and owns what they share: host keys, agent, limits on handshakes."""

    def remote(self, target: PlannedTarget) -> Remote: ...

    async def close(self) -> None: ...


PromptKind = Literal["host-key", "passphrase", "password", "sudo-password"]


@wire("question")
@dataclass(frozen=True, slots=True)
class Question:
    """Something only a person can answer while connecting. `words` is the server's own text, made safe.

    For a host key: `key_type` and `fingerprint` (`SHA256:...`), and the answer that accepts is `yes`.
    """

    kind: PromptKind
    target: str
    address: str
    words: str = ""
    key_type: str = ""
    fingerprint: str = ""


class Asker(Protocol):
    """Asks one question at a time. None means that nobody answers: refuse this target."""

    async def ask(self, question: Question) -> str | None: ...
