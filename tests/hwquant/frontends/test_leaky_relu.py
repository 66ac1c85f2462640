"""LeakyReLU and PReLU from the float network to the simulated hardware."""

import numpy as np
import pytest
import torch
from hwquant_testing.whole import from_torch
from torch import nn

from hwquant.golden import predict, quantize_input
from hwquant.program.compiler import compile_network
from hwquant.quantize import quantize
from hwquant.quantize.fuse import plan_layers
from hwquant.sim.check import verify


@pytest.fixture(scope="module")
def network():
    """A network with both, data, and its float results on them."""
    torch.manual_seed(0)
    slopes = nn.PReLU(6)
    slopes.weight.data = torch.tensor([0.25, 0.0, 1.0, -0.5, 0.1, 1.5])
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.LeakyReLU(0.1),
        nn.Conv2d(6, 6, 3, stride=2),
        slopes,
        nn.Flatten(),
        nn.Linear(54, 5),
    ).eval()
    x = torch.randn(64, 3, 8, 8)
    with torch.no_grad():
        return from_torch(module, x[:2]), x.numpy(), module(x).numpy()


def test_one_slope_is_a_table_and_several_are_a_layer_of_two_terms_behind_one_that_clips(network):
    layers = {layer.name: layer for layer in plan_layers(network[0]).layers}
    assert list(layers) == ["1", "2", "3_positive", "3", "5"]
    assert layers["1"].members == ("0", "1")
    assert layers["1"].function is not None
    assert layers["3_positive"].inputs == ("2",)
    assert layers["3"].inputs == ("3_positive", "2")
    assert [term.groups for term in layers["3"].terms] == [6, 6]


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_leaky_relu_keeps_its_precision_in_integers(network, per_channel):
    graph, x, real = network
    (result,) = predict(quantize(graph, x, per_channel=per_channel), x)
    assert 10 * np.log10((real**2).mean() / ((result - real) ** 2).mean()) > 30


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_leaky_relu_is_the_same_on_the_hardware(network, per_channel):
    graph, x, _ = network
    qgraph = quantize(graph, x, per_channel=per_channel)
    program = compile_network(qgraph, (4, 4))
    verification = verify(program, qgraph, quantize_input(qgraph, x[:2]), simulator="amaranth", watch=2)
    assert verification.first is None
    assert verification.watched == 2
