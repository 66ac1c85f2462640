"""The one way to the Yosys that Amaranth brings along."""

import ast
import sys
from pathlib import Path

import pytest

import hwquant.rtl_templates.yosys as wrapper
from hwquant.errors import ToolStopped
from hwquant.rtl_templates.yosys import cxxrtl_headers, run_yosys, yosys_version

ROOT = Path(__file__).parents[2]


def private_modules(path: Path) -> list[str]:
    """Modules of Amaranth that a file imports although their names begin with an underscore."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found += [
            name
            for name in names
            if name.startswith("amaranth.") and any(part.startswith("_") for part in name.split("."))
        ]
    return found


def test_only_this_module_imports_private_ones_of_amaranth():
    folders = ("hwquant", "rtl_templates", "sim", "boards", "benchmarks", "tests")
    users = {path for folder in folders for path in (ROOT / folder).rglob("*.py") if private_modules(path)}
    assert users == {ROOT / "rtl_templates/yosys.py"}


def test_the_error_quotes_what_yosys_says_against_a_script():
    with pytest.raises(ToolStopped, match=r"Yosys.* stopped: ERROR: No such command: nothing .*; see that"):
        run_yosys("nothing")


def test_a_yosys_that_is_killed_is_an_error_that_says_so(monkeypatch):
    """Nothing is said where it ran out of memory."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ToolStopped, match="stopped: it was killed; see that there is memory"):
        run_yosys("help")


def test_the_headers_of_cxxrtl_are_there_and_the_version_of_yosys_has_numbers():
    assert (cxxrtl_headers() / "cxxrtl" / "cxxrtl.h").exists()
    assert tuple(int(part) for part in yosys_version().strip("()").split(",")[:2]) >= wrapper.OLDEST
