"""The release that is believed to be on each target, from the journals and kept in the fleet's `targets.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from canary_tui.domain.rollout.apply import IllegalEvent, replay
from canary_tui.domain.rollout.rulings import waived
from canary_tui.domain.rollout.state import RolloutState
from canary_tui.domain.rollout.target import TargetState
from canary_tui.domain.rollout.words import Outcome
from canary_tui.store.files import safe_name, write_atomically
from canary_tui.store.history import when
from canary_tui.store.journal import read_journal
from canary_tui.store.journal_format import JournalError
from canary_tui.store.layout import RolloutDirectory, rollouts
from canary_tui.store.lock import fleet_folder

Aftermath = Literal["", "step skipped", "rolled back", "rollback failed"]
"""Facts about a target's last rollout that the outcome of its steps alone does not tell."""

_MOST_READ = 50
"""Journals that are looked at, the newest first."""


@dataclass(frozen=True, slots=True)
class LastKnown:
    """The belief about one target: `release` is "" where a step changed it and nothing tells what is there now.

    `outcome` is how the steps of the last rollout that tells about it ended there (None: they have not), `at` when,
    in seconds since 1970, `rollout` which one. `aftermath`: it did not stay at that outcome, or is not all of it.
    """

    release: str
    outcome: Outcome | None
    at: float
    rollout: str
    aftermath: Aftermath = ""


Known = dict[str, LastKnown]


def last_known(state_dir: Path, fleet: str) -> Known:
    """The belief about each target of a fleet. Reads only journals that changed since `remember`."""
    known, sizes = _remembered(state_dir, fleet)
    return _with_journals(state_dir, fleet, known, sizes)[0]


def remember(state_dir: Path, fleet: str, ended: RolloutState | None = None) -> Known:
    """Write `targets.toml` when a rollout has ended, so that its journal need not be read again.

    Nor is it read now where its fold is at hand: `ended`.
    """
    known, sizes = _with_journals(state_dir, fleet, *_remembered(state_dir, fleet), ended)
    _write(state_dir, fleet, known, sizes)
    return known


def known_after(state: RolloutState) -> Known:
    """The targets as one rollout tells of them; those that it never learned anything about are left out."""
    found = {}
    for name, target in state.targets.items():
        release = _release(state, target)
        if release is not None:
            at = target.ended_at or target.started_at or state.started_at
            found[name] = LastKnown(release, target.steps.outcome, at, state.rollout, _aftermath(target))
    return found


def _aftermath(target: TargetState) -> Aftermath:
    if target.rollback is not None and target.rollback.outcome is not None:
        return "rolled back" if target.rollback.outcome == "ok" else "rollback failed"
    return "step skipped" if target.steps.outcome == "ok" and waived(target.rulings) else ""


def _release(state: RolloutState, target: TargetState) -> str | None:
    """The release of a target, None where the rollout does not tell. The target's own word counts most."""
    if target.reported:
        return target.reported
    if not target.changed:
        return target.previous or None
    if target.rollback is not None:
        return target.previous if target.rollback.outcome == "ok" else ""
    assert state.plan is not None
    return state.plan.release if target.steps.outcome == "ok" and not target.steps.skipped else ""


def _with_journals(
    state_dir: Path, fleet: str, known: Known, sizes: dict[str, int], ended: RolloutState | None = None
) -> tuple[Known, dict[str, int]]:
    """Add what journals tell that are not of the remembered size: a rollout may go on long after a later one."""
    known, sizes = dict(known), dict(sizes)
    for directory, size in _journals(state_dir, fleet):
        if sizes.get(directory.id) == size:
            continue
        if ended is not None and ended.rollout == directory.id:
            told: Known | None = known_after(ended)
        else:
            told = _known_from(directory, fleet)
        if told is None:
            continue  # not remembered as read: it is tried again the next time
        known |= {name: one for name, one in told.items() if name not in known or known[name].at <= one.at}
        sizes[directory.id] = size
    return known, sizes


def _journals(state_dir: Path, fleet: str) -> Iterator[tuple[RolloutDirectory, int]]:
    """The journals to look at, the oldest first."""
    for directory in reversed(rollouts(state_dir, fleet)[:_MOST_READ]):
        try:
            yield directory, directory.journal.stat().st_size
        except OSError:
            continue


def _known_from(directory: RolloutDirectory, fleet: str) -> Known | None:
    try:
        state = replay(read_journal(directory.journal))
    except (JournalError, IllegalEvent, OSError):
        return None
    return known_after(state) if state.plan is not None and state.plan.fleet == fleet else {}


def _remembered(state_dir: Path, fleet: str) -> tuple[Known, dict[str, int]]:
    """The content of `targets.toml`; nothing where it is missing or not of our making."""
    try:
        data = tomllib.loads((state_dir / "fleets" / safe_name(fleet) / "targets.toml").read_text(encoding="utf-8"))
        known = {name: _from_toml(one) for name, one in data["targets"].items()}
        return known, {str(name): int(size) for name, size in data["journals"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}, {}


def _from_toml(data: dict[str, Any]) -> LastKnown:
    at, rollout = data["at"].timestamp(), str(data["rollout"])
    return LastKnown(str(data["release"]), data.get("outcome"), at, rollout, data.get("aftermath", ""))


def _to_toml(known: LastKnown) -> dict[str, Any]:
    data: dict[str, Any] = {"release": known.release, "at": when(known.at), "rollout": known.rollout}
    if known.outcome is not None:
        data["outcome"] = known.outcome
    if known.aftermath:
        data["aftermath"] = known.aftermath
    return data


def _write(state_dir: Path, fleet: str, known: Known, sizes: dict[str, int]) -> None:
    import tomli_w

    kept = {directory.id for directory, _ in _journals(state_dir, fleet)}
    data = {
        "journals": {name: size for name, size in sizes.items() if name in kept},
        "targets": {name: _to_toml(known[name]) for name in sorted(known)},
    }
    write_atomically(fleet_folder(state_dir, fleet) / "targets.toml", tomli_w.dumps(data))
