"""Operator sets 1 to 6: written as set 7 while they are read, with the results that they had."""

import contextlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node

from hwquant.errors import HwquantError, Unsupported
from hwquant.floating import predict
from hwquant.frontends.onnx_old import CONVERSIONS, OLDEST_OPSET, modernized
from hwquant.frontends.onnx_reader import read_onnx

RNG = np.random.default_rng(11)
OLD = range(1, OLDEST_OPSET)


def array(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def model(nodes, constants, opset, shape=(1, 3, 4, 5), inputs=("x",), dtype=TensorProto.FLOAT):
    """A model as it was written then: initializers are inputs too."""
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, dtype, shape) for name in inputs]
        + [helper.make_tensor_value_info(item.name, item.data_type, item.dims) for item in tensors],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3)


def check(made, expected):
    graph = read_onnx(made)
    x = {item.name: array(1, *item.shape) for item in graph.inputs}
    np.testing.assert_allclose(predict(graph, x)[0], expected(*x.values()), rtol=1e-4, atol=1e-5)


def test_every_operator_that_changed_has_a_conversion():
    versions = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= OLDEST_OPSET:
            versions.setdefault(schema.name, []).append(schema.since_version)
    assert {name for name, found in versions.items() if len(found) > 1} == set(CONVERSIONS)


def test_every_attribute_that_a_later_operator_set_lacks_is_taken_by_its_conversion(monkeypatch):
    """What is left of an old attribute would be refused; what is declared to go is taken by the conversion."""
    from hwquant.frontends import onnx_old

    taken = set()
    original = onnx_old._take
    monkeypatch.setattr(
        onnx_old, "_take", lambda node, name: (taken.add((node.op_type, name)), original(node, name))[1]
    )
    wanted = set()
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain or schema.since_version >= OLDEST_OPSET or schema.name not in CONVERSIONS:
            continue
        new = onnx.defs.get_schema(schema.name, OLDEST_OPSET, "")
        wanted |= {(schema.name, name) for name in schema.attributes if name not in new.attributes}
        node = make_node(schema.name, [f"i{n}" for n in range(len(schema.inputs))], ["y"])
        made = helper.make_model(
            helper.make_graph([node], "g", [], []),
            opset_imports=[helper.make_opsetid("", schema.since_version)],
        )
        with contextlib.suppress(
            Unsupported, TypeError, ValueError
        ):  # of nodes without attributes and shapes
            modernized(made, schema.since_version)
    assert wanted <= taken | {("Upsample", "width_scale")}


@pytest.mark.parametrize("opset", OLD)
@pytest.mark.parametrize(
    ("operator", "function"),
    [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide)],
)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((3, 4, 5), None),
        ((5,), None),
        ((3,), 1),
        ((3, 4), 1),
        ((4,), 2),
        ((4, 5), 2),
        ((1, 3), 0),
        ((1,), None),
    ],
)
def test_arithmetic_says_where_the_axes_of_its_second_operand_are(opset, operator, function, shape, axis):
    constant = np.abs(array(*shape)) + 1
    given = {"broadcast": 1} if axis is None else {"broadcast": 1, "axis": axis}
    if opset < 6:
        given["consumed_inputs"] = [0, 0]
    made = model([make_node(operator, ["x", "c"], ["y"], **given)], {"c": constant}, opset)
    first = 4 - len(shape) if axis is None else axis
    full = constant.reshape((1,) * first + shape + (1,) * (4 - first - len(shape)))
    check(made, lambda x: function(x, full))


@pytest.mark.parametrize("opset", OLD)
def test_operands_without_broadcast_have_one_shape(opset):
    nodes = [make_node("Relu", ["x"], ["r"]), make_node("Add", ["x", "r"], ["y"])]
    check(model(nodes, {}, opset), lambda x: x + np.maximum(x, 0))
    made = model([make_node("Add", ["x", "c"], ["y"])], {"c": array(5)}, opset)
    with pytest.raises(Unsupported, match=r"shapes \[1, 3, 4, 5\] and \[5\] without broadcast"):
        read_onnx(made)


def test_axes_that_are_not_there_are_refused():
    for axis in (-1, 3, 9):
        made = model([make_node("Add", ["x", "c"], ["y"], broadcast=1, axis=axis)], {"c": array(4, 5)}, 6)
        with pytest.raises(Unsupported, match=rf"2 axes from axis {axis} on are not in the 4"):
            read_onnx(made)


def statistics():
    return {"s": array(3), "b": array(3), "m": array(3), "v": np.abs(array(3)) + 1}


@pytest.mark.parametrize("opset", OLD)
@pytest.mark.parametrize("told", [True, False])
def test_batch_normalization(opset, told):
    constants = statistics()
    given = {"is_test": 1} if told else {}
    if opset < 6:
        given["consumed_inputs"] = [0, 0, 0, 1, 1]
    node = make_node("BatchNormalization", ["x", *constants], ["y"], epsilon=0.01, **given)
    s, b, m, v = (item.reshape(1, 3, 1, 1) for item in constants.values())
    check(model([node], constants, opset), lambda x: (x - m) / np.sqrt(v + 0.01) * s + b)


