"""Where servers share this machine with the screens, little is begun at once, and no turn is ever lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from direct_line import Bytes, Seen

from canary_tui.cli.main import run
from canary_tui.demo import pace
from canary_tui.demo.launch import Demo
from canary_tui.demo.pace import Pace, PacedNetwork, paced_network
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.engine.target import (
    AttachRequest,
    CancelReport,
    CommandRequest,
    ExecuteReport,
    ExecuteRequest,
    ProbeReport,
    ProbeRequest,
    Sink,
    UnlockReport,
    UploadReport,
    UploadRequest,
    Watch,
)
from canary_tui.service import server


async def crowd(turn: Callable[[], Awaitable[Callable[[], None]]], count: int, seconds: float = 0.01) -> int:
    """The most that were at it at once, when so many want to begin."""
    at_it, most = 0, 0

    async def one() -> None:
        nonlocal at_it, most
        begun = await turn()
        at_it += 1
        most = max(most, at_it)
        await asyncio.sleep(seconds)
        at_it -= 1
        begun()
        begun()  # harmless

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(one())
    assert at_it == 0
    return most


@pytest.mark.parametrize("at_once", [1, 3])
async def test_never_more_are_begun_at_once(at_once: int) -> None:
    assert await crowd(Pace(at_once).turn, 20) == at_once


PROBED, ENDED = ProbeReport("ok", release="2.1"), ExecuteReport("ok", exit_code=0)


class Remote:
    """A target whose requests take a while; what runs says so after its first moment and goes on."""

    def __init__(self, crowded: Crowded) -> None:
        self._crowded = crowded

    async def probe(self, request: ProbeRequest) -> ProbeReport:
        async with self._crowded:
            await asyncio.sleep(0.01)
        return PROBED

    async def execute(self, request: ExecuteRequest, sink: Sink, watch: Watch) -> ExecuteReport:
        async with self._crowded:
            await asyncio.sleep(0.01)
        sink.write(b"first ", "out")
        await asyncio.sleep(0.2)
        sink.write(b"and last", "err")
        return ENDED

    async def attach(self, request: AttachRequest, sink: Sink, watch: Watch) -> ExecuteReport:
        raise NotImplementedError

    async def cancel(self, execution: str, grace: float, boot: str) -> CancelReport:
        raise NotImplementedError

    async def command(self, request: CommandRequest, sink: Sink) -> ExecuteReport:
        raise NotImplementedError

    async def upload(self, request: UploadRequest, watch: Watch) -> UploadReport:
        raise NotImplementedError

    def upload_end(self) -> CancelReport:
        raise NotImplementedError

    async def unlock(self, rollout: str) -> UnlockReport:
        raise NotImplementedError

    def let_go(self) -> None:
        self._crowded.let_go += 1


class Crowded:
    """Implements `Network`, and counts how many are at it at once."""

    def __init__(self) -> None:
        self.at_it = self.most = self.let_go = 0

    async def __aenter__(self) -> None:
        self.at_it += 1
        self.most = max(self.most, self.at_it)

    async def __aexit__(self, *_: object) -> None:
        self.at_it -= 1

    def remote(self, target: PlannedTarget) -> Remote:
        return Remote(self)

    async def close(self) -> None:
        self.let_go = -1


def target(number: int) -> PlannedTarget:
    return PlannedTarget(f"web-{number}", "127.0.0.1", Ssh())


async def test_requests_wait_for_their_turn_and_their_answers_pass() -> None:
    crowded = Crowded()
    network = PacedNetwork(crowded, Pace(2))
    remotes = [network.remote(target(number)) for number in range(20)]
    assert await asyncio.gather(*(remote.probe(ProbeRequest()) for remote in remotes)) == [PROBED] * 20
    assert crowded.most == 2
    remotes[0].let_go()
    assert crowded.let_go == 1
    await network.close()
    assert crowded.let_go == -1


async def test_a_step_that_has_printed_something_holds_nobody_up() -> None:
    crowded, printed = Crowded(), Bytes()
    network = PacedNetwork(crowded, Pace(1))
    remotes = [network.remote(target(number)) for number in range(10)]
    request = ExecuteRequest("0" * 32, b"true", {}, 60, 1 << 20, "")
    started = time.monotonic()
    assert await asyncio.gather(*(one.execute(request, printed, Seen()) for one in remotes)) == [ENDED] * 10
    assert time.monotonic() - started < 10 * 0.2, "they run at the same time"
    assert crowded.most == 1
    assert (bytes(printed.out), bytes(printed.err)) == (b"first " * 10, b"and last" * 10)


def test_only_the_demo_s_engine_is_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[tuple[object, ...]] = []
    monkeypatch.setattr(server, "serve", lambda *words: served.append(words[2:]))
    engine = vars(Demo)["engine"]
    assert isinstance(engine, property)
    assert engine.fget is not None
    assert engine.fget(None)[-3:] == ("canary_tui", "_serve", "--paced")
    run(["_serve", "--fd", "3"])
    run(["_serve", "--fd", "3", "--paced"])
    assert served == [(), (paced_network,)]


async def test_what_waits_for_the_other_end_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PATIENCE", 0.1)
    stuck = Pace(2)
    [await stuck.turn() for _ in range(2)]
    started = time.monotonic()
    for _ in range(6):
        await asyncio.wait_for(stuck.turn(), 5)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("seed", range(5))
async def test_turns_are_not_lost_when_those_who_wait_give_up(seed: int) -> None:
    left = Pace(3)
    held = [await left.turn() for _ in range(3)]
    waiting = [asyncio.create_task(left.turn()) for _ in range(10)]
    await asyncio.sleep(0)
    for number, task in enumerate(waiting):
        if (number + seed) % 2:
            task.cancel()
        elif held:
            held.pop()()
    for task in waiting:
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()()
    for begun in held:
        begun()
    assert await crowd(left.turn, 12) == 3
