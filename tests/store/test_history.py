"""What is remembered of former rollouts agrees with their journals."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from canary_tui.domain.fleet.steps import RunStep
from canary_tui.domain.fleet.tables import Ssh
from canary_tui.domain.planning.plan import Plan, PlannedTarget, PlannedWave
from canary_tui.domain.rollout.apply import replay
from canary_tui.domain.rollout.events import (
    EngineStopped,
    Event,
    FailureTreated,
    Operator,
    ProbeStarted,
    ReleaseRead,
    RolloutFinished,
    RolloutStarted,
    StepFinished,
    StepStarted,
    TargetProbed,
    WaveStarted,
)
from canary_tui.domain.rollout.words import Outcome
from canary_tui.store.history import history, summarize, write_summary
from canary_tui.store.inventory import Known, last_known, remember
from canary_tui.store.journal import JournalWriter, read_journal
from canary_tui.store.layout import RolloutDirectory, new_rollout, state_directory

ADA = Operator("ada", "laptop")
NOW = 1795428900.0
Outcomes = Mapping[str, Outcome | Literal["lost"] | None]
DONE = RolloutFinished("failed", "1 of 3 failed", 1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return state_directory(str(tmp_path / "state"), {})


def events(rollout: str, release: str, outcomes: Outcomes, fleet: str = "shop") -> list[Event]:
    """A rollout to some targets; None: nothing was begun there, "lost": not even seen."""
    targets = {name: PlannedTarget(name, name, Ssh(), steps=(0,)) for name in outcomes}
    waves = (PlannedWave("all", tuple(outcomes), 8),)
    plan = Plan(fleet, release, "production", targets, waves, (RunStep(run="true"),))
    found: list[Event] = [RolloutStarted(rollout, plan, ADA, attended=True, version="0.1")]
    reached = {name: outcome for name, outcome in outcomes.items() if outcome != "lost"}
    found += [ProbeStarted(name) for name in reached]
    found += [TargetProbed(name, "ok", boot="b", release="1.0.0") for name in reached]
    found.append(WaveStarted(0))
    for number, (name, outcome) in enumerate(reached.items()):
        if outcome is not None:
            execution = f"{number:032x}"
            found.append(StepStarted(name, "steps", 0, 1, execution))
            found.append(StepFinished(name, execution, outcome, 0 if outcome == "ok" else 3, detail="as told"))
    return found


def rolled_out(
    state: Path, at: float, release: str, outcomes: Outcomes, *last: Event, fleet: str = "shop"
) -> RolloutDirectory:
    directory = new_rollout(state, fleet, at)
    writer = JournalWriter.create(directory.journal)
    for number, event in enumerate([*events(directory.id, release, outcomes, fleet), *last]):
        writer.append(event, at + number)
    writer.close()
    return directory


def test_history_lists_the_newest_first_and_says_how_each_ended(state: Path) -> None:
    rolled_out(state, NOW, "1.1.0", {"web-1": "ok", "web-2": "failed", "web-3": None}, DONE)
    rolled_out(state, NOW + 100, "1.2.0", {"web-1": "ok"}, EngineStopped("waiting"))
    rolled_out(state, NOW + 200, "9", {"db": "ok"}, fleet="blog")
    shop = history(state, "shop")
    assert [(one.release, one.verdict, one.reason, one.exit_code) for one in shop] == [
        ("1.2.0", None, "waiting", None),
        ("1.1.0", "failed", "1 of 3 failed", 1),
    ]
    assert (shop[1].by, shop[1].started_at, shop[1].targets, shop[1].environment) == (ADA, NOW, 3, "production")
    assert [one.fleet for one in history(state)] == ["blog", "shop", "shop"]


def test_history_reads_the_two_ends_of_a_journal_of_any_length(state: Path) -> None:
    many: Outcomes = {f"web-{number}": "ok" for number in range(3000)}
    directory = rolled_out(state, NOW, "1.1.0", many, DONE)
    with directory.journal.open("ab") as file:
        file.write(b'{"seq":torn' + b"x" * 100_000)
    found = summarize(directory)
    assert found is not None
    assert (found.targets, found.verdict) == (3000, "failed")


@pytest.mark.parametrize("text", [b"", b"\n", b"{}\n", b'{"seq":0}\n', b"\0" * 5000, b"[" * 5000])
def test_a_journal_that_is_none_is_left_out(state: Path, text: bytes) -> None:
    directory = new_rollout(state, "shop", NOW)
    directory.journal.write_bytes(text)
    assert history(state) == []
    assert last_known(state, "shop") == {}


def test_the_summary_says_how_each_target_ended(state: Path) -> None:
    directory = rolled_out(state, NOW, "1.1.0", {"web-1": "ok", "web-2": "failed", "web-3": None}, DONE)
    write_summary(directory, replay(read_journal(directory.journal)))
    data = tomllib.loads(directory.summary.read_text())
    assert (data["rollout"], data["verdict"], data["exit-code"], data["by"]) == (
        directory.id,
        "failed",
        1,
        "ada@laptop",
    )
    assert data["outcomes"] == {"ok": 1, "failed": 1, "not-started": 1}
    assert [(one["name"], one["outcome"], one["detail"]) for one in data["targets"]] == [
        ("web-1", "ok", ""),
        ("web-2", "failed", "as told"),
        ("web-3", "not-started", ""),
    ]
    assert data["started"].timestamp() == NOW


def releases(known: Known) -> dict[str, str]:
    return {name: one.release for name, one in known.items()}


def test_the_newest_word_about_a_target_counts(state: Path) -> None:
    rolled_out(state, NOW, "1.1.0", {"web-1": "ok", "web-2": "ok", "web-3": "ok", "web-4": "lost"}, DONE)
    rolled_out(state, NOW + 100, "1.2.0", {"web-1": "ok", "web-2": "failed"}, DONE)
    rolled_out(state, NOW + 200, "7", {"web-1": "ok"}, DONE, fleet="blog")
    expected = {"web-1": "1.2.0", "web-2": "", "web-3": "1.1.0"}
    assert releases(last_known(state, "shop")) == expected
    known = last_known(state, "shop")
    assert (known["web-2"].outcome, known["web-3"].outcome) == ("failed", "ok")


def test_what_a_target_says_counts_more_than_what_we_did(state: Path) -> None:
    said = ReleaseRead("web-1", "1.1.0-hotfix")
    rolled_out(state, NOW, "1.1.0", {"web-1": "ok"}, said)
    assert releases(last_known(state, "shop")) == {"web-1": "1.1.0-hotfix"}


def rebuilt(state: Path) -> Known:
    """What the journals alone tell."""
    (state / "fleets/shop/targets.toml").unlink()
    return remember(state, "shop")


def test_a_fold_at_hand_is_remembered_as_its_journal_would_be(state: Path) -> None:
    rolled_out(state, NOW, "1.0.0", {"web-1": "ok", "web-3": "ok"}, DONE)
    ended = rolled_out(state, NOW + 100, "1.1.0", {"web-1": "ok", "web-2": "failed"}, DONE)
    fold = replay(read_journal(ended.journal))
    assert remember(state, "shop", fold) == rebuilt(state) == last_known(state, "shop")


@pytest.mark.found("M7")
def test_a_skipped_step_is_remembered_beside_its_outcome_also_without_the_journal(state: Path) -> None:
    """The file that saves reading old journals tells a skip from an ok, too."""
    skip = FailureTreated(("web-1",), "skip", ADA, "I know")
    directory = rolled_out(state, NOW, "1.1.0", {"web-1": "failed", "web-2": "ok"}, skip)
    remembered = remember(state, "shop")
    assert (remembered["web-1"].outcome, remembered["web-1"].aftermath) == ("ok", "step skipped")
    assert remembered["web-2"].aftermath == ""
    directory.journal.unlink()
    assert last_known(state, "shop") == remembered


def test_what_is_remembered_needs_no_journal_and_notices_one_that_goes_on(state: Path) -> None:
    first = rolled_out(state, NOW, "1.1.0", {"web-1": "ok", "web-2": None})
    rolled_out(state, NOW + 100, "1.2.0", {"web-1": "ok"}, DONE)
    remembered = remember(state, "shop")
    assert releases(remembered) == {"web-1": "1.2.0", "web-2": "1.0.0"}
    assert last_known(state, "shop") == remembered
    writer = JournalWriter.reopen(first.journal)
    writer.append(StepStarted("web-2", "steps", 0, 1, "f" * 32), NOW + 300)
    writer.append(StepFinished("web-2", "f" * 32, "ok", 0), NOW + 301)
    writer.close()
    assert releases(last_known(state, "shop")) == {"web-1": "1.2.0", "web-2": "1.1.0"}
    saved = remember(state, "shop")
    assert rebuilt(state) == saved
    first.journal.write_bytes(b"")
    (state / "fleets/shop/targets.toml").write_text("not = [toml")
    assert releases(last_known(state, "shop")) == {"web-1": "1.2.0"}
