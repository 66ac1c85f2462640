"""Inputs with positions of a kernel in one word: the same sums, from full rows of the array."""

import itertools
import math

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.program import storage
from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.input_packing import packed_term, window_packing
from hwquant.program.layout import WindowPacking
from hwquant.program.mapping import Dense
from hwquant.program.sizing import Requirements
from hwquant.sim import simulate
from hwquant.sim.check import check


def convolved(q, term, pad):
    """The sums of a term over integers (N, C, H, W), by definition."""
    (kh, kw), (sy, sx), (dy, dx), (top, left, bottom, right) = (
        term.kernel,
        term.stride,
        term.dilation,
        term.padding,
    )
    padded = np.pad(q, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=pad)
    height = (padded.shape[2] - dy * (kh - 1) - 1) // sy + 1
    width = (padded.shape[3] - dx * (kw - 1) - 1) // sx + 1
    total = np.zeros((len(q), len(term.weight), height, width), np.int64)
    weight = term.dense()
    for ky, kx in itertools.product(range(kh), range(kw)):
        ys, xs = ky * dy + np.arange(height) * sy, kx * dx + np.arange(width) * sx
        total += np.einsum("nchw,oc->nohw", padded[:, :, ys[:, None], xs], weight[:, :, ky, kx])
    return total


def random_network(seed):
    rng = np.random.default_rng(seed)
    flat = rng.integers(3)
    kernel = tuple(int(size) for size in rng.integers(1, [(2, 24), (24, 2), (6, 6)][flat], endpoint=True))
    stride, dilation = (tuple(int(size) for size in rng.integers(1, 5, 2)) for _ in range(2))
    padding = tuple(int(size) for size in rng.integers(0, 4, 4))
    needed = [d * (k - 1) + 1 for k, d in zip(kernel, dilation)]
    groups = int(rng.choice([1, 1, 2]))
    channels = groups * int(rng.integers(1, 4))
    height, width = (int(size) for size in np.maximum(needed, rng.integers(1, 12, 2)))
    net = Net(seed, x=(channels, height, width))
    for _ in range(int(rng.integers(1, 3))):
        net.conv("x", 2 * groups, kernel, stride=stride, dilation=dilation, padding=padding, groups=groups)
    return net.build(*(node.name for node in net.nodes))


def mapped(qgraph, array):
    return Compilation(qgraph, lowered_network(qgraph), Requirements(array)).mapped


@pytest.mark.parametrize("seed", range(60))
def test_a_packed_input_gives_the_same_sums(seed):
    qgraph = random_network(seed)
    rng = np.random.default_rng(seed)
    array = int(rng.integers(2, 17)), int(rng.integers(2, 9))
    q, tensor = images(qgraph)["x"], qgraph.tensors["x"]
    for before, item in zip(lowered_network(qgraph), mapped(qgraph, array), strict=True):
        if isinstance(item.strategy, Dense) and (packing := item.strategy.packing):
            words = packing.pack(q - tensor.zero_point, 0)
            np.testing.assert_array_equal(
                convolved(words, item.layer.terms[0], 0),
                convolved(q - tensor.zero_point, before.terms[0], 0),
            )


@pytest.mark.parametrize("seed", range(20))
def test_any_packing_gives_the_same_sums(seed):
    """Not only those that are cheapest."""
    from hwquant.program.input_packing import _candidates

    qgraph = random_network(seed)
    (term, *_) = (layer.terms[0] for layer in lowered_network(qgraph))
    q, zero = images(qgraph)["x"], qgraph.tensors["x"].zero_point
    expected = convolved(q - zero, term, 0)
    for packing in itertools.islice(_candidates([term], qgraph.tensors["x"].shape), 40):
        packed = convolved(packing.pack(q - zero, 0), packed_term(term, packing), 0)
        np.testing.assert_array_equal(packed, expected)


