"""The house keeps its shape: no circle of imports at any level, small files, small functions, plain docstrings."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import canary_tui

ROOT = Path(canary_tui.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
PACKAGES = sorted({path.parent for path in FILES})


def name_of(path: Path) -> str:
    """A file's dotted name."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


@cache
def imports() -> dict[str, frozenset[str]]:
    """Each module's imports of our own modules, also the late ones and those for the type checker alone."""
    return {name: frozenset(_imported(name, ast.parse(path.read_text()))) for name, path in MODULES.items()}


def _imported(name: str, tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found = whole if whole in MODULES else node.module
                if found in MODULES and found != name:
                    yield found


def circle_among(graph: dict[str, set[str]]) -> list[str]:
    """One circle of a graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_two_modules_import_each_other_on_whatever_way() -> None:
    assert not circle_among({name: set(others) for name, others in imports().items()})


@pytest.mark.parametrize("folder", [pytest.param(path, id=name_of(path / "__init__.py")) for path in PACKAGES])
def test_the_parts_of_a_package_import_each_other_in_one_direction(folder: Path) -> None:
    """Folders and files of one package: where no circle is, there is an order in which every import points down."""
    package = name_of(folder / "__init__.py")
    graph: dict[str, set[str]] = {}
    for name, others in imports().items():
        part = part_of(package, name)
        if part:
            graph.setdefault(part, set()).update(
                other for one in others if (other := part_of(package, one)) and other != part
            )
    assert not circle_among(graph)


def part_of(package: str, module: str) -> str:
    """The file or folder of a package that a module is in; "" for one outside."""
    return module[len(package) + 1 :].split(".", maxsplit=1)[0] if module.startswith(f"{package}.") else ""


def functions() -> Iterator[tuple[str, int]]:
    """Every function with its lines, as `module:name`."""
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{name}:{node.name}", node.end_lineno - node.lineno + 1


def test_files_and_functions_stay_small() -> None:
    sizes = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in FILES}
    assert not {path: lines for path, lines in sizes.items() if lines > LONGEST_FILE}
    lengths = dict(functions())
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST_FUNCTION}
    assert statistics.median(lengths.values()) <= 8
    assert statistics.quantiles(lengths.values(), n=20)[-1] <= 25


RIDDLE = re.compile(r"(What|Who|Whose|Which|How|Where)\b(?! to\b)")


def test_no_docstring_begins_without_its_noun() -> None:
    riddles = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if RIDDLE.match(text):
                    riddles.append(f"{name}: {text.splitlines()[0]}")
    assert not riddles
