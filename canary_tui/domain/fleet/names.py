"""Names that stand for many: `web-[1-40]` expands, and many names are compressed again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from heapq import nsmallest
from itertools import product
from math import prod

MOST_TARGETS = 10_000
"""What one fleet file may expand to: the size that the program is designed and tested for."""
_MOST_CANDIDATES = 500
"""Words that are looked at closely for a suggestion: 10,000 would take a fifth of a second for each typing mistake."""

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})([^0-9]*)", re.DOTALL)


def expand(text: str, most: int = MOST_TARGETS) -> tuple[str, ...]:
    """Every name that `text` stands for, in order: `a-[1-2,07]` is a-1, a-2, a-07.

    Raises:
        ValueError: a bracket is not a list of numbers and ranges, or there would be more than `most` names.

    """
    if "[" not in text and "]" not in text:
        return (text,)
    literals = _BRACKETS.split(text)
    if any("[" in literal or "]" in literal for literal in literals[::2]):
        raise ValueError(f"a bracket of {text[:60]!r} has no partner")
    numbers = [_numbers(inside, most) for inside in literals[1::2]]
    if prod(map(len, numbers)) > most:
        raise ValueError(f"{text!r} stands for more than {most:,} names")
    return tuple(
        "".join(part for pair in zip(literals[::2], (*chosen, ""), strict=True) for part in pair)
        for chosen in product(*numbers)
    )


def _numbers(inside: str, most: int) -> list[str]:
    found: list[str] = []
    for part in inside.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"[{inside:.40}] is not a list of numbers and ranges such as [1-4,7]")
        first, last = match[1], match[2] or match[1]
        if int(last) < int(first):
            raise ValueError(f"the range {part} runs backwards")
        if int(last) - int(first) >= most:
            raise ValueError(f"[{inside:.40}] stands for more than {most:,} names")
        width = _width(first, last, part)
        found += [str(number).zfill(width) for number in range(int(first), int(last) + 1)]
    if len(set(found)) < len(found):
        raise ValueError(f"[{inside:.40}] names a number twice")
    return found


def _width(first: str, last: str, part: str) -> int:
    if first[0] != "0" or len(first) == 1:
        return 0
    if len(first) != len(last):
        raise ValueError(f"the range {part} mixes widths; write both ends with as many digits")
    return len(first)


def compress_names(names: Iterable[str]) -> str:
    """The names in few words, `web-[1-3,7] db-1`: numbers sorted, groups in the order of their first name."""
    return " ".join(_compressed(names))


def selection_of(names: Iterable[str]) -> str:
    """A selection of exactly these names, in few words: `web-[1-3,7] | db-1`, for words without `|` are anded."""
    return " | ".join(_compressed(names))


def _compressed(names: Iterable[str]) -> list[str]:
    groups: dict[tuple[str, int, str], list[int]] = {}
    split = [(name, _NUMBERED.fullmatch(name)) for name in dict.fromkeys(names)]
    padded = {(m[1], len(m[2]), m[3]) for _, m in split if m and m[2][0] == "0" and len(m[2]) > 1}
    for name, match in split:
        if match is None:
            groups[name, -1, ""] = []
            continue
        prefix, digits, suffix = match[1], match[2], match[3]
        width = len(digits) if (prefix, len(digits), suffix) in padded else 0
        groups.setdefault((prefix, width, suffix), []).append(int(digits))
    return [_group(prefix, width, suffix, numbers) for (prefix, width, suffix), numbers in groups.items()]


def _group(prefix: str, width: int, suffix: str, numbers: list[int]) -> str:
    if width < 0:
        return prefix
    if len(numbers) == 1:
        return f"{prefix}{numbers[0]:0{width}d}{suffix}"
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    inside = ",".join(
        f"{first:0{width}d}" if first == last else f"{first:0{width}d}-{last:0{width}d}" for first, last in ranges
    )
    return f"{prefix}[{inside}]{suffix}"


def count(number: int, noun: str) -> str:
    """`1 target`, `2 targets`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def suggest(word: str, among: Collection[str]) -> str:
    """`did you mean 'production'?`, or nothing where no known word is near."""
    if not 0 < len(word) <= 100:
        return ""
    from difflib import get_close_matches  # only for those who err

    if len(among) > _MOST_CANDIDATES:
        alike = [one for one in among if abs(len(one) - len(word)) < 3 and (one[:1] == word[0] or one[-1:] == word[-1])]
        among = nsmallest(_MOST_CANDIDATES, alike, key=lambda one: (-_in_place(word, one), one))
    near = get_close_matches(word, among, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _in_place(word: str, other: str) -> int:
    """The letters that two words share, each counted from the front and from the back: 2 µs, where difflib takes 20."""
    return sum(map(str.__eq__, word, other)) + sum(map(str.__eq__, word[::-1], other[::-1]))


def some_names(names: Iterable[str]) -> str:
    """The compressed names as a message shows them: never more than 200 characters."""
    text = compress_names(names)
    return text if len(text) <= 200 else f"{text[:199]}…"
