"""Integers of TensorFlow Lite files: as QuantizeLinear and DequantizeLinear they come to what LiteRT computes."""

import numpy as np
import pytest
from hwquant_testing.tflite_files import (
    Operation,
    Tensor,
    agree,
    built,
    constant,
    litert,
    litert_real,
    onnx_answers,
)

from hwquant.errors import Unsupported
from hwquant.frontends import load_model
from hwquant.frontends.tflite_onnx import tflite_as_onnx
from hwquant.given import GivenFormat
from hwquant.golden import predict
from hwquant.quantize import quantize

RNG = np.random.default_rng(0)
POOL = {"FilterWidth": 2, "FilterHeight": 2, "StrideW": 2, "StrideH": 2}


def network(dtype, zero, depthwise=False):
    """A convolution, a pool, an addition, a linear layer and a softmax."""
    low, high = (-127, 128) if dtype is np.int8 else (0, 256)
    kernel = (1, 3, 3, 4) if depthwise else (4, 3, 3, 4)
    count = 4 if dtype is np.int8 else 1
    scales = {"scales": tuple(0.01 * (n + 1) for n in range(count)), "axis": 3 if depthwise else 0}
    zeros = (0,) * count if dtype is np.int8 else (128,)
    biases = {"scales": tuple(0.05 * item for item in scales["scales"]), "zeros": (0,) * count}
    tensors = [
        Tensor((1, 6, 6, 4), dtype, scales=(0.05,), zeros=(zero,)),
        constant(RNG.integers(low, high, kernel), dtype, **scales, zeros=zeros),
        constant(RNG.integers(-999, 999, 4), np.int32, **biases),
        Tensor((1, 6, 6, 4), dtype, scales=(0.1,), zeros=(zero - 20,)),
        Tensor((1, 3, 3, 4), dtype, scales=(0.1,), zeros=(zero - 20,)),
        Tensor((1, 3, 3, 4), dtype, scales=(0.15,), zeros=(zero + 5,)),
        constant(
            RNG.integers(low, high, (5, 36)), dtype, scales=(0.01,), zeros=(0 if dtype is np.int8 else 128,)
        ),
        constant(RNG.integers(-99, 99, 5), np.int32, scales=(0.0015,), zeros=(0,)),
        Tensor((1, 5), dtype, scales=(0.2,), zeros=(zero,)),
        Tensor((1, 5), dtype, scales=(1 / 256,), zeros=(-128 if dtype is np.int8 else 0,)),
    ]
    table = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    window = {"StrideW": 1, "StrideH": 1, "FusedActivationFunction": 3}
    window |= {"DepthMultiplier": 1} if depthwise else {}
    steps = [
        Operation("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", (0, 1, 2), (3,), table, window),
        Operation("MAX_POOL_2D", (3,), (4,), "Pool2DOptions", POOL),
        Operation("ADD", (4, 4), (5,), "AddOptions", {"FusedActivationFunction": 1}),
        Operation("FULLY_CONNECTED", (5, 6, 7), (8,), "FullyConnectedOptions"),
        Operation("SOFTMAX", (8,), (9,), "SoftmaxOptions", {"Beta": 1.0}),
    ]
    return built(tensors, steps, [0], [3, 4, 5, 8, 9])


