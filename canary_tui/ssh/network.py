"""Carries every request of `engine/target.py` to the targets over SSH."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import asyncssh

from canary_tui.domain.planning.choices import check_release
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.engine.target import (
    Asker,
    AttachRequest,
    CancelReport,
    Claim,
    Collected,
    CommandRequest,
    ExecuteReport,
    ExecuteRequest,
    Holder,
    ProbeReport,
    ProbeRequest,
    Sink,
    UnlockReport,
    UploadReport,
    UploadRequest,
    Watch,
)
from canary_tui.errors import UsageError
from canary_tui.ssh.connection.connect import Access, LinkError, TargetLink
from canary_tui.ssh.connection.keyring import Answers
from canary_tui.ssh.execution import durable
from canary_tui.ssh.execution.cancel import cancel
from canary_tui.ssh.execution.install import RunnerError, RunnerInfo, ensure_runner, unlock
from canary_tui.ssh.execution.lines import LostError
from canary_tui.ssh.execution.plain import plain
from canary_tui.ssh.execution.upload import upload
from canary_tui.text.safe import make_safe, one_line
from canary_tui.text.secrets import Redactor

MOST_IDLE = 500
"""Idle connections that are kept. Beyond it the one that has been idle longest is closed."""
_PROBES = 3
_RELEASE_AT_MOST = 4096

_TOOLS = """(l=
for t in %s; do command -v "$t" >/dev/null 2>&1 || l="$l $t"; done
echo $l)
"""
"""Its first line of output names what is missing. In a subshell: what follows it may have variables of these names."""

Report = TypeVar("Report", ProbeReport, ExecuteReport, CancelReport, UploadReport, UnlockReport)


@dataclass(frozen=True, slots=True)
class _Found:
    """The answers of a target: its release, the trouble with asking for it, and a sentence about missing tools."""

    release: str = ""
    trouble: str = ""
    lacking: str = ""


class SshNetwork:
    """Implements `Network`. Without an asker nobody is asked, and what would need a person is refused.

    `answers` are the secrets that networks before it were told; what this one is told joins them.
    """

    def __init__(
        self, asker: Asker | None = None, redactor: Redactor | None = None, answers: Answers | None = None
    ) -> None:
        _check_library()
        self.redactor = redactor or Redactor()
        self._access = Access(asker, self.redactor, answers)
        self._remotes: set[SshRemote] = set()
        self._idle: dict[SshRemote, None] = {}
        """In the order in which they became idle."""
        self._closing: set[asyncio.Task[None]] = set()
        _allow_many_connections()
        # Nothing of it is ever shown, and its messages alone cost 7 % of a connection.
        asyncssh.set_log_level(logging.CRITICAL)

    def remote(self, target: PlannedTarget) -> SshRemote:
        """The way to one target; it connects when it is first asked something."""
        remote = SshRemote(TargetLink(target, self._access), self)
        self._remotes.add(remote)
        return remote

    def busy(self, remote: SshRemote) -> None:
        """A request begins there: its connection must not be closed."""
        self._idle.pop(remote, None)

    def idle(self, remote: SshRemote) -> None:
        """The last request there has ended; each idle connection costs memory here and a process there."""
        self._idle[remote] = None
        if len(self._idle) > MOST_IDLE:
            self.let_go(next(iter(self._idle)))

    def let_go(self, remote: SshRemote) -> None:
        """Close its connection, unless a request is under way there."""
        if remote not in self._idle:
            return
        del self._idle[remote]
        task = asyncio.create_task(remote.link.let_go())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every connection, within a few seconds."""
        await asyncio.gather(*(remote.link.close() for remote in self._remotes), *self._closing)
        self._remotes.clear()
        self._idle.clear()
        await self._access.close()


