"""Networks that are quantized already: their integers are kept, and onnxruntime is the oracle."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hwquant_testing.quantized_models import QuantizedModel, every_operator, runtime

from hwquant import floating, golden
from hwquant.agreement import compare
from hwquant.cli import main
from hwquant.coding import integer_limits
from hwquant.errors import HwquantError
from hwquant.frontends import from_onnx
from hwquant.hwq import from_bytes, to_bytes
from hwquant.interface import Input, Output
from hwquant.program.compiler import compile_network
from hwquant.qgraph import Layer, QGraph
from hwquant.quantize import quantize
from hwquant.quantize.bounds import bounds
from hwquant.quantize.kept import common_unit
from hwquant.sim.check import verify

SHAPE = (2, 8, 8)
KINDS = [
    (np.uint8, np.int8, True),
    (np.int8, np.int8, False),
    (np.uint8, np.uint8, False),
    (np.int8, np.uint8, True),
]


def samples(count=16, seed=1):
    return np.random.default_rng(seed).uniform(-4, 4, (count, *SHAPE)).astype(np.float32)


def integers(model, made, x):
    """The runtime's integers of every quantized tensor, signed, by name."""
    names = list(made.pairs)
    found = zip(names, runtime(model, x, names))
    return {name: q.astype(np.int64) - (128 if q.dtype == np.uint8 else 0) for name, q in found}


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


@pytest.mark.parametrize(("seed", "kinds"), list(enumerate(KINDS)))
def test_every_layer_is_within_a_step_of_the_runtime(seed, kinds):
    made = every_operator(seed, *kinds)
    model = made.model(made.output, SHAPE)
    qgraph, x = quantize(from_onnx(model)), samples()
    source = integers(model, made, x)
    known = {
        name: q.reshape(len(x), *qgraph.tensors[name].shape)
        for name, q in source.items()
        if name in qgraph.tensors
    }
    known["x"] = source[next(iter(made.pairs))]
    for node in qgraph.nodes:  # each from the runtime's own integers
        got = alone(qgraph, node, known)
        expected = known.setdefault(node.name, got)
        assert np.abs(got - expected).max() <= 1
        assert (got == expected).mean() > 0.97
    whole = golden.run(qgraph, golden.quantize_input(qgraph, x))[qgraph.outputs[0].tensor]
    assert np.abs(whole.ravel() - known[qgraph.outputs[0].tensor].ravel()).max() <= 2


def test_weights_biases_and_zero_points_are_the_sources_own():
    made = QuantizedModel(np.random.default_rng(5), np.uint8, np.uint8)
    x = made.around("x", (0.03, 100))
    names, scale = made.weight((4, 2, 3, 3))
    bias = np.array([1, -(2**22) + 1, 12345, 0])
    step = made.constant(np.float32(0.03) * scale[0], np.float32)
    constant = made.dequantized([made.constant(bias, np.int32), step])
    output = made.around(made.node("Conv", [x, made.dequantized(names), constant]), (40.0, 7))
    qgraph = quantize(from_onnx(made.model(output, SHAPE)))
    (layer,) = qgraph.nodes
    assert isinstance(layer, Layer)
    stored = made.constants[2]
    codes = np.frombuffer(stored.raw_data, np.uint8).reshape(4, 2, 3, 3).astype(int)
    assert np.array_equal(layer.terms[0].weight, codes - 120)
    assert np.array_equal(layer.bias, bias)
    assert layer.terms[0].scale == pytest.approx(scale[:1], rel=1e-9)
    assert [(item.scale, item.zero_point) for item in qgraph.tensors.values()] == [
        (float(np.float32(0.03)), -28),
        (40.0, -121),
    ]


def test_a_batch_norm_behind_given_weights_scales_them():
    made = QuantizedModel(np.random.default_rng(6))
    names, scale = made.weight((3, 2, 3, 3), 3)
    conv = made.node("Conv", [made.around("x"), made.dequantized(names, 0)])
    gamma = np.array([0.5, 1.5, 3.0], np.float32)
    numbers = [made.constant(value, np.float32) for value in (gamma, [1, 2, 3], [0, 0, 0], [1, 1, 1])]
    output = made.around(made.node("BatchNormalization", [conv, *numbers], epsilon=0.0))
    graph = from_onnx(made.model(output, SHAPE))
    (grid,) = graph.given.weights.values()
    assert np.allclose(grid.scale, scale * gamma)
    assert not graph.given.lost