@pytest.mark.parametrize(("dtype", "zero"), [(np.int8, 3), (np.uint8, 120)])
@pytest.mark.parametrize("depthwise", [False, True])
def test_integers_are_at_most_one_step_from_litert(dtype, zero, depthwise, tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(network(dtype, zero, depthwise))
    info = np.iinfo(dtype)
    for _ in range(4):
        feed = RNG.integers(info.min, info.max + 1, (1, 6, 6, 4)).astype(dtype)
        for got, (want, step) in zip(onnx_answers(path, [feed]), litert_real(path, [feed]), strict=True):
            assert (got.shape, got.dtype) == (want.shape, np.float32)
            assert np.abs(got - want).max() < 1.01 * step


def test_weights_of_float16_are_read(tmp_path):
    kernel, bias = constant(RNG.standard_normal((5, 3, 3, 4)), np.float16), constant(np.arange(5), np.float16)
    tensors = [Tensor((1, 6, 6, 4)), kernel, bias, Tensor((5, 3, 3, 4)), Tensor((5,)), Tensor()]
    steps = [
        Operation("DEQUANTIZE", (1,), (3,)),
        Operation("DEQUANTIZE", (2,), (4,)),
        Operation("CONV_2D", (0, 3, 4), (5,), "Conv2DOptions", {"StrideW": 1, "StrideH": 1}),
    ]
    path = tmp_path / "net.tflite"
    path.write_bytes(built(tensors, steps, [0], [5]))
    feed = RNG.standard_normal((1, 6, 6, 4)).astype(np.float32)
    agree(onnx_answers(path, [feed])[0], litert(path, [feed])[0])


@pytest.mark.parametrize("padding", [0, 1])
def test_a_convolution_between_blocks_is_dilated(padding, tmp_path):
    crops = [[0, 1], [0, 2]] if padding else [[0, 0], [0, 0]]
    tensors = [
        Tensor((1, 7, 6, 3)),
        constant([2, 3], np.int32),
        constant([[2, 3], [3, 3]], np.int32),
        Tensor(),
        constant(RNG.standard_normal((4, 3, 2, 3))),
        constant(RNG.standard_normal(4)),
        Tensor(),
        constant(crops, np.int32),
        Tensor(),
    ]
    steps = [
        Operation("SPACE_TO_BATCH_ND", (0, 1, 2), (3,), "SpaceToBatchNDOptions"),
        Operation(
            "CONV_2D",
            (3, 4, 5),
            (6,),
            "Conv2DOptions",
            {"StrideW": 1, "StrideH": 1, "Padding": padding, "FusedActivationFunction": 1},
        ),
        Operation("BATCH_TO_SPACE_ND", (6, 1, 7), (8,), "BatchToSpaceNDOptions"),
    ]
    path = tmp_path / "net.tflite"
    path.write_bytes(built(tensors, steps, [0], [8]))
    feed = RNG.standard_normal((1, 7, 6, 3)).astype(np.float32)
    agree(onnx_answers(path, [feed])[0], litert(path, [feed])[0])


def test_a_move_to_another_scale_is_refused(tmp_path):
    tensors = [
        Tensor((1, 4, 4, 2), np.int8, scales=(0.1,), zeros=(0,)),
        Tensor((1, 2, 2, 2), np.int8, scales=(0.2,), zeros=(0,)),
    ]
    path = tmp_path / "net.tflite"
    path.write_bytes(built(tensors, [Operation("MAX_POOL_2D", (0,), (1,), "Pool2DOptions", POOL)], [0], [1]))
    with pytest.raises(Unsupported, match="it moves integers, and its result has another scale"):
        tflite_as_onnx(path)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            Operation("MUL", (0, 1), (2,), "MulOptions", {"FusedActivationFunction": 4}),
            r"MUL \('t2'\): its option FusedActivationFunction is 4, Tanh, which runtimes leave out.*use TANH$",
        ),
        (
            Operation("NEG", (0,), (2,), "NegOptions"),
            r"NEG \('t2'\): runtimes negate its integers.*use MUL by a constant$",
        ),
    ],
    ids=["fused", "negated"],
)
def test_what_runtimes_compute_of_integers_but_not_of_their_numbers_is_refused(step, message, tmp_path):
    image = Tensor((1, 4, 4, 2), np.int8, scales=(0.1,), zeros=(3,))
    tensors = [image, constant([100], np.int8, scales=(0.01,), zeros=(0,)), image]
    path = tmp_path / "net.tflite"
    path.write_bytes(built(tensors, [step], [0], [2]))
    feed = np.full((1, 4, 4, 2), 50, np.int8)
    (answer,) = litert(path, [feed], delegates=False)
    assert set(answer.ravel().tolist()) == ({-50} if step.kind == "NEG" else {50})  # no tanh, no zero point
    with pytest.raises(Unsupported, match=message):
        tflite_as_onnx(path)


