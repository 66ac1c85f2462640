"""Modules whose end no array does: cut as ONNX models are."""

import numpy as np
import pytest
import torch
from torch import nn

from hwquant.errors import HwquantError, Unsupported
from hwquant.floating import predict
from hwquant.frontends import from_torch, load_model


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


def test_saved_programs_are_cut_at_no_names(tmp_path):
    path = tmp_path / "net.pt2"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(HwquantError, match=r"net\.pt2' cannot be cut: only ONNX models and modules are"):
        load_model(path, outputs=["y"])
