"""ONNX's operators on integers, and what of quantized models is refused by name."""

import numpy as np
import onnx
import pytest
from hwquant_testing.quantized_models import QuantizedModel, runtime
from onnx import TensorProto, helper

from hwquant import golden
from hwquant.errors import Damaged, Unsupported
from hwquant.frontends import from_onnx
from hwquant.frontends.refusals import Invalid
from hwquant.graph import Clip, Conv
from hwquant.quantize import quantize

SHAPE = (2, 6, 6)


def samples(count=8):
    return np.random.default_rng(3).uniform(-4, 4, (count, *SHAPE)).astype(np.float32)


def within_a_step(made, output, steps=1):
    model = made.model(output, SHAPE)
    qgraph = quantize(from_onnx(model))
    x = samples()
    got, expected = golden.predict(qgraph, x)[0], runtime(model, x)[0]
    step = qgraph.tensors[qgraph.outputs[0].tensor].scale
    assert np.abs(got.reshape(expected.shape) - expected).max() <= steps * step * (1 + 1e-5)
    assert expected.std() > 4 * step  # there is something to compare
    return qgraph


def quantized_input(made):
    pair = made.pair()
    names = made.names(pair)
    q = made.node("QuantizeLinear", ["x", *names])
    made.pairs[q] = pair
    return q, names


@pytest.mark.parametrize("per_channel", [True, False])
def test_linear_operators_keep_their_integers(per_channel):
    made = QuantizedModel(np.random.default_rng(1), np.uint8, np.int8)
    q, names = quantized_input(made)
    weight, scale = made.weight((4, 2, 3, 3), 4 if per_channel else None)
    bias = made.constant(made.rng.integers(-2000, 2000, 4), np.int32)
    a = made.names(made.pair())
    conv = made.node("QLinearConv", [q, *names, *weight, *a, bias], pads=[1, 1, 1, 1])
    pool = made.node("MaxPool", [conv], kernel_shape=[2, 2], strides=[2, 2])
    b, c, d = (made.names(made.pair(8.0)) for _ in range(3))
    total = made.node("QLinearAdd", [pool, *a, pool, *a, *b], "com.microsoft")
    mean = made.node("QLinearGlobalAveragePool", [total, *b, *c], "com.microsoft")
    flat = made.node("Flatten", [mean])
    matrix, _ = made.weight((4, 5))
    product = made.node("QLinearMatMul", [flat, *c, *matrix, *d])
    qgraph = within_a_step(made, made.node("DequantizeLinear", [product, *d]), steps=2)
    assert qgraph.nodes[0].terms[0].scale == pytest.approx(scale if per_channel else scale[:1])
    stored = np.frombuffer(made.constants[2].raw_data, np.int8).reshape(4, 2, 3, 3)
    assert np.array_equal(qgraph.nodes[0].terms[0].weight, stored)


def test_sums_of_integers_are_real_numbers_in_steps():
    made = QuantizedModel(np.random.default_rng(2), np.uint8, np.uint8)
    q, names = quantized_input(made)
    (weight, scale, zero), real = made.weight((3, 2, 3, 3))
    total = made.node("ConvInteger", [q, weight, names[1], zero])
    step = made.node("Mul", [names[0], scale])
    back = made.node("Mul", [made.node("Cast", [total], to=1), step])
    model = onnx.shape_inference.infer_shapes(
        made.model(made.around(back), SHAPE)
    )  # says that sums are int32
    (grid,) = from_onnx(model).given.weights.values()
    assert np.allclose(grid.scale, real[0], rtol=1e-6)
    within_a_step(made, made.nodes[-1].output[0])


def test_a_pair_on_what_has_the_format_already_leaves_nothing():
    made = QuantizedModel(np.random.default_rng(3))
    a = made.around("x")
    pair = made.pairs_of[a]
    pooled = made.around(made.node("MaxPool", [made.around(a, pair)], kernel_shape=[2, 2]), pair)
    graph = from_onnx(made.model(pooled, SHAPE))
    assert not any(isinstance(node, Clip | Conv) for node in graph.nodes)
    assert graph.given.formats["x"].scale == pair[0]


def test_an_input_of_integers_takes_the_format_that_it_is_read_with():
    made = QuantizedModel(np.random.default_rng(4))
    names = made.names((0.5, 7))
    model = made.model(made.node("Relu", [made.node("DequantizeLinear", ["x", *names])]), SHAPE)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    graph = from_onnx(model)
    assert (graph.given.formats["x"].scale, graph.given.formats["x"].zero_point) == (0.5, 7 - 128)
    assert graph.inputs[0].prepare(np.full((1, *SHAPE), 9)).ravel()[0] == 1.0


