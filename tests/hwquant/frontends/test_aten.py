"""Programs written by hand as plain data."""

import numpy as np
import pytest

from hwquant.errors import HwquantError
from hwquant.floating import predict
from hwquant.frontends.aten import translate
from hwquant.frontends.aten_program import AtenInput, AtenNode, AtenProgram, Reference
from hwquant.graph import Clip, Conv

X = np.random.default_rng(0).standard_normal((5, 2, 4, 4))
W = np.random.default_rng(1).standard_normal((3, 2, 1, 1))


OVERLOADS = {"add": "Tensor", "sub": "Tensor", "mul": "Tensor", "softmax": "int", "transpose": "int"}


def node(name, operator, *references, path="", part="", **arguments):
    """A call whose first arguments are tensors called self and other, but for convolutions."""
    names = ("input", "weight") if operator == "conv2d" else ("self", "other")
    tensors = {key: Reference(reference) for key, reference in zip(names, references)}
    overload = OVERLOADS.get(operator.removesuffix("_"), "default")
    return AtenNode(name, operator, tensors | arguments, (name,), overload, path, part)


def program(*nodes, outputs=None, shape=(None, 2, 4, 4), constants=None, dtype="float64"):
    inputs = (AtenInput("x", shape, dtype),)
    return AtenProgram(
        "net", inputs, {"w": W} | (constants or {}), nodes, outputs or (nodes[-1].name,), {"w": "c.weight"}
    )


def run(*nodes, outputs=None):
    return predict(translate(program(*nodes, outputs=outputs)), X)


def test_nodes_are_called_after_the_layer_or_else_the_place_and_the_operator():
    layer, function = "torch.nn.modules.conv.Conv2d", "my.Block"
    graph = translate(
        program(
            node("conv2d", "conv2d", "x", "w", path="features.0", part=layer),
            node("relu", "relu", "conv2d", path="features", part=function),
            node("relu_1", "relu", "relu"),
        )
    )
    assert [(type(item), item.name) for item in graph.nodes] == [
        (Conv, "features.0"),
        (Clip, "features.relu"),
        (Clip, "relu_1"),
    ]


def test_an_operator_in_place_replaces_its_argument_under_all_its_names():
    got = run(
        node("c", "conv2d", "x", "w"),
        node("r", "relu_", "c"),
        node("a", "add_", "r", other=1.0),
        node("y", "add", "c", "r"),
    )
    want = 2 * (np.maximum(np.einsum("oi,nihw->nohw", W[:, :, 0, 0], X), 0) + 1)
    np.testing.assert_allclose(got[0], want)


def test_what_is_overwritten_is_the_first_argument_of_the_schema_not_of_the_file():
    add = AtenNode("a", "add_", {"other": Reference("d"), "self": Reference("c")}, ("a",), "Tensor")
    got = run(node("c", "conv2d", "x", "w"), node("d", "clone", "c"), add, node("y", "relu", "d"))
    conv = np.einsum("oi,nihw->nohw", W[:, :, 0, 0], X)
    np.testing.assert_allclose(got[0], np.maximum(conv, 0))


def test_constants_are_computed_in_their_own_types():
    constants = {"flags": np.array([True, True, False]), "one": np.array([[[1.0]]])}
    sums = AtenNode("s", "sum", {"self": Reference("flags")}, ("s",), "default")
    half = AtenNode("p", "pow", {"self": Reference("s"), "exponent": 0.5}, ("p",), "Tensor_Scalar")
    graph = translate(
        program(sums, half, node("c", "conv2d", "x", "w"), node("y", "mul", "c", "p"), constants=constants)
    )
    conv = np.einsum("oi,nihw->nohw", W[:, :, 0, 0], X)
    np.testing.assert_allclose(predict(graph, X)[0], conv * np.float32(np.sqrt(2)))


