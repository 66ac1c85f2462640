"""A graph as a module: the oracles are torch's own modules, onnxruntime and the float executor."""

import copy
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from hwquant_testing.float_networks import ALL_KINDS
from torch import nn

from hwquant import floating
from hwquant.errors import HwquantError
from hwquant.frontends import from_torch
from hwquant.graph import AveragePool, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.training import TrainableNetwork
from hwquant.training.network import attribute_names
from hwquant.window import Window


class Everything(nn.Module):
    """Strided, dilated, grouped and asymmetrically padded layers, pools, joins, preprocessing, two outputs."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.grouped = nn.Conv2d(8, 12, (1, 3), padding=(0, 1), groups=2, bias=False)
        self.maximum = nn.MaxPool2d(3, 2, padding=1)
        self.mean = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
        self.scores = nn.Linear(20 * 4 * 4, 5)
        with torch.no_grad():
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, image):
        x = nn.functional.pad(image / 4 - 0.5, (0, 1, 1, 2))
        x = torch.relu(self.norm(self.first(x)))
        x = nn.functional.relu6(self.depthwise(x) + x)
        x = torch.cat([self.grouped(x), x], dim=1)
        x = self.mean(self.maximum(x))
        return self.scores(x.flatten(1)), x.mean((2, 3))


@pytest.fixture(scope="module")
def module():
    torch.manual_seed(0)
    return Everything().eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(6, 3, 15, 14, generator=torch.Generator().manual_seed(1))


def test_outputs_and_gradients_are_those_of_the_module_that_the_graph_came_from(module, images):
    network = TrainableNetwork(from_torch(module, images))
    module.zero_grad()
    expected, outputs = module(images), network(images)
    for ours, theirs in zip(outputs, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    sum(output.square().sum() for output in expected).backward()
    sum(output.square().sum() for output in outputs).backward()
    for name, layer in (("depthwise", module.depthwise), ("grouped", module.grouped)):
        (ours,) = (
            p for n, p in network.named_parameters() if n.startswith("weight") and name in match(network, n)
        )
        torch.testing.assert_close(ours.grad, layer.weight.grad, rtol=1e-3, atol=1e-3)


def match(network, parameter):
    """Which of the module's layers a parameter is: its shape says it."""
    shapes = {(8, 1, 3, 3): "depthwise", (12, 4, 1, 3): "grouped"}
    return shapes.get(tuple(getattr(network, parameter).shape), "")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_outputs_are_those_of_the_float_executor(build, samples, kind):
    graph = build(kind, 1)
    network = TrainableNetwork(graph).double()
    with torch.no_grad():  # float32 parameters, exactly
        exact = floating.predict(network.to_graph(), samples)[0]
        np.testing.assert_allclose(network(torch.tensor(samples)).numpy(), exact, rtol=1e-9, atol=1e-9)


def test_outputs_are_those_of_onnxruntime(demo_folder, digits_graph, digits):
    (_, _), (x, _), _ = digits
    session = onnxruntime.InferenceSession(demo_folder / "digits.onnx", providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: x.astype(np.float32)})
    with torch.no_grad():
        ours = TrainableNetwork(digits_graph)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("include", [True, False])
def test_pools_with_asymmetric_padding_and_dilation(include):
    nodes = (
        MaxPool("m", ("x",), Window((2, 3), (2, 1), (1, 0, 0, 2), (1, 2))),
        AveragePool("a", ("m",), Window((2, 2), (1, 2), (0, 1, 1, 0)), include),
    )
    graph = Graph("pools", (Input("x", (2, 7, 9), (2, 7, 9)),), nodes, (Output("y", "a", ()),))
    graph = replace(graph, outputs=(Output("y", "a", graph.shapes["a"]),))
    x = np.random.default_rng(0).normal(size=(3, 2, 7, 9))
    ours = TrainableNetwork(graph).tensors(torch.tensor(x), keep=["a"])["a"]
    np.testing.assert_allclose(ours, floating.predict(graph, x)[0], rtol=1e-6, atol=1e-6)


