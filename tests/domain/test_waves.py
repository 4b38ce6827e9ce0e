"""Who goes when: the waves of an environment, and how they share out its targets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_rollout import plan_of, wave

from canary_tui.domain.fleet.selection import TargetFacts, parse_selection
from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Environment, Fleet, Gate, Target, Wave
from canary_tui.domain.fleet.units import Share
from canary_tui.domain.planning.build import Choices, PlanError, build_plan, picking
from canary_tui.domain.planning.plan import Plan, applicable
from canary_tui.domain.planning.waves import DEFAULT_WAVES, Lineup, applies, divide, lineup

GATE = Gate()
PLACES = {"production": Environment(protected=True), "staging": Environment()}
SHARES = ["0%", "1%", "10%", "33%", "50%", "100%", "0", "1", "3", "99"]
SELECTIONS = ["@canary", "@web", "t-[1-3]", "*", "!@db", "t-99"]


def fleet_of(*waves: Wave, count: int = 4) -> Fleet:
    targets = tuple(Target(f"t-{i}", roles=("web", "canary") if i == 1 else ("web",)) for i in range(1, count + 1))
    return Fleet("shop", targets, (RunStep(run="deploy"),), environments=PLACES, waves=waves)


def facts(count: int) -> list[TargetFacts]:
    return [TargetFacts.of(one) for one in fleet_of(count=count).targets]


def names_of(lines: Lineup) -> str:
    return " / ".join(one.name + ("!" if one.gate else "") for one in lines.waves)


@st.composite
def wave_lists(draw: st.DrawFn) -> tuple[Wave, ...]:
    """Up to four waves; each takes a selection, a share, or what is left."""
    waves = []
    for index in range(draw(st.integers(1, 4))):
        takes = draw(st.sampled_from(["targets", "share", "rest"]))
        waves.append(
            Wave(
                f"w{index}",
                targets=draw(st.sampled_from(SELECTIONS)) if takes == "targets" else None,
                share=Share(draw(st.sampled_from(SHARES))) if takes == "share" else None,
                environments=draw(st.sampled_from([(), (), ("production",), ("staging",)])),
                gate=draw(st.sampled_from([None, GATE, Gate(checklist=("look",))])),
            )
        )
    return tuple(waves)


@st.composite
def target_lists(draw: st.DrawFn) -> list[TargetFacts]:
    roles = st.lists(st.sampled_from(["web", "db", "canary"]), max_size=2, unique=True)
    return [TargetFacts(f"t-{i}", roles=tuple(draw(roles))) for i in range(1, draw(st.integers(1, 9)) + 1)]


# Shares


@given(st.integers(0, 100), st.integers(0, 100_000))
def test_a_percentage_is_rounded_down(percent: int, total: int) -> None:
    size = Share(f"{percent}%").of(total)
    assert 100 * size <= percent * total < 100 * (size + 1)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_a_number_is_at_most_what_there_is(number: int, total: int) -> None:
    assert Share(number).of(total) == min(number, total)


# Dividing


@settings(max_examples=100, deadline=None)
@given(wave_lists(), target_lists())
def test_every_target_is_in_one_wave_or_somebody_is_told(waves: tuple[Wave, ...], targets: list[TargetFacts]) -> None:
    division = divide(waves, targets)
    names = [one.name for one in targets]
    given_out = [name for group in division.groups for name in group]
    assert len(division.groups) == len(waves)
    assert len(set(given_out)) == len(given_out)
    assert set(given_out) <= set(names)
    to_pick = Lineup(waves, (0,) * len(waves)).to_pick
    if not division.faults and not to_pick:
        assert set(given_out) == set(names)


@settings(max_examples=100, deadline=None)
@given(wave_lists(), target_lists())
def test_a_wave_keeps_the_order_of_the_file(waves: tuple[Wave, ...], targets: list[TargetFacts]) -> None:
    names = [one.name for one in targets]
    for group in divide(waves, targets).groups:
        assert list(group) == [name for name in names if name in group]


@settings(max_examples=100, deadline=None)
@given(wave_lists(), target_lists())
def test_a_target_goes_with_the_first_wave_that_selects_it(waves: tuple[Wave, ...], targets: list[TargetFacts]) -> None:
    groups = divide(waves, targets).groups
    for index, (one, group) in enumerate(zip(waves, groups, strict=True)):
        if one.targets is not None:
            earlier = {name for before in groups[:index] for name in before}
            assert set(group) == set(parse_selection(one.targets).select(targets)) - earlier


@settings(max_examples=100, deadline=None)
@given(wave_lists(), target_lists())
def test_a_share_is_of_all_targets_and_gets_at_most_who_is_left(
    waves: tuple[Wave, ...], targets: list[TargetFacts]
) -> None:
    groups = divide(waves, targets).groups
    for index, (one, group) in enumerate(zip(waves, groups, strict=True)):
        if one.share is not None:
            left = len(targets) - sum(len(before) for before in groups[:index])
            assert len(group) == min(one.share.of(len(targets)), left)


@settings(max_examples=100, deadline=None)
@given(wave_lists(), target_lists(), st.sets(st.integers(1, 12)))
def test_picked_canaries_replace_what_the_first_wave_says_and_nothing_else(
    waves: tuple[Wave, ...], targets: list[TargetFacts], numbers: set[int]
) -> None:
    picked = {f"t-{number}" for number in numbers}
    groups = divide(waves, targets, picked).groups
    assert groups[0] == tuple(one.name for one in targets if one.name in picked)
    as_if_said = (replace(waves[0], share=None, targets="| ".join(sorted(picked)) or "nobody"), *waves[1:])
    assert divide(as_if_said, targets).groups == groups


@pytest.mark.parametrize(
    ("waves", "index", "key", "message", "hint"),
    [
        pytest.param(
            (Wave("a"), Wave("b")),
            0,
            "",
            "wave 'a' takes all that is left, so the waves after it have nobody",
            "give it targets or a share, or make it the last",
            id="the rest comes first",
        ),
        pytest.param(
            (Wave("a", share=Share("10%")), Wave("b")),
            0,
            "share",
            "10% of 4 targets is less than one target",
            "raise it, or say a whole number",
            id="a share of nobody",
        ),
        pytest.param(
            (Wave("a", targets="@none"), Wave("b")),
            0,
            "targets",
            "the selection '@none' matches no target of this rollout",
            "",
            id="selects nobody",
        ),
        pytest.param(
            (Wave("a", targets="t-[1-2]"), Wave("b", targets="t-2"), Wave("c")),
            1,
            "targets",
            "all that 't-2' selects go in an earlier wave: t-2",
            "",
            id="selects who is gone",
        ),
        pytest.param(
            (Wave("a", targets="*"), Wave("b")),
            1,
            "",
            "nobody is left for wave 'b'",
            "the waves before it take all targets",
            id="nobody left",
        ),
        pytest.param(
            (Wave("a", targets="*"), Wave("b", share=Share(1)), Wave("c", targets="*")),
            1,
            "",
            "nobody is left for wave 'b'",
            "the waves before it take all targets",
            id="no share left",
        ),
        pytest.param(
            (Wave("a", targets="t-1"), Wave("b", share=Share(1))),
            1,
            "",
            "2 targets left over after the last wave: t-[3-4]",
            "add a last wave without targets and share: it takes the rest",
            id="left over",
        ),
    ],
)
def test_what_is_wrong_with_a_division_is_said_with_the_way_out(
    waves: tuple[Wave, ...], index: int, key: str, message: str, hint: str
) -> None:
    first = divide(waves, facts(4)).faults[0]
    assert (first.wave, first.key, first.message, first.hint) == (index, key, message, hint)


def test_where_canaries_are_still_to_be_picked_nobody_is_missing() -> None:
    assert divide(DEFAULT_WAVES, facts(4)).faults == ()
    assert divide((replace(DEFAULT_WAVES[0], gate=None), DEFAULT_WAVES[1]), facts(4)).faults != ()


def test_a_selection_that_is_none_is_complained_about_elsewhere() -> None:
    assert divide((Wave("a", targets="@"), Wave("b")), facts(2)).groups == ((), ("t-1", "t-2"))


# The waves of an environment


@pytest.mark.parametrize(
    ("waves", "place", "expected", "notes"),
    [
        pytest.param((), "staging", "canary! / rest", (), id="none in the file"),
        pytest.param((Wave("a", gate=GATE), Wave("b")), "staging", "a! / b", (), id="as in the file"),
        pytest.param(
            (Wave("a", gate=GATE, environments=("production",)), Wave("b")),
            "staging",
            "b",
            (
                "wave 'a' and its gate do not exist in staging",
                "in staging there is no gate, so the rollout will not stop for approval",
            ),
            id="a wave that is not for here",
        ),
        pytest.param(
            (Wave("a"), Wave("b", environments=("production",))),
            "staging",
            "a",
            (
                "wave 'b' does not exist in staging",
                "in staging there is no gate, so the rollout will not stop for approval",
            ),
            id="one without a gate",
        ),
        pytest.param(
            (Wave("a", environments=("production",)),),
            "staging",
            "all",
            (
                "wave 'a' does not exist in staging",
                "no wave applies in staging: all targets go at once, without canaries and without a gate",
            ),
            id="no wave is for here",
        ),
        pytest.param(
            (Wave("a", gate=GATE), Wave("b", gate=GATE), Wave("c", environments=("production",))),
            "staging",
            "a! / b",
            ("wave 'c' does not exist in staging", "wave 'b' is the last in staging, so its gate is not asked"),
            id="the last one's gate",
        ),
        pytest.param(
            (Wave("a"), Wave("b")),
            "production",
            "a! / b",
            ("production is protected: a person must approve after wave 'a', which has no such gate in the file",),
            id="protected",
        ),
        pytest.param(
            (Wave("a", gate=Gate(approve=False)), Wave("b")),
            "production",
            "a! / b",
            ("production is protected: a person must approve after wave 'a', which has no such gate in the file",),
            id="protected by nobody",
        ),
        pytest.param(
            (Wave("all", gate=GATE),),
            "production",
            "canary! / all",
            ("production is protected: a person must approve after a canary wave, which the file does not have here",),
            id="protected, a single wave",
        ),
        pytest.param(
            (Wave("canary"),),
            "production",
            "canaries! / canary",
            ("production is protected: a person must approve after a canary wave, which the file does not have here",),
            id="protected, its name is taken",
        ),
        pytest.param((Wave("a"), Wave("b", gate=GATE), Wave("c")), "production", "a / b! / c", (), id="a later gate"),
    ],
)
def test_the_waves_of_a_place_and_what_does_not_hold_there(
    waves: tuple[Wave, ...], place: str, expected: str, notes: tuple[str, ...]
) -> None:
    found = lineup(fleet_of(*waves), place)
    assert names_of(found) == expected
    assert found.notes == notes


@settings(max_examples=100, deadline=None)
@given(wave_lists(), st.sampled_from(["production", "staging"]))
def test_a_protected_place_always_has_a_gate_that_a_person_approves(waves: tuple[Wave, ...], place: str) -> None:
    found = lineup(fleet_of(*waves), place)
    assert found.waves
    assert found.waves[-1].gate is None
    assert len(found.places) == len(found.waves)
    gated = any(one.gate and one.gate.approve for one in found.waves)
    assert gated or not PLACES[place].protected


@settings(max_examples=100, deadline=None)
@given(wave_lists(), st.sampled_from(["production", "staging"]))
def test_a_wave_is_never_lost_without_a_word(waves: tuple[Wave, ...], place: str) -> None:
    found = lineup(fleet_of(*waves), place)
    kept = [waves[index].name for index in found.places if index >= 0]
    assert kept == [one.name for one in waves if applies(one, place)]
    for one in waves:
        assert one.name in kept or any(note.startswith(f"wave {one.name!r}") for note in found.notes)


@pytest.mark.parametrize(
    ("first", "canary", "to_pick"),
    [
        pytest.param(Wave("a", gate=GATE), True, True, id="to be picked"),
        pytest.param(Wave("a", targets="@web", gate=GATE), True, False, id="selected"),
        pytest.param(Wave("a", share=Share("25%"), gate=GATE), True, False, id="shared out"),
        pytest.param(Wave("a"), False, False, id="no gate, no canaries"),
    ],
)
def test_the_canary_wave_is_the_first_with_a_gate_behind_it(first: Wave, canary: bool, to_pick: bool) -> None:
    found = Lineup((first, Wave("b")), (0, 1))
    assert (found.canary is not None, found.to_pick) == (canary, to_pick)
    alone = Lineup((first,), (0,))
    assert (alone.canary, alone.to_pick) == (None, False)


# What the plan makes of them


@pytest.mark.parametrize(
    ("first", "origin"),
    [
        pytest.param(Wave("a", targets="@canary", gate=GATE), "from role 'canary'", id="role"),
        pytest.param(Wave("a", targets="!@canary t-2", gate=GATE), "from selection '!@canary t-2'", id="selection"),
        pytest.param(Wave("a", targets="!@canary", gate=GATE), "from selection '!@canary'", id="not a role"),
        pytest.param(Wave("a", share=Share("50%"), gate=GATE), "50% of 4 targets", id="share"),
        pytest.param(Wave("a", share=Share("1"), gate=GATE), "1 of 4 targets", id="number"),
    ],
)
def test_a_wave_says_where_its_targets_come_from(first: Wave, origin: str) -> None:
    plan = build_plan(fleet_of(first, Wave("rest")), Choices("1", "staging"), {})
    assert [one.origin for one in plan.waves] == [origin, "all that is left"]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([None, GATE]), min_size=5, max_size=5),
    st.sets(st.sampled_from(["t-2", "t-3", "t-4"])),
    st.booleans(),
)
def test_whoever_leaves_a_wave_without_targets_does_not_leave_out_its_gate(
    gates: list[Gate | None], excluded: set[str], picked: bool
) -> None:
    """Between two waves that are left a gate stands if one stood between them in the file."""
    waves = [Wave(f"w{i}", targets=f"t-{i}", gate=one) for i, one in enumerate(gates[:4], 1)]
    fleet = fleet_of(*waves, Wave("rest"), count=6)
    canaries = ("t-1", *sorted(excluded)) if picked and gates[0] else None
    choices = Choices("1", "staging", canaries=canaries, exclude=() if canaries else tuple(sorted(excluded)))
    plan = build_plan(fleet, choices, {})
    assert len(plan.waves) == 5 - len(excluded)
    at = [int(one.name.removeprefix("w")) if one.name != "rest" else 5 for one in plan.waves]
    for planned, first, second in zip(plan.waves, at, at[1:], strict=False):
        assert bool(planned.gate) == any(gates[first - 1 : second - 1])
    assert plan.waves[-1].gate is None


@settings(max_examples=100, deadline=None)
@given(wave_lists(), st.sampled_from(["production", "staging"]))
def test_the_picker_shows_the_canaries_that_the_plan_would_have(waves: tuple[Wave, ...], place: str) -> None:
    fleet = fleet_of(*waves)
    found = picking(fleet, Choices("", place))
    try:
        plan = build_plan(fleet, Choices("1", place), {})
    except PlanError:
        return
    assert found.pickable == bool(lineup(fleet, place).canary)
    if found.pickable:
        assert found.preselected == plan.canaries
        assert found.origin == plan.waves[0].origin


# The plan's own answers


PLAN = plan_of(wave("a b", GATE), wave("c", GATE), wave("d"), rollback=(RunStep(run="undo"),))


def test_the_canaries_are_the_first_wave_where_a_gate_stands_behind_it() -> None:
    assert PLAN.canaries == ("a", "b")
    assert plan_of(wave("a"), wave("b", GATE), wave("c")).canaries == ()
    assert replace(PLAN, waves=()).canaries == ()


@pytest.mark.parametrize(
    ("plan", "number_of_wave", "number", "word"),
    [
        pytest.param(PLAN, 0, 1, "canary", id="one"),
        pytest.param(PLAN, 0, 2, "canaries", id="two"),
        pytest.param(PLAN, 0, 0, "canaries", id="none"),
        pytest.param(PLAN, 1, 1, "target", id="a later gate makes no canary"),
        pytest.param(PLAN, 2, 5, "targets", id="others"),
        pytest.param(plan_of(wave("a"), wave("b")), 0, 1, "target", id="no gate, no canary"),
    ],
)
def test_the_members_of_a_wave_are_called_what_they_are(
    plan: Plan, number_of_wave: int, number: int, word: str
) -> None:
    assert plan.members(number_of_wave, number) == word


def test_a_target_knows_its_wave_and_its_steps_in_each_phase() -> None:
    assert [PLAN.wave_of(name) for name in "abcd"] == [0, 0, 1, 2]
    with pytest.raises(KeyError):
        PLAN.wave_of("e")
    assert [applicable(PLAN, "a", "steps"), applicable(PLAN, "a", "rollback"), applicable(PLAN, "a", "finally")] == [
        (0,), (0,), (),
    ]  # fmt: skip
    assert PLAN.phase_steps("rollback") == PLAN.rollback
    assert PLAN.phase_steps("finally") == ()
