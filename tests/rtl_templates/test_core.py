"""The whole accelerator, on a program written by hand whose results were computed by hand."""

import gc

import numpy as np
import pytest
from hwquant_testing.clocked import simulate
from hwquant_testing.small_networks import Net, images

from hwquant import golden
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Instruction, Opcode, encode, fields
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.program.registers import Register
from hwquant.rtl_templates.board import SerialAccelerator
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.wishbone import WishboneAccelerator
from hwquant.sim.check import verify

CONFIG = ArrayConfig(2, 2, activation_depth=16, weight_depth=4, parameter_depth=2, program_depth=32)

# One layer, 1x1, two channels to two: y = [[1, 2], [3, -4]] x + [10, 20], halved and rounded, at least 0;
# then the maximum over a row of two pixels. Weights are stored with an offset of 5 less.
PROGRAM = [
    (Opcode.WRITE, {"address": 4, "plane": 2}),
    (Opcode.CLAMP, {"low": 0, "high": 127, "zero": 0}),
    (Opcode.LEVEL, {"level": 0, "limit": 1, "step": 1, "y": 0, "x": 1}),
    (Opcode.LEVEL, {"level": 1, "limit": 0, "step": 0, "y": 0, "x": 0}),
    (Opcode.LEVEL, {"level": 2, "limit": 0, "step": 0, "y": 0, "x": 0}),
    (Opcode.LEVEL, {"level": 3, "limit": 0, "step": 1, "y": 1, "x": -1}),
    (Opcode.PLANE, {"height": 2, "width": 2, "pad": 0}),
    (Opcode.OFFSET, {"offset": 5}),
    (Opcode.COUNT, {"count": 4}),
    (Opcode.INPUT, {"address": 0, "count": 4}),
    (
        Opcode.TILE,
        {"address": 0, "part": 0, "y": 0, "x": 0}
        | {"first": 1, "last": 1, "parameters": 1, "offsets": 0, "source": 1, "layer": 1},
    ),
    (Opcode.OUTPUT, {"address": 4, "count": 2, "last": 1}),
    (Opcode.END, {}),
]
# The row for the bottom of the array, which multiplies the second channel, comes first.
WEIGHTS = [[2 - 5, -4 - 5], [1 - 5, 3 - 5]]
BIAS = [10 + 1, 20 + 1]  # the rounding term is folded in
FRAMES = [
    ([[1, 2], [3, 4], [0, -20], [100, 100]], [[11, 8], [127, 50]]),
    ([[-10, 0], [0, 0], [7, 7], [-128, -128]], [[5, 10], [16, 74]]),
]


def by_hand(pixels):
    """Compute the results of the program in Python, to check the table above."""
    outputs = []
    for x, y in pixels:
        sums = (x + 2 * y + 10, 3 * x - 4 * y + 20)
        outputs.append([min(max((s + 1) >> 1, 0), 127) for s in sums])
    return [[max(pair) for pair in zip(*outputs[n : n + 2])] for n in (0, 2)]


def test_a_program_written_by_hand_gives_what_was_computed_by_hand():
    formats = fields(CONFIG)
    dut = Accelerator(
        CONFIG,
        program=[encode(Instruction(opcode, values), formats) for opcode, values in PROGRAM],
        weights=words_to_integers(np.array(WEIGHTS), CONFIG.weight_bits),
        parameters=[bias | 1 << CONFIG.accumulator_bits for bias in BIAS],
    )
    received, writes = [], []

    async def send(ctx):
        for pixels, _ in FRAMES:
            for n, word in enumerate(words_to_integers(np.array(pixels), 8)):
                ctx.set(dut.frames.payload, {"data": word, "last": n == len(pixels) - 1})
                ctx.set(dut.frames.valid, 1)
                await ctx.tick().until(dut.frames.ready)
            ctx.set(dut.frames.valid, 0)

    async def receive(ctx):
        ctx.set(dut.results.ready, 1)
        for _ in range(2 * len(FRAMES)):
            (payload,) = await ctx.tick().sample(dut.results.payload).until(dut.results.valid)
            received.append((payload.data, payload.last))

    async def watch(ctx):
        async for _, _, valid, address, data in ctx.tick().sample(
            dut.monitor.valid, dut.monitor.address, dut.monitor.data
        ):
            if valid:
                writes.append((address, data))

    simulate(dut, receive, background=[send, watch])
    expected = [words_to_integers(np.array(results), 8) for _, results in FRAMES]
    assert received == [(word, n) for words in expected for n, word in enumerate(words)]
    assert writes == [(4 + n, word) for words in expected for n, word in enumerate(words)]


