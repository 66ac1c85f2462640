"""Functions of one variable: every activation of torch and ONNX, in each form in which exporters write it."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from hwquant import floating
from hwquant.frontends import from_exported, load_model
from hwquant.graph import Clip, Function

SAMPLES = np.random.default_rng(5).normal(0, 3, (4, 4, 3, 5)).astype(np.float32)
ACTIVATIONS = [
    *(nn.Sigmoid(), nn.Tanh(), nn.SiLU(), nn.Hardswish(), nn.Hardsigmoid(), nn.GELU(), nn.GELU("tanh")),
    *(nn.ELU(), nn.ELU(0.5), nn.SELU(), nn.CELU(0.7), nn.Mish(), nn.Softplus(), nn.Softplus(2.0, 1.0)),
    *(nn.Softsign(), nn.LeakyReLU(0.1), nn.PReLU(), nn.LogSigmoid(), nn.Hardshrink()),
    *(nn.Softshrink(), nn.Tanhshrink()),
]
WRITTEN = {
    "silu": lambda x: x * torch.sigmoid(x),
    "hard swish": lambda x: x * torch.clip(x + 3, 0, 6) / 6,
    "hard swish of relu6": lambda x: x * (nn.functional.relu6(x + 3.0) * (1 / 6)),
    "gelu by erf": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "gelu by tanh": lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * torch.pow(x, 3)))),
    "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "square": lambda x: x * x - x**2 / 2,
    "mish": lambda x: x * torch.tanh(torch.log(1 + torch.exp(x))),
    "reciprocal": lambda x: 1 / (1 + x.abs()) + torch.reciprocal(2 + x * x),
    "roots": lambda x: torch.sqrt(x.abs()) + torch.rsqrt(1 + x.square()),
    "power of a number": lambda x: torch.pow(2.0, -x.abs()) + x,
    "waves": lambda x: torch.sin(x) + torch.cos(2 * x) * torch.atan(x),
    "steps": lambda x: torch.floor(x) + torch.sign(x) * torch.ceil(x) - torch.round(x),
    "choice": lambda x: torch.where(x > 0.5, torch.exp(-x), torch.where(x <= -0.5, x, x * x)),
    "leaky": lambda x: torch.where(x >= 0, x, 0.2 * x),
    "mask": lambda x: x * (x > 0.25),
    "of both": lambda x: torch.maximum(torch.tanh(x), 0.1 * x) + torch.minimum(x, torch.exp(x)),
    "logarithms": lambda x: torch.log1p(torch.relu(x)) - torch.log2(1 + x.abs()) ,
}
FUNCTIONS = [*ACTIVATIONS, *WRITTEN.values()]


class Network(nn.Module):
    """All activations, each between a layer of its own and a scale."""

    def __init__(self):
        super().__init__()
        self.activations = nn.ModuleList(ACTIVATIONS)
        self.layers = nn.ModuleList(nn.Conv2d(4, 1, 1) for _ in FUNCTIONS)

    def forward(self, x):
        functions = [*self.activations, *WRITTEN.values()]
        return tuple(2 * function(layer(x)) for layer, function in zip(self.layers, functions))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return Network().eval()


def imported(network, form, folder):
    """The float network of what a user saves of a module in one of the forms."""
    x = (torch.from_numpy(SAMPLES),)
    if form in ("script", "dynamo"):
        path = folder / "model.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(network, x, path, dynamo=form == "dynamo", verbose=False)
        return load_model(path)
    program = torch.export.export(network, x, strict=False)
    if form == "decomposed":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = program.run_decompositions()
    return from_exported(program)


@pytest.mark.parametrize("form", ["export", "decomposed", "script", "dynamo"])
def test_every_activation_is_one_function_in_every_form(form, network, tmp_path):
    graph = imported(network, form, tmp_path)
    with torch.no_grad():
        expected = network(torch.from_numpy(SAMPLES))
    for number, (got, want) in enumerate(zip(floating.predict(graph, SAMPLES), expected, strict=True)):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=2e-5, err_msg=str(FUNCTIONS[number]))
    # A hard sigmoid that is spelled out is a clip, and of a clip there a layer remains to scale it.
    clips = sum(isinstance(node, Clip) for node in graph.nodes)
    assert clips == 2 * (form == "decomposed")
    assert sum(isinstance(node, Function) for node in graph.nodes) == len(FUNCTIONS) - clips // 2
    assert len(graph.nodes) == 2 * len(FUNCTIONS) + clips
