"""What is decided of a network stays so."""

import numpy as np
import pytest
import torch

from hwquant.errors import HwquantError
from hwquant.qgraph import Layer
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


@pytest.mark.parametrize("anchor", ["min", "max"])
@pytest.mark.parametrize("rounding", ["round", "truncate"])
def test_a_literal_range_gives_the_published_scale_and_offset(observed, anchor, rounding):
    options = QuantizeOptions(5, anchor=anchor, rounding=rounding, literal_range=True, scales="multiplier")
    network = QuantizedNetwork(observed("chain"), options)
    weights = [network.weight(name).detach() for name in ("c1", "c2")]
    extremes = [(float(weight.min()), float(weight.max())) for weight in weights]
    network.freeze_all()
    for node, (low, high) in zip((n for n in network.to_qgraph().nodes if isinstance(n, Layer)), extremes):
        (term,) = node.terms
        scale = (high - low) / 31
        offset = low / scale if anchor == "min" else high / scale
        offset = np.trunc(offset) if rounding == "truncate" else np.floor(offset + 0.5)
        assert term.scale.tolist() == [scale]
        assert term.offset.tolist() == [offset + (16 if anchor == "min" else -16)]


def test_layers_that_hand_on_their_sums_are_refused(observed):
    message = r"training needs a rescaling after every layer.*leave chain_bits out"
    with pytest.raises(HwquantError, match=message):
        QuantizedNetwork(observed("chain"), QuantizeOptions(chain_bits=16))


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
