"""Tells from how a login failed whether another try can help, and says in words what came instead of it."""

from __future__ import annotations

import os

import asyncssh

from canary_tui.ssh.connection.agent import AgentError
from canary_tui.ssh.connection.clock import PATIENCE
from canary_tui.ssh.connection.handshake import Attempt, login_limit
from canary_tui.text.safe import one_line

_AFTER_DROPS = 12
"""Further tries where the server hung up before the login, as it does when too many connect at once."""
_AFTER_A_TOUCH = 3
"""Further tries where the server hung up while the agent was waited for: it was not to blame, and neither were we."""

_NO_SUCH_COMMAND = (126, 127)
"""Exit codes of a shell."""


def tries_more(error: Exception, attempt: Attempt) -> int:
    """The number of further tries after the first failure, where all are of this kind."""
    if attempt.proxy_end is not None and attempt.proxy_end.failed:
        return 0
    if _is_drop(error, attempt):
        return _AFTER_DROPS
    hung_up = isinstance(error, asyncssh.ConnectionLost | ConnectionResetError | BrokenPipeError)
    return _AFTER_A_TOUCH if hung_up and attempt.signing else 0


def explained(error: Exception, attempt: Attempt, tries: int) -> tuple[str, bool]:
    """The failure of the last of some tries in words, and whether it is final."""
    address, proxy = attempt.endpoint.address, attempt.proxy_end
    if isinstance(error, AgentError):
        return str(error), False
    if proxy is not None and proxy.failed and not isinstance(error, TimeoutError):
        return f"{address}: {proxy}", proxy.code in _NO_SUCH_COMMAND
    detail, final = _explained(error, attempt, tries)
    return (f"{detail}; its ProxyCommand says: {proxy.words}" if proxy and proxy.words else detail), final


def _explained(error: Exception, attempt: Attempt, tries: int) -> tuple[str, bool]:
    address = attempt.endpoint.address
    limit = login_limit(attempt.endpoint) if attempt.logging_in else attempt.endpoint.connect_timeout
    match error:
        case TimeoutError() if attempt.clock.slow:
            return f"{address} answers, but the login did not end within {limit * PATIENCE:.0f} s", False
        case TimeoutError() if attempt.logging_in:
            return f"{address} did not answer the login within {limit:.0f} s", False
        case TimeoutError():
            return f"no answer within {limit:.0f} s from {address}", False
    if tries > 1 and attempt.signing:
        return f"{address} hung up {tries} times while the ssh agent was waited for", False
    if tries > 1 and _is_drop(error, attempt):
        return f"{address} dropped {tries} connections before the login; its MaxStartups may be too low", False
    text = _system_words(error) if isinstance(error, OSError) else str(error)
    refused = attempt.logging_in and not isinstance(error, asyncssh.ConnectionLost | OSError)
    return f"{address}: {one_line(text) or type(error).__name__}", refused


def wanted(attempt: Attempt) -> list[str]:
    """The ways to log in that the server named, as a sentence, after the one that it accepted."""
    methods = ", ".join(sorted(attempt.would_take))
    if attempt.accepted or attempt.password_accepted:
        what = "key" if attempt.accepted else "password"
        return [f"the {what} was accepted, and the server wants {methods or 'more'} as well"]
    return [f"the server also accepts {methods}"] if methods else []


def _is_drop(error: Exception, attempt: Attempt) -> bool:
    """Tell whether the server hung up before the login began, as it does when too many connect at once."""
    if attempt.logging_in:
        return False
    if isinstance(error, asyncssh.DisconnectError):
        return not isinstance(error, asyncssh.ProtocolError | asyncssh.ProtocolNotSupported)
    return isinstance(error, ConnectionResetError | BrokenPipeError)


def _system_words(error: OSError) -> str:
    """The system's words for an error: asyncio's own say only that a connect call failed."""
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)
