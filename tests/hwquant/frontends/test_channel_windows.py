"""Windows over the channels of a tensor with one pixel, as efficient channel attention has them."""

import numpy as np
import pytest
import torch
from torch import nn

from hwquant import floating
from hwquant.frontends import from_torch
from hwquant.golden import quantize_input
from hwquant.graph import Conv, Multiply
from hwquant.program.compiler import compile_network
from hwquant.quantize import quantize
from hwquant.sim.check import verify


class Attention(nn.Module):
    """The means of channels, filtered, are factors of the channels."""

    def __init__(self, channels=12, kernel=3):
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.filter = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x):
        x = torch.relu(self.first(x))
        factors = torch.sigmoid(self.filter(x.mean((2, 3)).unsqueeze(1)))
        return x * factors.transpose(1, 2).unsqueeze(-1)


class Filtered(nn.Module):
    """The outputs of a fully connected layer seen as a signal of one channel."""

    def __init__(self, module, shape):
        super().__init__()
        self.first, self.module, self.shape = nn.Linear(6, 24), module, shape

    def forward(self, x):
        return self.module(self.first(x).reshape(-1, *self.shape))


MODULES = {
    "strided": (nn.Conv1d(1, 4, 5, stride=2, padding=1), (1, 24)),
    "dilated": (nn.Conv1d(1, 3, 3, dilation=4), (1, 24)),
    "an image": (nn.Conv2d(1, 2, (3, 2), stride=(1, 2), padding=(0, 1)), (1, 4, 6)),
    "nothing else": (nn.Conv1d(1, 2, 24), (1, 24)),
}


def assert_equal(module, x):
    graph = from_torch(module.eval(), (x[:2],))
    (found,) = floating.predict(graph, x.numpy())
    with torch.no_grad():
        wanted = module(x).numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    return graph


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_channel_attention_is_a_matrix_and_a_product(kernel):
    torch.manual_seed(kernel)
    graph = assert_equal(Attention(kernel=kernel), torch.randn(5, 3, 6, 5))
    assert [type(node) for node in graph.nodes if isinstance(node, (Conv, Multiply))] == [
        Conv,
        Conv,
        Multiply,
    ]


@pytest.mark.parametrize("case", MODULES)
def test_windows_over_channels_equal_torch(case):
    torch.manual_seed(1)
    module, shape = MODULES[case]
    assert_equal(Filtered(module, shape), torch.randn(4, 6))


def test_the_hardware_attends_to_channels():
    torch.manual_seed(3)
    x = torch.randn(8, 3, 5, 4)
    graph = assert_equal(Attention(5), x)
    qgraph = quantize(graph, x.numpy())
    program = compile_network(qgraph, (4, 4))
    q = quantize_input(qgraph, x.numpy()[:1])
    assert verify(program, qgraph, q, simulator="amaranth", watch=1).first is None
