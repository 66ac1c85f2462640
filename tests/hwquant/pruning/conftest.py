"""Small float networks to prune."""

import numpy as np
import pytest
from hwquant_testing.branching_networks import NETWORKS


@pytest.fixture(params=list(NETWORKS))
def graph(request):
    return NETWORKS[request.param]()


@pytest.fixture
def x():
    """Makes typical inputs of a graph."""

    def make(graph, count=16, seed=1):
        return np.random.default_rng(seed).normal(0, 1, (count, *graph.inputs[0].shape)).astype(np.float32)

    return make
