"""Products of two activations on the array: cycles near a pass over the pixels, and nothing of them elsewhere."""

import dataclasses

import numpy as np
import pytest

from hwquant import golden
from hwquant.errors import DoesNotFit
from hwquant.interface import Input, Output
from hwquant.program.activity import activity
from hwquant.program.compilation import Compilation, lowered_network
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.isa import Opcode
from hwquant.program.listing import PASSES, listing
from hwquant.program.sizing import Requirements
from hwquant.program.storage import load, save
from hwquant.qgraph import Layer, Product, QGraph, Tensor, Term
from hwquant.sim.check import verify
from hwquant.window import Window


def network(shape, factors, bits=8, multiplier=None, high=127):
    """A product of two inputs, its output of scale 1."""
    scale = 2.0**-bits * (multiplier or 1)
    tensors = {
        "a": Tensor("a", shape, 1.0, 7 % (1 << (bits - 1)), bits),
        "b": Tensor("b", factors, scale, -1, bits),
        "y": Tensor("y", shape, 1.0, -20),
    }
    inputs = tuple(Input(name, tensors[name].shape, tensors[name].shape) for name in "ab")
    product = Product("y", ("a", "b"), bits, -128, high, multiplier)
    return QGraph("net", inputs, (product,), (Output("y", "y", shape),), tensors)


def random_inputs(qgraph, count=2):
    rng = np.random.default_rng(0)
    tensors = [qgraph.tensors[item.name] for item in qgraph.inputs]
    return {item.name: rng.integers(*item.limits, (count, *item.shape), endpoint=True) for item in tensors}


def assert_right(qgraph, array, **options):
    program = compile_network(qgraph, array, **options)
    found = verify(program, qgraph, random_inputs(qgraph), simulator="amaranth", watch=2)
    assert found.first is None, str(found.first)
    return program


@pytest.mark.parametrize(
    ("array", "shape", "bits", "multiplier"),
    [
        ((4, 4), (6, 3, 2), 8, None),
        ((2, 5), (9, 2, 3), 8, 3),  # words of two parts
        ((5, 2), (7, 1, 4), 5, None),  # words written in three groups
        ((2, 2), (1, 1, 1), 2, None),
    ],
)
@pytest.mark.parametrize("by_channel", [True, False])
def test_a_network_of_nothing_but_a_product(array, shape, bits, multiplier, by_channel):
    factors = (shape[0], 1, 1) if by_channel else shape
    program = assert_right(network(shape, factors, bits, multiplier), array)
    assert program.config.product_bits == bits
    assert len(program.weights) == 0


def test_blocks_of_pixels():
    for factors in ((3, 1, 1), (3, 4, 5)):
        assert_right(network((3, 4, 5), factors), (3, 3), limits={"accumulator_depth": 7})


@pytest.mark.parametrize("array", [(8, 8), (16, 8), (4, 16)])
def test_cycles_are_those_of_a_pass_over_the_pixels(array):
    """One cycle more a column block, for its factors; two a pixel where each has a factor of its own."""
    shape = (48, 9, 9)
    blocks = 48 // array[1]
    by_channel, each = (compile_network(network(shape, other), array) for other in ((48, 1, 1), shape))
    assert by_channel.layers[0].ideal_cycles == blocks * (81 + 1)
    assert each.layers[0].ideal_cycles == blocks * 2 * 81
    for program in (by_channel, each):
        rest = (
            program.config.drain_latency + 30
        )  # the first instructions, and until the last output is written
        assert timing(program).cycles < program.layers[0].ideal_cycles + rest


def convolution(qgraph, name, source, out, codes, **options):
    channels = qgraph.tensors[source].shape[0]
    term = Term(
        source, np.full((out, channels, 1, 1), codes, np.int8), np.zeros(1, np.int64), np.ones(1), **options
    )
    return Layer(name, (term,), np.zeros(out, np.int64), np.zeros(1, np.int64), -128, 127)


def test_hardware_without_products_is_refused_and_hardware_with_them_runs_networks_without():
    qgraph = network((4, 3, 3), (4, 1, 1))
    program = compile_network(qgraph, (4, 4))
    without = dataclasses.replace(program.config, product_bits=0)
    with pytest.raises(DoesNotFit, match=r"needs product_bits 8, the hardware has 0"):
        compile_network(qgraph, (4, 4), config=without)
    tensors = {"a": qgraph.tensors["a"], "y": dataclasses.replace(qgraph.tensors["y"], shape=(4, 3, 3))}
    plain = QGraph(
        "plain", qgraph.inputs[:1], (convolution(qgraph, "y", "a", 4, 1),), qgraph.outputs, tensors
    )
    config = dataclasses.replace(
        program.config,
        weight_bits=8,
        adjusted_bits=9,
        weight_depth=8,
        accumulator_bits=24,
        bias_bits=0,
        bias_zeros=0,
        least_shift=0,
        shift_bits=5,
    )
    found = verify(
        compile_network(plain, (4, 4), config=config),
        plain,
        random_inputs(plain),
        simulator="amaranth",
        watch=2,
    )
    assert found.first is None


