"""The selection language: which targets a text such as `@web-server zone=eu !web-03` names.

Words are anded, `|` separates alternatives, `!word` is not, `@role`, `key=value` for tags, `env=`, `release=`,
`outdated`, `failed`, names with `*`, `?` and `[1-4,7]`, and `~` before a regular expression for the name, which
reaches to the next space, so that a `|` inside belongs to it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from itertools import islice
from typing import Literal, NoReturn

from canary_tui.domain.fleet.names import expand, suggest
from canary_tui.domain.fleet.quoting import shorten
from canary_tui.domain.fleet.tables import Target

LONGEST = 10_000
"""Characters in one selection: far more than a person writes, few enough to compile at once."""
_LONGEST_REGEX = 200
_MOST_ALTERNATIVES = 1_000
_MOST_UNKNOWN = 20
_WORD = re.compile(r"!*~\S*|\||[^\s|]+")
_NESTED_REPEAT = re.compile(r"\([^()]*[*+}][^()]*\)[*+{]")

Kind = Literal["name", "text", "regex", "role", "tag", "env", "release", "outdated", "failed"]

_BARE: dict[str, Kind] = {"outdated": "outdated", "failed": "failed"}
_KEYED: dict[str, Kind] = {"env": "env", "release": "release"}
RESERVED_WORDS = frozenset(_BARE)
"""No target can have such a name: nothing could select it."""
RESERVED_TAGS = frozenset(_KEYED)


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """The facts about one target that a selection can ask for. No environments means that it belongs everywhere."""

    name: str
    address: str = ""
    roles: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    release: str = ""
    outdated: bool = False
    failed: bool = False
    haystack: str = field(init=False, repr=False, compare=False)
    """What the picker's filter searches: built once, because a filter runs at every key."""

    def __post_init__(self) -> None:
        tags = (f"{key}={value}" for key, value in self.tags.items())
        words = (self.name, self.address, *self.roles, *self.environments, *tags, self.release)
        object.__setattr__(self, "haystack", "\n".join(words).casefold())

    @classmethod
    def of(cls, target: Target) -> TargetFacts:
        """The facts that the fleet file states about a target."""
        return cls(target.name, target.address, target.roles, target.environments, target.tags)


Matcher = Callable[[TargetFacts], bool]


@dataclass(frozen=True, slots=True)
class Word:
    """One condition. `key` is a tag's, `value` what follows; `column` counts from 1 in the selection's text."""

    kind: Kind
    value: str
    column: int
    key: str = ""
    negated: bool = False

    @property
    def text(self) -> str:
        """The word as a person writes it, without `!`."""
        match self.kind:
            case "role":
                return f"@{self.value}"
            case "regex":
                return f"~{self.value}"
            case "tag":
                return f"{self.key}={self.value}"
            case "env" | "release":
                return f"{self.kind}={self.value}"
            case _:
                return self.value


class SelectionError(ValueError):
    """A text is no selection; `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message} (at character {column})")
        self.column = column


@dataclass(frozen=True, slots=True)
class Selection:
    """A parsed selection: a target is in it when all words of one alternative hold."""

    text: str
    alternatives: tuple[tuple[Word, ...], ...]
    matches: Matcher = field(compare=False, repr=False)

    @property
    def words(self) -> tuple[Word, ...]:
        """All words, in order."""
        return tuple(word for words in self.alternatives for word in words)

    @property
    def needs_state(self) -> bool:
        """Whether it asks for something that only the targets know."""
        return any(word.kind in {"release", "outdated", "failed"} for word in self.words)

    def select(self, targets: Iterable[TargetFacts]) -> tuple[str, ...]:
        """The names of those that match, in their order."""
        matches = self.matches
        return tuple(target.name for target in targets if matches(target))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Every name that a selection over some targets can know."""

    names: frozenset[str]
    roles: frozenset[str]
    environments: frozenset[str]
    tags: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, targets: Collection[TargetFacts], environments: Iterable[str] = ()) -> Vocabulary:
        """The vocabulary of these targets, and of environments that may have none."""
        tags: dict[str, set[str]] = {}
        for target in targets:
            for key, value in target.tags.items():
                tags.setdefault(key, set()).add(value)
        return cls(
            frozenset(target.name for target in targets),
            frozenset(role for target in targets for role in target.roles),
            frozenset(environments).union(*(target.environments for target in targets)),
            {key: frozenset(values) for key, values in tags.items()},
        )


@dataclass(frozen=True, slots=True)
class UnknownWord:
    """A word that no target can ever match, what is wrong with it, and a near one that could be meant."""

    word: Word
    message: str
    hint: str


def parse_selection(text: str) -> Selection:
    """Read a selection.

    Raises:
        SelectionError: it is empty or some word is not of the language.

    """
    alternatives = _read(text)
    for words, column in alternatives:
        if not words:
            raise SelectionError("expected a word such as a target's name, @role or key=value", column)
    return _selection(text, [words for words, _ in alternatives])


def parse_filter(text: str) -> Selection:
    """Read what is being typed into the picker: nothing matches all, a plain word also matches inside
    of name, address, role, environment, tag or release, and a word that is not finished is not looked at yet.

    Raises:
        SelectionError: a regular expression, a range or the length is impossible.

    """
    alternatives = [words for words, _ in _read(text, typing=True) if words]
    return _selection(text, alternatives or [()])


def unknown_words(selection: Selection, known: Vocabulary) -> tuple[UnknownWord, ...]:
    """The words that nothing in the vocabulary can match; at most the first twenty."""
    complaints = ((word, _complaint(word, known)) for word in selection.words)
    unknown = (UnknownWord(word, *complaint) for word, complaint in complaints if complaint)
    return tuple(islice(unknown, _MOST_UNKNOWN))


