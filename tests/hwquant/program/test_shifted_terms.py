"""Terms that are shifted left: the same sums of fewer terms."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hwquant_testing.small_networks import Net
from hypothesis import given
from hypothesis import strategies as st

from hwquant.program.lowering import lower
from hwquant.program.shifted_terms import GREATEST, with_fewer_terms


def shifted(codes, shift, **options):
    """A lowered layer of a term that is not shifted and one that is."""
    channels = len(codes)
    net = Net(x=(channels, 4, 3))
    plain = net.term("x", channels)
    more = net.term("x", channels, codes=np.reshape(codes, (channels, 1, 1, 1)), groups=channels, shift=shift)
    net.layer(plain, replace(more, **options))
    (layer,) = lower(net.build())
    return layer


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=4), st.integers(0, 6))
def test_sums_stay_and_no_fewer_terms_could_give_them(codes, shift):
    layer = shifted(codes, shift)
    plain, *more = with_fewer_terms(layer).terms
    assert plain is layer.terms[0]
    assert np.array_equal(sum(term.weight for term in more).ravel(), np.left_shift(codes, shift))
    assert all(term.stored_limits[0] >= -128 and term.stored_limits[1] <= 127 for term in more)
    largest = max(map(abs, codes)) << shift
    assert len(more) == min(len(layer.terms) - 1, max(1, -(-largest // GREATEST)))
    assert all(one is other for one, other in pairwise(more[:-1])), "so that tiles are stored once"


def test_a_power_of_two_takes_about_half_the_terms():
    assert [len(with_fewer_terms(shifted([64], shift)).terms) - 1 for shift in range(7)] == [
        *(1, 2, 3, 5, 9, 17, 33)
    ]


@pytest.mark.parametrize("layer", [shifted([3, -5], 4), shifted([127], 3), shifted([64], 0)])
def test_layers_that_need_as_many_stay(layer):
    assert with_fewer_terms(layer) is layer
