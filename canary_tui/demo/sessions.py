"""Runs the command of one SSH channel of a demo target by `sh`, and behaves as OpenSSH does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio import subprocess
from typing import TYPE_CHECKING

import asyncssh

from canary_tui.demo.terminals import Size, Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_STDIN, _STDOUT, _STDERR = 0, 1, 2


class CommandSession(asyncssh.SSHServerSession[bytes]):
    """One channel. The command gets a session (of processes) of its own, `home` as its folder and raw bytes.

    A channel that goes away closes the command's pipes and nothing else: what is still running then goes on.
    """

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self._home = home
        self._environment = environment
        self._arguments = ["/bin/sh"]
        self._early_input: list[bytes] = []
        self._early_eof = False
        self._running: _CommandProcess | None = None
        self._terminal: Terminal | None = None
        """The terminal that the client asked for: the command runs at it, and not between pipes."""
        self._gone = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: Size, term_modes: Mapping[int, int]) -> bool:
        del term_modes
        self._environment = {**self._environment, "TERM": term_type, "PS1": f"{self._home.name}:~$ "}
        self._terminal = Terminal(self._channel, term_size)
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._terminal is not None:
            self._terminal.resize((width, height, pixwidth, pixheight))

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self._arguments = ["/bin/sh", "-c", command]
        return True

    def session_started(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._start())

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        del datatype  # a client has one stream to send on
        if self._terminal is not None:
            self._terminal.write(data)
        elif self._running is None:
            self._early_input.append(data)
        else:
            self._running.write(data)

    def eof_received(self) -> bool:
        self._early_eof = True
        if self._running is not None:
            self._running.close_input()
        return True

    def signal_received(self, signal: str) -> None:
        if self._running is not None:
            self._running.send_signal(signal)

    def pause_writing(self) -> None:
        if output := self._terminal or self._running:
            output.pause_output()

    def resume_writing(self) -> None:
        if output := self._terminal or self._running:
            output.resume_output()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._gone = True
        if self._terminal is not None:
            self._terminal.close()
        if self._running is not None:
            self._running.close_pipes()

    async def _start(self) -> None:
        if self._terminal is not None:
            await self._terminal.run(self._arguments, self._home, self._environment)
            return
        _, running = await asyncio.get_running_loop().subprocess_exec(
            lambda: _CommandProcess(self._channel),
            *self._arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._home,
            env=dict(self._environment),
            start_new_session=True,
        )
        self._running = running
        for data in self._early_input:
            running.write(data)
        if self._early_eof:
            running.close_input()
        if self._gone:
            running.close_pipes()


class _CommandProcess(asyncio.SubprocessProtocol):
    """The process behind a channel. The channel is told the exit status when the process has ended and both of
    its outputs are closed: a daemon that keeps them open holds the channel, as it does with OpenSSH.
    """

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = channel
        self._open_outputs = {_STDOUT, _STDERR}
        self._exited = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if not self._channel.is_closing():
            self._channel.write(data, asyncssh.EXTENDED_DATA_STDERR if fd == _STDERR else None)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        del exc
        self._open_outputs.discard(fd)
        self._end_when_over()

    def process_exited(self) -> None:
        self._exited = True
        self._end_when_over()

    def pause_writing(self) -> None:
        self._channel.pause_reading()

    def resume_writing(self) -> None:
        # Not at once: the pipe calls this in the middle of writing, and when it is given more data and is then
        # closed meanwhile, it forgets that data.
        asyncio.get_running_loop().call_soon(self._channel.resume_reading)

    def write(self, data: bytes) -> None:
        stdin = self._transport.get_pipe_transport(_STDIN)
        if isinstance(stdin, asyncio.WriteTransport) and not stdin.is_closing():
            stdin.write(data)

    def close_input(self) -> None:
        if (stdin := self._transport.get_pipe_transport(_STDIN)) is not None:
            stdin.close()  # what was written before is delivered first

    def pause_output(self) -> None:
        for pipe in self._output_pipes():
            pipe.pause_reading()

    def resume_output(self) -> None:
        for pipe in self._output_pipes():
            pipe.resume_reading()

    def close_pipes(self) -> None:
        # Never transport.close(): it would kill a process that is still running.
        for fd in (_STDIN, _STDOUT, _STDERR):
            if (pipe := self._transport.get_pipe_transport(fd)) is not None:
                pipe.close()

    def send_signal(self, name: str) -> None:
        number = getattr(signal, f"SIG{name}", None)
        if number is not None and not self._exited:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._transport.get_pid(), number)

    def _output_pipes(self) -> list[asyncio.ReadTransport]:
        pipes = [self._transport.get_pipe_transport(fd) for fd in (_STDOUT, _STDERR)]
        return [pipe for pipe in pipes if isinstance(pipe, asyncio.ReadTransport) and not pipe.is_closing()]

    def _end_when_over(self) -> None:
        if not self._exited or self._open_outputs:
            return
        code = self._transport.get_returncode()
        assert code is not None
        if not self._channel.is_closing():
            if code < 0:
                self._channel.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))
            else:
                self._channel.exit(code)
        self._transport.close()
