"""What was pruned stays exactly zero, whatever the quantizer is asked for, and its tiles are skipped."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.branching_networks import NETWORKS
from hwquant_testing.seeds import nightly, seed_ranges

from hwquant.errors import DoesNotFit, Unsupported
from hwquant.graph import Conv
from hwquant.program.compiler import compile_network
from hwquant.pruning.groups import GroupShape, convolutions
from hwquant.quantize import QuantizeOptions, observe_network, quantize
from hwquant.training import Training, TrainOptions, finetune_all_at_once, guard, progressive
from hwquant.truncation import fixed_point
from hwquant.validate import validate


def pruned_network(rng, array):
    """A network with a random part of its groups at zero, and single weights besides."""
    graph = NETWORKS[rng.choice(list(NETWORKS))](int(rng.integers(1000)))
    ratio = rng.choice([0.0, 1.0])  # mostly positive weights make a literal range differ from a stretched one

    def prune(node):
        groups = GroupShape(array).cut(graph, node)
        kept = (rng.random(groups.count) < 0.5)[groups.labels] & (rng.random(node.weight.shape) < 0.9)
        return replace(node, weight=(node.weight + ratio * np.std(node.weight)) * kept)

    nodes = tuple(prune(node) if isinstance(node, Conv) else node for node in graph.nodes)
    return replace(graph, nodes=nodes)


def random_options(rng):
    symmetric = bool(rng.integers(2))
    return QuantizeOptions(
        bits=int(rng.integers(2 if symmetric else 1, 9)),
        activation_bits=int(rng.integers(3, 9)),
        per_channel=bool(rng.integers(2)),
        symmetric=symmetric,
        literal_range=not symmetric and bool(rng.random() < 0.7),
        anchor=str(rng.choice(["min", "max"])),
        rounding=str(rng.choice(["round", "truncate"])),
        scales=str(rng.choice(["shift", "power_of_two", "multiplier"])),
        calibration_method="minmax",
        error_compensation=bool(rng.integers(2)),
        bias_correction=bool(rng.integers(2)),
    )


def check(graph, qgraph, array, context):
    """Masks, weights and skipped tiles are what the float network promises."""
    validate(qgraph)
    terms = [term for node in qgraph.nodes for term in getattr(node, "terms", ())]
    fused = qgraph.options["layers"]
    for node in convolutions(graph):
        same = [term for term in terms if term.codes.shape == node.weight.shape and term.mask is not None]
        zero = node.weight == 0
        assert not zero.any() or any(
            np.array_equal(~term.mask, zero) and not term.weight[zero].any() for term in same
        ), (node.name, context)
    try:
        program = compile_network(qgraph, array)
    except (Unsupported, DoesNotFit):  # a literal range may leave the hardware no zero to fill lanes with
        assert "literal_range=True" in context
        return False
    for info in program.layers:
        members = fused.get(info.covers[0], {"fused": ()})["fused"]
        nodes = [node for node in convolutions(graph) if node.name in members]
        cut = {node.name: GroupShape(array).cut(graph, node) for node in nodes}
        promised = sum(int(cut[node.name].zeros(node.weight).sum()) for node in nodes)
        left = sum(groups.count for groups in cut.values()) - promised
        # A filter whose rounded weights are all alike becomes a sum over windows, which has fewer tiles in all.
        assert info.tiles_skipped >= promised or info.tiles - info.tiles_skipped <= left, (info.name, context)
    return True


@pytest.mark.parametrize("seeds", seed_ranges(8, 400))
def test_quantized_networks_keep_their_zeros(seeds):
    compiled = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        array = (int(rng.integers(2, 10)), int(rng.integers(2, 10)))
        graph, options = pruned_network(rng, array), random_options(rng)
        samples = rng.normal(size=(4, *graph.inputs[0].shape)).astype(np.float32)
        qgraph = quantize(graph, samples, options=options)
        compiled += check(graph, qgraph, array, f"seed {seed}: {array} {options}")
    assert compiled > len(seeds) // 2


METHODS = {
    "progressive": progressive,
    "all at once": finetune_all_at_once,
    "truncated": lambda graph, training, x, options: fixed_point.finetune(
        observe_network(graph, x), options, training, {graph.inputs[0].name: x}
    ),
}


@pytest.mark.parametrize(
    "method",
    [
        "all at once",
        *nightly(("progressive", "truncated")),
    ],
)
@pytest.mark.parametrize("seeds", seed_ranges(1, 20))
def test_trained_networks_keep_their_zeros(seeds, method, monkeypatch):
    # Of so few samples nothing can be learned; what was trained comes back nevertheless.
    monkeypatch.setattr(guard, "BETTER", -np.inf)
    monkeypatch.setattr(guard, "WORSE", np.inf)
    for seed in seeds:
        rng = np.random.default_rng(seed)
        array = (int(rng.integers(2, 10)), int(rng.integers(2, 10)))
        graph, options = pruned_network(rng, array), random_options(rng)
        if method == "truncated":
            names = [node.name for node in convolutions(graph)]
            options = fixed_point.options("int8", names[1:-1])  # two numbers of a single bit have no 0
        x = rng.normal(size=(8, *graph.inputs[0].shape)).astype(np.float32)
        training = TrainOptions(epochs=2, lr=1e-3, batch_size=4, weight_decay=0.01, seed=seed)
        data = (x, rng.integers(0, 10, 8))
        qgraph = METHODS[method](graph, Training(data, training), x, options)
        if method == "all at once":
            assert qgraph.options["finetuned"]["guard"]["best"].startswith("trained")
        check(graph, qgraph, array, f"seed {seed}: {array} {options}")
