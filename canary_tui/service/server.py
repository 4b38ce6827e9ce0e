"""The engine as a process of its own, behind a front: commands come in and notices go out over one socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from canary_tui import __version__
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.planning.tools import tools_of
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Decision, Record
from canary_tui.engine.loop import Rollout
from canary_tui.engine.messages import (
    Answered,
    Asked,
    Command,
    Decide,
    Ended,
    Heartbeat,
    Notice,
    Opened,
    Preflight,
    Preflighted,
    Progress,
    Quit,
    Ready,
    Refused,
    Resume,
    Start,
    read_command,
    to_line,
)
from canary_tui.engine.target import ProbeRequest, Question
from canary_tui.errors import CanaryError, ExitCode
from canary_tui.service.endings import closing_line, closing_of
from canary_tui.service.session import Session, open_again, open_new
from canary_tui.ssh.network import SshNetwork
from canary_tui.store.layout import RolloutDirectory, resume_command

_LINE = 1 << 26
"""Bytes of the longest command: the plan of ten thousand targets is about 4 MB."""
_PROGRESS_EVERY = 0.1
_HEARTBEAT_EVERY = 0.5
_BACKLOG = 1 << 20
"""Bytes that may wait for a front that does not read; what is worth nothing tomorrow is dropped beyond it."""


def serve(fd: int, state_dir: Path) -> ExitCode:
    """Serve one front over the socket `fd`, until it quits and the work is done."""
    return asyncio.run(_serve(fd, state_dir))


async def _serve(fd: int, state_dir: Path) -> ExitCode:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=fd), limit=_LINE)
    engine = Engine(state_dir, writer)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, engine.terminate)
    return await engine.serve(reader)


class Engine:
    """What one front can ask for. Holds at most one rollout."""

    def __init__(self, state_dir: Path, writer: asyncio.StreamWriter) -> None:
        self._state_dir, self._writer = state_dir, writer
        self._session: Session | None = None
        self._rollout: Rollout | None = None
        self._work: asyncio.Task[None] | None = None
        self._preflight: asyncio.Task[None] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._front_lost = False
        self._asker = _Asker(self._tell)
        self._progress: dict[str, Progress] = {}
        self._size = 0
        self._sizes: dict[str, int] = {}
        self._code = ExitCode.SUCCEEDED

    async def serve(self, reader: asyncio.StreamReader) -> ExitCode:
        """Read commands until the front is gone, then see the work to its end."""
        self._reader = reader
        self._tell(Ready(os.getpid(), __version__))
        beating = asyncio.create_task(self._beat())
        try:
            with contextlib.suppress(ConnectionError):
                while line := await reader.readline():
                    command = read_command(line)
                    if isinstance(command, Quit):
                        break
                    await self._obey(command)
        finally:
            await self._leave()
            beating.cancel()
            self._writer.close()
        return self._code

    def terminate(self) -> None:
        """TERM or HUP: write it down and end; what runs on the targets goes on there."""
        if self._rollout is not None and self._work is not None and not self._work.done():
            self._rollout.submit(e.EngineStopped("terminated"))
            assert self._reader is not None
            self._reader.feed_eof()  # what the front says from now on is for another engine
        else:
            os._exit(128 + signal.SIGTERM)

    async def _leave(self) -> None:
        self._front_lost = True
        self._asker.give_up()
        if self._preflight is not None:
            self._preflight.cancel()
        if self._work is not None:
            if self._rollout is not None:
                self._rollout.submit(e.FrontLost())
            await asyncio.wait({self._work})

    async def _obey(self, command: Command) -> None:
        match command:
            case Preflight(plan):
                await self._stop_preflight()
                self._preflight = asyncio.create_task(self._look_at(plan))
            case Start() | Resume():
                await self._stop_preflight()
                await self._open(command)
            case Answered(question, answer):
                self._asker.answered(question, answer)
            case Decide(_, decision):
                if self._rollout is None:
                    self.refused(decision, "no rollout is under way")
                else:
                    self._rollout.submit(command)
            case Quit():
                pass
            case _:
                assert_never(command)

    async def _stop_preflight(self) -> None:
        if self._preflight is not None:
            self._preflight.cancel()
            await asyncio.wait({self._preflight})
            self._preflight = None

    async def _look_at(self, plan: Plan) -> None:
        """Connect to every target of a plan, look, change nothing."""
        try:
            network = SshNetwork(self._asker)
            try:
                await self._look_at_all(plan, network)
            finally:
                await network.close()
        except CanaryError as error:
            self._tell(Refused(Preflight.__name__, str(error)))
        except Exception as error:
            # A front that is not told would wait for the rest of the targets for ever.
            self._tell(Refused(Preflight.__name__, f"a bug ended it: {error!r}"))
            raise

    async def _look_at_all(self, plan: Plan, network: SshNetwork) -> None:
        places = asyncio.Semaphore(64)

        async def look(name: str) -> None:
            async with places:
                remote = network.remote(plan.targets[name])
                tools = tools_of(plan, name)
                found = await remote.probe(ProbeRequest(plan.current, plan.targets[name].variables, tools=tools))
                remote.let_go()
            clock, free = found.clock_offset, found.free_bytes
            self._tell(Preflighted(name, found.outcome, found.release, clock, free, found.note))

        async with asyncio.TaskGroup() as tasks:
            for name in plan.targets:
                tasks.create_task(look(name))

    async def _open(self, command: Start | Resume) -> None:
        if self._work is not None and not self._work.done():
            self._tell(Refused(type(command).__name__, "a rollout is under way here"))
            return
        try:
            self._session = await asyncio.to_thread(self._session_for, command)
        except CanaryError as error:
            self._tell(Refused(type(command).__name__, str(error)))
            return
        self._tell(Opened(self._session.directory.id, str(self._session.directory.path)))
        self._work = asyncio.create_task(self._run(self._session))

    def _session_for(self, command: Start | Resume) -> Session:
        match command:
            case Start(plan, by, breaks):
                return open_new(self._state_dir, plan, by, attended=True, breaks=breaks)
            case Resume(directory, by, breaks):
                rollout = RolloutDirectory(Path(directory))
                return open_again(self._state_dir, rollout, by, attended=True, breaks=breaks)

    async def _run(self, session: Session) -> None:
        self._progress.clear()
        self._sizes.clear()
        try:
            state = await session.run(self, self._asker, self._began)
            self._code = closing_of(state).exit_code
            self._tell(Ended(self._code, closing_line(state)))
        except CanaryError as error:
            self._failed(session, error.exit_code, f"the engine had to end: {error}")
        except Exception as error:
            # A front that is not told would look at a rollout that stands still for ever.
            self._failed(session, ExitCode.FAILED, f"a bug ended the engine: {error!r}")
            raise
        finally:
            self._rollout = None
            session.release()

    def _failed(self, session: Session, code: ExitCode, why: str) -> None:
        self._code = code
        self._tell(Ended(code, f"{why}; resume it with: {resume_command(session.directory.id)}"))

    def _began(self, rollout: Rollout) -> None:
        self._rollout = rollout
        if self._front_lost:
            rollout.submit(e.FrontLost())

    # What the loop tells

    def recorded(self, record: Record) -> None:
        """The front reads the journal."""

    def progress(self, target: str, size: int, total: int) -> None:
        """Kept, and told ten times a second."""
        if not self._progress:
            asyncio.get_running_loop().call_later(_PROGRESS_EVERY, self._tell_progress)
        self._progress[target] = Progress(target, size, total)
        if not total:
            before = self._sizes.get(target, 0)
            self._size += size - before if size >= before else size
            self._sizes[target] = size

    def refused(self, decision: Decision, reason: str) -> None:
        """A stale or impossible decision."""
        self._tell(Refused(type(decision).__name__, reason))

    def _tell_progress(self) -> None:
        waiting, self._progress = self._progress, {}
        if self._backlog <= _BACKLOG:
            for notice in waiting.values():
                self._tell(notice)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_EVERY)
            if self._backlog <= _BACKLOG:
                self._tell(Heartbeat(self._session.lines if self._session else 0, self._size, _memory()))

    @property
    def _backlog(self) -> int:
        return self._writer.transport.get_write_buffer_size()

    def _tell(self, notice: Notice) -> None:
        if not self._writer.is_closing():
            self._writer.write(to_line(notice))


class _Asker:
    """Puts questions to the front, one at a time; None as an answer when nobody is there any more."""

    def __init__(self, tell: Callable[[Notice], None]) -> None:
        self._tell = tell
        self._turn = asyncio.Lock()
        self._count = 0
        self._open: tuple[int, asyncio.Future[str | None]] | None = None
        self._gone = False

    async def ask(self, question: Question) -> str | None:
        async with self._turn:
            if self._gone:
                return None
            self._count += 1
            answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
            self._open = (self._count, answer)
            self._tell(Asked(self._count, question))
            try:
                return await answer
            finally:
                self._open = None

    def answered(self, question: int, answer: str | None) -> None:
        """The front's answer; one that comes too late is dropped."""
        if self._open is not None and self._open[0] == question and not self._open[1].done():
            self._open[1].set_result(answer)

    def give_up(self) -> None:
        """Nobody answers any more."""
        self._gone = True
        if self._open is not None and not self._open[1].done():
            self._open[1].set_result(None)


def _memory() -> int:
    """Resident memory of this process in bytes."""
    try:
        with Path("/proc/self/statm").open() as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
