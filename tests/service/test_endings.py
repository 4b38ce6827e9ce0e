"""Each way in which a rollout or its engine ends has one exit code and one sentence, whichever face is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from canary_tui.domain.rollout.events import Operator
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.words import Pause, Verdict
from canary_tui.engine.messages import Ended
from canary_tui.errors import ExitCode
from canary_tui.service.endings import closing_line, closing_of
from canary_tui.store.history import RolloutSummary
from canary_tui.tui.rollout.report import exit_code, verdict_line
from canary_tui.tui.rollout.status_bar import ended_words

RESUME = "; resume it with: canary-tui resume r"
LOST = "; nothing is lost, and resume goes on with exactly the rest"
ENDINGS = [
    pytest.param("succeeded", 0, "succeeded: why", "SUCCEEDED: why", id="succeeded"),
    pytest.param("succeeded", 5, "partly done: why", "PARTLY DONE: why", id="succeeded, partly"),
    pytest.param("failed", 1, "failed: why", "FAILED: why", id="failed"),
    pytest.param("failed", 7, "failed: why", "FAILED: why", id="locked out"),
    pytest.param("aborted", 3, "aborted: why", "ABORTED: why", id="aborted"),
    pytest.param("rolled-back", 1, "rolled-back: why", "ROLLED BACK: why", id="rolled back after a failure"),
    pytest.param("rolled-back", 3, "rolled-back: why", "ROLLED BACK: why", id="rolled back by a person"),
    pytest.param("expired", 6, "expired: why", "EXPIRED: why", id="expired"),
]
PAUSES = {
    "waiting": (4, "it waits at the gate after the start, and nobody could be asked"),
    "unknown": (8, "how a step ended is unknown, and nobody could be asked"),
    "detached": (130, "the controlling terminal went away, so nothing new was started"),
    "interrupted": (130, "it was stopped by the operator"),
    "terminated": (130, "the engine was told to end, and what runs on the targets goes on there"),
}


@pytest.fixture(autouse=True)
def _no_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANARY_TUI_STATE", raising=False)


@pytest.mark.parametrize(("ended", "code", "line", "title"), ENDINGS)
def test_a_verdict_has_the_code_of_the_journal_and_its_reason_on_every_face(
    ended: Verdict, code: int, line: str, title: str
) -> None:
    state = RolloutState(rollout="r", verdict=ended, reason="why", exit_code=code)
    assert (closing_of(state).exit_code, exit_code(state, None)) == (code, code)
    assert closing_line(state) == line
    assert verdict_line(state) == (title, {0: "ok", 5: "unknown"}.get(code, "failed"))


@pytest.mark.parametrize("pause", PAUSES)
def test_a_pause_has_one_code_and_one_sentence_on_every_face(pause: Pause) -> None:
    state = RolloutState(rollout="r", paused=pause)
    code, sentence = PAUSES[pause]
    assert (closing_of(state).exit_code, exit_code(state, None)) == (code, code)
    assert closing_line(state) == f"paused: {sentence}{RESUME}"
    assert verdict_line(state) == (f"PAUSED: {sentence}{LOST}", "unknown")


@pytest.mark.found("M6")
def test_a_rollout_that_left_targets_behind_is_called_partly_done_in_every_list() -> None:
    """M6"""
    one = RolloutSummary("r", "shop", "2", "", 0.0, Operator("ann", "desk"), 10, Path("r"), "succeeded", "why", 5, 1.0)
    assert (one.word, replace(one, exit_code=0).word, replace(one, verdict=None).word) == (
        "partly done",
        "succeeded",
        "",
    )
    state = RolloutState(rollout="r", verdict="succeeded", exit_code=5)
    assert (ended_words(state), state.verdict) == ("partly done", "succeeded"), "files keep the verdict"


def test_what_was_cut_off_is_interrupted_on_every_face() -> None:
    state = RolloutState(rollout="r")
    assert (closing_of(state).exit_code, exit_code(state, None)) == (130, 130)
    assert closing_line(state) == f"not ended: its engine has written no end{RESUME}"
    assert verdict_line(state) == ("NOT ENDED: its engine has written no end", "dim")


def test_the_engine_has_the_last_word_about_its_code() -> None:
    assert exit_code(RolloutState(rollout="r", paused="waiting"), Ended(1, "a bug")) == ExitCode.FAILED


def test_every_verdict_and_every_pause_has_its_ending_here() -> None:
    assert {row.values[0] for row in ENDINGS} == set(get_args(Verdict))
    assert PAUSES.keys() == set(get_args(Pause))


def test_what_can_be_resumed_is_told_from_what_has_ended() -> None:
    resumable = {code for code in ExitCode if code.resumable}
    assert resumable == {ExitCode.WAITING, ExitCode.UNKNOWN, ExitCode.INTERRUPTED}
