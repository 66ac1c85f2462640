from dataclasses import replace

import numpy as np
import pytest

from hwquant.golden import reference
from hwquant.qgraph import Layer
from hwquant.random_networks import Features, random_images, random_qgraph
from hwquant.ranges import accumulator_bound, tensor_ranges


@pytest.mark.parametrize("seed", range(30))
def test_no_tensor_and_no_sum_leaves_its_range(seed):
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, Features(multiplier=seed % 2 == 0))
    ranges = tensor_ranges(qgraph)
    values = reference.run(qgraph, {"input": random_images(rng, qgraph, 20)})
    for name, value in values.items():
        low, high = ranges[name]
        assert low <= value.min()
        assert value.max() <= high
    for node in qgraph.nodes:
        if isinstance(node, Layer):
            acc = reference.accumulate(node, values, qgraph.tensors)
            bound = np.array(accumulator_bound(node, qgraph, ranges))
            assert (np.abs(acc).max(axis=(0, 2, 3)) <= bound).all()


@pytest.mark.parametrize("seed", range(30))
def test_the_bound_of_an_accumulator_is_reached(seed):
    """Where every product is as large as it can be at once: one layer on the whole input, without padding."""
    rng = np.random.default_rng(seed)
    qgraph = random_qgraph(rng, Features(layers=(0, 0), multiplier=seed % 2 == 0))
    (layer,) = qgraph.nodes
    (term,) = layer.terms
    tensor = qgraph.tensors["input"]
    low, high = tensor.limits
    bound = accumulator_bound(layer, qgraph, tensor_ranges(qgraph))
    factor = np.ones(1, int) if layer.multiplier is None else layer.multiplier
    rounding = (1 << layer.shift) >> 1
    for channel, limit in enumerate(bound):
        weight = np.abs(term.weight[channel]).sum()
        reach = weight * max(tensor.zero_point - low, high - tensor.zero_point)
        bias = abs(layer.bias[channel])
        expected = (reach + bias) * factor[channel % len(factor)] + rounding[channel % len(rounding)]
        assert limit == expected
        assert isinstance(limit, int)


def test_the_bound_of_an_accumulator_does_not_overflow():
    rng = np.random.default_rng(0)
    qgraph = random_qgraph(rng, Features(layers=(0, 0)))
    (layer,) = qgraph.nodes
    huge = replace(layer, multiplier=np.array([1 << 62]), bias=np.full(len(layer.bias), 1 << 62))
    assert min(accumulator_bound(huge, qgraph, tensor_ranges(qgraph))) >= 1 << 124
