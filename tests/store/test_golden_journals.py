"""Journals of each released format replay for ever to what they said on their day, and are gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from golden_journals import GOLDEN, Golden, golden_journals

from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.apply import apply, replay
from canary_tui.domain.rollout.failures import settleable
from canary_tui.domain.rollout.policy import next_actions
from canary_tui.store.history import summarize
from canary_tui.store.journal import JournalWriter, read_journal, verify
from canary_tui.store.layout import RolloutDirectory

ALL = [pytest.param(golden, id=golden.id) for golden in golden_journals()]
OPEN = [pytest.param(golden, id=golden.id) for golden in golden_journals() if golden.says["verdict"] is None]


def test_each_format_has_its_journals() -> None:
    formats = Counter(golden.path.parent.name for golden in golden_journals())
    assert set(formats) == {f"format-{number}" for number in range(1, e.FORMAT + 1)}
    assert all(count >= 6 for count in formats.values())
    for folder in GOLDEN.iterdir():
        assert {"succeeded", "aborted", "waiting", "unknown", "rolled-back"} <= {path.stem for path in folder.iterdir()}


@pytest.mark.parametrize("golden", ALL)
def test_a_golden_journal_replays_to_what_it_said(golden: Golden) -> None:
    assert verify(golden.path).intact
    state = replay(read_journal(golden.path))
    assert state.plan is not None
    assert {
        "verdict": state.verdict,
        "paused": state.paused,
        "exit_code": state.exit_code,
        "plan_hash": state.plan.hash,
        "wave": state.wave,
        "records": state.seq + 1,
        "targets": {name: target.steps.outcome for name, target in state.targets.items()},
    } == golden.says


@pytest.mark.parametrize("golden", ALL)
def test_a_list_of_rollouts_says_the_same(golden: Golden, tmp_path: Path) -> None:
    shutil.copy(golden.path, tmp_path / "journal.jsonl")
    summary = summarize(RolloutDirectory(tmp_path))
    assert summary is not None
    assert (summary.verdict, summary.exit_code) == (golden.says["verdict"], golden.says["exit_code"])
    assert summary.by == e.Operator("operator", "controller")
    assert summary.targets == len(golden.says["targets"])


@pytest.mark.parametrize("golden", OPEN)
def test_an_open_one_is_gone_on_with_in_the_format_of_today(golden: Golden, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    shutil.copy(golden.path, path)
    writer = JournalWriter.reopen(path)
    state = replay(writer.past)
    resumed = writer.append_now(e.EngineResumed(e.Operator("bea", "desk"), attended=True, version="9"), state.at + 1)
    writer.close()
    apply(state, resumed)
    assert state.plan is not None
    assert state.plan.hash == golden.says["plan_hash"]
    assert next_actions(state.plan, state) or state.gate is not None or settleable(state)
    assert verify(path).intact
    assert replay(read_journal(path)) == state
    said = json.loads(path.read_bytes().splitlines()[-1])["event"]
    assert said["format"] == e.FORMAT
    summary = summarize(RolloutDirectory(tmp_path))
    assert summary is not None
    assert summary.verdict is None


@pytest.mark.parametrize("golden", [one for one in ALL if "format-1" in str(one.id)])
def test_an_approval_of_format_1_is_for_the_same_plan(golden: Golden) -> None:
    """The hash that it names is that of the plan's text in format 1; read now it names the plan that was approved."""
    text = json.dumps(golden.first_event()["plan"], sort_keys=True, separators=(",", ":"))
    written = [json.loads(line)["event"] for line in golden.path.read_bytes().splitlines()]
    approvals = [event for event in written if event["type"] == "GateApproved"]
    assert all(event["plan"] == hashlib.sha256(text.encode()).hexdigest() for event in approvals)
    read = [record.event for record in read_journal(golden.path)]
    assert [one.plan for one in read if isinstance(one, e.GateApproved)] == [golden.says["plan_hash"]] * len(approvals)
    plans = [one.plan for one in read if isinstance(one, e.RolloutStarted)]
    assert [type(one) for one in plans] == [Plan]
