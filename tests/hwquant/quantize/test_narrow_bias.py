"""Biases of few bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwquant import golden
from hwquant.coding import integer_limits
from hwquant.errors import HwquantError
from hwquant.qgraph import Layer, Term
from hwquant.quantize import quantize
from hwquant.quantize.narrow_bias import WIDEST, narrow_bias

POINTS = {"x": -7, "y": 3}


def layer(bias, shift, multiplier=None):
    weight = np.arange(-3, 3, dtype=np.int8).reshape(2, 3, 1, 1)
    term = Term("x", weight, np.array([2]), np.ones(1), shift=1)
    return Layer("y", (term,), np.array(bias), np.array(shift), -128, 127, multiplier)


def test_the_constant_is_the_sum_where_all_stored_integers_are_zero():
    made = layer([5, -5], [3, 0])
    adjusted = np.array([[-1, 0, 1], [2, 3, 4]])
    expected = made.bias + 7 * 2 * adjusted.sum(axis=1) + [(1 << 2) + (3 << 3), 3]
    assert made.constant(POINTS).tolist() == expected.tolist()
    free = layer([5, -5], [3, 3], np.array([7]))
    assert free.constant(POINTS).tolist() == (free.bias + 7 * 2 * adjusted.sum(axis=1)).tolist()


def nearest(values, power, bits):
    """By search: of the multiples of ``2^power`` with ``bits`` bits, those that are nearest to the values."""
    low, high = integer_limits(bits)
    return [min(range(low, high + 1), key=lambda c: abs(value - c * 2**power)) * 2**power for value in values]


@given(
    st.lists(st.integers(-(1 << 20), 1 << 20), min_size=2, max_size=2),
    st.lists(st.integers(0, 9), min_size=2, max_size=2),
    st.integers(2, 5),
)
def test_no_other_multiples_of_a_power_of_two_are_nearer(bias, shift, bits):
    made = layer(bias, shift)
    narrowed = narrow_bias(made, bits, POINTS)
    exact, constant = made.constant(POINTS), narrowed.constant(POINTS)
    step = 2.0 ** -np.array(shift)

    def error(values):
        return float(np.square((np.array(values) - exact) * step).sum())

    errors = {power: error(nearest(exact.tolist(), power, bits)) for power in range(26)}
    assert error(constant) == pytest.approx(min(errors.values()), rel=1e-12)
    low, high = integer_limits(bits)
    assert any(
        (constant % (1 << power) == 0).all()
        and (low <= constant >> power).all()
        and (constant >> power <= high).all()
        for power in range(26)
    )


@given(st.lists(st.integers(-(1 << 61), 1 << 61), min_size=2, max_size=2))
def test_a_bias_that_has_room_stays_as_it_is(bias):
    made = layer(bias, [0, 5])
    assert narrow_bias(made, WIDEST, POINTS) is made


@pytest.mark.parametrize("options", [{}, {"per_channel": True, "bits": 4}, {"scales": "multiplier"}])
def test_a_network_s_constants_have_the_bits_that_are_asked_for(digits_graph, demo_folder, options):
    with np.load(demo_folder / "calibration.npz", allow_pickle=False) as file:
        x = file["x"][:40]
    wide = quantize(digits_graph, x, **options)
    assert (
        quantize(digits_graph, x, bias_bits=32, **options).nodes[0].bias.tolist()
        == wide.nodes[0].bias.tolist()
    )
    made = quantize(digits_graph, x, bias_bits={"conv1": 6, "scores": 9}, **options)
    points = {name: item.zero_point for name, item in made.tensors.items()}
    layers = {node.name: node for node in made.nodes if isinstance(node, Layer)}
    for name, bits in (("relu1", 6), ("scores", 9)):
        constant = layers[name].constant(points)
        power = min((int(value) & -int(value)).bit_length() - 1 for value in constant if value)
        low, high = integer_limits(bits)
        assert low <= (constant >> power).min() <= (constant >> power).max() <= high
    before = {node.name: node for node in wide.nodes if isinstance(node, Layer)}
    assert before["relu2"].shift.tolist() == layers["relu2"].shift.tolist()
    difference = golden.predict(made, x)[0] - golden.predict(wide, x)[0]
    assert np.abs(difference).max() > 0


def test_a_layer_that_is_not_there_and_a_width_out_of_range_are_refused(digits_graph):
    x = np.zeros((2, 1, 8, 8), np.uint8)
    with pytest.raises(HwquantError, match="bias_bits names 'conv9', which is not in the network"):
        quantize(digits_graph, x, bias_bits={"conv9": 8})
    with pytest.raises(HwquantError, match="bias_bits of 'conv1' must be an integer from 2 to 32, not 1"):
        quantize(digits_graph, x, bias_bits={"conv1": 1})