def test_signed_weights_with_a_zero_point_are_refused_with_the_way_out(tmp_path):
    tensors = [
        Tensor((1, 4, 4, 2), np.int8, scales=(0.1,), zeros=(3,)),
        constant(np.ones((4, 1, 1, 2)), np.int8, scales=(0.01,), zeros=(5,)),
        constant(np.zeros(4), np.int32),
        Tensor((1, 4, 4, 4), np.int8, scales=(0.1,), zeros=(3,)),
    ]
    path = tmp_path / "net.tflite"
    step = Operation("CONV_2D", (0, 1, 2), (3,), "Conv2DOptions", {"StrideW": 1, "StrideH": 1})
    path.write_bytes(built(tensors, [step], [0], [3]))
    message = (
        r"CONV_2D \('t3'\): its weights are signed and have a zero point; quantize weights symmetrically$"
    )
    with pytest.raises(Unsupported, match=message):
        tflite_as_onnx(path)


def test_activations_of_16_bits_are_refused_by_name(tmp_path):
    tensors = [Tensor((1, 4, 4, 2), np.int16, scales=(0.1,), zeros=(0,)) for _ in range(2)]
    path = tmp_path / "net.tflite"
    path.write_bytes(built(tensors, [Operation("RELU", (0,), (1,))], [0], [1]))
    advice = r"'t0' has integers of type INT16; convert the network with activations of 8 bits[^;]*quantizes$"
    with pytest.raises(Unsupported, match=rf"TensorFlow Lite file.*{advice}"):
        load_model(path)


def test_an_input_that_is_rounded_again_behind_constants_has_the_last_format(tmp_path):
    tensors = [
        Tensor((1, 6, 6, 3), np.int8, scales=(1.0,), zeros=(-128,)),
        constant([127], np.int8, scales=(1 / 127 / 127,), zeros=(0,)),
        Tensor((1, 6, 6, 3), np.int8, scales=(0.008,), zeros=(-128,)),
        constant([-127], np.int8, scales=(1 / 127,), zeros=(0,)),
        Tensor((1, 6, 6, 3), np.int8, scales=(0.0079,), zeros=(-1,)),
        constant(RNG.integers(-127, 128, (4, 3, 3, 3)), np.int8, scales=(0.01,), zeros=(0,)),
        Tensor((1, 6, 6, 4), np.int8, scales=(0.1,), zeros=(3,)),
        constant(RNG.integers(-999, 999, 4), np.int32),
    ]
    steps = [
        Operation("MUL", (0, 1), (2,), "MulOptions"),
        Operation("ADD", (2, 3), (4,), "AddOptions"),
        Operation("CONV_2D", (4, 5, 7), (6,), "Conv2DOptions", {"StrideW": 1, "StrideH": 1}),
    ]
    path = tmp_path / "net.tflite"
    path.write_bytes(built(tensors, steps, [0], [6]))
    graph = load_model(path)
    (item,) = graph.inputs
    assert graph.host is None
    assert graph.given.formats[item.name].same(GivenFormat(float(np.float32(0.0079)), -1))
    feed = RNG.integers(-128, 128, (1, 6, 6, 3)).astype(np.int8)
    ((want, step),) = litert_real(path, [feed])
    assert np.abs(predict(quantize(graph), feed)[0] - want).max() < 2.01 * step


def test_weights_are_kept_where_the_host_does_the_end(tmp_path):
    tensors = [
        Tensor((1, 6, 6, 3), np.int8, scales=(0.02,), zeros=(4,)),
        constant(RNG.integers(-127, 128, (4, 3, 3, 3)), np.int8, scales=(0.01,), zeros=(0,)),
        Tensor((1, 6, 6, 4), np.int8, scales=(0.1,), zeros=(3,)),
        constant([12, 12], np.int32),
        Tensor((1, 12, 12, 4), np.int8, scales=(0.1,), zeros=(3,)),
        constant(RNG.integers(-999, 999, 4), np.int32),
    ]
    steps = [
        Operation("CONV_2D", (0, 1, 5), (2,), "Conv2DOptions", {"StrideW": 1, "StrideH": 1}),
        Operation("RESIZE_BILINEAR", (2, 3), (4,), "ResizeBilinearOptions"),
    ]
    path = tmp_path / "net.tflite"
    path.write_bytes(built(tensors, steps, [0], [4]))
    graph = load_model(path)
    assert graph.host is not None
    (grid,) = graph.given.weights.values()
    assert grid.scale == pytest.approx(np.full(4, np.float32(0.01)))
    feed = RNG.integers(-128, 128, (1, 6, 6, 3)).astype(np.int8)
    ((want, step),) = litert_real(path, [feed])
    assert np.abs(predict(quantize(graph), feed)[0] - want).max() < 2.01 * step
