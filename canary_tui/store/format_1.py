"""Reads the events of journal format 1, which 0.1.0 wrote, as those of format 2.

Format 1 named a class as it was called then and left out every field that stood at its default. The names and the
defaults of that day are kept here, so that such a journal means for ever what it meant when it was written.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RolloutStarted": ("rollout-started", {"format": 1, "breaks": []}),
    "Plan": (
        "plan",
        {
            "rollback": [],
            "finally_": [],
            "scripts": {},
            "excluded": [],
            "limits": {"type": "Limits"},
            "current": None,
            "redeploy": False,
            "directory": "",
            "warnings": [],
        },
    ),
    "PlannedTarget": (
        "target",
        {"roles": [], "tags": {}, "variables": {}, "steps": [], "rollback": [], "finally_": []},
    ),
    "Ssh": (
        "ssh",
        {
            "user": None,
            "port": None,
            "identity": None,
            "known_hosts": None,
            "config": None,
            "jump": None,
            "connect_timeout": None,
            "sudo": None,
        },
    ),
    "PlannedWave": ("wave", {"gate": None, "origin": ""}),
    "Gate": (
        "gate",
        {
            "approve": True,
            "instructions": "",
            "checklist": [],
            "expires": None,
            "on_expire": "abort",
            "confirm": "count",
        },
    ),
    "RunStep": ("run", {"name": "", "roles": [], "timeout": 600.0, "retries": 0, "durable": True, "tools": []}),
    "ScriptStep": ("script", {"name": "", "roles": [], "timeout": 600.0, "retries": 0, "tools": []}),
    "UploadStep": ("upload", {"mode": "0644", "name": "", "roles": [], "timeout": 1800.0, "retries": 0}),
    "HttpStep": (
        "http",
        {"expect": {"type": "Expect"}, "from_": "controller", "name": "", "roles": [], "timeout": 10.0, "retries": 0},
    ),
    "Expect": ("expect", {"status": 200, "contains": None, "within": 30.0}),
    "LocalStep": ("local", {"name": "", "roles": [], "timeout": 600.0, "retries": 0}),
    "Excluded": ("excluded", {}),
    "Limits": (
        "limits",
        {"failures": "0", "consecutive": None, "output": 268435456, "on_failure": "ask", "on_unavailable": "fail"},
    ),
    "Operator": ("operator", {"terminal": ""}),
    "EngineResumed": ("engine-resumed", {"breaks": []}),
    "EngineStopped": ("engine-stopped", {}),
    "FrontLost": ("front-lost", {}),
    "ArtifactRead": ("artifact-read", {}),
    "ProbeStarted": ("probe-started", {}),
    "TargetProbed": (
        "target-probed",
        {"boot": "", "release": "", "clock_offset": 0.0, "free_bytes": 0, "detail": "", "locked": False, "held_by": ""},
    ),
    "WaveStarted": ("wave-started", {}),
    "TargetSkipped": ("target-skipped", {}),
    "StepStarted": ("step-started", {}),
    "StepAttached": ("step-attached", {}),
    "ConnectionLost": ("connection-lost", {}),
    "ConnectionRestored": ("connection-restored", {}),
    "StepFinished": ("step-finished", {"exit_code": None, "size": 0, "detail": "", "fenced": False}),
    "FailureTreated": ("failure-treated", {"note": ""}),
    "UnknownSettled": ("unknown-settled", {"note": ""}),
    "GateOpened": ("gate-opened", {}),
    "ItemTicked": ("item-ticked", {}),
    "GateApproved": ("gate-approved", {"note": ""}),
    "GatePassed": ("gate-passed", {}),
    "GateExpired": ("gate-expired", {}),
    "Aborted": ("aborted", {}),
    "StopRequested": ("stop-requested", {}),
    "StopWithdrawn": ("stop-withdrawn", {}),
    "CancelStarted": ("cancel-started", {}),
    "CancelFinished": ("cancel-finished", {"detail": ""}),
    "RollbackStarted": ("rollback-started", {"unnamed": []}),
    "FinallyStarted": ("finally-started", {}),
    "ReleaseRead": ("release-read", {"detail": ""}),
    "TargetUnlocked": ("target-unlocked", {"detail": ""}),
    "RolloutFinished": ("rollout-finished", {}),
}
"""For each class of format 1, the wire tag that it has now and the defaults that it had then."""
_STOPS = {"hold": "asking"}
_RENAMED = {"finally_": "finally", "from_": "from"}


@dataclass(slots=True)
class Format1:
    """One journal's events, in their order: an approval names its plan by the hash of that plan's format-1 text."""

    _hashes: dict[str, str] = field(default_factory=dict)
    """What each plan's hash was, and what it is now."""

    def event(self, data: Any) -> Any:
        """The event as format 2 writes it; one of format 2 as it is."""
        if not isinstance(data, dict) or data.get("type") not in KINDS:
            return data
        event = _upgraded(data)
        if event["type"] == "rollout-started":
            self._hashes = {_hash(data.get("plan")): _hash(event.get("plan"))}
        elif event["type"] == "gate-approved":
            event["plan"] = self._hashes.get(event.get("plan"), event.get("plan"))
        elif event["type"] == "engine-resumed":
            event |= {"version": "", "format": 1}
        elif event["type"] == "stop-requested":
            event["stage"] = _STOPS.get(event.get("stage"), event.get("stage"))
        return event


def _upgraded(data: Any) -> Any:
    if isinstance(data, list):
        return [_upgraded(item) for item in data]
    if not isinstance(data, dict):
        return data
    tag, defaults = KINDS.get(str(data.get("type")), ("", {}))
    if not tag:
        return {key: _upgraded(item) for key, item in data.items()}
    whole = {**defaults, **data}
    return {_RENAMED.get(key, key): _upgraded(item) for key, item in whole.items() if key != "type"} | {"type": tag}


def _hash(plan: Any) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
