"""What only code, not a file, can get wrong; :mod:`test_hwq` has the rest."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.windows import take_window

from hwquant.errors import HwquantError
from hwquant.interface import Input, Output
from hwquant.qgraph import Concat, Layer, MaxPool, Product, QGraph, Tensor, Term
from hwquant.random_networks import Features, random_qgraph
from hwquant.validate import validate
from hwquant.window import Window


def network(*nodes, **tensors):
    """Input x (2, 4, 4), then the nodes; every tensor as the input's unless given."""
    known = {"x": Tensor("x", (2, 4, 4), 0.5, -3)}
    for node in nodes:
        shape = node.output_shape(*(known[name].shape for name in node.inputs))
        known[node.name] = replace(known["x"], name=node.name, shape=shape)
    for name, changes in tensors.items():
        known[name] = replace(known[name], **changes)
    last = nodes[-1].name
    inputs = (Input("x", (2, 4, 4), (2, 4, 4)),)
    return QGraph("n", inputs, nodes, (Output("o", last, known[last].shape),), known)


def conv(name="y", source="x", **changes):
    term = {"input": source, "codes": np.ones((3, 2, 1, 1), np.int8), "offset": np.zeros(1, np.int64)}
    layer = {"bias": np.zeros(3, np.int64), "shift": np.zeros(1, np.int64), "low": -128, "high": 127}
    for key, value in changes.items():
        (layer if key in {*layer, "multiplier"} else term)[key] = value
    window = take_window(term["codes"], term)
    return Layer(name=name, terms=(Term(**{"scale": np.ones(1), "window": window} | term),), **layer)


@pytest.mark.parametrize("seed", range(50))
def test_random_networks_are_valid(seed):
    validate(random_qgraph(np.random.default_rng(seed), Features(multiplier=True)))


def refused(qgraph, message):
    with pytest.raises(HwquantError, match=message):
        validate(qgraph)


def test_a_sum_beyond_64_bits_is_refused():
    big = np.array([1 << 31])
    validate(network(conv(bias=np.full(3, 1 << 60))))
    refused(network(conv(bias=np.full(3, 1 << 62), multiplier=big)), "layer 'y' can overflow 64 bits")
    refused(network(conv(bias=np.full(3, (1 << 63) - 1))), "layer 'y' can overflow 64 bits")


def test_products_are_what_their_scales_say():
    product = Product("y", ("x", "x"), 8, -128, 127)
    validate(network(product, y={"scale": 64.0}))
    validate(network(replace(product, multiplier=3), y={"scale": 64.0 / 3}))
    refused(network(product), r"layer 'y' rescales by another factor .* is 128 times the output's scale")
    refused(network(replace(product, shift=63)), "layer 'y' has a shift of 63; 0..62 is possible")
    refused(network(replace(product, multiplier=0)), "layer 'y' has a multiplier of 0, which is not positive")
    refused(network(replace(product, multiplier=1 << 60)), "layer 'y' can overflow 64 bits")
    refused(network(replace(product, low=5, high=4)), r"layer 'y' clamps to 5\.\.4")
    wide = network(product, x={"bits": 9}, y={"scale": 64.0})
    refused(wide, "layer 'y' multiplies 'x', which has 9 bits; factors have at most 8")
    with pytest.raises(HwquantError, match=r"product 'y' reads factors of shape \(3, 4, 4\)"):
        network(conv("k"), Product("y", ("x", "k"), 8, -128, 127))


def test_pools_and_concatenations_keep_the_numbers():
    pool = MaxPool("y", ("x",), Window((2, 2), (2, 2)))
    validate(network(pool))
    refused(
        network(pool, y={"scale": 0.25}), "layer 'y' and its input 'x' differ in scale, zero point or bits"
    )
    joined = network(conv("a"), Concat("y", ("x", "a")), a={"zero_point": 0})
    refused(joined, "layer 'y' and its input 'a' differ")


def test_joined_tensors_have_one_size():
    pool = MaxPool("a", ("x",), Window((2, 2), (2, 2)))
    refused(network(pool, Concat("y", ("x", "a"))), r"layer 'y' joins tensors of different sizes")


def test_a_window_of_nothing_but_padding_is_refused():
    validate(network(MaxPool("y", ("x",), Window((2, 2), (1, 1), (1, 1, 1, 1)))))
    refused(
        network(MaxPool("y", ("x",), Window((2, 2), (1, 1), (0, 2, 0, 0)))),
        "layer 'y' has a window that covers only",
    )


def test_names_are_unique():
    refused(network(conv("x")), "tensor 'x' is produced twice")


