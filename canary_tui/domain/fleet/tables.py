"""The tables of a fleet file. These declarations are the file's only grammar.

Each class is a table, each field a key (`connect_timeout` is written `connect-timeout`, `finally_` is
written `finally`), a default makes it optional, and `Annotated` carries the sentence that the JSON Schema
and the README print. The steps are told apart by their first field. A `Rule` beside the sentence says what
more is asked of a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Literal

from canary_tui.domain.codec import wire
from canary_tui.domain.fleet.rules import (
    COMMAND,
    HOST_PATTERN,
    JUMP,
    LABEL,
    LOGIN,
    NAME_PATTERN,
    PATH,
    TAG_VALUE,
    USER,
    WORD,
    Between,
    Positive,
    Printable,
    Prose,
)
from canary_tui.domain.fleet.steps import Step, Variables, Word
from canary_tui.domain.fleet.units import Duration, Share, Size

OnExpire = Literal["abort", "hold", "rollback"]
OnFailure = Literal["ask", "abort", "rollback"]
OnUnavailable = Literal["fail", "skip"]


@wire("ssh")
@dataclass(frozen=True, slots=True)
class Ssh:
    """Connection settings. Everything else comes from ~/.ssh/config, as for `ssh NAME`."""

    user: Annotated[str | None, "Login name.", LOGIN] = None
    port: Annotated[int | None, "TCP port.", Between(1, 65535)] = None
    identity: Annotated[str | None, "Path of the private key, relative to the fleet file.", PATH] = None
    known_hosts: Annotated[
        str | None, "Path, relative to the fleet file, of the known_hosts file to use instead of the usual ones.", PATH
    ] = None
    config: Annotated[str | None, 'Path of the ssh_config to read, relative to the fleet file, or "none".', PATH] = None
    jump: Annotated[str | None, "Jump host, as ProxyJump writes it.", JUMP] = None
    connect_timeout: Annotated[
        Duration | None, "Time limit of a silence while logging in; of all of it, four times that.", Positive()
    ] = None
    sudo: Annotated[bool | str | None, "Run the steps as root (true) or as this user, by sudo.", USER] = None

    def over(self, base: Ssh) -> Ssh:
        """These settings, and the base's where this says nothing."""
        said = {one.name: value for one in fields(self) if (value := getattr(self, one.name)) is not None}
        if not said:
            return base
        kept = {one.name: value for one in fields(base) if (value := getattr(base, one.name)) is not None}
        return Ssh(**(kept | said))


@dataclass(frozen=True, slots=True)
class ReleaseTable:
    """Facts about releases."""

    current: Annotated[str | None, "A command on a target that prints the release running there.", COMMAND] = None


@dataclass(frozen=True, slots=True)
class Environment:
    """A place that targets belong to, such as production."""

    protected: Annotated[bool, "Never rolled out to without a gate that a person approves."] = False
    vars: Annotated[Variables, "Variables for every step in this environment."] = field(default_factory=dict)
    ssh: Annotated[Ssh, "Connection settings of this environment's targets."] = field(default_factory=Ssh)


@dataclass(frozen=True, slots=True)
class Target:
    """One server, or several by a name such as `web-[1-40]`."""

    name: Annotated[str, "Name, unique in the file; [1-40] expands.", NAME_PATTERN]
    host: Annotated[
        str | None, "Address or ssh_config name; expands in step with the name. Default: the name.", HOST_PATTERN
    ] = None
    roles: Annotated[tuple[Word, ...], "The kinds of server that it is."] = ()
    environments: Annotated[tuple[Word, ...], "Where it belongs. Default: everywhere."] = ()
    tags: Annotated[dict[Word, Annotated[str, TAG_VALUE]], "Facts about it, for selections."] = field(
        default_factory=dict
    )
    vars: Annotated[Variables, "Variables for every step on this target."] = field(default_factory=dict)
    ssh: Annotated[Ssh, "Its connection settings."] = field(default_factory=Ssh)

    @property
    def address(self) -> str:
        """The address that `ssh` would be given."""
        return self.host or self.name


@wire("gate")
@dataclass(frozen=True, slots=True)
class Gate:
    """Conditions that must hold before the next wave starts."""

    approve: Annotated[bool, "A person must approve."] = True
    instructions: Annotated[
        str, "Text for the person who decides; $NAME is filled in.", Prose(10_000, needed=False)
    ] = ""
    checklist: Annotated[tuple[Annotated[str, Printable(500)], ...], "Each must be ticked before approval."] = ()
    expires: Annotated[Duration | None, "Time that it waits for an answer. Default: for ever.", Positive()] = None
    on_expire: Annotated[OnExpire, "Consequence of expiry; none of them proceeds."] = "abort"
    confirm: Annotated[Confirm, "Text to type for an approval."] = "count"


@dataclass(frozen=True, slots=True)
class Wave:
    """The targets that go together."""

    name: Annotated[str, "Name on the screens.", LABEL]
    targets: Annotated[str | None, "A selection; preselects in the picker for the first wave.", Printable(10_000)] = (
        None
    )
    share: Annotated[Share | None, "A share of all targets of the rollout."] = None
    parallel: Annotated[int, "Targets at once.", Between(1, 10_000)] = 8
    environments: Annotated[tuple[Word, ...], "Only there; elsewhere the wave and its gate do not exist."] = ()
    gate: Annotated[Gate | None, "Conditions between this wave and the next."] = None


@wire("limits")
@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on failures and output."""

    failures: Annotated[Share, "Targets that may fail over the whole rollout; unreachable and unknown count."] = Share(
        0
    )
    consecutive: Annotated[int | None, "Targets that may fail in a row.", Between(1, 10_000)] = None
    output: Annotated[Size, "Output of one step; more stops it.", Positive()] = Size(256 * 2**20)
    on_failure: Annotated[OnFailure, "Consequence of more failures than that."] = "ask"
    on_unavailable: Annotated[OnUnavailable, "A target that cannot be reached before the start."] = "fail"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A whole fleet file."""

    name: Annotated[str, "Name of the fleet.", WORD]
    targets: Annotated[tuple[Target, ...], "The servers."]
    steps: Annotated[tuple[Step, ...], "Steps for each target, in order."]
    release: Annotated[ReleaseTable, "Facts about releases."] = field(default_factory=ReleaseTable)
    ssh: Annotated[Ssh, "Connection settings of all targets."] = field(default_factory=Ssh)
    vars: Annotated[Variables, "Variables for every step: data, never spliced into a command."] = field(
        default_factory=dict
    )
    environments: Annotated[dict[Word, Environment], "The places that targets belong to."] = field(default_factory=dict)
    waves: Annotated[
        tuple[Wave, ...],
        "Targets that go together, in order. Default: canaries that the operator picks, a gate, the rest.",
    ] = ()
    rollback: Annotated[tuple[Step, ...], "Undoes the steps on a changed target; $RELEASE is what it had before."] = ()
    finally_: Annotated[tuple[Step, ...], "Done on every touched target at the end, whatever happened."] = ()
    limits: Annotated[Limits, "Limits on failures and output."] = field(default_factory=Limits)


Confirm = Literal["count", "release", "fleet", "key"]
