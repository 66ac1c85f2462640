"""TensorFlow Lite files of integers become integers without calibration data; LiteRT is the oracle, layer by layer."""

import zlib

import numpy as np
import pytest
from hwquant_testing.tflite_networks import STEPS, every_tensor, network

from hwquant import golden
from hwquant.frontends import load_model
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.qgraph import Layer, Product, QGraph
from hwquant.quantize import quantize
from hwquant.sim.check import verify

BY_DAY = {
    ("conv", np.int8),
    ("prelu", np.int8),
    ("sub", np.uint8),
    ("concatenated", np.uint8),
    ("mul", np.int8),
}
HOST = {"bilinear"}
"""What only the host does, at the end."""
CHAINS = [("add", "max_pool", "logistic"), ("transposed", "requantized"), ("split", "depthwise", "mean")]


def samples(dtype, count=6, seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max + 1, (count, 8, 8, 4)).astype(dtype)


def known_tensors(qgraph, source):
    """LiteRT's integers of the network's tensors that have the same format, in their layout."""
    found = {}
    for name, tensor in qgraph.tensors.items():
        item = source.get(name.rsplit("/", 1)[0])
        if item is None or "_" in name.rsplit("/", 1)[-1] or item.zero_point != tensor.zero_point:
            continue
        q = item.q.transpose(0, 3, 1, 2) if item.q.ndim == 4 else item.q
        if q[0].size == np.prod(tensor.shape) and tensor.scale == pytest.approx(item.scale, rel=1e-6):
            found[name] = q.reshape(-1, *tensor.shape)
    return found


def alone(qgraph, node, inputs):
    """What one node makes of integers."""
    names = dict.fromkeys(node.inputs)
    tensors = {name: qgraph.tensors[name] for name in (*names, node.name)}
    single = QGraph(
        "single",
        tuple(Input(name, tensors[name].shape, tensors[name].shape) for name in names),
        (node,),
        (Output(node.name, node.name, tensors[node.name].shape),),
        tensors,
    )
    return golden.run(single, {name: inputs[name] for name in names})[node.name]


def steepness(node):
    """Steps of a layer's output that a step in front of its table can be."""
    return int(np.abs(np.diff(node.table.values)).max()) if isinstance(node, Layer) and node.table else 0


def check(path, x):
    """Every layer within a step, from LiteRT's own integers where they are known; the network, and how many are."""
    qgraph, source = quantize(load_model(path)), every_tensor(path, x)
    known = known_tensors(qgraph, source)
    known |= golden.quantize_input(qgraph, x)
    right, compared = set(known), 0
    for node in qgraph.nodes:
        got = alone(qgraph, node, known)
        if right.issuperset(node.inputs) and node.name in known:
            assert np.abs(got - known[node.name]).max() <= 1 + steepness(node), node.name
            compared += 1
        elif right.issuperset(node.inputs) and not isinstance(node, Layer | Product):
            right.add(node.name)
        known.setdefault(node.name, got)
    return qgraph, compared


def all_cases():
    """Every step with both types; by day a few."""
    for name in STEPS:
        for dtype in (np.int8, np.uint8):
            marks = () if (name, dtype) in BY_DAY else pytest.mark.nightly
            yield pytest.param(name, dtype, id=f"{name}-{dtype.__name__}", marks=marks)


@pytest.mark.parametrize(("name", "dtype"), list(all_cases()))
def test_an_operator_on_integers_is_within_a_step_of_litert(name, dtype, tmp_path):
    path, seed = tmp_path / "net.tflite", zlib.crc32(name.encode()) % 100
    path.write_bytes(network(seed, dtype, [name]))
    x = samples(dtype)
    qgraph, compared = check(path, x)
    assert compared
    assert (qgraph.host is not None) == (name in HOST)
    assert qgraph.options["calibration_samples"] == 0


@pytest.mark.parametrize("names", CHAINS)
def test_a_network_is_within_steps_of_litert(names, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(network(7, np.int8, names, classes=10))
    x = samples(np.int8)
    qgraph, compared = check(path, x)
    assert compared
    (*_, last) = every_tensor(path, x).values()
    got = golden.predict(qgraph, x)[0].reshape(last.q.shape)
    assert np.abs(got / last.scale + last.zero_point - last.q).max() <= 3


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(40))
def test_random_networks_keep_their_integers(seed, tmp_path):
    rng, dtype = np.random.default_rng(seed), (np.int8, np.uint8)[seed % 2]
    names = [str(name) for name in rng.choice(sorted(set(STEPS) - HOST), int(rng.integers(2, 6)))]
    path = tmp_path / "net.tflite"
    path.write_bytes(network(seed, dtype, names))
    x = samples(dtype, seed=seed)
    try:
        every_tensor(path, x[:1])
    except RuntimeError:  # such as images that have become smaller than a window
        pytest.skip("LiteRT does not take it")
    check(path, x)


@pytest.mark.nightly
@pytest.mark.parametrize("names", CHAINS[1:])
def test_hardware_gives_the_integers(names, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(network(3, np.int8, names, classes=5))
    qgraph = quantize(load_model(path))
    images = golden.quantize_input(qgraph, samples(np.int8, 1))
    assert verify(compile_network(qgraph, (4, 4)), qgraph, images, simulator="cxxrtl").first is None
