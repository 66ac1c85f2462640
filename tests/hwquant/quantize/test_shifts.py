from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwquant import floating, golden
from hwquant.errors import HwquantError
from hwquant.frontends import from_torch
from hwquant.program.compiler import compile_network
from hwquant.program.lowering import MAX_COPIES
from hwquant.quantize import quantize
from hwquant.quantize.formats import Scale
from hwquant.quantize.shifts import (
    LARGEST_LEFT_OF_IDENTITY,
    MOST_REPEATED,
    align,
    fixed_point,
    largest_left,
    net_shifts,
    term_scale,
    weight_exponents,
)
from hwquant.quantize.weight_scheme import WeightScheme
from hwquant.quantize.weights import ideal_scale

SETTINGS = settings(deadline=None, derandomize=True)


@SETTINGS
@given(st.integers(0, 99), st.integers(1, 8), st.booleans(), st.floats(0.51, 1.99))
def test_chosen_scale_is_on_the_lattice_and_no_worse_than_the_unclipped_one(seed, bits, per_channel, ratio):
    weight = np.random.default_rng(seed).normal(0, 1, (4, 6, 1, 1))
    scheme = WeightScheme(bits, per_channel=per_channel)
    error, exponents, free = weight_exponents(weight, scheme, ratio, np.ones(()))
    assert not free.any()
    scale, ideal = np.ldexp(ratio, exponents), ideal_scale(weight, scheme)
    assert np.all(scale < 2 * ideal * (1 + 1e-6))
    levels = ideal * 2  # even the coarsest candidate rounds to within half of this
    assert error <= np.sum(levels**2 / 4) * weight.size


def test_zero_weights_leave_the_scale_free_but_sensible():
    weight = np.zeros((3, 2, 1, 1))
    weight[1] = 0.5
    _, exponents, free = weight_exponents(weight, WeightScheme(per_channel=True), 1.0, np.ones(()))
    assert free.tolist() == [True, False, True]
    shifts = net_shifts(exponents, free, Scale(1.0, 0), Scale(1.0, 0))
    assert shifts[0] == shifts[1] == shifts[2]


@SETTINGS
@given(
    st.lists(st.one_of(st.integers(-3, 9), st.lists(st.integers(-3, 12), min_size=3, max_size=3)), min_size=1)
)
def test_all_terms_meet_in_one_accumulator(wanted):
    terms = [shift if isinstance(shift, int) else np.array(shift) for shift in wanted]
    alignment = align("layer", terms, 6)
    assert alignment.shift.min() >= 0
    for term, left, powers in zip(terms, alignment.left, alignment.unit_powers):
        assert left >= 0
        if powers is None:
            # no finer than wanted
            assert np.all(alignment.shift - left <= term)
        else:
            assert np.all(alignment.shift - left - powers == term)
            assert powers.min() >= 0
            assert powers.max() <= 6


@SETTINGS
@given(
    st.lists(
        st.one_of(st.integers(-3, 9), st.lists(st.integers(-3, 25), min_size=3, max_size=3)),
        min_size=2,
        max_size=4,
    ),
    st.integers(2, 8),
)
def test_weights_get_coarser_where_an_array_could_not_do_the_left_shift(wanted, bits):
    terms = [shift if isinstance(shift, int) else np.array(shift) for shift in wanted]
    most = largest_left(WeightScheme(bits))
    lefts = [LARGEST_LEFT_OF_IDENTITY if isinstance(term, int) else most for term in terms]
    free, alignment = align("layer", terms, 6), align("layer", terms, 6, lefts=lefts)
    floor = max([0, *(term for term in terms if isinstance(term, int))])
    within = True
    for term, left, powers, limit in zip(terms, alignment.left, alignment.unit_powers, lefts):
        assert left >= 0
        if powers is None:
            assert np.all(alignment.shift - left <= term)
            within &= left <= limit
        else:
            assert np.all(alignment.shift - left - powers == term)
            within &= left + int(powers.max()) <= limit
    assert within or alignment.shift.min() == floor
    if free.left == alignment.left:
        assert np.array_equal(free.shift, alignment.shift)
    else:
        assert free.shift.min() > alignment.shift.min()


