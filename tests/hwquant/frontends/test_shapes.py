"""Open shapes that are fixed while a model is read, and models without a batch dimension."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node
from torch import nn

from hwquant.errors import HwquantError, Unsupported
from hwquant.fingerprint import fingerprint
from hwquant.floating import predict
from hwquant.frontends import from_exported, from_onnx, from_torch, load_model
from hwquant.frontends.onnx_reader import read_onnx

RNG = np.random.default_rng(5)


def array(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def model(nodes, inputs, constants, outputs=("y",), opset=17):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made)


def compare(graph, made, bare):
    """The network equals onnxruntime on each of three samples."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    for _ in range(3):
        feed = {item.name: array(*(() if bare else (1,)), *item.shape) for item in graph.inputs}
        want = session.run(None, feed)
        got = predict(graph, {name: value[None] if bare else value for name, value in feed.items()})
        for ours, theirs in zip(got, want, strict=True):
            ours = ours[0] if bare else ours
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def convolution(shape=("n", 2, "height", "width")):
    nodes = [make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), make_node("Relu", ["c"], ["y"])]
    return model(nodes, {"x": shape}, {"w": array(4, 2, 3, 3)})


def test_open_dimensions_are_refused_with_what_to_type():
    with pytest.raises(Unsupported) as caught:
        from_onnx(convolution())
    text = str(caught.value)
    assert (
        "dimensions 2 ('height'), 3 ('width') of input 'x' are not fixed, only the batch may be open" in text
    )
    assert "--shape x=1,2,HEIGHT,WIDTH" in text
    assert "shapes={'x': (1, 2, HEIGHT, WIDTH)}" in text


@pytest.mark.parametrize("open_size", ["n", None, -1, "?"])
def test_shapes_fix_open_dimensions(open_size, tmp_path):
    shape = (
        open_size,
        2,
        *[size if isinstance(open_size, str) and open_size != "?" else open_size for size in "hw"],
    )
    made = convolution(shape)
    onnx.save(made, tmp_path / "net.onnx")
    graph = load_model(tmp_path / "net.onnx", shapes={"x": (1, 2, 5, 7)})
    assert graph.inputs[0].shape == (2, 5, 7)
    assert fingerprint(graph) == fingerprint(from_onnx(made, shapes={"x": (1, 2, 5, 7)}))
    if open_size in ("n", None):
        compare(graph, made, bare=False)


def test_a_batch_of_several_is_fixed_too():
    graph = from_onnx(convolution(), shapes={"x": (3, 2, 5, 7)})
    assert graph.inputs[0].shape == (2, 5, 7)