def test_lanes_without_a_channel_hold_the_zero_point_where_a_reader_cannot_leave_them_out():
    """The reader's weights are 200 to 327: no stored weight is zero, so what idle lanes hold has to be."""
    source = network((3, 2, 2), (3, 1, 1))
    term = Term(
        "y",
        np.arange(-64, 64, 11, dtype=np.int8).reshape(4, 3, 1, 1),
        np.array([264]),
        np.ones(1),
        window=Window((1, 1)),
    )
    last = Layer("z", (term,), np.zeros(4, np.int64), np.array([9]), -128, 127)
    tensors = {**source.tensors, "z": Tensor("z", (4, 2, 2), 512.0, 0)}
    qgraph = QGraph("net", source.inputs, (*source.nodes, last), (Output("z", "z", (4, 2, 2)),), tensors)
    assert_right(qgraph, (4, 4))


def test_programs_with_products_are_kept_and_listed(tmp_path):
    qgraph = network((4, 3, 3), (4, 3, 3))
    program = compile_network(qgraph, (4, 2))
    save(program, tmp_path / "net.hwp")
    again = load(tmp_path / "net.hwp")
    assert (again.words, again.config) == (program.words, program.config)
    assert "PRODUCT pixel=7 factor=-1" in [str(item) for item in again.instructions]
    (tile, *_) = (item for item in again.instructions if item.opcode is Opcode.TILE)
    assert tile.values["product"]
    assert not tile.values["held"]
    passes = Compilation(qgraph, lowered_network(qgraph), Requirements((4, 2)))
    rows = {name: listing(passes, name).rows for name in PASSES}
    assert rows["lowered"][0]["reads"] == "a * b"
    assert rows["mapped"][0]["strategy"] == "Products"
    assert {row["tensor"]: row["read last by"] for row in rows["placed"]} == {"a": "y", "b": "y", "y": "host"}
    assert (len(rows["schedule"]), len(rows["tiles"])) == (2, 0)
    assert listing(passes, "placed", "y").rows == rows["placed"]
    # Rows have the same titles whatever they are of, as a table has.
    tensors = {
        "x": Tensor("x", (4, 3, 3), 1.0, 0),
        "c": Tensor("c", (4, 3, 3), 1.0, 0),
        "y": qgraph.tensors["y"],
    }
    tensors["y"] = dataclasses.replace(tensors["y"], scale=256.0)
    both = QGraph("both", (Input("x", (4, 3, 3), (4, 3, 3)),), (), (), tensors)
    nodes = (convolution(both, "c", "x", 4, 1), Product("y", ("c", "x"), 8, -128, 127))
    both = dataclasses.replace(both, nodes=nodes, outputs=qgraph.outputs)
    passes = Compilation(both, lowered_network(both), Requirements((4, 2)))
    for name in PASSES:
        assert len({tuple(row) for row in listing(passes, name).rows}) <= 1, name


def test_energy_counts_no_weights_of_products():
    few, many = (activity(compile_network(network((4, 3, size), (4, 1, 1)), (4, 4))) for size in (3, 6))
    assert 0 < few.bytes_read < many.bytes_read


def test_accumulators_hold_the_largest_product():
    qgraph = network((2, 2, 2), (2, 2, 2))
    program = compile_network(qgraph, (2, 2))
    (zero_a, zero_b), rounding = (7, -1), (1 << 7) + (-20 << 8)
    corners = [(a - zero_a) * (b - zero_b) + rounding for a in (-128, 127) for b in (-128, 127)]
    bits = program.config.accumulator_bits
    assert -(1 << (bits - 1)) <= min(corners)
    assert max(corners) < 1 << (bits - 1)
    inputs = {"a": np.full((1, 2, 2, 2), -128), "b": np.full((1, 2, 2, 2), -128)}
    assert verify(program, qgraph, inputs, simulator="amaranth").first is None
    np.testing.assert_array_equal(
        golden.run(qgraph, inputs)["y"], golden.run(qgraph, inputs, exact=True)["y"]
    )
