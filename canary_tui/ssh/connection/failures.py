"""Tells from how a login failed whether another try can help, and says in words what came instead of it."""

from __future__ import annotations

import os

import asyncssh

from canary_tui.ssh.connection.agent import AgentError
from canary_tui.ssh.connection.clock import PATIENCE
from canary_tui.ssh.connection.handshake import Attempt, login_limit
from canary_tui.ssh.connection.resolve import Endpoint
from canary_tui.text.safe import one_line

_AFTER_TOO_MANY = 12
"""Further tries where the server says that too many connect at once."""
_AFTER_SILENCE = 4
"""Further tries where it hung up without a word before the login: that may be the same, and sshd may punish each."""
_AFTER_A_LOSS = 2
"""Further tries where it hung up during the login: for one bad moment no rollout is refused."""
_AFTER_A_TOUCH = 3
"""Further tries where it hung up while the agent was waited for: it was not to blame, and neither were we."""
_TOO_MANY = "Exceeded MaxStartups"
_NO_SUCH_COMMAND = (126, 127)
"""Exit codes of a shell."""


def tries_more(error: Exception, attempt: Attempt) -> int:
    """The number of further tries after the first failure, where all are of this kind."""
    if not _hung_up(error) or (attempt.proxy_end is not None and attempt.proxy_end.failed):
        return 0
    if attempt.logging_in:
        if attempt.password is not None:
            return 0  # an account may be locked after a few
        return _AFTER_A_TOUCH if attempt.signing else _AFTER_A_LOSS
    if attempt.first_words and not attempt.has_version:
        return _AFTER_TOO_MANY if _TOO_MANY in attempt.first_words else 0
    return _AFTER_SILENCE


def explained(error: Exception, attempt: Attempt, tries: int) -> tuple[str, bool]:
    """The failure of the last of some tries in words, and whether it is final."""
    address, proxy = attempt.endpoint.address, attempt.proxy_end
    if isinstance(error, AgentError):
        return str(error), False
    if proxy is not None and proxy.failed and not isinstance(error, TimeoutError):
        return f"{address}: {proxy}", proxy.code in _NO_SUCH_COMMAND
    detail, final = _explained(error, attempt, tries)
    said = "" if attempt.has_version or not attempt.first_words else f"; it said: {attempt.first_words}"
    of_proxy = f"; its ProxyCommand says: {proxy.words}" if proxy is not None and proxy.words else ""
    return f"{detail}{said}{of_proxy}", final


def _explained(error: Exception, attempt: Attempt, tries: int) -> tuple[str, bool]:
    address, via = attempt.endpoint.address, attempt.endpoint.via
    limit = login_limit(attempt.endpoint) if attempt.logging_in else attempt.endpoint.connect_timeout
    match error:
        case TimeoutError() if attempt.clock.slow:
            return f"{address} answers, but the login did not end within {limit * PATIENCE:.0f} s", False
        case TimeoutError() if attempt.logging_in:
            return f"{address} did not answer the login within {limit:.0f} s", False
        case TimeoutError():
            return f"no answer within {limit:.0f} s from {address}", False
        case asyncssh.ChannelOpenError() if via is not None:
            return _not_opened(error, attempt.endpoint, via)
    if _hung_up(error):
        when = "while the ssh agent was waited for" if attempt.signing else "during the login"
        return f"{address} hung up {when if attempt.logging_in else 'before the login'}{_times(tries)}", False
    text = _system_words(error) if isinstance(error, OSError) else str(error)
    hint = "; IdentityFile with IdentitiesOnly offers fewer keys" if "Too many authentication fail" in text else ""
    refused = attempt.logging_in and not isinstance(error, OSError)
    return f"{address}: {one_line(text) or type(error).__name__}{hint}", refused


def _times(tries: int) -> str:
    return f", {tries} times in a row" if tries > 1 else ""


def _not_opened(error: asyncssh.ChannelOpenError, endpoint: Endpoint, via: Endpoint) -> tuple[str, bool]:
    """The way of a connection ended at a jump host."""
    there = f"{endpoint.host}:{endpoint.port}"
    if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
        return f"jump host {via.address} does not allow a connection to {there} (AllowTcpForwarding, PermitOpen)", True
    return f"jump host {via.address} cannot connect to {there}: {one_line(error.reason, 200)}", False


def wanted(attempt: Attempt) -> list[str]:
    """The ways to log in that the server named, as a sentence, after the one that it accepted."""
    methods = ", ".join(sorted(attempt.would_take))
    if attempt.accepted or attempt.password_accepted:
        what = "key" if attempt.accepted else "password"
        return [f"the {what} was accepted, and the server wants {methods or 'more'} as well"]
    return [f"the server also accepts {methods}"] if methods else []


def _hung_up(error: Exception) -> bool:
    """Tell whether the server ended the connection without a reason, but for that too many are open."""
    too_many = isinstance(error, asyncssh.DisconnectError) and error.code == asyncssh.DISC_TOO_MANY_CONNECTIONS
    return too_many or isinstance(error, asyncssh.ConnectionLost | ConnectionResetError | BrokenPipeError)


def _system_words(error: OSError) -> str:
    """The system's words for an error: asyncio's own say only that a connect call failed."""
    return os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror or str(error)
