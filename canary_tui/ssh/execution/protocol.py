"""Speaks with the runner over one channel: its answers wait to be read, other output goes to whoever wants it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

import asyncssh

from canary_tui.ssh.connection import private_parts
from canary_tui.ssh.connection.sudo import IN, Wrapped, last_words
from canary_tui.ssh.execution import pace
from canary_tui.ssh.execution.channels import let_go, open_channel
from canary_tui.ssh.execution.lines import Answer, LostError, MergedError, Splitter, SudoRefusedError
from canary_tui.text.safe import one_line

MOST_NOISE = 4096
"""Bytes that are kept of the words of a login shell or of sudo: evidence for an error, no more."""
MOST_ANSWERS = 64
"""Answers that wait to be read. The runner gives three or four in all."""
SILENCE = 20.0
"""Seconds without a byte, while a step is followed: the runner says something every four or five."""
MOVING = 4096
"""Bytes of a connection within `silence` that show a packet on its way; answers to keepalives are far fewer."""
OPENING = 30.0
"""Seconds for a channel to open."""
SUDO_WITHIN = 20.0
"""Seconds for sudo to take a password."""


class RunnerLink(Protocol):
    """The connection to one target, as far as the runner's protocol needs it."""

    async def connection(self) -> asyncssh.SSHClientConnection:
        """The open connection, made if there is none."""
        ...

    def drop(self, connection: asyncssh.SSHClientConnection) -> None:
        """Forget a connection that proved dead."""
        ...

    def apart(self) -> contextlib.AbstractAsyncContextManager[RunnerLink]:
        """Another way to the same target, with a connection of its own, which is closed at the end."""
        ...

    def wrap(self, words: str, nonce: str) -> Wrapped:
        """The line to execute for these shell words; it may be under sudo."""
        ...

    def sudo_refused(self, connection: asyncssh.SSHClientConnection) -> None:
        """Forget a connection, and what its sudo no longer takes."""
        ...


