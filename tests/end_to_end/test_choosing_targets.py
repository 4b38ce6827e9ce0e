"""Subsets, roles and environments: who takes part, said in the plan and true on the servers."""

from __future__ import annotations

from pathlib import Path

import pytest
from farm import Farm
from fronts import Ran, approval, canary_tui, headless, plan_in, plan_of, told
from marks import DEPLOY, fleet_file, names, operations, untouched, waves, with_mark

from canary_tui.domain.rollout import events as e

ROLES = {
    "web-1": 'roles = ["web-server", "canary"]',
    "web-2": 'roles = ["web-server"]',
    "web-3": 'roles = ["db-server"]',
    "web-4": 'roles = ["web-server", "db-server"]',
}
BY_ROLE = """
[[steps]]
run = "echo x >> web"
roles = ["web-server"]
[[steps]]
run = "echo x >> db"
roles = ["db-server"]
[[steps]]
run = "echo x >> both"
roles = ["web-server", "db-server"]
[[waves]]
name = "canary"
targets = "@canary"
[waves.gate]
[[waves]]
name = "rest"
"""
PLACES = """
[environments.production]
{protected}
[environments.staging]
[[waves]]
name = "canary"
targets = "web-1"
environments = ["production"]
[waves.gate]
[[waves]]
name = "rest"
"""


def roles_of(farm: Farm) -> dict[str, str]:
    """The lines of each target's roles: those of the first four over and over, but with one canary only."""
    usual = [line.replace(', "canary"', "") for line in ROLES.values()]
    return {target.name: usual[at % len(usual)] for at, target in enumerate(farm.targets)} | ROLES


def with_role(farm: Farm, role: str) -> set[str]:
    return {name for name, line in roles_of(farm).items() if f'"{role}"' in line}


def planned(state: Path, fleet: Path, *arguments: object) -> Ran:
    return canary_tui(state, "plan", fleet, "--release", "2.0", *arguments)


# Subsets


@pytest.mark.criterion("D1")
def test_only_names_exactly_who_is_deployed(any_farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(any_farm, DEPLOY), "--only", "web-2 | web-4")
    assert ran.code == 0, ran.text
    assert with_mark(any_farm) == {"web-2", "web-4"}
    others = [target for target in any_farm.targets if target.name not in ("web-2", "web-4")]
    assert all(target.commands() == [] for target in others)


@pytest.mark.criterion("D3", "D4")
def test_exclude_leaves_targets_alone_in_both_waves(any_farm: Farm, state: Path, tmp_path: Path) -> None:
    """Repeatable; what is left out is not even connected to, and is listed with the reason."""
    fleet = fleet_file(any_farm, DEPLOY)
    words = ("--canary", "web-1 | web-2", "--exclude", "web-2", "--exclude", "web-4")
    refused = headless(state, fleet, *words)
    assert refused.code == 2
    assert "canary 'web-2' cannot be one: excluded by --exclude web-2" in refused.err
    words = ("--canary", "web-1", *words[2:])
    shown = planned(state, fleet, *words).out
    assert "excluded by --exclude web-4" in shown
    yes = approval(tmp_path, shown.partition("plan ")[2].split()[0])
    assert headless(state, fleet, *words, "--approve-with", yes).code == 0
    assert with_mark(any_farm) == names(any_farm) - {"web-2", "web-4"}
    assert operations(any_farm.targets[1]) == operations(any_farm.targets[3]) == []


@pytest.mark.criterion("D3")
def test_exclude_works_with_only(any_farm: Farm, state: Path) -> None:
    assert headless(state, fleet_file(any_farm, DEPLOY), "--only", "web-[1-3]", "--exclude", "web-2").code == 0
    assert with_mark(any_farm) == {"web-1", "web-3"}


