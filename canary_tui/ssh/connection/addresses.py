"""Tries the addresses of a name one after another, so that one that does not answer does not use up the time of all."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket

from canary_tui.ssh.connection.resolve import Endpoint


async def first_that_answers(endpoint: Endpoint) -> socket.socket | None:
    """A socket to the first address of a name that takes the connection, in the system's order; None for an address.

    Each has an equal share of the time for connecting. Raises what the last one raised.
    """
    if _is_address(endpoint.host):
        return None  # to look it up would wake a thread for each login
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(endpoint.host, endpoint.port, family=endpoint.family, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found[:-1]:
        try:
            async with asyncio.timeout(endpoint.connect_timeout / len(found)):
                return await _connected(socket.socket(family, kind, protocol), address, endpoint.bind_address)
        except OSError:  # TimeoutError is one
            continue
    family, kind, protocol, _, address = found[-1]
    return await _connected(socket.socket(family, kind, protocol), address, endpoint.bind_address)


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


async def _connected(sock: socket.socket, address: tuple[object, ...], bind_address: str) -> socket.socket:
    try:
        sock.setblocking(False)
        if bind_address:
            sock.bind((bind_address, 0))
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
