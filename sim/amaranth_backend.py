"""Amaranth's own simulator: slow, but it needs nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from hwquant.sim.contract import COUNTER, LINGER, Task
from hwquant.sim.external_memory import hardware, settings
from hwquant.sim.options import SimulationOptions
from hwquant.sim.recorder import Recorder
from hwquant.sim.trace import PATTERN, Log, Write


class _Bench:
    """The host of one accelerator, as an Amaranth testbench.

    Parameters
    ----------
    task : Task
        What is sent, and what is looked at.
    dut : Component
        The accelerator, or anything with its ports.
    progress : callable or None
        Told the number of finished frames.
    """

    def __init__(self, task: Task, dut: Any, progress: Callable[[int], None] | None):
        self.task, self.dut, self.progress = task, dut, progress
        self.results = Recorder()
        self.offered: list[int] = []
        self.taken: list[int] = []
        self.counters: list[int] = []
        self.writes: list[tuple[int, Write]] = []
        self.cycle = 0

    async def host(self, ctx: Any) -> None:
        """Send, receive and look, a clock cycle in each turn."""
        task, dut = self.task, self.dut
        frames, results, monitor = dut.frames, dut.results, dut.monitor
        payloads, idle, busy = task.payloads(), task.idle.tolist(), task.busy.tolist()
        watched = task.watch * task.words_out
        last = (1 << task.program.config.frame_bits) - 1
        offering, moved = False, 0
        ctx.set(dut.bus.address, COUNTER)
        while self.cycle - moved < (task.patience if self.results.moved < task.results else LINGER):
            slot = self.cycle % PATTERN
            if not offering and len(self.taken) < len(payloads) and not idle[slot]:
                payload = payloads[len(self.taken)]
                ctx.set(frames.payload, {"data": payload & last, "last": payload > last})
                offering = True
                self.offered.append(self.cycle)
            ctx.set(frames.valid, offering)
            ctx.set(results.ready, not busy[slot])
            sampled = [frames.ready, results.valid, results.payload.as_value(), dut.bus.read_data]
            if self.results.moved < watched:
                sampled += [monitor.valid, monitor.address, monitor.enable, monitor.data]
            _, _, ready, valid, word, counter, *write = await ctx.tick().sample(*sampled)
            if write and write[0]:
                self.writes.append((self.cycle, Write(*write[1:])))
            if offering and ready:
                self.taken.append(self.cycle)
                offering, moved = False, self.cycle + 1
            if valid:
                if not busy[slot] and self.results.moved < task.results:
                    moved = self.cycle + 1
                self.results.see(self.cycle, word, not busy[slot])
                if not busy[slot] and self.results.moved % task.words_out == 0:
                    self.counters.append(counter)
                    if self.progress:
                        self.progress(len(self.counters))
            self.cycle += 1


def record(task: Task, options: SimulationOptions) -> Log:
    """Run a task in Amaranth's simulator; nothing is built.

    Parameters
    ----------
    task : Task
        What is sent, and what is looked at.
    options : SimulationOptions
        Where waves are written, and what is simulated.

    Returns
    -------
    Log
        What the host has seen, not judged.
    """
    dut = hardware(task.program, settings(task)) if options.design is None else options.design
    bench = _Bench(task, dut, options.reporter(len(task.frames)))
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench.host)
    begin = time.perf_counter()
    with ExitStack() as stack:
        if options.waves is not None:
            stack.enter_context(simulator.write_vcd(str(options.waves)))
        simulator.run()
    return Log(
        sent=np.array(list(zip(bench.offered, bench.taken)), np.int64).reshape(-1, 2),
        results=bench.results.offers(task.lanes, task.bits),
        counters=tuple(bench.counters),
        writes=tuple(bench.writes),
        cycles=bench.cycle,
        seconds=time.perf_counter() - begin,
    )
