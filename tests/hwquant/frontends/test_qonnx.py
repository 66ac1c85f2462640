"""QONNX models: their integers are kept, and QONNX's own executor is the oracle, to the last integer."""

import os
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from hwquant_testing.qonnx_models import CHANNELS_LAST, QonnxModel, executed, random_network
from hwquant_testing.seeds import seed_ranges

from hwquant import golden
from hwquant.frontends import from_onnx
from hwquant.frontends.qonnx import Quantizer
from hwquant.hwq import from_bytes, to_bytes
from hwquant.program.compiler import compile_network
from hwquant.qgraph import MOST_TABLE_BITS, Layer
from hwquant.quantize import quantize
from hwquant.sim.check import verify

SHAPE = (3, 6, 6)
ZOO = Path(os.environ.get("HWQUANT_ZOO", Path(__file__).resolve().parents[4] / "shared" / "zoo"))


def model(seed=0):
    return QonnxModel(np.random.default_rng(seed))


def different(model, x, calibration=None):
    """The share of each tensor's integers that are not the executor's, by name, and how many tensors were compared."""
    graph = from_onnx(model)
    assert not graph.given.lost
    qgraph = quantize(graph, calibration)
    expected, found = (
        executed(model, x),
        golden.run(qgraph, golden.quantize_input(qgraph, x), keep=list(qgraph.tensors)),
    )
    named = {node.name or node.output[0]: node.output[0] for node in model.graph.node}
    shares = {}
    for name in graph.given.formats:
        if name in found and named.get(name) in expected:
            got, wanted = qgraph.tensors[name].dequantize(found[name]), expected[named[name]]
            shares[name] = float((got.ravel() != wanted.ravel()).mean())
    output = model.graph.output[0].name
    if graph.outputs[0].tensor in graph.given.formats:
        shares[output] = float((golden.predict(qgraph, x)[0].ravel() != expected[output].ravel()).mean())
    assert shares
    return {name: share for name, share in shares.items() if share}


@pytest.mark.parametrize("seeds", seed_ranges(6, 400))
def test_random_networks_have_the_executors_integers(seeds):
    for seed in seeds:
        model, shape, step = random_network(seed)
        x = np.random.default_rng(seed).integers(-140, 141, (6, *shape)) * step
        assert different(model, x) == {}, f"seed {seed}"


@pytest.mark.nightly
def test_the_widest_table_in_hardware():
    made = model(12)
    x = made.node("Conv", [made.quant("x", 2**-4, 8), made.weight((5, 3, 3, 3), 4, 2**-3)])
    source = made.model(made.quant(x, 0.5, 6), SHAPE)
    x = made.rng.integers(-128, 128, (2, *SHAPE)) / 16
    assert different(source, x) == {}
    qgraph = quantize(from_onnx(source))
    assert qgraph.nodes[0].table.bits == MOST_TABLE_BITS
    images = golden.quantize_input(qgraph, x)
    assert verify(compile_network(qgraph, (4, 4)), qgraph, images, simulator="cxxrtl").first is None


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(4))
def test_hardware_has_the_executors_integers(seed):
    model, shape, step = random_network(seed)
    qgraph = quantize(from_onnx(model))
    x = np.random.default_rng(seed).integers(-140, 141, (2, *shape)) * step
    assert to_bytes(from_bytes(to_bytes(qgraph), "net.hwq")) == to_bytes(qgraph)
    images = golden.quantize_input(qgraph, x)
    assert verify(compile_network(qgraph, (4, 4)), qgraph, images, simulator="cxxrtl").first is None


WIDTHS = range(1, 9)


@pytest.mark.parametrize("rounding", ["ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"])
def test_numbers_are_rounded_as_the_executor_does(rounding):
    from qonnx.custom_op.general.intquant import int_quant

    rng = np.random.default_rng(0)
    for bits, signed, narrow, zero in product((*WIDTHS, 16), (True, False), (True, False), (0.0, 3.0)):
        x = (rng.integers(-9 << bits, 9 << bits, (4, 50)) / 64).astype(np.float32)  # many lie in the middle
        for scale in (
            np.float32(0.125),
            (2.0 ** -np.arange(4.0)).reshape(4, 1).astype(np.float32),
            np.float32(0.3),
        ):
            zeros = np.asarray(zero, np.float32)
            made = Quantizer(
                np.asarray(scale), zeros, bits, signed, narrow, rounding, bipolar=signed and bits == 1
            )
            wanted = int_quant(x, scale, zeros, np.float32(bits), signed, narrow, rounding)
            assert np.array_equal(made.real(made.integers(x), np.float32), wanted), (
                bits,
                signed,
                narrow,
                zero,
            )


