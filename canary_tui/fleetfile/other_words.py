"""Words of other tools that a fleet file does not know: the key that is meant, or why there is none and what to do."""

from __future__ import annotations

from canary_tui.domain.fleet.steps import HttpStep, LocalStep, RunStep, ScriptStep, UploadStep
from canary_tui.domain.fleet.tables import Environment, Fleet, Gate, Limits, Ssh, Target, Wave

_FORWARDING = "a target could use your keys meanwhile; give it a key of its own, or upload to it what it would fetch"
_HOST_KEYS = "every host key is checked: accept an unknown one once at the screens, or name a file in ssh.known-hosts"
_TERMINAL = "no step has a terminal, so that its output is kept as it is; use the command's own option, such as --yes"
_SECRETS = "a secret stands in no file: it is asked for at the screens; unattended, use an agent or NOPASSWD in sudo"
_FAILURE = "a step that fails fails its target; where a failure does not matter, write `COMMAND || true`"
_CONNECTION = "each target has one connection, which is kept and made again; what else ssh needs stands in ssh_config"

LEFT_OUT = {
    "forward-agent": _FORWARDING,
    "agent-forwarding": _FORWARDING,
    "strict-host-key-checking": _HOST_KEYS,
    "host-key-checking": _HOST_KEYS,
    "pty": _TERMINAL,
    "tty": _TERMINAL,
    "request-tty": _TERMINAL,
    "password": _SECRETS,
    "passphrase": _SECRETS,
    "sudo-password": _SECRETS,
    "become-password": _SECRETS,
    "ignore-errors": _FAILURE,
    "ignore-failure": _FAILURE,
    "allow-failure": _FAILURE,
    "continue-on-error": _FAILURE,
    "control-master": _CONNECTION,
    "control-path": _CONNECTION,
    "control-persist": _CONNECTION,
    "proxy-command": _CONNECTION,
}
"""Keys that no table has, on purpose, with what to do instead."""

_OF_STEPS = {"command": "run", "cmd": "run", "shell": "run", "exec": "run", "bash": "run", "file": "script"}
_OF_STEPS |= {"copy": "upload", "src": "upload", "source": "upload", "url": "http", "title": "name", "retry": "retries"}
_OF_UPLOADS = {"dest": "to", "destination": "to", "path": "to", "target": "to", "permissions": "mode"}

SYNONYMS: dict[type, dict[str, str]] = {
    Fleet: {
        "hosts": "targets", "servers": "targets", "nodes": "targets", "machines": "targets", "inventory": "targets",
        "tasks": "steps", "commands": "steps", "variables": "vars", "env": "vars", "stages": "waves",
        "batches": "waves", "groups": "waves", "after": "finally", "always": "finally", "undo": "rollback",
    },
    Environment: {"variables": "vars", "env": "vars"},
    Target: {
        "hostname": "host", "address": "host", "ip": "host", "role": "roles", "groups": "roles", "labels": "tags",
        "variables": "vars", "env": "vars", "environment": "environments",
    },
    Ssh: {
        "key": "identity", "key-file": "identity", "identity-file": "identity", "private-key": "identity",
        "username": "user", "login": "user", "proxy-jump": "jump", "bastion": "jump", "gateway": "jump",
        "timeout": "connect-timeout", "become": "sudo", "user-known-hosts-file": "known-hosts", "config-file": "config",
    },
    Wave: {
        "count": "share", "percent": "share", "percentage": "share", "size": "share", "hosts": "targets",
        "servers": "targets", "selection": "targets", "concurrency": "parallel", "max-parallel": "parallel",
    },
    Gate: {
        "manual": "approve", "approval": "approve", "timeout": "expires", "message": "instructions",
        "prompt": "instructions",
    },
    Limits: {"max-failures": "failures", "max-fail": "failures", "errors": "failures"},
    RunStep: _OF_STEPS,
    ScriptStep: _OF_STEPS,
    UploadStep: _OF_STEPS | _OF_UPLOADS,
    HttpStep: _OF_STEPS,
    LocalStep: _OF_STEPS,
}  # fmt: skip
"""The key that is meant by another, by the table that would hold it."""


def synonym(cls: type, key: str) -> str:
    """The key of a table that this one stands for elsewhere, "" where none does; `identity_file` as `identity-file`."""
    return SYNONYMS.get(cls, {}).get(key.replace("_", "-").lower(), "")


def left_out(key: str) -> str:
    """Why no table has this key, and what to do instead; "" for others."""
    return LEFT_OUT.get(key.replace("_", "-").lower(), "")
