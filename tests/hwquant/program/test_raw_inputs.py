"""Inputs that the host sends as they are: when, how they are packed then, and what the hardware makes of them."""

import dataclasses

import numpy as np
import pytest
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import Net, images

from hwquant import container
from hwquant.errors import DoesNotFit, HwquantError
from hwquant.program import raw_choice, storage
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.isa import Opcode
from hwquant.sim.check import verify
from hwquant.sim.trace import Stalls


def convolution(shape=(3, 12, 10), kernel=(3, 3), **options):
    net = Net(x=shape)
    net.conv(net.conv("x", 6, kernel, **options), 3)
    return net.build()


def random_first_layers(seed):
    """One to three inputs of any size, each read by a convolution of any window, and some by a second one."""
    rng = np.random.default_rng(seed)
    shapes, windows = {}, []
    for number in range(int(rng.choice([1, 1, 1, 2, 3]))):
        kernel = tuple(rng.integers(1, rng.choice([3, 5, 12]), 2).tolist())
        stride = tuple(rng.integers(1, 5, 2).tolist())
        dilation = tuple(rng.integers(1, 4, 2).tolist()) if rng.random() < 0.4 else (1, 1)
        needed = [d * (size - 1) + 1 for size, d in zip(kernel, dilation)]
        size = np.maximum(needed, rng.integers(1, 14, 2)).tolist()
        shapes[f"x{number}"] = (int(rng.integers(1, 9)), *size)
        windows.append((kernel, stride, dilation, tuple(rng.integers(0, 4, 4).tolist())))
    net, outputs = Net(seed, **shapes), []
    for name, (kernel, stride, dilation, padding) in zip(shapes, windows):
        options = {"stride": stride, "dilation": dilation, "padding": padding}
        outputs.append(net.conv(name, int(rng.integers(1, 6)), kernel, **options))
        if rng.random() < 0.3:
            outputs.append(net.conv(name, 2, kernel if rng.random() < 0.5 else (1, 1)))
    qgraph = net.build(*outputs)
    if rng.random() < 0.5:  # narrow activations
        bits = int(rng.integers(2, 8))
        qgraph = narrowed(qgraph, bits)
    array = int(rng.integers(2, 9)), int(rng.integers(2, 7))
    return qgraph, array, Stalls(0.3, 0.3, seed) if rng.random() < 0.5 else None


def narrowed(qgraph, bits):
    """The network with activations of so many bits."""
    half = 1 << (bits - 1)
    tensors = {
        name: dataclasses.replace(tensor, bits=bits, zero_point=max(-half, min(half - 1, tensor.zero_point)))
        for name, tensor in qgraph.tensors.items()
    }
    nodes = tuple(dataclasses.replace(node, low=-half, high=half - 1) for node in qgraph.nodes)
    return dataclasses.replace(qgraph, tensors=tensors, nodes=nodes)


def begins_early(program):
    (found,) = (item.values.get("early") for item in program.instructions if item.opcode is Opcode.INPUT)
    return found


DAY = (1, 22)
"""Seeds of small networks of the regression, which run by day."""


@pytest.mark.parametrize("seed", [*DAY, *nightly(seed for seed in range(200) if seed not in DAY)])
def test_hardware_with_a_packer_is_the_golden_model_in_the_predicted_cycles(seed, monkeypatch):
    monkeypatch.setattr(raw_choice, "is_worth", lambda words, raw: True)
    qgraph, array, stalls = random_first_layers(seed)
    program = compile_network(qgraph, array)
    found = verify(program, qgraph, images(qgraph, 2), simulator="amaranth", watch=1, stalls=stalls)
    assert found.mismatches == 0, found.first


def small_for_several_arrays(seed):
    """A small network of :func:`random_first_layers`, and several arrays of few rows and columns."""
    qgraph, _, stalls = random_first_layers(seed)
    rng = np.random.default_rng(seed + 999)
    arrays, *sides = int(rng.choice([2, 2, 3, 4])), int(rng.integers(2, 5)), int(rng.integers(2, 4))
    return qgraph, (arrays, *sides), stalls


@pytest.mark.parametrize("seed", [*DAY, *nightly(seed for seed in range(200) if seed not in DAY)])
def test_a_packer_of_several_arrays_fills_the_strips_of_all_banks(seed, monkeypatch):
    monkeypatch.setattr(raw_choice, "is_worth", lambda words, raw: True)
    qgraph, array, stalls = small_for_several_arrays(seed)
    program = compile_network(qgraph, array)
    assert all(item.strip_rows for item in program.config.raw_inputs)
    assert compile_network(qgraph, array, config=program.config).words == program.words
    found = verify(program, qgraph, images(qgraph, 1), simulator="amaranth", watch=1, stalls=stalls)
    assert found.mismatches == 0, found.first
    assert found.cycles == timing(program).cycles


def test_hardware_with_a_packer_keeps_its_strips_for_another_network():
    """One whose own choice is another: a later layer of stride 2 makes strips of the picture higher."""

    def network(stride):
        net = Net(x=(1, 12, 16))
        name = net.conv("x", 4, (3, 3), padding=(1, 1, 1, 1))
        name = net.conv(name, 4, (3, 3), padding=(1, 1, 1, 1), stride=stride)
        return net.build(net.conv(name, 4, (3, 3), padding=(1, 1, 1, 1)))

    made = compile_network(network((2, 1)), (4, 4, 4))
    (item,) = made.config.raw_inputs
    other = network((1, 1))
    assert compile_network(other, (4, 4, 4)).config.raw_inputs[0].strip_rows != item.strip_rows
    roomy = dataclasses.replace(made.config, activation_depth=500, weight_depth=500, program_depth=500)
    program = compile_network(other, (4, 4, 4), config=roomy)
    assert program.inputs[0].strip_rows == item.strip_rows
    assert verify(program, other, images(other, 1), simulator="amaranth", watch=1).mismatches == 0


