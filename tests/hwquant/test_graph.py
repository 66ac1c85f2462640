import numpy as np
import pytest
from hwquant_testing.windows import take_window

from hwquant.errors import HwquantError
from hwquant.graph import Add, AveragePool, Clip, Concat, Conv, Graph, MaxPool
from hwquant.interface import Input, Output
from hwquant.window import Window


def conv(name, source, out=3, channels=2, kernel=(3, 3), **options):
    weight = np.zeros((out, channels, *kernel))
    return Conv(name, (source,), weight, np.zeros(out), take_window(weight, options), **options)


X = Input("x", (2, 8, 9), (2, 8, 9))


def graph(*nodes, outputs=()):
    return Graph("net", (X,), nodes, outputs)


def test_shapes_are_inferred_through_every_node():
    net = graph(
        conv("c", "x", padding=(1, 0, 1, 0), stride=(1, 2)),
        Clip("r", ("c",), 0.0),
        MaxPool("m", ("r",), Window((2, 2), (2, 2), (0, 1, 0, 1))),
        AveragePool("a", ("r",), Window((2, 2), (2, 2), (0, 1, 0, 1))),
        Add("s", ("m", "a")),
        Concat("k", ("s", "m", "a")),
    )
    assert net.shapes == {
        "x": (2, 8, 9),
        "c": (3, 8, 4),
        "r": (3, 8, 4),
        "m": (3, 4, 3),
        "a": (3, 4, 3),
        "s": (3, 4, 3),
        "k": (9, 4, 3),
    }


def test_macs_count_every_position_of_the_kernel():
    net = graph(conv("c", "x", padding=(1, 1, 1, 1)), conv("d", "x", out=4, channels=1, groups=2))
    assert net.macs() == 3 * 2 * 9 * 8 * 9 + 4 * 1 * 9 * 6 * 7


def test_consumers_are_in_order():
    net = graph(conv("c", "x"), Clip("r", ("c",)), Add("s", ("r", "c")))
    assert [node.name for node in net.consumers("c")] == ["r", "s"]
    assert net.consumers("s") == []


def test_inconsistent_networks_are_refused():
    with pytest.raises(HwquantError, match=r"two tensors are called 'x'"):
        graph(conv("x", "x"))
    with pytest.raises(HwquantError, match=r"node 'c' reads 'd', which nothing before it produces"):
        graph(conv("c", "d"), conv("d", "x"))
    with pytest.raises(HwquantError, match=r"node 'c' has the empty output shape"):
        graph(conv("c", "x", kernel=(9, 9)))
    with pytest.raises(HwquantError, match=r"output 'y' reads 'z', which nothing produces"):
        graph(conv("c", "x"), outputs=(Output("y", "z", (3,)),))


def test_an_input_is_scaled_shifted_then_reordered():
    order = np.arange(6).reshape(1, 3, 2).transpose(2, 0, 1).ravel()
    item = Input("x", (1, 3, 2), (2, 1, 3), np.array([2.0, 4.0]), np.array([[1.0], [2.0], [3.0]]), order)
    x = np.arange(12, dtype=np.uint8).reshape(2, 1, 3, 2)
    want = (x * np.array([2.0, 4.0]) + np.array([[1.0], [2.0], [3.0]])).transpose(0, 3, 1, 2)
    got = item.prepare(x)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("shape", [(2, 8, 9), (1, 8, 9, 2), (1, 2, 8)])
def test_data_of_another_shape_is_refused(shape):
    with pytest.raises(HwquantError, match=r"input 'x' has shape \(N, 2, 8, 9\), the data has"):
        X.prepare(np.zeros(shape))


def test_an_output_is_reordered_to_the_users_shape():
    order = np.arange(6).reshape(2, 1, 3).transpose(1, 2, 0).ravel()
    tensor = np.arange(12.0).reshape(2, 2, 1, 3)
    np.testing.assert_array_equal(
        Output("y", "c", (1, 3, 2), order).deliver(tensor), tensor.transpose(0, 2, 3, 1)
    )
    np.testing.assert_array_equal(Output("y", "c", (6,)).deliver(tensor), tensor.reshape(2, 6))


def test_weights_and_window_have_one_kernel():
    with pytest.raises(HwquantError, match=r"node 'c' has a window of \(1, 1\) and weights of \(3, 3\)"):
        Conv("c", ("x",), np.zeros((3, 2, 3, 3)), np.zeros(3))


def test_averages_over_dilated_windows_are_refused():
    with pytest.raises(HwquantError, match=r"average pool 'a' has a dilated window"):
        AveragePool("a", ("x",), Window((2, 2), dilation=(1, 2)))
