"""A front that does not read for minutes, as while its terminal is lent to a shell, costs the engine nothing."""

from __future__ import annotations

import asyncio
import socket

from canary_tui.engine.messages import Ended, Heartbeat, Notice, Progress, read_notice
from canary_tui.service.front import MOST_WAITING, PROGRESS_EVERY, Front

MANY = 5_000


async def test_what_waits_for_a_front_that_does_not_read_is_bounded_and_what_matters_still_comes() -> None:
    """Progress and heartbeats are dropped, nobody waits, and once it reads again it hears of now."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    _, writer = await asyncio.open_connection(sock=theirs)
    front = Front(writer)
    beating = asyncio.create_task(front.beat(lambda: 0))
    one_round = 0
    for round_ in range(12):
        for number in range(MANY):
            front.progress(f"web-{number}", round_, 0)
        await asyncio.sleep(1.2 * PROGRESS_EVERY)
        one_round = one_round or front.backlog
    waits = front.backlog
    assert MOST_WAITING < waits < MOST_WAITING + 2 * one_round, "twelve rounds came, a few of them wait"
    front.tell(Ended(0, "the last word"))
    reader, other = await asyncio.open_connection(sock=ours)
    notices: list[Notice] = []
    async with asyncio.timeout(20):
        while not notices or not isinstance(notices[-1], Ended):
            notices.append(read_notice(await reader.readline()))
        while not isinstance(notices[-1], Heartbeat):
            notices.append(read_notice(await reader.readline()))
    assert sum(isinstance(one, Progress) for one in notices) < 12 * MANY
    beating.cancel()
    other.close()
    writer.close()
