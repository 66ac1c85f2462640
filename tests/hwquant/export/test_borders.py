"""The user's arrays: preprocessing, reordering, rounding, and what stays on the host."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.small_networks import Net

from hwquant import golden
from hwquant.errors import HwquantError
from hwquant.export import to_onnx
from hwquant.interface import Input, Output


def network(inputs=(), outputs=()):
    """A convolution of a (3, 4, 2) tensor to (5, 4, 2), with other inputs and outputs of the user's."""
    net = Net(x=(3, 4, 2))
    net.conv("x", 5, (1, 1), name="y")
    qgraph = net.build()
    tensors = {**qgraph.tensors, "x": replace(qgraph.tensors["x"], scale=0.037)}
    tensors["y"] = replace(tensors["y"], scale=0.11)
    (layer,) = qgraph.nodes
    (term,) = layer.terms
    layer = replace(layer, terms=(replace(term, scale=term.scale * 0.11 / 0.037),))
    return replace(
        qgraph,
        nodes=(layer,),
        tensors=tensors,
        inputs=tuple(inputs) or qgraph.inputs,
        outputs=tuple(outputs) or qgraph.outputs,
    )


def images(shape, count=5, seed=0):
    return np.random.default_rng(seed).normal(0, 3, (count, *shape)).astype(np.float32)


def test_preprocessing_and_reordering_of_the_input_are_part_of_the_model(assert_equal):
    rng = np.random.default_rng(0)
    item = Input(
        "x", (4, 6), (3, 4, 2), rng.uniform(0.1, 2, (4, 1)), rng.normal(size=(6,)), rng.permutation(24)
    )
    assert_equal(network([item]), images((4, 6)))


def test_values_half_way_between_integers_round_up_and_large_ones_saturate(assert_equal):
    qgraph = network()
    scale = qgraph.tensors["x"].scale
    x = (np.arange(-3000, 3000).reshape(-1, 3, 4, 2) / 2 * scale).astype(np.float32)
    assert_equal(qgraph, x)
    assert_equal(qgraph, np.float32([-3e38, 3e38, 0]).repeat(8).reshape(1, 3, 4, 2))


def test_bytes_are_given_as_float32(assert_equal):
    x = np.random.default_rng(0).integers(0, 256, (4, 3, 4, 2)).astype(np.uint8)
    assert_equal(network(), x)


def test_an_input_of_one_number_and_an_output_of_one_number_keep_their_shapes(assert_equal):
    net = Net(x=(1, 1, 1))
    net.conv("x", 1, name="y")
    qgraph = net.build()
    qgraph = replace(qgraph, inputs=(Input("x", (), (1, 1, 1)),), outputs=(Output("out", "y", ()),))
    assert_equal(qgraph, images(()))


@pytest.mark.parametrize("shape", [(20,), (4, 5), (5, 4, 1)])
def test_outputs_may_be_reordered_parts_of_a_tensor(assert_equal, shape):
    order = np.random.default_rng(0).permutation(40)[:20]
    assert_equal(network(outputs=[Output("out", "y", shape, order)]), images((3, 4, 2)))


def test_one_tensor_may_be_several_outputs_and_an_output_may_be_called_like_its_tensor(assert_equal):
    outputs = [Output("y", "y", (5, 4, 2)), Output("flat", "y", (40,)), Output("input", "x", (3, 4, 2))]
    assert_equal(network(outputs=outputs), images((3, 4, 2)))


def test_argmax_takes_the_first_of_equals(assert_equal):
    qgraph = network(outputs=[Output("class", "y", (40,), host=("argmax",))])
    assert_equal(qgraph, images((3, 4, 2)))
    assert_equal(qgraph, np.zeros((2, 3, 4, 2), np.float32))
    assert_equal(network(outputs=[Output("class", "y", (5, 4, 2), host=("argmax",))]), images((3, 4, 2)))


@pytest.mark.parametrize("function", ["softmax", "log_softmax"])
def test_softmax_is_the_runtimes_own_in_float64(run_onnx, function):
    qgraph = network(outputs=[Output("out", "y", (40,), host=(function,))])
    x = images((3, 4, 2))
    (got,) = run_onnx(to_onnx(qgraph), {"x": x})
    (expected,) = golden.predict(qgraph, x)
    assert got.dtype == np.float32
    # Beyond the rounding to float32 only the last bit of an exponential may differ.
    np.testing.assert_allclose(got, expected, rtol=2**-23)


def test_softmax_before_argmax_gives_the_same_class(assert_equal):
    outputs = [Output("class", "y", (5, 4, 2), host=("softmax", "argmax"))]
    assert_equal(network(outputs=outputs), images((3, 4, 2)))


def test_an_argmax_is_the_end_of_an_output():
    qgraph = network(outputs=[Output("out", "y", (40,), host=("argmax", "softmax"))])
    with pytest.raises(HwquantError, match="'softmax' after an argmax"):
        to_onnx(qgraph)


def test_the_batch_may_have_any_size(run_onnx):
    model = to_onnx(network(outputs=[Output("out", "y", (20,), np.arange(20))]))
    for count in (0, 1, 7):
        assert run_onnx(model, {"x": images((3, 4, 2), count)})[0].shape == (count, 20)
