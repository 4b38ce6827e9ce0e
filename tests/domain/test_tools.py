"""Which commands a target is asked for before the first change."""

import pytest

from canary_tui.domain.fleet.steps import RunStep, ScriptStep, UploadStep
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.planning.tools import interpreters, tools_of


@pytest.mark.parametrize(
    ("first", "needed"),
    [
        pytest.param("#!/usr/bin/python3", ["/usr/bin/python3"], id="path"),
        pytest.param("#!/bin/bash -eu", ["/bin/bash"], id="options"),
        pytest.param("#! /usr/bin/env python3", ["/usr/bin/env", "python3"], id="env"),
        pytest.param("#!/usr/bin/env -S LANG=C python3 -u", ["/usr/bin/env", "python3"], id="env-with-options"),
        pytest.param("#!/bin/sh -e", [], id="sh-is-there"),
        pytest.param("#!/bin/bash\r", ["/bin/bash"], id="carriage-return"),
        pytest.param("#!/opt/my tool", ["/opt/my"], id="as-the-kernel-splits-it"),
        pytest.param("#!/opt/$(reboot)", [], id="not-a-word"),
        pytest.param("#!", [], id="nothing"),
        pytest.param("echo hello", [], id="no-such-line"),
    ],
)
def test_a_script_needs_its_interpreter(first: str, needed: list[str]) -> None:
    assert list(interpreters(f"{first}\necho\n")) == needed


def test_a_target_needs_what_the_steps_for_it_need_in_every_phase_each_once() -> None:
    steps = (
        RunStep(run="a", tools=("tar", "ln")),
        ScriptStep(script="s", tools=("tar", "jq")),
        RunStep(run="b", tools=("psql",)),
        UploadStep(upload="a", to="/b"),
    )
    target = PlannedTarget("web-1", "web-1", Ssh(), steps=(0, 1, 3), rollback=(0,), finally_=(0,))
    plan = Plan(
        "shop", "1", "", {"web-1": target}, (PlannedWave("all", ("web-1",), 1),), steps,
        rollback=(RunStep(run="c", tools=("git",)),), finally_=(RunStep(run="d", tools=("rm",)),),
        scripts={"s": "#!/usr/bin/env python3\n"},
    )  # fmt: skip
    assert tools_of(plan, "web-1") == ("tar", "ln", "jq", "/usr/bin/env", "python3", "git", "rm")
