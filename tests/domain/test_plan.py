"""Who gets what in which order: what is frozen before the start, and what is refused with which reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

import pytest
from choosing import Chosen
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.fleet.step_names import named
from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, UploadStep
from canary_tui.domain.fleet.tables import Environment, Fleet, Gate, ReleaseTable, Ssh, Target, Wave
from canary_tui.domain.fleet.units import Duration, Share
from canary_tui.domain.planning.build import Choices, PlanError, build_plan, check_release, picking
from canary_tui.domain.planning.plan import Plan
from canary_tui.domain.planning.plan_text import plan_lines
from canary_tui.domain.planning.settings import LONGEST_CANARIES, explain

GATED = (Wave("canary", targets="@canary", environments=("production",), gate=Gate()), Wave("rest", parallel=4))
WEB = ("web-server",)
FLEET = Fleet(
    name="shop",
    targets=(
        Target("web-1", "10.0.0.1", (*WEB, "canary"), ("production",), {"zone": "a"}),
        Target("web-2", "10.0.0.2", WEB, ("production",), {"zone": "b"}),
        Target("web-3", "10.0.0.3", WEB, ("production",), {"zone": "b"}),
        Target("db-1", "10.0.0.4", ("db-server",), ("production",), {"zone": "a"}),
        Target("stage-1", None, WEB, ("staging",)),
        Target("stage-2", None, (*WEB, "canary"), ("staging",)),
    ),
    steps=(RunStep(run="deploy $RELEASE"), RunStep(run="restart", roles=WEB), RunStep(run="x", roles=("db-server",))),
    environments={"production": Environment(), "staging": Environment()},
    waves=GATED,
)
PLAIN = replace(FLEET, waves=(), environments={}, targets=tuple(Target(f"web-{i}", roles=WEB) for i in range(1, 5)))


class Said(Chosen, total=False):
    """All that an operator says."""

    release: str


def plan_of(fleet: Fleet = FLEET, **said: Unpack[Said]) -> Plan:
    usual: Said = {"release": "1.4.2", "environment": "production" if fleet.environments else None}
    words: Said = {**usual, **said}
    return build_plan(fleet, Choices(**words), {})


def waves_of(plan: Plan) -> str:
    return " / ".join(" ".join(wave.targets) + ("!" if wave.gate else "") for wave in plan.waves)


def reasons_of(fleet: Fleet = FLEET, **choices: Unpack[Said]) -> str:
    with pytest.raises(PlanError) as caught:
        plan_of(fleet, **choices)
    return "\n".join(caught.value.reasons)


def test_a_role_preselects_the_canaries_and_the_plan_says_so() -> None:
    plan = plan_of()
    assert waves_of(plan) == "web-1! / web-2 web-3 db-1"
    assert [wave.origin for wave in plan.waves] == ["from role 'canary'", "all that is left"]
    assert [wave.parallel for wave in plan.waves] == [8, 4]


@pytest.mark.parametrize(
    ("choices", "waves", "origin"),
    [
        pytest.param(
            {"canaries": ("web-1",), "picked": True}, "web-1! / web-2 web-3 db-1", "from role 'canary'", id="same"
        ),
        pytest.param(
            {"canaries": ("db-1", "web-2"), "picked": True},
            "web-2 db-1! / web-1 web-3",
            "from role 'canary', changed by operator (+2 -1)",
            id="changed",
        ),
        pytest.param(
            {"canary_selection": "web-[1-2]"},
            "web-1 web-2! / web-3 db-1",
            "from role 'canary', changed by operator (+1 -0)",
            id="selection",
        ),
        pytest.param({"exclude": ("web-3", "@db-server")}, "web-1! / web-2", "from role 'canary'", id="exclude"),
    ],
)
def test_the_operator_may_change_the_canaries(choices: Said, waves: str, origin: str) -> None:
    plan = plan_of(**choices)
    assert waves_of(plan) == waves
    assert plan.waves[0].origin == origin


def test_without_waves_the_operator_picks_then_a_gate_then_the_rest_eight_at_once() -> None:
    plan = plan_of(PLAIN, canaries=("web-2",), picked=True)
    assert waves_of(plan) == "web-2! / web-1 web-3 web-4"
    assert plan.waves[0].gate == Gate() and plan.waves[1].parallel == 8
    assert [wave.origin for wave in plan.waves] == ["picked by operator", "all that is left"]
    assert plan_of(PLAIN, canary_selection="web-2").waves[0].origin == "from --canary web-2"


@pytest.mark.parametrize(
    ("fleet", "choices", "reason"),
    [
        pytest.param(PLAIN, {"canaries": ()}, "no canaries: a canary wave has 1 to 3 of the 4 targets", id="none"),
        pytest.param(
            PLAIN,
            {"canary_selection": "*"},
            "all 4 targets are canaries: a canary wave has 1 to 3, at least one target must remain",
            id="all",
        ),
        pytest.param(PLAIN, {}, "no canaries picked; pick 1 to 3, or say --canary SELECTION", id="not picked"),
        pytest.param(PLAIN, {"attended": False}, "nobody is there: say --canary SELECTION", id="nobody to pick"),
        pytest.param(FLEET, {"canaries": ("stage-1",)}, "it does not belong to production", id="elsewhere"),
        pytest.param(FLEET, {"canaries": ("wbe-1",)}, "unknown target; did you mean 'web-1'?", id="misspelt name"),
        pytest.param(
            FLEET, {"canary_selection": "@canry"}, "--canary: unknown role 'canry' in production", id="misspelt"
        ),
        pytest.param(
            FLEET, {"canaries": ("web-2",), "exclude": ("web-2",)}, "excluded by --exclude web-2", id="excluded canary"
        ),
        pytest.param(
            FLEET, {"exclude": ("web-1",)}, "'@canary' matches no target of this rollout", id="no canary left"
        ),
        pytest.param(FLEET, {"exclude": ("web-9",)}, "--exclude: unknown target 'web-9'", id="unknown exclude"),
        pytest.param(
            FLEET, {"exclude": ("stage-1",)}, "'stage-1' does not belong to production", id="exclude elsewhere"
        ),
        pytest.param(FLEET, {"exclude": ("@web-server @db-server",)}, "matches no target", id="empty exclude"),
        pytest.param(FLEET, {"exclude": ("*",)}, "nobody is left: every target is excluded", id="exclude all"),
        pytest.param(FLEET, {"only": "web-1 web-2"}, "--only 'web-1 web-2' matches no target", id="empty only"),
        pytest.param(FLEET, {"only": "web-1", "exclude": ("web-1",)}, "nobody is left", id="only what is excluded"),
        pytest.param(FLEET, {"only": "web-1", "canaries": ("web-1",)}, "exclude each other", id="only and canaries"),
        pytest.param(FLEET, {"only": "outdated"}, "known only once the targets were asked", id="state"),
        pytest.param(FLEET, {"only": "web-1 |"}, "at character 8", id="not a selection"),
        pytest.param(FLEET, {"environment": "prodution"}, "did you mean 'production'?", id="misspelt environment"),
        pytest.param(FLEET, {"environment": None}, "say --env and one of production, staging", id="which environment"),
        pytest.param(
            FLEET,
            {"environment": "staging", "canaries": ("stage-1",)},
            "no canaries to choose in staging",
            id="no wave",
        ),
        pytest.param(
            replace(PLAIN, targets=PLAIN.targets[:1]), {"canaries": ("web-1",)}, "use --only web-1", id="one target"
        ),
        pytest.param(
            FLEET, {"variables": {"LD_PRELOAD": "x"}}, "LD_PRELOAD changes what every command does", id="--var"
        ),
        pytest.param(FLEET, {"variables": {"A": "\0"}}, "--var A: a variable cannot hold a NUL", id="--var value"),
        pytest.param(FLEET, {"release": "-x"}, "release '-x' is not 1 to 128", id="release"),
    ],
)
def test_choices_that_make_no_plan_are_refused_with_the_rule_named(fleet: Fleet, choices: Said, reason: str) -> None:
    assert reason in reasons_of(fleet, **choices)


def test_every_reason_is_named_at_once() -> None:
    text = reasons_of(release="a b", exclude=("web-9", "db-9"), variables={"IFS": "x"})
    assert len(text.splitlines()) == 4


@pytest.mark.parametrize("release", ["1.4.2", "v1", "2026-11-23_1", "main@sha", "r:1", "a/b", "1.0~rc1", "x" * 128])
def test_a_release_is_one_word(release: str) -> None:
    check_release(release)


@pytest.mark.parametrize(
    "release", ["", "-1", "a b", "a\n", "a;b", "$(x)", "../x", "a/../b", ".x", "/x", "é", "x" * 129]
)
def test_a_release_that_could_do_something_is_refused(release: str) -> None:
    with pytest.raises(ValueError, match="is not 1 to 128"):
        check_release(release)


def test_a_wave_that_does_not_apply_vanishes_with_its_gate_and_leaves_its_targets() -> None:
    plan = plan_of(environment="staging")
    assert waves_of(plan) == "stage-1 stage-2"
    assert plan.warnings == (
        "wave 'canary' and its gate do not exist in staging",
        "in staging there is no gate, so the rollout will not stop for approval",
    )


def test_where_no_wave_applies_everything_goes_at_once_and_the_plan_says_why() -> None:
    fleet = replace(FLEET, waves=tuple(replace(wave, environments=("production",)) for wave in GATED))
    plan = plan_of(fleet, environment="staging")
    assert waves_of(plan) == "stage-1 stage-2" and plan.waves[0].parallel == 8
    assert (
        plan.warnings[-1] == "no wave applies in staging: all targets go at once, without canaries and without a gate"
    )


PROTECTED = {"production": Environment(protected=True)}


@pytest.mark.parametrize(
    ("waves", "choices", "expected"),
    [
        pytest.param(GATED, {}, "web-1! / web-2 web-3 db-1", id="has its own"),
        pytest.param((Wave("a", share=Share("25%")), Wave("b")), {}, "web-1! / web-2 web-3 db-1", id="after the first"),
        pytest.param((Wave("all"),), {"canaries": ("db-1",)}, "db-1! / web-1 web-2 web-3", id="picked"),
        pytest.param((Wave("canary"),), {"canaries": ("db-1",)}, "db-1! / web-1 web-2 web-3", id="name is taken"),
        pytest.param(
            (Wave("x", environments=("staging",)),), {"canaries": ("db-1",)}, "db-1! / web-1 web-2 web-3", id="none"
        ),
    ],
)
def test_a_protected_environment_has_a_gate_whatever_the_waves_say(
    waves: tuple[Wave, ...], choices: Said, expected: str
) -> None:
    plan = plan_of(replace(FLEET, environments=PROTECTED, waves=waves), **choices)
    assert waves_of(plan) == expected
    assert plan.waves[0].gate is not None
    assert plan.waves[0].gate.approve
    assert len({wave.name for wave in plan.waves}) == 2


def test_a_protected_environment_without_canaries_to_pick_is_refused() -> None:
    protected = replace(FLEET, environments=PROTECTED, waves=(Wave("all"),))
    assert "no canaries picked" in reasons_of(protected)
    assert "no gate" in reasons_of(protected, only="*")
    assert "no gate" in reasons_of(protected, only="!db-1", exclude=("db-1",))
    assert waves_of(plan_of(protected, only="web-*")) == "web-1 web-2 web-3"


def test_only_is_exactly_these_in_one_wave_without_a_gate() -> None:
    plan = plan_of(only="web-1 | db-1")
    assert waves_of(plan) == "web-1 db-1" and plan.waves[0].name == "only"
    assert set(plan.targets) == {"web-1", "db-1"}
    assert {(one.target, one.reason) for one in plan.excluded} == {
        ("web-2", "not in --only"),
        ("web-3", "not in --only"),
    }


def test_targets_that_no_step_is_for_are_left_alone_with_the_reason() -> None:
    plan = plan_of(replace(FLEET, steps=FLEET.steps[1:2]))
    assert waves_of(plan) == "web-1! / web-2 web-3"
    assert [(one.target, one.reason) for one in plan.excluded] == [("db-1", "no step is for its roles")]


def test_a_later_wave_emptied_by_the_operators_choice_is_left_out_and_said() -> None:
    waves = (GATED[0], Wave("second", targets="web-2", gate=Gate()), Wave("rest"))
    plan = plan_of(replace(FLEET, waves=waves), canaries=("web-1", "web-2"))
    assert waves_of(plan) == "web-1 web-2! / web-3 db-1"
    assert "wave 'second' is left out: all that 'web-2' selects go in an earlier wave: web-2" in plan.warnings


def test_shares_are_of_all_targets_of_the_rollout() -> None:
    waves = (Wave("a", share=Share("25%"), gate=Gate()), Wave("b", share=Share("50%")), Wave("c"))
    plan = plan_of(replace(FLEET, waves=waves))
    assert waves_of(plan) == "web-1! / web-2 web-3 / db-1"
    assert plan.waves[0].origin == "25% of 4 targets"
    assert "25% of 3 targets is less than one target" in reasons_of(replace(FLEET, waves=waves), exclude=("db-1",))


def test_a_target_goes_with_the_first_wave_that_wants_it() -> None:
    waves = (Wave("a", targets="@canary", gate=Gate()), Wave("b", targets="@web-server"), Wave("c"))
    assert waves_of(plan_of(replace(FLEET, waves=waves))) == "web-1! / web-2 web-3 / db-1"


def test_the_gate_of_a_wave_that_is_left_out_stays_where_it_stood() -> None:
    waves = (Wave("a", targets="web-1"), Wave("b", targets="web-2", gate=Gate()), Wave("c"))
    assert waves_of(plan_of(replace(FLEET, waves=waves))) == "web-1 / web-2! / web-3 db-1"
    assert waves_of(plan_of(replace(FLEET, waves=waves), exclude=("web-2",))) == "web-1! / web-3 db-1"


def test_no_choice_leaves_a_protected_environment_without_a_gate() -> None:
    waves = (Wave("a", targets="web-1"), Wave("b", targets="web-*", gate=Gate()), Wave("c", targets="db-1"))
    protected = replace(FLEET, environments=PROTECTED, waves=waves)
    assert waves_of(plan_of(protected)) == "web-1 / web-2 web-3! / db-1"
    assert "with these choices no gate is left" in reasons_of(protected, exclude=("db-1",))


def test_nobody_is_lost_when_the_last_wave_is_emptied() -> None:
    waves = (GATED[0], Wave("last", targets="web-2"))
    fleet = replace(FLEET, waves=waves, targets=FLEET.targets[:3])
    assert "1 target left over after the last wave: web-3" in reasons_of(fleet, canaries=("web-1", "web-2"))


def test_leftovers_are_an_error_with_names() -> None:
    waves = (GATED[0], Wave("b", targets="@web-server"))
    assert "1 target left over after the last wave: db-1" in reasons_of(replace(FLEET, waves=waves))


def test_variables_and_settings_come_from_the_nearest_table() -> None:
    fleet = replace(
        FLEET,
        vars={"A": "fleet", "B": "fleet", "C": "fleet", "D": "fleet"},
        ssh=Ssh(user="deploy", connect_timeout=Duration(15)),
        environments={
            "production": Environment(vars={"B": "env", "C": "env", "D": "env"}, ssh=Ssh(user="prod", port=2222))
        },
        targets=(
            replace(FLEET.targets[0], vars={"C": "target", "D": "target"}, ssh=Ssh(user="root")),
            *FLEET.targets[1:4],
        ),
    )
    overrides = {"D": "--var"}
    plan = plan_of(fleet, variables=overrides)
    first, second = plan.targets["web-1"], plan.targets["web-2"]
    assert [first.variables[name] for name in "ABCD"] == ["fleet", "env", "target", "--var"]
    assert [second.variables[name] for name in "ABCD"] == ["fleet", "env", "env", "--var"]
    assert first.ssh == Ssh(user="root", port=2222, connect_timeout=Duration(15))
    assert second.ssh == Ssh(user="prod", port=2222, connect_timeout=Duration(15))
    explained = {one.name: (one.value, one.source) for one in explain(plan, fleet, "web-1", overrides)}
    assert explained["A"] == ("fleet", "[vars]")
    assert explained["B"] == ("env", "[environments.production]")
    assert explained["C"] == ("target", "target web-1")
    assert explained["D"] == ("--var", "--var")
    assert explained["RELEASE"] == ("1.4.2", "built in")
    assert explained["ssh.user"] == ("root", "target web-1")
    assert explained["ssh.port"] == ("2222", "[environments.production]")
    assert explained["ssh.connect-timeout"] == ("15.0", "[ssh]")


def test_the_always_there_names_are_set_for_every_target() -> None:
    plan = plan_of(canaries=("web-1", "db-1"))
    assert plan.targets["web-2"].variables == {
        "FLEET": "shop",
        "ENVIRONMENT": "production",
        "RELEASE": "1.4.2",
        "TARGET": "web-2",
        "HOST": "10.0.0.2",
        "CANARIES": "web-1 db-1",
        "WAVE": "rest",
    }


def test_the_steps_of_all_waves_are_the_same_and_roles_choose_among_them() -> None:
    plan = plan_of()
    assert [plan.targets[name].steps for name in ("web-1", "web-2", "db-1")] == [(0, 1), (0, 1), (0, 2)]


def test_instructions_are_filled_in_before_anyone_reads_them() -> None:
    gate = Gate(instructions="Look at $URL for $RELEASE on $CANARIES ($WAVE of $FLEET).")
    fleet = replace(FLEET, waves=(replace(GATED[0], gate=gate), GATED[1]), vars={"URL": "http://x"})
    planned = plan_of(fleet).waves[0].gate
    assert planned is not None
    assert planned.instructions == "Look at http://x for 1.4.2 on web-1 (canary of shop)."
    assert "use $URL, which is not set in production" in reasons_of(replace(fleet, vars={}))


def test_a_name_that_a_target_does_not_have_is_found_before_the_start() -> None:
    steps = (UploadStep(upload="a", to="$DIR/a"), HttpStep(http="http://$HOST:$PORT/", roles=("db-server",)))
    targets = tuple(replace(one, vars={"DIR": "/srv"} if one.name != "web-2" else {}) for one in FLEET.targets)
    reasons = reasons_of(replace(FLEET, steps=steps, targets=targets))
    assert "uses $DIR, which web-2 does not have" in reasons and "uses $PORT, which db-1 does not have" in reasons
    assert len(reasons.splitlines()) == 2


@pytest.mark.parametrize("value", ["../x", "a/../b", "a\nb"])
def test_a_variable_cannot_lead_an_upload_elsewhere(value: str) -> None:
    fleet = replace(FLEET, steps=(UploadStep(upload="a", to="srv/$DIR/a"),), vars={"DIR": value})
    assert "$DIR of web-1 is no part of a path" in reasons_of(fleet)


def test_canaries_that_prove_little_are_warned_about() -> None:
    warnings = plan_of().warnings
    assert "no canary tries step 'x', which is for 1 target: db-1" in warnings
    assert "all canaries have zone=a, the rest has 1 other value of zone too" in warnings
    assert plan_of(canaries=("web-2", "db-1")).warnings == ()


def test_very_many_canaries_are_no_variable() -> None:
    targets = tuple(Target(f"web-{i}", roles=WEB) for i in range(600))
    plan = plan_of(replace(PLAIN, targets=targets), canary_selection="web-[0-499]")
    assert "CANARIES" not in plan.targets["web-1"].variables
    assert "$CANARIES is not set in steps: 500 names are too many for a variable" in plan.warnings
    assert len(" ".join(plan.waves[0].targets)) > LONGEST_CANARIES


def test_the_picker_is_told_who_can_be_picked_and_who_is_preselected() -> None:
    found = picking(FLEET, Choices("", "production", exclude=("web-3",)))
    assert (found.candidates, found.preselected) == (("web-1", "web-2", "db-1"), ("web-1",))
    assert found.origin == "from role 'canary'" and found.pickable
    assert not picking(FLEET, Choices("", "staging")).pickable
    nothing = picking(PLAIN, Choices(""))
    assert nothing.pickable and nothing.preselected == () and nothing.environment == ""


def test_the_only_environment_is_the_default_and_targets_without_one_are_everywhere() -> None:
    fleet = replace(FLEET, environments={"production": Environment()}, targets=(*FLEET.targets[:4], Target("x")))
    plan = build_plan(fleet, Choices("1"), {})
    assert plan.environment == "production" and "x" in plan.targets


def test_steps_without_a_name_get_one_that_no_other_has() -> None:
    steps = (
        RunStep(run="set -eu\n# first\n  sudo -n systemctl   restart shop && sleep 1 && true"),
        RunStep(run="make"),
        RunStep(run="make"),
        RunStep(run="x", name="make (2)"),
        LocalStep(local="notify done"),
        ScriptStep(script="bin/migrate.sh"),
        UploadStep(upload="dist/shop-$RELEASE.tar.gz", to="x"),
        HttpStep(http="http://$HOST:8080/health"),
        RunStep(run="#only a comment"),
        RunStep(run="x" * 100),
    )
    assert [step.name for step in named(steps)] == [
        "sudo -n systemctl restart shop…",
        "make",
        "make (3)",
        "make (2)",
        "local notify done",
        "script migrate.sh",
        "upload shop-$RELEASE.tar.gz",
        "http $HOST:8080/health",
        "#only a comment",
        "x" * 31 + "…",
    ]


def test_the_plan_reads_as_text() -> None:
    waves = (replace(GATED[0], gate=Gate(expires=Duration(5400), checklist=("ok",), confirm="release")), GATED[1])
    fleet = replace(FLEET, waves=waves, release=ReleaseTable("cat R"), rollback=(RunStep(run="undo"),))
    plan = plan_of(fleet, exclude=("web-3",))
    assert plan_lines(plan) == [
        "shop 1.4.2 to production",
        f"3 targets in 2 waves, plan {plan.hash[:12]}",
        "targets that report the release already are skipped",
        "! no canary tries step 'x', which is for 1 target: db-1",
        "! all canaries have zone=a, the rest has 1 other value of zone too",
        "",
        "waves",
        "  1 canary: 1 target (from role 'canary')",
        "      web-1",
        "      gate: a person approves by typing the release; expires after 90 m, then aborts",
        "        [ ] ok",
        "  2 rest: 2 targets, 2 at once (all that is left)",
        "      web-2 db-1",
        "",
        "steps",
        "  1 deploy $RELEASE: deploy $RELEASE (up to 10 m)",
        "  2 restart: restart (up to 10 m)",
        "      not on 1 target without role web-server:",
        "      db-1",
        "  3 x: x (up to 10 m)",
        "      not on 2 targets without role db-server:",
        "      web-[1-2]",
        "",
        "rollback",
        "  1 undo: undo (up to 10 m)",
        "",
        "limits",
        "  stops at the first failed target, and asks. Unreachable before the start: a failure.",
        "",
        "excluded",
        "  1 target: excluded by --exclude web-3",
        "      web-3",
    ]


ROLES = st.lists(st.sampled_from(["web", "db", "canary"]), unique=True, max_size=2).map(tuple)
PLACES = st.lists(st.sampled_from(["production", "staging"]), unique=True, max_size=2).map(tuple)
WAVES = st.builds(
    Wave,
    name=st.just("w"),
    targets=st.none() | st.sampled_from(["@canary", "@web", "t-[1-3]", "*", "!@db"]),
    share=st.none() | st.sampled_from([Share("25%"), Share("50%"), Share("1"), Share("0")]),
    environments=PLACES,
    gate=st.none() | st.just(Gate()),
)


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    size = draw(st.integers(1, 9))
    targets = tuple(Target(f"t-{i}", roles=draw(ROLES), environments=draw(PLACES)) for i in range(1, size + 1))
    places = {name: Environment(protected=draw(st.booleans())) for name in ("production", "staging")}
    roles = draw(st.lists(ROLES, min_size=1, max_size=3))
    steps = tuple(RunStep(run="true", roles=one) for one in roles)
    waves = tuple(draw(st.lists(WAVES, max_size=2)))
    more = draw(st.integers(0, 4)) if waves else 0
    if more:
        waves = (*waves, Wave("rest"))
    waves = tuple(replace(one, name=f"w{i}", share=None if one.targets else one.share) for i, one in enumerate(waves))
    return Fleet("f", targets, steps, environments=places, waves=waves)


CHOICES = st.builds(
    Choices,
    release=st.just("1"),
    environment=st.sampled_from(["production", "staging"]),
    canary_selection=st.none() | st.sampled_from(["t-1", "t-[1-2]", "@canary", "*"]),
    only=st.sampled_from([None, None, None, "t-1", "@web"]),
    exclude=st.sampled_from([(), (), ("t-1",), ("t-3", "@db")]),
    attended=st.booleans(),
)


@settings(max_examples=500, deadline=None)
@given(fleets(), CHOICES)
def test_a_plan_is_a_partition_of_the_environments_targets(fleet: Fleet, choices: Choices) -> None:
    """Each target is in one wave or left alone; what remains is the fleet without canaries and excluded ones."""
    try:
        plan = build_plan(fleet, choices, {})
    except PlanError as error:
        assert error.reasons and all(error.reasons)
        return
    place = choices.environment
    assert place is not None
    here = [one.name for one in fleet.targets if not one.environments or place in one.environments]
    in_waves = [name for wave in plan.waves for name in wave.targets]
    alone = [one.target for one in plan.excluded]
    assert sorted(in_waves + alone) == sorted(here)
    assert set(in_waves) == set(plan.targets) and len(set(in_waves)) == len(in_waves)
    assert all(wave.targets for wave in plan.waves) and plan.waves[-1].gate is None
    assert all(target.steps for target in plan.targets.values())
    if plan.waves[0].gate:
        canaries = plan.waves[0].targets
        remaining = [name for wave in plan.waves[1:] for name in wave.targets]
        assert set(remaining) == set(here) - set(canaries) - set(alone) and remaining
    if fleet.environments[place].protected and choices.only is None:
        assert any(wave.gate and wave.gate.approve for wave in plan.waves)
