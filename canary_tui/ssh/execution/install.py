"""Meets a target's runner: finds or installs it, reads what it says of the target, and speaks with it."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib.resources
import re
import shlex
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import asyncssh

from canary_tui.domain.fleet.rules import ROLLOUT
from canary_tui.engine.target import Claim, Holder, UnlockReport
from canary_tui.ssh.connection.connect import LinkError
from canary_tui.ssh.execution.cksum import cksum
from canary_tui.ssh.execution.lines import Answer, LostError, MergedError, SudoRefusedError, new_nonce
from canary_tui.ssh.execution.protocol import Conversation, Pauses, RunnerLink
from canary_tui.text.safe import one_line

ANSWER = 60.0
"""Seconds for a question that the runner answers at once."""
UNLOCKING = 20.0
"""Seconds for releasing a lock, the login apart; a target that cannot be reached keeps it, and is named."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class RunnerError(Exception):
    """The target was reached but cannot do what the runner needs; `detail` says why, made safe."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class RunnerInfo:
    """The runner's answer when it was met: its path, and the state of the target.

    `clock_offset` is the target's clock minus ours in seconds. `note` is for the operator, "" if all is well.
    `claim` is the answer to a rollout's claim of the lock: ours, held, busy, strange, room or none; `holder`
    has it then, and `busy` is the other rollout that has a step running there.
    """

    path: str
    folder: str
    boot: str
    clock_offset: float
    free_bytes: int
    note: str = ""
    claim: str = "none"
    holder: Holder | None = None
    busy: str = ""

    @property
    def server(self) -> str:
        """The name of this folder in this boot, which no other has; "" where the target could not give it one."""
        parts = self.boot.split(".")
        return self.boot if len(parts) >= 3 and all(part not in ("", "none") for part in parts) else ""


_met: WeakKeyDictionary[asyncssh.SSHClientConnection, RunnerInfo] = WeakKeyDictionary()


@functools.cache
def _runner() -> tuple[bytes, str, Mapping[str, object]]:
    """The runner's text, the name that its content gives it, for a running shell reads its script as it goes, and how
    it is known.
    """
    text = importlib.resources.files("canary_tui.ssh.execution").joinpath("runner.sh").read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    name = f"runner-{digest[:16]}.sh"
    return text, name, {"name": name, "size": len(text), "sha": digest, "sum": cksum(text)}


# One line, no "!" and no quote inside: any login shell hands it to sh as it is, csh and fish too. A runner that
# is not byte for byte ours is sent again. Where neither sha256sum nor cksum is, it is sent each time.
_MEET = (
    'umask 077; m="no folder to write to, neither in the home folder nor in /var/tmp"; '
    'for i in 1 2; do d="${{XDG_STATE_HOME:-${{HOME:-/dev/null}}/.local/state}}/canary-tui"; '
    '[ $i = 1 ] || d="/var/tmp/canary-tui-$(id -u)"; '
    '[ -d "$d" ] || mkdir -p "$d" 2>/dev/null; '
    '[ -h "$d" ] && continue; [ -d "$d" ] && [ -O "$d" ] && [ -w "$d" ] || '
    '{{ [ -s "$d/lock" ] || continue; m="$d cannot be written to, and has a lock in it"; break; }}; '
    'r=$d/{name}; t=; k() {{ f=$1; set -- $(sha256sum <"$f" 2>/dev/null || cksum <"$f" 2>/dev/null); case $1 in '
    '{sha}|{sum}) ;; "") [ "$t" ] && [ "$(wc -c <"$f")" -eq {size} ] ;; *) false ;; esac; }}; '
    'if [ -f "$r" ] && k "$r"; then :; else t=sent; '
    'echo "CTUI1 {nonce} SEND" >&2; '
    'cat >"$r.$$" && k "$r.$$" && mv -f "$r.$$" "$r" || '
    '{{ rm -f "$r.$$"; echo "CTUI1 {nonce} ERR no room in $d" >&2; exit 97; }}; fi; '
    'exec /bin/sh "$r" hello {nonce}{claim}; done; '
    'echo "CTUI1 {nonce} ERR $m" >&2; exit 97'
)


async def ensure_runner(
    link: RunnerLink, claim: Claim | None = None, limit: asyncio.Timeout | None = None
) -> RunnerInfo:
    """Meet the runner once a connection, installing it where it is missing; with a claim, anew, to ask for the lock.

    `limit` is the caller's, for answers: it stands still while the runner is sent.
    RunnerError where the target cannot have it, LinkError where it cannot be reached, LostError where the way broke.
    """
    connection = await link.connection()
    if connection not in _met or claim is not None:
        _met[connection] = await _introduce(link, connection, claim, limit)
    return _met[connection]


async def forget_runner(link: RunnerLink) -> None:
    """Meet the runner anew the next time: its folder is not what it was."""
    _met.pop(await link.connection(), None)


@asynccontextmanager
async def speak(link: RunnerLink, words: str, conversation: Conversation) -> AsyncIterator[RunnerInfo]:
    """A conversation with the target's runner; raises as `ensure_runner`, inside and at the beginning.

    A connection that proves dead is dropped, a runner that does not answer is met anew the next time.
    """
    runner = await ensure_runner(link)
    connection = await link.connection()
    async with _opened(link, connection, f"/bin/sh {shlex.quote(runner.path)} {words}", conversation):
        yield runner


@asynccontextmanager
async def _opened(
    link: RunnerLink, connection: asyncssh.SSHClientConnection, words: str, conversation: Conversation
) -> AsyncIterator[None]:
    try:
        await conversation.open(link, connection, words)
        yield
    except LostError as error:
        if conversation.exit_status is not None:
            _met.pop(connection, None)
        if isinstance(error, SudoRefusedError):
            link.sudo_refused(connection)
        elif error.silent or conversation.connection_died or connection.is_closed():
            link.drop(connection)
        raise
    finally:
        conversation.close()


async def _introduce(
    link: RunnerLink, connection: asyncssh.SSHClientConnection, claim: Claim | None, limit: asyncio.Timeout | None
) -> RunnerInfo:
    text, name, known = _runner()
    nonce = new_nonce()
    script = _MEET.format(nonce=nonce, claim=_words(claim), **known)
    conversation = Conversation(nonce, b"", lambda _: None)
    asked = time.time()
    async with _opened(link, connection, f"/bin/sh -c '{script}'", conversation):
        try:
            answer = await conversation.answered(ANSWER)
            if answer is not None and answer.word == "SEND":
                with _standing_still(limit):
                    await conversation.deliver(text)
                conversation.end_input()
                asked = time.time()
                answer = await conversation.answered(ANSWER)
        except MergedError:
            raise RunnerError(_MERGED + _said(conversation)) from None
        match answer:
            case Answer("HELLO"):
                return _info(answer, name, asked, conversation.noise)
            case Answer("ERR"):
                raise RunnerError(f"the runner cannot be installed: {one_line(answer.text)}")
            case Answer():
                raise RunnerError(f"not an answer of the runner: {one_line(f'{answer.word} {answer.text}')}")
        if conversation.exit_status is None:
            raise LostError("the connection was closed" + _said(conversation))
        status = conversation.exit_status
        raise RunnerError(f"the login ended with status {status} before the runner was heard{_said(conversation)}")


_MERGED = (
    "its login puts standard error into standard output, where an answer cannot be told from a step's output; "
    "a ForceCommand that runs commands in a terminal (script -c) does that"
)


def _said(conversation: Conversation) -> str:
    """The words that came in place of an answer: shown, not interpreted."""
    return f"; it printed: {conversation.noise}" if conversation.noise else ""


@contextmanager
def _standing_still(limit: asyncio.Timeout | None) -> Iterator[None]:
    """A limit for answers does not count what the line carries as fast as it can."""
    time_of = asyncio.get_running_loop().time
    at = None if limit is None else limit.when()
    if limit is None or at is None:
        yield
        return
    left = at - time_of()
    limit.reschedule(None)
    yield
    limit.reschedule(time_of() + left)


def _words(claim: Claim | None) -> str:
    """A claim as words that no shell reads anything else into."""
    if claim is None:
        return ""
    who = re.sub(r"[^A-Za-z0-9._@-]", "_", claim.who)[:64] or "_"
    taken_from = f" {rollout_word(claim.take_from)}" if claim.take_from else ""
    return f" {rollout_word(claim.rollout)} {who} {int(claim.since)}{taken_from}"


def rollout_word(rollout: str) -> str:
    """A rollout's id as a word for a shell; ValueError where it is none."""
    ROLLOUT.check(rollout)
    return rollout


