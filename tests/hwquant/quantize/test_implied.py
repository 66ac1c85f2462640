"""Formats that follow from those that are given, and ranges that are proven by them."""

import numpy as np
import pytest
from hwquant_testing.quantized_models import QuantizedModel, runtime

from hwquant import floating, golden
from hwquant.errors import HwquantError
from hwquant.frontends import from_onnx
from hwquant.quantize import quantize

SHAPE = (3, 4, 4)


def samples(count=8):
    return np.random.default_rng(1).uniform(-4, 4, (count, *SHAPE)).astype(np.float32)


def made(seed=0):
    """A model, and a tensor in it with the scale 0.03 and the zero point 5."""
    model = QuantizedModel(np.random.default_rng(seed), np.int8)
    return model, model.around(model.node("Relu", [model.around("x", (0.04, 0))]), (0.03, 5))


def layer_formats(qgraph):
    return {name: (tensor.scale, tensor.zero_point) for name, tensor in qgraph.tensors.items()}


@pytest.mark.parametrize("with_data", [False, True])
def test_a_negative_has_the_mirrored_integers(with_data):
    model, x = made()
    negative = model.node("Neg", [x])
    output = model.around(
        model.node("Add", [x, model.node("Clip", [negative, model.constant(0.0, np.float32)])])
    )
    graph = from_onnx(model.model(output, SHAPE))
    qgraph = quantize(graph, samples(80)) if with_data else quantize(graph)
    known = {name: item for name, item in layer_formats(qgraph).items() if item[0] == pytest.approx(0.03)}
    assert {zero for _, zero in known.values()} == {5, -6}


@pytest.mark.parametrize("operator", ["Sub", "Max", "Min"])
def test_differences_need_no_calibration_data(operator):
    model, x = made()
    y = model.around(model.node("Sigmoid", [x]), (1 / 256, -128))
    output = model.around(model.node(operator, [x, y]), (0.04, 3))
    proto = model.model(output, SHAPE)
    qgraph = quantize(from_onnx(proto))
    got, (want,) = golden.predict(qgraph, samples())[0], runtime(proto, samples())
    assert np.abs(got - want).max() <= 1.01 * 0.04


def test_what_is_computed_element_by_element_is_in_a_proven_range():
    model, x = made(2)
    factors = model.constant(np.array([0.5, -2.0, 1.5]).reshape(3, 1, 1), np.float32)
    scaled = model.node("Mul", [x, factors])
    output = model.around(model.node("Mul", [model.node("Tanh", [scaled]), x]), (0.05, 0))
    graph = from_onnx(model.model(output, SHAPE))
    qgraph = quantize(graph)
    exact = floating.predict(graph, samples())[0]
    assert np.abs(golden.predict(qgraph, samples())[0] - exact).max() < 0.2


def test_a_sum_over_channels_still_needs_data():
    model, x = made(3)
    names, _ = model.weight((4, 3, 3, 3))
    conv = model.node("Conv", [x, model.dequantized(names)])
    output = model.around(model.node("Neg", [model.node("Relu", [conv])]))
    with pytest.raises(HwquantError, match="has no scale in the source"):
        quantize(from_onnx(model.model(output, SHAPE)))


def test_tensors_of_several_scales_are_joined_in_the_range_of_both():
    model, x = made(4)
    y = model.around(model.node("Sigmoid", [x]), (1 / 256, -128))
    joined = model.node("Concat", [x, y], axis=1)
    names, _ = model.weight((2, 6, 1, 1))
    output = model.around(model.node("Conv", [joined, model.dequantized(names)]), (0.2, 0))
    graph = from_onnx(model.model(output, SHAPE))
    qgraph = quantize(graph)
    low, high = 0.03 * (-128 - 5), 0.03 * (127 - 5)
    found = [tensor for tensor in qgraph.tensors.values() if tensor.shape[0] == 6]
    assert [tensor.scale for tensor in found] == [pytest.approx((high - low) / 255, rel=0.05)]
    assert all(tensor.scale * 255 >= high - low for tensor in found)