def test_weights_of_all_widths():
    for bits, channels in product(WIDTHS, (1, 4)):
        made, signed, narrow = model(bits), bits % 3 != 2, bits % 2 == 0
        scale = (2.0 ** -np.arange(1, 1 + channels)).reshape(-1, 1, 1, 1) if channels > 1 else 0.125
        real = made.constant(made.rng.integers(-9 << bits, 9 << bits, (4, 3, 1, 1)) / 64)
        weight = made.quant(real, scale, bits, signed=signed, narrow=narrow)
        source = made.model(made.node("Conv", [made.quant("x", 0.5, 4), weight]), SHAPE)
        graph = from_onnx(source)
        (node,) = (item for item in graph.nodes if item.name == source.graph.node[-1].name)
        assert np.array_equal(node.weight, executed(source, np.zeros((1, *SHAPE)))[weight])
        grid = graph.given.weights[node.name]
        assert (grid.bits, grid.step) == (bits, 2 if signed and bits == 1 else 1)
        assert grid.integers(node.weight) is not None


@pytest.mark.parametrize("rounding", ["ROUND", "FLOOR", "HALF_UP", "DOWN"])
def test_activations_of_all_widths(rounding):
    widths = WIDTHS if rounding == "ROUND" else (1, 3, 8)
    for bits, signed, narrow in product(widths, (True, False), (True, False)):
        if signed and rounding in ("HALF_UP", "DOWN"):
            continue
        if bits == 1 and (narrow and not signed):  # there is no integer but 0
            continue
        made = model(bits)
        x = made.node("Conv", [made.quant("x", 0.125, 8), made.weight((5, 3, 3, 3), 4, 0.5)])
        last = made.quant(x, 0.5, bits, signed=signed, narrow=narrow, rounding=rounding)
        x = made.rng.integers(-128, 128, (4, *SHAPE)) / 8
        assert different(made.model(last, SHAPE), x) == {}, (bits, signed, narrow)


def test_zero_points_signs_and_numbers_that_are_computed():
    made = model(3)
    x = made.quant("x", 0.25, 6, signed=False, zero=20)
    scale = made.node("Mul", [made.constant(0.5), made.constant(0.5)])
    weight = made.node(
        "IntQuant",
        [made.constant(made.rng.normal(size=(6, 3, 3, 3))), scale, *map(made.constant, (0, 3))],
        made.domain,
        signed=1,
        narrow=0,
    )
    x = made.node("Conv", [x, weight], pads=[1] * 4)
    gamma = made.constant([1, -2, 0.5, -1, 1, 0])
    rest = [made.constant(item) for item in (np.arange(6) / 8, np.zeros(6), np.ones(6))]
    x = made.node("BatchNormalization", [x, gamma, *rest], epsilon=0.0)
    x = made.quant(x, 0.25, 4, signed=False, zero=5)
    x = made.node("Conv", [made.quant(x, 0.25, 4, signed=False, zero=5), made.weight((4, 6, 2, 2), 1, 0.5)])
    last = made.bipolar(x, 2.0)
    samples = made.rng.integers(-20, 44, (5, *SHAPE)) / 4
    assert different(made.model(last, SHAPE), samples) == {}


def test_signs_of_sums_are_exact_whatever_the_bias():
    made = model(4)
    x = made.bipolar(made.node("Conv", [made.quant("x", 1, 2), made.weight((8, 3, 3, 3), 1, 1)]))
    numbers = made.rng.normal(size=(4, 16)) * [[1.0], [2.0], [3.0], [0.1]]
    numbers[3] = numbers[3] ** 2 + 0.5
    x = made.node("Conv", [x, made.weight((16, 8, 3, 3), 1, 0.37)])
    x = made.node("BatchNormalization", [x, *map(made.constant, numbers)])
    samples = made.rng.integers(-2, 2, (20, *SHAPE))
    assert different(made.model(made.bipolar(x, 0.7), SHAPE), samples) == {}


def test_the_sign_of_what_is_rounded_before():
    made = model(11)
    x = made.node("Conv", [made.quant("x", 0.5, 4), made.weight((8, 3, 3, 3), 3, 0.5)])
    x = made.quant(x, 2.0, 4, rounding="FLOOR")
    x = made.node("Conv", [made.bipolar(x), made.weight((4, 8, 2, 2), 1, 0.5)])
    samples = made.rng.integers(-8, 8, (9, *SHAPE)) / 2
    assert different(made.model(made.bipolar(made.quant(x, 4.0, 3)), SHAPE), samples) == {}


