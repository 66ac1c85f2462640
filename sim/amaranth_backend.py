"""Amaranth's own simulator: slow, but it needs nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from hwquant.errors import HwquantError
from hwquant.program.cycles import timing
from hwquant.program.layout import integers_to_words, words_to_integers
from hwquant.program.program import Program
from hwquant.qgraph import IntArray
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.registers import Register
from hwquant.sim.trace import Run, Stalls, Write


class _Bench:
    """Driver and monitors, as Amaranth testbenches, around one accelerator."""

    def __init__(self, program: Program, frames: IntArray, watch: int, stalls: Stalls):
        self.dut = accelerator(program)
        self.frames = [words_to_integers(frame, program.config.activation_bits) for frame in frames]
        self.words_out = sum(item.words for item in program.outputs)
        self.patience = 2 * timing(program).frame_cycles + 1000
        self.stalls = stalls
        self.moved = 0
        self.words: list[list[int]] = []
        self.cycles: list[int] = []
        self.periods: list[int] = []
        self.writes: list[list[Write]] = [[] for _ in range(watch)]
        self.progress: Callable[[int], None] = lambda done: None

    def beats(self) -> Iterator[dict[str, int]]:
        """Payloads of all frames."""
        for frame in self.frames:
            for left, word in zip(reversed(range(len(frame))), frame):
                yield {"data": word, "last": left == 0}

    async def send(self, ctx: Any) -> None:
        """Offers the frames."""
        stream, idle = self.dut.frames, self.stalls.idle_cycles()
        for payload in self.beats():
            while next(idle):
                ctx.set(stream.valid, 0)
                await ctx.tick()
            ctx.set(stream.payload, payload)
            ctx.set(stream.valid, 1)
            ready = False
            while not ready:
                _, _, ready = await ctx.tick().sample(stream.ready)
            self.moved += 1
        ctx.set(stream.valid, 0)

    async def receive(self, ctx: Any) -> None:
        """Accepts results, until all frames have come or nothing has moved for too long."""
        stream, busy = self.dut.results, self.stalls.busy_cycles()
        ctx.set(self.dut.bus.address, Register.CYCLES)
        words: list[int] = []
        cycle = end = quiet = moved = 0
        while len(self.words) < len(self.frames) and quiet < self.patience:
            ready = not next(busy)
            ctx.set(stream.ready, ready)
            _, _, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
            cycle += 1
            if valid and ready:
                words.append(payload.data)
                if payload.last != (len(words) == self.words_out):
                    raise HwquantError(
                        f"amaranth: frame {len(self.words)}: word {len(words) - 1} comes "
                        f"{'with' if payload.last else 'without'} the mark of the last one"
                    )
                self.moved += 1
            if len(words) == self.words_out:
                self.words.append(words)
                self.cycles.append(ctx.get(self.dut.bus.read_data))
                self.periods.append(cycle - end)
                self.progress(len(self.words))
                words, end = [], cycle
            quiet = quiet + 1 if moved == self.moved else 0
            moved = self.moved

    async def watch(self, ctx: Any) -> None:
        """Records writes until the watched frames have left."""
        port = self.dut.monitor
        signals = port.valid, port.address, port.enable, port.data
        while len(self.words) < len(self.writes):
            _, _, valid, *write = await ctx.tick().sample(*signals)
            if valid and len(self.words) < len(self.writes):
                self.writes[len(self.words)].append(Write(*write))


def simulate(
    program: Program,
    frames: IntArray,
    *,
    watch: int,
    waves: Path | None,
    build_dir: Path | None,
    progress: Callable[[int], None] | None,
    stalls: Stalls,
    verilog: None,
) -> Run:
    """See :func:`hwquant.sim.simulate`; nothing is built."""
    bench = _Bench(program, frames, watch, stalls)
    if progress:
        bench.progress = progress
    simulator = Simulator(bench.dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench.send, background=True)
    simulator.add_testbench(bench.receive)
    if watch:
        simulator.add_testbench(bench.watch, background=True)
    begin = time.perf_counter()
    with ExitStack() as stack:
        if waves is not None:
            stack.enter_context(simulator.write_vcd(str(waves)))
        simulator.run()
    lanes, bits = program.config.lanes, program.config.activation_bits
    words = [integers_to_words(frame, lanes, bits) for frame in bench.words]
    return Run(
        words=np.array(words, np.int64).reshape(len(words), bench.words_out, lanes),
        cycles=tuple(bench.cycles),
        writes=tuple(tuple(frame) for frame in bench.writes),
        periods=tuple(bench.periods),
        seconds=time.perf_counter() - begin,
    )