def test_a_batch_is_sent_as_its_samples_are():
    net = Net(x=(3, 1, 1))
    net.conv(net.conv("x", 9), 4)
    qgraph = net.build()
    program = compile_network(qgraph, (8, 4), batch=40)
    assert program.config.raw_inputs
    assert program.frame_words[0] * program.config.frame_values == 40 * 3
    found = verify(program, qgraph, images(qgraph, 40), simulator="amaranth", watch=1)
    assert found.mismatches == 0, found.first


def test_a_picture_is_sent_pixel_by_pixel():
    program = compile_network(convolution(), (16, 8))
    assert program.config.frame_values == 3
    q = np.arange(2 * 3 * 12 * 10).reshape(2, 3, 12, 10) % 100
    np.testing.assert_array_equal(program.frame({"x": q}), q.transpose(0, 2, 3, 1).reshape(2, 120, 3))


def test_whole_kernels_are_packed_where_words_cost_the_host_nothing():
    """27 values are two words of 16 where three rows of the kernel would be three."""
    net = Net(x=(3, 16, 16))
    net.conv(net.conv("x", 16, (3, 3), padding=(1, 1, 1, 1)), 40)
    qgraph = net.build()
    raw, plain = (compile_network(qgraph, (16, 16), pack_input=how) for how in ("auto", "none"))
    assert [program.layers[0].tiles for program in (raw, plain)] == [2, 3]
    assert timing(raw).cycles == timing(plain).cycles - 16 * 16
    assert plain.config.raw_inputs == ()
    assert raw.inputs[0].packing.packed_shape == (27, 16, 16)


def test_there_is_no_packer_where_it_saves_little():
    tiny, full = convolution((3, 3, 3)), convolution((8, 12, 12), (1, 1))
    assert compile_network(tiny, (8, 8)).config.raw_inputs == ()
    assert compile_network(full, (8, 8)).config.raw_inputs == ()


def test_the_activation_memory_does_not_grow_for_it():
    qgraph = convolution((1, 40, 40), padding=(1, 1, 1, 1))
    raw, plain = (compile_network(qgraph, (4, 8), pack_input=how) for how in ("auto", "none"))
    assert raw.config.raw_inputs
    assert -(-raw.config.activation_depth // 256) <= -(-plain.config.activation_depth // 256)


def test_a_limit_of_the_activation_memory_is_kept():
    qgraph = convolution((3, 9, 8), stride=(2, 2), padding=(1, 1, 1, 1))
    free, plain = (compile_network(qgraph, (8, 4), pack_input=how) for how in ("auto", "none"))
    most = plain.config.activation_depth
    assert free.config.activation_depth > most
    bound = compile_network(qgraph, (8, 4), limits={"activation_depth": most})
    assert bound.config.raw_inputs
    assert bound.config.activation_depth == most


def test_windows_too_large_for_registers_are_not_packed():
    qgraph = convolution((8, 12, 12), (11, 11))
    (item,) = compile_network(qgraph, (32, 8)).config.raw_inputs
    assert item.window_pixels * 8 * 8 <= 4096


@pytest.mark.parametrize(
    ("shape", "kernel", "padding", "early"),
    [
        ((3, 16, 16), (3, 3), (1, 1, 1, 1), 1),
        ((4, 12, 12), (12, 12), (0, 0, 0, 0), 1),  # the last pixel is for the last tile
        ((1, 5, 5), (5, 5), (2, 2, 9, 2), 0),  # tiles read a word a cycle, windows are two words
    ],
)
def test_the_first_layer_begins_early_where_it_reads_what_is_written(
    shape, kernel, padding, early, monkeypatch
):
    monkeypatch.setattr(raw_choice, "is_worth", lambda words, raw: True)
    qgraph = convolution(shape, kernel, padding=padding)
    program = compile_network(qgraph, (8, 8))
    assert program.config.raw_inputs
    assert begins_early(program) == early
    found = verify(program, qgraph, images(qgraph, 1), simulator="amaranth", watch=1)
    assert found.mismatches == 0, found.first
    assert found.cycles == timing(program).cycles


def test_hardware_for_one_picture_is_not_for_another():
    program = compile_network(convolution(), (8, 8))
    again = compile_network(convolution(), (8, 8), config=program.config)
    assert again.words == program.words
    with pytest.raises(DoesNotFit, match="lays out other inputs"):
        compile_network(convolution((3, 10, 12)), (8, 8), config=program.config)


@pytest.mark.parametrize("array", [(8, 8), (2, 8, 8)])
def test_a_file_has_the_packer(array, tmp_path):
    program = compile_network(convolution(), array)
    storage.save(program, tmp_path / "net.hwp")
    again = storage.load(tmp_path / "net.hwp")
    assert again.config == program.config
    assert again.config.key == program.config.key
    with pytest.raises(HwquantError, match="version 6"):
        container.read(tmp_path / "net.hwp", storage.KIND, 5)


def test_another_way_to_pack_is_refused():
    with pytest.raises(HwquantError, match="pack_input must be auto or none, not 'all'"):
        compile_network(convolution(), (8, 8), pack_input="all")
