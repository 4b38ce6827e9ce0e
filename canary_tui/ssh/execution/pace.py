"""Keeps little under way in both directions, so that no answer stands long behind what was sent before it.

On a slow line whatever is sent at once waits in queues that nobody sees: in the sockets, in the modem. A keepalive's
answer, or the answer to a stop, waits behind it, and a peer that only has much to carry looks like a dead one. So there
is never more under way than the line was seen to carry in `HORIZON` seconds:

- To a target: a question that every server answers at once follows each half of that; its answer says how long those
  bytes took. Where several share a line each finds its share.
- From a target: the window of the channel, which grows at most twofold with each window that has arrived.

On a fast line both soon are as large as without this: what may be under way is then the channel's own window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncssh

from canary_tui.ssh.connection import private_parts

HORIZON = 1.5
"""Seconds of the line's work that may be under way; longer than any round trip, satellites included."""
SLOWEST = 512
"""Bytes a second that a target takes at least of what it must have read before it can answer."""
LEAST = 4096
"""Bytes that may always be under way to a target, however slow the line is: also while nothing is known of it, because
others may begin to send at the same moment, and all their bytes stand in one queue.
"""
FIRST = 16 * 1024
"""Bytes of a step that are sent with it at once, and that may always be under way from a target."""
MOST = 4 << 20
"""Bytes that are under way to a target at most; OpenSSH takes 2 MiB for a channel that is not read."""
MOST_FROM = 2 << 20
"""Bytes that a target may have under way on a channel; asyncssh's own window."""


class Outgoing:
    """Bytes on their way to a target. `changed` is called when more may be sent."""

    def __init__(self, connection: asyncssh.SSHClientConnection, changed: Callable[[], None]) -> None:
        self._connection = connection
        self._changed = changed
        self._window = LEAST
        self._sent = self._asked = self._arrived = 0
        self._questions: set[asyncio.Task[None]] = set()
        self._time = asyncio.get_running_loop().time

    @property
    def room(self) -> int:
        """Bytes that may be sent now: a quarter of what may be under way, so that the line never stands still, or 0.

        At first all of it, with one question: on a fast line its answer is all that is needed.
        """
        part = self._window // 4 if self._sent else self._window
        return part if self._sent - self._arrived + part <= self._window else 0

    async def sent(self, size: int) -> None:
        """So many bytes were written."""
        self._sent += size
        if self._sent - self._asked >= self._window // 2 or not self.room:
            self._asked = self._sent
            question = asyncio.create_task(self._follow(self._sent, self._arrived))
            self._questions.add(question)
            question.add_done_callback(self._questions.discard)
            await asyncio.sleep(0)  # it goes out before what follows

    async def _follow(self, sent: int, arrived: int) -> None:
        """Wait until all that was `sent` so far has arrived; `arrived` had before."""
        began = self._time()
        await private_parts.round_trip(self._connection)
        self._arrived = max(self._arrived, sent)
        carried = (sent - arrived) / max(self._time() - began, 1e-6)
        self._window = int(min(MOST, max(LEAST, carried * HORIZON)))
        self._changed()


class Incoming:
    """Bytes on their way from a target: the window of one channel."""

    def __init__(self, channel: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = channel
        self._window = channel.get_recv_window()
        self._came = 0
        self._time = asyncio.get_running_loop().time
        self._since = self._time()

    def came(self, size: int) -> None:
        """So many bytes have arrived."""
        self._came += size
        if self._came < self._window:
            return
        now = self._time()
        carried = self._came / max(now - self._since, 1e-6)
        window = int(min(MOST_FROM, 2 * self._window, max(FIRST, carried * HORIZON)))
        self._came, self._since = 0, now
        if window != self._window:
            self._window = window
            private_parts.allow_under_way(self._channel, window)