def test_what_is_too_fine_for_a_table_is_within_a_step_and_said():
    made = model(5)
    x = made.node("Conv", [made.quant("x", 2**-6, 8), made.weight((6, 3, 3, 3), 8, 2**-7)])
    source = made.model(made.quant(x, 2**-5, 8), SHAPE)
    x = made.rng.integers(-128, 128, (8, *SHAPE)) / 64
    qgraph = quantize(from_onnx(source))
    steps = (golden.predict(qgraph, x)[0] - executed(source, x)[source.graph.output[0].name]) * 2**5
    assert set(np.unique(steps)) <= {0, 1}
    (advice,) = (item for item in qgraph.options["warnings"] if item["kind"] == "halves_up")
    assert advice["value"] == 2**-9
    assert "about one integer in 512" in advice["message"]


def test_channels_last():
    made = model(6)
    weight = made.node("Transpose", [made.weight((4, 3, 3, 3), 3, 0.5)], perm=[0, 2, 3, 1])
    x = made.quant("x", 0.25, 5)
    x = made.node("Conv", [x, weight], CHANNELS_LAST, kernel_shape=[3, 3], pads=[1] * 4)
    numbers = [made.constant(item) for item in ([1, 2, -1, 0.5], [0, 1, 2, 3], np.zeros(4), np.ones(4))]
    x = made.node("BatchNormalization", [x, *numbers], CHANNELS_LAST, epsilon=0.0)
    x = made.quant(x, 1.0, 4)
    x = made.node("MaxPool", [x], CHANNELS_LAST, kernel_shape=[2, 2], strides=[2, 2])
    source = made.model(made.quant(x, 1.0, 4), (6, 6, 3))
    source.opset_import.append(onnx.helper.make_opsetid(CHANNELS_LAST, 1))
    graph = from_onnx(source)
    first = model(6)
    x = first.quant(first.node("Transpose", ["x"], perm=[0, 3, 1, 2]), 0.25, 5)
    x = first.node("Conv", [x, first.weight((4, 3, 3, 3), 3, 0.5)], pads=[1] * 4)
    numbers = [first.constant(item) for item in ([1, 2, -1, 0.5], [0, 1, 2, 3], np.zeros(4), np.ones(4))]
    x = first.quant(first.node("BatchNormalization", [x, *numbers], epsilon=0.0), 1.0, 4)
    x = first.quant(first.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2]), 1.0, 4)
    other = first.model(first.node("Transpose", [x], perm=[0, 2, 3, 1]), (6, 6, 3))
    samples = made.rng.integers(-16, 16, (3, 6, 6, 3)) / 4
    got = golden.predict(quantize(graph), samples)[0]
    assert np.array_equal(got, executed(other, samples)[other.graph.output[0].name])


@pytest.mark.parametrize(
    ("bits", "rounding"), [(16, "ROUND"), (12, "HALF_DOWN"), (8, "CEIL"), (3, "UP"), (20, "FLOOR")]
)
def test_what_the_array_cannot_round_stays_with_the_host(bits, rounding):
    """In operators that every runtime has; between them the array's integers are the executor's."""
    made = model(bits)
    x = made.node(
        "Conv", [made.quant("x", 2**-9, bits, rounding=rounding), made.weight((4, 3, 3, 3), 3, 0.5)]
    )
    source = made.model(made.quant(x, 0.5, 4), SHAPE)
    graph = from_onnx(source)
    (node,) = graph.host.nodes
    assert (node.operator, node.end) == ("Quant", "head")
    assert f"{bits} bits" in node.reason or rounding in node.reason
    head = onnx.load_model_from_string(graph.host.head)
    assert {node.domain for node in head.graph.node} == {""}
    x = np.concatenate([made.rng.normal(size=(20, *SHAPE)), made.rng.integers(-99, 99, (20, *SHAPE)) / 1024])
    from onnxruntime import InferenceSession

    name = head.graph.output[0].name
    session = InferenceSession(graph.host.head, providers=["CPUExecutionProvider"])
    for sample in x.astype(np.float32):
        (got,) = session.run(None, {"x": sample[None]})
        assert np.array_equal(got, executed(source, sample[None])[name])


def test_the_sign_of_an_input_is_the_hosts():
    made = model(7)
    x = made.node("Conv", [made.bipolar("x", 0.5), made.weight((4, 3, 3, 3), 1, 0.25)])
    source = made.model(made.bipolar(x), SHAPE, opset=9)
    assert [(node.operator, node.end) for node in from_onnx(source).host.nodes] == [("BipolarQuant", "head")]
    assert different(source, made.rng.normal(size=(9, *SHAPE))) == {}