def test_a_copy_is_not_replaced():
    got = run(
        node("c", "conv2d", "x", "w"),
        node("d", "clone", "c"),
        node("r", "relu_", "c"),
        node("y", "add", "d", "r"),
    )
    conv = np.einsum("oi,nihw->nohw", W[:, :, 0, 0], X)
    np.testing.assert_allclose(got[0], conv + np.maximum(conv, 0))


def test_the_input_may_be_overwritten():
    got = run(node("s", "sub_", "x", other=1.0), node("c", "conv2d", "x", "w"))
    np.testing.assert_allclose(got[0], np.einsum("oi,nihw->nohw", W[:, :, 0, 0], X - 1))


@pytest.mark.parametrize("view", ["view", "contiguous", "detach"])
@pytest.mark.parametrize("first", [True, False])
def test_a_view_of_what_is_overwritten_may_not_be_read_later(view, first):
    size = {"size": [-1, 3, 4, 4]} if view == "view" else {}
    nodes = [
        node("c", "conv2d", "x", "w"),
        node("v", view, "c", **size),
        node("r", "relu_", "c" if first else "v"),
    ]
    with pytest.raises(
        HwquantError, match=r"it overwrites '[cv]' in place while '[cv]', which may share its memory"
    ):
        run(*nodes, node("y", "add", "v", "c"))
    assert len(run(*nodes, node("y", "relu", "c" if first else "v"))) == 1


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([node("y", "fft", "x")], r"node 'y' \(fft\): this operator is not supported"),
        ([node("y", "mylib.relu", "x")], r"node 'y' \(mylib.relu\): this operator is not supported"),
        ([node("y", "rrelu", "x", path="block.act")], r"node 'y' \(rrelu in 'block.act'\)"),
        ([node("y", "relu", "z")], r"it reads 'z', which nothing supported before it produces"),
        ([node("y", "permute", "x", dims=["a"])], r"its argument 'dims' is no int\[\]"),
        ([node("y", "softmax", "x", dim=None)], r"its argument 'dim' is no int$"),
        ([node("y", "permute", "x", dims=[0, 1])], r"cannot be reordered"),
        ([node("y", "transpose", "x", dim0=1, dim1=9)], r"cannot be reordered|no such axis"),
        ([node("y", "conv2d", "x", "x")], r"'weight' is computed from the network's input"),
        ([node("y", "relu", "w")], r"'self' is a constant where an activation is expected"),
        ([node("y", "clamp", "x", min=Reference("x"))], r"'min' is no Scalar\?"),
        ([node("y", "neg", "w")], r"output 'y' does not depend on the network's input"),
        ([node("y", "conv2d", "x", "w", padding=[10**6])], r"padding .* is beyond any image"),
    ],
)
def test_programs_that_cannot_be_translated_say_why(nodes, message):
    with pytest.raises(HwquantError, match=message):
        run(*nodes)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), r"input 'x' has no batch dimension"),
        ((None, 2, None, 4), r"dimension 2 of input 'x' is not fixed"),
        ((None, 2, 10**9, 4), r"input 'x' has 8000000000 elements .* too large"),
    ],
)
def test_inputs_that_cannot_be_sized_are_refused(shape, message):
    with pytest.raises(HwquantError, match=message):
        translate(program(node("y", "relu", "x"), shape=shape))


def test_statistics_that_do_not_fit_the_channels_are_refused():
    names = ("weight", "bias", "running_mean", "running_var")
    rest = {"training": False, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": True}
    constants = {name: np.ones(3 if name == "bias" else 2) for name in names}
    call = AtenNode(
        "y",
        "batch_norm",
        {name: Reference(name) for name in names} | rest | {"input": Reference("x")},
        ("y",),
    )
    with pytest.raises(
        HwquantError, match=r"node 'y' \(batch_norm\): its statistics do not fit \(2,\) channels"
    ):
        translate(program(call, constants=constants))
    constants["bias"] = np.ones(2)
    constants["running_var"] = np.array([1.0, -2.0])
    with pytest.raises(HwquantError, match=r"its variance plus 1e-05 is not positive"):
        translate(program(call, constants=constants))
