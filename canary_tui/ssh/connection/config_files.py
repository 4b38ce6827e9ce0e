"""Finds the targets for which ssh_config says the same, so that ssh is asked once for all of them."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from canary_tui.ssh.connection.known_hosts import matches

_OWN_WORD_FOR_EACH = {"match", "hostname", "canonicalizehostname", "canonicaldomains"}
"""Keywords that make an answer depend on the name in other ways than by `Host` lines."""
_FILLED_IN_BY_US = {"identityfile", "certificatefile", "revokedhostkeys", "identityagent", "proxycommand"}
"""Keywords whose `%h` and the like `ssh -G` leaves as they are."""
_DEEPEST_INCLUDE = 16


class ConfigFiles:
    """The `Host` lines of ssh_config files; each set of files is read once."""

    def __init__(self) -> None:
        self._read: dict[str | None, tuple[tuple[str, ...], ...] | None] = {}

    def sharing_key(self, host: str, config: str | None) -> tuple[bool, ...] | None:
        """One flag for each `Host` line: names with equal flags get equal answers but for their own name.

        None: the answer may be this name's alone. `config` as in a fleet file's `[ssh]`.
        """
        if config not in self._read:
            self._read[config] = _host_lines(config)
        host_lines = self._read[config]
        return None if host_lines is None else tuple(matches(host, ",".join(patterns)) for patterns in host_lines)


def _host_lines(config: str | None) -> tuple[tuple[str, ...], ...] | None:
    found: list[tuple[str, ...]] = []
    for path, folder in () if config == "none" else _starting_points(config):
        for keyword, words in _settings(path, folder, _DEEPEST_INCLUDE):
            if keyword in _OWN_WORD_FOR_EACH or ("%" in "".join(words) and keyword not in _FILLED_IN_BY_US):
                return None
            if keyword == "host":
                found.append(words)
    return tuple(dict.fromkeys(found))


def _starting_points(config: str | None) -> tuple[tuple[Path, Path], ...]:
    """Each file with the folder that its relative includes start from."""
    user_folder = Path("~/.ssh").expanduser()
    if config is not None:
        return ((Path(config).expanduser(), user_folder),)
    return (user_folder / "config", user_folder), (Path("/etc/ssh/ssh_config"), Path("/etc/ssh"))


def _settings(path: Path, folder: Path, depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keywords in lower case with their words, includes opened; what is not understood is reported as `match`."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return
    except OSError:
        yield "match", ()
        return
    for line in text.split("\n"):
        match = re.match(r"""[\s"]*([A-Za-z0-9]+)["\s=]*(.*)""", line)
        if match is None:
            continue
        keyword, rest = match[1].lower(), match[2].strip()
        if keyword == "include":
            yield from _included(rest, folder, depth)
        else:
            yield keyword, tuple(rest.replace('"', " ").split())


def _included(rest: str, folder: Path, depth: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    if not depth or re.search(r"""["'%$\\]""", rest):
        yield "match", ()
        return
    for word in rest.split():
        pattern = Path(word).expanduser()
        for name in glob.glob(str(pattern if pattern.is_absolute() else folder / pattern)):  # noqa: PTH207 - any root
            yield from _settings(Path(name), folder, depth - 1)
