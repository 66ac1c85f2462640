"""Docstrings are numpydoc that numpydoc reads: names that exist, a type each, the description below."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString

import hwquant

ROOT = Path(__file__).parent.parent
FOLDERS = ("hwquant", "rtl_templates", "sim", "boards")
FILES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
PROSE = re.compile(r"[.;]( |$)|:")
"""What a type does not contain; a sentence does."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def documented(path: Path) -> Iterator[tuple[Documented, NumpyDocString]]:
    for node in ast.walk(tree(path)):
        text = ast.get_docstring(node) if isinstance(node, Documented) else None
        if text:
            # numpydoc has no section for the ports of a component.
            text = re.sub(
                r"^Members\n-------$", "Other Parameters\n----------------", text, flags=re.MULTILINE
            )
            yield node, NumpyDocString(text)


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    given = node.args
    names = {item.arg for item in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
    names |= {f"*{given.vararg.arg}"} if given.vararg else set()
    return names | ({f"**{given.kwarg.arg}"} if given.kwarg else set())


def is_dataclass(node: ast.ClassDef) -> bool:
    return any("dataclass" in ast.unparse(item) for item in node.decorator_list)


def is_component(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("Component") for base in node.bases)


def fields(node: ast.ClassDef) -> set[str]:
    """Of a dataclass: what its users see."""
    names = {ast.unparse(item.target) for item in node.body if isinstance(item, ast.AnnAssign)}
    return {name for name in names if not name.startswith("_")}


def ports(node: ast.ClassDef) -> set[str]:
    """Of a component: the names that its signature has in any case."""
    return {
        key.value
        for item in ast.walk(node)
        if isinstance(item, ast.Dict)
        for key, value in zip(item.keys, item.values, strict=True)
        if isinstance(key, ast.Constant) and re.match(r"(In|Out)\(", ast.unparse(value))
    }


def names(entries: list) -> set[str]:
    return {name.strip() for entry in entries for name in entry.name.split(",")}


def places(faults: list[tuple[Path, Documented, str]]) -> str:
    return "\n".join(
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {what}" for path, node, what in faults
    )


def test_each_entry_has_a_type_on_its_line_and_a_description_below_it():
    faults = []
    for path in FILES:
        for node, doc in documented(path):
            for section in ("Parameters", "Attributes", "Other Parameters"):
                for entry in doc[section]:
                    if not entry.type or PROSE.search(entry.type):
                        faults.append((path, node, f"{entry.name} has the type {entry.type!r}"))
                    if not entry.desc:
                        faults.append((path, node, f"{entry.name} has no description"))
            for section in ("Raises", "Returns", "Yields"):
                faults += [(path, node, f"{section}: {e.type!r}") for e in doc[section] if not e.desc]
    assert not faults, places(faults)


def test_the_names_in_a_docstring_are_those_of_the_code():
    faults = []
    for path in FILES:
        for node, doc in documented(path):
            if isinstance(node, ast.ClassDef):
                continue
            strange = names(doc["Parameters"]) - parameters(node)
            faults += [(path, node, f"no parameter {name!r}") for name in sorted(strange)]
    assert not faults, places(faults)


def test_dataclasses_say_what_each_field_is_and_components_what_each_port_is():
    faults = []
    for path in FILES:
        for node, doc in documented(path):
            if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
                continue
            said = set().union(*(names(doc[s]) for s in ("Attributes", "Parameters", "Other Parameters")))
            missing = fields(node) - said if is_dataclass(node) else set()
            missing |= ports(node) - said if is_component(node) else set()
            faults += [(path, node, f"says nothing of {name!r}") for name in sorted(missing)]
    assert not faults, places(faults)


@pytest.mark.parametrize("name", [name for name in hwquant.__all__ if name[0].islower()])
def test_public_functions_say_what_each_parameter_is(name):
    function = getattr(hwquant, name)
    (node,) = [
        item
        for item in ast.walk(tree(Path(function.__code__.co_filename)))
        if isinstance(item, ast.FunctionDef) and item.name == function.__name__
    ]
    said = names(NumpyDocString(ast.get_docstring(node))["Parameters"])
    assert parameters(node) - said == set()
