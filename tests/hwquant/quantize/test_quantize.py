"""The quantizer as a whole, on networks with every structure, run by the golden model."""

import json
import math

import numpy as np
import pytest

from hwquant import floating, golden
from hwquant.errors import HwquantError
from hwquant.graph import AveragePool, Clip, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.qgraph import Layer, Product
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.quantize.fuse import plan_layers
from hwquant.validate import validate
from hwquant.window import Window

VARIANTS = [
    {},
    {"anchor": "max", "rounding": "truncate"},
    {"symmetric": True},
    {"literal_range": True},
    {"per_channel": True},
    {"per_channel": True, "literal_range": True, "anchor": "max"},
    {"scales": "power_of_two", "symmetric": True},
    {"scales": "multiplier"},
    {"scales": "multiplier", "per_channel": True, "symmetric": True},
    {"error_compensation": True, "per_channel": True},
    {"calibration_method": "percentile"},
    {"calibration_method": "minmax", "bias_correction": False},
]


def ratios(layer, term, qgraph):
    """``S_x * S_w * 2^-k * m * 2^-s / S_y`` without its powers of two left out: 1 for exact rescaling."""
    source, target = qgraph.tensors[term.input], qgraph.tensors[layer.name]
    factor = 1 if layer.multiplier is None else 1 / layer.multiplier
    return source.scale * term.scale * factor * 2.0 ** (layer.shift - term.shift) / target.scale


@pytest.mark.one_in(3)
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_every_scale_and_every_integer_is_as_promised(graph, samples, options):
    qgraph = quantize(graph, samples, **options)
    validate(qgraph)
    plan = plan_layers(graph)
    units = {(layer.name, i): term.unit for layer in plan.layers for i, term in enumerate(layer.terms)}
    for layer in (node for node in qgraph.nodes if isinstance(node, Layer)):
        assert layer.shift.max() <= 30
        assert (layer.multiplier is None) == (options.get("scales") != "multiplier")
        for index, term in enumerate(layer.terms):
            error = np.abs(ratios(layer, term, qgraph) - 1)
            if layer.multiplier is not None:
                assert layer.multiplier.max() < 1 << 15
                assert error.max() <= 2.0**-15
            elif units[layer.name, index] is not None:
                assert not error.any()
            else:
                assert error.max() <= 2.0**-51  # the quotient, rounded to a float once
            if units[layer.name, index] is not None:
                assert np.array_equal(
                    term.weight * term.scale.reshape(-1, 1, 1, 1),
                    np.full(term.weight.shape, units[layer.name, index]),
                )
            if not options.get("literal_range"):
                assert np.abs(term.weight).max() < 1 << 8
            if options.get("symmetric"):
                assert not term.offset.any()


@pytest.mark.parametrize("per_channel", [False, True])
def test_every_scale_is_a_power_of_two_where_that_is_asked_for(graph, samples, per_channel):
    qgraph = quantize(graph, samples, scales="power_of_two", per_channel=per_channel)
    terms = [term for node in qgraph.nodes if isinstance(node, Layer) for term in node.terms]
    scales = [tensor.scale for tensor in qgraph.tensors.values()]
    scales += [scale for term in terms for scale in term.scale.tolist()]
    assert {math.frexp(scale)[0] for scale in scales} == {0.5}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_integer_network_is_close_to_the_float_network(graph, samples, options):
    qgraph = quantize(graph, samples, **options)
    fresh = np.random.default_rng(9).normal(0.2, 1, (200, 3, 8, 8))
    exact, integer = floating.predict(graph, fresh)[0], golden.predict(qgraph, fresh)[0]
    assert np.isfinite(integer).all()
    assert 10 * math.log10(exact.var() / (exact - integer).var()) > 25


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("bits", "least"), [(8, 30), (6, 22), (4, 10)])
def test_noise_grows_with_fewer_weight_bits(graph, samples, bits, least):
    qgraph = quantize(graph, samples, bits=bits, error_compensation=True)
    exact, integer = floating.predict(graph, samples)[0], golden.predict(qgraph, samples)[0]
    assert 10 * math.log10(exact.var() / (exact - integer).var()) > least


