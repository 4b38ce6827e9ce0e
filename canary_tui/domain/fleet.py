"""What a fleet file may say. These declarations are the file's only grammar.

Each class is a table, each field a key (`connect_timeout` is written `connect-timeout`, `finally_` is
written `finally`), a default makes it optional, and `Annotated` carries the sentence that the JSON Schema
and the README print. The steps are told apart by their first field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from canary_tui.domain.units import Duration, Share, Size

Confirm = Literal["count", "release", "fleet", "key"]
OnExpire = Literal["abort", "hold", "rollback"]
OnFailure = Literal["ask", "abort", "rollback"]
OnUnavailable = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True)
class Ssh:
    """How to reach a target. What is not said here comes from ~/.ssh/config, as `ssh NAME` would do."""

    user: Annotated[str | None, "Login name."] = None
    port: Annotated[int | None, "TCP port, 1 to 65535."] = None
    identity: Annotated[str | None, "Path of the private key."] = None
    known_hosts: Annotated[str | None, "Path of the known_hosts file to use instead of the usual ones."] = None
    config: Annotated[str | None, 'Path of the ssh_config to read, or "none".'] = None
    jump: Annotated[str | None, "Jump host, as ProxyJump writes it."] = None
    connect_timeout: Annotated[Duration | None, "How long connecting and logging in may take."] = None
    sudo: Annotated[bool | str | None, "Run the steps as root (true) or as this user, by sudo."] = None


@dataclass(frozen=True, slots=True)
class ReleaseTable:
    """What is known about releases."""

    current: Annotated[str | None, "A command on a target that prints the release running there."] = None


@dataclass(frozen=True, slots=True)
class Environment:
    """A place that targets belong to, such as production."""

    protected: Annotated[bool, "Never rolled out to without a gate that a person approves."] = False
    vars: Annotated[dict[str, str], "Variables for every step in this environment."] = field(default_factory=dict)
    ssh: Annotated[Ssh, "How to reach this environment's targets."] = field(default_factory=Ssh)


@dataclass(frozen=True, slots=True)
class Target:
    """One server, or several by a name such as `web-[1-40]`."""

    name: Annotated[str, "Name, unique in the file; [1-40] expands."]
    host: Annotated[str | None, "Address or ssh_config name; expands in step with the name. Default: the name."] = None
    roles: Annotated[tuple[str, ...], "What the target is."] = ()
    environments: Annotated[tuple[str, ...], "Where it belongs. Default: everywhere."] = ()
    tags: Annotated[dict[str, str], "Facts about it, for selections."] = field(default_factory=dict)
    vars: Annotated[dict[str, str], "Variables for every step on this target."] = field(default_factory=dict)
    ssh: Annotated[Ssh, "How to reach it."] = field(default_factory=Ssh)

    @property
    def address(self) -> str:
        """What `ssh` would be given."""
        return self.host or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """Shell text, run by `sh` on the target."""

    run: Annotated[str, "Text for sh."]
    name: Annotated[str, "Name on the screens and in the logs."] = ""
    roles: Annotated[tuple[str, ...], "Only on targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "How long it may take, held on the target."] = Duration(600)
    retries: Annotated[int, "How often it is run again after it failed; never after an unknown outcome."] = 0
    durable: Annotated[bool, "false: a plain command that dies with its connection."] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptStep:
    """A local script file, run by `sh` (or by its #! line's interpreter) on the target."""

    script: Annotated[str, "Path, relative to the fleet file."]
    name: Annotated[str, "Name on the screens and in the logs."] = ""
    roles: Annotated[tuple[str, ...], "Only on targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "How long it may take, held on the target."] = Duration(600)
    retries: Annotated[int, "How often it is run again after it failed; never after an unknown outcome."] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStep:
    """A local file, put on the target whole and verified or not at all."""

    upload: Annotated[str, "Path, relative to the fleet file; $NAME is filled in."]
    to: Annotated[str, "Absolute path on the target, or relative to the login's home; $NAME is filled in."]
    mode: Annotated[str, "Permissions of the file, in octal."] = "0644"
    name: Annotated[str, "Name on the screens and in the logs."] = ""
    roles: Annotated[tuple[str, ...], "Only on targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "How long it may take."] = Duration(1800)
    retries: Annotated[int, "How often it is tried again after it failed."] = 0


@dataclass(frozen=True, slots=True)
class Expect:
    """What an HTTP answer must be."""

    status: Annotated[int, "HTTP status."] = 200
    contains: Annotated[str | None, "Text that the body must contain."] = None
    within: Annotated[Duration, "Asked again until it holds, for this long."] = Duration(30)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpStep:
    """A question by HTTP, asked until the answer is as expected."""

    http: Annotated[str, "URL; $NAME is filled in."]
    expect: Annotated[Expect, "What the answer must be."] = field(default_factory=Expect)
    from_: Annotated[Literal["controller", "target"], "Who asks."] = "controller"
    name: Annotated[str, "Name on the screens and in the logs."] = ""
    roles: Annotated[tuple[str, ...], "Only for targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "How long one question may take."] = Duration(10)
    retries: Annotated[int, "How often the whole step is tried again."] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStep:
    """Shell text, run by `sh` here, once for each target."""

    local: Annotated[str, "Text for sh."]
    name: Annotated[str, "Name on the screens and in the logs."] = ""
    roles: Annotated[tuple[str, ...], "Only for targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "How long it may take."] = Duration(600)
    retries: Annotated[int, "How often it is run again after it failed; never after an unknown outcome."] = 0


Step = RunStep | ScriptStep | UploadStep | HttpStep | LocalStep


@dataclass(frozen=True, slots=True)
class Gate:
    """What must hold before the next wave starts."""

    approve: Annotated[bool, "A person must approve."] = True
    instructions: Annotated[str, "What the person should look at; $NAME is filled in."] = ""
    checklist: Annotated[tuple[str, ...], "Each must be ticked before approval."] = ()
    expires: Annotated[Duration | None, "How long it waits. Default: for ever."] = None
    on_expire: Annotated[OnExpire, "What then; there is no way to proceed."] = "abort"
    confirm: Annotated[Confirm, "What must be typed to approve."] = "count"


@dataclass(frozen=True, slots=True)
class Wave:
    """The targets that go together."""

    name: Annotated[str, "Name on the screens."]
    targets: Annotated[str | None, "A selection; preselects in the picker for the first wave."] = None
    share: Annotated[Share | None, "A share of all targets of the rollout."] = None
    parallel: Annotated[int, "How many targets at once."] = 8
    environments: Annotated[tuple[str, ...], "Only there; elsewhere the wave and its gate do not exist."] = ()
    gate: Annotated[Gate | None, "What must hold after this wave, before the next."] = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may go wrong."""

    failures: Annotated[Share, "Targets that may fail over the whole rollout; unreachable and unknown count."] = Share(
        0
    )
    consecutive: Annotated[int | None, "Targets that may fail in a row."] = None
    output: Annotated[Size, "What one step may print; more stops it."] = Size(256 * 2**20)
    on_failure: Annotated[OnFailure, "What happens when the limit is passed."] = "ask"
    on_unavailable: Annotated[OnUnavailable, "A target that cannot be reached before the start."] = "fail"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A whole fleet file."""

    name: Annotated[str, "Name of the fleet."]
    targets: Annotated[tuple[Target, ...], "The servers."]
    steps: Annotated[tuple[Step, ...], "What is done on each target, in order."]
    release: Annotated[ReleaseTable, "What is known about releases."] = field(default_factory=ReleaseTable)
    ssh: Annotated[Ssh, "How to reach the targets."] = field(default_factory=Ssh)
    vars: Annotated[dict[str, str], "Variables for every step: data, never spliced into a command."] = field(
        default_factory=dict
    )
    environments: Annotated[dict[str, Environment], "The places that targets belong to."] = field(default_factory=dict)
    waves: Annotated[
        tuple[Wave, ...], "Who goes when. Default: canaries that the operator picks, a gate, the rest."
    ] = ()
    rollback: Annotated[tuple[Step, ...], "Undoes the steps on a changed target; $RELEASE is what it had before."] = ()
    finally_: Annotated[tuple[Step, ...], "Done on every touched target at the end, whatever happened."] = ()
    limits: Annotated[Limits, "How much may go wrong."] = field(default_factory=Limits)
