"""The demo's server process: SSH and web for every target, for exactly as long as its parent lives.

Run as `python -m canary_tui.demo.servers ORDER`. One line of JSON on stdout says where the demo stands, and that it
listens: `{"folder": ...}`. The end of stdin is the end of the demo.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from canary_tui.demo.fleet import USER
from canary_tui.demo.launch import Order
from canary_tui.demo.layout import Station, operator_key, set_up
from canary_tui.demo.load import visit
from canary_tui.demo.sessions import CommandSession
from canary_tui.demo.sweep import MARK, end_marked_processes
from canary_tui.demo.web import WebService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_LOOK_SECONDS = 0.05


class TargetServer:
    """One target's SSH server: lets the operator's key in, and runs commands in the target's home."""

    def __init__(self, station: Station, folder: Path, operator: asyncssh.SSHKey) -> None:
        self.station = station
        self.operator = operator
        self.connections: set[asyncssh.SSHServerConnection] = set()
        home = str(station.home)
        self._environment = {
            "HOME": home,
            "PATH": f"{home}/bin:{os.environ.get('PATH', _PATH)}",
            "USER": USER,
            "LOGNAME": USER,
            "SHELL": "/bin/sh",
            "TMPDIR": str(station.home / "tmp"),
            MARK: str(folder),
        }

    def session(self) -> CommandSession:
        """A channel's session."""
        return CommandSession(self.station.home, self._environment)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve while the context lasts; its end drops every connection."""
        acceptor = await asyncssh.listen(
            sock=self.station.ssh,
            server_factory=lambda: _Login(self),
            server_host_keys=[self.station.host_key],
            encoding=None,
            allow_pty=True,
            line_editor=False,
            agent_forwarding=False,
            gss_host=None,
        )
        try:
            yield
        finally:
            acceptor.close()
            self._drop_connections()

    async def drop_once_when_asked(self) -> None:
        """For the fault `drop`: the program in mid-step asks for it by a file, and finds `dropped` the next time."""
        flag = self.station.home / ".demo" / "drop"
        while not flag.exists():  # noqa: ASYNC110 -- it is another process that says so, by a file
            await asyncio.sleep(_LOOK_SECONDS)
        flag.rename(flag.with_name("dropped"))
        self._drop_connections()

    def _drop_connections(self) -> None:
        for connection in list(self.connections):
            connection.abort()


class _Login(asyncssh.SSHServer):
    """One connection, while it lasts."""

    def __init__(self, server: TargetServer) -> None:
        self._server = server

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._server.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._server.connections.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key.public_data == self._server.operator.public_data

    def session_requested(self) -> CommandSession:
        return self._server.session()


async def serve(order: Order) -> None:
    """Serve the demo until stdin ends or a signal comes, then end everything that it started."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_reader(sys.stdin.fileno(), over.set)  # nothing is ever sent: readable means closed
    folder = _folder(order)
    try:
        await _serve_in(folder, order, over)
    finally:
        end_marked_processes(folder)
        if not order.folder:
            shutil.rmtree(folder, ignore_errors=True)


async def _serve_in(folder: Path, order: Order, over: asyncio.Event) -> None:
    stations = set_up(folder, order.faults)
    async with AsyncExitStack() as listening:
        tasks: list[asyncio.Task[None]] = []
        for station in stations if order.serve else ():
            server = TargetServer(station, folder, operator_key(folder))
            await listening.enter_async_context(server.listening())
            fault = order.faults.get(station.name, "")
            web = await WebService(station.name, station.home, fault).listen(station.web)
            listening.callback(web.close)
            if fault == "drop":
                tasks.append(asyncio.create_task(server.drop_once_when_asked()))
            if order.visitors:
                tasks.append(asyncio.create_task(visit(station.ports["web"])))
        print(json.dumps({"folder": str(folder)}), flush=True)  # noqa: T201 -- the line that the parent waits for
        if order.serve:
            await over.wait()
        for task in tasks:
            task.cancel()


def _folder(order: Order) -> Path:
    return Path(order.folder or tempfile.mkdtemp(prefix="canary-demo-")).resolve()


def main() -> None:
    """Serve what the first argument orders."""
    os.umask(0o077)
    logging.disable(logging.WARNING)  # a client that drops its connection is no news
    asyncio.run(serve(Order.read(sys.argv[1])))


if __name__ == "__main__":
    main()
