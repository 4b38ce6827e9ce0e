"""The kinds of step that a fleet file may name. The first field of a class tells its kind from the others.

Each field is a key of the file, `Annotated` carries the sentence that the JSON Schema and the README print,
and a `Rule` beside it says what more is asked of a value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, assert_never

from canary_tui.domain.codec import wire
from canary_tui.domain.fleet.rules import (
    COMMAND,
    LABEL,
    OCTAL,
    PATH,
    TOOL,
    URL,
    WORD,
    Between,
    Positive,
    Prose,
    RemotePath,
    VariableName,
    VariableValue,
)
from canary_tui.domain.fleet.units import Duration

Word = Annotated[str, WORD]
Variables = dict[Annotated[str, VariableName()], Annotated[str, VariableValue()]]


@wire("run")
@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """Shell text, run by `sh` on the target."""

    run: Annotated[str, "Text for sh.", COMMAND]
    name: Annotated[str, "Name on the screens and in the logs. Default: its first words.", LABEL] = ""
    roles: Annotated[tuple[Word, ...], "Only on targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "Time limit, enforced on the target.", Positive()] = Duration(600)
    retries: Annotated[
        int, "Runs again after a failure, at most so often; never after an unknown outcome.", Between(0, 10)
    ] = 0
    durable: Annotated[bool, "false: a plain command that dies with its connection."] = True
    tools: Annotated[
        tuple[Annotated[str, TOOL], ...], "Commands that it needs; looked for on each target before the first change."
    ] = ()


@wire("script")
@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptStep:
    """A local script file, run by `sh` (or by its #! line's interpreter) on the target."""

    script: Annotated[str, "Path, relative to the fleet file.", PATH]
    name: Annotated[str, "Name on the screens and in the logs. Default: its first words.", LABEL] = ""
    roles: Annotated[tuple[Word, ...], "Only on targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "Time limit, enforced on the target.", Positive()] = Duration(600)
    retries: Annotated[
        int, "Runs again after a failure, at most so often; never after an unknown outcome.", Between(0, 10)
    ] = 0
    tools: Annotated[
        tuple[Annotated[str, TOOL], ...],
        "Commands that it needs, as its #! line's does; looked for on each target before the first change.",
    ] = ()


@wire("upload")
@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStep:
    """A local file, put on the target whole and verified or not at all."""

    upload: Annotated[str, "Path, relative to the fleet file; $NAME is filled in.", PATH]
    to: Annotated[
        str, "Absolute path on the target, or relative to the user's home, as `~/`; $NAME is filled in.", RemotePath()
    ]
    mode: Annotated[str, "Permissions of the file, in octal.", OCTAL] = "0644"
    name: Annotated[str, "Name on the screens and in the logs. Default: its first words.", LABEL] = ""
    roles: Annotated[tuple[Word, ...], "Only on targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "Time limit.", Positive()] = Duration(1800)
    retries: Annotated[int, "Tries again after a failure, at most so often.", Between(0, 10)] = 0


@wire("expect")
@dataclass(frozen=True, slots=True)
class Expect:
    """The HTTP answer that is expected."""

    status: Annotated[int, "HTTP status.", Between(100, 599)] = 200
    contains: Annotated[str | None, "Text that the body must contain.", Prose(10_000)] = None
    within: Annotated[Duration, "Asked again until it holds, for this long.", Positive()] = Duration(30)


@wire("http", from_="from")
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpStep:
    """A question by HTTP, asked until the answer is as expected."""

    http: Annotated[str, "URL; $NAME is filled in.", URL]
    expect: Annotated[Expect, "The answer that is expected."] = field(default_factory=Expect)
    from_: Annotated[Literal["controller", "target"], "The side that asks."] = "controller"
    name: Annotated[str, "Name on the screens and in the logs. Default: its first words.", LABEL] = ""
    roles: Annotated[tuple[Word, ...], "Only for targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "Time limit of one request.", Positive()] = Duration(10)
    retries: Annotated[int, "Tries of the whole step again, at most so often.", Between(0, 10)] = 0


@wire("local")
@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStep:
    """Shell text, run by `sh` here, once for each target."""

    local: Annotated[str, "Text for sh.", COMMAND]
    name: Annotated[str, "Name on the screens and in the logs. Default: its first words.", LABEL] = ""
    roles: Annotated[tuple[Word, ...], "Only for targets with one of these roles. Default: all."] = ()
    timeout: Annotated[Duration, "Time limit.", Positive()] = Duration(600)
    retries: Annotated[
        int, "Runs again after a failure, at most so often; never after an unknown outcome.", Between(0, 10)
    ] = 0


Step = RunStep | ScriptStep | UploadStep | HttpStep | LocalStep


@dataclass(frozen=True, slots=True)
class Filled:
    """A key of a step in whose text `$NAME` is filled in by this program, for no shell reads it.

    `is_path`: the text is a path on the target.
    """

    key: str
    text: str
    is_path: bool = False


def filled_fields(step: Step) -> tuple[Filled, ...]:
    """Every such key of a step, in the order of its declaration."""
    match step:
        case UploadStep(upload=upload, to=to):
            return (Filled("upload", upload), Filled("to", to, is_path=True))
        case HttpStep(http=http):
            return (Filled("http", http),)
        case RunStep() | ScriptStep() | LocalStep():
            return ()
        case _:
            assert_never(step)
