"""Branches of ``If`` nodes that shapes and constants decide, against onnxruntime."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.helper import make_node
from onnx.numpy_helper import from_array

from hwquant import floating
from hwquant.errors import Unsupported
from hwquant.frontends import from_onnx
from hwquant.frontends.onnx_branches import decided


def branch(name, *nodes, gives="out", constants=()):
    info = helper.make_tensor_value_info(gives, TensorProto.FLOAT, None)
    tensors = [from_array(np.asarray(array, kind), label) for label, array, kind in constants]
    return helper.make_graph(list(nodes), name, [], [info], tensors)


def condition(axis, size):
    """Nodes that compare the size of an axis of ``c``."""
    return [
        make_node("Shape", ["c"], ["sizes"]),
        make_node("Constant", [], ["axis"], value=from_array(np.int64(axis))),
        make_node("Gather", ["sizes", "axis"], ["size"]),
        make_node("Constant", [], ["wanted"], value=from_array(np.int64(size))),
        make_node("Equal", ["size", "wanted"], ["is"]),
    ]


def model(*nodes, batch=1):
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 2, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [make_node("Conv", ["x", "w"], ["c"], name="conv"), *nodes],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 2, 5, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def assert_equal(proto, kinds=None, host=False):
    import onnxruntime

    x = np.random.default_rng(1).standard_normal((1, 2, 5, 6)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, {"x": x})
    kept = proto.SerializeToString(deterministic=True)
    graph = from_onnx(proto, host=host)
    np.testing.assert_allclose(floating.predict(graph, x)[0], wanted, rtol=1e-5, atol=1e-6)
    assert (graph.host is not None) == host
    (twin,) = onnxruntime.InferenceSession(decided(proto).SerializeToString()).run(None, {"x": x})
    np.testing.assert_array_equal(twin, wanted)
    assert kinds is None or [type(node).__name__ for node in graph.nodes] == kinds
    assert proto.SerializeToString(deterministic=True) == kept, "the argument is left as it is"


RELU = branch("relu", make_node("Relu", ["c"], ["out"]))
SCALED = branch(
    "scaled",
    make_node("Mul", ["c", "factor"], ["half"]),
    make_node("Relu", ["half"], ["out"]),
    constants=[("factor", [-0.5], np.float32)],
)


@pytest.mark.parametrize("size", [4, 5])
@pytest.mark.parametrize("batch", [1, "batch"])
def test_the_branch_that_a_shape_decides_is_taken(size, batch):
    chosen = make_node("If", ["is"], ["y"], then_branch=RELU, else_branch=SCALED)
    assert_equal(model(*condition(1, size), chosen, batch=batch), ["Conv", "Clip"])


def test_a_branch_may_give_a_tensor_from_outside():
    outside = branch("outside", make_node("Identity", ["c"], ["out"]))
    chosen = make_node("If", ["is"], ["d"], then_branch=outside, else_branch=RELU)
    assert_equal(model(*condition(2, 3), chosen, make_node("Relu", ["d"], ["y"])), ["Conv", "Clip"])


def test_branches_in_branches_and_equal_names_in_two_of_them():
    inner = make_node("If", ["is"], ["inner"], then_branch=SCALED, else_branch=RELU)
    nested = branch("nested", inner, make_node("Relu", ["inner"], ["out"]))
    first = make_node("If", ["is"], ["d"], then_branch=nested, else_branch=RELU)
    second = make_node("If", ["is"], ["e"], then_branch=SCALED, else_branch=RELU)
    total = make_node("Add", ["d", "e"], ["y"])
    assert_equal(model(*condition(1, 4), first, second, total))


def test_what_a_branch_gives_may_decide_the_next_one():
    flat = branch("flat", make_node("Flatten", ["c"], ["out"]))
    first = make_node("If", ["is"], ["d"], then_branch=flat, else_branch=RELU)
    later = [
        make_node("Shape", ["d"], ["sizes_2"], start=1),
        make_node("Size", ["sizes_2"], ["rank"]),
        make_node("Constant", [], ["one"], value=from_array(np.int64(1))),
        make_node("Equal", ["rank", "one"], ["is_flat"]),
        make_node(
            "If",
            ["is_flat"],
            ["y"],
            then_branch=branch("a", make_node("Relu", ["d"], ["out"])),
            else_branch=branch("b", make_node("Neg", ["d"], ["out"])),
        ),
    ]
    assert_equal(model(*condition(1, 4), first, *later), ["Conv", "Clip"])


def test_a_branch_that_data_decide_is_refused_by_name():
    nodes = [
        make_node("ReduceMax", ["c"], ["most"], keepdims=0),
        make_node("Cast", ["most"], ["is"], to=TensorProto.BOOL),
        make_node("If", ["is"], ["y"], name="choice", then_branch=RELU, else_branch=SCALED),
    ]
    with pytest.raises(Unsupported, match=r"'choice' \(If\)"):
        from_onnx(model(*nodes), host=False)


def test_branches_are_taken_where_a_model_is_cut():
    """The host takes the softmax over pixels, the array what a branch leaves to it."""
    chosen = make_node("If", ["is"], ["d"], then_branch=SCALED, else_branch=RELU)
    last = make_node("Softmax", ["d"], ["y"], axis=2)
    assert_equal(model(*condition(1, 4), chosen, last), host=True)


def test_the_argument_is_returned_where_nothing_is_decided():
    nodes = [
        make_node("ReduceMax", ["c"], ["most"], keepdims=0),
        make_node("Cast", ["most"], ["is"], to=TensorProto.BOOL),
        make_node("If", ["is"], ["y"], then_branch=RELU, else_branch=SCALED),
    ]
    undecided = model(*nodes)
    assert decided(undecided) is undecided