def test_what_is_multiplied_into_given_weights_is_said():
    made = QuantizedModel(np.random.default_rng(7))
    names, _ = made.weight((3, 2, 3, 3))
    scaled = made.node(
        "Mul", [made.around("x"), made.constant(np.array([1, 0.3]).reshape(2, 1, 1), np.float32)]
    )
    shifted = made.node("Relu", [made.node("Conv", [scaled, made.dequantized(names)])])
    graph = from_onnx(made.model(made.around(shifted), SHAPE))
    qgraph = quantize(graph, samples(80))
    if graph.given.lost:
        assert "integers_lost" in [item["kind"] for item in qgraph.options["warnings"]]
    else:  # the factors are the input's
        assert graph.given.weights


def test_a_tensor_without_a_scale_needs_data():
    made = QuantizedModel(np.random.default_rng(8))
    names, _ = made.weight((3, 2, 3, 3))
    output = made.node("Relu", [made.node("Conv", [made.around("x"), made.dequantized(names)])])
    graph = from_onnx(made.model(output, SHAPE))
    with pytest.raises(
        HwquantError,
        match=r"tensor '[^']+' of network '[^']+' has no scale in the source; give calibration data",
    ):
        quantize(graph)
    qgraph = quantize(graph, samples(80))
    assert qgraph.options["quantizer"]["scales"] == "keep"
    assert (
        graph.given.weights[
            "conv8" if "conv8" in graph.given.weights else next(iter(graph.given.weights))
        ].bits
        == 8
    )


def test_other_bits_than_those_given_are_refused():
    made = every_operator(0, *KINDS[0])
    graph = from_onnx(made.model(made.output, SHAPE))
    with pytest.raises(HwquantError, match="has 8 bits in the source, and 4 are asked for"):
        quantize(graph, bits=4)


def test_shifts_alone_need_data_and_take_the_sources_ranges():
    made = every_operator(0, *KINDS[0])
    graph = from_onnx(made.model(made.output, SHAPE))
    with pytest.raises(HwquantError, match="calibration data are needed"):
        quantize(graph, scales="shift")
    qgraph = quantize(graph, samples(80), scales="shift")
    assert all(layer.multiplier is None for layer in qgraph.nodes if isinstance(layer, Layer))
    for name, form in graph.given.formats.items():
        if name in qgraph.tensors:
            tensor, (low, high) = qgraph.tensors[name], form.range
            reach = [tensor.scale * (limit - tensor.zero_point) for limit in integer_limits(tensor.bits)]
            assert reach[0] <= low + 2 * tensor.scale
            assert high - 2 * tensor.scale <= reach[1]


def test_what_other_scales_cost_is_said():
    made = every_operator(0, *KINDS[0])
    graph, x = from_onnx(made.model(made.output, SHAPE)), samples(80)
    qgraph, kept = quantize(graph, x, scales="shift"), quantize(graph, x)
    assert qgraph.options["kept"] == kept.options["sqnr"]
    assert "kept" not in kept.options


def test_the_command_line_says_what_other_scales_cost(tmp_path):
    made = every_operator(0, *KINDS[0])
    (tmp_path / "model.onnx").write_bytes(made.model(made.output, SHAPE).SerializeToString())
    np.savez(tmp_path / "c.npz", x=samples(80))
    np.savez(tmp_path / "v.npz", x=samples(20), y=np.arange(20) % 5)
    files = {name: str(tmp_path / name) for name in ("model.onnx", "c.npz", "v.npz", "net.hwq")}
    common = ["quantize", files["model.onnx"], "-o", files["net.hwq"], "--validation", files["v.npz"]]
    alone = CliRunner().invoke(main, common)
    assert (alone.exit_code, "cost" in alone.stdout) == (0, False), alone.output
    result = CliRunner().invoke(main, [*common, "-c", files["c.npz"], "--scales", "shift"])
    assert result.exit_code == 0, result.output
    assert "other scales than those that the network had cost: " in result.stdout
    assert "with the scales that it had, " in result.stdout
    result = CliRunner().invoke(main, [*common, "-c", files["c.npz"], "--scales", "multiplier", "--json"])
    assert set(json.loads(result.stdout)["accuracy"]) == {"kept", "changed"}