class SshRemote:
    """Implements `Remote` on one link. No text that it reports or tells holds a secret or a character that acts."""

    def __init__(self, link: TargetLink, network: SshNetwork) -> None:
        self.link = link
        self._network, self._redactor = network, network.redactor
        self._under_way = 0
        self._upload_end = CancelReport(confirmed=True, detail="it had not begun")

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        self._under_way += 1
        self._network.busy(self)
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way and self.link.idle():
                self._network.idle(self)

    async def probe(self, request: ProbeRequest) -> ProbeReport:
        """Log in, meet the runner, acquire the lock, ask for tools and release.

        The time limit does not count what a person takes to answer.
        """
        with self._at_work():
            return await self._probe(request)

    async def _probe(self, request: ProbeRequest) -> ProbeReport:
        claimed = False
        try:
            await self.link.connection()
            claimed = request.claim is not None  # from here on the lock may be ours, whatever we come to hear of it
            async with asyncio.timeout(request.timeout) as limit:
                runner = await self._meet(request.claim, limit)
                if request.claim and (refusal := _refused(runner)):
                    return self._told(refusal)
                found = await self._look(request)
        except LinkError as error:
            return self._told(ProbeReport("unreachable", detail=error.detail, locked=claimed))
        except LostError as error:
            return self._told(ProbeReport("unreachable", detail=error.detail, locked=claimed))
        except RunnerError as error:
            return self._told(ProbeReport("failed", detail=error.detail))
        except TimeoutError:
            detail = f"no answer within {request.timeout:.0f} s after the login"
            return ProbeReport("failed", detail=detail, locked=claimed)
        if found.lacking:
            return self._told(ProbeReport("failed", detail=found.lacking, locked=claimed))
        detail = "; ".join(filter(None, (runner.note, found.trouble)))
        report = ProbeReport("ok", runner.boot, found.release, runner.clock_offset, runner.free_bytes, detail)
        report = replace(report, locked=claimed, holder=None if claimed else runner.holder, server=runner.server)
        return self._told(report)

    async def _meet(self, claim: Claim | None, limit: asyncio.Timeout) -> RunnerInfo:
        for _ in range(_PROBES - 1):
            try:
                return await ensure_runner(self.link, claim, limit)
            except LostError:
                continue
        return await ensure_runner(self.link, claim, limit)

    async def _look(self, request: ProbeRequest) -> _Found:
        """Ask for the tools and for the release, in one command; in none where neither is asked for."""
        if not request.current and not request.tools:
            return _Found()
        answer = Collected()
        script = (_TOOLS % " ".join(request.tools) if request.tools else "") + (request.current or "")
        command = CommandRequest(script.encode(), request.environment, request.timeout, _RELEASE_AT_MOST)
        report = await plain(self.link, command, answer)
        how = report.detail or (report.outcome if report.exit_code is None else f"exit {report.exit_code}")
        said = answer.data.decode(errors="replace")
        if request.tools:
            missing, newline, said = said.partition("\n")
            if not newline:
                return _Found(lacking=f"the search for its tools failed: {how}")
            if missing:
                return _Found(lacking=f"tools missing: {', '.join(one_line(missing).split())}")
        if not request.current:
            return _Found()
        return _Found(*self._release(said) if report.outcome == "ok" else ("", f"release.current: {how}"))

    def _release(self, said: str) -> tuple[str, str]:
        """The release that the target reports, and the problem with it."""
        release = one_line(self._redactor.text(said))
        try:  # it becomes PREVIOUS, and names files and commands here: a stranger's word is held to the same rule
            if release:
                check_release(release)
        except ValueError as error:
            return "", f"release.current: {error}"
        return release, ""

    async def execute(self, request: ExecuteRequest, sink: Sink, watch: Watch) -> ExecuteReport:
        with self._at_work():
            return self._told(await durable.execute(self.link, request, sink, _SafeWatch(watch, self._safe)))

    async def attach(self, request: AttachRequest, sink: Sink, watch: Watch) -> ExecuteReport:
        with self._at_work():
            return self._told(await durable.attach(self.link, request, sink, _SafeWatch(watch, self._safe)))

    async def cancel(self, execution: str, grace: float, boot: str) -> CancelReport:
        with self._at_work():
            return self._told(await cancel(self.link, execution, grace, boot))

    async def command(self, request: CommandRequest, sink: Sink) -> ExecuteReport:
        with self._at_work():
            return self._told(await plain(self.link, request, sink))

    async def upload(self, request: UploadRequest, watch: Watch) -> UploadReport:
        with self._at_work():
            self._upload_end = CancelReport(confirmed=True, detail="it had not begun")
            return self._told(await upload(self.link, request, _SafeWatch(watch, self._safe), self._note_upload_end))

    def _note_upload_end(self, seen: CancelReport) -> None:
        self._upload_end = self._told(seen)

    def upload_end(self) -> CancelReport:
        return self._upload_end

    async def unlock(self, rollout: str) -> UnlockReport:
        with self._at_work():
            return self._told(await unlock(self.link, rollout))

    def let_go(self) -> None:
        self._network.let_go(self)

    def _told(self, report: Report) -> Report:
        return replace(report, detail=self._safe(report.detail))

    def _safe(self, detail: str) -> str:
        return make_safe(self._redactor.text(detail))


class _SafeWatch:
    """A watch whose words are redacted and made safe first."""

    def __init__(self, watch: Watch, safe: Callable[[str], str]) -> None:
        self._safe, self._lost = safe, watch.connection_lost
        self.connection_restored, self.upload_progress = watch.connection_restored, watch.upload_progress

    def connection_lost(self, detail: str) -> None:
        self._lost(self._safe(detail))


def _refused(runner: RunnerInfo) -> ProbeReport | None:
    """The reason why the claim did not get the lock; None where it did, or did not want it."""
    match runner.claim:
        case "ours" | "none":
            return None
        case "busy":
            detail = f"{runner.busy} is still running a step there; try again when that has ended"
            return ProbeReport("failed", detail=detail, locked=True, holder=Holder(runner.busy, "", 0.0))
        case "held" if runner.holder is not None:
            detail = f"{runner.holder}; wait for it to end, or break it with --break-lock {runner.holder.rollout}"
            return ProbeReport("failed", detail=detail, holder=runner.holder)
        case "strange":
            lock = f"{runner.folder}/lock"
            detail = f"its lock file was not written by canary-tui; if no rollout is running there, delete {lock}"
            return ProbeReport("failed", detail=detail, holder=runner.holder)
        case "room":
            return ProbeReport(
                "failed", detail=f"the lock cannot be created in {runner.folder}; check that its disk is not full"
            )
    detail = "another rollout took the lock at the same moment; try again"
    return ProbeReport("failed", detail=detail, holder=Holder("?", "", 0.0))


def _check_library() -> None:
    """Before 2.24.1 a server could fill our memory, and a revoked key inside a certificate was accepted."""
    version = tuple(int(part) for part in asyncssh.__version__.split(".")[:3] if part.isdigit())
    if version < (2, 24, 1):
        raise UsageError(f"asyncssh {asyncssh.__version__} is not safe; install 2.24.1 or later")


def _allow_many_connections() -> None:
    """A soft limit of 256 open files, as some shells have it, would fail a fleet of 400."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