def test_the_table_of_results_is_what_its_formulas_give():
    assert [by_hand(pixels) for pixels, _ in FRAMES] == [results for _, results in FRAMES]


def test_rows_that_share_a_word_are_loaded_as_each_layer_says():
    """Narrow weights, several rows a word, and wide ones, a row a word, in one network."""
    net = Net(x=(4, 2, 2))
    net.conv(net.conv("x", 4, bits=2), 2)
    network = net.build()
    sizes = {"activation_depth": 32, "weight_depth": 16, "parameter_depth": 8, "program_depth": 64}
    config = ArrayConfig(4, 2, weight_packing=4, load_rows=2, accumulator_depth=4, **sizes)
    program = compile_network(network, (4, 2), config=config)
    assert [layer.rows_per_word for layer in program.layers] == [4, 1]
    assert verify(program, network, images(network, 2), simulator="amaranth", watch=2).first is None


def test_several_arrays_drop_a_frame_that_ends_early_or_late_in_any_of_its_strips():
    """A frame has several inputs there, in strips: whichever is not whole, the next frame begins with the first one."""
    net = Net(x=(2, 3, 2), z=(3, 2, 2))
    net.layer(net.term("x", 2, (2, 1)), net.term("z", 2))
    qgraph = net.build()
    program = compile_network(qgraph, (2, 2, 2))
    inputs = [item for item in program.instructions if item.opcode is Opcode.INPUT]
    assert len(inputs) == 6  # two strips of one plane, and of two
    words = program.frame(images(qgraph, 1))[0]
    good = words_to_integers(words, 8)
    expected = golden.run(qgraph, images(qgraph, 1))["layer0"]
    frames = [good, *(good[:count] for count in range(1, len(good))), [*good, 1], [*good, 1, 2, 3], good]
    dut, received = accelerator(program), []

    async def send(ctx):
        for frame in frames:
            for n, word in enumerate(frame):
                ctx.set(dut.frames.payload, {"data": word, "last": n == len(frame) - 1})
                ctx.set(dut.frames.valid, 1)
                await ctx.tick().until(dut.frames.ready)
            ctx.set(dut.frames.valid, 0)

    async def receive(ctx):
        ctx.set(dut.results.ready, 1)
        for _ in range(2 * program.frame_words[1]):
            (payload,) = await ctx.tick().sample(dut.results.payload).until(dut.results.valid)
            received.append((payload.data, payload.last))
        ctx.set(dut.bus.address, Register.STATUS)
        status = ctx.get(dut.bus.read_data)
        assert Register.STATUS.unpack(status)["dropped"] == len(frames) - 2

    simulate(dut, send, receive)
    words = np.array(integers_to_words([data for data, _ in received], program.config.lanes, 8))
    for frame in words.reshape(2, -1, program.config.lanes):
        np.testing.assert_array_equal(program.results(frame[None])["layer0"], expected)
    assert [last for _, last in received].count(1) == 2


OUTSIDE = ArrayConfig(2, 2, external_bits=32, external_address_bits=12)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
def test_the_host_does_not_load_what_comes_from_external_memory():
    with pytest.raises(HwquantError, match="weights come from external memory"):
        Accelerator(OUTSIDE, loadable=True)
    gc.collect()


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("around", "message"),
    [
        (lambda core: SerialAccelerator(core, 100), "the host fills the external memory of a board"),
        (WishboneAccelerator, "a core with Wishbone has no port for it; choose the bus axi or stream"),
    ],
)
def test_what_has_no_port_for_external_memory_says_so(around, message):
    with pytest.raises(HwquantError, match=message):
        around(Accelerator(OUTSIDE))
    gc.collect()  # while warnings of what is not used are ignored
