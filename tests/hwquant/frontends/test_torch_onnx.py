"""Modules whose end no array does: cut as ONNX models are."""

import numpy as np
import pytest
import torch
from torch import nn

from hwquant.errors import Unsupported
from hwquant.floating import predict
from hwquant.frontends import from_torch, load_model
from hwquant.frontends.aten_program import AtenInput, AtenNode, AtenProgram, Reference
from hwquant.frontends.torch_program import as_exported


class Detector(nn.Module):
    """Two heads of different sizes, concatenated, with a softmax over the classes of every place."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(2, 4, 3)
        self.heads = nn.ModuleList([nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 3, stride=2)])

    def forward(self, x):
        x = self.body(x).relu()
        places = torch.cat([head(x).flatten(2) for head in self.heads], 2).transpose(1, 2)
        return places.softmax(-1), torch.cumsum(places, 1)


def test_the_end_of_a_module_stays_with_the_host():
    torch.manual_seed(0)
    module, x = Detector().eval(), torch.randn(5, 2, 9, 9)
    graph = from_torch(module, x[:2])
    assert graph.host_share == 0
    assert {node.operator for node in graph.host.nodes} >= {"Softmax", "CumSum"}
    for ours, want in zip(predict(graph, x.numpy()), module(x), strict=True):
        np.testing.assert_allclose(ours, want.detach().numpy(), rtol=1e-4, atol=1e-4)
    with pytest.raises(Unsupported):
        from_torch(module, x, host=False)


def test_without_the_exporter_the_refusal_says_what_would_help(monkeypatch):
    monkeypatch.setattr("hwquant.frontends.torch_onnx.find_spec", lambda name: None)
    with pytest.raises(
        Unsupported,
        match=r"\. Leaving a part of a torch network to the host needs onnx: pip install 'hwquant\[host\]'",
    ):
        from_torch(Detector(), torch.zeros(1, 2, 9, 9))


class Divided(nn.Module):
    """An average with a divisor of its own, which torch's exporter leaves out."""

    def forward(self, x):
        return nn.functional.avg_pool2d(x, 2, divisor_override=3).relu()


def test_what_the_exporter_writes_wrongly_is_refused():
    with pytest.raises(
        Unsupported, match=r"divisor_override is not .* torch\.onnx writes something else: 50%"
    ):
        from_torch(Divided(), torch.zeros(2, 2, 8, 8))


class Uneven(nn.Module):
    """A pool that neither the array nor torch's exporter has."""

    def forward(self, x):
        return nn.functional.adaptive_max_pool2d(x, (37, 35))


def test_what_the_exporter_lacks_is_named():
    with pytest.raises(
        Unsupported, match=r"does not write: No ONNX function found for .*adaptive_max_pool2d"
    ):
        from_torch(Uneven(), torch.zeros(2, 2, 60, 60))


class Listener(nn.Module):
    """A recurrent tail behind a convolution; states are made of zeros for as many samples as there are."""

    def __init__(self):
        super().__init__()
        self.body, self.memory = nn.Conv1d(3, 8, 3, padding=1), nn.LSTM(8, 6, batch_first=True)
        self.last, self.norm = nn.Linear(6, 4), nn.LayerNorm(4)

    def forward(self, x):
        steps, _ = self.memory(self.body(x).relu().transpose(1, 2))
        return self.norm(self.last(steps[:, -1])).softmax(-1)


class Sorted(nn.Module):
    """Normalization of groups, parts of tensors by list, results by number, and arithmetic on sizes."""

    def __init__(self):
        super().__init__()
        self.body, self.norm, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Linear(8, 4)

    def forward(self, x):
        front, back = self.norm(nn.functional.gelu(self.body(x))).split([3, 5], 1)
        means = torch.cat([back, front], 1).mean((2, 3))
        largest = back.amax((2, 3)).view(back.shape[0], -1)
        return self.last(means).sort(-1)[0], largest.cumsum(1, dtype=torch.float32)


