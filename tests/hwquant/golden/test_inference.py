from dataclasses import replace

import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.golden import predict, quantize_input, run
from hwquant.interface import Input, Output
from hwquant.qgraph import Concat, QGraph, Tensor
from hwquant.random_networks import PLAIN, random_images, random_qgraph


@pytest.fixture
def qgraph():
    """A random network whose input is an image (height, width, channels) of bytes."""
    qgraph = random_qgraph(np.random.default_rng(5), replace(PLAIN, channels=(3, 5), activation_bits=(8, 8)))
    channels, height, width = qgraph.tensors["input"].shape
    order = np.arange(channels * height * width).reshape(height, width, channels).transpose(2, 0, 1).ravel()
    shape = (height, width, channels)
    item = Input("input", shape, (channels, height, width), np.array(1 / 255), np.full(channels, -0.5), order)
    tensor = replace(qgraph.tensors["input"], scale=1 / 200, zero_point=3)
    return replace(qgraph, inputs=(item,), tensors={**qgraph.tensors, "input": tensor})


@pytest.fixture
def images(qgraph):
    return np.random.default_rng(6).integers(0, 256, (7, *qgraph.inputs[0].shape)).astype(np.uint8)


def test_the_input_is_preprocessed_reordered_rounded_and_saturated(qgraph, images):
    q = quantize_input(qgraph, images)["input"]
    real = images.astype(np.float64) / 255 - 0.5
    expected = np.clip(np.floor(real * 200 + 0.5) + 3, -128, 127).transpose(0, 3, 1, 2)
    assert q.dtype == np.int64
    assert np.abs(q - expected).max() <= 1  # 1 / 200 is no binary fraction, so a tie may go either way
    assert (q != expected).mean() < 0.01
    far = quantize_input(qgraph, images.astype(np.float32) * 1000)["input"]
    assert far.max() == 127


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_input_that_is_not_finite_is_refused(qgraph, images, value):
    x = images.astype(np.float32)
    x[3, 0, 0, 1] = value
    for function in (quantize_input, predict):
        with pytest.raises(HwquantError, match="input 'input' holds NaN or infinity"):
            function(qgraph, x)


def test_a_prediction_is_the_dequantized_output(qgraph, images):
    (y,) = predict(qgraph, images)
    tensor = qgraph.tensors[qgraph.outputs[0].tensor]
    q = run(qgraph, quantize_input(qgraph, images))[tensor.name]
    np.testing.assert_array_equal(y, tensor.scale * (q.reshape(7, -1) - tensor.zero_point))
    assert len(np.unique(y)) > 3
    np.testing.assert_array_equal(predict(qgraph, images, exact=True)[0], y)


def test_host_functions_are_applied(qgraph, images):
    output = qgraph.outputs[0]
    (y,) = predict(qgraph, images)
    outputs = (
        replace(output, name="p", host=("softmax",)),
        replace(output, name="l", host=("log_softmax",)),
        replace(output, name="c", host=("softmax", "argmax")),
    )
    p, log_p, c = predict(replace(qgraph, outputs=outputs), images)
    np.testing.assert_allclose(p, np.exp(y) / np.exp(y).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.exp(log_p), p)
    np.testing.assert_array_equal(c, y.argmax(axis=1))
    assert c.dtype == np.int64


def test_outputs_are_reordered(qgraph, images):
    output = qgraph.outputs[0]
    order = np.arange(output.shape[0])[::-1].copy()
    (y,) = predict(qgraph, images)
    (reordered,) = predict(replace(qgraph, outputs=(replace(output, order=order),)), images)
    np.testing.assert_array_equal(reordered, y[:, ::-1])


def test_no_images_give_no_results(qgraph, images):
    for exact in (False, True):
        assert predict(qgraph, images[:0], exact)[0].shape == (0, *qgraph.outputs[0].shape)
        q = run(qgraph, quantize_input(qgraph, images[:0]), ["input"], exact)["input"]
        assert q.shape == (0, *qgraph.tensors["input"].shape)


def test_every_tensor_can_be_kept(qgraph, images):
    q = quantize_input(qgraph, images)
    values = run(qgraph, q, keep=list(qgraph.tensors))
    assert list(values) == list(qgraph.tensors)
    np.testing.assert_array_equal(values["input"], q["input"])
    with pytest.raises(HwquantError, match="the network has no tensor 'nothing'; it has input, conv0"):
        run(qgraph, q, keep=["nothing"])


@pytest.mark.parametrize("exact", [False, True])
def test_integers_out_of_range_are_refused(qgraph, exact):
    q = random_images(np.random.default_rng(0), qgraph, 3)
    q[1, 0, 0, 0] = 128
    with pytest.raises(HwquantError, match=r"'input' holds -\d+\.\.128, its 8 bits hold -128\.\.127"):
        run(qgraph, q, exact=exact)


def test_wrong_arrays_are_refused(qgraph, images):
    q = quantize_input(qgraph, images)["input"]
    with pytest.raises(HwquantError, match="has dtype float64; quantize it to integers first"):
        run(qgraph, q.astype(np.float64))
    with pytest.raises(HwquantError, match=r"input 'input' has shape \(7, .*, it must be \(N, "):
        run(qgraph, q[:, :1])
    with pytest.raises(HwquantError, match=r"input 'input' has shape \(N, "):
        predict(qgraph, images[:, 1:])
    with pytest.raises(HwquantError, match="has dtype <U1; give real numbers"):
        predict(qgraph, np.full(images.shape, "a"))
    with pytest.raises(HwquantError, match="is a single number"):
        predict(qgraph, np.float64(3))
    with pytest.raises(HwquantError, match="the data has the inputs y, the network input"):
        predict(qgraph, {"y": images})


def test_a_network_that_is_not_valid_is_refused(qgraph, images):
    tensors = {**qgraph.tensors, "input": replace(qgraph.tensors["input"], zero_point=1 << 30)}
    with pytest.raises(HwquantError, match="tensor 'input' has the zero point"):
        predict(replace(qgraph, tensors=tensors), images)


def two_inputs():
    tensors = {name: Tensor(name, (1, 1, 2), 0.5, 0) for name in "ab"}
    tensors["c"] = Tensor("c", (2, 1, 2), 0.5, 0)
    inputs = tuple(Input(name, (2,), (1, 1, 2)) for name in "ab")
    return QGraph("n", inputs, (Concat("c", ("a", "b")),), (Output("o", "c", (4,)),), tensors)


def test_several_inputs_are_given_by_name():
    a, b = np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])
    assert predict(two_inputs(), {"b": b, "a": a})[0].tolist() == [[1, 2, 3, 4]]
    with pytest.raises(HwquantError, match="the network has the inputs a, b; give an array for each"):
        predict(two_inputs(), a)
    with pytest.raises(HwquantError, match="differ in the number of samples"):
        predict(two_inputs(), {"a": a, "b": b[:0]})