def holder_of(fields: Mapping[str, str]) -> Holder | None:
    """The holder of the lock, in the words of the target; None where nobody holds it."""
    rollout, since = fields.get("lock", "none"), fields.get("at", "")
    if rollout == "none":
        return None
    try:
        ROLLOUT.check(rollout)
    except ValueError:
        rollout = "?"
    return Holder(
        rollout, one_line(fields.get("by", ""))[:64], float(since) if re.fullmatch(r"[0-9]{1,11}", since) else 0.0
    )


def fenced_by(fields: Mapping[str, str]) -> str:
    """A sentence that says why a rollout may start nothing there any more."""
    holder = holder_of(fields)
    if holder is None:
        return "the lock is gone"
    if holder.rollout == "?":
        return "the lock file was not written by canary-tui"
    return f"the lock was taken over by {holder.rollout} of {holder.who}"


def _info(hello: Answer, name: str, asked: float, noise: str) -> RunnerInfo:
    folder = hello.text.partition(" folder=")[2]
    fields = hello.fields
    if not folder.startswith("/") or not folder.isprintable():
        raise RunnerError(f"the runner's folder has an unusable name: {one_line(folder)}")
    now = re.match(r"\d{1,12}(\.\d{1,9})?", fields.get("now", ""))
    free = fields.get("free", "")
    return RunnerInfo(
        path=f"{folder}/{name}",
        folder=folder,
        boot=one_line(fields.get("boot", "")),
        clock_offset=float(now[0]) - (asked + time.time()) / 2 if now else 0.0,
        free_bytes=int(free) * 1024 if free.isdecimal() and len(free) < 16 else 0,
        note=_note(fields.get("session", ""), noise),
        claim=fields.get("claim", "none"),
        holder=holder_of(fields),
        busy="" if fields.get("busy", "none") == "none" else one_line(fields["busy"]),
    )


