"""One network through every door."""

import logging
import os
import sys
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hwquant.errors import Damaged, HwquantError
from hwquant.floating import predict
from hwquant.frontends import from_onnx, from_torch, load_model, load_network, with_source
from hwquant.graph import Graph


class Residual(nn.Module):
    """What the small networks of the field are made of."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depth = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.point = nn.Conv2d(8, 12, 1)
        self.skip = nn.Conv2d(8, 12, 1, stride=2)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.stem((x - 0.5) / 0.25)))
        x = F.max_pool2d(F.relu6(self.point(F.relu(self.depth(x)))) + self.skip(x), 3, 2, 1)
        x = torch.cat([x.mean((2, 3)), F.adaptive_avg_pool2d(F.relu(x), 1).flatten(1)], 1)
        return F.softmax(self.head(x.view(x.size(0), -1)), dim=1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    net = Residual()
    for _ in range(3):  # statistics that are not the initial ones
        net(torch.randn(8, 3, 16, 16))
    return net.eval()


def exported(net, path, **options):
    """The model as torch.onnx writes it, its own warnings and prints aside."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The legacy exporter says that it is one; the new one copies torch's own deprecated LeafSpec.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated", category=FutureWarning)
        torch.onnx.export(
            net, (torch.zeros(2, 3, 16, 16),), str(path), input_names=["x"], verbose=False, **options
        )
    return path


def outline(graph: Graph):
    return [type(node).__name__ for node in graph.nodes], [graph.shapes[node.name] for node in graph.nodes]


def test_all_exports_of_a_network_are_the_same_network(network, tmp_path):
    x = np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32)
    with torch.no_grad():
        want = network(torch.from_numpy(x)).numpy()
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3, 16, 16),)), tmp_path / "net.pt2")
    dynamic = {"dynamo": True, "dynamic_shapes": ({0: torch.export.Dim("n")},)}
    legacy = {"dynamo": False, "dynamic_axes": {"x": {0: "n"}}}
    graphs = {
        "module": from_torch(network, torch.zeros(1, 3, 16, 16)),
        "pt2": load_model(tmp_path / "net.pt2"),
        "opset 11": load_model(exported(network, tmp_path / "11.onnx", opset_version=11, **legacy)),
        "opset 17": load_model(exported(network, tmp_path / "17.onnx", opset_version=17, **legacy)),
        "newest": load_model(exported(network, tmp_path / "new.onnx", dynamo=True)),
        "newest, open batch": load_model(exported(network, tmp_path / "open.onnx", **dynamic)),
    }
    for name, graph in graphs.items():
        assert outline(graph) == outline(graphs["module"]), name
        assert graph.outputs[0].host == ("softmax",)
        np.testing.assert_allclose(predict(graph, x)[0], want, rtol=1e-4, atol=1e-6, err_msg=name)


def test_the_content_decides_where_the_suffix_does_not(tmp_path):
    net = nn.Linear(3, 2)
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3),)), tmp_path / "net.pt2")
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])],
            "net",
            [onnx.helper.make_tensor_value_info("x", 1, [1, 3])],
            [onnx.helper.make_tensor_value_info("y", 1, [1, 3])],
        )
    )
    onnx.save(model, tmp_path / "net.onnx")
    for name, count in (("net.pt2", 1), ("net.onnx", 1)):
        other = (tmp_path / name).rename(tmp_path / f"{name}.model")
        assert len(load_model(other).nodes) == count
        assert len(load_model(str(other)).nodes) == count
    with pytest.raises(HwquantError, match=r"cannot read '.*missing.bin'"):
        load_model(tmp_path / "missing.bin")
    with pytest.raises(HwquantError, match=r"cannot read '.*': Is a directory"):
        load_model(tmp_path)


@pytest.mark.parametrize("suffix", ["pt", "pth"])
def test_pickles_of_pytorch_are_refused_unopened(tmp_path, suffix):
    with pytest.raises(
        HwquantError, match=r"is a pickle of PyTorch, which hwquant does not load; write torch.export"
    ):
        load_model(tmp_path / f"net.{suffix}")


def test_files_of_another_step_say_which_command_takes_them(tmp_path):
    with pytest.raises(HwquantError, match=r"net.hwq' is an integer network already: compile and evaluate"):
        load_model(tmp_path / "net.hwq")
    with pytest.raises(HwquantError, match=r"net.hwq' is an integer network already.*give the model"):
        with_source(tmp_path / "net.hwq")
    for name in ("net.pt2", "net.tflite", "net.pth"):
        with pytest.raises(HwquantError, match=rf"{name}' is no integer network; make one.*hwquant quantize"):
            load_network(tmp_path / name)
    with pytest.raises(HwquantError, match=r"is a folder, and no network; give a .hwq file"):
        load_network(tmp_path)
    (tmp_path / "net.hwq").write_text("")
    with pytest.raises(
        HwquantError, match=r"is a folder, and no network; the network of this build is .*net.hwq"
    ):
        load_network(tmp_path)
    (tmp_path / "train.py").write_text("import torch")
    with pytest.raises(Damaged, match=r"train.py' is not an ONNX model.*models are .onnx files, .pt2 files"):
        load_model(tmp_path / "train.py")


@pytest.mark.parametrize("name", ["pipe.onnx", "pipe.pt2", "pipe"])
def test_a_pipe_is_no_model_and_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(Damaged, match=f"{name} is no ordinary file"):
        load_model(tmp_path / name)


def test_a_missing_onnx_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    (tmp_path / "net.onnx").write_bytes(b"")
    for attempt in (load_model, from_onnx):
        with pytest.raises(HwquantError, match=r"pip install 'hwquant\[onnx\]'"):
            attempt(tmp_path / "net.onnx")


def test_importing_the_frontends_imports_neither_onnx_nor_torch():
    import subprocess

    code = "import sys, hwquant.frontends; print({'onnx', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
