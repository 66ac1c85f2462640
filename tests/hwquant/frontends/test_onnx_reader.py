import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hwquant_testing.onnx_models import W, weights
from onnx import TensorProto, helper
from onnx.helper import make_node

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.frontends import from_onnx
from hwquant.graph import Clip, Conv, MaxPool

DATA = Path(os.environ.get("HWQUANT_DATA", Path(__file__).parents[4] / "shared" / "data"))
MNIST_CONV = DATA / "mnist_conv"


RELU = [make_node("Conv", ["x", "w"], ["a"], name="conv"), make_node("Relu", ["a"], ["y"], name="relu")]


@pytest.mark.skipif(not MNIST_CONV.is_dir(), reason=f"no data in {MNIST_CONV}; set HWQUANT_DATA")
def test_the_real_mnist_model_whose_weights_are_inputs_gives_the_reference_outputs():
    graph = from_onnx(MNIST_CONV / "model.onnx")
    assert [(type(node), node.name) for node in graph.nodes] == [
        (Conv, "Convolution28"),
        (Clip, "ReLU32"),
        (MaxPool, "Pooling66"),
        (Conv, "Convolution110"),
        (Clip, "ReLU114"),
        (MaxPool, "Pooling160"),
        (Conv, "Times212"),
    ]
    assert [item.name for item in graph.inputs] == ["Input3"]
    session = onnxruntime.InferenceSession(MNIST_CONV / "model.onnx", providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).uniform(0, 255, (20, 1, 28, 28)).astype(np.float32)
    want = np.concatenate([session.run(None, {"Input3": image[None]})[0] for image in x])
    (got,) = predict(graph, x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())
    with np.load(MNIST_CONV / "reference.npz", allow_pickle=False) as reference:
        (got,) = predict(graph, reference["input"])
        np.testing.assert_allclose(got, reference["output"], rtol=1e-4)


def test_names_are_the_nodes_made_unique(build_onnx):
    nodes = [
        make_node("Conv", ["x", "w"], ["x1"], name="x"),
        make_node("Relu", ["x1"], ["x2"], name="x_2"),
        make_node("Relu", ["x2"], ["y"]),
    ]
    graph = from_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, W))
    assert [node.name for node in graph.nodes] == ["x_2", "x_2_2", "y"]
    assert graph.outputs[0].name == "y"


def test_what_no_output_needs_is_dropped(build_onnx, check_onnx):
    nodes = [*RELU, make_node("Conv", ["z", "w"], ["unused"])]
    graph = check_onnx(build_onnx(nodes, {"x": (2, 5, 5), "z": (2, 5, 5)}, W))
    assert [node.name for node in graph.nodes] == ["conv", "relu"]
    assert [item.name for item in graph.inputs] == ["x"]


@pytest.mark.parametrize("batch", [1, 4, "N", None])
def test_fixed_and_open_batches(build_onnx, check_onnx, batch):
    nodes = [
        make_node("Conv", ["x", "w"], ["a"]),
        make_node("Shape", ["a"], ["s"]),
        make_node("Gather", ["s", "zero"], ["n"], axis=0),
        make_node("Unsqueeze", ["n", "first"], ["u"]),
        make_node("Concat", ["u", "rest"], ["target"], axis=0),
        make_node("Reshape", ["a", "target"], ["f"]),
        make_node("Gemm", ["f", "v"], ["y"]),
    ]
    constants = W | {"zero": np.array(0), "first": np.array([0]), "rest": np.array([-1]), "v": weights(36, 3)}
    check_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, constants, batch=batch))


def test_constant_subgraphs_are_evaluated(build_onnx, check_onnx):
    nodes = [
        helper.make_node("Constant", [], ["half"], value=onnx.numpy_helper.from_array(np.float32(0.5))),
        make_node("Mul", ["w", "half"], ["w1"]),
        make_node("Transpose", ["w1"], ["w2"], perm=[0, 1, 3, 2]),
        make_node("ConstantOfShape", ["four"], ["b"], value=onnx.numpy_helper.from_array(np.float32([3]))),
        make_node("Conv", ["x", "w2", "b"], ["y"]),
    ]
    check_onnx(build_onnx(nodes, {"x": (2, 5, 5)}, W | {"four": np.array([4])}))


def test_weights_in_half_precision_and_bfloat16(build_onnx):
    for kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
        model = build_onnx(RELU, {"x": (2, 5, 5)}, W, opset=22)
        tensor = helper.make_tensor("w", kind, (4, 2, 3, 3), W["w"].ravel())
        for item in (*model.graph.output, *model.graph.value_info):
            item.type.tensor_type.elem_type = kind
        model.graph.initializer[0].CopyFrom(tensor)
        model.graph.input[0].type.tensor_type.elem_type = kind
        graph = from_onnx(model)
        np.testing.assert_allclose(graph.nodes[0].weight, W["w"], rtol=1e-2)
        assert graph.nodes[0].weight.dtype == np.float64