def test_dimensions_of_one_name_are_fixed_together():
    nodes = [make_node("Add", ["a", "b"], ["s"]), make_node("Conv", ["s", "w"], ["y"])]
    made = model(nodes, {"a": ("n", 2, "t"), "b": ("n", 2, "t")}, {"w": array(3, 2, 3)})
    graph = from_onnx(made, shapes={"a": (1, 2, 9)})
    assert [item.shape for item in graph.inputs] == [(2, 9), (2, 9)]
    compare(graph, made, bare=False)
    with pytest.raises(HwquantError, match=r"dimension 't' cannot be both 9 and 8"):
        from_onnx(made, shapes={"a": (1, 2, 9), "b": (1, 2, 8)})


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1, 2, 5, 7)}, r"no input 'z' to give a shape; it has x"),
        ({"x": (1, 2, 5)}, r"has 3 dimensions; the model's are 1,2,HEIGHT,WIDTH, the batch included"),
        ({"x": (1, 3, 5, 7)}, r"dimension 1 of input 'x' is 2 in the model, and cannot become 3"),
        ({"x": (1, 2, 0, 7)}, r"must be of positive integers"),
        ({"x": (1, 2, 5.0, 7)}, r"must be of positive integers"),
        ({"x": (1, 2, 1, 1 << 40)}, r"too large"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(HwquantError, match=message):
        from_onnx(convolution(), shapes=shapes)


def test_an_input_without_any_shape_gets_one():
    made = convolution()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(Unsupported, match=r"input 'x' has no shape; give it with --shape x="):
        from_onnx(made)
    assert from_onnx(made, shapes={"x": (1, 2, 5, 7)}).inputs[0].shape == (2, 5, 7)


class Picture(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(2).mean(2))


def test_open_dimensions_of_an_exported_program(tmp_path):
    module, size = Picture().eval(), torch.export.Dim("size", min=3, max=64)
    exported = torch.export.export(module, (torch.zeros(2, 2, 8, 6),), dynamic_shapes=({2: size},))
    with pytest.raises(Unsupported, match=r"dimension 2 of input 'x' is not fixed.*--shape x=2,2,D2,6"):
        from_exported(exported)
    graph = from_exported(exported, shapes={"x": (2, 2, 5, 6)})
    x = torch.randn(2, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(predict(graph, x.numpy())[0], module(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    torch.export.save(exported, tmp_path / "net.pt2")
    again = load_model(tmp_path / "net.pt2", shapes={"x": (2, 2, 5, 6)})
    assert np.array_equal(predict(again, x.numpy())[0], predict(graph, x.numpy())[0])


def frames():
    """A network over time: (time, features), with a convolution in between."""
    nodes = [
        make_node("MatMul", ["x", "a"], ["m"]),
        make_node("Add", ["m", "bias"], ["p"]),
        make_node("Relu", ["p"], ["r"]),
        make_node("Transpose", ["r"], ["t"], perm=[1, 0]),
        make_node("Unsqueeze", ["t", "zero"], ["u"]),
        make_node("Conv", ["u", "w"], ["c"], pads=[2, 0]),
        make_node("Squeeze", ["c", "zero"], ["s"]),
        make_node("Transpose", ["s"], ["v"], perm=[1, 0]),
        make_node("Gemm", ["v", "b"], ["y"], transB=1),
    ]
    constants = {
        "a": array(5, 6),
        "bias": array(6),
        "w": array(4, 6, 3),
        "b": array(3, 4),
        "zero": np.array([0]),
    }
    return model(nodes, {"x": (11, 5)}, constants)


def vector():
    nodes = [make_node("MatMul", ["x", "a"], ["m"]), make_node("Relu", ["m"], ["r"])]
    nodes += [make_node("Add", ["r", "row"], ["s"]), make_node("Gemm", ["s", "b"], ["y"])]
    return model(nodes, {"x": (5,)}, {"a": array(5, 6), "row": array(1, 6), "b": array(6, 2)})


def loses_it():
    """A batch of one that a reshape removes."""
    nodes = [
        make_node("Conv", ["x", "w"], ["c"]),
        make_node("Reshape", ["c", "flat"], ["f"]),
        make_node("MatMul", ["f", "a"], ["m"]),
        make_node("Add", ["m", "bias"], ["y"]),
    ]
    constants = {"w": array(2, 3, 3, 3), "flat": np.array([-1]), "a": array(32, 5), "bias": array(5)}
    return model(nodes, {"x": (1, 3, 6, 6)}, constants)


def sums():
    """Arithmetic of two inputs, a pad, a concatenation and a reduction along the first axis."""
    nodes = [
        make_node("Add", ["a", "b"], ["s"]),
        make_node("Concat", ["s", "a"], ["c"], axis=0),
        make_node("MatMul", ["c", "m"], ["p"]),
        make_node("ReduceMax", ["p"], ["y"], axes=[0], keepdims=0),
    ]
    return model(nodes, {"a": (3, 4), "b": (3, 4)}, {"m": array(4, 4)})


@pytest.mark.parametrize("make", [frames, vector, loses_it])
def test_models_without_a_batch_dimension(make):
    made = make()
    graph = from_onnx(made, batch_axis=None)
    assert graph.inputs[0].shape == tuple(
        dim.dim_value for dim in made.graph.input[0].type.tensor_type.shape.dim
    )
    compare(graph, made, bare=True)


@pytest.mark.parametrize(("make", "message"), [(vector, r"\(5,\) does not fit"), (frames, r"batch")])
def test_without_the_option_they_are_refused_with_it(make, message):
    with pytest.raises(HwquantError, match=message) as caught:
        read_onnx(make())
    assert "--batch-axis none" in str(caught.value)


def test_an_output_of_the_one_sample_needs_no_batch_dimension():
    made, x = loses_it(), array(2, 3, 6, 6)
    (got,) = predict(read_onnx(made), x)
    (want,) = predict(from_onnx(made, batch_axis=None), x[:, None])
    assert got.shape == (2, 5)
    np.testing.assert_allclose(got, want)


def test_inputs_of_different_first_axes_are_told_of_the_option():
    made = model(
        [make_node("MatMul", ["a", "m"], ["p"]), make_node("MatMul", ["b", "m"], ["q"])],
        {"a": (3, 4), "b": (2, 4)},
        {"m": array(4, 4)},
        ("p", "q"),
    )
    with pytest.raises(Unsupported, match=r"different batch sizes \[2, 3\].*--batch-axis none"):
        from_onnx(made)
    compare(from_onnx(made, batch_axis=None), made, bare=True)


class Unbatched(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.fc = nn.Conv1d(2, 4, 3), nn.MaxPool1d(2), nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.pool(torch.relu(self.conv(x))).transpose(0, 1))


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*deprecated:FutureWarning")  # torch copies its own
@pytest.mark.parametrize("decomposed", [False, True])
def test_modules_of_one_sample(decomposed):
    module = Unbatched().eval()
    x = torch.randn(2, 12, generator=torch.Generator().manual_seed(1))
    if decomposed:
        graph = from_exported(torch.export.export(module, (x,)).run_decompositions(), batch_axis=None)
    else:
        graph = from_torch(module, x, batch_axis=None)
    assert (graph.inputs[0].shape, graph.outputs[0].shape) == ((2, 12), (5, 3))
    np.testing.assert_allclose(
        predict(graph, x.numpy()[None])[0][0], module(x).detach().numpy(), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(HwquantError, match=r"batch"):
        from_torch(module, x, host=False)


def test_a_convolution_over_several_samples_is_refused_where_there_is_one():
    made = model([make_node("Conv", ["x", "w"], ["y"])], {"x": (3, 2, 8)}, {"w": array(4, 2, 3)})
    with pytest.raises(Unsupported, match=r"are over 3 samples, and the network is for one"):
        read_onnx(made, batch_axis=None)
