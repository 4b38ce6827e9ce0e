"""The engine as a process of its own, behind a front: commands come in and notices go out over one socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from functools import partial
from pathlib import Path
from typing import assert_never

from canary_tui import __version__
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.engine.loop import Rollout
from canary_tui.engine.messages import (
    Answered,
    Busy,
    Command,
    Decide,
    Ended,
    GiveUp,
    Opened,
    Preflight,
    Preflighted,
    Quit,
    Ready,
    Refused,
    Resume,
    Start,
    WithdrawResume,
    read_command,
)
from canary_tui.engine.target import ProbeReport
from canary_tui.errors import CanaryError, ExitCode, machine_trouble
from canary_tui.service.endings import closing_line, closing_of
from canary_tui.service.front import Front
from canary_tui.service.preflight import look_at_all
from canary_tui.service.session import Connect, Session, open_again, open_new
from canary_tui.service.spool import want_hand_over
from canary_tui.ssh.connection.keyring import Answers
from canary_tui.ssh.network import SshNetwork
from canary_tui.store.layout import RolloutDirectory, resume_command
from canary_tui.store.lock import Locked
from canary_tui.store.spool import forget, waits
from canary_tui.text.secrets import Redactor

_TRY_EVERY = 0.2
"""Seconds between two looks whether another engine has ended."""
_LINE = 1 << 26
"""Bytes of the longest command: the plan of ten thousand targets is about 4 MB."""


def serve(fd: int, state_dir: Path, connect: Connect | None = None) -> ExitCode:
    """Serve one front over the socket `fd`, until it quits and the work is done; `connect` makes the network."""
    # What the look at the plan was told is not asked for again at the start.
    return asyncio.run(_serve(fd, state_dir, connect or partial(SshNetwork, answers=Answers())))


async def _serve(fd: int, state_dir: Path, connect: Connect) -> ExitCode:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=fd), limit=_LINE)
    server = Server(state_dir, reader, Front(writer), connect)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, server.terminate)
    return await server.serve()


class Server:
    """Carries out the commands of one front. Holds at most one rollout."""

    def __init__(self, state_dir: Path, reader: asyncio.StreamReader, front: Front, connect: Connect) -> None:
        self._state_dir, self._reader, self._front, self._connect = state_dir, reader, front, connect
        self._session: Session | None = None
        self._rollout: Rollout | None = None
        self._work: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None
        """Waits for the end of another engine, until nobody wants that any more."""
        self._gave_up = asyncio.Event()
        self._preflight = _Preflight(front, connect)
        self._front_lost = False
        self._code = ExitCode.SUCCEEDED

    async def serve(self) -> ExitCode:
        """Read commands until the front is gone, then see the work to its end."""
        self._front.tell(Ready(os.getpid(), __version__))
        beating = asyncio.create_task(self._front.beat(self._lines))
        try:
            with contextlib.suppress(ConnectionError):
                while line := await self._reader.readline():
                    command = read_command(line)
                    if isinstance(command, Quit):
                        break
                    await self._obey(command)
        finally:
            await self._leave()
            beating.cancel()
            self._front.close()
        return self._code

    def terminate(self) -> None:
        """TERM or HUP: write it down and end; what runs on the targets goes on there."""
        if self._rollout is not None and self._work is not None and not self._work.done():
            self._rollout.submit(e.EngineStopped("terminated"))
            self._reader.feed_eof()  # what the front says from now on is for another engine
        else:
            os._exit(128 + signal.SIGTERM)

    async def _leave(self) -> None:
        await self._give_up()
        self._front_lost = True
        self._front.asker.give_up()
        self._preflight.cancel()
        if self._work is not None:
            if self._rollout is not None:
                self._rollout.submit(e.FrontLost())
            await asyncio.wait({self._work})

    async def _obey(self, command: Command) -> None:
        match command:
            case Preflight(plan):
                await self._preflight.start(plan)
            case Start() | Resume():
                await self._preflight.stop()
                await self._open(command)
            case Answered(question, answer):
                self._front.asker.answered(question, answer)
            case Decide(_, decision):
                if self._rollout is None:
                    self._front.refused(decision, "no rollout is under way")
                else:
                    self._rollout.submit(command)
            case GiveUp():
                if self._rollout is not None:
                    self._rollout.submit(command)
            case WithdrawResume():
                await self._give_up()
            case Quit():
                pass
            case _:
                assert_never(command)

    async def _open(self, command: Start | Resume) -> None:
        await self._give_up()
        if self._work is not None and not self._work.done():
            self._front.tell(Refused(type(command).__name__, "a rollout is under way here"))
            return
        try:
            self._begin(await asyncio.to_thread(self._session_for, command))
        except Locked as error:
            if isinstance(command, Resume) and error.path == RolloutDirectory(Path(command.directory)).lock:
                self._gave_up = asyncio.Event()
                self._waiting = asyncio.create_task(self._take_over(command, error))
            else:
                self._front.tell(Refused(type(command).__name__, str(error)))
        except CanaryError as error:
            self._front.tell(Refused(type(command).__name__, str(error)))

    async def _take_over(self, command: Resume, locked: Locked) -> None:
        """Wait until the engine at work has ended; one whose own screen is gone is asked to end for this one."""
        directory, engine, token = RolloutDirectory(Path(command.directory)), locked.holder, ""
        self._front.tell(Busy(directory.id, engine.who if engine else "another process"))
        try:
            while not self._gave_up.is_set():
                if not waits(directory.spool, token):
                    token = await asyncio.to_thread(want_hand_over, directory)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._gave_up.wait(), _TRY_EVERY)
                    return
                try:  # never cancelled: what has been opened must be worked on
                    self._begin(await asyncio.to_thread(self._session_for, command))
                except Locked as error:  # also on the fleet, for a moment, by the same engine
                    same = error.holder is None or engine is None or error.holder.pid == engine.pid
                    if error.path != directory.lock and not same:
                        raise
                    engine = error.holder or engine
                else:
                    return
        except CanaryError as error:
            self._front.tell(Refused(Resume.__name__, str(error)))
        finally:
            forget(directory.spool, token)

    async def _give_up(self) -> None:
        if self._waiting is not None:
            self._gave_up.set()
            await asyncio.wait({self._waiting})
            self._waiting = None

    def _begin(self, session: Session) -> None:
        self._session = session
        self._front.tell(Opened(self._session.directory.id, str(self._session.directory.path)))
        self._work = asyncio.create_task(self._run(session))

    def _session_for(self, command: Start | Resume) -> Session:
        match command:
            case Start(plan, by, breaks):
                return open_new(self._state_dir, plan, by, attended=True, breaks=breaks)
            case Resume(directory, by, breaks):
                rollout = RolloutDirectory(Path(directory))
                return open_again(self._state_dir, rollout, by, attended=True, breaks=breaks)

    async def _run(self, session: Session) -> None:
        self._front.begin()
        try:
            state = await session.run([self._front], self._front.asker, self._began, self._connect)
            self._code = closing_of(state).exit_code
            self._front.tell(Ended(self._code, closing_line(state)))
        except CanaryError as error:
            self._failed(session, error.exit_code, f"the engine had to end: {error}")
        except Exception as error:
            # A front that is not told would look at a rollout that stands still for ever.
            if trouble := machine_trouble(error):
                self._failed(session, ExitCode.INTERRUPTED, f"the engine had to end: {trouble}")
                return
            self._failed(session, ExitCode.FAILED, f"a bug ended the engine: {error!r}")
            raise
        finally:
            self._rollout = None
            session.release()

    def _failed(self, session: Session, code: ExitCode, why: str) -> None:
        self._code = code
        self._front.tell(Ended(code, f"{why}; resume it with: {resume_command(session.directory.id)}"))

    def _lines(self) -> int:
        return self._session.lines if self._session else 0

    def _began(self, rollout: Rollout) -> None:
        self._rollout = rollout
        if self._front_lost:
            rollout.submit(e.FrontLost())


class _Preflight:
    """Looks at the targets of the plan that the front shows now, and reports each to it."""

    def __init__(self, front: Front, connect: Connect) -> None:
        self._front, self._connect = front, connect
        self._task: asyncio.Task[None] | None = None

    async def start(self, plan: Plan) -> None:
        """Look at these targets, and no longer at those of the plan before."""
        await self.stop()
        self._task = asyncio.create_task(self._look(plan))

    async def stop(self) -> None:
        """End the look, and wait until its connections are closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None

    def cancel(self) -> None:
        """End the look some time soon."""
        if self._task is not None:
            self._task.cancel()

    async def _look(self, plan: Plan) -> None:
        try:
            await look_at_all(plan, self._connect(self._front.asker, Redactor()), self._found)
        except CanaryError as error:
            self._front.tell(Refused(Preflight.__name__, str(error)))
        except Exception as error:
            # A front that is not told would wait for the rest of the targets for ever.
            self._front.tell(Refused(Preflight.__name__, f"a bug ended it: {error!r}"))
            raise

    def _found(self, name: str, report: ProbeReport) -> None:
        clock, free = report.clock_offset, report.free_bytes
        self._front.tell(Preflighted(name, report.outcome, report.release, clock, free, report.note))
