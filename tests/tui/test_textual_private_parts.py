"""Each private part of Textual that the screens use still does what they need, and they use no other one."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from driving import opened, press, shows
from rich.segment import Segment
from textual.app import App
from textual.strip import Strip

import canary_tui.tui as tui
from canary_tui.tui import textual_fixes
from canary_tui.tui.textual_fixes import PRIVATE_PARTS, PrivatePart

MODULES = [
    importlib.import_module(one.name) for one in pkgutil.walk_packages(tui.__path__, "canary_tui.tui.") if not one.ispkg
]
LISTED = {part.name for part in PRIVATE_PARTS}


@pytest.mark.parametrize("part", PRIVATE_PARTS, ids=lambda part: part.name)
def test_a_listed_part_is_there(part: PrivatePart) -> None:
    module, _, name = part.owner.rpartition(".")
    owner = getattr(importlib.import_module(module), name, None) or importlib.import_module(part.owner)
    assert part.name in private_names(owner) | set(dir(owner)), (
        f"Textual has no {part.owner}.{part.name}; {part.way_out}"
    )


def private_names(owner: type | ModuleType) -> set[str]:
    """The private methods and attributes of a class, and those that it sets on itself."""
    if isinstance(owner, ModuleType):
        return set()
    names = {name for name in (*vars(owner), *getattr(owner, "__slots__", ())) if is_private(name)}
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[owner.__module__]))):
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__:
            names |= set(attributes_of_self(node))
    return names


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def attributes_of_self(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            if is_private(node.attr):
                yield node.attr


def touched(tree: ast.ClassDef) -> set[str]:
    """The private names that a class of ours defines, or reads or sets on itself."""
    methods = (one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    fields = (one.target.id for one in tree.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name))
    assigned = (
        target.id
        for one in tree.body
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name)
    )
    return {name for name in (*methods, *fields, *assigned, *attributes_of_self(tree)) if is_private(name)}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.removeprefix("canary_tui.tui."))
def test_the_screens_use_no_private_part_that_is_not_listed(module: ModuleType) -> None:
    """Also not by accident: a name of ours that hides one of Textual's would break the widget."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("textual._"):
            assert module is textual_fixes, f"{node.module} is private: list it in textual_fixes"
        if isinstance(node, ast.ClassDef) and isinstance(ours := getattr(module, node.name, None), type):
            bases = [base for base in ours.__mro__ if base.__module__.startswith("textual.")]
            hidden = touched(node) & set().union(*map(private_names, bases))
            assert hidden <= LISTED, f"{node.name}: {hidden - LISTED} are Textual's own: list them, or take other names"


def test_a_row_that_is_not_divided_is_still_kept_by_itself() -> None:
    strip = Strip([Segment("row")])
    [same] = textual_fixes._divide(strip, [3])
    assert same is strip
    assert strip._divide_cache.get((3,)) == [strip], "Textual is right by itself: delete _divided"


def test_a_removed_widget_is_still_kept_by_a_cache() -> None:
    spec = importlib.util.find_spec("textual._styles_cache")  # a copy of its own: apply_fixes changes the shared one
    assert spec is not None and spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    cached = copy.StylesCache.get_inner_outer
    assert hasattr(cached, "cache_info"), "Textual is right by itself: delete _release_removed_widgets"
    assert list(inspect.signature(cached.__wrapped__).parameters)[1:] == ["base_background", "background"]


async def test_an_unhandled_exception_ends_the_app_by_fatal_error_with_no_locals_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="planted"):
        async with opened(tmp_path) as (app, pilot):
            await shows(app, "18 after the gate")

            def broken() -> None:
                password = "hunter2"  # noqa: F841  must not be kept
                raise RuntimeError("planted")

            monkeypatch.setattr(app, "action_help", broken)
            await press(pilot, "?")
            await pilot.pause()
    assert "RuntimeError: planted" in app.crash
    assert "hunter2" not in app.crash


async def test_the_driver_writes_what_it_is_given() -> None:
    class Plain(App[None]):
        """No screens of ours."""

    app = Plain()
    async with app.run_test():
        assert app._driver is not None
        assert callable(app._driver.write)