@pytest.mark.parametrize("value", [None, 200])
def test_padding_of_integers_is_padding_of_real_numbers(value):
    made = QuantizedModel(np.random.default_rng(6))
    q, names = quantized_input(made)
    inputs = [q, made.constant([0, 0, 1, 0, 0, 0, 0, 2], np.int64)]
    if value is not None:
        inputs.append(made.constant(value, np.uint8))
    weight, _ = made.weight((3, 2, 3, 3))
    out = made.names(made.pair(8.0))
    conv = made.node("QLinearConv", [made.node("Pad", inputs), *names, *weight, *out])
    within_a_step(made, made.node("DequantizeLinear", [conv, *out]))


def test_an_input_is_rounded_where_the_model_rounds_it():
    made = QuantizedModel(np.random.default_rng(7))
    x = made.around("x", (0.25, 0))
    factor = made.constant(np.array([0.3, 1.7]).reshape(2, 1, 1), np.float32)
    within_a_step(made, made.around(made.node("Mul", [x, factor]), (0.03, 128)))
    made = QuantizedModel(np.random.default_rng(8))
    pooled = made.node("MaxPool", ["x"], kernel_shape=[2, 2])
    graph = from_onnx(made.model(made.around(pooled, (0.05, 100)), SHAPE))
    assert graph.given.formats["x"].scale == pytest.approx(0.05)


def test_a_tensor_that_is_moved_and_read_twice_keeps_its_format():
    made = QuantizedModel(np.random.default_rng(9))
    pool = made.around(
        made.node("MaxPool", [made.node("Sigmoid", [made.around("x")])], kernel_shape=[2, 2]), (1 / 255, 0)
    )
    names, _ = made.weight((2, 2, 1, 1))
    conv = made.around(made.node("Conv", [pool, made.dequantized(names)]))
    both = made.around(made.node("Concat", [conv, pool], axis=1), (0.04, 90))
    within_a_step(made, both)


def test_integers_between_two_pairs_are_moved():
    made = QuantizedModel(np.random.default_rng(6), np.int8)
    q, names = quantized_input(made)
    pooled = made.node("MaxPool", [q], kernel_shape=[2, 2], strides=[2, 2])
    again = made.node(
        "QuantizeLinear", ["x", *made.names(made.pairs[q])]
    )  # the same, of constants of its own
    both = made.node(
        "Concat", [pooled, made.node("MaxPool", [again], kernel_shape=[2, 2], strides=[2, 2])], axis=1
    )
    (weight, _) = made.weight((3, 4, 3, 3))
    conv = made.node("Conv", [made.node("DequantizeLinear", [both, *names]), made.dequantized(weight)])
    qgraph = within_a_step(made, made.around(conv))
    assert qgraph.host is None


def test_integers_without_a_zero_point_are_unsigned():
    made = QuantizedModel(np.random.default_rng(7), np.uint8)
    scale = made.constant(0.03, np.float32)
    x = made.node("DequantizeLinear", [made.node("QuantizeLinear", ["x", scale]), scale])
    (weight, _) = made.weight((3, 2, 3, 3))
    qgraph = within_a_step(made, made.around(made.node("Conv", [x, made.dequantized(weight)])))
    assert qgraph.host is None


def test_groups_of_a_transposed_convolution_share_the_scales_of_their_channels():
    made = QuantizedModel(np.random.default_rng(8))
    (weight, scale) = made.weight((2, 3, 2, 2), 3)
    conv = made.node(
        "ConvTranspose", [made.around("x"), made.dequantized(weight, 1)], strides=[2, 2], group=2
    )
    model = made.model(made.around(conv), SHAPE)
    given = from_onnx(model).given
    assert given.lost == ()
    assert all(grid.scale.tolist() == [*scale.tolist()] * 2 for grid in given.weights.values())


def test_weights_of_four_bits_come_in_operator_sets_that_lack_them():
    made = QuantizedModel(np.random.default_rng(10))
    values = made.rng.integers(-8, 8, (3, 2, 3, 3))
    made.constants += [
        helper.make_tensor("w", TensorProto.INT4, values.shape, values.ravel().tolist()),
        helper.make_tensor("w_zero", TensorProto.INT4, (), [0]),
    ]
    scale = made.constant(0.05, np.float32)
    weight = made.node("DequantizeLinear", ["w", scale, "w_zero"], "com.microsoft")
    model = made.model(made.around(made.node("Conv", [made.around("x"), weight])), SHAPE, opset=17)
    (term,) = quantize(from_onnx(model)).nodes[0].terms
    assert term.bits == 4
    assert np.array_equal(term.weight, values)