@pytest.mark.criterion("D3")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--exclude", "web-44"], "web-44", id="unknown name"),
        pytest.param(["--exclude", "@nobody"], "nobody", id="unknown role"),
        pytest.param(["--exclude", "web-*"], "nobody is left", id="all excluded"),
        pytest.param(["--only", "web-44"], "web-44", id="only an unknown name"),
        pytest.param(["--only", "web-1", "--exclude", "web-1"], "nobody is left", id="only and excluded"),
        pytest.param(["--only", "web-1", "--canary", "web-1"], "exclude each other", id="only with canaries"),
        pytest.param(["--canary", "web-1", "--env", "prod"], "unknown environment", id="unknown environment"),
    ],
)
def test_a_choice_of_nobody_is_an_error(any_farm: Farm, state: Path, words: list[str], said: str) -> None:
    """Never exit code 0 without having done anything."""
    ran = headless(state, fleet_file(any_farm, DEPLOY), *words)
    assert ran.code == 2
    assert said in ran.err
    assert all(target.commands() == [] for target in any_farm.targets)


# Roles


@pytest.mark.criterion("E1")
def test_steps_go_to_the_union_of_their_roles(any_farm: Farm, state: Path, tmp_path: Path) -> None:
    fleet = fleet_file(any_farm, BY_ROLE, roles_of(any_farm))
    yes = approval(tmp_path, plan_of(fleet, attended=False).hash)
    assert headless(state, fleet, "--approve-with", yes).code == 0
    assert with_mark(any_farm, "web") == with_role(any_farm, "web-server")
    assert with_mark(any_farm, "db") == with_role(any_farm, "db-server")
    assert with_mark(any_farm, "both") == names(any_farm)


@pytest.mark.criterion("E1")
def test_an_unknown_role_is_a_load_error(any_farm: Farm, state: Path) -> None:
    fleet = fleet_file(any_farm, BY_ROLE.replace('roles = ["web-server"]', 'roles = ["web-sever"]'), roles_of(any_farm))
    ran = headless(state, fleet, "--canary", "web-1")
    assert ran.code == 2
    assert "did you mean 'web-server'" in ran.err
    assert f"{fleet}:5:" in ran.err


@pytest.mark.criterion("E2", "E3")
def test_canaries_come_from_their_role_and_a_target_with_both_goes_once(any_farm: Farm, state: Path) -> None:
    fleet = fleet_file(any_farm, BY_ROLE, roles_of(any_farm))
    shown = planned(state, fleet).out
    assert "1 canary: 1 target (from role 'canary')" in shown
    assert headless(state, fleet).code == 4
    assert with_mark(any_farm, "web") == {"web-1"}
    assert plan_in(state).waves[1].targets == tuple(target.name for target in any_farm.targets[1:])


@pytest.mark.criterion("E2")
def test_the_plan_says_that_the_operator_changed_the_canaries(any_farm: Farm, state: Path) -> None:
    fleet = fleet_file(any_farm, BY_ROLE, roles_of(any_farm))
    assert "from role 'canary', changed by operator (+1 -1)" in planned(state, fleet, "--canary", "web-2").out
    assert headless(state, fleet, "--canary", "web-2").code == 4
    assert with_mark(any_farm, "web") == {"web-2"}
    assert "changed by operator" in plan_in(state).waves[0].origin


# What is there already


@pytest.mark.criterion("E3")
def test_a_target_that_says_it_has_the_release_is_skipped(any_farm: Farm, state: Path, tmp_path: Path) -> None:
    """What the target says counts, and not what was written down about it."""
    fleet = fleet_file(any_farm, DEPLOY)
    yes = approval(tmp_path, plan_of(fleet, canary_selection="web-1", attended=False).hash)
    (any_farm.targets[2].home / "REVISION").write_text("2.0\n")
    ran = headless(state, fleet, "--canary", "web-1", "--approve-with", yes)
    assert ran.code == 0
    assert "web-3: skipped, already on 2.0" in ran.err
    assert with_mark(any_farm) == names(any_farm) - {"web-3"}
    assert untouched(any_farm.targets[2:3])
    assert [event.target for event in told(state, e.TargetSkipped)] == ["web-3"]


