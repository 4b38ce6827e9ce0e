"""Where servers share this machine with the screens, little is begun at once, and no turn is ever lost."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from canary_tui.ssh.connection import pace
from canary_tui.ssh.connection.hostkeys import HostKeyRules, HostNames
from canary_tui.ssh.connection.login import Shared
from canary_tui.ssh.connection.pace import Pace
from canary_tui.ssh.connection.resolve import Endpoint
from canary_tui.text.secrets import Redactor

HERE = Endpoint("web-1", "127.0.20.1", 22, "ann", HostNames("web-1", "127.0.20.1"), HostKeyRules())
THERE = replace(HERE, host="192.0.2.1")


class Nobody:
    async def ask(self, question):
        raise AssertionError(question)


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


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", True), ("127.9.8.7", True), ("::1", True), ("localhost", True), ("web-1", False),
                       ("192.0.2.1", False), ("2001:db8::1", False)],
)  # fmt: skip
def test_only_loopback_is_this_machine(host, here):
    assert replace(HERE, host=host).here is here


def test_behind_a_jump_host_or_a_proxy_loopback_is_another_machine():
    assert not replace(HERE, via=THERE).here
    assert not replace(HERE, proxy_command=("nc", "192.0.2.1", "22")).here


async def test_only_at_the_screens_and_only_here_is_anybody_held_back():
    attended, unattended = Shared(Nobody(), Redactor()), Shared(None, Redactor())
    assert await crowd(lambda: attended.turn(HERE), 20) == pace.AT_ONCE
    assert await crowd(lambda: attended.turn(THERE), 20) == 20
    assert await crowd(lambda: unattended.turn(HERE), 20) == 20


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