@pytest.mark.filterwarnings("ignore:The tensor attributes .* assigned during export")  # LSTM's own
@pytest.mark.parametrize(
    ("kind", "shape", "is_open"), [(Listener, (3, 10), True), (Sorted, (3, 8, 8), False)]
)
def test_the_end_of_a_saved_program_stays_with_the_host(tmp_path, kind, shape, is_open):
    torch.manual_seed(0)
    module, x, path = kind().eval(), torch.randn(4, *shape), tmp_path / "net.pt2"
    dims = ({0: torch.export.Dim("batch")},) if is_open else None
    torch.export.save(torch.export.export(module, (x,), dynamic_shapes=dims), path)
    graph = load_model(path)
    assert graph.host.nodes
    wants = module(x) if kind is not Listener else [module(x)]
    for ours, want in zip(predict(graph, x.numpy()), wants, strict=True):
        assert ours.shape == want.shape
        np.testing.assert_allclose(ours, want.detach().numpy(), rtol=1e-4, atol=1e-4)
    with pytest.raises(Unsupported):
        load_model(path, host=False)


def test_a_saved_program_is_cut_at_names(tmp_path):
    torch.manual_seed(0)
    module, x, path = Detector().eval(), torch.randn(2, 2, 9, 9), tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module, (x,)), path)
    graph = load_model(path, outputs=["relu"])
    assert [output.tensor for output in graph.outputs] == ["node_relu"]
    for ours, want in zip(predict(graph, x.numpy()), module(x), strict=True):
        np.testing.assert_allclose(ours, want.detach().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"operator": "from_file", "arguments": {"filename": "x", "size": 4}}, "calls no operator of ATen"),
        ({"operator": "os.system", "arguments": {"command": "true"}}, "calls no operator of ATen"),
        ({"operator": "prims.add"}, "calls no operator of ATen"),
        ({"operator": "__class__"}, "calls no operator of ATen"),
        ({"operator": "relu", "arguments": {"self": Reference("x"), "more": 1}}, "has no argument 'more'"),
        ({"operator": "relu", "arguments": {"self": Reference("nothing")}}, "'nothing'"),
        ({"operator": "relu", "overload": "_schema"}, "calls no operator of ATen"),
        (
            {"operator": "mm", "arguments": {"self": Reference("x"), "mat2": Reference("x")}},
            "same reduction dim",
        ),
    ],
)
def test_what_a_program_calls_is_an_operator_of_aten(call, reason):
    node = AtenNode("bad", outputs=("y",), **{"arguments": {}, **call})
    program = AtenProgram("net", (AtenInput("x", (1, 3), "float32"),), {}, (node,), ("y",))
    with pytest.raises(Unsupported, match=rf"^The array cannot\. Torch cannot trace .*{reason}"):
        as_exported(program, {}, Unsupported("The array cannot"))


def test_what_onnxruntime_cannot_build_is_refused(monkeypatch):
    def build(*arguments, **options):
        raise RuntimeError("NOT_IMPLEMENTED: Tan(7)\nand much more")

    monkeypatch.setattr("onnxruntime.InferenceSession", build)
    with pytest.raises(
        Unsupported, match=r"\. The host cannot have its ends either: NOT_IMPLEMENTED: Tan\(7\)$"
    ):
        from_torch(Detector(), torch.zeros(1, 2, 9, 9))


class Words(nn.Module):
    """A convolution over what a table has at indices that the user gives."""

    def __init__(self):
        super().__init__()
        self.table, self.conv = nn.Embedding(3, 2), nn.Conv1d(2, 2, 3)

    def forward(self, words):
        return self.conv(self.table(words).transpose(1, 2)).relu().softmax(1)


def test_indices_that_a_module_is_tried_with_are_in_its_table():
    torch.manual_seed(0)
    module, words = Words().eval(), torch.arange(24).reshape(2, 12) % 3
    (ours,) = predict(from_torch(module, words[:1]), words.numpy())
    np.testing.assert_allclose(ours, module(words).detach().numpy(), rtol=1e-4, atol=1e-4)
