"""What several test files need: the small network of the package, quantized and compiled once."""

import os
from pathlib import Path

# Linear algebra of tests and of what they start is on one thread: sums have one order, and workers on all cores do not
# wait for each other. It is read when numpy and PyTorch are loaded.
os.environ["OMP_NUM_THREADS"] = "1"

import importlib
from collections import defaultdict

import pytest

import hwquant

DEMO = Path(hwquant.__file__).parent / "demo"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark as nightly what a test that is marked ``one_in(n)`` has besides one in n of its combinations.

    Those stay whose values, by their numbers, add up to a multiple of n: so each value stays with some of the others.
    """
    numbers = defaultdict(dict)
    for item in items:
        if mark := item.get_closest_marker("one_in"):
            params = item.callspec.params
            groups = [names(given) for given in item.iter_markers("parametrize")]
            groups += [(name,) for name in params if not any(name in group for group in groups)]
            total = 0
            for group in groups:
                known = numbers[item.path, item.originalname, tuple(group)]
                total += known.setdefault(tuple(id(params[name]) for name in group), len(known))
            if total % mark.args[0]:
                item.add_marker(pytest.mark.nightly)


def names(parametrize):
    """The arguments that a ``parametrize`` gives."""
    given = parametrize.args[0]
    return [name.strip() for name in given.split(",")] if isinstance(given, str) else given


@pytest.fixture
def benchmark_module(monkeypatch):
    """What imports a module of benchmarks/ by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "benchmarks")
    return importlib.import_module


@pytest.fixture(scope="session")
def demo_folder():
    """Folder with digits.onnx, digits.npz and calibration.npz."""
    return DEMO


@pytest.fixture(scope="session")
def digits_graph():
    """The demo's float network."""
    from hwquant.frontends import from_onnx

    return from_onnx(DEMO / "digits.onnx")


@pytest.fixture(scope="session")
def digits_samples(digits_graph):
    """The demo's 360 test images with labels."""
    from hwquant.data import load_samples

    return load_samples(DEMO / "digits.npz", digits_graph.inputs)


@pytest.fixture(scope="session")
def digits_qgraph(digits_graph):
    """The demo's integer network, default options."""
    from hwquant.data import load_samples
    from hwquant.quantize import quantize

    return quantize(digits_graph, load_samples(DEMO / "calibration.npz", digits_graph.inputs).x)


@pytest.fixture(scope="session")
def digits_program(digits_qgraph):
    """The demo's program for an 8x8 array."""
    from hwquant.program.compiler import compile_network

    return compile_network(digits_qgraph, (8, 8))


@pytest.fixture(scope="session")
def digits_build(digits_qgraph, digits_program, tmp_path_factory):
    """A build folder of the demo, to read; whoever changes files copies it first."""
    from hwquant.build import write_build

    return write_build(digits_qgraph, digits_program, tmp_path_factory.mktemp("digits") / "build")