def test_weights_of_many_bits_are_quantized_anew_and_named():
    made = model(8)
    x = made.node("Conv", [made.quant("x", 0.5, 4), made.weight((2, 3, 3, 3), 12, 2**-10)])
    narrow = made.quant(made.constant(made.rng.integers(-9, 9, (3, 2, 1, 1))), 1, 16)  # but small
    x = made.node("Conv", [made.quant(x, 0.5, 6), narrow])
    graph = from_onnx(made.model(made.quant(x, 0.5, 6), SHAPE))
    assert graph.given.lost == (made.nodes[2].name,)
    assert [item.bits for item in graph.given.weights.values()] == [8]


def test_weights_that_count_from_no_integer_are_quantized_anew_and_named():
    made = model(13)
    real = made.constant(made.rng.normal(size=(4, 3, 3, 3)))
    weight = made.quant(real, 0.125, 3, zero=1.25, signed=False)
    x = made.node("Conv", [made.quant("x", 0.25, 5), weight])
    graph = from_onnx(made.model(made.quant(x, 1, 5), SHAPE))
    assert graph.given.lost == (made.nodes[2].name,)
    assert not graph.given.weights


@pytest.mark.parametrize(
    ("name", "numbers", "share"),
    [
        ("qonnx_jettag", np.arange(-128, 128) / 32, 1.0),
        ("qonnx_tfc2w2a", np.arange(256) / 255, 0.99),  # batch normalization: its scales are no powers of two
        ("qonnx_unsw", [-1.0, 1.0], 0.99),
        ("hls4ml_bnn_model_fc_1layer", np.arange(-9, 9) / 4, 1.0),
    ],
)
def test_published_networks_have_the_executors_integers(name, numbers, share):
    path = ZOO / f"{name}.onnx"
    if not path.exists():
        pytest.skip(f"needs {path} (HWQUANT_ZOO)")
    source = onnx.load(path)
    constants = {item.name for item in source.graph.initializer}
    (given,) = (item for item in source.graph.input if item.name not in constants)
    renamed = onnx.compose.add_prefix(source, "", rename_edges=False) if given.name != "x" else source
    for node in renamed.graph.node:
        node.input[:] = ["x" if item == given.name else item for item in node.input]
    next(item for item in renamed.graph.input if item.name == given.name).name = "x"
    shape = [dim.dim_value for dim in given.type.tensor_type.shape.dim]
    x = np.random.default_rng(0).choice(np.asarray(numbers, np.float32), (200, *shape[1:]))
    expected = [executed(renamed, sample[None]) for sample in x[:8]]
    graph = from_onnx(renamed)
    assert not graph.given.lost
    qgraph = quantize(graph, x)
    found = golden.run(qgraph, golden.quantize_input(qgraph, x[:8]), keep=list(qgraph.tensors))
    named = {node.name or node.output[0]: node.output[0] for node in renamed.graph.node}
    compared = [item for item in graph.given.formats if item in found and item in named]
    assert compared
    for item in compared:
        wanted = np.concatenate([tensors[named[item]].reshape(1, -1) for tensors in expected])
        steps = (qgraph.tensors[item].dequantize(found[item]).reshape(8, -1) - wanted) / qgraph.tensors[
            item
        ].scale
        assert np.abs(np.round(steps)).max() <= 1
        assert (np.round(steps) == 0).mean() >= share


def test_a_clip_of_integers_needs_no_data():
    made = model(10)
    x = made.quant(made.node("Conv", [made.quant("x", 0.5, 4), made.weight((4, 3, 3, 3), 3, 0.5)]), 0.5, 5)
    x = made.node("Clip", [x, made.constant(-1.5), made.constant(4)])
    x = made.node("Conv", [made.node("Relu", [x]), made.weight((4, 4, 2, 2), 3, 0.5)])
    samples = made.rng.integers(-8, 8, (6, *SHAPE)) / 2
    assert different(made.model(made.quant(x, 0.5, 5), SHAPE), samples) == {}


def test_layers_with_given_weights_keep_their_integers():
    made = model(9)
    weight = made.weight((4, 3, 3, 3), 3, 0.25)
    source = made.model(made.quant(made.node("Conv", [made.quant("x", 0.5, 4), weight]), 0.5, 4), SHAPE)
    qgraph = quantize(from_onnx(source))
    (layer,) = (node for node in qgraph.nodes if isinstance(node, Layer))
    assert np.array_equal(layer.terms[0].weight * 0.25, executed(source, np.zeros((1, *SHAPE)))[weight])
    assert (layer.terms[0].bits, qgraph.tensors["x"].bits) == (3, 4)