def test_to_graph_gives_the_trained_weights_back(build, samples):
    graph = build("residual", 1)
    network = TrainableNetwork(graph)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.125)
    trained = network.to_graph()
    for before, after in zip(graph.nodes, trained.nodes, strict=True):
        if isinstance(before, Conv):
            assert after.weight.dtype == after.bias.dtype == np.float64
            assert np.array_equal(after.weight, before.weight.astype(np.float32) + np.float32(0.125))
            assert np.array_equal(after.bias, before.bias.astype(np.float32) + np.float32(0.125))
        else:
            assert after is before
    with torch.no_grad():
        ours = network(torch.tensor(samples)).numpy()
    np.testing.assert_allclose(ours, floating.predict(trained, samples)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.RMSprop(p, lr=0.01, weight_decay=0.1, momentum=0.9),
    ],
    ids=["adamw", "adam", "sgd", "rmsprop"],
)
def test_pruned_weights_have_no_gradient_and_stay_zero(build, samples, make):
    network = TrainableNetwork(build("depthwise", 1))
    optimizer = make(network.parameters())
    rng = np.random.default_rng(0)

    def step():
        optimizer.zero_grad()
        network(torch.tensor(samples)).square().mean().backward()
        optimizer.step()

    step()  # momentum from before the pruning must not bring weights back
    masks = {name: rng.random(network.weight(name).shape) < 0.5 for name in ("c1", "c2", "c3")}
    for name, mask in masks.items():
        network.set_mask(name, mask)
    for _ in range(3):
        step()
        for name, mask in masks.items():
            assert not network.weight(name).grad.numpy()[~mask].any()
            assert network.weight(name).grad.numpy()[mask].any()
            assert not network.effective_weight(name).detach().numpy()[~mask].any()
    for node in network.to_graph().nodes:
        if node.name in masks:
            assert np.array_equal(node.weight != 0, masks[node.name])


def test_a_mask_of_one_layer_leaves_the_others_whole(build):
    graph = build("chain", 1)
    weight = graph.nodes[0].weight.copy()
    weight[:, 1] = 0
    graph = replace(graph, nodes=(replace(graph.nodes[0], weight=weight), *graph.nodes[1:]))
    network = TrainableNetwork(graph, {"c1": weight != 0})
    assert not network.mask("c1")[:, 1].any()
    assert network.mask("c2").all()


def test_the_state_brings_masks_back(build):
    network = TrainableNetwork(build("chain", 1))
    mask = np.random.default_rng(0).random(network.weight("c2").shape) < 0.5
    network.set_mask("c2", mask)
    other = TrainableNetwork(build("chain", 2))
    other.load_state_dict(copy.deepcopy(network.state_dict()))
    assert np.array_equal(other.mask("c2").bool().numpy(), mask)


@pytest.mark.parametrize(
    ("name", "mask", "message"),
    [
        ("c9", np.ones((8, 3, 3, 3)), "'c9' is no convolution of 'chain'; it has c1, c2, fc"),
        ("c1", np.ones((8, 3)), "the mask of 'c1' has the shape (8, 3), its weight (8, 3, 3, 3)"),
        ("c1", np.full((8, 3, 3, 3), 0.5), "the mask of 'c1' must hold only 0 and 1"),
    ],
)
def test_masks_that_do_not_fit_are_refused(build, name, mask, message):
    with pytest.raises(HwquantError) as error:
        TrainableNetwork(build("chain", 1), {name: mask})
    assert str(error.value) == message


def test_data_that_do_not_fit_are_refused(build):
    network = TrainableNetwork(build("chain", 1))
    with pytest.raises(HwquantError, match=r"input 'x' has shape \(N, 3, 8, 8\), the data has \(2, 3, 8\)"):
        network(torch.zeros(2, 3, 8))
    with pytest.raises(HwquantError, match="takes x; 2 tensors were given"):
        network(torch.zeros(2, 3, 8, 8), torch.zeros(2))


def test_parameters_have_unique_names_without_dots():
    assert attribute_names(["a.b", "a_b", "a/b", "c"]) == {
        "a.b": "a_b",
        "a_b": "a_b_",
        "a/b": "a_b__",
        "c": "c",
    }