def _note(session: str, noise: str) -> str:
    notes = []
    if session == "none":
        notes.append("it has none of setsid, perl and python3, so a step's children cannot be stopped")
    if noise:
        notes.append(f"its login shell prints before it does anything: {noise}")
    return "; ".join(notes)


async def ask(link: RunnerLink, words: str, limit: float) -> Answer:
    """One question and its one answer; `{nonce}` in the words is filled in."""
    nonce = new_nonce()
    conversation = Conversation(nonce, b"", lambda _: None)
    async with speak(link, words.format(nonce=nonce), conversation):
        answer = await conversation.answered(limit)
        if answer is None:
            raise LostError("the channel was closed")
        return answer


async def unlock(link: RunnerLink, rollout: str) -> UnlockReport:
    """Release a rollout's lock, unless a step of it still runs there; within `UNLOCKING` seconds and a login."""
    time_of = asyncio.get_running_loop().time
    pauses, detail, since = Pauses(), "no answer", time_of()
    try:
        await link.connection()
        since = time_of()  # others of the fleet may have been logged in to first
    except LinkError as error:
        if error.final:
            return UnlockReport(released=False, detail=one_line(error.detail))
        detail = one_line(error.detail)
    try:
        async with asyncio.timeout_at(since + UNLOCKING):
            while True:
                try:
                    return _unlocked(await ask(link, f"unlock {{nonce}} {rollout_word(rollout)}", ANSWER))
                except LinkError as error:
                    if error.final:
                        return UnlockReport(released=False, detail=one_line(error.detail))
                    detail = one_line(error.detail)
                except LostError as error:
                    detail = error.detail
                except RunnerError as error:
                    return UnlockReport(released=False, detail=error.detail)
                await pauses.next()
    except TimeoutError:
        return UnlockReport(released=False, detail=detail)


def _unlocked(answer: Answer) -> UnlockReport:
    if answer.word == "UNLOCKED":
        return UnlockReport(released=True)
    running = answer.word == "KEPT" and answer.fields.get("why") == "running"
    return UnlockReport(False, "a step of this rollout still runs there" if running else one_line(answer.text))


def export_lines(environment: Mapping[str, str]) -> bytes:
    """Shell lines that export these variables: the values are data, whatever they hold."""
    lines = []
    for name, value in environment.items():
        if not _VARIABLE.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a variable")
        if "\0" in value:
            raise ValueError(f"the value of {name} holds a NUL, which no environment can hold")
        lines.append(f"export {name}={shlex.quote(value)}\n")
    return "".join(lines).encode(errors="surrogateescape")