def test_training_is_refused():
    constants = statistics()
    outputs = ["y", "om", "ov", "sm", "sv"]
    for node, message in (
        (make_node("BatchNormalization", ["x", *constants], ["y"], is_test=0), r"is_test=0 is training mode"),
        (make_node("BatchNormalization", ["x", *constants], outputs), r"training mode"),
        (make_node("Dropout", ["x"], ["y"], is_test=0), r"is_test=0 is training mode"),
    ):
        with pytest.raises(Unsupported, match=message):
            read_onnx(model([node], constants, 6))


@pytest.mark.parametrize("opset", OLD)
def test_a_network_of_old_operators(opset):
    """Convolution, bias along axis 1, slopes of channels, pools, dropout, reshape, and a product with a bias."""
    constants = {
        "w": array(6, 3, 3, 3),
        "bias": array(6),
        "slope": np.abs(array(6)) / 4,
        "fc": array(2, 12),
        "fc_bias": array(2),
    }
    hints = {"consumed_inputs": [0]} if opset < 6 else {}
    nodes = [
        make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]),
        make_node("Add", ["c", "bias"], ["d"], broadcast=1, axis=1),
        make_node("PRelu", ["d", "slope"], ["e"], **hints),
        make_node("AveragePool", ["e"], ["f"], kernel_shape=[1, 2], strides=[1, 1]),
        make_node("Dropout", ["f"], ["g"], is_test=1, ratio=0.5, **hints),
        make_node("Concat", ["g"], ["h"]) if opset < 4 else make_node("Concat", ["g"], ["h"], axis=1),
    ]
    if opset < 5:
        nodes.append(make_node("Reshape", ["h"], ["i"], shape=[0, -1], **hints))
    else:
        constants["shape"] = np.array([0, -1])
        nodes.append(make_node("Reshape", ["h", "shape"], ["i"]))
    nodes.append(make_node("Gemm", ["i", "fc", "fc_bias"], ["y"], transB=1, broadcast=1))

    def expected(x):
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
        d = np.einsum("nchwij,ocij->nohw", windows, constants["w"]) + constants["bias"].reshape(1, 6, 1, 1)
        e = np.where(d > 0, d, d * constants["slope"].reshape(1, 6, 1, 1))
        f = (e[..., :-1] + e[..., 1:]) / 2
        return f.reshape(1, -1)[:, :] @ constants["fc"].T + constants["fc_bias"]

    check(model(nodes, constants, opset, (1, 3, 3, 5)), expected)


@pytest.mark.parametrize("opset", [1, 2, 6])
def test_padding_under_both_names(opset):
    pads = [0, 0, 1, 2, 0, 0, 3, 0]
    node = make_node("Pad", ["x"], ["y"], **{"paddings" if opset < 2 else "pads": pads})
    check(model([node], {}, opset), lambda x: np.pad(x, ((0, 0), (0, 0), (1, 3), (2, 0))))


def test_a_cast_names_its_type():
    nodes = [make_node("Cast", ["x"], ["c"], to="FLOAT"), make_node("Relu", ["c"], ["y"])]
    check(model(nodes, {}, 1, dtype=TensorProto.DOUBLE), lambda x: np.maximum(x, 0))
    with pytest.raises(Unsupported, match=r"there is no element type 'FLOTA'"):
        read_onnx(model([make_node("Cast", ["x"], ["y"], to="FLOTA")], {}, 1))


def test_constants_are_computed_from_old_operators():
    nodes = [
        make_node("Reshape", ["c"], ["r"], shape=[3]),
        make_node("Mul", ["r", "two"], ["m"], broadcast=1),
        make_node("Add", ["x", "m"], ["y"], broadcast=1, axis=1),
    ]
    constants = {"c": array(1, 3), "two": np.float32([2])}
    check(model(nodes, constants, 1), lambda x: x + 2 * constants["c"].reshape(1, 3, 1, 1))


def test_an_open_batch_is_converted_too():
    made = model(
        [make_node("Add", ["x", "c"], ["y"], broadcast=1, axis=1)], {"c": array(3)}, 6, ("n", 3, 4, 5)
    )
    assert read_onnx(made).outputs[0].shape == (3, 4, 5)


def test_the_model_itself_is_left_as_it_is():
    made = model([make_node("Add", ["x", "c"], ["y"], broadcast=1, axis=1)], {"c": array(3)}, 6)
    before = made.SerializeToString()
    read_onnx(made)
    assert made.SerializeToString() == before


def test_a_model_of_no_operator_set_is_refused():
    made = model([make_node("Relu", ["x"], ["y"])], {}, 6)
    made.opset_import[0].version = 0
    with pytest.raises(HwquantError, match=r"operator set"):
        read_onnx(made)
