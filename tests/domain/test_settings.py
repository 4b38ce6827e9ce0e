"""What a target gets: which of several tables has the last word, and what is refused because nobody says it."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet.steps import HttpStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Environment, Fleet, Ssh, Target
from canary_tui.domain.fleet.units import Duration
from canary_tui.domain.fleet.variables import ALWAYS, AT_RUN_TIME
from canary_tui.domain.planning.build import Choices, PlanError, build_plan
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.planning.settings import explain

RUN = RunStep(run="deploy")
TABLES = ("[vars]", "[environments.production]", "target web-1", "--var")
"""Whoever stands later wins."""


def fleet_of(*steps: Step, **rest: object) -> Fleet:
    targets = (
        Target("web-1", "10.0.0.1", ("web",)),
        Target("web-2", "10.0.0.2", ("web",)),
        Target("db-1", roles=("db",)),
    )
    fleet = Fleet("shop", targets, steps or (RUN,), environments={"production": Environment()})
    return replace(fleet, **rest)  # type: ignore[arg-type]  # any field of a fleet


def planned(fleet: Fleet, **variables: str) -> Plan:
    return build_plan(fleet, Choices("1.4.2", canaries=("web-1",), variables=variables), {"deploy.sh": "echo"})


def refused(fleet: Fleet, **variables: str) -> list[str]:
    with pytest.raises(PlanError) as caught:
        planned(fleet, **variables)
    return list(caught.value.reasons)


def saying(tables: tuple[str, ...]) -> tuple[Fleet, dict[str, str]]:
    """A fleet and overrides in which these tables, and no others, say what A is."""
    said = {table: {"A": table} for table in tables}
    fleet = fleet_of(vars=said.get("[vars]", {}))
    targets = (replace(fleet.targets[0], vars=said.get("target web-1", {})), *fleet.targets[1:])
    places = {"production": Environment(vars=said.get("[environments.production]", {}))}
    return replace(fleet, targets=targets, environments=places), said.get("--var", {})


EVERY_SUBSET = [
    tuple(table for table, there in zip(TABLES, chosen, strict=True) if there)
    for chosen in product([True, False], repeat=len(TABLES))
]


@pytest.mark.parametrize("tables", [pytest.param(one, id=", ".join(one) or "none") for one in EVERY_SUBSET])
def test_the_nearest_table_has_the_last_word_and_is_named_for_it(tables: tuple[str, ...]) -> None:
    fleet, overrides = saying(tables)
    plan = planned(fleet, **overrides)
    expected = tables[-1] if tables else None
    assert plan.targets["web-1"].variables.get("A") == expected
    sources = {one.name: one.source for one in explain(plan, fleet, "web-1", overrides)}
    assert sources.get("A") == expected


def test_one_targets_variables_are_no_others() -> None:
    fleet, _ = saying(("[vars]", "target web-1"))
    plan = planned(fleet)
    assert [plan.targets[name].variables["A"] for name in ("web-1", "web-2")] == ["target web-1", "[vars]"]


@pytest.mark.parametrize("name", sorted(set(ALWAYS) - set(AT_RUN_TIME)))
def test_no_table_changes_what_is_always_there(name: str) -> None:
    fleet = fleet_of(vars={name: "other"}, environments={"production": Environment(vars={name: "other"})})
    plan = planned(fleet)
    value = {
        "RELEASE": "1.4.2", "TARGET": "web-2", "HOST": "10.0.0.2", "FLEET": "shop", "ENVIRONMENT": "production",
        "WAVE": "rest", "CANARIES": "web-1",
    }[name]  # fmt: skip
    assert plan.targets["web-2"].variables[name] == value
    explained = {one.name: one for one in explain(plan, fleet, "web-2", {})}
    assert (explained[name].value, explained[name].source) == (value, "built in")


def test_what_is_known_only_while_it_runs_is_not_in_the_plan() -> None:
    assert not set(AT_RUN_TIME) & set(planned(fleet_of()).targets["web-1"].variables)


# How a target is reached


@pytest.mark.parametrize(
    ("target", "place", "fleet", "user", "source"),
    [
        pytest.param(Ssh("own"), Ssh("place"), Ssh("all"), "own", "target web-1", id="the target"),
        pytest.param(Ssh(), Ssh("place"), Ssh("all"), "place", "[environments.production]", id="its environment"),
        pytest.param(Ssh(), Ssh(), Ssh("all"), "all", "[ssh]", id="the fleet"),
        pytest.param(Ssh(), Ssh(), Ssh(), None, None, id="ssh_config"),
    ],
)
def test_connection_settings_come_from_the_nearest_table(
    target: Ssh, place: Ssh, fleet: Ssh, user: str | None, source: str | None
) -> None:
    whole = fleet_of(ssh=fleet, environments={"production": Environment(ssh=place)})
    whole = replace(whole, targets=(replace(whole.targets[0], ssh=target), *whole.targets[1:]))
    plan = planned(whole)
    assert plan.targets["web-1"].ssh.user == user
    explained = {one.name: one for one in explain(plan, whole, "web-1", {})}
    assert ("ssh.user" in explained) == (user is not None)
    if source is not None:
        assert explained["ssh.user"].source == source


SSH = st.builds(
    Ssh,
    user=st.none() | st.sampled_from(["ann", "bob"]),
    port=st.none() | st.integers(1, 9),
    jump=st.none() | st.sampled_from(["none", "bastion"]),
    connect_timeout=st.none() | st.just(Duration(5)),
    sudo=st.none() | st.booleans(),
)


@given(SSH, SSH, SSH)
def test_each_setting_is_taken_by_itself_and_false_is_a_setting(target: Ssh, place: Ssh, fleet: Ssh) -> None:
    found = target.over(place.over(fleet))
    assert found == target.over(place).over(fleet)
    for one in fields(Ssh):
        said = [getattr(table, one.name) for table in (target, place, fleet)]
        assert getattr(found, one.name) == next((value for value in said if value is not None), None)


def test_settings_are_explained_in_the_words_of_the_file_after_the_variables_by_name() -> None:
    fleet = fleet_of(ssh=Ssh(user="deploy", connect_timeout=Duration(15), known_hosts="hosts"), vars={"B": "", "A": ""})
    explained = [one.name for one in explain(planned(fleet), fleet, "web-1", {})]
    variables = [name for name in explained if not name.startswith("ssh.")]
    assert variables == sorted(variables)
    assert explained[len(variables) :] == ["ssh.user", "ssh.known-hosts", "ssh.connect-timeout"]
    with pytest.raises(KeyError):
        explain(planned(fleet), fleet, "web-9", {})


# What is filled in before the start


@pytest.mark.parametrize(
    ("step", "uses"),
    [
        pytest.param(UploadStep(upload="dist/$X", to="a", name="s"), True, id="what is uploaded"),
        pytest.param(UploadStep(upload="a", to="srv/${X}/a", name="s"), True, id="where to"),
        pytest.param(HttpStep(http="http://$X/", name="s"), True, id="a URL"),
        pytest.param(RunStep(run="echo $X", name="s"), False, id="a command: the target's shell"),
        pytest.param(ScriptStep(script="deploy.sh", name="s"), False, id="a script"),
    ],
)
def test_a_name_that_we_fill_in_must_be_known_for_each_target(step: Step, uses: bool) -> None:
    fleet = fleet_of(step)
    if uses:
        assert refused(fleet) == [
            f"step 's' uses $X, which {name} does not have" for name in ("web-1", "web-2", "db-1")
        ]
    plan = planned(fleet, X="x")
    assert plan.targets["web-1"].variables["X"] == "x"


@pytest.mark.parametrize("table", ["steps", "rollback", "finally_"])
def test_names_are_looked_at_in_every_list_of_steps(table: str) -> None:
    step = HttpStep(http="http://$X/", roles=("db",))
    fleet = replace(fleet_of(RUN), **{table: (RUN, step)})  # type: ignore[arg-type]  # a list of steps
    assert refused(fleet) == ["step 'http $X/' uses $X, which db-1 does not have"]


def test_names_of_the_run_time_are_taken_on_trust() -> None:
    step = UploadStep(upload="dist/$PREVIOUS", to="srv/$ROLLOUT/a")
    assert planned(fleet_of(step)).steps[0].name == "upload $PREVIOUS"


@pytest.mark.parametrize("value", ["../x", "a/..", "..", "a\nb", "a\x1b[2J"])
def test_a_value_that_climbs_or_hides_is_no_part_of_a_path(value: str) -> None:
    fleet = fleet_of(RUN, UploadStep(upload="a", to="srv/$X/a", name="s", roles=("db",)))
    (reason,) = refused(fleet, X=value)
    assert reason.startswith("step 's': $X of db-1 is no part of a path: ")


@pytest.mark.parametrize("value", ["a", "a/b", "a..b", "...", "/abs", "", "ü"])
def test_any_other_value_is(value: str) -> None:
    planned(fleet_of(UploadStep(upload="a", to="srv/$X/a")), X=value)


@settings(max_examples=150, deadline=None)
@given(st.sets(st.sampled_from(["web", "db"])), st.sets(st.sampled_from(["web", "db", "cache"])))
def test_a_step_is_for_the_targets_that_share_a_role_with_it(first: set[str], second: set[str]) -> None:
    """A step without roles is for all of them."""
    roles = [tuple(sorted(one)) for one in (first, second)]
    plan = planned(fleet_of(RUN, *(RunStep(run="x", roles=one) for one in roles)))
    for target in plan.targets.values():
        expected = [0, *(i for i, one in enumerate(roles, 1) if not one or set(one) & set(target.roles))]
        assert list(target.steps) == expected


@pytest.mark.parametrize(
    ("to", "values", "path"),
    [
        pytest.param("srv/.$X/a", {"X": "."}, "srv/../a", id="a dot of the file and one of the variable"),
        pytest.param("srv/$X$Y/a", {"X": ".", "Y": "."}, "srv/../a", id="a dot of each"),
        pytest.param("srv/$X", {"X": ""}, "srv/", id="a folder"),
        pytest.param("srv/$X", {"X": "bin/"}, "srv/bin/", id="a folder of the variable's own"),
        pytest.param("$X", {"X": ""}, "", id="nothing"),
    ],
)
def test_a_path_is_held_to_its_rule_once_it_is_filled_in(to: str, values: dict[str, str], path: str) -> None:
    fleet = fleet_of(RUN, UploadStep(upload="a", to=to, name="s", roles=("db",)))
    (reason,) = refused(fleet, **values)
    assert reason.startswith(f"step 's' cannot upload to {path!r} on db-1: ")
