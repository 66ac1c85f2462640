"""Products of two activations, their import compared with onnxruntime and torch."""

import numpy as np
import pytest
import torch
from hwquant_testing.float_networks import kinds
from hwquant_testing.torch_modules import Lambda
from hwquant_testing.whole import from_torch
from onnx.helper import make_node
from torch import nn

from hwquant.errors import HwquantError
from hwquant.graph import AveragePool, Clip, Conv, Function, Multiply


@pytest.mark.parametrize(
    ("a", "b", "spread"),
    [
        ((3, 4, 5), (3, 4, 5), False),
        ((3, 4, 5), (3, 1, 1), False),
        ((3, 1, 1), (3, 4, 5), False),
        ((3, 4, 5), (1, 4, 5), True),
        ((1, 4, 5), (3, 4, 5), True),
        ((3, 4, 5), (1, 1, 1), True),
        ((1, 4, 5), (1, 1, 1), False),
        ((3, 5), (3, 5), False),
        ((3, 5), (3, 1), False),
        ((6,), (6,), False),
        ((6,), (1,), True),
    ],
)
def test_onnx_mul_broadcasts_factors(build_onnx, check_onnx, a, b, spread):
    graph = check_onnx(build_onnx([make_node("Mul", ["a", "b"], ["y"])], {"a": a, "b": b}))
    assert kinds(graph) == [Conv, Multiply] if spread else [Multiply]


@pytest.mark.parametrize("opset", [7, 13, 14, 20])
def test_a_square_is_a_function(build_onnx, check_onnx, opset):
    graph = check_onnx(build_onnx([make_node("Mul", ["x", "x"], ["y"])], {"x": (3, 4, 5)}, opset=opset))
    assert kinds(graph) == [Function]


@pytest.mark.parametrize("pool", ["GlobalAveragePool", "ReduceMean"])
def test_onnx_squeeze_and_excitation(build_onnx, check_onnx, pool):
    mean = make_node(pool, ["x"], ["m"], **({"axes": [2, 3]} if pool == "ReduceMean" else {}))
    constants, nodes = {}, [mean]
    for source, target, out, channels in (("m", "s", 2, 6), ("r", "e", 6, 2)):
        node, weights = _conv(source, target, out, channels)
        nodes.append(node)
        constants |= weights
        if target == "s":
            nodes.append(make_node("Relu", ["s"], ["r"]))
    nodes += [
        make_node("Clip", ["e", "low", "high"], ["g"]),
        make_node("Mul", ["g", "x"], ["y"]),
    ]
    constants |= {"low": np.array(0.0), "high": np.array(1.0)}
    graph = check_onnx(build_onnx(nodes, {"x": (6, 5, 4)}, constants))
    assert kinds(graph) == [AveragePool, Conv, Clip, Conv, Clip, Multiply]
    assert graph.nodes[-1].inputs[0] == "x"


def _conv(source, target, out, channels):
    rng = np.random.default_rng(out)
    name = f"{target}_w"
    return make_node("Conv", [source, name], [target]), {name: rng.normal(size=(out, channels, 1, 1))}


class SqueezeAndExcitation(nn.Module):
    """As torchvision writes it, or flattened with linear layers, or with ``expand``."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.features = nn.Conv2d(3, 6, 3, padding=1)
        layer = nn.Linear if form == "linear" else lambda a, b: nn.Conv2d(a, b, 1)
        self.squeeze, self.excite = layer(6, 2), layer(2, 6)

    def forward(self, x):
        x = self.features(x)
        match self.form:
            case "pool":
                gate = nn.functional.adaptive_avg_pool2d(x, 1)
            case "linear":
                gate = x.mean((2, 3))
            case _:
                gate = x.mean((2, 3), keepdim=True)
        gate = self.excite(torch.relu(self.squeeze(gate))).clamp(0, 1)
        if self.form == "linear":
            gate = gate[:, :, None, None]
        if self.form == "expand":
            gate = gate.expand_as(x)
        return gate * x if self.form == "pool" else x * gate


@pytest.mark.parametrize("form", ["pool", "mean", "linear", "expand"])
def test_torch_squeeze_and_excitation(check_torch, form):
    graph = check_torch(SqueezeAndExcitation(form), (3, 6, 5))
    assert Multiply in kinds(graph)
    assert kinds(graph).count(Conv) == 3


@pytest.mark.parametrize(
    "function",
    [
        lambda y, z: y * z,
        lambda y, z: torch.mul(y, z).clamp(0, 2),
        lambda y, z: y.mul_(z),
        lambda y, z: y * z.clamp(0, 1),
        lambda y, z: (y * z).flatten(1) * z.flatten(1),
        lambda y, z: y.transpose(2, 3) * z.transpose(2, 3),
    ],
)
def test_torch_products_of_one_shape(check_torch, function):
    layers = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)
    graph = check_torch(Lambda(lambda one, two, x: function(one(x), two(x)), *layers), (2, 6, 5))
    assert Multiply in kinds(graph)


def test_spatial_attention(check_torch):
    layers = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 1, 3)
    graph = check_torch(Lambda(lambda one, two, x: one(x) * two(x).clamp(0, 1), *layers), (2, 6, 5))
    assert kinds(graph)[-2:] == [Conv, Multiply]


@pytest.mark.parametrize(
    "function",
    [
        lambda y: y * y.transpose(2, 3),
        lambda y: y * y.mean(3, keepdim=True),
        lambda y: y.mean((2, 3), keepdim=True) * y.mean((1,), keepdim=True),
        lambda y: y * y.mean((2, 3))[:, None, :, None],
        lambda y: y[:, 2:4] * y[:, :2],
        lambda y: y[:, 2:] * y.mean((2, 3), keepdim=True)[:, 2:],
        lambda y: y[:, 2:] * y.mean((2, 3), keepdim=True)[:, :4],
        lambda y: y[:, :, ::2] * y[:, :1, 1::2],
        lambda y: torch.cat([y, y[:, :, :2]], 2) * y.mean((2, 3), keepdim=True),
    ],
)
def test_what_fits_in_no_other_way_is_copied(check_torch, function):
    module = Lambda(lambda conv, x: function(conv(x)), nn.Conv2d(2, 6, 3))
    assert kinds(check_torch(module, (2, 8, 8))).count(Multiply) == 1


def test_a_quotient_of_two_activations_is_refused():
    module = Lambda(lambda conv, x: conv(x) / conv(x).mean((2, 3), keepdim=True), nn.Conv2d(2, 6, 3))
    with pytest.raises(HwquantError, match=r"it divides two activations"):
        from_torch(module, (torch.randn(2, 2, 8, 8),))


def test_onnx_expand(build_onnx, check_onnx):
    nodes = [make_node("Expand", ["b", "size"], ["e"]), make_node("Mul", ["a", "e"], ["y"])]
    model = build_onnx(nodes, {"a": (3, 4, 5), "b": (3, 1, 1)}, {"size": np.array([1, 3, 4, 5])})
    assert kinds(check_onnx(model)) == [Multiply]


@pytest.mark.parametrize(
    "reader", [lambda y: y + 1, lambda y: y.relu(), lambda y: y.flatten(1), lambda y: y * y, lambda y: y + y]
)
def test_anything_reads_what_is_expanded(check_torch, reader):
    def function(conv, x):
        return reader(conv(x).mean((2, 3), keepdim=True).expand(-1, -1, 6, 6))

    check_torch(Lambda(function, nn.Conv2d(2, 3, 3)), (2, 8, 8))
