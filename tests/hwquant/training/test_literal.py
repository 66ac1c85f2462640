"""The published method, against one that is written down in real numbers, straight from the publication."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from hwquant.graph import Clip, Conv, Graph
from hwquant.interface import Input, Output
from hwquant.qgraph import Layer
from hwquant.quantize import QuantizeOptions, observe_network
from hwquant.training import ProgressiveOptions, QuantizedNetwork, Training, TrainOptions, progressive
from hwquant.window import Window

FRACTION, STEPS, RATE, MOMENTUM = 0.4, 12, 0.05, 0.9
OPTIONS = QuantizeOptions(bits=5)


@pytest.fixture
def graph():
    rng = np.random.default_rng(5)
    return Graph(
        "tiny",
        (Input("x", (2, 4, 4), (2, 4, 4)),),
        (
            Conv("c1", ("x",), rng.normal(0, 0.4, (4, 2, 3, 3)), rng.normal(0, 0.1, 4), Window((3, 3))),
            Clip("r1", ("c1",), 0.0),
            Conv("c2", ("r1",), rng.normal(0, 0.6, (3, 4, 2, 2)), rng.normal(0, 0.1, 3), Window((2, 2))),
        ),
        (Output("y", "c2", (3, 1, 1)),),
    )


@pytest.fixture
def samples():
    rng = np.random.default_rng(6)
    return rng.normal(0, 1, (40, 2, 4, 4)).astype(np.float32), rng.integers(0, 3, 40)


def rounded(x, step, low, high):
    """To multiples of a step, with the gradient of x inside the limits."""
    steps = x / step
    steps = steps + (torch.floor(steps + 0.5) - steps).detach()
    return torch.clamp(steps, low, high) * step


class Published:
    """Two convolutions, whose inputs and parameters are quantized sub-network by sub-network."""

    def __init__(self, graph, x):
        self.quantizer = QuantizedNetwork(observe_network(graph, x), OPTIONS)
        self.names = {"c1": "r1", "c2": "c2"}
        self.weights, self.biases = (
            {
                node.name: torch.tensor(getattr(node, kind), dtype=torch.float32, requires_grad=True)
                for node in graph.nodes
                if node.name in self.names
            }
            for kind in ("weight", "bias")
        )
        self.frozen = {
            name: torch.zeros_like(weight, dtype=torch.bool) for name, weight in self.weights.items()
        }
        self.fixed = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.grids, self.tensors = {}, set()

    def round_tensor(self, name, value, least=None):
        if name not in self.tensors:
            return value if least is None else torch.relu(value)
        item = self.quantizer.formats[name].tensor(name, (1, 1, 1))
        low, high = (limit - item.zero_point for limit in item.limits)
        return rounded(value, item.scale, low if least is None else max(low, least), high)

    def forward(self, x):
        y = self.round_tensor("x", x)
        y = functional.conv2d(y, self.used("c1"), self.biases["c1"])
        y = self.round_tensor("r1", y, least=0)
        y = functional.conv2d(y, self.used("c2"), self.biases["c2"])
        return self.round_tensor("c2", y).flatten(1)

    def limits(self, name):
        term = self.grids[name].terms[0]
        return [limit.item() * term.scale.item() for limit in term.coding.limits]

    def used(self, name):
        weight = self.weights[name]
        weight = torch.clamp(weight, *self.limits(name)) if name in self.grids else weight
        return torch.where(self.frozen[name], self.fixed[name], weight)

    def quantize(self, names, tensors):
        """The inputs of a sub-network, and the largest of all its parameters."""
        self.tensors |= tensors
        for name in names:
            self.quantizer.weight(name).data.copy_(self.weights[name])
            self.quantizer.decide_grids([self.names[name]])
            self.grids[name] = self.quantizer.grid(self.names[name])
        sizes = np.sort(np.concatenate([self.weights[name].detach().abs().numpy().ravel() for name in names]))
        threshold = sizes[-round(FRACTION * len(sizes))]
        for name in names:
            self.freeze(name, self.weights[name].detach().abs() >= threshold)

    def freeze(self, name, chosen):
        step = self.grids[name].terms[0].scale.item()
        with torch.no_grad():
            low, high = (round(limit / step) for limit in self.limits(name))
            nearest = torch.clamp(torch.floor(self.weights[name].double() / step + 0.5), low, high) * step
            self.fixed[name] = torch.where(chosen, nearest.float(), self.fixed[name])
        self.frozen[name] |= chosen

    def train(self, x, y):
        for _ in range(STEPS):
            loss = functional.cross_entropy(self.forward(torch.tensor(x)), torch.tensor(y))
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


@pytest.mark.parametrize("subnetworks", [1, 2])
def test_the_literal_method_is_the_published_one(graph, samples, subnetworks):
    x, y = samples
    own = Published(graph, x)
    parameters = [item for name in own.names for item in (own.weights[name], own.biases[name])]
    own.optimizer = torch.optim.SGD(parameters, lr=RATE, momentum=MOMENTUM)
    inputs = {"c1": {"x"}, "c2": {"r1"}}
    for part in [["c1", "c2"]] if subnetworks == 1 else [["c1"], ["c2"]]:
        outputs = {"c2"} if part[-1] == "c2" else set()
        own.quantize(part, outputs.union(*(inputs[name] for name in part)))
        own.train(x, y)
    for name in own.names:
        own.freeze(name, ~own.frozen[name])

    options = TrainOptions(
        epochs=STEPS * subnetworks,
        optimizer="sgd",
        lr=RATE,
        momentum=MOMENTUM,
        schedule="constant",
        batch_size=len(x),
    )
    stages = ProgressiveOptions(fraction=FRACTION, subnetworks=subnetworks, literal=True)
    qgraph = progressive(graph, Training((x, y), options, validation=(x, y)), x, OPTIONS, stages)
    layers = {node.name: node for node in qgraph.nodes if isinstance(node, Layer)}
    moved = 0
    for name, layer in own.names.items():
        (term,) = layers[layer].terms
        step = term.scale.item()
        assert step == own.grids[name].terms[0].scale.item()
        wanted = np.round(own.fixed[name].double().numpy() / step).astype(np.int64)
        assert np.array_equal(term.weight, wanted)
        accumulator = step * qgraph.tensors[term.input].scale / 2.0**term.shift
        bias = own.biases[name].detach().double().numpy() / accumulator
        np.testing.assert_allclose(layers[layer].bias, bias, atol=1)
        (before,) = (node.weight for node in graph.nodes if node.name == name)
        moved += (wanted != np.round(before / step)).sum()
    assert moved > 3  # training did something