def test_model_functions_are_inlined(build_onnx):
    model = build_onnx(
        [make_node("Conv", ["x", "w"], ["a"]), make_node("F", ["a"], ["y"])], {"x": (2, 5, 5)}, W
    )
    versions = [helper.make_opsetid("", 17)]
    body = helper.make_function("", "F", ["i"], ["o"], [make_node("Relu", ["i"], ["o"])], versions)
    body.domain = model.graph.node[1].domain = "local"
    model.functions.append(body)
    model.opset_import.append(helper.make_opsetid("local", 1))
    assert [type(node) for node in from_onnx(model).nodes] == [Conv, Clip]


def test_an_output_that_is_given_twice(build_onnx, check_onnx):
    """As torch exports a tensor that is returned twice."""
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    model.graph.output.append(model.graph.output[0])
    assert [item.name for item in check_onnx(model).outputs] == ["y", "y"]


def test_an_output_that_is_an_input_of_another_type_is_refused(build_onnx):
    model = build_onnx([make_node("Relu", ["x"], ["y"])], {"x": (3,)})
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3]))
    with pytest.raises(HwquantError, match=r"output 'x' is declared with two element types"):
        from_onnx(model)


def test_an_output_without_a_type(build_onnx, check_onnx):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    model.graph.output[0].ClearField("type")
    check_onnx(model)


def test_constant_nodes_in_a_model_of_the_oldest_format(build_onnx, check_onnx):
    """As torch exports ``1 - x`` for operator set 7: weights must be inputs there, but not constants."""
    one = make_node("Constant", [], ["one"], value=onnx.numpy_helper.from_array(np.float32(1)))
    model = build_onnx([one, make_node("Sub", ["one", "x"], ["y"])], {"x": (3,)}, opset=7)
    model.ir_version = 3
    check_onnx(model)


def test_weights_behind_a_scale_in_every_operator_set_that_has_one(build_onnx, check_onnx):
    nodes = [
        make_node("DequantizeLinear", ["q", "s", "z"], ["negative"]),
        make_node("Neg", ["negative"], ["w"]),  # else onnxruntime multiplies integers
        make_node("MatMul", ["x", "w"], ["y"]),
    ]
    quantized = np.random.default_rng(0).integers(-128, 128, (5, 3)).astype(np.int8)
    constants = {"q": quantized, "s": np.float32(0.25), "z": np.int8(7)}
    for opset in (10, 13, 19, 21):
        check_onnx(build_onnx(nodes, {"x": (5,)}, constants, opset=opset))


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (TensorProto.FLOAT16, 1 << 16),
        (TensorProto.FLOAT16, -1),
        (TensorProto.BFLOAT16, 1 << 16),
        (TensorProto.UINT8, 256),
        (TensorProto.UINT8, -1),
        (TensorProto.INT8, 128),
        (TensorProto.INT16, -(1 << 15) - 1),
        (TensorProto.BOOL, 2),
    ],
)
def test_numbers_beyond_their_element_type_are_refused(build_onnx, kind, number):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    model.graph.initializer.append(TensorProto(name="t", dims=[1], data_type=kind, int32_data=[number]))
    with pytest.raises(HwquantError, match=r"tensor 't' holds numbers beyond its element type"):
        from_onnx(model)


def test_external_data_is_read_from_beside_the_model(build_onnx, tmp_path):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    np.testing.assert_array_equal(from_onnx(path).nodes[0].weight, W["w"].astype(np.float32))
    (tmp_path / "net.data").unlink()
    with pytest.raises(
        HwquantError, match=r"net\.onnx' are in a separate file that cannot be read: .*net\.data"
    ):
        from_onnx(path)


def with_weights_in_a_file(model, folder, entries, size=4 * 2 * 9 * 4):
    tensor = model.graph.initializer[0]
    data, path = tensor.raw_data, folder / "net.onnx"
    with (folder / "net.data").open("wb") as file:
        file.write(data)
        file.truncate(size)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries:
        tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def test_of_external_data_without_a_length_only_the_tensors_own_size_is_read(build_onnx, tmp_path):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    path = with_weights_in_a_file(model, tmp_path, [("location", "net.data")], size=1 << 31)
    np.testing.assert_array_equal(from_onnx(path).nodes[0].weight, W["w"].astype(np.float32))


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([("length", str(1 << 30))], r"'w' has \d+ bytes of data, more than its 288"),
        ([("location", "net.data")], r"'w' says where its data is by \['location', 'location'\]"),
        ([("place", "here")], r"'w' says where its data is by \['location', 'place'\]"),
        ([("offset", "0.5")], r"'0.5'"),
    ],
)
def test_external_data_that_is_described_wrongly_is_refused(build_onnx, tmp_path, entries, reason):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    path = with_weights_in_a_file(model, tmp_path, [("location", "net.data"), *entries], size=1 << 31)
    with pytest.raises(HwquantError, match=reason):
        from_onnx(path)


