"""The driver for PYNQ that goes with a core, against the simulated core behind a model of pynq."""

import base64
import json
import re
import shutil
import zlib

import numpy as np
import pytest
from hwquant_testing import axi_simulation
from hwquant_testing.small_networks import Net

from hwquant.driver.description import core_description
from hwquant.golden import predict
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.external import ExternalMemory
from hwquant.qgraph import QGraph
from hwquant.rtl_templates.ip_core import core_files
from hwquant.rtl_templates.vivado_core import dma_bytes

pytest.importorskip("cocotbext.axi")
pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")


def deep():
    """Two convolutions."""
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 6)
    return net.build()


def dense():
    """One layer on one pixel, for batches."""
    net = Net(x=(6, 1, 1))
    net.conv("x", 5)
    return net.build()


def dressed():
    """Two inputs that are scaled, shifted and reordered; outputs that are reordered, and finished on the host."""
    net = Net(x=(2, 3, 3), y=(4, 3, 3))
    net.layer(net.term("x", 4, (2, 2)), net.term("y", 4, (2, 2)), shift=7)
    network = net.build()
    rng = np.random.default_rng(3)
    inputs = (
        Input("x", (3, 6), (2, 3, 3), np.full((3, 1), 0.5), rng.normal(size=(3, 6)), rng.permutation(18)),
        Input("y", (4, 3, 3), (4, 3, 3), order=rng.permutation(36)),
    )
    last = network.nodes[-1].name
    outputs = tuple(
        Output(name, last, (4, 4), rng.permutation(16), host)
        for name, host in (
            ("plain", ()),
            ("class", ("argmax",)),
            ("soft", ("softmax",)),
            ("log", ("log_softmax",)),
        )
    )
    return QGraph(**{**vars(network), "inputs": inputs, "outputs": outputs})


CASES = {
    "narrow": (deep, {"array": (2, 3)}),
    "wide": (deep, {"array": (5, 5)}),
    "strips": (deep, {"array": (2, 2, 3)}),
    "batch": (dense, {"array": (3, 4), "batch": 2}),
    "dressed": (dressed, {"array": (3, 5)}),
    "outside": (
        deep,
        {
            "array": (3, 5),
            "external": ExternalMemory(32),
            "limits": {"weight_depth": 15, "parameter_depth": 16},
        },
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Network, program, and the folder of the core's files and its simulation."""
    make, options = CASES[request.param]
    network = make()
    program = compile_network(network, options["array"], **{k: v for k, v in options.items() if k != "array"})
    folder = tmp_path_factory.mktemp("pynq")
    files = core_files(program, "axi", "net")
    (_, beat), (_, word) = program.frame_sizes
    files["net_network.json"] = core_description(network, program, dma_bytes(beat), dma_bytes(word))
    for name, text in files.items():
        (folder / name).write_text(text)
    if program.config.external_bits:
        (folder / "external.bin").write_bytes(program.external_image.tobytes())
    return network, program, axi_simulation.build(files["net.v"], "net", folder)


def samples(network, count):
    rng = np.random.default_rng(1)
    return {item.name: rng.normal(0, 90, (count, *item.shape)) for item in network.inputs}


def use(built, folder, x, pauses=0.0, patience=100.0, changes=None, unreachable=None):
    """Run the driver on samples; gives its outputs, or the text of its error."""
    for name in ("hwquant_pynq.py", "net_network.json", "external.bin"):
        if (built / name).exists():
            shutil.copy(built / name, folder)
    description = json.loads((folder / "net_network.json").read_text())
    (folder / "net_network.json").write_text(json.dumps(description | (changes or {})))
    np.savez(folder / "x.npz", **x)
    settings = {"folder": str(folder), "pauses": pauses, "patience": patience, "unreachable": unreachable}
    axi_simulation.play(built, "net", folder, "dma_scenarios", "pynq", settings)
    if (folder / "error").exists():
        return (folder / "error").read_text()
    with np.load(folder / "y.npz") as file:
        return dict(file)


@pytest.mark.parametrize("pauses", [0.0, 0.4])
def test_outputs_are_those_of_the_golden_model(case, tmp_path, pauses):
    network, program, built = case
    x = samples(network, 3)
    found = use(built, tmp_path, x, pauses)
    if not program.config.external_bits:
        assert found["cycles:"] == timing(program).cycles
    for output, expected in zip(network.outputs, predict(network, x)):
        assert found[output.name].dtype == expected.dtype
        assert found[output.name].shape == expected.shape
        np.testing.assert_allclose(found[output.name], expected, rtol=1e-12, atol=0)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """One core, with which a driver or its user goes wrong."""
    network = deep()
    program = compile_network(network, (2, 3))
    folder = tmp_path_factory.mktemp("narrow")
    files = core_files(program, "axi", "net")
    files["net_network.json"] = core_description(network, program, 2, 4)
    for name, text in files.items():
        (folder / name).write_text(text)
    return network, axi_simulation.build(files["net.v"], "net", folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checksum": 1}, "the core's checksum is 0x.*expects 0x00000001; overlay and description must come"),
        ({"identity": 2}, "the core's identity is 0x48575131"),
        ({"memory_bytes": 4096}, "the core has external memory; give external.bin"),
    ],
)
def test_another_core_is_refused(narrow, tmp_path, changes, message):
    network, built = narrow
    assert re.search(message, use(built, tmp_path, samples(network, 1), changes=changes))


def test_a_result_that_does_not_come_is_an_error(narrow, tmp_path):
    network, built = narrow
    description = json.loads((built / "net_network.json").read_text())
    changes = {"beats": 15}  # the frame ends early, and is dropped
    differences = np.frombuffer(zlib.decompress(base64.b64decode(description["frame"])), "<i4")
    assert len(differences) % description["beats"] == 0
    fewer = differences[: 15 * (len(differences) // description["beats"])]
    changes["frame"] = base64.b64encode(zlib.compress(fewer.tobytes())).decode()
    message = use(built, tmp_path, samples(network, 1), patience=0.2, changes=changes)
    assert re.search("no result came in 0.2 s: STATUS is 0x101 ", message)


@pytest.mark.parametrize(
    ("changes", "unreachable", "message"),
    [
        ({"words": 11}, None, "when it wrote the result: its status is 0x10 "),
        ({}, 0x1000, "when it read the frame: its status is 0x40 "),
        ({}, 0x2000, "when it wrote the result: its status is 0x40 "),
    ],
)
def test_an_error_of_the_dma_is_not_waited_for(narrow, tmp_path, changes, unreachable, message):
    """A result that is longer than is expected; a frame and a result where the DMA sees no memory."""
    network, built = narrow
    found = use(built, tmp_path, samples(network, 1), changes=changes, unreachable=unreachable)
    assert re.match(f"the DMA met an error {message}.*; load the overlay again", found)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            {"x": np.zeros((2, 2, 4))},
            r"'x' has shape \(N, 2, 4, 4\), with at least one sample, not \(2, 2, 4\)",
        ),
        ({"x": np.full((1, 2, 4, 4), np.nan)}, "input 'x' holds NaN or infinity"),
        ({"y": np.zeros(1), "z": np.zeros(1)}, "the input 'x' is missing"),
        ({"x": np.zeros((0, 2, 4, 4))}, r"at least one sample, not \(0, 2, 4, 4\)"),
    ],
)
def test_samples_that_do_not_fit_are_an_error(narrow, tmp_path, x, message):
    assert re.search(message, use(narrow[1], tmp_path, x))
