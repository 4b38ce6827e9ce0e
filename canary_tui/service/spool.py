"""Both ends of a rollout's spool: what others ask of the engine at work, and the engine's answers.

Decisions come with the person who made them, and are taken in or refused by the same rules as from the screens.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field

from canary_tui.domain.codec import decode, encode, wire
from canary_tui.domain.fleet.traits import traits
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout.events import Decision, EngineStopped, Record
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.engine.loop import Listener, Rollout
from canary_tui.engine.messages import Decide
from canary_tui.errors import CanaryError, ExitCode
from canary_tui.store.layout import RolloutDirectory
from canary_tui.store.lock import Holder, held_by, holder
from canary_tui.store.spool import answer_to, forget, open_spool, put_answer, put_request, requests

_EVERY = 0.25
"""Seconds between two looks into the spool."""
_PATIENCE = 10.0
"""Seconds that an engine at work may take to answer."""


@wire("spool-request")
@dataclass(frozen=True, slots=True)
class Request:
    """Decisions for one engine, named by its process and the time since when it holds the lock (seconds since 1970).

    `hand_over`: a screen wants to sit at the rollout, so an engine whose own screen is gone may end for it.
    """

    pid: int
    since: float
    decisions: tuple[Decision, ...] = ()
    hand_over: bool = False


@wire("spool-answer")
@dataclass(frozen=True, slots=True)
class Answer:
    """The engine took all decisions in, or refused one for this reason."""

    taken: bool
    reason: str = ""


class NoEngine(CanaryError):
    """No engine works on the rollout, so nobody takes a decision in."""

    exit_code = ExitCode.WAITING


@dataclass(slots=True)
class _Open:
    """A request that is being taken in: the decisions that are still without an answer."""

    token: str
    left: list[Decision] = field(default_factory=list)


class SpoolListener(Listener):
    """The engine's end: looks into the spool, and answers when the loop has taken a decision in or refused it."""

    def __init__(self, directory: RolloutDirectory) -> None:
        self._folder = directory.spool
        self._lock = directory.lock
        self._open: list[_Open] = []
        self._wanted = False

    async def serve(self, rollout: Rollout) -> None:
        """Look into the spool again and again."""
        if not open_spool(self._folder):
            return
        ours = holder(self._lock)
        while True:
            await asyncio.sleep(_EVERY)
            self._wanted = False
            for token, text in requests(self._folder):
                self._take(rollout, ours, token, text)
            if self._wanted and can_hand_over(rollout.plan, rollout.state):
                rollout.submit(EngineStopped("detached"))

    def _take(self, rollout: Rollout, ours: Holder | None, token: str, text: str) -> None:
        if any(one.token == token for one in self._open):
            return
        try:
            request: Request = decode(Request, json.loads(text))
        except ValueError:
            put_answer(self._folder, token, _text(Answer(taken=False, reason="the request cannot be read")))
            return
        if ours is None or (request.pid, request.since) != (ours.pid, ours.since):
            put_answer(self._folder, token, _text(Answer(taken=False, reason="another engine is at work by now")))
        elif request.hand_over:
            self._wanted = True  # it lies there for as long as somebody wants it
        elif request.decisions:
            self._open.append(_Open(token, list(request.decisions)))
            for decision in request.decisions:
                rollout.submit(Decide(rollout.state.rollout, decision))

    def recorded(self, record: Record) -> None:
        """A decision of ours is on disk, perhaps."""
        for one in self._open:
            if any(record.event is decision for decision in one.left):
                one.left = [decision for decision in one.left if decision is not record.event]
                if not one.left:
                    self._answer(one, Answer(taken=True))
                return

    def refused(self, decision: Decision, reason: str) -> None:
        """A decision of ours was not taken in, perhaps."""
        for one in self._open:
            if any(decision is waiting for waiting in one.left):
                self._answer(one, Answer(taken=False, reason=reason))
                return

    def _answer(self, one: _Open, answer: Answer) -> None:
        self._open = [other for other in self._open if other is not one]
        put_answer(self._folder, one.token, _text(answer))


def can_hand_over(plan: Plan, state: RolloutState) -> bool:
    """Whether another engine finds everything as this one would leave it: its screen is gone, and what runs is either
    kept by its target or safe to do again.
    """
    if not state.front_lost or state.stop != "none":
        return False
    running = (target.running for target in state.in_group("running"))
    steps = (traits(plan.phase_steps(one.phase)[one.step]) for one in running if one is not None)
    return all(step.durable or step.repeatable for step in steps)


def ask(directory: RolloutDirectory, *decisions: Decision) -> Answer:
    """Hand decisions to the engine at work, and wait for its answer.

    Raises:
        NoEngine: none is at work, or it has ended meanwhile.
        CanaryError: it does not answer, or the spool cannot be used.
    """
    engine = held_by(directory.lock)
    if engine is None:
        raise NoEngine(f"{directory.id}: no engine works on it")
    try:
        token = put_request(directory.spool, _text(Request(engine.pid, engine.since, decisions)))
    except OSError as error:
        raise CanaryError(f"{directory.spool}: {error.strerror}; nothing was decided") from None
    try:
        return _await_answer(directory, engine, token)
    finally:
        forget(directory.spool, token)


def _await_answer(directory: RolloutDirectory, engine: Holder, token: str) -> Answer:
    deadline = time.monotonic() + _PATIENCE
    while True:
        gone = held_by(directory.lock) != engine  # looked at before the answer, which may be its last word
        if (text := answer_to(directory.spool, token)) is not None:
            answer: Answer = decode(Answer, json.loads(text))
            return answer
        if gone:
            raise NoEngine(f"{directory.id}: its engine ended before it answered; nothing is known to be decided")
        if time.monotonic() > deadline:
            raise CanaryError(f"{directory.id}: {engine} does not answer; nothing is known to be decided")
        time.sleep(_EVERY / 4)


def want_hand_over(directory: RolloutDirectory) -> str:
    """Leave the wish to sit at a rollout in its spool; the token, "" where there is no engine or no spool yet."""
    engine = held_by(directory.lock)
    if engine is None:
        return ""
    with contextlib.suppress(OSError, CanaryError):
        return put_request(directory.spool, _text(Request(engine.pid, engine.since, hand_over=True)))
    return ""


def _text(message: Request | Answer) -> str:
    return json.dumps(encode(message)) + "\n"
