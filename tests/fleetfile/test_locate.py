"""`locate` finds exactly the keys that tomllib finds, and points at where they are written."""

import tomllib
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from canary_tui.fleetfile.locate import KeyPath, Position, locate

KEYS = st.one_of(
    st.sampled_from(["a", "b-1", "c_2", "0"]), st.sampled_from(['"q.u"', "'l i t'", '"e\\"s\\u00e9"', '""', '"]"'])
)
BLANK = st.sampled_from(["", " ", "\t", "  "])
SCALARS = st.sampled_from(
    [
        '"s"',
        "'l'",
        '"""m\n"q"\\"""" """',
        "'''x'\n]'''",
        "1",
        "-1_0",
        "1.5e3",
        "true",
        "inf",
        "2026-11-23 10:15:00",
        "2026-11-23T10:15:00Z",
        "10:15:00",
        '"# no = comment"',
        '"\\\\"',
        '""""""',
    ]
)
BREAKS = st.sampled_from(["", " ", "\n", " # [c] = {\n", "\n\n\t"])


@st.composite
def arrays(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    items = draw(st.lists(values, max_size=3))
    return "[" + ",".join(draw(BREAKS) + item + draw(BREAKS) for item in items) + draw(BREAKS) + "]"


@st.composite
def tables(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    pairs = draw(st.lists(st.tuples(KEYS, values), max_size=3, unique_by=lambda pair: pair[0]))
    return "{" + ", ".join(f"{draw(BLANK)}{key}{draw(BLANK)}={draw(BLANK)}{value}" for key, value in pairs) + "}"


VALUES = st.recursive(SCALARS, lambda inner: arrays(inner) | tables(inner), max_leaves=6)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        keys = f"{draw(BLANK)}.{draw(BLANK)}".join(draw(st.lists(KEYS, min_size=1, max_size=3)))
        form = draw(st.sampled_from(["pair", "pair", "table", "array"]))
        comment = draw(st.sampled_from(["", " # c", "\r"]))
        match form:
            case "pair":
                lines.append(f"{draw(BLANK)}{keys}{draw(BLANK)}={draw(BLANK)}{draw(VALUES)}{comment}")
            case "table":
                lines.append(f"{draw(BLANK)}[{draw(BLANK)}{keys}{draw(BLANK)}]{comment}")
            case "array":
                lines.append(f"[[{keys}]]{comment}")
    return "\n".join(lines) + "\n"


def paths_of(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths_of(item, (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from paths_of(item, (*path, index))


@settings(max_examples=400, deadline=None)
@given(documents())
def test_locate_finds_exactly_the_keys_that_tomllib_finds(text: str) -> None:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a key written twice, mostly
    assert set(locate(text)) == set(paths_of(table))


@settings(max_examples=300, deadline=None)
@given(documents(), st.data())
def test_what_is_wanted_stands_where_all_was_located(text: str, data: st.DataObject) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    places = locate(text)
    wanted = data.draw(st.sets(st.sampled_from(sorted(places, key=repr)), max_size=3))
    assert locate(text, wanted) == {path: places[path] for path in wanted | {()}}


def test_positions_are_those_of_the_keys() -> None:
    text = 'a = 1\n\n[[t]]\n  n = { x = 1, y = [ 2,\n 3] }\n[[t]]\n"q.u" = 1\n[t.s.u]\n'
    places = locate(text)
    assert places["a",] == Position(1, 1)
    assert places["t", 0] == Position(3, 1)
    assert places["t", 0, "n", "y"] == Position(4, 16)
    assert places["t", 0, "n", "y", 0] == Position(4, 22)
    assert places["t", 0, "n", "y", 1] == Position(5, 2)
    assert places["t", 1, "q.u"] == Position(7, 1)
    assert places["t", 1, "s"] == places["t", 1, "s", "u"] == Position(8, 1)


def test_a_document_deeper_than_the_stack_is_mapped_as_far_as_it_goes() -> None:
    depth = 100_000
    places = locate("a = 1\nb = " + "[" * depth + "]" * depth)
    assert places["a",] == Position(1, 1) and places["b",] == Position(2, 1)
