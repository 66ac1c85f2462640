"""Whatever a network's file says, once its digests are right: refused, or safe to evaluate, compile and export."""

import warnings
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.branching_networks import NETWORKS
from hwquant_testing.limits import attempt
from hwquant_testing.mutations import resealed
from hwquant_testing.seeds import seed_ranges

from hwquant import container, golden, hwq
from hwquant.describe import describe
from hwquant.errors import HwquantError
from hwquant.export import to_onnx
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.qgraph import QGraph
from hwquant.quantize import quantize
from hwquant.random_networks import Features, random_qgraph

MUTATIONS = 20
"""Of each network."""
FEATURES = Features(multiplier=True, layers=(1, 4), channels=(1, 6), size=(2, 7), inputs=1, outputs=2)


def network(rng):
    """A random integer network, or one that the quantizer made, with orders at its ends."""
    if rng.random() < 0.5:
        qgraph = random_qgraph(rng, replace(FEATURES, steps=((1,), (1, 2))[int(rng.integers(2))]))
    else:
        graph = NETWORKS[rng.choice(list(NETWORKS))](int(rng.integers(100)))
        x = rng.normal(size=(2, *graph.inputs[0].shape)).astype(np.float32)
        qgraph = quantize(graph, x, bits=int(rng.integers(2, 9)), per_channel=bool(rng.integers(2)))
    item, output = qgraph.inputs[0], qgraph.outputs[0]
    count = int(np.prod(qgraph.tensors[output.tensor].shape))
    order = rng.permutation(int(np.prod(item.shape)))
    inputs = (
        Input(item.name, item.shape, item.tensor_shape, item.scale, item.shift, order),
        *qgraph.inputs[1:],
    )
    host = (("softmax", "argmax"), ("argmax",), ())[int(rng.integers(3))]
    ends = (Output(output.name, output.tensor, (count,), rng.permutation(count), host), *qgraph.outputs[1:])
    return QGraph(qgraph.name, inputs, qgraph.nodes, ends, qgraph.tensors, qgraph.options)


def use(path, rng, folder):
    """Everything that is done with a network."""
    qgraph = hwq.load(path)
    q = {
        item.name: rng.integers(*qgraph.tensors[item.name].limits, (2, *item.tensor_shape))
        for item in qgraph.inputs
    }
    exact, fast = golden.run(qgraph, q, exact=True), golden.run(qgraph, q)
    for name in exact:
        assert np.array_equal(exact[name], fast[name]), f"{name}: the fast path differs from the reference"
    golden.predict(qgraph, {item.name: rng.normal(size=(2, *item.shape)) for item in qgraph.inputs})
    describe(qgraph)
    hwq.save(qgraph, folder / "again.hwq")
    assert hwq.load(folder / "again.hwq").name == qgraph.name
    for more in (lambda: timing(compile_network(qgraph, (3, 4))), lambda: to_onnx(qgraph)):
        with suppress(HwquantError):  # what is valid need not fit the array
            more()


@pytest.mark.parametrize("seeds", seed_ranges(40, 2000))
def test_resealed_networks_are_refused_or_safe(seeds, tmp_path):
    accepted = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        if seed == seeds[0] or seed % MUTATIONS == 0:
            hwq.save(network(np.random.default_rng(seed // MUTATIONS)), tmp_path / "net.hwq")
        (tmp_path / "changed.hwq").write_bytes(
            resealed(rng, tmp_path / "net.hwq", hwq.KIND, hwq.VERSION, int(rng.integers(1, 3)))
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                result = attempt(use, tmp_path / "changed.hwq", rng, tmp_path)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        accepted += not isinstance(result, HwquantError)
    assert accepted < len(seeds)


def test_what_is_only_for_people_may_be_changed(tmp_path):
    """So that the test above does not only see refusals."""
    rng = np.random.default_rng(0)
    hwq.save(network(rng), tmp_path / "net.hwq")
    members, arrays = container.read(tmp_path / "net.hwq", hwq.KIND, hwq.VERSION)
    members["network"]["options"]["note"] = "changed"
    container.write(tmp_path / "net.hwq", hwq.KIND, hwq.VERSION, members, arrays)
    use(tmp_path / "net.hwq", rng, tmp_path)
