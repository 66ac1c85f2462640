import numpy as np
import pytest
import torch
from hwquant_testing.windows import take_window

from hwquant.errors import HwquantError
from hwquant.floating import finish, predict, run
from hwquant.graph import Add, AveragePool, BaseNode, Clip, Concat, Conv, Graph, MaxPool, Node
from hwquant.interface import Input, Output
from hwquant.window import Window


def network(*nodes: Node, shape=(4, 9, 8), output=None, host=()) -> Graph:
    last = nodes[-1].name
    graph = Graph("net", (Input("x", shape, shape),), nodes, ())
    deliver = Output("y", last, output or graph.shapes[last], host=host)
    return Graph("net", graph.inputs, nodes, (deliver,))


def conv(name, source, rng, out, per_group, kernel=(3, 3), **options) -> Conv:
    weight = rng.standard_normal((out, per_group, *kernel))
    return Conv(name, (source,), weight, rng.standard_normal(out), take_window(weight, options), **options)


def images(rng, shape=(4, 9, 8), count=3):
    return rng.standard_normal((count, *shape))


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 2, 3, 0)])
def test_convolution_equals_torch(groups, stride, dilation, padding):
    rng = np.random.default_rng(1)
    node = conv(
        "c",
        "x",
        rng,
        8,
        4 // groups,
        (3, 2),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    x = images(rng)
    top, left, bottom, right = padding
    padded = torch.nn.functional.pad(torch.from_numpy(x), (left, right, top, bottom))
    weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
    want = torch.nn.functional.conv2d(padded, weight, bias, stride, 0, dilation, groups)
    np.testing.assert_allclose(run(network(node), x)["c"], want.numpy(), rtol=1e-12, atol=1e-12)


def test_fully_connected_is_a_convolution_with_the_whole_input_as_kernel():
    rng = np.random.default_rng(2)
    node, x = conv("c", "x", rng, 5, 4, (9, 8)), images(rng)
    want = x.reshape(3, -1) @ node.weight.reshape(5, -1).T + node.bias
    np.testing.assert_allclose(run(network(node), x)["c"].reshape(3, 5), want, rtol=1e-12)


@pytest.mark.parametrize("padding", [0, 1])
def test_max_pool_equals_torch_and_padding_never_wins(padding):
    rng = np.random.default_rng(3)
    x = images(rng) - 10
    node = MaxPool("p", ("x",), Window((3, 2), (2, 1), (padding,) * 4, (1, 2)))
    want = torch.nn.functional.max_pool2d(torch.from_numpy(x), (3, 2), (2, 1), padding, (1, 2))
    np.testing.assert_array_equal(run(network(node), x)["p"], want.numpy())


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("count_include_pad", [False, True])
def test_average_pool_equals_torch(padding, count_include_pad):
    rng = np.random.default_rng(4)
    x = images(rng)
    node = AveragePool("p", ("x",), Window((3, 2), (2, 1), (padding,) * 4), count_include_pad)
    want = torch.nn.functional.avg_pool2d(
        torch.from_numpy(x), (3, 2), (2, 1), padding, count_include_pad=count_include_pad
    )
    np.testing.assert_allclose(run(network(node), x)["p"], want.numpy(), rtol=1e-12, atol=1e-14)


def test_clip_add_and_concat():
    x = np.random.default_rng(5).standard_normal((3, 4, 9, 8))
    graph = network(
        Clip("relu", ("x",), 0.0),
        Clip("cut", ("x",), -0.5, 0.25),
        Add("sum", ("relu", "cut", "x")),
        Concat("cat", ("sum", "x")),
    )
    total = np.maximum(x, 0) + np.clip(x, -0.5, 0.25) + x
    np.testing.assert_allclose(run(graph, x)["cat"], np.concatenate([total, x], axis=1), rtol=1e-12)


def test_every_tensor_can_be_kept_and_the_chunk_size_does_not_matter(monkeypatch):
    rng = np.random.default_rng(6)
    graph = network(
        conv("c", "x", rng, 6, 4), Clip("r", ("c",), 0.0), MaxPool("p", ("r",), Window((2, 2), (2, 2)))
    )
    x = images(rng, count=7)
    whole = run(graph, x, keep=graph.shapes)
    monkeypatch.setattr("hwquant.floating._CHUNK_ELEMENTS", 1)
    single = run(graph, x, keep=graph.shapes)
    assert whole.keys() == single.keys() == {"x", "c", "r", "p"}
    for name, value in whole.items():
        assert value.shape == (7, *graph.shapes[name])
        np.testing.assert_allclose(value, single[name], rtol=1e-12, atol=1e-12)


def test_float32_is_computed_in_float32():
    rng = np.random.default_rng(7)
    graph, x = network(conv("c", "x", rng, 6, 4)), images(rng)
    single = run(graph, x, dtype=np.float32)["c"]
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, run(graph, x)["c"], rtol=1e-4, atol=1e-5)