def _complaint(word: Word, known: Vocabulary) -> tuple[str, str] | None:
    match word.kind:
        case "name":
            return _unknown(word.value, known.names, "target")
        case "role":
            return _unknown(word.value, known.roles, "role")
        case "env":
            return _unknown(word.value, known.environments, "environment")
        case "tag" if word.key not in known.tags:
            return _unknown(word.key, known.tags, "tag")
        case "tag":
            return _unknown(word.value, known.tags[word.key], f"value of tag {word.key!r}:")
        case _:
            return None


def _unknown(value: str, among: Collection[str], noun: str) -> tuple[str, str] | None:
    test = _pattern(value)
    if value in among or any(map(test, among)):
        return None
    return f"unknown {noun} {shorten(value)}", suggest(value, among)


def _read(text: str, *, typing: bool = False) -> list[tuple[list[Word], int]]:
    if len(text) > LONGEST:
        raise SelectionError(f"a selection is at most {LONGEST:,} characters long", LONGEST)
    alternatives: list[tuple[list[Word], int]] = [([], 1)]
    for match in _WORD.finditer(text):
        column = match.start() + 1
        if match[0] == "|":
            alternatives.append(([], column + 1))
        elif word := _word(match[0], column, typing=typing):
            alternatives[-1][0].append(word)
    return alternatives


def _word(written: str, column: int, *, typing: bool) -> Word | None:
    text = written.lstrip("!")
    negated = (len(written) - len(text)) % 2 == 1
    column += len(written) - len(text)
    key, equals, value = text.partition("=")
    unfinished = not text or text in {"@", "~"} or (equals and not value)
    if unfinished and typing:
        return None
    if unfinished or (equals and not key):
        raise SelectionError(f"{written!r} is not a whole word", column)
    if text[0] == "@":
        return Word("role", text[1:], column, negated=negated)
    if text[0] == "~":
        return Word("regex", text[1:], column, negated=negated)
    if not equals:
        return Word(_BARE.get(text, "text" if typing else "name"), text, column, negated=negated)
    if key in _KEYED:
        return Word(_KEYED[key], value, column, negated=negated)
    return Word("tag", value, column, key, negated=negated)


def _selection(text: str, alternatives: list[list[Word]] | list[tuple[()]]) -> Selection:
    tests = [_all([_test(word) for word in words]) for words in alternatives]
    return Selection(text, tuple(map(tuple, alternatives)), _any(tests))


def _all(tests: list[Matcher]) -> Matcher:
    if len(tests) == 1:
        return tests[0]

    def every(target: TargetFacts) -> bool:
        for test in tests:  # noqa: SIM110 - all() over a generator takes three times as long, 10,000 times a key
            if not test(target):
                return False
        return True

    return every


def _any(tests: list[Matcher]) -> Matcher:
    if len(tests) == 1:
        return tests[0]
    return lambda target: any(test(target) for test in tests)


def _test(word: Word) -> Matcher:
    test = _positive(word)
    return (lambda target: not test(target)) if word.negated else test


def _positive(word: Word) -> Matcher:
    match word.kind:
        case "outdated":
            return lambda target: target.outdated
        case "failed":
            return lambda target: target.failed
        case "regex":
            search = _regex(word)
            return lambda target: search(target.name) is not None
        case "text":
            return _inside(word)
        case "name":
            is_name = _pattern_of(word)
            return lambda target: is_name(target.name)
        case "role":
            is_role = _pattern_of(word)
            return lambda target: any(map(is_role, target.roles))
        case "env":
            is_environment = _pattern_of(word)
            return lambda target: not target.environments or any(map(is_environment, target.environments))
        case "release":
            is_release = _pattern_of(word)
            return lambda target: is_release(target.release)
        case "tag":
            key, is_value = word.key, _pattern_of(word)
            return lambda target: key in target.tags and is_value(target.tags[key])


def _inside(word: Word) -> Matcher:
    needle = word.value.casefold()
    if not re.search(r"[*?\[]", needle):
        return lambda target: needle in target.haystack
    try:
        is_name = _pattern(word.value)
    except ValueError:  # a bracket that is still being typed
        return lambda target: needle in target.haystack
    return lambda target: is_name(target.name) or needle in target.haystack


def _pattern_of(word: Word) -> Callable[[str], bool]:
    try:
        return _pattern(word.value)
    except ValueError as error:
        raise SelectionError(str(error), word.column) from None


def _pattern(text: str) -> Callable[[str], bool]:
    """A test for `*`, `?` and `[1-4,7]`: a set of names where that is enough, else one regular expression."""
    globbed = "*" in text or "?" in text
    names = expand(text, _MOST_ALTERNATIVES if globbed else 10_000)
    if not globbed:
        return frozenset(names).__contains__ if len(names) > 1 else names[0].__eq__
    # Stars in a row mean one star; as many regular expression loops would try every way to share the text.
    patterns = [translate(re.sub(r"\*+", "*", name)) for name in names]
    found = re.compile("|".join(patterns)).match
    return lambda name: found(name) is not None


def _regex(word: Word) -> Callable[[str], re.Match[str] | None]:
    if len(word.value) > _LONGEST_REGEX:
        _refuse(word, f"a regular expression is at most {_LONGEST_REGEX} characters long")
    if _NESTED_REPEAT.search(word.value):
        _refuse(word, "a repetition of a repetition can take for ever; write it without")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # such as "possible nested set": what is meant is not sure
            return re.compile(word.value).search
    except (re.error, OverflowError, RecursionError, Warning) as error:
        _refuse(word, f"not a regular expression: {error}")


def _refuse(word: Word, message: str) -> NoReturn:
    raise SelectionError(message, word.column)
