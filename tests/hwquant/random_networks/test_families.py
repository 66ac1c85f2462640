"""The networks of a regression: the same for a seed, and what the array executes."""

import hashlib

import numpy as np
import pytest

from hwquant import hwq
from hwquant.program.config import ArrayConfig
from hwquant.qgraph import Layer, Product
from hwquant.random_networks import Features, random_case
from hwquant.random_networks.families import ANYTHING, features_for

PLAIN = ArrayConfig(4, 4, offset="none")


def test_a_seed_gives_the_network_and_the_samples_that_it_always_gave():
    """Failures of earlier regressions are named by seed."""
    qgraph, inputs = random_case(features_for(ArrayConfig(8, 3, offset="sum", channel_offsets=True)), 5, 2)
    digest = hashlib.sha256(hwq.to_bytes(qgraph))
    for name, values in inputs.items():
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    assert digest.hexdigest()[:16] == "b78eeb326994f33e"


@pytest.mark.parametrize("seed", range(15))
def test_a_network_contains_nothing_that_the_array_lacks(seed):
    qgraph, inputs = random_case(features_for(PLAIN), seed, 3)
    assert all(values.shape[0] == 3 for values in inputs.values())
    for node in qgraph.nodes:
        assert not isinstance(node, Product)
        if isinstance(node, Layer):
            assert node.multiplier is None
            assert node.table is None
            assert not any(term.offset.any() for term in node.terms)


def test_hardware_that_is_made_for_the_network_gets_everything():
    nodes = [node for seed in range(40) for node in random_case(ANYTHING, seed, 1)[0].nodes]
    layers = [node for node in nodes if isinstance(node, Layer)]
    assert any(isinstance(node, Product) for node in nodes)
    assert any(layer.table for layer in layers)
    assert any(layer.multiplier is not None for layer in layers)


def test_what_is_given_holds_in_every_family():
    for seed in range(10):
        qgraph, _ = random_case(Features(), seed, 1, {"size": (4, 4), "activation_bits": (3, 3)})
        assert {tensor.bits for tensor in qgraph.tensors.values()} == {3}
        assert all(item.shape[1:] == (4, 4) for item in qgraph.inputs)
