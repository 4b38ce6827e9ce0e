"""Puts one rollout together: directory, locks, journal, logs, connections and loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from canary_tui import __version__
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import IllegalEvent, apply, replay
from canary_tui.domain.rollout.events import Event, Operator
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.words import ended_word
from canary_tui.engine.executor import Others
from canary_tui.engine.loop import Listener, Rollout
from canary_tui.engine.steps import read_artifacts
from canary_tui.engine.target import Asker, Network
from canary_tui.errors import CanaryError, ExitCode, UsageError, machine_trouble
from canary_tui.service.spool import SpoolListener
from canary_tui.ssh.network import SshNetwork
from canary_tui.startup import start_collector
from canary_tui.store.history import RolloutSummary, summarize, write_summary
from canary_tui.store.inventory import remember
from canary_tui.store.journal import JournalDead, JournalWriter, read_journal
from canary_tui.store.layout import RolloutDirectory, discarded_on_error, new_rollout, resume_command, rollouts
from canary_tui.store.lock import Lock, acquire, fleet_lock
from canary_tui.store.logs.target_log import TargetLog
from canary_tui.store.logs.writer import LogSet
from canary_tui.store.unended import refuse_what_is_in_the_way
from canary_tui.text.safe import one_line
from canary_tui.text.secrets import Redactor
from canary_tui.text.sink import SafeSink, Stream

Connect = Callable[[Asker | None, Redactor], Network]
"""Makes the network of one rollout, with somebody to ask or nobody."""


class Session:
    """One rollout in the hands of this process, from the locks that keep others out to the last record."""

    def __init__(self, state_dir: Path, directory: RolloutDirectory, journal: JournalWriter, locks: list[Lock]) -> None:
        self.directory = directory
        self._state_dir, self._journal, self._locks = state_dir, journal, locks
        self.state = replay(journal.past)
        self._logs: _Logs | None = None
        self.begun: list[e.Record] = []
        """The records that were written before the loop: a listener hears of them first."""

    @property
    def plan(self) -> Plan:
        """The frozen plan of the journal's first record."""
        assert self.state.plan is not None
        return self.state.plan

    @property
    def lines(self) -> int:
        """Whole lines of output in all logs, so far."""
        return self._logs.lines if self._logs else 0

    def record_all(self, events: Sequence[Event]) -> None:
        """Write events at once, before the loop is at work; where that fails, the journal is closed."""
        try:
            for event in events:
                record = self._journal.append_now(event, max(time.time(), self.state.at))
                apply(self.state, record)
                self.begun.append(record)
        except BaseException:
            self._journal.close()
            raise

    async def run(
        self,
        listeners: Sequence[Listener],
        asker: Asker | None,
        ready: Callable[[Rollout], None] = lambda _: None,
        connect: Connect = SshNetwork,
    ) -> RolloutState:
        """Go on until the rollout or this engine ends; `ready` is given the loop, to hand decisions to."""
        async with self._working(asker, connect) as (logs, network):
            self._logs = logs
            spool = SpoolListener(self.directory)
            heard = [*listeners, spool]
            rollout = Rollout(self.state, self._journal, logs, network, heard, _Neighbours(self._state_dir))
            ready(rollout)
            for record in self.begun:
                rollout.recorded(record)
            start_collector()
            serving = asyncio.create_task(spool.serve(rollout))
            try:
                await rollout.run()
            finally:
                serving.cancel()
                await asyncio.wait({serving})
        self._conclude()
        return self.state

    @asynccontextmanager
    async def _working(self, asker: Asker | None, connect: Connect) -> AsyncIterator[tuple[_Logs, Network]]:
        redactor = Redactor()
        network = connect(asker, redactor)
        try:
            with LogSet(self.directory.logs) as logs:
                try:
                    yield _Logs(logs, redactor), network
                finally:
                    await network.close()
        finally:
            self._journal.close()

    def _conclude(self) -> None:
        # Both only repeat what the journal says: a disk that is full by now changes nothing about how it ended.
        with contextlib.suppress(OSError, CanaryError):
            write_summary(self.directory, self.state)
            remember(self._state_dir, self.plan.fleet, self.state)
        self.release()

    def release(self) -> None:
        """Let others in."""
        for lock in self._locks:
            lock.release()


def open_new(state_dir: Path, plan: Plan, by: Operator, *, attended: bool, breaks: tuple[str, ...] = ()) -> Session:
    """Begin a rollout: everything that can be refused is refused before its journal exists.

    `breaks` are rollouts that may lose their targets' locks to it.

    Raises:
        Locked: somebody is at work on the fleet.
        InTheWay: an open rollout of this state directory holds some of its targets.
        UsageError: a file that an upload step sends cannot be read.
        CanaryError: the disk takes nothing.
    """
    with _locking(state_dir) as locks:
        locks.append(acquire(fleet_lock(state_dir, plan.fleet), str(by)))
        refuse_what_is_in_the_way(state_dir, plan, breaks)
        artifacts = list(read_artifacts(plan))
        directory = new_rollout(state_dir, plan.fleet, time.time())
        with discarded_on_error(directory):
            locks.append(acquire(directory.lock, str(by)))
            session = Session(state_dir, directory, JournalWriter.create(directory.journal), locks)
            session.record_all(
                [e.RolloutStarted(directory.id, plan, by, attended, __version__, breaks=breaks), *artifacts]
            )
        return session


