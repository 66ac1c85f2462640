import sys

import numpy as np
import pytest
import torch
from hwquant_testing.whole import from_exported, from_torch
from torch import nn

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.graph import Clip, Conv


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3)
        self.blocks = nn.Sequential(Block(4), Block(4))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4 * 16, 3)

    def forward(self, x):
        return self.head(self.drop(torch.flatten(self.blocks(self.stem(x)), 1)))


def test_nodes_are_called_after_their_place_in_the_module(check_torch):
    graph = check_torch(Net(), (2, 6, 6))
    assert graph.name == "Net"
    assert [node.name for node in graph.nodes] == [
        "stem",
        "blocks.0.conv",
        "blocks.0.add",
        "blocks.0.relu",
        "blocks.1.conv",
        "blocks.1.add_1",
        "blocks.1.relu_1",
        "head",
    ]


def test_a_module_that_is_used_twice_gets_two_names(check_torch):
    conv = nn.Conv2d(2, 2, 3, padding=1)
    graph = check_torch(nn.Sequential(conv, nn.ReLU(), conv), (2, 4, 4))
    assert [node.name for node in graph.nodes] == ["0", "1", "2"]


def test_a_module_in_training_mode_is_imported_in_evaluation_mode_and_left_as_it_was():
    net = Net().train()
    net.blocks[1].norm.eval()
    before = {name: part.training for name, part in net.named_modules()}
    state = {name: value.clone() for name, value in net.state_dict().items()}
    x = torch.randn(4, 2, 6, 6)
    graph = from_torch(net, x)
    assert {name: part.training for name, part in net.named_modules()} == before
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    with torch.no_grad():
        want = net.eval()(x).numpy()
    np.testing.assert_allclose(predict(graph, x.numpy())[0], want, rtol=1e-4, atol=1e-5)


def test_a_module_that_cannot_be_traced_is_left_as_it_was():
    class Choosing(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    net = Choosing().train()
    with pytest.raises(
        HwquantError, match=r"torch.export cannot trace Choosing: .*; make torch.export.export"
    ):
        from_torch(net, torch.zeros(1, 2))
    assert net.training


def test_a_module_whose_shapes_do_not_fit_leaves_no_traceback_of_torch_in_the_log(caplog):
    class Misfit(nn.Module):
        def forward(self, x):
            return x + torch.zeros(3)

    with pytest.raises(HwquantError, match=r"torch.export cannot trace Misfit: "):
        from_torch(Misfit(), torch.zeros(1, 2))
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


def test_the_example_may_be_an_array():
    graph = from_torch(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), np.zeros((1, 3)))
    assert [type(node) for node in graph.nodes] == [Conv, Clip]


def test_programs_with_an_open_batch_and_with_any_fixed_one_are_the_same_network():
    net = Net().eval()
    graphs = [from_torch(net, torch.zeros(batch, 2, 6, 6)) for batch in (1, 2, 5)]
    shapes = ({0: torch.export.Dim("n", min=1, max=100)},)
    graphs.append(from_exported(torch.export.export(net, (torch.zeros(2, 2, 6, 6),), dynamic_shapes=shapes)))
    x = np.random.default_rng(0).standard_normal((7, 2, 6, 6))
    want = predict(graphs[0], x)[0]
    for graph in graphs[1:]:
        np.testing.assert_array_equal(predict(graph, x)[0], want)


def test_an_open_height_is_refused():
    shapes = ({2: torch.export.Dim("height", min=4, max=64)},)
    program = torch.export.export(nn.Conv2d(2, 3, 3), (torch.zeros(1, 2, 8, 8),), dynamic_shapes=shapes)
    with pytest.raises(
        HwquantError, match=r"dimension 2 of input 'input' is not fixed, only the batch may be open"
    ):
        from_exported(program)


def test_inputs_need_a_common_batch():
    class Sum(nn.Module):
        def forward(self, a, b):
            return a + b

    with pytest.raises(HwquantError, match=r"different batch sizes \[1, 3\]"):
        from_torch(Sum(), (torch.zeros(3, 2), torch.zeros(1, 2)))
    with pytest.raises(HwquantError, match=r"has no batch dimension"):
        from_torch(Sum(), (torch.zeros(3, 2), torch.tensor(1.0)))


def test_what_is_no_module_is_refused():
    with pytest.raises(HwquantError, match=r"a torch.nn.Module is wanted, this is a int"):
        from_torch(3, torch.zeros(1, 2))


def test_a_missing_torch_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(HwquantError, match=r"pip install 'hwquant\[torch\]'"):
        from_torch(nn.Linear(2, 2), np.zeros((1, 2)))