class Conversation(asyncssh.SSHClientSession[bytes]):
    """One channel: `payload` goes out, data goes to `receive`, answers wait to be read with `next`.

    `silence` is how many seconds without a byte prove that the other end is dead, from its first answer on. Until
    that one `opening` seconds are waited, from when it had read what was sent: the login's own shell comes first, and
    may be slow or noisy.
    `complain` gets what a plain command wrote to stderr: between the answer DATA and the next one; all else there is
    noise. Of stdout `receive` gets what comes after the line DATA, of a plain command up to the line DONE. Both are
    called in the loop; what they raise ends the conversation and is raised again by `next`.
    """

    def __init__(
        self,
        nonce: str,
        payload: bytes,
        receive: Callable[[bytes], None],
        complain: Callable[[bytes], None] | None = None,
        *,
        silence: float = math.inf,
        opening: float = math.inf,
    ) -> None:
        self.sent = False
        """The payload may have left: from now on the runner may have acted on it."""
        self.exit_status: int | None = None
        self.closed = False
        self.connection_died = False
        self.all_came = False
        """The last of a plain command's stdout is here."""
        self._nonce = nonce
        self._wrapped = Wrapped("")
        self._is_in = False
        """sudo has let the command in."""
        self._payload = payload
        self._receive = receive
        self._complain = complain
        self._take_other: Callable[[bytes], None] = self._note
        """Takes what stands on stderr beside our lines."""
        self._noise = bytearray()
        self._answers: deque[Answer] = deque()
        self.failure: Exception | None = None
        """The error that `receive` or `complain` raised, or the other end's breach of the protocol."""
        self._silence = silence
        self._opening = opening
        self._answered = False
        self._loop = asyncio.get_running_loop()
        self._heard = self._opened = self._loop.time()
        self._came = 0
        """The bytes of the connection when something was last heard."""
        self._changed = asyncio.Event()
        self._writable = True
        self._control = Splitter(nonce)
        self._data: Splitter | None = Splitter(nonce)
        """Finds our marks in stdout; None where no more of them come."""
        self._take_data: Callable[[bytes], None] = self._note
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._connection: asyncssh.SSHClientConnection | None = None
        self._in_use = False
        self._outgoing: pace.Outgoing | None = None
        self._incoming: pace.Incoming | None = None

    # --- what asyncssh tells ------------------------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        self._incoming = pace.Incoming(chan)
        # Runs right after the request was sent: its answer needs not be awaited, which saves a round trip.
        self._loop.call_soon(self._send_first)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if self._incoming is not None:
            self._incoming.came(len(data))
        try:
            if datatype is not None:
                self._take_control(data)
            elif self._data is None:
                self._take_data(data)
            else:
                self._take_marked(self._data, data)
        except Exception as error:  # noqa: BLE001 asyncssh would end the whole connection; `next` raises it again
            self.failure = self.failure or error
            self.close()
        self._hear()

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._let_go()
        self.connection_died = exc is not None
        if exc is None:
            self._take_held_back()
        self._changed.set()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._changed.set()

    # --- what others ask ----------------------------------------------------------------------------------------------

    async def open(self, link: RunnerLink, connection: asyncssh.SSHClientConnection, words: str) -> None:
        """Open the channel for these shell words. LostError where that fails; `sent` says how far it came."""
        self._wrapped = link.wrap(words, self._nonce)
        self._connection, self._outgoing = connection, pace.Outgoing(connection, self._hear_acknowledged)
        try:
            async with asyncio.timeout(OPENING):
                await open_channel(connection, self, self._wrapped.command)
            self._in_use = True
            if self.closed:
                self._let_go()
            self._hear_acknowledged()
            if self._wrapped.password:
                await self._admitted()
                self._send_payload()
            if rest := self._payload[pace.FIRST :]:
                await self.deliver(rest)
        except TimeoutError:
            self.close()
            raise LostError("no channel was opened", silent=True) from None
        except asyncssh.ChannelOpenError as error:
            raise LostError(f"no channel: {one_line(error.reason)}", full=not connection.is_closed()) from None
        except (asyncssh.Error, OSError) as error:
            raise LostError(one_line(str(error))) from None
        except BaseException:
            self.close()
            raise

    async def next(self, deadline: float = math.inf) -> Answer | None:
        """The next answer; None once the channel is closed and all were read.

        TimeoutError at `deadline` (loop time). LostError where nothing at all is heard any more.
        """
        while not self._answers:
            if self.failure is not None:
                raise self.failure
            if self.closed:
                self._check_admission()
                return None
            await self.changed(deadline)
        return self._answers.popleft()

    async def answered(self, limit: float) -> Answer | None:
        """The next answer to a question that takes less than `limit` seconds. LostError where it takes longer."""
        try:
            return await self.next(self._loop.time() + limit)
        except TimeoutError:
            raise LostError(f"no answer within {limit:.0f} s", silent=True) from None

    async def changed(self, deadline: float = math.inf) -> None:
        """Wait until anything arrives or the channel closes. Raises like `next`."""
        self._changed.clear()
        silent_at = self._heard + self._silence if self._answered else self._opened + self._opening
        at = min(deadline, silent_at)
        try:
            async with asyncio.timeout_at(at if at < math.inf else None):
                await self._changed.wait()
        except TimeoutError:
            if silent_at >= deadline:
                raise
            if not self._answered:
                raise LostError(f"no answer within {self._opening:.0f} s", silent=True) from None
            if not self._is_moving():
                raise LostError(f"nothing was heard for {self._silence:.0f} s", silent=True) from None
            self._hear()

    async def send(self, data: bytes, went: Callable[[int], None] = lambda _: None) -> None:
        """Send bytes as fast as the line carries them, until the channel is closed or an answer says enough.

        `went` is called with the size of each part.
        """
        at, outgoing = 0, self._outgoing
        while at < len(data) and outgoing is not None and not (self.closed or self.failure or self._answers):
            if room := outgoing.room if self._writable else 0:
                part = data[at : at + room]  # all of it is no copy
                self.write(part)
                at += len(part)
                went(len(part))
                await outgoing.sent(len(part))
            else:
                await self.changed()
        if self.failure is not None:
            raise self.failure

    async def deliver(self, data: bytes) -> None:
        """Send bytes that must have been read before there can be an answer; LostError where they are not."""
        try:
            async with asyncio.timeout(OPENING + len(data) / pace.SLOWEST):
                await self.send(data)
        except TimeoutError:
            raise LostError("it does not read what is sent to it", silent=True) from None

    def write(self, data: bytes) -> None:
        """Send bytes; silently nothing once the channel is closed, `next` tells."""
        if self._channel is not None and not self._channel.is_closing():
            with contextlib.suppress(OSError):
                self._channel.write(data)

    def end_input(self) -> None:
        """Say that nothing more is sent."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()

    def close(self) -> None:
        """Close the channel once what was written has been sent."""
        if self._channel is not None:
            self._channel.close()
        self._let_go()

    async def end(self) -> None:
        """Close the channel, and return when the server has, so that it opens another. LostError where it does not."""
        self.close()
        try:
            while not self.closed:
                await self.changed(self._loop.time() + OPENING)
        except TimeoutError:
            raise LostError("a channel was not closed", silent=True) from None

    @property
    def has_answer(self) -> bool:
        """An answer waits to be read."""
        return bool(self._answers)

    @property
    def noise(self) -> str:
        """The words of a login shell or of sudo, made safe for a line of text."""
        return one_line(bytes(self._noise).decode(errors="replace"))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _send_first(self) -> None:
        if self._wrapped.password:
            self.write(self._wrapped.password)
        else:
            self._send_payload()

    async def _admitted(self) -> None:
        """Return once sudo has taken the password. SudoRefusedError where it wants another: its input ends then."""
        deadline = self._loop.time() + SUDO_WITHIN
        try:
            while not (self._is_in or self.closed or self.failure):
                await self.changed(deadline)
                if self._noise.count(self._wrapped.prompt) > 1:
                    self.end_input()
        except TimeoutError:
            raise LostError(f"sudo did not answer within {SUDO_WITHIN:.0f} s", silent=True) from None
        self._check_admission()

    def _check_admission(self) -> None:
        """Raise where the channel is closed and the command did not say that sudo let it in: it was never run."""
        if self._wrapped.guarded and not self._is_in and not self.connection_died:
            self.sent = False
            noise = bytes(self._noise).decode(errors="replace")
            prompt = self._wrapped.prompt.decode()
            said = last_words(noise.replace(prompt, "\n") if prompt else noise)
            raise SudoRefusedError(f"sudo refused: {said or f'exit {self.exit_status}'}")

    def _send_payload(self) -> None:
        self.sent = True
        self.write(self._payload[: pace.FIRST])

    def _let_go(self) -> None:
        if self._in_use and self._connection is not None:
            self._in_use = False
            let_go(self._connection)

    def _hear(self) -> None:
        """Note a sign of life."""
        self._heard = self._loop.time()
        if self._connection is not None:
            self._came = private_parts.bytes_came(self._connection)
        self._changed.set()

    def _hear_acknowledged(self) -> None:
        """Note that the other end has read what was sent: its time for the first answer begins here."""
        self._hear()
        self._opened = self._heard

    def _is_moving(self) -> bool:
        """Tell whether a packet is on its way, however slowly."""
        return self._connection is not None and private_parts.bytes_came(self._connection) - self._came >= MOVING

    def _take_control(self, data: bytes) -> None:
        other, line = self._control.feed(data)
        while True:
            if other:
                self._take_other(other)
            if line is None:
                return
            self._take_answer(line)
            other, line = self._control.feed(b"")

    def _take_answer(self, line: bytes) -> None:
        if line.rstrip() == IN.encode() and self._wrapped.guarded and not self._is_in:
            self._is_in = True
            self._noise.clear()
            return
        self._answered = True
        word, _, text = line.decode(errors="replace").partition(" ")
        if word == "TICK":
            return
        if len(self._answers) >= MOST_ANSWERS:
            raise LostError("it answers more than it was asked")
        self._take_other = self._complain if self._complain is not None and word == "DATA" else self._note
        self._answers.append(Answer(word, text))

    def _take_marked(self, splitter: Splitter, data: bytes) -> None:
        """Take stdout: noise, our mark, the data, and behind that of a plain command another mark and noise."""
        other, line = splitter.feed(data)
        while True:
            if other:
                self._take_data(other)
            if line is None:
                return
            word = line.partition(b" ")[0]
            if word not in (b"DATA", b"DONE"):  # an answer, which has its place in the other stream
                raise MergedError
            self.all_came = self.all_came or word == b"DONE"
            self._take_data = self._note if self.all_came else self._receive
            if self._complain is None:
                self._data = None
                if rest := splitter.rest():
                    self._take_data(rest)
                return
            other, line = splitter.feed(b"")

    def _take_held_back(self) -> None:
        """Take what may have been the beginning of a mark, now that nothing follows."""
        try:
            if rest := self._control.rest():
                self._take_other(rest)
            if self._data is not None and (rest := self._data.rest()):
                self._take_data(rest)
        except Exception as error:  # noqa: BLE001 as in data_received
            self.failure = self.failure or error

    def _note(self, noise: bytes) -> None:
        self._noise += noise[: MOST_NOISE - len(self._noise)]
