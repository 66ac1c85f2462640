"""The reference against oracles that are not ours: torch's convolution and pooling, and exact fractions."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from hwquant.golden import reference
from hwquant.interface import Input, Output
from hwquant.qgraph import Concat, Layer, MaxPool, QGraph, Tensor, Term
from hwquant.random_networks import Features, random_images, random_qgraph
from hwquant.window import Window

torch = pytest.importorskip("torch", reason="torch is the oracle: pip install 'hwquant[torch]'")


def torch_convolution(term, x, zero_point):
    """In float64, exact for these sizes; pads with the zero point, then subtracts it."""
    top, left, bottom, right = term.window.padding
    padded = torch.nn.functional.pad(
        torch.from_numpy(x.astype(np.float64)), (left, right, top, bottom), value=zero_point
    )
    codes = torch.from_numpy(term.codes.astype(np.float64))
    offset = torch.from_numpy(term.offset.astype(np.float64)).reshape(-1, 1, 1, 1)
    return torch.nn.functional.conv2d(
        padded - zero_point,
        offset - term.step * codes if term.anchor == "max" else term.step * codes + offset,
        stride=term.window.stride,
        dilation=term.window.dilation,
        groups=term.groups,
    ).numpy()


def torch_max_pool(pool, x):
    top, left, bottom, right = pool.window.padding
    padded = torch.nn.functional.pad(
        torch.from_numpy(x.astype(np.float64)), (left, right, top, bottom), value=-math.inf
    )
    return torch.nn.functional.max_pool2d(
        padded, pool.window.kernel, stride=pool.window.stride, dilation=pool.window.dilation
    ).numpy()


def by_fractions(acc, layer, zero_point):
    """Round half up of the exact quotient, element by element."""
    result = np.empty(acc.shape, np.int64)
    for index in np.ndindex(acc.shape):
        channel = index[1]
        factor = (
            1 if layer.multiplier is None else int(np.broadcast_to(layer.multiplier, acc.shape[1])[channel])
        )
        shift = int(np.broadcast_to(layer.shift, acc.shape[1])[channel])
        quotient = Fraction(int(acc[index]) * factor, 2**shift)
        rounded = math.floor(quotient + Fraction(1, 2)) if shift else int(quotient)
        result[index] = min(max(rounded + zero_point, layer.low), layer.high)
    return result


@pytest.mark.parametrize("seed", range(40))
def test_every_tensor_of_a_random_network_is_what_torch_and_fractions_give(seed):
    rng = np.random.default_rng(seed)
    steps = (1,) if seed % 4 < 2 else (1, 2)
    qgraph = random_qgraph(rng, Features(multiplier=seed % 2 == 0, steps=steps, weight_bits=(1, 8)))
    values = reference.run(qgraph, {"input": random_images(rng, qgraph, 3)})
    for node in qgraph.nodes:
        tensor = qgraph.tensors[node.name]
        match node:
            case Layer():
                acc = np.zeros((3, *tensor.shape))
                for term in node.terms:
                    zero = qgraph.tensors[term.input].zero_point
                    acc += 2.0**term.shift * torch_convolution(term, values[term.input], zero)
                acc += node.bias.reshape(1, -1, 1, 1)
                expected = by_fractions(acc, node, tensor.zero_point)
            case MaxPool():
                expected = torch_max_pool(node, values[node.inputs[0]])
            case Concat():
                expected = np.concatenate([values[name] for name in node.inputs], axis=1)
        np.testing.assert_array_equal(values[node.name], expected, node.name)
        assert values[node.name].dtype == np.int64
        assert values[node.name].shape == (3, *tensor.shape)


def one_layer(shift, low=-128, high=127, zero_point=0, multiplier=None):
    term = Term("x", np.ones((1, 1, 1, 1), np.int8), np.zeros(1, np.int64), np.ones(1))
    multiplier = None if multiplier is None else np.array([multiplier])
    return Layer("y", (term,), np.zeros(1, np.int64), np.array([shift]), low, high, multiplier)


@pytest.mark.parametrize(
    ("acc", "shift", "expected"),
    [
        (5, 0, 5),
        (5, 1, 3),  # 2.5 rounds up
        (-5, 1, -2),  # so does -2.5
        (-6, 2, -1),  # -1.5
        (6, 2, 2),  # 1.5
        (7, 3, 1),
        (3, 3, 0),
        (-4, 3, 0),  # -0.5
        (-5, 3, -1),
        (1 << 61, 62, 1),  # 0.5
        ((1 << 61) - 1, 62, 0),
        (-(1 << 61), 62, 0),
    ],
)
def test_requantization_rounds_half_up(acc, shift, expected):
    acc = np.full((1, 1, 1, 1), acc, np.int64)
    assert reference.requantize(acc, one_layer(shift), 0).item() == expected


def test_requantization_multiplies_before_it_shifts():
    acc = np.full((1, 1, 1, 1), 7, np.int64)
    assert reference.requantize(acc, one_layer(2, multiplier=3), 0).item() == 5  # 21 / 4 = 5.25


def test_the_clamp_comes_after_the_zero_point():
    acc = np.array([-300, -20, 4, 300]).reshape(1, 1, 1, 4)
    layer = one_layer(0, low=-10, high=100, zero_point=-10)
    assert reference.requantize(acc, layer, -10).ravel().tolist() == [-10, -10, -6, 100]


@pytest.mark.parametrize("zero_point", [-128, -3, 0, 127])
def test_padding_contributes_nothing(zero_point):
    x = np.full((1, 1, 2, 2), zero_point)
    x[0, 0, 0, 0] += 1
    term = Term(
        "x",
        np.ones((1, 1, 3, 3), np.int8),
        np.zeros(1, np.int64),
        np.ones(1),
        window=Window((3, 3), padding=(1, 1, 1, 1)),
    )
    assert reference.convolve(term, x, zero_point).tolist() == [[[[1, 1], [1, 1]]]]


def test_padding_never_wins_a_maximum():
    x = np.full((1, 1, 2, 2), -128)
    pool = MaxPool("y", ("x",), Window((2, 2), (1, 1), (1, 1, 1, 1)))
    assert (reference.max_pool(pool, x, -128) == -128).all()


def test_a_term_is_shifted_left_as_a_whole():
    term = one_layer(0).terms[0]
    layer = replace(one_layer(0), terms=(term, replace(term, shift=3)), bias=np.array([100]))
    tensors = {"x": Tensor("x", (1, 1, 1), 1.0, 2)}
    acc = reference.accumulate(layer, {"x": np.array([5]).reshape(1, 1, 1, 1)}, tensors)
    assert acc.item() == 100 + 3 + 8 * 3


def test_a_network_without_layers_gives_its_input():
    tensors = {"x": Tensor("x", (1, 1, 2), 1.0, 0)}
    qgraph = QGraph("n", (Input("x", (2,), (1, 1, 2)),), (), (Output("y", "x", (2,)),), tensors)
    q = np.array([1, 2]).reshape(1, 1, 1, 2)
    assert reference.run(qgraph, {"x": q})["x"].ravel().tolist() == [1, 2]
