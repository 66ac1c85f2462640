"""Copies of pixels on the array: which layers write where, and the hardware against the golden model."""

from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.small_networks import Net, images

from hwquant import hwq
from hwquant.errors import Unsupported
from hwquant.golden import run
from hwquant.program import storage
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.lowering import lower
from hwquant.sim import Stalls
from hwquant.sim.check import verify


def elements(*shape, start=0):
    return start + np.arange(np.prod(shape)).reshape(shape)


def enlarged(a):
    return a.repeat(2, axis=1).repeat(2, axis=2)


def moved_network(channels=3, size=(4, 3)):
    """Pixels repeated, phases interleaved, a tensor cropped backward with a channel of zeros, and joined rows."""
    height, width = size
    net = Net(x=(2, height, width))
    a = net.conv("x", channels, (3, 3), padding=(1, 1, 1, 1))
    big = net.rearrange(enlarged(elements(channels, height, width)), a)
    phases = [net.conv(a, channels) for _ in range(4)]
    parts = [elements(channels, height, width, start=n * channels * height * width) for n in range(4)]
    order = np.zeros((channels, 2 * height, 2 * width), np.int64)
    for n, part in enumerate(parts):
        order[:, n // 2 :: 2, n % 2 :: 2] = part
    woven = net.rearrange(order, *phases)
    both = elements(2, channels, 2 * height, 2 * width)
    count = both.size
    rows = np.concatenate([both[0, ::-1, ::-2, 1:], both[1, :, :3, 1:]], axis=1)
    rows = np.concatenate([rows, np.full((1, *rows.shape[1:]), count)])
    joined = net.rearrange(rows, big, woven)
    net.conv(joined, 3, (2, 2))
    net.tensors = {name: replace(tensor, zero_point=-7) for name, tensor in net.tensors.items()}
    return net.build(), (big, woven, joined)


def test_layers_write_the_targets_of_what_they_alone_make():
    network, (big, woven, joined) = moved_network()
    layers = {layer.name: layer for layer in lower(network)}
    makers = [layer for layer in layers.values() if layer.into and layer.into.tensor == woven]
    assert [layer.into.grid.start for layer in makers] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(layer.macs and layer.covers[-1] == woven for layer in makers)
    copies = [layer for layer in layers.values() if layer.tensor == big]
    assert [(layer.macs, layer.into.grid.step) for layer in copies] == [(0, (2, 2))] * 4
    assert {layer.into.grid.size for layer in layers.values() if layer.tensor == joined} == {(4, 5), (3, 5)}


def test_the_fast_path_and_files_have_the_same_integers(tmp_path):
    network, _ = moved_network()
    q = images(network, 3)
    names = [node.name for node in network.nodes]
    expected, got = run(network, q, keep=names, exact=True), run(network, q, keep=names)
    for name in names:
        np.testing.assert_array_equal(got[name], expected[name])
    hwq.save(network, tmp_path / "a.hwq")
    again = hwq.load(tmp_path / "a.hwq")
    assert hwq.to_bytes(again) == hwq.to_bytes(network)
    np.testing.assert_array_equal(run(again, q)[names[-1]], expected[names[-1]])
    program = compile_network(network, (4, 4))
    storage.save(program, tmp_path / "a.hwp")
    assert storage.load(tmp_path / "a.hwp").layers == program.layers


ARRAYS = [(4, 2), (2, 4), (4, 4), (3, 5), (8, 8)]


@pytest.mark.parametrize("array", ARRAYS[:2])
def test_the_hardware_writes_what_the_golden_model_computes(array):
    network, _ = moved_network()
    program = compile_network(network, array)
    assert program.config.strided_writes
    q = images(network, 1)
    result = verify(program, network, q, simulator="amaranth", watch=1, stalls=Stalls(0.3, 0.3, 1))
    assert result.first is None


@pytest.mark.nightly
@pytest.mark.parametrize("channels", [1, 4, 9])
@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("seed", range(3))
def test_the_hardware_writes_what_the_golden_model_computes_on_many_arrays(array, channels, seed):
    network, _ = moved_network(channels, (3, 5))
    program = compile_network(network, array)
    stalls = Stalls(0.2 * seed, 0.3, seed)
    assert verify(program, network, images(network, 3), watch=3, stalls=stalls).first is None


def test_hardware_without_strides_is_told_apart():
    network, _ = moved_network()
    plain = Net(x=(2, 4, 3))
    plain.conv("x", 3, (3, 3), padding=(1, 1, 1, 1))
    assert not compile_network(plain.build(), (4, 4)).config.strided_writes
    sizes = {"activation_depth": 4096, "weight_depth": 4096, "parameter_depth": 512, "program_depth": 4096}
    config = ArrayConfig(4, 4, shift_bits=6, **sizes)
    with pytest.raises(Unsupported, match="write to every n-th pixel, which the hardware cannot"):
        compile_network(network, (4, 4), config=config)