def test_what_was_changed_behind_our_back_is_deployed_again(farm: Farm, tmp_path: Path) -> None:
    """E3"""
    fleet = fleet_file(farm, DEPLOY + '[[waves]]\nname = "all"\n')
    assert headless(tmp_path / "one", fleet).code == 0
    (farm.targets[1].home / "REVISION").write_text("1.0\n")
    assert headless(tmp_path / "one", fleet).code == 0
    assert {target.name: target.read("deployed").split() for target in farm.targets} == {
        name: ["2.0", "2.0"] if name == "web-2" else ["2.0"] for name in names(farm)
    }


@pytest.mark.found("M10")
def test_where_every_target_has_the_release_there_is_nothing_to_do_and_no_gate(farm: Farm, state: Path) -> None:
    """M10, E3"""
    for target in farm.targets:
        (target.home / "REVISION").write_text("2.0\n")
    ran = headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1")
    assert (ran.code, ran.out) == (0, "succeeded: nothing to do: 4 of 4 report 2.0 already\n")
    assert told(state, e.GateOpened) == []
    assert untouched(farm.targets)


def test_redeploy_overrides(farm: Farm, state: Path) -> None:
    """E3"""
    for target in farm.targets:
        (target.home / "REVISION").write_text("2.0\n")
    assert headless(state, fleet_file(farm, DEPLOY), "--canary", "web-1", "--redeploy").code == 4
    assert with_mark(farm) == {"web-1"}


# Environments


@pytest.mark.criterion("E4")
def test_in_staging_the_same_file_deploys_to_all_at_once(any_farm: Farm, state: Path) -> None:
    fleet = fleet_file(any_farm, DEPLOY + PLACES.format(protected=""))
    shown = planned(state, fleet, "--env", "staging").out
    assert "wave 'canary' and its gate do not exist in staging" in shown
    assert "in staging there is no gate" in shown
    assert headless(state, fleet, "--env", "staging").code == 0
    assert with_mark(any_farm) == names(any_farm)
    assert told(state, e.GateOpened) == []


@pytest.mark.criterion("E4")
def test_in_production_it_has_its_gate(any_farm: Farm, state: Path) -> None:
    fleet = fleet_file(any_farm, DEPLOY + PLACES.format(protected="protected = true"))
    assert headless(state, fleet, "--env", "production").code == 4
    assert with_mark(any_farm) == {"web-1"}


def test_which_environment_must_be_said(farm: Farm, state: Path) -> None:
    ran = headless(state, fleet_file(farm, DEPLOY + PLACES.format(protected="")))
    assert ran.code == 2
    assert "say --env and one of production, staging" in ran.err


@pytest.mark.criterion("E5")
def test_a_misspelt_environment_cannot_disable_a_gate(any_farm: Farm, state: Path) -> None:
    body = DEPLOY + PLACES.format(protected="").replace('["production"]', '["prodution"]')
    ran = headless(state, fleet_file(any_farm, body), "--env", "production")
    assert ran.code == 2
    assert "did you mean 'production'" in ran.err
    assert all(target.commands() == [] for target in any_farm.targets)


@pytest.mark.criterion("E5")
@pytest.mark.parametrize(
    "no_gate",
    [
        pytest.param(DEPLOY + '[environments.production]\nprotected = true\n[[waves]]\nname = "all"\n', id="one wave"),
        pytest.param(
            DEPLOY
            + "[environments.production]\nprotected = true\n[environments.staging]\n"
            + waves("web-1").replace('name = "canary"', 'name = "canary"\nenvironments = ["staging"]'),
            id="a gate elsewhere",
        ),
        pytest.param(
            DEPLOY + '[environments.production]\nprotected = true\n[[waves]]\nname = "a"\ntargets = "web-1"\n'
            '[[waves]]\nname = "b"\n',
            id="waves without a gate",
        ),
    ],
)
def test_a_protected_environment_has_a_gate_in_any_case(any_farm: Farm, state: Path, no_gate: str) -> None:
    ran = headless(state, fleet_file(any_farm, no_gate), "--env", "production", "--canary", "web-1")
    assert ran.code == 4, ran.text
    assert "production is protected: a person must approve" in ran.err
    assert with_mark(any_farm) == {"web-1"}
