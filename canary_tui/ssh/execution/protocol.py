"""Speaks with the runner over one channel: its marked lines are told from other output, and data follows a mark."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import asyncssh

from canary_tui.text.safe import one_line

LONGEST_LINE = 4096
"""Bytes of one line of ours. A longer one was never written by the runner."""
MOST_NOISE = 4096
"""Bytes that are kept of the words of a login shell or of sudo: evidence for an error, no more."""
MOST_ANSWERS = 64
"""Answers that wait to be read. The runner gives three or four in all."""
SILENCE = 20.0
"""Seconds without a byte, while a step is followed: the runner says something every four or five."""
OPENING = 30.0
"""Seconds for a channel to open."""


class RunnerLink(Protocol):
    """The connection to one target, as far as the runner's protocol needs it."""

    async def connection(self) -> asyncssh.SSHClientConnection:
        """The open connection, made if there is none."""
        ...

    def drop(self, connection: asyncssh.SSHClientConnection) -> None:
        """Forget a connection that proved dead."""
        ...

    def wrap(self, words: str) -> tuple[str, bytes]:
        """The line to execute for these shell words (it may be under sudo), and bytes that must come first on stdin."""
        ...


class LostError(Exception):
    """A conversation ended before its last word. `silent`: nothing was heard, so the whole connection is in doubt."""

    def __init__(self, detail: str, *, silent: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.silent = silent


class MergedError(Exception):
    """The other end puts standard error into standard output, so that no answer can be told from a step's output."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One line of the runner: a word and the text behind it. Both are a stranger's until they were looked at."""

    word: str
    text: str

    @property
    def fields(self) -> dict[str, str]:
        """The `key=value` words of the text."""
        return {key: value for key, equals, value in (word.partition("=") for word in self.text.split(" ")) if equals}

    @property
    def first(self) -> str:
        """The text's first word."""
        return self.text.partition(" ")[0]


def new_nonce() -> str:
    """A word that marks our lines in one conversation."""
    return secrets.token_hex(12)


class Splitter:
    """Takes our lines out of a stream. Holds back at most one line, or what may be the beginning of one."""

    def __init__(self, nonce: str) -> None:
        self._mark = f"CTUI1 {nonce} ".encode()
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """The bytes before our next line, and that line without its mark; None while it is not there.

        Call again with nothing until there is none. LostError for a line that the runner cannot have written.
        """
        data = self._held + data
        at = data.find(self._mark)
        if at < 0:
            keep = self._beginning(data)
            self._held = data[len(data) - keep :]
            return data[: len(data) - keep], None
        end = data.find(b"\n", at)
        if (end if end >= 0 else len(data)) - at > LONGEST_LINE:
            raise LostError("it sends lines that are none of ours")
        if end < 0:
            self._held = data[at:]
            return data[:at], None
        self._held = data[end + 1 :]
        return data[:at], data[at + len(self._mark) : end]

    def rest(self) -> bytes:
        """The bytes that were held back."""
        held, self._held = self._held, b""
        return held

    def _beginning(self, data: bytes) -> int:
        """The number of last bytes that may begin the mark."""
        longest = min(len(data), len(self._mark) - 1)
        return next((size for size in range(longest, 0, -1) if self._mark.startswith(data[-size:])), 0)


class Pauses:
    """The waits between retries: half a second, then twice as long each time, up to 15 s, with jitter."""

    def __init__(self) -> None:
        self._longest = 0.5

    async def next(self) -> None:
        """Wait."""
        await asyncio.sleep(self._longest * random.uniform(0.5, 1))  # noqa: S311 jitter is no secret
        self._longest = min(15.0, self._longest * 2)


class Conversation(asyncssh.SSHClientSession[bytes]):
    """One channel: `payload` goes out, data goes to `receive`, answers wait to be read with `next`.

    `silence` is how many seconds without a byte prove that the other end is dead.
    `complain` gets what a command wrote to stderr; without it that is noise. Both are called in the loop; what they
    raise ends the conversation and is raised again by `next`.
    """

    def __init__(
        self,
        nonce: str,
        payload: bytes,
        receive: Callable[[bytes], None],
        complain: Callable[[bytes], None] | None = None,
        *,
        silence: float = math.inf,
    ) -> None:
        self.sent = False
        """The payload may have left: from now on the runner may have acted on it."""
        self.exit_status: int | None = None
        self.closed = False
        self.connection_died = False
        self._payload = payload
        self._receive = receive
        self._complain = complain or self._note
        self._noise = bytearray()
        self._answers: deque[Answer] = deque()
        self.failure: Exception | None = None
        """The error that `receive` or `complain` raised, or the other end's breach of the protocol."""
        self._silence = silence
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._control = Splitter(nonce)
        self._prelude: Splitter | None = Splitter(nonce)
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    # --- what asyncssh tells ------------------------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        # Runs right after the request was sent: its answer needs not be awaited, which saves a round trip.
        self._loop.call_soon(self._send_payload)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        self._heard = self._loop.time()
        try:
            if datatype is not None:
                self._take_control(data)
            elif self._prelude is None:
                self._receive(data)
            else:
                self._take_prelude(self._prelude, data)
        except Exception as error:  # noqa: BLE001 asyncssh would end the whole connection; `next` raises it again
            self.failure = self.failure or error
            self.close()
        self._changed.set()

    def exit_status_received(self, status: int) -> None:
        self.exit_status = status

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.connection_died = exc is not None
        if exc is None and self._complain != self._note and self.failure is None:
            self._complain(self._control.rest())
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- what others ask ----------------------------------------------------------------------------------------------

    async def open(self, link: RunnerLink, connection: asyncssh.SSHClientConnection, words: str) -> None:
        """Open the channel for these shell words. LostError where that fails; `sent` says how far it came."""
        command, first = link.wrap(words)
        self._payload = first + self._payload
        try:
            async with asyncio.timeout(OPENING):
                await connection.create_session(lambda: self, command, encoding=None)
            self._heard = self._loop.time()
        except TimeoutError:
            self.close()
            raise LostError("no channel was opened", silent=True) from None
        except asyncssh.ChannelOpenError as error:
            raise LostError(f"no channel: {one_line(error.reason)}") from None
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
        silent_at = self._heard + self._silence
        at = min(deadline, silent_at)
        try:
            async with asyncio.timeout_at(at if at < math.inf else None):
                await self._changed.wait()
        except TimeoutError:
            if silent_at < deadline:
                raise LostError(f"nothing was heard for {self._silence:.0f} s", silent=True) from None
            raise

    def write(self, data: bytes) -> None:
        """Send bytes; silently nothing once the channel is closed, `next` tells."""
        if self._channel is not None and not self._channel.is_closing():
            with contextlib.suppress(OSError):
                self._channel.write(data)

    async def drain(self) -> None:
        """Wait until little of what was written still waits to be sent."""
        await self._writable.wait()
        if self.failure is not None:
            raise self.failure

    def end_input(self) -> None:
        """Say that nothing more is sent."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()

    def close(self) -> None:
        """Close the channel once what was written has been sent."""
        if self._channel is not None:
            self._channel.close()

    @property
    def has_answer(self) -> bool:
        """An answer waits to be read."""
        return bool(self._answers)

    @property
    def noise(self) -> str:
        """The words of a login shell or of sudo, made safe for a line of text."""
        return one_line(bytes(self._noise).decode(errors="replace"))

    # --- inside -------------------------------------------------------------------------------------------------------

    def _send_payload(self) -> None:
        self.sent = True
        self.write(self._payload)

    def _take_control(self, data: bytes) -> None:
        other, line = self._control.feed(data)
        while True:
            if other:
                self._complain(other)
            if line is None:
                return
            self._take_answer(line)
            other, line = self._control.feed(b"")

    def _take_answer(self, line: bytes) -> None:
        word, _, text = line.decode(errors="replace").partition(" ")
        if word == "TICK":
            return
        if len(self._answers) >= MOST_ANSWERS:
            raise LostError("it answers more than it was asked")
        self._answers.append(Answer(word, text))

    def _take_prelude(self, prelude: Splitter, data: bytes) -> None:
        noise, line = prelude.feed(data)
        self._note(noise)
        if line is not None:
            if not line.startswith(b"DATA"):  # an answer, which has its place in the other stream
                raise MergedError
            self._prelude = None
            if rest := prelude.rest():
                self._receive(rest)

    def _note(self, noise: bytes) -> None:
        self._noise += noise[: MOST_NOISE - len(self._noise)]