@pytest.mark.one_in(3)
@pytest.mark.parametrize("bits", [1, 2, 3])
@pytest.mark.parametrize("anchor", ["min", "max"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_fewest_bits_still_give_a_valid_network(graph, samples, bits, anchor, per_channel):
    validate(
        quantize(
            graph,
            samples[:8],
            bits=bits,
            activation_bits=max(2, bits),
            anchor=anchor,
            per_channel=per_channel,
        )
    )


def test_layers_carry_the_names_of_float_tensors(graph, samples):
    qgraph = quantize(graph, samples)
    hoisted = {"c3.last"}  # the clip that changed places with a pool
    assert set(qgraph.tensors) - hoisted <= set(graph.shapes)
    assert {output.tensor for output in graph.outputs} <= set(qgraph.tensors)


@pytest.mark.parametrize("kind", ["residual", "projection", "clips"])
@pytest.mark.parametrize("options", [{}, {"per_channel": True}, {"scales": "multiplier"}], ids=str)
def test_a_fused_sum_is_rounded_once(build, samples, kind, options):
    qgraph = quantize(build(kind, 4), samples, **options)
    layer = next(node for node in qgraph.nodes if isinstance(node, Layer) and node.name == "last")
    assert len(layer.terms) > 1
    tensors = golden.run(qgraph, golden.quantize_input(qgraph, samples), keep=list(qgraph.tensors))
    target = qgraph.tensors["last"]
    total = np.zeros(())
    for term in layer.terms:
        weight = term.weight * term.scale.reshape(-1, 1, 1, 1)
        node = Conv("c", ("x",), weight, np.zeros(len(weight)), term.window, term.groups)
        real = qgraph.tensors[term.input].dequantize(tensors[term.input])
        total = total + floating.evaluate(node, real.swapaxes(0, 1)).swapaxes(0, 1)
    step = target.scale * 2.0**-layer.shift
    if layer.multiplier is not None:
        step = step * layer.multiplier
    total = total + (layer.bias * step).reshape(1, -1, 1, 1)
    low, high = ((bound - target.zero_point) * target.scale for bound in (layer.low, layer.high))
    error = np.abs(target.dequantize(tensors["last"]) - np.clip(total, low, high))
    assert error.max() <= target.scale * (0.5 + (2e-2 if layer.multiplier is not None else 1e-9))


def test_pruned_weights_stay_zero_and_are_marked(build, samples):
    graph = build("residual", 5)
    rng = np.random.default_rng(0)
    nodes = tuple(
        Conv(n.name, n.inputs, n.weight * (rng.random(n.weight.shape) < 0.4), n.bias, n.window)
        if isinstance(n, Conv)
        else n
        for n in graph.nodes
    )
    weights = {node.name: node.weight for node in nodes if isinstance(node, Conv)}
    pruned = Graph(graph.name, graph.inputs, nodes, graph.outputs)
    for options in ({}, {"error_compensation": True}, {"per_channel": True, "anchor": "max"}, {"bits": 3}):
        qgraph = quantize(pruned, samples, **options)
        terms = {
            plan.node: term
            for layer, planned in zip(
                (n for n in qgraph.nodes if isinstance(n, Layer)), plan_layers(pruned).layers
            )
            for term, plan in zip(layer.terms, planned.terms)
        }
        for name, weight in weights.items():
            assert not terms[name].weight[weight == 0].any()
            assert np.array_equal(terms[name].mask, weight != 0)


def test_bias_correction_removes_the_mean_error(build, samples):
    graph = build("chain", 6)
    for options, bound in (({"bias_correction": False}, np.inf), ({}, 0.02)):
        qgraph = quantize(graph, samples, bits=4, **options)
        error = golden.predict(qgraph, samples)[0] - floating.predict(graph, samples)[0]
        shift = np.abs(error.mean(axis=0)).max() / floating.predict(graph, samples)[0].std()
        assert shift < bound
        if options:
            assert shift > 0.05


def test_error_compensation_lowers_the_noise(build, samples):
    graph = build("residual", 7)
    samples = sum(
        np.roll(samples, step, axis) for step in range(3) for axis in (2, 3)
    )  # smooth, as images are
    exact = floating.predict(graph, samples)[0]
    noise = [
        (golden.predict(quantize(graph, samples, bits=4, error_compensation=on), samples)[0] - exact).var()
        for on in (False, True)
    ]
    assert noise[1] < 0.7 * noise[0]


def test_bits_can_differ_by_layer(build, samples):
    qgraph = quantize(build("residual", 0), samples, bits={"c2": 3, "last": 5}, activation_bits={"r1": 6})
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    assert [term.bits for term in layers["r2"].terms] == [3]
    assert {term.bits for term in layers["last"].terms} == {5}
    assert [term.bits for term in layers["fc"].terms] == [8]
    assert (qgraph.tensors["r1"].bits, qgraph.tensors["r2"].bits) == (6, 8)


@pytest.mark.parametrize("options", [{}, {"per_channel": True, "error_compensation": True}], ids=str)
def test_the_same_arguments_give_the_same_network(graph, samples, options):
    one, other = (quantize(graph, samples.copy(), **options) for _ in range(2))
    assert one.options == other.options
    assert {name: vars(tensor) for name, tensor in one.tensors.items()} == {
        name: vars(tensor) for name, tensor in other.tensors.items()
    }
    for a, b in zip(one.nodes, other.nodes):
        if isinstance(a, Layer):
            assert np.array_equal(a.bias, b.bias)
            assert np.array_equal(a.shift, b.shift)
            for left, right in zip(a.terms, b.terms):
                assert np.array_equal(left.codes, right.codes)
                assert np.array_equal(left.offset, right.offset)
                assert np.array_equal(left.scale, right.scale)


def test_options_and_report_are_plain_json(graph, samples):
    qgraph = quantize(graph, samples, QuantizeOptions(per_channel=True))
    report = json.loads(json.dumps(qgraph.options, allow_nan=False))
    assert report == qgraph.options
    assert report["quantizer"]["per_channel"] is True
    assert report["calibration_samples"] == 64
    assert set(report["tensors"]) == set(qgraph.tensors)
    assert set(report["layers"]) == {node.name for node in qgraph.nodes if isinstance(node, Layer | Product)}
    assert report["tensors"]["fc"]["sqnr_db"] > 20


@pytest.mark.parametrize("scales", ["shift", "multiplier"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_constant_and_zero_layers_are_exact(samples, scales, per_channel):
    nodes = (
        Conv("zero", ("x",), np.zeros((2, 3, 1, 1)), np.array([0.5, -0.25])),
        Conv("same", ("zero",), np.full((2, 2, 1, 1), 0.3), np.zeros(2)),
        Clip("dead", ("same",), 0.0, 0.0),
        Conv("last", ("dead",), np.ones((1, 2, 1, 1)), np.array([2.0])),
    )
    outputs = (Output("y", "last", (1, 8, 8)), Output("z", "zero", (2, 8, 8)))
    graph = Graph("flat", (Input("x", (3, 8, 8), (3, 8, 8)),), nodes, outputs)
    qgraph = quantize(graph, samples, scales=scales, per_channel=per_channel)
    validate(qgraph)
    for integer, exact in zip(golden.predict(qgraph, samples), floating.predict(graph, samples)):
        assert np.allclose(integer, exact, atol=0.01)


def test_one_calibration_sample_is_enough(graph, samples):
    validate(quantize(graph, samples[:1]))


def test_progress_reaches_its_end(build, samples):
    steps = []
    quantize(build("residual", 0), samples, progress=lambda *step: steps.append(step))
    assert {stage for stage, _, _ in steps} == {"calibrate", "quantize"}
    assert all(done <= total for _, done, total in steps)
    assert steps[-1][1] == steps[-1][2]


def test_bad_calibration_data_are_refused(build):
    x = np.zeros((2, 3, 8, 8))
    x[1, 0, 0, 0] = np.nan
    with pytest.raises(HwquantError, match="'x' hold a NaN"):
        quantize(build("chain", 0), x)


def test_options_come_one_way(build, samples):
    with pytest.raises(TypeError, match="not both"):
        quantize(build("chain", 0), samples, QuantizeOptions(), bits=4)


def test_error_compensation_leaves_the_weights_of_an_average_equal():
    rng = np.random.default_rng(5)
    shape = (4, 5, 3)
    graph = Graph(
        "pooled",
        (Input("x", shape, shape),),
        (
            Conv("conv", ("x",), rng.normal(size=(6, 4, 1, 1)), rng.normal(size=6)),
            AveragePool("mean", ("conv",), Window((5, 3), (1, 1))),
        ),
        (Output("y", "mean", (6,)),),
    )
    qgraph = quantize(graph, rng.normal(size=(64, *shape)).astype(np.float32), error_compensation=True)
    (mean,) = (node for node in qgraph.nodes if node.name == "mean")
    assert np.ptp(mean.terms[0].codes) == 0
