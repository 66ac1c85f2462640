"""The forward pass while nothing is an integer; with everything frozen, see test_quantized.py."""

import numpy as np
import pytest
import torch
from hwquant_testing.float_networks import ALL_KINDS

from hwquant import floating
from hwquant.quantize import QuantizeOptions
from hwquant.training import QuantizedNetwork


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_network_with_nothing_quantized_is_the_float_network(observed, samples, kind):
    network = QuantizedNetwork(observed(kind), QuantizeOptions()).double()
    exact = floating.predict(observed(kind).graph, samples)[0]
    with torch.no_grad():  # parameters were float32
        np.testing.assert_allclose(network(torch.tensor(samples)), exact, rtol=1e-5, atol=1e-5)
