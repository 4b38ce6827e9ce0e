"""What a plan warns about: canaries that prove less than they seem to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rollout import wave

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Gate, Ssh
from canary_tui.domain.planning.plan import PlannedTarget
from canary_tui.domain.planning.warnings import warnings

STEPS = (RunStep(run="deploy", name="deploy"), RunStep(run="migrate", name="migrate"))
WAVES = (wave("a b", Gate()), wave("c d"))


def targets(**changes: Mapping[str, object]) -> dict[str, PlannedTarget]:
    """Four targets for which every step is, but for these changes."""
    made = {name: PlannedTarget(name, name, Ssh(), steps=(0, 1)) for name in "abcd"}
    return {name: replace(one, **changes.get(name, {})) for name, one in made.items()}  # type: ignore[arg-type]  # fields


def tagged(**zones: str) -> dict[str, PlannedTarget]:
    return targets(**{name: {"tags": {"zone": zone}} for name, zone in zones.items()})


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        pytest.param(targets(), (), id="all alike"),
        pytest.param(
            targets(a={"steps": (0,)}, b={"steps": (0,)}),
            ("no canary tries step 'migrate', which is for 2 targets: c d",),
            id="a step that no canary tries",
        ),
        pytest.param(targets(a={"steps": (0,)}), (), id="one canary is enough"),
        pytest.param(
            targets(**{name: {"steps": (0,)} for name in "abcd"}), (), id="a step that is for nobody needs no trial"
        ),
        pytest.param(
            targets(a={"steps": ()}, b={"steps": ()}, d={"steps": (0,)}),
            (
                "no canary tries step 'deploy', which is for 2 targets: c d",
                "no canary tries step 'migrate', which is for 1 target: c",
            ),
            id="each such step",
        ),
        pytest.param(
            tagged(a="eu", b="eu", c="eu", d="us"),
            ("all canaries have zone=eu, the rest has 1 other value of zone too",),
            id="one zone of two",
        ),
        pytest.param(
            tagged(a="eu", b="eu", c="asia", d="us"),
            ("all canaries have zone=eu, the rest has 2 other values of zone too",),
            id="one zone of three",
        ),
        pytest.param(tagged(a="eu", b="us", c="asia", d="us"), (), id="canaries in two zones"),
        pytest.param(tagged(a="eu", b="eu", c="eu", d="eu"), (), id="there is only one"),
        pytest.param(tagged(a="eu", c="us", d="us"), (), id="one canary has none"),
        pytest.param(tagged(a="eu", b="eu"), (), id="the rest has none"),
    ],
)
def test_canaries_that_are_unlike_the_rest_are_spoken_of(
    planned: dict[str, PlannedTarget], expected: tuple[str, ...]
) -> None:
    assert warnings(WAVES, planned, STEPS) == expected


def test_without_a_gate_there_are_no_canaries_to_speak_of() -> None:
    ungated = (replace(WAVES[0], gate=None), WAVES[1])
    assert warnings(ungated, tagged(a="eu", b="eu", c="us", d="us"), STEPS) == ()


@pytest.mark.found("field 14")
@pytest.mark.parametrize(
    "text", ["set -o pipefail\nmake | tee log", "cd app\n  set -eu -o pipefail", "set -euo pipefail"]
)
def test_a_step_whose_shell_may_not_know_pipefail_is_warned_of(text: str) -> None:
    step = RunStep(run=text, name="build")
    [warned] = warnings(WAVES, targets(), (step,))
    assert "'build' sets pipefail" in warned
    assert warnings(WAVES, targets(), (RunStep(run="echo set -o pipefail", name="build"),)) == ()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sets(st.integers(0, 1)), min_size=4, max_size=4))
def test_a_step_is_warned_about_where_the_rest_runs_it_and_no_canary_does(applied: list[set[int]]) -> None:
    planned = targets(**{name: {"steps": tuple(sorted(one))} for name, one in zip("abcd", applied, strict=True)})
    canaries, rest = applied[0] | applied[1], applied[2] | applied[3]
    warned = [step.name for step in STEPS if any(repr(step.name) in line for line in warnings(WAVES, planned, STEPS))]
    assert warned == [STEPS[index].name for index in sorted(rest - canaries)]
