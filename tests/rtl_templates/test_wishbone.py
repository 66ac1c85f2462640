"""The Wishbone wrapper, by classic cycles in Amaranth's simulator."""

import numpy as np
import pytest
from hwquant_testing.clocked import simulate
from hwquant_testing.small_networks import Net, images

from hwquant.golden import run as golden
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.layout import words_to_integers
from hwquant.program.registers import IDENTITY, Register
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.wishbone import BusRegister, WishboneAccelerator


class Master:
    """Classic cycles, with random pauses between them."""

    def __init__(self, ctx, slave, seed):
        self.ctx, self.slave = ctx, slave
        self.rng = np.random.default_rng(seed)

    async def access(self, address, value=None):
        """The value read or written, None for err."""
        ctx, slave = self.ctx, self.slave
        for _ in range(self.rng.integers(0, 3)):
            await ctx.tick()
        ctx.set(slave.cyc, 1)
        ctx.set(slave.stb, 1)
        ctx.set(slave.adr, int(address))
        ctx.set(slave.we, int(value is not None))
        ctx.set(slave.dat_w, value or 0)
        for _ in range(3):
            _, _, ack, err, data = await ctx.tick().sample(slave.ack, slave.err, slave.dat_r)
            assert not (ack and err)
            if ack or err:
                ctx.set(slave.cyc, 0)
                ctx.set(slave.stb, 0)
                _, _, ack_after, err_after = await ctx.tick().sample(slave.ack, slave.err)
                assert not ack_after
                assert not err_after
                return None if err else data
        raise AssertionError(f"no answer to {address!r}")

    async def send(self, words, parts):
        while not await self.access(BusRegister.STREAMS) & 1:
            pass
        for index, word in enumerate(words):
            port = BusRegister.LAST if index == len(words) - 1 else BusRegister.FRAME
            for part in range(parts):
                assert await self.access(port, word >> (32 * part) & 0xFFFFFFFF) is not None

    async def receive(self, count, parts):
        words = []
        while not await self.access(BusRegister.STREAMS) & 2:
            pass
        for _ in range(count):
            values = [await self.access(BusRegister.RESULT) for _ in range(parts)]
            words.append(sum(value << 32 * part for part, value in enumerate(values)))
        return words


@pytest.mark.parametrize(("array", "parts"), [((2, 2), 1), ((5, 5), 2), ((8, 4), 2)])
def test_registers_frames_and_results_are_reached_over_wishbone(array, parts):
    net = Net(x=(2, 4, 4))
    net.conv(net.conv("x", 3, (3, 3)), 40)  # whole words
    network = net.build()
    program = compile_network(network, array)
    slave = WishboneAccelerator(accelerator(program))
    q = images(network, 2)
    bits = program.config.activation_bits
    frames = [words_to_integers(frame, bits) for frame in program.frame(q)]
    output = golden(network, q)
    expected = [words_to_integers(frame, bits) for frame in program.outputs[0].to_words(output["layer1"])]

    async def host(ctx):
        master = Master(ctx, slave, seed=1)
        assert await master.access(Register.IDENTITY) == IDENTITY
        assert await master.access(Register.CHECKSUM) == program.checksum
        assert await master.access(BusRegister.RESULT) is None, "there is none yet"
        assert await master.access(BusRegister.RESULT, 5) is None
        assert await master.access(BusRegister.FRAME) is None
        assert await master.access(BusRegister.STREAMS) == 1
        if parts > 1:  # half a word, taken back
            await master.access(BusRegister.FRAME, 0x12345678)
            await master.access(BusRegister.STREAMS, 0)
        for frame, result in zip(frames, expected):
            await master.send(frame, parts)
            assert await master.access(BusRegister.FRAME, 1) is None, "it computes"
            assert await master.receive(len(result), parts) == result
        assert await master.access(Register.CYCLES) == timing(program).cycles
        assert await master.access(Register.INFERENCES) == 2
        assert await master.access(Register.STATUS) >> 1 == 0
        await master.access(Register.CONTROL, 0)
        assert await master.access(Register.CONTROL) == 0
        for address in range(max(BusRegister) + 1, 16):
            assert await master.access(address) is None

    simulate(slave, host)
