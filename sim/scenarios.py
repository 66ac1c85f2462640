"""What the testbench does with an accelerator: cocotb tests, run by :mod:`hwquant.sim.cocotb_backend`.

Each draws its random choices from the stimulus' seed, which every failure names.
"""

from __future__ import annotations

import os
import time
from typing import Any

import cocotb
from cocotb.triggers import First

from hwquant.program.registers import REGISTER_BITS, Register
from hwquant.sim.stimulus import RESULTS
from hwquant.sim.testbench import Testbench

END = 10
"""Cycles after its last output word within which an inference ends, and the next one waits for its frame."""


@cocotb.test()
async def inferences(dut: Any) -> None:
    """Send all frames back to back, and record what comes out and what is written; judge nothing."""
    bench = Testbench(dut)
    await bench.reset()
    begin = time.perf_counter()
    tasks = [cocotb.start_soon(bench.source.send([word for frame in bench.frames for word in frame]))]
    if bench.stimulus.watch:
        tasks.append(cocotb.start_soon(bench.watch()))
    receiver, watchdog = (
        cocotb.start_soon(bench.record(len(bench.frames))),
        cocotb.start_soon(bench.stopped()),
    )
    await First(receiver, watchdog)
    for task in (*tasks, receiver, watchdog):
        task.cancel()
    bench.recording.seconds = time.perf_counter() - begin
    bench.recording.cycles = bench.cycle
    bench.recording.save(os.environ[RESULTS], bench.stimulus, bench.source.sent, bench.sink.seen)


@cocotb.test()
async def reset_in_the_middle(dut: Any) -> None:
    """Reset at random moments of an inference; the next one must be as if it were the first."""
    bench = Testbench(dut)
    words, period = len(bench.frames[0]), bench.stimulus.frame_cycles
    ends = [words, words, period, period, period, period]
    moments = [bench.random.randint(1, end) for end in ends] + [period - 1]
    for moment in moments:
        await bench.reset()
        frames = [word for frame in bench.frames for word in frame]
        tasks = [cocotb.start_soon(bench.source.send(frames)), cocotb.start_soon(bench.receive())]
        await bench.cycles(moment)
        for task in tasks:
            task.cancel()
        await bench.reset()
        for name, value in bench.stimulus.values.items():
            await bench.expect(name, value, f"after a reset in cycle {moment}")
        for frame in range(len(bench.frames)):
            await bench.infer(frame)
        await bench.cycles(END)
        await bench.expect("INFERENCES", len(bench.frames), f"after a reset in cycle {moment}")


@cocotb.test()
async def wrong_frame_lengths(dut: Any) -> None:
    """Send frames that end early or late.

    They must be dropped and counted, and the frames between them must not be harmed.
    """
    bench = Testbench(dut)
    await bench.reset()
    count, dropped = len(bench.frames[0]), 0
    lengths = {1, count - 1, count + 1, 2 * count} | {bench.random.randint(1, 3 * count) for _ in range(4)}
    for number, length in enumerate(sorted(lengths - {0, count})):
        wrong = [bench.random.randrange(bench.mark) for _ in range(length)]
        await bench.within_patience(bench.source.send(bench.with_last(wrong)))
        dropped += 1
        await bench.infer(number % len(bench.frames))
        await bench.cycles(END)
        status = Register.STATUS.pack(busy=1, dropped=dropped)
        await bench.expect("STATUS", status, f"after a frame of {length} words")
    await bench.expect("INFERENCES", dropped, "in the end")


@cocotb.test()
async def registers(dut: Any) -> None:
    """Check identity, counters, inferences that start on command, and read-only registers."""
    bench = Testbench(dut)
    await bench.reset()
    for name, value in bench.stimulus.values.items():
        await bench.expect(name, value, "after reset")
    for register in Register:
        if not register.writable:
            await bench.write(register.name, bench.random.getrandbits(REGISTER_BITS))
    for name, value in bench.stimulus.values.items():
        await bench.expect(name, value, "after it was written")

    # Starting by itself is on after reset, so one inference waits for its frame; then it is over.
    await bench.write("CONTROL", Register.CONTROL.pack(repeat=0))
    await bench.expect("CONTROL", 0, "after it was written")
    await bench.expect("STATUS", Register.STATUS.pack(busy=1), "while the first inference waits")
    await bench.infer(0)
    for inferences in range(1, 4):
        await bench.cycles(END)
        await bench.expect("STATUS", 0, "between inferences")
        await bench.expect("INFERENCES", inferences, "between inferences")
        await bench.expect("CYCLES", bench.stimulus.cycles, "between inferences")
        frame = inferences % len(bench.frames)
        sender = cocotb.start_soon(bench.source.send(bench.frames[frame]))
        await bench.cycles(2 * bench.stimulus.frame_cycles)
        moved, whole = len(bench.source.sent), inferences * len(bench.frames[0])
        assert moved == whole, f"{moved - whole} words were taken before the inference was started"
        await bench.write("CONTROL", Register.CONTROL.pack(start=1))
        await bench.check(frame)
        assert sender.done(), "a result came before the frame was sent"