def open_again(
    state_dir: Path, directory: RolloutDirectory, by: Operator, *, attended: bool, breaks: tuple[str, ...] = ()
) -> Session:
    """Take over a rollout that has not ended; `breaks` as for a new one. One that could not be is as open as before.

    Raises:
        Locked: an engine is still at work on it, or on its fleet.
        UsageError: it has ended, or its journal cannot be believed.
        CanaryError: the disk takes nothing.
    """
    with _locking(state_dir, directory.id) as locks:
        locks.append(acquire(directory.lock, str(by)))
        state = _told_by(directory)
        if state.plan is None:
            raise UsageError(f"{directory.id}: nothing was started; begin a new rollout")
        if state.verdict is not None:
            word = ended_word(state.verdict, state.exit_code)
            raise UsageError(f"{directory.id}: has ended ({word}: {state.reason}); begin a new rollout")
        locks.append(acquire(fleet_lock(state_dir, state.plan.fleet), str(by)))
        session = Session(state_dir, directory, JournalWriter.reopen(directory.journal), locks)
        session.record_all([e.EngineResumed(by, attended, breaks, __version__)])
        return session


def _told_by(directory: RolloutDirectory) -> RolloutState:
    try:
        return replay(read_journal(directory.journal))
    except IllegalEvent as error:
        raise UsageError(
            f"{directory.journal}: the journal is inconsistent, so this rollout cannot be resumed: {error}"
        ) from None


class NotOpened(CanaryError):
    """The disk refused to open a rollout: a new one has left no trace, one to be resumed is as it was."""

    def __init__(self, why: str, resumed: str) -> None:
        super().__init__(f"{why}; nothing was started" + (f"; try again: {resume_command(resumed)}" if resumed else ""))
        self.exit_code = ExitCode.INTERRUPTED if resumed else ExitCode.FAILED


@contextlib.contextmanager
def _locking(state_dir: Path, resumed: str = "") -> Iterator[list[Lock]]:
    """Locks that are released again when opening fails; a disk that takes nothing is told in words, not as a bug.

    `resumed` is the id of a rollout that is opened again.
    """
    locks: list[Lock] = []
    try:
        yield locks
    except BaseException as error:
        for lock in locks:
            lock.release()
        if isinstance(error, JournalDead):
            raise NotOpened(error.why, resumed) from None
        if isinstance(error, OSError) and (why := machine_trouble(error)):
            raise NotOpened(why if error.filename else f"{state_dir}: {why}", resumed) from None
        raise


class _Neighbours(Others):
    """The other rollouts of this state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    def has_ended(self, rollout: str) -> bool:
        """True for one that ended here: a lock in its name was not released."""
        return any(one.verdict is not None for one in self._summaries(rollout))

    def way_on(self, rollout: str) -> str:
        """The command that goes on with one that was begun here."""
        ours = any(one.verdict is None for one in self._summaries(rollout))
        return f"it is yours; resume it with: {resume_command(rollout)}" if ours else ""

    def _summaries(self, rollout: str) -> list[RolloutSummary]:
        try:
            known = [summarize(one) for one in rollouts(self._state_dir) if one.id == rollout]
        except OSError:
            return []
        return [one for one in known if one is not None]


class _Logs:
    """The targets' logs, with everything on its way to them redacted and made safe."""

    def __init__(self, logs: LogSet, redactor: Redactor) -> None:
        self._logs, self._redactor = logs, redactor

    def begin(self, target: str, step: str, execution: str, *, resume: bool) -> _Output:
        log = self._logs.target(target)
        log.begin(step, execution, resume=resume)
        return _Output(log, execution, self._redactor)

    async def heard(self, target: str, execution: str) -> bool:
        return await asyncio.to_thread(self._logs.target(target).heard, execution)

    async def sync(self) -> None:
        await self._logs.sync()

    @property
    def failure(self) -> str:
        return self._logs.failure

    @property
    def lines(self) -> int:
        return self._logs.lines


class _Output:
    def __init__(self, log: TargetLog, execution: str, redactor: Redactor) -> None:
        self._log, self._execution = log, execution
        self._redactor, self._sink = redactor, SafeSink(log, redactor)

    def write(self, data: bytes, stream: Stream = "out") -> None:
        self._sink.write(data, stream)

    def finish(self, words: str) -> None:
        self._sink.finish()
        self._log.end(self._execution, one_line(self._redactor.text(words)))
