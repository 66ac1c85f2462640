"""What a node carries beside its usual inputs: used as the oracles use it, or refused by name."""

import numpy as np
import onnx
import pytest
from hwquant_testing.limits import attempt
from hwquant_testing.onnx_oracle import disagreement, feeds
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node

import hwquant
from hwquant.errors import Damaged, HwquantError, Unsupported
from hwquant.fingerprint import fingerprint
from hwquant.floating import predict
from hwquant.frontends import from_onnx, load_model
from hwquant.frontends.onnx_reader import read_onnx
from hwquant.frontends.tensors import ANY_BATCH
from hwquant.graph import AveragePool, MaxPool

CONV = make_node("Conv", ["x", "w"], ["c"], name="conv")


def build(nodes, constants=None, shape=(3, 6, 6), kind=TensorProto.FLOAT, opset=17, result=TensorProto.FLOAT):
    """One input ``x``, one output ``y`` whose shape is left out; constants as they are."""
    rng = np.random.default_rng(7)
    arrays = {"w": rng.normal(size=(16, 3, 3, 3)).astype(np.float32)} | (constants or {})
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, ["N", *shape])],
        [helper.make_tensor_value_info("y", result, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def check(model):
    """Equal to onnxruntime, or to the reference evaluator."""
    graph = read_onnx(model)
    assert disagreement(model, graph, 0) is None
    return graph


@pytest.mark.parametrize("attributes", [{"start": 1}, {"start": -3, "end": 2}, {"start": 1, "end": -1}])
def test_shape_has_start_and_end(attributes):
    nodes = [
        CONV,
        make_node("Shape", ["c"], ["s"], **attributes),
        make_node("Gather", ["s", "zero"], ["d"]),
        make_node("Cast", ["d"], ["f"], to=TensorProto.FLOAT),
        make_node("Sqrt", ["f"], ["q"]),
        make_node("Div", ["c", "q"], ["y"]),
    ]
    check(build(nodes, {"zero": np.array(0)}))


def test_an_open_batch_is_flattened_by_what_shape_says_of_it():
    nodes = [
        CONV,
        make_node("Shape", ["c"], ["s"], start=0, end=1),
        make_node("Concat", ["s", "rest"], ["t"], axis=0),
        make_node("Reshape", ["c", "t"], ["y"]),
    ]
    assert check(build(nodes, {"rest": np.array([-1])})).outputs[0].shape == (256,)


def test_a_network_that_computes_with_the_size_of_its_batch_is_refused():
    nodes = [
        CONV,
        make_node("Shape", ["c"], ["s"], end=1),
        make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        make_node("Div", ["c", "f"], ["y"]),
    ]
    with pytest.raises(Unsupported, match=r"'net' computes with the size of its batch"):
        read_onnx(build(nodes))


def test_a_model_whose_shapes_fit_one_sample_only_is_read_for_one():
    nodes = [CONV, make_node("Reshape", ["c", "t"], ["r"]), make_node("MatMul", ["r", "v"], ["y"])]
    model = build(nodes, {"t": np.array([1, -1]), "v": np.ones((256, 2), np.float32)})
    fixed = build(nodes, {"t": np.array([1, -1]), "v": np.ones((256, 2), np.float32)})
    fixed.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert read_onnx(model).outputs[0].shape == (2,)
    assert fingerprint(read_onnx(model)) == fingerprint(read_onnx(fixed))


def test_a_model_that_joins_its_samples_is_only_read_for_one_where_the_user_says_so():
    nodes = [CONV, make_node("Reshape", ["c", "t"], ["r"]), make_node("Reshape", ["r", "u"], ["y"])]
    model = build(nodes, {"t": np.array([-1]), "u": np.array([1, -1])})
    with pytest.raises(Unsupported, match=rf"was taken to be {ANY_BATCH}, and .*; fix it with --shape x=1,"):
        from_onnx(model)
    shape = (1, *(dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    assert from_onnx(model, shapes={"x": shape}).outputs[0].shape == (256,)


@pytest.mark.parametrize(
    ("source", "target"), [("UINT8", "INT8"), ("UINT8", "BOOL"), ("INT32", "INT16"), ("INT8", "UINT32")]
)
def test_a_cast_of_an_input_that_would_change_it_is_refused_by_name(source, target):
    kinds = getattr(TensorProto, source), getattr(TensorProto, target)
    nodes = [make_node("Cast", ["x"], ["s"], to=kinds[1]), make_node("Cast", ["s"], ["y"], to=1)]
    with pytest.raises(Unsupported, match=rf"\(Cast\): a cast from {source.lower()} to {target.lower()}"):
        read_onnx(build(nodes, kind=kinds[0]))


@pytest.mark.parametrize("target", ["INT16", "INT32", "INT64", "FLOAT16", "DOUBLE"])
def test_a_cast_of_an_input_that_keeps_every_number_is_nothing(target):
    kind = getattr(TensorProto, target)
    nodes = [make_node("Cast", ["x"], ["s"], to=kind), make_node("Cast", ["s"], ["f"], to=1)]
    check(build([*nodes, make_node("Conv", ["f", "w"], ["y"])], kind=TensorProto.UINT8))


STATISTICS = {name: np.full(16, value, np.float32) for name, value in zip("gbmv", (1.5, 0.5, 0.25, 2.0))}


def test_batch_normalization_in_training_mode_is_refused_however_it_says_so():
    node = make_node("BatchNormalization", ["c", *STATISTICS], ["y", "m2", "v2", "m3", "v3"])
    with pytest.raises(Unsupported, match=r"output 'm2' \(mean\) is not supported; .*evaluation mode"):
        read_onnx(build([CONV, node], STATISTICS, opset=9))


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("after", [None, "Flatten", "Unsqueeze", "Transpose"])
def test_an_argmax_has_the_shape_that_the_model_gives_it(keepdims, after):
    nodes = [CONV, make_node("ArgMax", ["c"], ["y" if after is None else "m"], axis=1, keepdims=keepdims)]
    inputs, attributes = ["m"], {}
    if after == "Unsqueeze":
        inputs = ["m", "two"]
    if after == "Transpose":
        attributes = {"perm": [0, *range(3 if keepdims else 2, 0, -1)]}
    if after:
        nodes.append(make_node(after, inputs, ["y"], **attributes))
    model = build(nodes, {"two": np.array([2])}, result=TensorProto.INT64)
    check(model)
    (want,) = onnx.reference.ReferenceEvaluator(model).run(None, feeds(model, 1))
    np.testing.assert_array_equal(predict(read_onnx(model), feeds(model, 1)["x"])[0], want)


def test_a_squeeze_of_no_axes_is_one_of_all():
    nodes = [make_node("GlobalMaxPool", ["x"], ["g"]), make_node("Squeeze", ["g"], ["y"])]
    nodes[1].attribute.append(helper.make_attribute("axes", [], attr_type=onnx.AttributeProto.INTS))
    assert check(build(nodes, opset=11)).outputs[0].shape == (3,)


@pytest.mark.parametrize("condition", [True, False])
def test_an_if_whose_condition_is_constant_is_its_branch(condition):
    yes = [make_node("Squeeze", ["g", "axes"], ["inside"]), make_node("Relu", ["inside"], ["result"])]
    no = [make_node("Flatten", ["g"], ["inside"]), make_node("Neg", ["inside"], ["result"])]
    info = [helper.make_tensor_value_info("result", TensorProto.FLOAT, ["N", 16])]
    branches = {
        "then_branch": helper.make_graph(yes, "yes", [], info),
        "else_branch": helper.make_graph(no, "no", [], info),
    }
    nodes = [CONV, make_node("GlobalAveragePool", ["c"], ["g"]), make_node("If", ["if"], ["y"], **branches)]
    check(build(nodes, {"if": np.array(condition), "axes": np.array([2, 3])}))


def test_the_order_of_nodes_does_not_decide_whether_a_shared_input_is_accepted():
    conv = [
        make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        make_node("Conv", ["t", "w"], ["a"]),
        make_node("Flatten", ["a"], ["af"]),
        make_node("Gemm", ["af", "w3"], ["k"]),
    ]
    flat = [make_node("Flatten", ["x"], ["xf"]), make_node("Gemm", ["xf", "w2"], ["g"])]
    rng = np.random.default_rng(0)
    constants = {"w2": rng.normal(size=(90, 5)), "w3": rng.normal(size=(192, 5))}
    constants = {name: array.astype(np.float32) for name, array in constants.items()}
    for order in (conv + flat, flat + conv):
        model = build([*order, make_node("Add", ["g", "k"], ["y"])], constants, (6, 5, 3))
        assert check(model).inputs[0].tensor_shape == (3, 6, 5)


@pytest.mark.parametrize("fill", [-np.inf, np.finfo(np.float32).min])
def test_minus_infinity_before_a_max_pool_is_its_padding(fill):
    nodes = [
        CONV,
        make_node("Pad", ["c", "p", "v"], ["q"]),
        make_node("MaxPool", ["q"], ["y"], kernel_shape=[2, 2]),
    ]
    constants = {"p": np.array([0, 0, 0, 1, 0, 0, 1, 1]), "v": np.float32(fill)}
    graph = check(build(nodes, constants))
    assert [type(node) for node in graph.nodes][1:] == [MaxPool]
    assert graph.nodes[1].window.padding == (0, 1, 1, 1)
    nodes[2] = make_node("AveragePool", ["q"], ["y"], kernel_shape=[2, 2])
    with pytest.raises(Unsupported, match=r"minus infinity, which only works before a max pool"):
        read_onnx(build(nodes, constants))


def test_zeros_are_not_the_padding_of_a_max_pool_with_a_window_that_sees_nothing_else():
    nodes = [
        make_node("Relu", ["x"], ["r"]),
        make_node("Pad", ["r", "p"], ["q"]),
        make_node("MaxPool", ["q"], ["y"], kernel_shape=[3, 1], dilations=[2, 1], pads=[1, 0, 1, 0]),
    ]
    check(build(nodes, {"p": np.array([0, 0, 0, 0, 0, 0, 2, 0])}, (3, 1, 4)))


def test_an_output_without_a_shape_and_an_input_that_nothing_reads_are_accepted():
    model = build([CONV, make_node("Relu", ["c"], ["y"])])
    model.graph.input.append(helper.make_tensor_value_info("unused", TensorProto.FLOAT, ["N", 7]))
    data = feeds(model, 0, batch=8)
    quantized = hwquant.quantize_network(read_onnx(model), data)
    assert hwquant.predict(quantized, data)[0].shape == (8, 16, 4, 4)


def test_an_average_that_leaves_out_its_padding_is_evaluated():
    node = make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    pools = [item for item in check(build([node])).nodes if isinstance(item, AveragePool)]
    assert sorted(item.window.kernel for item in pools) == [(2, 2), (2, 3), (3, 2), (3, 3)]


HALF = {"h": np.ones((16, 3, 3, 3), np.float16), "i": np.ones((16, 3, 3, 3), np.int8)}


@pytest.mark.parametrize(
    ("nodes", "options", "message"),
    [
        ([make_node("Conv", ["x", "h"], ["y"])], {}, r"node 'y' \(Conv\): W has inconsistent type"),
        ([make_node("Conv", ["x", "i"], ["y"])], {}, r"\(Conv\): W typestr: T, has unsupported type"),
        ([make_node("Conv", ["x", "w"], ["y"])], {"kind": TensorProto.FLOAT16}, r"inconsistent type"),
        (
            [make_node("Relu", ["x"], ["y"])],
            {"kind": TensorProto.FLOAT8E4M3FN},
            r"'x' .* float8e4m3fn: float8",
        ),
        ([make_node("Relu", ["x"], ["y"])], {"kind": TensorProto.BOOL}, r"'x' .* bool: truth values"),
        (
            [make_node("Relu", ["x"], ["y"])],
            {"kind": 0},
            r"input 'x' has the element type 0, which there is not",
        ),
        ([make_node("Relu", ["x"], ["y"])], {"kind": 99}, r"input 'x' has the element type 99"),
        (
            [make_node("Neg", ["x"], ["y"])],
            {"kind": 6, "result": 6},
            r"'x' has the element type int32; cast it",
        ),
        (
            [make_node("Neg", ["x"], ["y"], name="a"), make_node("Neg", ["x"], ["z"], name="a")],
            {},
            r"two nodes",
        ),
        (
            [make_node("Relu", ["x"], ["y"], alpha=1.0)],
            {},
            r"Unrecognized attribute: alpha for operator Relu",
        ),
        ([make_node("Clip", ["x"], ["y"], min=0.0)], {}, r"Unrecognized attribute: min"),
        (
            [make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=2)],
            {},
            r"ceil_mode=2 is invalid; it must be one of 0, 1",
        ),
        (
            [
                make_node(
                    "AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[1, 1, 1, 1], auto_pad="VALID"
                )
            ],
            {},
            r"it has pads \[1, 1, 1, 1\] beside auto_pad 'VALID'",
        ),
        (
            [make_node("ArgMax", ["x"], ["y"], axis=1, select_last_index=1)],
            {"result": 7},
            r"select_last_index=1 is not supported; the first of equal ones",
        ),
        (
            [make_node("BatchNormalization", ["x", *"aaaa"], ["y"], spatial=0)],
            {"opset": 7},
            r"spatial=0 is not supported; statistics of single pixels",
        ),
        (
            [make_node("FloatQuant", ["x"], ["y"], domain="onnx.brevitas")],
            {},
            r"\(FloatQuant\): the array computes",
        ),
        ([make_node("Neg", ["x"], ["y"], domain="com.microsoft")], {}, r"domain 'com.microsoft' are not"),
        ([make_node("LeakyRelu", ["x"], ["y"], alpha=1e30)], {}, r"its slope 1e\+30 is too steep"),
    ],
)
def test_what_is_invalid_or_not_computed_is_refused_by_name(nodes, options, message):
    constants = HALF | {"a": np.ones(3, np.float32)}
    model = build(nodes, constants, **options)
    if nodes[0].op_type == "BatchNormalization":
        del model.graph.initializer[:-1]
        model.graph.input.extend(
            helper.make_tensor_value_info(item.name, item.data_type, item.dims)
            for item in model.graph.initializer
        )
    with pytest.raises(HwquantError, match=message):
        read_onnx(model)


NUMBER = 10**6
BOMBS = {
    "ConstantOfShape": ([make_node("ConstantOfShape", ["s"], ["k"])], {"s": np.array([NUMBER, NUMBER])}),
    "Expand": ([make_node("Expand", ["o", "s"], ["k"])], {"s": np.array([NUMBER, NUMBER])}),
    "Tile": ([make_node("Tile", ["o", "s"], ["k"])], {"s": np.array([NUMBER, NUMBER])}),
    "Range": (
        [make_node("Range", ["a", "b", "d"], ["k"])],
        {"a": np.array(0), "b": np.array(10**12), "d": np.array(1)},
    ),
    "Concat": (
        [make_node("Concat", [f"k{i}" if i else "o"] * 2, [f"k{i + 1}"], axis=0) for i in range(40)]
        + [make_node("Identity", ["k40"], ["k"])],
        {},
    ),
    "MatMul": (
        [make_node("ConstantOfShape", ["s"], ["m"]), make_node("MatMul", ["m", "m"], ["k"])],
        {"s": np.array([4096, 4096])},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_a_constant_that_is_too_large_is_refused_before_it_is_made(kind):
    nodes, constants = BOMBS[kind]
    end = [
        make_node("Cast", ["k"], ["f"], to=1),
        make_node("ReduceSum", ["f"], ["t"], keepdims=0),
        make_node("Add", ["x", "t"], ["y"]),
    ]
    model = build([*nodes, *end], constants | {"o": np.ones((1, 1), np.float32)}, (1,))
    error = attempt(read_onnx, model)
    assert isinstance(error, Unsupported)
    assert f"({kind}): it computes a constant of" in str(error)


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ([CONV, make_node("Relu", ["c"], ["y"])], (3, 10**6, 6)),
        ([make_node("Relu", ["x"], ["y"])], (10**6, 2**20)),
        ([make_node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1], strides=[1, 2**40])], (1, 1, 2**40)),
        (
            [
                make_node(
                    "Transpose",
                    ["x" if i == 0 else f"t{i}"],
                    [f"t{i + 1}" if i < 99 else "y"],
                    perm=[0, 2, 1],
                )
                for i in range(100)
            ],
            (1000, 4000),
        ),
    ],
)
def test_shapes_that_are_too_large_are_refused_soon(nodes, shape):
    error = attempt(read_onnx, build(nodes, shape=shape))
    assert isinstance(error, Unsupported)
    assert "too large" in str(error)


def test_a_window_beyond_any_image_is_refused_soon():
    node = make_node("Conv", ["x", "w"], ["y"], pads=[0, 0, 2**30, 0], strides=[2**30, 1])
    error = attempt(read_onnx, build([node]))
    assert isinstance(error, Unsupported)
    assert (
        "stride [1073741824, 1], dilation [1, 1] or padding [0, 0, 1073741824, 0] is beyond any image"
        in str(error)
    )


def test_a_tensorflow_lite_file_is_called_one(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100))
    with pytest.raises(Damaged, match=r"net\.onnx' is a TensorFlow Lite file that is damaged or truncated"):
        load_model(path)
    with pytest.raises(Unsupported, match=r"net\.onnx' is a TensorFlow Lite file, which is no ONNX model"):
        read_onnx(path)


def test_errors_can_be_told_apart():
    with pytest.raises(Unsupported) as caught:
        read_onnx(build([CONV, make_node("Hardmax", ["c"], ["y"], name="s")]))
    assert (caught.value.where, caught.value.operator) == ("node 's'", "Hardmax")
    with pytest.raises(Damaged):
        read_onnx(build([make_node("Conv", ["x", "nothing"], ["y"])]))


def test_sparse_initializers_are_refused():
    model = build([CONV, make_node("Relu", ["c"], ["y"])])
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    places = helper.make_tensor("places", TensorProto.INT64, [1], [0])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    with pytest.raises(Unsupported, match=r"'sparse' is a sparse initializer"):
        read_onnx(model)


def test_an_open_batch_that_a_reshape_fixes_is_refused():
    nodes = [make_node("Relu", ["x"], ["r"]), make_node("Reshape", ["r", "s"], ["y"])]
    model = build(nodes, {"s": np.array([2, 3], np.int64)}, (3, 1, 1))
    with pytest.raises(Unsupported, match=r"\(Reshape\)"):
        read_onnx(model)
