"""A step that a person skipped, as it is told where there are no screens."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from small_rollout import ME, UNDO, Rollout, plan_of, wave

from canary_tui.domain.rollout import events as e
from canary_tui.service.failed_output import failure_lines
from canary_tui.store.history import write_summary
from canary_tui.store.inventory import known_after
from canary_tui.store.layout import RolloutDirectory


@pytest.mark.found("M7")
def test_without_screens_and_in_the_files_a_skipped_step_is_told_with_its_person_and_reason(tmp_path: Path) -> None:
    """The lines of a headless run, the summary and what is believed of a target all tell a skip from an ok."""
    rollout = Rollout(plan_of(wave("a b")), ends={"b": ["failed"]})
    rollout.go()
    rollout.record(e.FailureTreated(("b",), "skip", ME, "I know"))
    rollout.go()
    assert failure_lines(rollout.plan, rollout.state, {}) == ["ok: deploy skipped by ann@here: I know: 1 target: b"]
    write_summary(RolloutDirectory(tmp_path), rollout.state)
    told = tomllib.loads((tmp_path / "summary.toml").read_text())["targets"]
    assert told[1]["decisions"] == [{"step": "deploy", "decision": "skipped", "by": "ann@here", "note": "I know"}]
    assert "decisions" not in told[0]
    known = known_after(rollout.state)
    assert (known["a"].release, known["b"].release) == ("2", ""), "nobody knows what is there"
    assert (known["a"].aftermath, known["b"].aftermath) == ("", "step skipped")


@pytest.mark.found("M7")
def test_what_was_rolled_back_is_remembered_as_that_and_not_as_its_steps_ended() -> None:
    """An abort takes back what was ok, and the picker must not call it ok afterwards."""
    plan = plan_of(wave("a b c"), rollback=(UNDO,))
    rollout = Rollout(plan, ends={"b": ["failed"], "a rollback": ["failed"]})
    rollout.go()
    rollout.record(e.Aborted(ME, "enough", rollback=True))
    rollout.go()
    assert rollout.state.verdict is not None
    known = known_after(rollout.state)
    assert [known[name].aftermath for name in "abc"] == ["rollback failed", "rolled back", "rolled back"]
