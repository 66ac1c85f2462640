"""What is decided of a network stays so."""

import numpy as np
import pytest
import torch

from hwquant.errors import HwquantError
from hwquant.quantize import QuantizeOptions
from hwquant.training import QuantizedNetwork


def test_a_grid_that_is_decided_stays(observed):
    network = QuantizedNetwork(observed("chain"), QuantizeOptions(bits=4))
    name = network.plan.layers[0].name
    network.decide_grids([name])
    with torch.no_grad():
        network.weight("c1").mul_(3)
    network.decide_grids([name])
    network.freeze_all()
    reference = QuantizedNetwork(observed("chain"), QuantizeOptions(bits=4))
    reference.freeze_all()
    (ours,), (theirs,) = (item.to_qgraph().nodes[0].terms for item in (network, reference))
    assert np.array_equal(ours.scale, theirs.scale)
    assert np.array_equal(ours.offset, theirs.offset)
    assert not np.array_equal(ours.codes, theirs.codes)


def test_a_literal_range_is_refused(observed):
    with pytest.raises(HwquantError, match="leave literal_range out"):
        QuantizedNetwork(observed("chain"), QuantizeOptions(literal_range=True))


def test_a_duplicate_has_weights_of_its_own_and_shares_what_is_known(observed):
    network = QuantizedNetwork(observed("chain"), QuantizeOptions(bits=4))
    network.decide_grids([network.plan.layers[0].name])
    other = network.duplicate()
    assert other.observed is network.observed
    assert other.precision is network.precision
    with torch.no_grad():
        other.weight("c1").zero_()
    other.freeze_all()
    assert network.weight("c1").any()
    assert not network.frozen("c1").any()
    assert network.grid(network.plan.layers[0].name) is not None