def test_tensors_belong_to_something():
    qgraph = network(conv())
    tensors = {**qgraph.tensors, "z": replace(qgraph.tensors["x"], name="z")}
    refused(replace(qgraph, tensors=tensors), "tensor 'z' is produced by no input and no layer")
    tensors = {**qgraph.tensors, "x": replace(qgraph.tensors["x"], name="z")}
    refused(replace(qgraph, tensors=tensors), "tensor 'x' calls itself 'z'")


def test_inputs_and_outputs_are_needed():
    qgraph = network(conv())
    refused(replace(qgraph, outputs=()), "the network has no output")
    with pytest.raises(HwquantError, match="which nothing before it produces"):
        replace(qgraph, inputs=())


def test_outputs_have_the_size_of_their_tensor():
    qgraph = network(conv())
    refused(
        replace(qgraph, outputs=(Output("o", "y", (7,)),)), r"output 'o' of shape \(7,\) cannot hold tensor"
    )
    scalar = Output("o", "y", (), np.array([3]), ("argmax",))
    refused(replace(qgraph, outputs=(scalar,)), "output 'o' has an order of shape|is a scalar")


def test_terms_agree_in_shape():
    layer = conv()
    other = replace(layer.terms[0], codes=np.ones((3, 2, 2, 2), np.int8), window=Window((2, 2)))
    refused(
        network(replace(layer, terms=(layer.terms[0], other))), r"layer 'y', term 1, produces \(3, 3, 3\)"
    )


def test_preprocessing_fits_the_input():
    qgraph = network(conv())
    for scale in (np.ones(3), np.ones((1, 2, 4, 4))):
        item = replace(qgraph.inputs[0], scale=scale)
        refused(replace(qgraph, inputs=(item,)), "input 'x' has scale of shape .* which does not broadcast")


@pytest.mark.parametrize("scale", [0.0, -0.5, 5e-324, 1e-40, 1e40, 1e308, np.inf, np.nan])
def test_a_scale_far_from_1_is_refused(scale):
    refused(
        network(conv(), x={"scale": scale}, y={"scale": scale}), "tensor 'x' has the scale .*must be positive"
    )
    refused(network(conv(scale=np.full(1, scale))), "layer 'y'")


def test_the_scales_of_a_layer_say_what_its_shift_does():
    """S_y = S_x S_w 2^s, of every channel and, from one accumulator, of every term."""
    validate(network(conv(scale=np.full(1, 0.125), shift=np.full(1, 3))))
    refused(network(conv(scale=np.full(1, 0.125))), r"layer 'y' rescales by another factor .* down to 0\.125")
    channels = {"scale": np.array([0.5, 0.25, 1.0]), "shift": np.array([1, 2, 0])}
    validate(network(conv(**channels)))
    refused(network(conv(**channels | {"shift": np.array([1, 2, 1])})), "rescales by another factor")
    layer = conv(scale=np.full(1, 0.25), shift=np.full(1, 2))
    (term,) = layer.terms
    second = replace(term, shift=3, scale=np.full(1, 2.0))
    validate(network(replace(layer, terms=(term, second))))
    other = replace(second, scale=np.full(1, 2.0 + 1e-9))
    refused(network(replace(layer, terms=(term, other))), "its term 1 count in different units")


def test_a_multiplier_may_be_off_by_one():
    for multiplier, valid in ((819, True), (820, True), (818, False), (821, False)):
        layer = conv(scale=np.full(1, 0.1), shift=np.full(1, 13), multiplier=np.full(1, multiplier))
        if valid:
            validate(network(layer))
        else:
            refused(network(layer), "rescales by another factor")


@pytest.mark.parametrize(
    ("host", "valid"),
    [
        (("softmax",), True),
        (("log_softmax", "argmax"), True),
        (("argmax", "softmax"), False),
        (("softmax", "softmax"), False),
        (("argmax", "argmax"), False),
    ],
)
def test_host_functions_come_in_an_order_that_means_something(host, valid):
    qgraph = network(conv())
    qgraph = replace(qgraph, outputs=(replace(qgraph.outputs[0], host=host),))
    if valid:
        validate(qgraph)
    else:
        refused(qgraph, "output 'o' asks for .* after an? .*; leave it to the host")


def test_an_input_takes_every_element_once():
    qgraph, order = network(conv()), np.arange(32)[::-1].copy()
    validate(replace(qgraph, inputs=(replace(qgraph.inputs[0], order=order),)))
    order[3] = order[4]
    refused(replace(qgraph, inputs=(replace(qgraph.inputs[0], order=order),)), "takes an element twice")
