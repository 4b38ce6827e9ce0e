"""Names that the file format keeps for later: refused by name, so that nobody takes them for spelling mistakes."""

from __future__ import annotations

from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, UploadStep
from canary_tui.domain.fleet.tables import Fleet, Gate, Limits, ReleaseTable, Ssh, Wave

_STEP = frozenset({"on", "once"})

UNSUPPORTED: dict[type, frozenset[str]] = {
    Fleet: frozenset({"secrets", "pool", "checks", "freeze", "notify", "include", "targets-from"}),
    ReleaseTable: frozenset({"choices"}),
    Ssh: frozenset({"encryption"}),
    Wave: frozenset({"spread"}),
    Gate: frozenset({"bake", "checks", "approvers", "min-approvals", "allow-self", "on-degraded"}),
    Limits: frozenset({"canary-max-age"}),
    RunStep: _STEP,
    ScriptStep: _STEP,
    UploadStep: _STEP,
    HttpStep: _STEP,
    LocalStep: _STEP,
}
"""Keys, by the table that would hold them."""

UNSUPPORTED_STEPS = ("tcp", "reboot")
"""Kinds of step, by their first key."""
