"""One part writes files: no other module changes the disk."""

import ast
from collections.abc import Iterator

import pytest
from hwquant_testing.modules import ROOT, SOURCES

WRITES = {
    "os": {
        *("mkdir", "makedirs", "rename", "renames", "replace", "remove", "unlink", "rmdir", "removedirs"),
        *("link", "symlink", "truncate", "ftruncate", "open", "mkfifo", "mknod", "utime", "chmod"),
    },
    "shutil": {"rmtree", "copy", "copy2", "copyfile", "copyfileobj", "copytree", "move", "make_archive"},
    "tempfile": None,
    "numpy": {"save", "savez", "savez_compressed", "savetxt"},
    "np": {"save", "savez", "savez_compressed", "savetxt"},
    "onnx": {"save", "save_model"},
}
"""Functions of modules that change the disk; None: all."""
METHODS = {
    "write_text",
    "write_bytes",
    "mkdir",
    "rmdir",
    "unlink",
    "rename",
    "touch",
    "symlink_to",
    "hardlink_to",
}
"""Methods of paths that do."""
MAY_WRITE = {
    # Between processes of one command, in a folder that hwquant.files made for them and removes.
    "sim/stimulus.py": {"np.savez"},
    "sim/testbench.py": {"write_text"},
    "hwquant/cli/outcome.py": {"os.open"},  # /dev/null, in place of a pipe that is closed
    "hwquant/regress/child.py": {"open"},  # a pipe to a child
    "boards/tools.py": {"open"},  # the output of a program, while it runs
    # A script, which made what the package ships.
    "hwquant/demo/train.py": {"write_bytes", "np.savez_compressed"},
}
"""What other modules than those of hwquant.files may call."""


def writes(tree: ast.AST) -> Iterator[str]:
    """Calls that change the disk."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if module in WRITES:
                names = WRITES[module]
                if names is None or name in names:
                    yield f"{module}.{name}"
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
                yield name
            case ast.Call(func=ast.Attribute(attr="replace"), args=[_], keywords=[]):
                yield "replace"  # of a path: that of a text takes two
            case ast.Call(func=ast.Name(id="open") | ast.Attribute(attr="open")) if opens_to_write(node):
                yield "open"
            case ast.ImportFrom(module=module, names=names) if module in WRITES:
                wanted = WRITES[module]
                yield from (
                    f"{module}.{item.name}" for item in names if wanted is None or item.name in wanted
                )


def opens_to_write(call: ast.Call) -> bool:
    """Whether a call of ``open`` has a mode in which files change; one that is computed counts."""
    modes = [item.value for item in call.keywords if item.arg == "mode"]
    if isinstance(call.func, ast.Name):
        modes += call.args[1:2]
    else:  # a method: an archive's is given a member first
        modes += [item for item in call.args[:2] if isinstance(item, ast.Constant)]
    return any(not isinstance(mode, ast.Constant) or set(str(mode.value)) & set("wax+") for mode in modes)


def test_one_part_writes():
    wrong = []
    for module, path in SOURCES.items():
        if module.split(".")[1:2] != ["files"]:
            name = path.relative_to(ROOT).as_posix()
            allowed = MAY_WRITE.get(name, set())
            found = set(writes(ast.parse(path.read_text())))
            wrong += [f"{name} calls {item}" for item in sorted(found - allowed)]
            wrong += [f"{name} does not call {item} any more" for item in sorted(allowed - found)]
    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        "os.replace(a, b)",
        "path.write_text('x')",
        "path.replace(other)",
        "open(path, 'wb')",
        "path.open('a')",
        "open(path, mode)",
        "tempfile.mkdtemp()",
        "from shutil import rmtree",
        "np.savez(path, x=x)",
    ],
)
def test_what_writes_is_seen(code):
    assert list(writes(ast.parse(code)))