def test_unsigned_weights_of_channels_are_kept_but_for_one_that_no_offset_reaches():
    made = QuantizedModel(np.random.default_rng(9), np.uint8, np.uint8)
    stored = made.rng.integers(0, 256, (3, 2, 3, 3))
    stored[:, 0, 0, :2] = [0, 255]
    zeros = np.array([0, 255, 128])
    scale = np.full(3, 1 / 256)
    names = [made.constant(*pair) for pair in ((stored, np.uint8), (scale, np.float32), (zeros, np.uint8))]
    output = made.around(made.node("Conv", [made.around("x"), made.dequantized(names, 0)]))
    qgraph = quantize(from_onnx(made.model(output, SHAPE)))
    (term,) = qgraph.nodes[0].terms
    wanted = stored - zeros[:, None, None, None]
    assert np.array_equal(term.weight, np.minimum(wanted, 254))
    (told,) = (item for item in qgraph.options["warnings"] if item["kind"] == "weights_changed")
    assert told["value"] == (wanted == 255).mean()
    assert compare(made.model(output, SHAPE), qgraph, samples()).tensors[-1].alone <= 1
    compile_network(qgraph, (4, 4))


def test_tensors_between_functions_of_given_ones_need_no_data():
    made = QuantizedModel(np.random.default_rng(10))
    names, _ = made.weight((3, 2, 3, 3))
    conv = made.around(made.node("Conv", [made.around("x"), made.dequantized(names)]))
    slope = made.constant(np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1), np.float32)
    model = made.model(made.node("Tanh", [made.node("PRelu", [conv, slope])]), SHAPE)
    graph = from_onnx(model)
    found, qgraph = bounds(graph), quantize(graph)
    assert "bounded_ranges" in [item["kind"] for item in qgraph.options["warnings"]]
    x = samples()
    real = floating.run(graph, x, keep=[node.name for node in graph.nodes if node.name in found])
    for name, values in real.items():
        low, high = found[name]
        assert low <= values.min() <= values.max() <= high
    got, expected = golden.predict(qgraph, x)[0], runtime(model, x)[0]
    assert np.abs(got - expected).max() < 0.06


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("relu", [True, False])
def test_a_sum_of_which_one_side_is_quantized_needs_no_data(order, relu):
    made = QuantizedModel(np.random.default_rng(11), np.int8)
    x = made.around("x")
    names, _ = made.weight((2, 2, 3, 3), 2)
    conv = made.node("Conv", [x, made.dequantized(names, 0)], pads=[1] * 4)
    total = made.node("Add", [conv, x][::order])
    output = made.around(made.node("Relu", [total]) if relu else total, (0.05, -128 if relu else 3))
    model = made.model(output, SHAPE)
    found = compare(model, quantize(from_onnx(model)), samples())
    assert [item.alone <= 1 for item in found.tensors] == [True, True]


@pytest.mark.nightly
@pytest.mark.parametrize("kinds", KINDS[:1] + KINDS[2:3])
def test_hardware_gives_the_integers(kinds):
    made = every_operator(3, *kinds)
    qgraph = quantize(from_onnx(made.model(made.output, SHAPE)))
    assert to_bytes(from_bytes(to_bytes(qgraph), "net.hwq")) == to_bytes(qgraph)
    images = golden.quantize_input(qgraph, samples(2))
    verification = verify(compile_network(qgraph, (4, 4)), qgraph, images, simulator="cxxrtl")
    assert verification.first is None


def test_common_unit_counts_both_exactly_enough():
    rng = np.random.default_rng(0)
    for _ in range(200):
        steps = rng.uniform(0.01, 1, 2).tolist()
        factors, lefts, unit = common_unit(steps)
        for step, factor, left in zip(steps, factors, lefts):
            assert 0 < factor < 128
            assert 127 * abs(step - factor * 2.0**left * unit) < 0.3 * max(steps)


def test_scales_that_no_multiplier_expresses_name_the_layer():
    made = QuantizedModel(np.random.default_rng(4), np.int8)
    (weight, _) = made.weight((3, 2, 3, 3))
    conv = made.node("Conv", [made.around("x"), made.dequantized(weight)])
    graph = from_onnx(made.model(made.around(conv, (1e-12, 0)), SHAPE))
    with pytest.raises(HwquantError, match=r"layer 'quantizelinear.*wrong scale in the source"):
        quantize(graph)
