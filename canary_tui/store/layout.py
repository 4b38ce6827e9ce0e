"""The places of everything on disk: the state directory, and the directory of one rollout."""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from canary_tui.errors import UsageError
from canary_tui.store.files import make_folder, safe_name, sync_folder

_STAMP = "%Y-%m-%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class RolloutDirectory:
    """One rollout's files. `id` is the directory's name: start time, fleet and eight random digits.

    It is never used again, on whatever machine: targets know a rollout by it.
    """

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def summary(self) -> Path:
        return self.path / "summary.toml"


def state_directory(option: str | None, environment: Mapping[str, str]) -> Path:
    """The state directory, made if need be: `--state-dir`, CANARY_TUI_STATE, or the XDG place.

    Raises:
        UsageError: others could write there, so nothing found there could be believed.

    """
    path = _chosen(option, environment)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_folder(path / "rollouts")
        make_folder(path / "fleets")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be the state directory: {error.strerror}; choose another by --state-dir"
        ) from None
    return path


def _chosen(option: str | None, environment: Mapping[str, str]) -> Path:
    named = option or environment.get("CANARY_TUI_STATE")
    if named:
        return Path(named).expanduser().absolute()
    base = environment.get("XDG_STATE_HOME", "")
    # The XDG rules: a relative path there is to be ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".local/state") / "canary-tui"


def new_rollout(state_dir: Path, fleet: str, now: float) -> RolloutDirectory:
    """A new directory for a rollout that starts at `now`, with its folder of logs, durable before it is returned."""
    stamp = time.strftime(_STAMP, time.gmtime(now))
    fraction = f"{int(now % 1 * 0x1000):03x}"  # in the order of their names, those of one second are in that of time
    for _ in range(100):
        path = state_dir / "rollouts" / f"{stamp}-{safe_name(fleet)}-{fraction}{secrets.token_hex(3)[:5]}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            break
    else:
        raise UsageError(f"{state_dir}: no free name for another rollout of {fleet} at {stamp}")
    directory = RolloutDirectory(path)
    with discarded_on_error(directory):
        directory.logs.mkdir(mode=0o700)
        sync_folder(path)
        sync_folder(path.parent)
    return directory


@contextlib.contextmanager
def discarded_on_error(directory: RolloutDirectory) -> Iterator[None]:
    """Remove the directory of a rollout that could not begin: nobody shall find it open and resume it."""
    try:
        yield
    except BaseException:
        shutil.rmtree(directory.path, ignore_errors=True)
        raise


def rollouts(state_dir: Path, fleet: str | None = None) -> list[RolloutDirectory]:
    """All rollouts, the newest first; of one fleet, by the directory's name, where it is given."""
    try:
        names = [entry.name for entry in os.scandir(state_dir / "rollouts") if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    middle = None if fleet is None else safe_name(fleet)
    chosen = [name for name in names if middle is None or _fleet_part(name) == middle]
    return [RolloutDirectory(state_dir / "rollouts" / name) for name in sorted(chosen, reverse=True)]


def _fleet_part(name: str) -> str:
    return name.partition("Z-")[2].rpartition("-")[0]


def latest(state_dir: Path, fleet: str | None = None) -> RolloutDirectory | None:
    """The rollout that was started last."""
    return next(iter(rollouts(state_dir, fleet)), None)


def resume_command(rollout: str, environment: Mapping[str, str] = os.environ) -> str:
    """The command that resumes a rollout, from any terminal."""
    state = environment.get("CANARY_TUI_STATE")
    return f"canary-tui {f'--state-dir {shlex.quote(state)} ' if state else ''}resume {rollout}"


def find_rollout(state_dir: Path, text: str) -> RolloutDirectory:
    """The rollout that an operator means: its id, the beginning or end of it, or a path.

    Raises:
        UsageError: none fits, or several do.

    """
    if "/" in text:
        return _at_path(Path(text))
    names = [one.id for one in rollouts(state_dir)]
    fitting = (
        [text] if text in names else [one for one in names if text and (one.startswith(text) or one.endswith(text))]
    )
    match fitting:
        case [name]:
            return RolloutDirectory(state_dir / "rollouts" / name)
        case []:
            raise UsageError(f"no rollout {text!r} in {state_dir}; {_near(text, names)}")
        case _:
            raise UsageError(f"{text!r} fits {len(fitting)} rollouts: {', '.join(fitting[:5])}; give more of the name")


def _at_path(path: Path) -> RolloutDirectory:
    directory = RolloutDirectory(path.parent if path.name == "journal.jsonl" else path)
    if not directory.journal.is_file():
        raise UsageError(f"{path}: no rollout is there; name a folder that holds a journal.jsonl")
    return RolloutDirectory(directory.path.absolute())


def _near(text: str, names: list[str]) -> str:
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"the newest is {names[0]}" if names else "there are none yet"
