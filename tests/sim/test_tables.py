"""Tables in the simulated hardware: equal to the golden model in every tensor, in the predicted cycles."""

import numpy as np
import pytest
import torch
from torch import nn

from hwquant.frontends import from_torch
from hwquant.golden import quantize_input
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.quantize import QuantizeOptions, quantize
from hwquant.random_networks import Features, random_inputs, random_qgraph
from hwquant.sim import Stalls
from hwquant.sim.check import verify

ARRAYS = ((4, 4), (3, 5), (2, 4), (8, 4), (8, 8))
FUNCTIONS = (
    *(nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.GELU(), nn.GELU("tanh")),
    *(nn.ELU(), nn.SELU(), nn.CELU(), nn.Mish(), nn.Softplus(), nn.Softsign(), nn.LeakyReLU(0.1), nn.PReLU()),
    *(nn.Hardshrink(), nn.Softshrink(), nn.Tanhshrink(), nn.LogSigmoid()),
)


def network(*functions):
    """Functions behind a convolution, a depthwise one, a pool, a sum and a linear layer, and on the input itself."""
    torch.manual_seed(len(functions))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.deep = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1, groups=6)
            self.last = nn.Linear(54, 4)

        def forward(self, x):
            f = [functions[number % len(functions)] for number in range(5)]
            y = f[1](self.first(f[0](x)))
            y = nn.functional.max_pool2d(f[2](self.deep(y) + y), 2)
            return f[4](self.last(f[3](y).flatten(1)))

    x = torch.randn(24, 3, 6, 6)
    return from_torch(Net().eval(), x[:2]), x.numpy()


def check(qgraph, q, array, build_dir, stalls=None, simulator="cxxrtl"):
    program = compile_network(qgraph, array)
    found = verify(program, qgraph, q, simulator=simulator, watch=2, build_dir=build_dir, stalls=stalls)
    assert found.first is None
    assert found.cycles == timing(program).cycles
    return program


def test_functions_everywhere_are_exact_on_the_hardware(build_dir):
    graph, x = network(nn.SiLU(), nn.Hardswish(), nn.Sigmoid())
    qgraph = quantize(graph, x)
    stalls = Stalls(idle=0.3, busy=0.4, seed=3)
    program = check(qgraph, quantize_input(qgraph, x[:2]), (4, 4), build_dir, stalls)
    assert program.config.tables >= 3


def test_random_tables_are_exact_in_amaranth(build_dir):
    rng = np.random.default_rng(1)
    qgraph = random_qgraph(rng, Features(tables=0.7, layers=(1, 1), channels=(2, 4), size=(3, 4)))
    check(qgraph, random_inputs(rng, qgraph, 2), (3, 5), build_dir, simulator="amaranth")


@pytest.mark.nightly
@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_every_function_on_every_array(build_dir, function):
    graph, x = network(function)
    for number, array in enumerate(ARRAYS):
        scales = ("shift", "multiplier", "power_of_two")[number % 3]
        qgraph = quantize(graph, x, QuantizeOptions(scales=scales, per_channel=number % 2 == 1))
        stalls = Stalls(idle=0.3, busy=0.4, seed=number)
        check(qgraph, quantize_input(qgraph, x[:2]), array, build_dir, stalls)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(30))
def test_random_tables_on_every_array(build_dir, seed):
    rng = np.random.default_rng(seed)
    features = Features(multiplier=seed % 3 == 0, tables=0.6, layers=(1, 3), channels=(1, 8), size=(3, 7))
    qgraph = random_qgraph(rng, features)
    stalls = Stalls(idle=0.3, busy=0.4, seed=seed) if seed % 2 else None
    check(qgraph, random_inputs(rng, qgraph, 2), ARRAYS[seed % len(ARRAYS)], build_dir, stalls)
