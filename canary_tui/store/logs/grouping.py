"""Which targets have printed the same so far: their logs as one tree of lines, in which equal beginnings are one.

Two lines are equal when step, stream and text are, without the time, the numbers of executions, and the words that
are only the target's own, such as its name. Kept of a line are eight bytes, once for all targets that have it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from canary_tui.domain.planning.plan import Plan, PlannedTarget
from canary_tui.store.logs.format import MARK_NUMBER, stamp, step_word

MOST_LINES = 100_000
"""Lines of each log that are compared, unless there is no more room."""
_ROOM = 4_000_000
"""Different lines of all logs together that are kept, 8 bytes each."""
_TIME = len(stamp(0.0))
_OWN = b"\x00"
"""What stands for a target's own name: no log has it in its text."""
_EVERYBODY = frozenset({"localhost", "127.0.0.1", "::1"})


class Branch:
    """Lines from number `start` on that follow those of `parent`: the texts that go another way than it there."""

    __slots__ = ("children", "lines", "parent", "start")

    def __init__(self, parent: Branch | None = None, start: int = 0) -> None:
        self.parent = parent
        self.start = start
        self.lines = array("q")
        self.children: dict[tuple[int, int], Branch] = {}
        """By the number and the digest of their first line."""


@dataclass(slots=True)
class Place:
    """How far one target has come: `lines` lines, the last of them on `branch`. `cut`: the rest is not compared."""

    branch: Branch
    lines: int = 0
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Targets that have printed the same, but for those that have not come as far: `behind` counts them.

    `differs` is the number, from 0, of the first line that the reference has otherwise; None in the reference's own
    group. `furthest` is the first of those that have come furthest, with `lines` lines.
    """

    branch: Branch
    targets: tuple[str, ...]
    behind: int
    furthest: str
    lines: int
    differs: int | None
    cut: bool


def own_words(plan: Plan) -> dict[str, list[str]]:
    """For each target, in the plan's order, the names and values of variables that are only its, the longest first."""
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
    """What a machine calls itself: without its domain, unless it is a number."""
    first, _, rest = name.partition(".")
    return name if rest.replace(".", "").isdigit() else first


class Grouping:
    """Takes in the logs as they grow. `own` has for each target, in the order to tell them in, its own words."""

    def __init__(self, own: Mapping[str, Collection[str]], most: int = MOST_LINES, room: int = _ROOM) -> None:
        self.places: dict[str, Place] = {}
        self._own = own
        self._most = most
        self._room = room
        self._trunk = Branch()

    def add(self, target: str, data: bytes) -> None:
        """More whole lines of a target's log, as they are in the file."""
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
        """Lines that nobody else had; how many there was room for."""
        # One line fits always: it says that this target differs.
        fitting = digests[: max(1, self._room)]
        place.cut = len(fitting) < len(digests)
        place.branch.lines.extend(fitting)
        place.lines += len(fitting)
        self._room -= len(fitting)
        return len(fitting)

    def groups(self, first: Collection[str] = ()) -> list[Group]:
        """All targets that have printed something, the reference's group at the front.

        The reference is what most of `first` have printed, or most of all, where none of those has begun.
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
        """The branches that lead to what most have printed, each with the line up to which it does."""
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
    """How many of its lines, from the first on, a target shares with a path."""
    branch, shared = place.branch, place.lines
    while branch not in path:
        assert branch.parent is not None
        branch, shared = branch.parent, branch.start
    return min(shared, path[branch])


def _common(one: array[int], other: array[int]) -> int:
    """How many lines, from the first on, are equal."""
    if one == other:
        return len(one)
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _digests(data: bytes, own: Iterable[str]) -> array[int]:
    """What stands for each line. Python keys its hashes anew in each process: no target can aim at another's lines."""
    lines = [line[_TIME:] for line in MARK_NUMBER.sub(rb"\1", data).split(b"\n")[:-1]]
    for word in own:
        if (name := word.encode()) in data:
            lines = _without(b"\n".join(lines), name).split(b"\n")
    return array("q", map(hash, lines))


def _without(text: bytes, word: bytes) -> bytes:
    """The text with `_OWN` for the word, where it is not a part of a longer one."""
    pieces: list[bytes] = []
    start, at = 0, text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
            pieces += text[start:at], _OWN
            start = end
        at = text.find(word, end)
    return b"".join((*pieces, text[start:]))
