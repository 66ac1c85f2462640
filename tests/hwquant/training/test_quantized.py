"""Networks that become integers step by step: in the end, the golden model's integers are what torch computes."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hwquant_testing.float_networks import ALL_KINDS

from hwquant import golden
from hwquant.errors import HwquantError
from hwquant.graph import Conv, Graph
from hwquant.history import KEY
from hwquant.interface import Input, Output
from hwquant.quantize import QuantizeOptions, observe_network, quantize
from hwquant.training import QuantizedNetwork, Training, TrainOptions, fit
from hwquant.validate import validate
from hwquant.window import Window

VARIANTS = [
    {},
    {"bits": 2, "activation_bits": 2},
    {"bits": 3, "activation_bits": 4, "per_channel": True},
    {"bits": 4, "anchor": "max"},
    {"bits": 5, "per_channel": True, "anchor": "max", "rounding": "truncate"},
    {"bits": 6, "activation_bits": 3, "symmetric": True},
    {"bits": {"c1": 4, "fc": 7}, "activation_bits": {"x": 5, "avg": 6}},
    {"bits": 4, "scales": "multiplier"},
    {"bits": 8, "scales": "multiplier", "per_channel": True, "calibration_method": "minmax"},
    {"bits": 1},
    {"bias_bits": 7, "per_channel": True},
    {"bits": 1, "grid": "mid_rise", "symmetric": True, "per_channel": True},
    {"bits": 2, "grid": "mid_rise", "anchor": "max", "activation_bits": 4},
]
COMBINATIONS = [
    pytest.param(kind, variant, marks=[] if (row + column) % 3 == 0 else pytest.mark.nightly)
    for row, kind in enumerate(ALL_KINDS)
    for column, variant in enumerate(VARIANTS)
]
"""Every structure and every variant in every run; all combinations nightly."""


def all_tensors_agree(network, qgraph, samples):
    """Every tensor of the torch network, in the dtype that is exact, against the golden model."""
    validate(qgraph)
    names = list(qgraph.tensors)
    with torch.no_grad():
        steps = network.exact().steps(torch.tensor(samples), keep=names)
        outputs = network(torch.tensor(samples))
    expected = golden.run(qgraph, golden.quantize_input(qgraph, samples), keep=names)
    for name in names:
        integers = steps[name].double().numpy() + qgraph.tensors[name].zero_point
        assert np.array_equal(integers, expected[name]), name
    scale = qgraph.tensors[qgraph.outputs[0].tensor].scale
    np.testing.assert_allclose(outputs, golden.predict(qgraph, samples)[0], rtol=1e-6, atol=1e-6 * scale)


def train(network, samples, labels, **options):
    """A few hard steps, so that biases and weights go somewhere else."""
    options = {"epochs": 2, "lr": 0.01, "batch_size": 16} | options
    return fit(network, Training((samples, labels), TrainOptions(**options)))


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("kind", "variant"), COMBINATIONS, ids=str)
def test_after_training_and_freezing_every_tensor_is_the_golden_model_s(
    observed, samples, labels, kind, variant
):
    known = {node.name for node in observed(kind).plan.graph.nodes}
    variant = {
        name: {key: bits for key, bits in value.items() if key in known | {"x"}}
        if isinstance(value, dict)
        else value
        for name, value in variant.items()
    }
    network = QuantizedNetwork(observed(kind, 2), QuantizeOptions(**variant))
    network.quantize_tensors(["x"])
    network.decide_grids([network.plan.layers[0].name])
    network.freeze("c1", 0.6)
    train(network, samples, labels, epochs=1)
    network.straight_through = True
    train(network, samples, labels, epochs=1)
    network.freeze_all()
    all_tensors_agree(network, network.to_qgraph(), samples)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_without_training_the_integers_are_those_of_the_quantizer(build, samples, kind, seed):
    graph = build(kind, seed)
    float32 = [
        replace(node, weight=node.weight.astype(np.float32).astype(np.float64))
        if isinstance(node, Conv)
        else node
        for node in graph.nodes
    ]
    graph = replace(graph, nodes=tuple(float32))
    options = QuantizeOptions(
        bits=2 + seed,
        per_channel=seed % 2 == 1,
        bias_correction=False,
        error_compensation=False,
        equalization=False,
    )
    network = QuantizedNetwork(observe_network(graph, samples), options)
    network.freeze_all()
    ours, theirs = network.to_qgraph(), quantize(graph, samples, options)
    for mine, other in zip(ours.nodes, theirs.nodes, strict=True):
        for term, expected in zip(getattr(mine, "terms", ()), getattr(other, "terms", ()), strict=True):
            assert np.array_equal(term.codes, expected.codes)
            assert np.array_equal(term.offset, expected.offset)
            assert np.array_equal(term.scale, expected.scale)
        if hasattr(mine, "bias"):
            assert np.abs(mine.bias - other.bias).max() <= 1  # float32 biases
    assert ours.options.keys() == theirs.options.keys() - {KEY}


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_frozen_weights_keep_their_bits_in_training_and_float_ones_move(observed, samples, labels, optimizer):
    network = QuantizedNetwork(observed("depthwise"), QuantizeOptions(bits=4))
    network.decide_grids(layer.name for layer in network.plan.layers)
    for node in network.convolutions:
        network.freeze(node, 0.5)
    kept = {
        node: (network.frozen(node).clone(), network.integers(node).clone()) for node in network.convolutions
    }
    moved = {node: network.weight(node).detach().clone() for node in network.convolutions}
    train(network, samples, labels, optimizer=optimizer, weight_decay=0.1, lr=0.01)
    for node, (frozen, integers) in kept.items():
        assert torch.equal(network.frozen(node), frozen)
        assert torch.equal(network.integers(node), integers)
        assert not network.weight(node).grad[frozen].any()
        assert (network.weight(node) != moved[node])[~frozen].any()
    network.freeze_all()
    for node, (frozen, integers) in kept.items():
        assert torch.equal(network.integers(node)[frozen], integers[frozen])


def test_the_largest_weights_are_frozen_first(observed):
    network = QuantizedNetwork(observed("chain"), QuantizeOptions())
    network.decide_grids(layer.name for layer in network.plan.layers)
    size = network.weight("c2").detach().abs()
    network.freeze("c2", 0.25)
    frozen = network.frozen("c2")
    assert int(frozen.sum()) == size.numel() // 4
    assert size[frozen].min() >= size[~frozen].max()
    network.freeze("c2", 0.5)
    assert int(network.frozen("c2").sum()) == size.numel() // 4 + round(
        0.5 * (size.numel() - size.numel() // 4)
    )


def test_the_largest_of_several_convolutions_are_found_together(observed):
    network = QuantizedNetwork(observed("chain"), QuantizeOptions())
    network.decide_grids(layer.name for layer in network.plan.layers)
    with torch.no_grad():
        network.weight("c2").mul_(1e-6)  # smaller than those of c1, one and all
    sizes = {node: network.weight(node).numel() for node in ("c1", "c2")}
    network.freeze(["c1", "c2"], sizes["c1"] / sum(sizes.values()))
    assert network.frozen("c1").all()
    assert not network.frozen("c2").any()
    network.freeze(["c2", "c1"], 0.5)
    assert int(network.frozen("c2").sum()) == round(0.5 * sizes["c2"])


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_an_adopted_network_is_computed_and_goes_on_being_trained(build, samples, labels, bits):
    graph, options = build("residual", 3), QuantizeOptions(bits=bits)
    compensated = quantize(graph, samples, bits=bits, error_compensation=True, equalization=False)
    network = QuantizedNetwork(observe_network(graph, samples), options)
    before = {node: network.weight(node).detach().clone() for node in network.convolutions}
    network.adopt(compensated)
    assert network.rounded
    own = copy.deepcopy(network)
    own.freeze_all()
    moved = 0
    for mine, other in zip(own.to_qgraph().nodes, compensated.nodes, strict=True):
        for term, wanted in zip(getattr(mine, "terms", ()), getattr(other, "terms", ()), strict=True):
            assert np.array_equal(term.codes, wanted.codes)
        if hasattr(mine, "bias"):
            assert np.abs(mine.bias - other.bias).max() <= 1  # float32 biases
    for node, weight in before.items():
        changed = network.weight(node).detach() != weight
        moved += int(changed.sum())
        assert not changed.all()
    assert moved or bits == 8
    adopted = {node: network.weight(node).detach().clone() for node in network.convolutions}
    train(network, samples, labels)
    assert all((network.weight(node) != weight).any() for node, weight in adopted.items())
    with pytest.raises(HwquantError, match="has other layers than"):
        network.adopt(quantize(build("chain", 1), samples))


@pytest.mark.parametrize("anchor", ["min", "max"])
def test_pruned_weights_stay_zero(build, samples, labels, anchor):
    graph = build("residual", 1)
    rng = np.random.default_rng(0)
    masks = {node.name: rng.random(node.weight.shape) < 0.5 for node in graph.nodes if isinstance(node, Conv)}
    graph = replace(
        graph,
        nodes=tuple(
            replace(node, weight=node.weight * masks[node.name]) if node.name in masks else node
            for node in graph.nodes
        ),
    )
    network = QuantizedNetwork(observe_network(graph, samples), QuantizeOptions(bits=4, anchor=anchor))
    train(network, samples, labels, weight_decay=0.1)
    network.decide_grids(layer.name for layer in network.plan.layers)
    network.straight_through = True
    train(network, samples, labels, weight_decay=0.1)
    network.freeze_all()
    qgraph = network.to_qgraph()
    found = 0
    for layer, node in zip(network.plan.layers, (node for node in qgraph.nodes if hasattr(node, "terms"))):
        for plan, term in zip(layer.terms, node.terms):
            if plan.node in masks:
                found += 1
                assert np.array_equal(term.mask, masks[plan.node])
                assert not term.weight[~term.mask].any()
                assert term.weight[term.mask].any()
    assert found == len(masks)
    all_tensors_agree(network, qgraph, samples)


def test_sums_beyond_float32_are_computed_in_float64(samples):
    rng = np.random.default_rng(0)
    nodes = (
        Conv(
            "c1", ("x",), rng.normal(size=(2, 512, 3, 3)), np.zeros(2), Window((3, 3), padding=(1, 1, 1, 1))
        ),
        Conv("fc", ("c1",), rng.normal(size=(5, 2, 4, 4)), np.zeros(5), Window((4, 4))),
    )
    graph = Graph("wide", (Input("x", (512, 4, 4), (512, 4, 4)),), nodes, (Output("y", "fc", (5,)),))
    x = rng.normal(size=(8, 512, 4, 4))
    network = QuantizedNetwork(observe_network(graph, x), QuantizeOptions())
    network.freeze_all()
    qgraph = network.to_qgraph()
    assert next(network.exact().parameters()).dtype == torch.float64
    all_tensors_agree(network, qgraph, x)
    small = QuantizedNetwork(observe_network(graph, x), QuantizeOptions(bits=2, activation_bits=3))
    small.freeze_all()
    assert next(small.exact().parameters()).dtype == torch.float32


def test_the_state_brings_everything_back(observed, samples, labels):
    first = QuantizedNetwork(observed("residual"), QuantizeOptions(bits=3))
    train(first, samples, labels)
    first.quantize_tensors(["x", "r1"])
    first.decide_grids(layer.name for layer in first.plan.layers[:2])
    first.freeze("c1", 0.5)
    train(first, samples, labels)
    second = QuantizedNetwork(observed("residual"), QuantizeOptions(bits=3))
    second.load_state_dict(first.state_dict())
    for network in (first, second):
        train(network, samples, labels)
        network.freeze_all()
    ours, theirs = first.to_qgraph(), second.to_qgraph()
    for mine, other in zip(ours.nodes, theirs.nodes, strict=True):
        assert np.array_equal(mine.bias, other.bias)
        for term, expected in zip(mine.terms, other.terms, strict=True):
            assert np.array_equal(term.codes, expected.codes)
            assert np.array_equal(term.scale, expected.scale)


def test_what_is_still_float_has_no_integers(observed):
    network = QuantizedNetwork(observed("chain"), QuantizeOptions())
    with pytest.raises(
        HwquantError, match="the grid of layer 'r1' is not decided yet: call decide_grids first"
    ):
        network.freeze("c1")
    with pytest.raises(HwquantError, match="'c9' is no convolution of 'chain'"):
        network.freeze("c9")
    with pytest.raises(HwquantError, match="the grid of layer 'r1' is not decided yet"):
        network.freeze_biases()
    with pytest.raises(HwquantError, match="c1 of 'chain' is still float: call freeze_all first"):
        network.to_qgraph()