def test_preprocessing_and_reordering_of_the_input_are_applied():
    x = np.random.default_rng(8).integers(0, 256, (2, 3, 4, 2), dtype=np.uint8)
    order = np.arange(24).reshape(3, 4, 2).transpose(2, 0, 1).ravel()
    item = Input("x", (3, 4, 2), (2, 3, 4), np.array(1 / 255), np.array([-1.0, 2.0]), order)
    graph = Graph("net", (item,), (Clip("c", ("x",)),), (Output("y", "c", (2, 3, 4)),))
    want = (x / 255 + np.array([-1.0, 2.0])).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(run(graph, x)["c"], want, rtol=1e-12)


@pytest.mark.parametrize("host", ["softmax", "log_softmax", "argmax"])
def test_host_functions_equal_torch(host):
    rng = np.random.default_rng(9)
    graph, x = network(conv("c", "x", rng, 5, 4, (9, 8)), output=(5,), host=(host,)), images(rng)
    logits = torch.from_numpy(run(graph, x)["c"].reshape(3, 5))
    want = getattr(torch, host)(logits, dim=1).numpy()
    (got,) = predict(graph, x)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-12)


def test_finish_reorders_the_output():
    tensor = np.arange(12.0).reshape(1, 3, 2, 2)
    order = np.arange(12).reshape(3, 2, 2).transpose(1, 2, 0).ravel()
    got = finish(Output("y", "c", (2, 2, 3), order), tensor)
    np.testing.assert_array_equal(got, tensor.transpose(0, 2, 3, 1))


def test_several_inputs_come_as_a_mapping():
    inputs = tuple(Input(name, (2,), (2, 1, 1)) for name in "ab")
    graph = Graph("net", inputs, (Add("s", ("a", "b")),), (Output("y", "s", (2,)),))
    a, b = np.ones((3, 2)), np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(predict(graph, {"a": a, "b": b})[0], a + b)
    with pytest.raises(HwquantError, match=r"several inputs; give a mapping with 'a', 'b'"):
        run(graph, a)
    with pytest.raises(HwquantError, match=r"no data for input 'b'; there is data for a"):
        run(graph, {"a": a})
    with pytest.raises(HwquantError, match=r"batches differ in length"):
        run(graph, {"a": a, "b": b[:1]})


def test_bad_data_and_names_are_refused_by_name():
    graph = network(Clip("c", ("x",), 0.0))
    with pytest.raises(HwquantError, match=r"has no tensor 'nope'; it has x, c"):
        run(graph, np.zeros((1, 4, 9, 8)), keep=["nope"])
    with pytest.raises(
        HwquantError, match=r"input 'x' has shape \(N, 4, 9, 8\), the data has \(1, 4, 8, 9\)"
    ):
        run(graph, np.zeros((1, 4, 8, 9)))
    with pytest.raises(HwquantError, match=r"input 'x' wants real numbers, the data is complex128"):
        run(graph, np.zeros((1, 4, 9, 8), np.complex128))
    with pytest.raises(HwquantError, match=r"single number"):
        run(graph, np.float64(1))
    with pytest.raises(HwquantError, match=r"unknown host function 'sin'"):
        predict(network(Clip("c", ("x",)), host=("sin",)), np.zeros((1, 4, 9, 8)))


def test_an_unknown_node_is_refused():
    with pytest.raises(AssertionError, match=r"Expected code to be unreachable, but got: BaseNode\(name='n'"):
        run(network(BaseNode("n", ("x",))), np.zeros((1, 4, 9, 8)))
