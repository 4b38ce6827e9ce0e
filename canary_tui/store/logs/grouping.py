"""The groups of targets that have printed the same so far: one tree of lines, in which equal beginnings are shared.

Two lines are equal if step, stream and text are equal, without the time, the numbers of executions, and a target's own
words, such as its name. Eight bytes are kept of a line, once for all targets that have it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from canary_tui.domain.planning.plan import Plan, PlannedTarget
from canary_tui.store.logs.format import MARK_NUMBER, stamp, step_word

MOST_LINES = 100_000
"""Most lines of each log that are compared."""
_ROOM = 4_000_000
"""Most different lines of all logs together that are kept, 8 bytes each."""
_TIME = len(stamp(0.0))
_OWN = b"\x00"
"""The stand-in for a target's own name: no log has it in its text."""
_EVERYBODY = frozenset({"localhost", "127.0.0.1", "::1"})


class Branch:
    """Lines from number `start` on that follow those of `parent`, where they differ from its further lines."""

    __slots__ = ("children", "lines", "parent", "start")

    def __init__(self, parent: Branch | None = None, start: int = 0) -> None:
        self.parent = parent
        self.start = start
        self.lines = array("q")
        self.children: dict[tuple[int, int], Branch] = {}
        """The branches by number and digest of their first line."""


@dataclass(slots=True)
class Place:
    """The place of one target: `lines` lines, the last of them on `branch`. `cut`: the rest is not compared."""

    branch: Branch
    lines: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Targets that have printed the same; `behind` counts those that have not come as far.

    `differs` is the number, from 0, of the first line that differs from the reference; None in the reference's group.
    `furthest` is the first of those that have come furthest, with `lines` lines.
    """

    branch: Branch
    targets: tuple[str, ...]
    behind: int
    furthest: str
    lines: int
    differs: int | None
    cut: bool


def own_words(plan: Plan) -> dict[str, list[str]]:
    """List by target, in the plan's order, the names and values that no other target has, the longest first."""
    words = {name: _words(plan.targets[name]) for wave in plan.waves for name in wave.targets}
    users = Counter(word for found in words.values() for word in found)
    # Every line begins with its step, which has one name everywhere.
    steps = " ".join(step_word(step.name) for step in (*plan.steps, *plan.rollback, *plan.finally_))
    return {
        name: sorted((word for word in found if users[word] == 1 and word not in steps), key=lambda word: -len(word))
        for name, found in words.items()
    }


def _words(target: PlannedTarget) -> set[str]:
    names = {target.name, target.address, _host(target.name), _host(target.address)}
    # Short values, such as numbers, stand for too many other things.
    values = {value for value in target.variables.values() if len(value) > 3 and value.isprintable()}
    return {word for word in names | values if len(word) > 1} - _EVERYBODY


def _host(name: str) -> str:
    """Cut a name to a machine's own: without its domain, unless it is an IP address."""
    first, _, rest = name.partition(".")
    return name if rest.replace(".", "").isdigit() else first


class Grouping:
    """The tree of lines that grows with the logs. `own` has each target's own words, in the targets' order."""

    def __init__(self, own: Mapping[str, Collection[str]], most: int = MOST_LINES, room: int = _ROOM) -> None:
        self.places: dict[str, Place] = {}
        self._own = own
        self._most = most
        self._room = room
        self._trunk = Branch()

    def add(self, target: str, data: bytes) -> None:
        """Add whole lines of a target's log, as they are in the file."""
        place = self.places.get(target) or self.places.setdefault(target, Place(self._trunk))
        digests = _digests(data, self._own[target])
        most = self._most - place.lines
        self._walk(place, digests[:most])
        place.cut = place.cut or len(digests) > most

    def _walk(self, place: Place, digests: array[int]) -> None:
        done = 0
        while done < len(digests) and not place.cut:
            branch, here = place.branch, place.lines - place.branch.start
            known = branch.lines[here : here + len(digests) - done]
            same = _common(known, digests[done : done + len(known)])
            place.lines += same
            done += same
            if done == len(digests):
                break
            if same < len(known):
                place.branch = self._child(branch, place.lines, digests[done])
            else:
                done += self._grow(place, digests[done:])

    def _child(self, parent: Branch, line: int, digest: int) -> Branch:
        child = parent.children.get((line, digest))
        if child is None:
            child = parent.children[line, digest] = Branch(parent, line)
        return child

    def _grow(self, place: Place, digests: array[int]) -> int:
        """Add lines that no other target had; return the number that fitted."""
        # One line fits always: it says that this target differs.
        fitting = digests[: max(1, self._room)]
        place.cut = len(fitting) < len(digests)
        place.branch.lines.extend(fitting)
        place.lines += len(fitting)
        self._room -= len(fitting)
        return len(fitting)

    def groups(self, first: Collection[str] = ()) -> list[Group]:
        """Group all targets that have printed something, the reference's group at the front.

        The reference is the output of most of `first`, or of most of all if none of those has begun.
        """
        names = [name for name in self._own if name in self.places]
        path = self._path([name for name in first if name in self.places] or names)
        members: dict[Branch | None, list[str]] = {None: []}
        differs: dict[Branch | None, int | None] = {None: None}
        for name in names:
            place = self.places[name]
            same = _same(place, path)
            key = None if same >= place.lines else place.branch
            members.setdefault(key, []).append(name)
            differs.setdefault(key, same)
        return [self._group(tuple(found), differs[key]) for key, found in members.items() if found]

    def _path(self, names: list[str]) -> dict[Branch, int]:
        """Return the branches that lead to the output of the most, each with the line at which it is left."""
        if not names:
            return {}
        branch = Counter(self.places[name].branch for name in names).most_common(1)[0][0]
        path = {branch: self._most}
        while branch.parent is not None:
            path[branch.parent] = branch.start
            branch = branch.parent
        return path

    def _group(self, names: tuple[str, ...], differs: int | None) -> Group:
        places = [self.places[name] for name in names]
        lines = max(place.lines for place in places)
        ahead = [name for name, place in zip(names, places, strict=True) if place.lines == lines]
        cut = any(place.cut for place in places)
        return Group(self.places[ahead[0]].branch, names, len(names) - len(ahead), ahead[0], lines, differs, cut)


def _same(place: Place, path: Mapping[Branch, int]) -> int:
    """Count the lines, from the first on, that a target shares with a path."""
    branch, shared = place.branch, place.lines
    while branch not in path:
        assert branch.parent is not None
        branch, shared = branch.parent, branch.start
    return min(shared, path[branch])


def _common(one: array[int], other: array[int]) -> int:
    """Count the equal lines, from the first on."""
    if one == other:
        return len(one)
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _digests(data: bytes, own: Iterable[str]) -> array[int]:
    """Hash each line. Python keys its hashes anew in each process, so no target can forge another's lines."""
    lines = [line[_TIME:] for line in MARK_NUMBER.sub(rb"\1", data).split(b"\n")[:-1]]
    for word in own:
        if (name := word.encode()) in data:
            lines = _without(b"\n".join(lines), name).split(b"\n")
    return array("q", map(hash, lines))


def _without(text: bytes, word: bytes) -> bytes:
    """Replace a word by `_OWN` in the text, except inside of a longer word."""
    pieces: list[bytes] = []
    start, at = 0, text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
            pieces += text[start:at], _OWN
            start = end
        at = text.find(word, end)
    return b"".join((*pieces, text[start:]))
