"""Mid-rise grids: odd multiples of a scale, taken where the weights lie on one, within half a step elsewhere."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hwquant_testing.float_networks import KINDS, build
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant import golden
from hwquant.errors import HwquantError, Unsupported
from hwquant.golden import reference
from hwquant.graph import Clip, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.qgraph import Layer
from hwquant.quantize import quantize
from hwquant.quantize.balance import balancing_factors
from hwquant.quantize.compensation import compensated_rounding, descend
from hwquant.quantize.mid_rise import exact_unit, lies_on_grid, settle_grid
from hwquant.quantize.shifts import weight_exponents
from hwquant.quantize.weight_scheme import WeightScheme
from hwquant.quantize.weights import ideal_scale, nearest, quantize_weight

SETTINGS = settings(deadline=None, derandomize=True, max_examples=100)

weights = st.builds(
    lambda seed, out, size, middle: np.random.default_rng(seed).normal(middle, 0.5, (out, size, 1, 1)),
    st.integers(0, 1 << 20),
    st.integers(1, 4),
    st.integers(1, 12),
    st.sampled_from([-2.0, 0.0, 0.3, 2.0]),
)
schemes = st.builds(
    WeightScheme,
    bits=st.integers(1, 8),
    anchor=st.sampled_from(["min", "max"]),
    rounding=st.sampled_from(["round", "truncate"]),
    symmetric=st.booleans(),
    per_channel=st.booleans(),
    grid=st.just("mid_rise"),
)


def rows(array, scheme):
    return array.reshape(len(array) if scheme.per_channel else 1, -1)


@SETTINGS
@given(weights, schemes)
def test_weights_are_odd_multiples_of_the_scale_within_a_scale_of_what_they_were(weight, scheme):
    quantized = quantize_weight(weight, scheme)
    settled = settle_grid(weight, scheme)
    assert quantized.coding.step == 2
    assert (quantized.adjusted % 2 == 1).all()
    assert (np.abs(quantized.codes + 0.5) <= settled.half - 0.5).all()
    low, high = quantized.coding.limits
    assert (low <= 1).all()
    assert (high >= -1).all()
    if settled.symmetric:
        assert (low == -high).all()
        assert (high == 2**scheme.bits - 1).all()
        if scheme.bits == 1:
            return  # the error is in what the scale stands for
    # The rounding of the offset by truncation is off by another step.
    bound = 1 if scheme.rounding == "round" or settled.symmetric else 3
    per_row = rows(np.abs(quantized.dequantize() - weight), settled).max(axis=1)
    inside = np.all(-quantized.coding.offset % 2 == 1)
    assert inside
    if not (settled.per_channel and scheme.bits == 8):  # offsets of single channels are kept within 8 bits
        assert (per_row <= bound * quantized.scale * (1 + 1e-9)).all()


@SETTINGS
@given(
    st.integers(0, 1 << 20),
    st.integers(1, 8),
    st.sampled_from(["min", "max"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["auto", "mid_rise"]),
)
def test_weights_on_a_grid_are_recovered_exactly(seed, bits, anchor, per_channel, asked, grid):
    rng = np.random.default_rng(seed)
    odd = 2 * rng.integers(0, 2**bits, (4, 6, 1, 1)) - (2**bits - 1)
    odd[:, 0], odd[0, 1:3] = 2**bits - 1, [[[1 - 2**bits]], [[1]]]
    unit = rng.uniform(0.01, 3, (4, 1, 1, 1) if per_channel else (1, 1, 1, 1))
    weight = (odd * unit).astype(np.float32).astype(np.float64)
    quantized = quantize_weight(weight, WeightScheme(bits, anchor, per_channel=asked, grid=grid))
    assert quantized.coding.step == 2
    np.testing.assert_allclose(quantized.dequantize(), weight, rtol=1e-6)
    if not per_channel:
        assert np.array_equal(quantized.adjusted, odd)
    assert quantized.scale.size == (4 if per_channel or asked else 1)


def test_plus_and_minus_one_are_plus_and_minus_one():
    quantized = quantize_weight(np.array([-1.0, 1.0, -1.0, 1.0]), WeightScheme(1))
    assert quantized.dequantize().tolist() == [-1, 1, -1, 1]
    assert quantized.codes.tolist() == [-1, 0, -1, 0]
    assert quantized.coding.offset.tolist() == [1]


@pytest.mark.parametrize("bits", [2, 8])
def test_what_fewer_bits_hold_is_left_on_a_grid_with_zero(bits):
    signs = np.array([-1.0, 1.0, -1.0, 1.0])
    assert settle_grid(signs, WeightScheme(bits)).grid == "mid_tread"
    assert settle_grid(signs, WeightScheme(bits, grid="mid_rise")).grid == "mid_rise"


@pytest.mark.parametrize(
    "weight",
    [np.array([1.0, 2.0]), np.array([1.0, 1.0]), np.array([-1.0, 0.0, 1.0]), np.zeros(3), np.array([2.0])],
    ids=["even", "one number", "zero", "zeros", "one weight"],
)
def test_other_weights_are_not_taken_for_a_grid(weight):
    for bits in (1, 2, 8):
        assert settle_grid(weight, WeightScheme(bits)).grid == "mid_tread"


def test_ordinary_weights_are_not_taken_for_a_grid():
    rng = np.random.default_rng(0)
    for shape in ((8, 3, 3, 3), (16, 1, 3, 3), (5, 100, 1, 1)):
        weight = rng.normal(size=shape).astype(np.float32).astype(np.float64)
        for bits in range(1, 9):
            assert settle_grid(weight, WeightScheme(bits)).grid == "mid_tread"
            assert not exact_unit(weight.reshape(len(weight), -1), bits).any()


def test_the_unit_is_the_greatest_number_of_which_all_are_odd_multiples():
    found = exact_unit(
        np.array([[1.0, -1, 1], [0.3, 0.9, -0.3], [5.0, 3, 1], [1, 2, 3], [9, 1, 1], [0, 0, 0]]), 3
    )
    assert found.tolist() == pytest.approx([1, 0.3, 1, 0, 0, 0])
    assert exact_unit(np.array([[1.0, -1], [3.0, -3]]), 1).tolist() == [1, 3]
    assert exact_unit(np.array([[1.0, -1], [3.0, -3]]), 2).tolist() == [1, 1]


def test_one_symmetric_bit_has_the_scale_of_the_least_squared_error():
    weight = np.random.default_rng(1).normal(size=(3, 40, 1, 1))
    scheme = WeightScheme(1, symmetric=True, per_channel=True, grid="mid_rise")
    best = ideal_scale(weight, scheme)
    np.testing.assert_allclose(best, np.abs(weight).mean(axis=(1, 2, 3)))

    def error(scale):
        return ((quantize_weight(weight, scheme, scale).dequantize() - weight) ** 2).sum(axis=(1, 2, 3))

    for factor in (0.9, 0.99, 1.01, 1.1):
        assert (error(best * factor) > error(best)).all()
    # Of the scales that shifts allow, the one with the least error.
    _, exponents, _ = weight_exponents(weight, scheme, 1.2, np.ones(()))
    chosen = np.ldexp(1.2, exponents)
    assert (error(chosen) < error(chosen * 2)).all()
    assert (error(chosen) < error(chosen / 2)).all()


def test_the_error_of_a_scale_that_is_off_is_counted():
    weight = np.array([[1.0, -1.0, -1.0, 1.0]]).reshape(1, 4, 1, 1)
    error, exponents, _ = weight_exponents(weight, WeightScheme(1), 1.25, np.ones(()))
    assert error == pytest.approx(4 * 0.25**2)
    assert exponents.tolist() == [0]
    error, _, _ = weight_exponents(weight, WeightScheme(1), 1.0, np.ones(()))
    assert error == 0


def test_odd_numbers_are_rounded_up_from_the_middle():
    x = np.array([-2.0, -0.01, 0.0, 1.99, 2.0])
    assert nearest(x, 2).tolist() == [-1, -1, 1, 1, 3]
    assert nearest(np.array([-0.5, 0.49, 0.5]), 1).tolist() == [0, 0, 1]


def signs(seed, layers=(12, 9, 7, 4), scale=1.0):
    """A fully connected network of +1 and -1."""
    rng = np.random.default_rng(seed)
    nodes = []
    source = "x"
    for index, (before, after) in enumerate(pairwise(layers)):
        weight = scale**index * rng.choice([-1.0, 1.0], (after, before, 1, 1))
        nodes.append(Conv(f"fc{index}", (source,), weight, rng.normal(0, 0.3, after)))
        source = f"fc{index}"
        if index < len(layers) - 2:
            nodes.append(Clip(f"r{index}", (source,), 0.0))
            source = f"r{index}"
    shape = (layers[0], 1, 1)
    return Graph("signs", (Input("x", shape, shape),), tuple(nodes), (Output("y", source, (layers[-1],)),))


def terms(qgraph):
    return [term for node in qgraph.nodes if isinstance(node, Layer) for term in node.terms]


@pytest.mark.parametrize("scale", [1.0, 0.7])
@pytest.mark.parametrize("scales", ["shift", "multiplier"])
def test_a_network_of_signs_keeps_its_weights_to_the_last_digit(scale, scales):
    graph = signs(0, scale=scale)
    x = np.random.default_rng(1).uniform(0, 1, (200, 12, 1, 1))
    qgraph = quantize(graph, x, bits=1, scales=scales)
    layers = [node for node in graph.nodes if isinstance(node, Conv)]
    for term, layer in zip(terms(qgraph), layers, strict=True):
        assert term.step == 2
        np.testing.assert_allclose(term.weight * term.scale, layer.weight, rtol=1e-12)
    reported = qgraph.options["layers"]
    assert [reported[name]["terms"][0]["grid"] for name in reported] == ["mid_rise"] * 3
    assert qgraph.options["sqnr"]["outputs"]["y"] > 30


def test_signs_with_a_scale_for_each_channel_want_multipliers():
    graph, rng = signs(2), np.random.default_rng(3)
    nodes = [
        replace(node, weight=node.weight * rng.choice([1.0, 1.45], (len(node.weight), 1, 1, 1)))
        if isinstance(node, Conv)
        else node
        for node in graph.nodes
    ]
    graph, x = replace(graph, nodes=tuple(nodes)), rng.uniform(0, 1, (200, 12, 1, 1))
    free = quantize(graph, x, bits=1, scales="multiplier")
    for term, layer in zip(terms(free), (node for node in nodes if isinstance(node, Conv)), strict=True):
        assert term.scale.shape == (len(layer.weight),)
        np.testing.assert_allclose(term.weight * term.scale.reshape(-1, 1, 1, 1), layer.weight, rtol=1e-12)
        assert term.offset.tolist() == [1]
    assert free.options["warnings"] == []
    tied = quantize(graph, x, bits=1)
    assert all(term.step == 2 for term in terms(tied))
    assert tied.options["sqnr"]["outputs"]["y"] < free.options["sqnr"]["outputs"]["y"] - 10
    assert any(item["option"] == "--scales" for item in tied.options["warnings"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compensated", [False, True])
def test_networks_of_every_structure_take_a_mid_rise_grid(kind, compensated):
    graph, x = build(kind, 3), np.random.default_rng(2).normal(0.2, 1, (32, 3, 8, 8))
    options = {"bits": 3, "grid": "mid_rise", "symmetric": True, "per_channel": True}
    qgraph = quantize(graph, x, error_compensation=compensated, **options)
    convolutions = {node.name for node in graph.nodes if isinstance(node, Conv)}
    assert sum(term.step == 2 for term in terms(qgraph)) == len(convolutions)
    assert qgraph.options["sqnr"]["outputs"]["y"] > 5
    fast = golden.run(qgraph, golden.quantize_input(qgraph, x))
    exact = reference.run(qgraph, golden.quantize_input(qgraph, x))
    for name, value in fast.items():
        assert np.array_equal(value, exact[name])


def test_compensation_helps_on_a_mid_rise_grid_too():
    graph, x = build("chain", 5), np.random.default_rng(2).normal(0.2, 1, (64, 3, 8, 8))
    found = [
        quantize(graph, x, bits=2, grid="mid_rise", error_compensation=on).options["sqnr"]["outputs"]["y"]
        for on in (False, True)
    ]
    assert found[1] > found[0]


def test_compensated_weights_are_odd_and_err_less_than_the_nearest():
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(500, 20)) @ rng.normal(size=(20, 20))
    covariance = (inputs.T @ inputs / len(inputs))[None]
    weight, limit = rng.normal(0, 1.5, (6, 20, 1, 1)), np.array([3])
    kept = np.ones(weight.shape, np.bool_)
    arguments = (weight, covariance, -limit, limit, kept, 2)
    compensated = compensated_rounding(*arguments)
    moved = descend(compensated, *arguments)

    def error(odd):
        difference = (odd - weight).reshape(6, -1)
        return np.einsum("oi,ij,oj->", difference, covariance[0], difference)

    plain = np.clip(nearest(weight, 2), -3, 3)
    for odd in (compensated, moved):
        assert (odd % 2 == 1).all()
        assert np.abs(odd).max() == 3
        assert error(odd) < error(plain)
    assert error(moved) <= error(compensated) * 1.01  # descent counts a little variance of every input


def test_weights_on_a_grid_are_neither_balanced_nor_equalized():
    graph = signs(5)
    bias = graph.nodes[0].bias * np.where(np.arange(9) < 4, 1.0, 1e-4)
    tiny = graph.nodes[0].weight * np.where(np.arange(9) < 4, 1.0, 1e-4)[:, None, None, None]
    small = replace(
        graph.nodes[0], weight=tiny + np.random.default_rng(0).normal(0, 1e-6, tiny.shape), bias=bias
    )
    graph = replace(graph, nodes=(small, *graph.nodes[1:]))
    x = np.random.default_rng(1).uniform(0, 1, (200, 12, 1, 1))
    qgraph = quantize(graph, x, bits={"fc1": 1, "fc2": 1, "fc0": 4})
    assert "equalized" not in qgraph.options
    assert balancing_factors(graph, {"fc1", "fc2"}) == {}
    assert balancing_factors(graph) != {}
    for term, node in zip(terms(qgraph)[1:], (graph.nodes[2], graph.nodes[4]), strict=True):
        np.testing.assert_allclose(term.weight * term.scale, node.weight, rtol=1e-12)
    assert lies_on_grid(graph.nodes[2].weight, 1)
    assert not lies_on_grid(small.weight, 2)


def test_pruned_weights_have_no_place_on_a_mid_rise_grid():
    weight = np.array([[1.0, -1.0, 0.0]]).reshape(1, 3, 1, 1)
    with pytest.raises(Unsupported, match="exactly 0, as pruned ones are, and a mid-rise grid has no 0"):
        quantize_weight(weight, WeightScheme(2, grid="mid_rise"))
    graph = signs(1)
    pruned = Conv(
        "fc1", ("r0",), graph.nodes[2].weight * (np.arange(9) > 2)[:, None, None], graph.nodes[2].bias
    )
    graph = replace(graph, nodes=(*graph.nodes[:2], pruned, *graph.nodes[3:]))
    x = np.random.default_rng(1).uniform(0, 1, (50, 12, 1, 1))
    with pytest.raises(Unsupported, match="layer 'fc1': some of its weights are exactly 0") as error:
        quantize(graph, x, grid="mid_rise")
    assert error.value.where == "fc1"
    qgraph = quantize(graph, x, bits=2, grid={"fc0": "mid_rise", "fc1": "mid_tread"})
    assert [term.step for term in terms(qgraph)] == [2, 1, 1]
    with pytest.raises(HwquantError, match="grid names 'fc9', which is not in the network"):
        quantize(graph, x, grid={"fc9": "mid_rise"})
