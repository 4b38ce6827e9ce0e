"""Where servers share this machine with the screens, little is begun at once, and no turn is ever lost."""

from __future__ import annotations

import asyncio
import time

import pytest
from direct_line import Bytes

from canary_tui.cli.main import run
from canary_tui.demo import pace
from canary_tui.demo.launch import Demo
from canary_tui.demo.pace import Pace, PacedNetwork, paced_network
from canary_tui.service import server


async def crowd(turn, count, seconds=0.01):
    """The most that were at it at once, when so many want to begin."""
    at_it, most = 0, 0

    async def one():
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
async def test_never_more_are_begun_at_once(at_once):
    assert await crowd(Pace(at_once).turn, 20) == at_once


class Remote:
    """A target whose requests take a while; what runs says so after its first moment and goes on."""

    def __init__(self, crowded):
        self._crowded = crowded

    async def probe(self, request):
        async with self._crowded:
            await asyncio.sleep(0.01)
        return "probed"

    async def execute(self, request, sink, watch):
        async with self._crowded:
            await asyncio.sleep(0.01)
        sink.write(b"first ", "out")
        await asyncio.sleep(0.2)
        sink.write(b"and last", "err")
        return "ended"

    def let_go(self):
        self._crowded.let_go += 1


class Crowded:
    """Implements `Network`, and counts how many are at it at once."""

    def __init__(self):
        self.at_it = self.most = self.let_go = 0

    async def __aenter__(self):
        self.at_it += 1
        self.most = max(self.most, self.at_it)

    async def __aexit__(self, *_):
        self.at_it -= 1

    def remote(self, target):
        return Remote(self)

    async def close(self):
        self.let_go = -1


async def test_requests_wait_for_their_turn_and_their_answers_pass():
    crowded = Crowded()
    network = PacedNetwork(crowded, Pace(2))
    remotes = [network.remote(number) for number in range(20)]
    assert await asyncio.gather(*(remote.probe(None) for remote in remotes)) == ["probed"] * 20
    assert crowded.most == 2
    remotes[0].let_go()
    assert crowded.let_go == 1
    await network.close()
    assert crowded.let_go == -1


async def test_a_step_that_has_printed_something_holds_nobody_up():
    crowded, printed = Crowded(), Bytes()
    network = PacedNetwork(crowded, Pace(1))
    remotes = [network.remote(number) for number in range(10)]
    started = time.monotonic()
    assert await asyncio.gather(*(one.execute(None, printed, None) for one in remotes)) == ["ended"] * 10
    assert time.monotonic() - started < 10 * 0.2, "they run at the same time"
    assert crowded.most == 1
    assert (bytes(printed.out), bytes(printed.err)) == (b"first " * 10, b"and last" * 10)


def test_only_the_demo_s_engine_is_paced(monkeypatch):
    served = []
    monkeypatch.setattr(server, "serve", lambda *words: served.append(words[2:]))
    assert Demo.engine.fget(None)[-3:] == ("canary_tui", "_serve", "--paced")
    run(["_serve", "--fd", "3"])
    run(["_serve", "--fd", "3", "--paced"])
    assert served == [(), (paced_network,)]


async def test_what_waits_for_the_other_end_holds_up_nobody_for_long(monkeypatch):
    monkeypatch.setattr(pace, "PATIENCE", 0.1)
    stuck = Pace(2)
    [await stuck.turn() for _ in range(2)]
    started = time.monotonic()
    for _ in range(6):
        await asyncio.wait_for(stuck.turn(), 5)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("seed", range(5))
async def test_turns_are_not_lost_when_those_who_wait_give_up(seed):
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
