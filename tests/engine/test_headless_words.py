"""What is printed without screens goes to a terminal, too: a journal may come from anywhere."""

from __future__ import annotations

import json

import pytest

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout import events as e
from canary_tui.domain.rollout.events import Operator, Record
from canary_tui.service.headless import print_journal

HOSTILE = "\x1b]52;c;ZXZpbA==\x07 \x9b2J \u202eback \x7f\nnext"
TARGETS = {name: PlannedTarget(name, name, Ssh(), steps=(0,)) for name in ("a", "b")}
PLAN = Plan("shop", "2", "", TARGETS, (PlannedWave("all", ("a", "b"), 1),), (RunStep(run="true"),))
RECORDS = [
    Record(0, 1.0, e.RolloutStarted("r", PLAN, Operator(HOSTILE, "desk"), attended=False, version="1")),
    Record(1, 1.0, e.ProbeStarted("a")),
    Record(2, 1.0, e.TargetProbed("a", "failed", detail=HOSTILE)),
]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_journal_told_as_lines_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    print_journal(RECORDS, as_json=as_json)
    lines = capsys.readouterr().out.split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == (4 if as_json else 3)
    if as_json:
        assert json.loads(lines[2])["event"]["detail"] == HOSTILE
