"""What is encoded comes back equal, through JSON, and what is no encoding is refused."""

import json
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.domain.codec import CodecError, decode, encode
from canary_tui.domain.fleet.steps import Expect, HttpStep, LocalStep, RunStep, ScriptStep, Step, UploadStep
from canary_tui.domain.fleet.tables import Environment, Fleet, Gate, Limits, Ssh, Target, Wave
from canary_tui.domain.fleet.units import Duration, Share, Size
from canary_tui.domain.planning.build import Choices, build_plan
from canary_tui.domain.planning.plan import Plan

RUN = encode(RunStep(run="x"))
WORDS = st.text(max_size=8)
DURATIONS = st.integers(0, 10**6).map(lambda ms: Duration(ms / 1000))
SSH = st.builds(
    Ssh,
    user=st.none() | WORDS,
    port=st.none() | st.integers(1, 65535),
    connect_timeout=st.none() | DURATIONS,
    sudo=st.none() | st.booleans() | WORDS,
)
TARGETS = st.builds(
    lambda number, **rest: [Target(f"t-{i}", **rest) for i in range(number)],
    st.integers(2, 4),
    roles=st.lists(WORDS, max_size=2).map(tuple),
    tags=st.dictionaries(WORDS, WORDS, max_size=2),
    vars=st.dictionaries(WORDS, WORDS, max_size=2),
    ssh=SSH,
)
STEPS = st.one_of(
    st.builds(RunStep, run=WORDS, timeout=DURATIONS, retries=st.integers(0, 10), durable=st.booleans()),
    st.builds(ScriptStep, script=WORDS),
    st.builds(UploadStep, upload=st.just("a"), to=st.just("b"), mode=WORDS),
    st.builds(HttpStep, http=st.just("http://x"), expect=st.builds(Expect, contains=st.none() | WORDS)),
    st.builds(LocalStep, local=WORDS),
)
LIMITS = st.builds(Limits, failures=st.sampled_from([Share("0"), Share("5%")]), output=st.integers(1, 9).map(Size))
FLEETS = st.builds(
    lambda targets, **rest: Fleet(name="f", targets=tuple(targets), **rest),
    TARGETS,
    steps=st.lists(STEPS, min_size=1, max_size=4).map(tuple),
    limits=LIMITS,
    environments=st.just({"p": Environment(vars={"A": "1"})}),
    waves=st.just(
        (Wave("c", share=Share("1"), gate=Gate(checklist=("a",), expires=Duration(60)), parallel=3), Wave("r"))
    ),
    finally_=st.lists(STEPS, max_size=1).map(tuple),
)


@settings(max_examples=150, deadline=None)
@given(FLEETS, st.dictionaries(WORDS, WORDS, max_size=2))
def test_a_plan_comes_back_equal_with_the_same_hash(fleet: Fleet, scripts: dict[str, str]) -> None:
    plan = build_plan(fleet, Choices("1.0", redeploy=True, directory="/x"), scripts)
    back = decode(Plan, json.loads(json.dumps(encode(plan))))
    assert back == plan and back.hash == plan.hash
    assert [type(step) for step in back.steps] == [type(step) for step in plan.steps]


def test_units_come_back_as_units() -> None:
    step = RunStep(run="x", timeout=Duration.parse("2m"))
    back = decode(Step, encode(step))
    assert isinstance(back.timeout, Duration) and back == step
    assert isinstance(decode(Limits, encode(Limits(failures=Share("5%")))).failures, Share)


def test_the_hash_changes_with_anything_that_matters() -> None:
    fleet = Fleet("f", (Target("a"), Target("b")), (RunStep(run="x"),))
    plan = build_plan(fleet, Choices("1", canaries=("a",)), {})
    other = build_plan(fleet, Choices("1", canaries=("b",)), {})
    again = build_plan(fleet, Choices("1", canaries=("a",)), {})
    assert plan.hash == again.hash != other.hash
    assert len(plan.hash) == 64


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"type": "run"}, id="nothing but its type"),
        pytest.param({key: value for key, value in RUN.items() if key != "retries"}, id="missing field"),
        pytest.param({**RUN, "more": 1}, id="unknown field"),
        pytest.param({**RUN, "run": 1}, id="wrong type"),
        pytest.param({**RUN, "retries": True}, id="bool is no number"),
        pytest.param({**RUN, "roles": "web"}, id="text is no list"),
        pytest.param({**RUN, "type": "other"}, id="unknown type"),
        pytest.param({key: value for key, value in RUN.items() if key != "type"}, id="no type"),
        pytest.param([], id="list"),
        pytest.param(None, id="nothing"),
    ],
)
def test_what_is_no_encoding_is_refused(data: object) -> None:
    assert decode(Step, RUN) == RunStep(run="x")
    with pytest.raises(CodecError):
        decode(Step, data)


def test_what_cannot_be_encoded_is_a_bug() -> None:
    @dataclass(frozen=True)
    class Odd:
        at: object

    with pytest.raises(TypeError, match="cannot encode"):
        encode(Odd(object()))