def test_an_array_repeats_a_term_as_often_as_is_said():
    assert 1 << MOST_REPEATED == MAX_COPIES


class Residual(torch.nn.Module):
    """What is added hardly counts beside the other term, an identity or a convolution."""

    def __init__(self, scale, identity):
        super().__init__()
        torch.manual_seed(0)
        self.small = torch.nn.Conv2d(4, 4, 3, padding=1)
        self.large = torch.nn.Identity() if identity else torch.nn.Conv2d(4, 4, 1)
        with torch.no_grad():
            self.small.weight *= scale
            self.small.bias *= 0

    def forward(self, x):
        return self.large(x) + self.small(x)


@cache
def residual(scale, identity):
    return from_torch(Residual(scale, identity), (torch.zeros(1, 4, 6, 6),))


SAMPLES = np.random.default_rng(0).normal(size=(4, 4, 6, 6)).astype(np.float32)


def test_a_branch_that_hardly_counts_beside_an_identity_compiles():
    graph = residual(2.0**-9, True)
    qgraph = quantize(graph, SAMPLES)
    assert compile_network(qgraph, (4, 4)).layers
    name = graph.outputs[0].tensor
    exact = floating.run(graph, SAMPLES)[name]
    found = golden.run(qgraph, golden.quantize_input(qgraph, SAMPLES))[name]
    tensor = qgraph.tensors[name]
    error = np.abs(tensor.dequantize(found) - exact) / tensor.scale
    assert np.quantile(error, 0.99) < 1, "half a step of the input, half a step of the output"


@pytest.mark.one_in(3)
@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 5, 8])
@pytest.mark.parametrize(
    "options",
    [
        {"symmetric": symmetric, "per_channel": channels, "grid": grid}
        for symmetric in (False, True)
        for channels in (False, True)
        for grid in ("mid_tread", "mid_rise")
    ],
    ids=str,
)
def test_what_is_shifted_left_compiles_whatever_the_weights_are_like(options, bits, identity):
    graph = residual(2.0**-12, identity)
    qgraph = quantize(graph, SAMPLES, bits=bits, **options)
    assert compile_network(qgraph, (4, 4)).layers


def test_a_single_term_gets_the_net_shift_that_it_wants():
    alignment = align("layer", [np.array([5, 7, 4])], 6)
    assert (alignment.shift - alignment.left[0]).tolist() == [5, 7, 4]
    alignment = align("layer", [np.array([-2])], 6)
    assert (alignment.shift.tolist(), alignment.left) == ([0], (2,))


def test_scales_too_far_apart_are_refused():
    with pytest.raises(HwquantError, match="'sum' would need a shift of 40 bits"):
        align("sum", [40, 0], 6)


def test_term_scale_closes_the_equation_to_the_last_bit():
    reference, source = Scale.of(0.37), Scale.of(0.011)
    scale = term_scale(np.array([9, 3]), 2, reference, source)
    ratio = source.value * scale * 2.0 ** np.array([9 - 2, 3 - 2]) / reference.value
    assert np.abs(ratio - 1).max() <= 2.0**-51


@SETTINGS
@given(st.lists(st.floats(2.0**-16, 2.0**13), min_size=1, max_size=4))
def test_multiplier_has_15_bits_and_is_close(ratios):
    multiplier, shift = fixed_point(np.array(ratios))
    assert multiplier.min() >= 1 << 14
    assert multiplier.max() < 1 << 15
    assert np.abs(multiplier * 2.0**-shift / ratios - 1).max() <= 2.0**-15


@pytest.mark.parametrize("ratio", [2.0**-40, 2.0**16])
def test_rescaling_beyond_the_multiplier_is_refused(ratio):
    with pytest.raises(HwquantError, match="does not fit a multiplier of 15 bits"):
        fixed_point(np.array([ratio]))
