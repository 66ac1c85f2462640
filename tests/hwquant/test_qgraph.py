import numpy as np
import pytest
from hwquant_testing.windows import take_window
from hypothesis import given
from hypothesis import strategies as st

from hwquant.errors import HwquantError
from hwquant.interface import Input, Output
from hwquant.qgraph import Concat, Layer, MaxPool, QGraph, Tensor, Term
from hwquant.window import Window


def term(shape=(2, 3, 3, 3), offset=0, **options):
    codes = np.arange(np.prod(shape)).reshape(shape) % 200 - 100
    offset, window = np.atleast_1d(offset).astype(np.int64), take_window(codes, options)
    return Term("x", codes.astype(np.int8), offset, np.ones(1), window=window, **options)


def layer(*terms, name="y"):
    out = len(terms[0].codes)
    return Layer(name, terms, np.zeros(out, np.int64), np.zeros(1, np.int64), -128, 127)


def network(*nodes, **shapes):
    tensors = {name: Tensor(name, shape, 1.0, 0) for name, shape in {"x": (3, 8, 8), **shapes}.items()}
    inputs = (Input("x", (3, 8, 8), (3, 8, 8)),)
    return QGraph("n", inputs, nodes, (Output("o", nodes[-1].name, (1,)),), tensors)


@pytest.mark.parametrize(("bits", "limits"), [(8, (-128, 127)), (4, (-8, 7)), (2, (-2, 1))])
def test_limits_are_those_of_a_signed_integer(bits, limits):
    assert Tensor("x", (1, 1, 1), 1.0, 0, bits).limits == limits


def test_quantization_rounds_half_up_then_saturates():
    tensor = Tensor("x", (1, 1, 1), 0.5, 3, 8)
    x = np.array([0.0, 0.25, 0.24, -0.25, -0.26, 0.75, 1e30, -1e30])
    assert tensor.quantize(x).tolist() == [3, 4, 3, 3, 2, 5, 127, -128]
    assert tensor.quantize(x).dtype == np.int64


@given(st.floats(2.0**-20, 2.0**20), st.integers(-128, 127), st.integers(-128, 127))
def test_dequantized_integers_quantize_to_themselves(scale, zero_point, q):
    tensor = Tensor("x", (1, 1, 1), scale, zero_point)
    real = tensor.dequantize(np.array([q]))
    assert real.dtype == np.float64
    assert real == pytest.approx(scale * (q - zero_point))
    assert tensor.quantize(real) == q


def test_the_anchor_says_which_way_a_code_counts():
    np.testing.assert_array_equal(term(offset=7).weight, term().codes.astype(int) + 7)
    np.testing.assert_array_equal(term(offset=7, anchor="max").weight, 7 - term().codes.astype(int))


def test_offsets_may_be_an_output_channels_own():
    weight = term(offset=[1000, -1000]).weight
    assert weight.dtype == np.int64
    np.testing.assert_array_equal(weight[0], term().codes[0].astype(int) + 1000)
    np.testing.assert_array_equal(weight[1], term().codes[1].astype(int) - 1000)


def test_shapes_follow_stride_padding_and_dilation():
    assert term(padding=(1, 1, 1, 1)).output_shape((3, 8, 8)) == (2, 8, 8)
    assert term(padding=(0, 1, 1, 2), stride=(2, 3)).output_shape((3, 8, 8)) == (2, 4, 3)
    assert term(dilation=(3, 2)).output_shape((3, 8, 8)) == (2, 2, 4)
    assert MaxPool("p", ("x",), Window((3, 2), (2, 2), (1, 0, 0, 1))).output_shape((3, 8, 8)) == (3, 4, 4)
    assert MaxPool("p", ("x",), Window((3, 3), (1, 1), dilation=(2, 3))).output_shape((3, 8, 8)) == (3, 4, 2)
    assert Concat("c", ("x", "y")).output_shape((3, 8, 8), (2, 8, 8)) == (5, 8, 8)


def test_every_terms_products_are_counted():
    pointwise = term((2, 3, 1, 1))
    grouped = Term(
        "x",
        np.ones((3, 1, 3, 3), np.int8),
        np.zeros(1, np.int64),
        np.ones(1),
        window=Window((3, 3)),
        groups=3,
    )
    assert layer(term(padding=(1, 1, 1, 1)), pointwise).macs((3, 8, 8), (3, 8, 8)) == 2 * 3 * 64 * (9 + 1)
    assert layer(grouped).macs((3, 8, 8)) == 3 * 9 * 36
    qgraph = network(layer(pointwise), MaxPool("p", ("y",), Window((2, 2), (2, 2))), y=(2, 8, 8), p=(2, 4, 4))
    assert qgraph.macs() == 2 * 3 * 64


def test_nodes_read_what_came_before():
    with pytest.raises(HwquantError, match="layer 'y' reads 'z', which nothing before it produces"):
        network(Concat("y", ("z",)), y=(3, 8, 8))


def test_tensors_are_described():
    with pytest.raises(HwquantError, match="layer 'y' has no tensor description"):
        network(layer(term()))
    with pytest.raises(HwquantError, match="input 'x' has no tensor description"):
        QGraph("n", (Input("x", (1,), (1, 1, 1)),), (), (Output("o", "x", (1,)),), {})


def test_described_shapes_are_the_computed_ones():
    with pytest.raises(HwquantError, match=r"layer 'y' produces \(2, 6, 6\), not \(2, 8, 8\)"):
        network(layer(term()), y=(2, 8, 8))


def test_outputs_read_a_tensor():
    tensors = {"x": Tensor("x", (1, 1, 1), 1.0, 0)}
    with pytest.raises(HwquantError, match="output 'o' reads 'y', which nothing produces"):
        QGraph("n", (Input("x", (1,), (1, 1, 1)),), (), (Output("o", "y", (1,)),), tensors)