@pytest.mark.parametrize("blocks", [True, False])
def test_weights_whose_integers_are_not_kept_are_named(blocks):
    made = QuantizedModel(np.random.default_rng(11))
    (weight, _, zero), _ = made.weight((3, 2, 3, 3))
    if blocks:
        scale = made.constant(made.rng.uniform(0.01, 0.02, (3, 2, 3, 3)), np.float32)
        real = made.node("DequantizeLinear", [weight, scale], axis=1, block_size=1)
    else:
        real = made.dequantized([weight, made.constant(0.01, np.float32), zero])
        real = made.node("Mul", [real, made.constant(made.rng.uniform(1, 2, (3, 1, 1, 1)), np.float32)])
    conv = made.node("Conv", [made.around("x"), real])
    graph = from_onnx(made.model(made.around(conv), SHAPE))
    assert graph.given.lost == (conv,)


def test_a_concatenation_of_integers_without_all_zero_points_is_damaged():
    made = QuantizedModel(np.random.default_rng(12))
    q, names = quantized_input(made)
    both = made.node("QLinearConcat", [*names, q, *names, q, names[0]], "com.microsoft", axis=1)
    with pytest.raises(Damaged, match="it has 7 inputs"):
        from_onnx(made.model(made.node("DequantizeLinear", [both, *names]), SHAPE))


def test_scales_of_weights_are_as_many_as_the_axis_is_long():
    made = QuantizedModel(np.random.default_rng(13))
    (weight, _) = made.weight((3, 2, 1, 1), 3)
    conv = made.node("Conv", [made.around("x"), made.dequantized(weight, 3)])
    with pytest.raises(Invalid, match="3 scales along axis 3"):
        from_onnx(made.model(made.around(conv), SHAPE))


def test_the_factor_of_a_matrix_product_is_in_the_scales():
    made = QuantizedModel(np.random.default_rng(9))
    flat = made.node("Flatten", [made.around("x")])
    (weight, scale) = made.weight((5, 72), 5)
    product = made.node("Gemm", [flat, made.dequantized(weight, 0)], transB=1, alpha=0.3)
    given = from_onnx(made.model(made.around(product), SHAPE)).given
    assert given.lost == ()
    (grid,) = given.weights.values()
    assert np.allclose(grid.scale, 0.3 * scale, rtol=1e-6)


def refused(made, output, match):
    with pytest.raises(Unsupported, match=match):
        from_onnx(made.model(output, SHAPE), host=False)


def test_refusals_name_what_they_saw():
    made = QuantizedModel(np.random.default_rng(5))
    made.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    refused(made, made.node("DequantizeLinear", ["q", "s", "z"]), "DynamicQuantizeLinear.*statically")

    made = QuantizedModel(np.random.default_rng(5), np.int16)
    refused(made, made.around("x", (0.1, 0)), "int16, of 16 bits")

    made = QuantizedModel(np.random.default_rng(5))
    q, _names = quantized_input(made)
    refused(made, made.node("DequantizeLinear", [q, *made.names((0.7, 3))]), "give both one scale")

    made = QuantizedModel(np.random.default_rng(5))
    q, _names = quantized_input(made)
    refused(made, made.node("Cast", [q], to=1), "casts the integers of a QuantizeLinear")

    made = QuantizedModel(np.random.default_rng(5))
    scales, zeros = made.constant([0.1, 0.2], np.float32), made.constant([1, 2], np.uint8)
    q = made.node("QuantizeLinear", ["x", scales, zeros], axis=1)
    refused(made, made.node("DequantizeLinear", [q, scales, zeros], axis=1), "give each tensor one scale")

    made = QuantizedModel(np.random.default_rng(5))
    q, names = quantized_input(made)
    (weight, _, zero), _ = made.weight((3, 2, 3, 3))
    total = made.node("ConvInteger", [q, weight, names[1], zero])
    added = made.node("Add", [total, made.constant([[[[7]]]], np.int32)])
    refused(made, made.node("Cast", [added], to=1), "'add.*computes with integers that a ConvInteger")
    refused(made, total, "'convinteger.*gives its integers")


def test_what_saturates_behind_the_last_function_is_left_to_the_runtime():
    made = QuantizedModel(np.random.default_rng(9))
    weight = made.node("DequantizeLinear", made.weight((7, 72))[0])
    dense = made.node("Gemm", [made.node("Flatten", [made.around("x", (0.03, 3))]), weight], transB=1)
    for operator, form in (
        ("LogSoftmax", (1 / 256, 0)),
        ("Softmax", (1 / 256, 0)),
        ("Softmax", (1 / 512, 0)),
    ):
        model = made.model(
            made.around(made.node(operator, [made.around(dense, (0.05, 3))], axis=1), form), SHAPE
        )
        graph = from_onnx(model)
        assert (graph.host is None) == (form[0] == 1 / 256 and operator == "Softmax")
        got, expected = golden.predict(quantize(graph), samples())[0], runtime(model, samples())[0]
        assert np.abs(got - expected).max() <= 0.05
