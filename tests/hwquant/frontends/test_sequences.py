"""Networks over time: (N, C, T) and (N, T, C), causal and dilated, and time joined with the batch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx.helper import make_node
from torch import nn

from hwquant.errors import Unsupported
from hwquant.graph import Conv

RNG = np.random.default_rng(0)


class Function(nn.Module):
    """A function of some layers and the input."""

    def __init__(self, function, *layers):
        super().__init__()
        self.layers, self.function = nn.ModuleList(layers), function

    def forward(self, x):
        return self.function(self.layers, x)


MODULES = {
    "convolutions and pools": (
        nn.Sequential(
            nn.Conv1d(3, 8, 5, padding=2),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(8, 4, 3, stride=2),
            nn.AvgPool1d(2),
            nn.Flatten(),
            nn.Linear(20, 5),
        ),
        (3, 44),
    ),
    "causal": (
        Function(
            lambda m, x: torch.relu(m[1](F.pad(torch.relu(m[0](F.pad(x, (2, 0)))), (4, 0))) + m[2](x)),
            nn.Conv1d(4, 8, 3),
            nn.Conv1d(8, 8, 3, dilation=2),
            nn.Conv1d(4, 8, 1),
        ),
        (4, 20),
    ),
    "channels last": (
        Function(
            lambda m, x: m[2](torch.relu(m[1](torch.relu(m[0](x)).transpose(1, 2))).transpose(1, 2)),
            nn.Linear(6, 8),
            nn.Conv1d(8, 4, 3, padding=1),
            nn.Linear(4, 3),
        ),
        (12, 6),
    ),
    "time joined with the batch": (
        Function(
            lambda m, x: m[1](torch.relu(m[0](x.reshape(-1, 6)) * 2)).reshape(-1, 12, 3),
            nn.Linear(6, 8),
            nn.Linear(8, 3),
        ),
        (12, 6),
    ),
    "depthwise": (
        Function(
            lambda m, x: m[2](torch.relu(m[1](m[0](x))).mean(2)),
            nn.Conv1d(4, 4, 9, padding=4, groups=4),
            nn.Conv1d(4, 8, 1),
            nn.Linear(8, 2),
        ),
        (4, 24),
    ),
    "raw samples": (
        Function(lambda m, x: m[0](x[:, None]).relu().amax(-1), nn.Conv1d(1, 8, 64, stride=16)),
        (256,),
    ),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_over_time(check_torch, name):
    module, shape = MODULES[name]
    check_torch(module, shape)


def constants(**shapes):
    return {name: RNG.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_products_over_the_last_axis_with_time_before_it(build_onnx, check_onnx):
    nodes = [
        make_node("MatMul", ["x", "a"], ["m"]),
        make_node("Add", ["m", "b"], ["s"]),
        make_node("Relu", ["s"], ["r"]),
        make_node("MatMul", ["r", "c"], ["y"]),
    ]
    check_onnx(build_onnx(nodes, {"x": (9, 5)}, constants(a=(5, 6), b=(6,), c=(6, 2))))


def test_rows_of_a_batch_joined_with_time(build_onnx, check_onnx):
    """As exporters of Keras write a dense layer at each step: flattened, multiplied, and taken apart again."""
    nodes = [
        make_node("Reshape", ["x", "rows"], ["f"]),
        make_node("Mul", ["f", "scale"], ["g"]),
        make_node("Gemm", ["g", "a", "b"], ["m"]),
        make_node("LeakyRelu", ["m"], ["r"], alpha=0.25),
        make_node("Add", ["r", "m"], ["s"]),
        make_node("Clip", ["s"], ["t"]),
        make_node("Reshape", ["t", "steps"], ["y"]),
    ]
    fixed = {"rows": np.array([-1, 5]), "steps": np.array([-1, 9, 6])}
    graph = check_onnx(build_onnx(nodes, {"x": (9, 5)}, constants(a=(5, 6), b=(6,), scale=(5,)) | fixed))
    assert graph.outputs[0].shape == (9, 6)


def test_windows_over_a_batch_joined_with_time_are_refused(build_onnx):
    from hwquant.frontends.onnx_reader import read_onnx

    nodes = [make_node("Reshape", ["x", "rows"], ["f"]), make_node("Conv", ["f", "w"], ["c"])]
    nodes.append(make_node("Reshape", ["c", "steps"], ["y"]))
    fixed = {"rows": np.array([-1, 2, 5]), "steps": np.array([-1, 3, 3, 3])}
    with pytest.raises(Unsupported, match=r"batch"):
        read_onnx(build_onnx(nodes, {"x": (3, 2, 5)}, constants(w=(3, 2, 3)) | fixed))


def test_a_causal_convolution_keeps_its_padding_on_one_side(check_torch):
    graph = check_torch(nn.Sequential(nn.ConstantPad1d((6, 0), 0.0), nn.Conv1d(2, 4, 4, dilation=2)), (2, 15))
    (node,) = graph.nodes
    assert isinstance(node, Conv)
    assert node.window.padding == (0, 6, 0, 0)
