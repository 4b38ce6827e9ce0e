"""Who takes part: an environment's targets without those that are left alone, each with why."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Environment, Fleet, Target
from canary_tui.domain.planning.choices import Choices
from canary_tui.domain.planning.members import NOT_IN_ONLY, Members
from canary_tui.domain.planning.plan import Excluded

FLEET = Fleet(
    "shop",
    (
        Target("web-1", roles=("web",), environments=("production",), tags={"zone": "a"}),
        Target("web-2", roles=("web",), environments=("production",), tags={"zone": "b"}),
        Target("db-1", roles=("db",), environments=("production", "staging")),
        Target("any-1", roles=("web",)),
        Target("stage-1", roles=("web",), environments=("staging",)),
    ),
    (RunStep(run="deploy"),),
    environments={"production": Environment(), "staging": Environment(), "empty": Environment()},
)


def settled(environment: str = "production", fleet: Fleet = FLEET, only: str | None = None, *exclude: str) -> Members:
    members = Members(fleet, environment)
    members.settle(Choices("1", environment, only=only, exclude=exclude))
    return members


@pytest.mark.parametrize(
    ("environment", "going"),
    [
        pytest.param("production", "web-1 web-2 db-1 any-1", id="its own, and those that are everywhere"),
        pytest.param("staging", "db-1 any-1 stage-1", id="one may belong to several"),
        pytest.param("empty", "any-1", id="only those that are everywhere"),
    ],
)
def test_an_environment_has_its_targets_in_the_order_of_the_file(environment: str, going: str) -> None:
    members = settled(environment)
    assert list(members.going) == going.split()
    assert (members.reasons, members.excluded) == ([], {})


def test_every_target_belongs_where_there_are_no_environments() -> None:
    everywhere = replace(FLEET, environments={}, targets=tuple(Target(one.name) for one in FLEET.targets))
    assert len(settled("", everywhere).going) == 5


@pytest.mark.parametrize(
    ("only", "exclude", "going", "left"),
    [
        pytest.param(None, ("web-2",), "web-1 db-1 any-1", {"web-2": "excluded by --exclude web-2"}, id="excluded"),
        pytest.param(
            None,
            ("zone=b", "@db"),
            "web-1 any-1",
            {"web-2": "excluded by --exclude zone=b", "db-1": "excluded by --exclude @db"},
            id="each with the words that did it",
        ),
        pytest.param(
            None,
            ("web-2", "web-*"),
            "db-1 any-1",
            {"web-1": "excluded by --exclude web-*", "web-2": "excluded by --exclude web-2"},
            id="the first that named it",
        ),
        pytest.param("zone=a", (), "web-1", dict.fromkeys(["web-2", "db-1", "any-1"], NOT_IN_ONLY), id="only"),
        pytest.param(
            "web-*",
            ("web-2",),
            "web-1",
            {"web-2": "excluded by --exclude web-2", "db-1": NOT_IN_ONLY, "any-1": NOT_IN_ONLY},
            id="only, without",
        ),
    ],
)
def test_whoever_is_left_alone_is_listed_with_the_reason(
    only: str | None, exclude: tuple[str, ...], going: str, left: dict[str, str]
) -> None:
    members = settled("production", FLEET, only, *exclude)
    assert list(members.going) == going.split()
    assert members.left_alone() == tuple(
        Excluded(one.name, left[one.name]) for one in FLEET.targets if one.name in left
    )
    assert members.reasons == []


@pytest.mark.parametrize(
    ("roles", "left"),
    [
        pytest.param([("web",)], ["db-1"], id="no step is for the database"),
        pytest.param([("web",), ("db", "cache")], [], id="each has one"),
        pytest.param([("web",), ()], [], id="a step for all"),
    ],
)
def test_a_target_for_which_there_is_no_step_is_left_alone(roles: list[tuple[str, ...]], left: list[str]) -> None:
    fleet = replace(FLEET, steps=tuple(RunStep(run="x", roles=one) for one in roles))
    members = settled("production", fleet)
    assert members.excluded == dict.fromkeys(left, "no step is for its roles")


def test_steps_of_rollback_and_finally_alone_make_nobody_take_part() -> None:
    fleet = replace(FLEET, steps=(RunStep(run="x", roles=("web",)),), rollback=(RunStep(run="y", roles=("db",)),))
    assert "db-1" in settled("production", fleet).excluded


@pytest.mark.parametrize(
    ("environment", "only", "exclude", "reason"),
    [
        pytest.param("production", None, ("*",), "nobody is left: every target is excluded", id="all"),
        pytest.param("production", "web-1 |", (), "--only 'web-1 |': expected a word such as", id="no selection"),
        pytest.param(
            "production", None, ("outdated",),
            "--exclude 'outdated': release=, outdated and failed are known only once the targets were asked; name the targets",
            id="nobody was asked yet",
        ),
        pytest.param("production", "web-1 web-2", (), "--only 'web-1 web-2' matches no target in production", id="none"),
        pytest.param(
            "production", "wbe-1", (), "--only: unknown target 'wbe-1' in production; did you mean 'web-1'?", id="misspelt"
        ),
        pytest.param("production", "@cache", (), "--only: unknown role 'cache' in production", id="no such role"),
        pytest.param(
            "production", None, ("stage-1",),
            "--exclude: target 'stage-1' does not belong to production (only staging)",
            id="elsewhere is no misspelling",
        ),
        pytest.param(
            "staging", "zone=a", (), "--only: unknown tag 'zone' in staging", id="nobody here has such a tag"
        ),
    ],
)  # fmt: skip
def test_what_names_nobody_is_refused_and_never_ignored(
    environment: str, only: str | None, exclude: tuple[str, ...], reason: str
) -> None:
    members = settled(environment, FLEET, only, *exclude)
    assert len(members.reasons) == 1
    assert members.reasons[0].startswith(reason)


def test_an_environment_without_targets_says_so() -> None:
    fleet = replace(FLEET, targets=FLEET.targets[:2])
    assert settled("staging", fleet).reasons == ["no target belongs to staging"]


def test_a_wrong_word_is_the_one_reason_and_not_that_nobody_is_left() -> None:
    members = settled("production", FLEET, "wbe-1")
    assert not members.going
    assert len(members.reasons) == 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        pytest.param("web-2", "excluded by --exclude web-2", id="excluded"),
        pytest.param("stage-1", "it does not belong to production", id="elsewhere"),
        pytest.param("wbe-1", "unknown target; did you mean 'web-1'?", id="misspelt"),
        pytest.param("x", "unknown target", id="unknown"),
    ],
)
def test_why_somebody_does_not_take_part_can_be_asked(name: str, why: str) -> None:
    assert settled("production", FLEET, None, "web-2").why_not(name) == why


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["production", "staging", "empty"]),
    st.lists(st.sampled_from(["web-1", "@db", "zone=b", "any-*", "!@web"]), max_size=3),
    st.none() | st.sampled_from(["*", "@web", "web-1 | db-1"]),
)
def test_each_target_of_an_environment_takes_part_or_is_listed(
    environment: str, exclude: list[str], only: str | None
) -> None:
    members = settled(environment, FLEET, only, *exclude)
    here = [one.name for one in FLEET.targets if not one.environments or environment in one.environments]
    alone = [one.target for one in members.left_alone()]
    assert sorted([*members.going, *alone]) == sorted(here)
    assert alone == [name for name in here if name in alone]
    assert all(one.reason for one in members.left_alone())