def test_external_data_of_an_unknown_type_is_refused(build_onnx, tmp_path):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    model.graph.initializer[0].data_type = 99
    with pytest.raises(HwquantError, match=r"net\.onnx' are in a separate file that cannot be read: 99"):
        from_onnx(with_weights_in_a_file(model, tmp_path, [("location", "net.data")]))


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd"])
def test_external_data_outside_the_models_folder_is_refused(build_onnx, tmp_path, location):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    (tmp_path / "secret").write_bytes(bytes(1000))
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "net.onnx"
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    path.write_bytes(model.SerializeToString())
    with pytest.raises(HwquantError, match=r"separate file that cannot be read"):
        from_onnx(path)


def test_a_model_in_memory_whose_data_is_elsewhere_is_refused(build_onnx):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, "net.data")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    with pytest.raises(HwquantError, match=r"net"):
        from_onnx(model)


def test_files_that_are_no_models_are_refused(build_onnx, tmp_path):
    path = tmp_path / "net.onnx"
    with pytest.raises(HwquantError, match=r"cannot read '.*net.onnx': No such file"):
        from_onnx(path)
    with pytest.raises(HwquantError, match=r"cannot read .*: Is a directory"):
        from_onnx(tmp_path)
    rng = np.random.default_rng(0)
    for content in (b"", b"hello", bytes(100), *(rng.bytes(size) for size in range(1, 200, 7))):
        path.write_bytes(content)
        with pytest.raises(HwquantError, match=r"not an ONNX model|not a valid ONNX model"):
            from_onnx(path)
    whole = build_onnx(RELU, {"x": (2, 5, 5)}, W).SerializeToString()
    for size in range(0, len(whole), 5):
        path.write_bytes(whole[:size])
        with pytest.raises(HwquantError):
            from_onnx(path)
    path.write_bytes(whole)
    assert len(from_onnx(path).nodes) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.graph.input[0].type.tensor_type.shape.dim[2].ClearField("dim_value"),
            r"dimension 2 of input 'x'",
        ),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[3], "dim_param", "W"),
            r"3 \('W'\) of input 'x'",
        ),
        (lambda m: m.graph.input[0].ClearField("type"), r"not a valid ONNX model: input 'x' has no type"),
        (lambda m: m.graph.input[0].type.tensor_type.ClearField("shape"), r"input 'x' has no shape|'shape'"),
        (lambda m: setattr(m.opset_import[0], "version", 999), r"set 999, the installed onnx package"),
        (lambda m: m.graph.initializer.pop(), r"reads tensor 'w'|not a valid ONNX model.*w"),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.STRING),
            r"'x' is not a tensor of real",
        ),
        (
            lambda m: setattr(m.graph.node[1], "domain", "com.example"),
            r"node 'relu' \(Relu\): .*domain 'com.example'",
        ),
        (lambda m: m.graph.ClearField("output"), r"has no outputs|not a valid"),
        (
            lambda m: setattr(m.graph.output[0], "name", "w"),
            r"output 'w' does not depend on the network's input",
        ),
        (
            lambda m: setattr(m.graph.initializer[0], "raw_data", bytes(8)),
            r"tensor 'w' cannot be read|not a valid",
        ),
    ],
)
def test_models_that_cannot_be_imported_say_why(build_onnx, change, message):
    model = build_onnx(RELU, {"x": (2, 5, 5)}, W)
    change(model)
    if "com.example" in message:
        model.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(HwquantError, match=message):
        from_onnx(model)


def test_inputs_of_different_batches_are_refused(build_onnx):
    model = build_onnx([make_node("Add", ["a", "b"], ["y"])], {"a": (2,), "b": (2,)}, batch=3)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(HwquantError, match=r"different batch sizes \[1, 3\]"):
        from_onnx(model)


def test_an_input_that_is_an_output_is_a_network_without_nodes(build_onnx, check_onnx):
    graph = check_onnx(
        build_onnx([make_node("Mul", ["x", "two"], ["y"])], {"x": (3, 2)}, {"two": np.float32(2)})
    )
    assert graph.nodes == ()


def test_constants_whose_types_are_declared_decide_shapes(build_onnx, check_onnx):
    """As onnxruntime writes a model before it quantizes it: axes and steps are one constant."""
    places = {"first": np.array([1]), "last": np.array([3]), "one": np.array([1])}
    nodes = [
        make_node("Conv", ["x", "w"], ["a"]),
        make_node("Slice", ["a", "first", "last", "one", "one"], ["b"]),
        make_node("GlobalAveragePool", ["b"], ["c"]),
        make_node("Flatten", ["c"], ["d"]),
        make_node("Gemm", ["d", "v"], ["y"]),
    ]
    model = build_onnx(nodes, {"x": (2, 5, 5)}, W | places | {"v": np.ones((2, 3))})
    model.graph.value_info.extend(
        helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in places
    )
    check_onnx(model)
