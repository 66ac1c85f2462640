"""Oracles that we did not write: onnxruntime for ONNX models, torch for modules."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hwquant_testing.whole import from_exported, from_torch, load_model
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hwquant.floating import predict
from hwquant.frontends.onnx_reader import read_onnx
from hwquant.graph import Graph


def _build(nodes, shapes, constants=None, opset=17, outputs=("y",), batch="N", dtype=TensorProto.FLOAT):
    """A ModelProto. ``shapes`` maps input names to shapes without the batch; constants become float32."""
    initializers = [
        numpy_helper.from_array(
            np.asarray(array, np.float32) if np.asarray(array).dtype == np.float64 else np.asarray(array),
            name,
        )
        for name, array in (constants or {}).items()
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, dtype, [batch, *shape]) for name, shape in shapes.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    for output in model.graph.output:  # the checker wants a type and a shape, even of what cannot be inferred
        if not output.type.tensor_type.HasField("shape"):
            output.CopyFrom(helper.make_tensor_value_info(output.name, TensorProto.FLOAT, []))
    return model


@pytest.fixture
def build_onnx() -> Callable[..., onnx.ModelProto]:
    return _build


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.fixture
def check_onnx() -> Callable[..., Graph]:
    """Import a model, compare every output with onnxruntime's on random data, return the graph."""

    def check(model: onnx.ModelProto, data=None, seed=0) -> Graph:
        graph = read_onnx(model)
        session = _session(model)
        rng = np.random.default_rng(seed)
        feeds = dict(data or {})
        for item in session.get_inputs():
            if item.name not in feeds:
                sizes = [size if isinstance(size, int) else 3 for size in item.shape]
                feeds[item.name] = rng.standard_normal(sizes).astype(np.float32)
        got = predict(graph, {item.name: feeds[item.name] for item in graph.inputs})
        for output, want, ours in zip(session.get_outputs(), session.run(None, feeds), got, strict=True):
            assert ours.reshape(-1).shape == want.reshape(-1).shape, output.name
            tolerance = 1e-5 * max(1.0, float(np.abs(want).max()))
            np.testing.assert_allclose(ours.reshape(want.shape), want, rtol=1e-4, atol=tolerance)
        return graph

    return check


@pytest.fixture
def check_torch(tmp_path) -> Callable[..., Graph]:
    """Import a module in several ways, compare every output with the module's own, return the graph.

    The ways: `from_torch`; `load_model` of the saved program; `from_exported`, decomposed and not.
    """

    def check(module: torch.nn.Module, *shapes, batch=3, decomposed=True, dynamic=False) -> Graph:
        generator = torch.Generator().manual_seed(0)
        inputs = tuple(torch.randn(batch, *shape, generator=generator) for shape in shapes)
        training = module.training
        graph = from_torch(module, inputs)
        assert module.training == training
        module.eval()
        dims = ({0: torch.export.Dim("batch")},) * len(inputs) if dynamic else None
        program = torch.export.export(module, inputs, dynamic_shapes=dims, strict=False)
        torch.export.save(program, tmp_path / "net.pt2")
        graphs = [graph, from_exported(program), load_model(tmp_path / "net.pt2")]
        if decomposed:
            with warnings.catch_warnings():  # torch copies its own deprecated LeafSpec
                warnings.filterwarnings("ignore", message=".*LeafSpec.*deprecated", category=FutureWarning)
                graphs.append(from_exported(program.run_decompositions()))
        with torch.no_grad():
            result = module(*(item.clone() for item in inputs))
        wants = [item.numpy() for item in (result if isinstance(result, tuple) else (result,))]
        for candidate in graphs:
            data = {item.name: value.numpy() for item, value in zip(candidate.inputs, inputs, strict=True)}
            for want, got in zip(wants, predict(candidate, data), strict=True):
                assert got.shape == want.shape
                tolerance = 1e-5 * max(1.0, float(np.abs(want).max()))
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=tolerance)
        names = [[(type(node), node.name, node.inputs) for node in item.nodes] for item in graphs[:3]]
        assert names[0] == names[1] == names[2]
        return graph

    return check


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def saved(tmp_path) -> tuple[Path, torch.nn.Module, torch.Tensor]:
    """A program on disk, the module it came from, and an input."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 5)
    ).eval()
    x = torch.randn(3, 2, 6, 6)
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module, (x,)), path)
    return path, module, x
