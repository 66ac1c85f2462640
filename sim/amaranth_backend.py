"""Simulation in Amaranth's own simulator: slow, but it needs nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from amaranth.sim import Simulator

from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.program.program import Program
from hwquant.qgraph import IntArray
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.registers import Register
from hwquant.sim.trace import Run, Write
import numpy as np


def simulate(program: Program, frames: IntArray, *, watch: int = 0, progress: Callable[[int], None] | None = None, vcd: str | None = None) -> Run:
    """Runs N frames (N, words, lanes) back to back.

    The monitor's writes are recorded for the first ``watch`` frames.
    """
    config = program.config
    dut = accelerator(program)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    count, lanes, bits = len(frames), config.lanes, config.activation_bits
    per_frame = sum(item.words for item in program.outputs)
    results: list[list[int]] = []
    cycles: list[int] = []
    writes: list[list[Write]] = [[] for _ in range(watch)]

    async def send(ctx):
        for frame in frames:
            words = words_to_integers(frame, bits)
            for index, word in enumerate(words):
                ctx.set(dut.frames.payload, {"data": word, "last": index == len(words) - 1})
                ctx.set(dut.frames.valid, 1)
                await ctx.tick().until(dut.frames.ready)
            ctx.set(dut.frames.valid, 0)

    async def receive(ctx):
        ctx.set(dut.results.ready, 1)
        ctx.set(dut.bus.address, Register.CYCLES)
        for done in range(count):
            words = []
            while len(words) < per_frame:
                payload, = await ctx.tick().sample(dut.results.payload).until(dut.results.valid)
                words.append(payload.data)
            results.append(words)
            cycles.append(ctx.get(dut.bus.read_data))
            if progress:
                progress(done + 1)

    async def monitor(ctx):
        # The write port is observed until the watched frames have left.
        async for _, _, valid, address, data, enable in ctx.tick().sample(
            dut.monitor.valid, dut.monitor.address, dut.monitor.data, dut.monitor.enable
        ):
            if len(results) >= watch:
                return
            if valid:
                writes[len(results)].append(Write(address, enable, data))

    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    if watch:
        simulator.add_testbench(monitor, background=True)
    simulator.run()
    words = np.stack([integers_to_words(row, lanes, bits) for row in results])
    return Run(words, tuple(cycles), tuple(tuple(item) for item in writes))