@pytest.mark.parametrize("array", [(8, 8), (16, 16)])
@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((1, 1, 300), (1, 64), {}),
        ((1, 300, 1), (64, 1), {}),
        ((1, 1, 300), (1, 64), {"dilation": (1, 2)}),
        ((1, 1, 300), (1, 64), {"padding": (0, 63, 0, 0)}),
        ((1, 1, 1200), (1, 64), {"stride": (1, 4)}),
        ((2, 1, 300), (1, 64), {}),
        ((1, 49, 10), (10, 4), {"stride": (2, 2), "padding": (4, 1, 4, 1)}),
    ],
)
def test_long_kernels_of_few_channels_fill_the_rows(array, shape, kernel, options):
    net = Net(x=shape)
    net.conv("x", 16, kernel, **options)
    program = compile_network(net.build(), array)
    (layer,) = program.layers
    assert layer.tiles == math.ceil(shape[0] * math.prod(kernel) / array[0]) * (16 // array[1])
    assert layer.weight_words * array[1] <= 1.25 * 16 * shape[0] * math.prod(kernel)
    # Hardly more words than there are pixels: a word holds the pixels from one position on.
    assert program.inputs[0].words <= math.prod(shape[1:]) + 70


def test_no_packing_has_more_words_than_a_row_of_the_kernel_needs():
    for seed in range(200):
        qgraph = random_network(seed)
        rng = np.random.default_rng(seed)
        array = int(rng.integers(2, 17)), int(rng.integers(2, 17))
        shape = Compilation(qgraph, lowered_network(qgraph), Requirements(array)).offered
        layers = [layer for layer in lowered_network(qgraph) if layer.terms[0].tensor == "x"]
        packing = window_packing(layers, qgraph.tensors["x"].shape, shape)
        if packing is None:
            continue
        term, (channels, height, width) = layers[0].terms[0], qgraph.tensors["x"].shape
        rows, columns = term.kernel
        plain = rows * columns * math.ceil(channels / array[0])
        row = rows * math.ceil(channels * columns / array[0])
        count = (
            width + term.padding[1] + term.padding[3] - term.dilation[1] * (columns - 1) - 1
        ) // term.stride[1] + 1
        most = math.ceil(channels * columns / shape.lanes) * height * count
        if row >= plain:
            most = math.ceil(channels / shape.lanes) * height * width
        packed, *place = packing.packed_shape
        kernel = packed_term(term, packing).kernel
        assert math.ceil(packed / shape.lanes) * math.prod(place) <= most
        assert math.ceil(packed / array[0]) * math.prod(kernel) <= min(row, plain - 1)


def test_weights_without_zero_are_packed_where_positions_divide_the_kernel():
    net = Net(x=(1, 1, 40))
    net.conv("x", 2, (1, 9), bits=4, offset=20)
    (item,) = mapped(net.build(), (4, 4))
    assert item.strategy.packing.kernel in (3, 9)


def test_several_layers_with_one_window_share_a_packing():
    net = Net(x=(1, 1, 40))
    net.conv("x", 3, (1, 16))
    net.conv("x", 4, (1, 16))
    qgraph = net.build("layer0", "layer1")
    one, other = mapped(qgraph, (8, 8))
    assert one.strategy.packing == other.strategy.packing is not None


@pytest.mark.parametrize(
    ("shape", "kernel", "options"),
    [
        ((1, 1, 14), (1, 7), {"padding": (0, 6, 0, 0)}),
        ((1, 14, 1), (7, 1), {"stride": (2, 1)}),
        pytest.param((1, 1, 50), (1, 20), {"dilation": (1, 2)}, marks=pytest.mark.nightly),
        pytest.param((1, 1, 50), (1, 20), {"stride": (1, 6)}, marks=pytest.mark.nightly),
        pytest.param((1, 50, 1), (20, 1), {"padding": (2, 0, 1, 0)}, marks=pytest.mark.nightly),
        pytest.param(
            (1, 20, 8), (10, 4), {"stride": (2, 2), "padding": (4, 1, 4, 1)}, marks=pytest.mark.nightly
        ),
    ],
)
def test_packed_inputs_in_hardware(shape, kernel, options):
    net = Net(x=shape)
    net.conv(net.conv("x", 5, kernel, **options), 3)
    qgraph = net.build()
    program = compile_network(qgraph, (4, 4))
    assert program.inputs[0].packing is not None
    inputs = images(qgraph, count=1)
    run = simulate(program, program.frame(inputs), simulator="amaranth", watch=0)
    verification = check(run, program, qgraph, inputs)
    assert verification.mismatches == 0
    assert verification.cycles == timing(program).cycles


def test_a_file_has_the_packing_of_an_input(tmp_path):
    for shape, kernel, rows in (((1, 1, 50), (1, 20), 1), ((1, 50, 1), (20, 1), 4)):
        net = Net(x=shape)
        net.conv("x", 4, kernel, shift=0)
        program = compile_network(net.build(), (4, 4), pack_input="none")
        storage.save(program, tmp_path / "net.hwp")
        again = storage.load(tmp_path / "net.hwp")
        assert again.inputs == program.inputs
        assert isinstance(again.inputs[0].packing, WindowPacking)
        assert again.inputs[0].packing.rows == rows
