"""How long an execution is waited for: counted from its start, whatever is reconnected in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from canary_tui.domain.fleet.steps import RunStep, UploadStep
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.rollout.patience import LOGIN, OUT_OF_REACH, OVERDUE, STOPPING, asked_until
from canary_tui.ssh.execution.patience import REST, SLOWEST, START, Patience

LIMIT = 100.0
SOON = LIMIT + STOPPING


def begun(patience: Patience) -> None:
    patience.sent(10.0)
    patience.begun(20.0)


def begun_again(patience: Patience) -> None:
    begun(patience)
    for at in (50.0, 100.0, 140.0):
        patience.reached(at)
        patience.begun(at)


def output_in_time(patience: Patience) -> None:
    begun(patience)
    patience.came(1 << 30, 100.0)


def output_too_late(patience: Patience) -> None:
    begun(patience)
    patience.came(7 * SLOWEST, 20.0 + SOON)


def came_back_late(patience: Patience) -> None:
    begun(patience)
    patience.away()
    patience.reached(300.0)


def came_back_too_late(patience: Patience) -> None:
    begun(patience)
    patience.away()
    patience.reached(3000.0)


def ended(patience: Patience) -> None:
    begun(patience)
    patience.ended(30.0)
    patience.ended(80.0)


def ended_on_a_slow_line(patience: Patience) -> None:
    ended(patience)
    patience.came(30 * SLOWEST, 85.0)


@pytest.mark.found("fault 2")
@pytest.mark.parametrize(
    ("story", "told_by"),
    [
        pytest.param(lambda _: None, LOGIN + SOON + OVERDUE, id="nothing is known"),
        pytest.param(lambda one: one.sent(10.0), 10.0 + LOGIN + SOON + OVERDUE, id="sent: a login may come first"),
        pytest.param(begun, 20.0 + SOON + OVERDUE, id="begun"),
        pytest.param(begun_again, 20.0 + SOON + OVERDUE, id="a new connection buys no time"),
        pytest.param(output_in_time, 20.0 + SOON + OVERDUE, id="output before the limit buys no time"),
        pytest.param(output_too_late, 20.0 + SOON + OVERDUE + 7, id="output after it does"),
        pytest.param(came_back_late, 300.0 + OVERDUE, id="back in reach, it has a moment to tell"),
        pytest.param(came_back_too_late, 20.0 + SOON + OUT_OF_REACH + OVERDUE, id="but not for ever"),
        pytest.param(ended, 30.0 + REST, id="once it said its end, the rest must come"),
        pytest.param(ended_on_a_slow_line, 30.0 + REST + 30, id="a slow line has its time for the rest"),
    ],
)
def test_a_wait_has_its_limit_from_the_start(story: Callable[[Patience], None], told_by: float) -> None:
    patience = Patience(LIMIT, 0.0)
    story(patience)
    assert patience.told_by == pytest.approx(told_by)
    assert patience.start_by == START


@pytest.mark.found("fault 2")
def test_the_screens_limit_is_never_shorter_than_the_one_that_is_held() -> None:
    """A row counts down to the moment at which a target out of reach is given up."""
    patience = Patience(LIMIT, 0.0)
    patience.sent(0.0)
    assert asked_until(RunStep(run="true", timeout=Duration(LIMIT)), 0.0) == patience.reached_by
    assert asked_until(UploadStep(upload="a", to="/a", timeout=Duration(LIMIT)), 5.0) == 5.0 + LIMIT
