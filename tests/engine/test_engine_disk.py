"""What an engine does when its own disk gives up: it says so in words, starts nothing new, and loses nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from farm import Farm, available
from in_process import ANN, Listener, go_on, no_file_longer_than, opened, plan_for, small_disk, yes

from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Record
from canary_tui.engine.loop import NoRoomError, Rollout
from canary_tui.errors import CanaryError, ExitCode, UsageError
from canary_tui.service.session import open_again
from canary_tui.store.journal import JournalDead, read_journal
from canary_tui.store.layout import state_directory
from canary_tui.store.lock import fleet_folder, holder
from canary_tui.store.logs.writer import LogError, LogSet

pytestmark = pytest.mark.skipif(bool(available()), reason=available())

BODY = """
[release]
current = "cat REVISION 2>/dev/null || echo none"
[[steps]]
name = "deploy"
run = "echo $RELEASE >> deployed"
"""


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    with Farm(tmp_path / "farm", 3, net=61) as running:
        yield running


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def touched(farm: Farm) -> set[str]:
    return {target.name for target in farm.targets if target.read("deployed")}


async def test_a_journal_that_cannot_be_written_ends_the_engine_in_words(farm: Farm, tmp_path: Path) -> None:
    session, listener = opened(tmp_path / "state", plan_for(farm, BODY)), Listener()
    with (
        no_file_longer_than(session.directory.journal.stat().st_size + 10),
        pytest.raises(JournalDead, match="nothing more is started"),
    ):
        await session.run([listener], None, listener.begin)
    session.release()


@pytest.mark.found("fault 5")
async def test_logs_that_cannot_be_opened_end_the_engine_in_words(farm: Farm, tmp_path: Path) -> None:
    session, listener = opened(tmp_path / "state", plan_for(farm, BODY)), Listener()
    (session.directory.logs / "order").mkdir()
    with pytest.raises(LogError, match=r"logs/order: Is a directory") as caught:
        await session.run([listener], None, listener.begin)
    assert caught.value.exit_code == ExitCode.INTERRUPTED
    session.release()
    assert holder(session.directory.lock) is None
    assert not touched(farm)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
async def test_output_that_cannot_be_written_ends_the_engine_in_words(farm: Farm, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "12m") as disk:
        session = opened(disk / "state", plan_for(farm, BODY))

        def fill_most(record: Record, _rollout: Rollout) -> None:
            if isinstance(record.event, e.WaveStarted):
                (disk / "filler").write_bytes(bytes(8 << 20))

        listener = Listener(fill_most)
        with pytest.raises(LogError):
            await session.run([listener], None, listener.begin)
        session.release()
        recorded = [record.event for record in read_journal(session.directory.journal)]
    assert not any(isinstance(event, e.StepFinished) for event in recorded), "its output is not on disk"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
async def test_a_full_disk_starts_nothing_new(farm: Farm, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "12m") as disk:
        session = opened(disk / "state", plan_for(farm, BODY))

        def fill_and_approve(record: Record, rollout: Rollout) -> None:
            if isinstance(record.event, e.GateOpened):
                fill(disk / "filler")
                yes(record, rollout, note="looks good " * 1000)  # more than its last page has room for

        listener = Listener(fill_and_approve)
        with pytest.raises(NoRoomError, match=r"No space left.*nothing new is started"):
            await session.run([listener], None, listener.begin)
        session.release()
        recorded = [record.event for record in read_journal(session.directory.journal)]
    started = {event.target for event in recorded if isinstance(event, e.StepStarted)}
    assert started == {"web-1"}
    assert touched(farm) == {"web-1"}


async def test_a_step_has_its_output_on_disk_before_the_journal_says_that_it_ended(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(tmp_path / "state", plan_for(farm, BODY))
    ends_before_sync: list[int] = []
    sync = LogSet.sync

    def ends_on_disk() -> int:
        return sum(isinstance(record.event, e.StepFinished) for record in read_journal(session.directory.journal))

    async def watched_sync(logs: LogSet) -> None:
        await session._journal.commit()
        ends_before_sync.append(ends_on_disk())
        await sync(logs)

    monkeypatch.setattr(LogSet, "sync", watched_sync)
    listener = Listener(go_on)
    await session.run([listener], None, listener.begin)
    assert ends_before_sync[0] == 0
    assert max(ends_before_sync) < ends_on_disk() == 3


async def test_a_rollout_that_ended_has_ended_even_where_its_summary_cannot_be_written(
    farm: Farm, tmp_path: Path
) -> None:
    session = opened(tmp_path / "state", plan_for(farm, BODY))
    session.directory.summary.mkdir()
    listener = Listener(go_on)
    state = await session.run([listener], None, listener.begin)
    assert state.verdict == "succeeded"
    assert holder(session.directory.lock) is None


async def test_a_lock_is_anothers_where_the_rollouts_here_cannot_be_listed(farm: Farm, tmp_path: Path) -> None:
    """It may be that of one that has ended here; who cannot know does not take it, and the engine goes on."""
    lock = farm.targets[1].home / ".local/state/canary-tui/lock"
    lock.parent.mkdir(parents=True, mode=0o700)
    lock.write_text("2026-01-01T000000Z-shop-00000000 bob@laptop 1000\n")
    session = opened(tmp_path / "state", plan_for(farm, BODY + '[limits]\non-failure = "abort"\n'))
    here = session.directory.path.parent

    def lose(record: Record, _rollout: Rollout) -> None:
        if isinstance(record.event, e.ProbeStarted) and here.is_dir():
            here.rename(tmp_path / "elsewhere")
            here.write_text("")

    listener = Listener(lose)
    state = await session.run([listener], None, listener.begin)
    assert state.exit_code == ExitCode.LOCKED
    assert not touched(farm)


def test_a_state_directory_that_cannot_be_used_is_refused_in_words(farm: Farm, tmp_path: Path) -> None:
    plan = plan_for(farm, BODY)
    (fleet_folder(state_directory(str(tmp_path / "state"), {}), plan.fleet) / "lock").mkdir()
    with pytest.raises(CanaryError, match=r"lock: Is a directory"):
        opened(tmp_path / "state", plan)


async def test_a_journal_that_tells_what_cannot_happen_is_refused_in_words(farm: Farm, tmp_path: Path) -> None:
    session = opened(tmp_path / "state", plan_for(farm, BODY))
    session._journal.append_now(e.GateApproved(0, session.plan.hash, "0" * 64, ANN), 1e10)
    session._journal.close()
    session.release()
    with pytest.raises(UsageError, match=r"journal.*that gate is not the open one"):
        open_again(tmp_path / "state", session.directory, ANN, attended=True)
    assert holder(session.directory.lock) is None
