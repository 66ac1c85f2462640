"""The accelerator under cocotb: reset, registers, frames in, frames out, and what it writes in between.

This module and :mod:`hwquant.sim.scenarios` run inside the simulator's process.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, ReadOnly, Timer, ValueChange
from cocotb.utils import get_sim_steps, get_sim_time

from hwquant.program.registers import Register
from hwquant.sim.contract import COUNTER, misplaced, unstable
from hwquant.sim.stimulus import PROGRESS, STIMULUS, Recording, Stimulus
from hwquant.sim.streams import Sink, Source, defined

PERIOD = 10
"""Period of the clock in testbench.v, in nanoseconds."""


class Testbench:
    """Driver, monitors and in-order checker of one accelerator.

    What is to be sent and what should come back are read from the file that the environment names.

    Parameters
    ----------
    dut : cocotb handle
        The module of testbench.v.

    Attributes
    ----------
    stimulus : Stimulus
        What is to be sent, and what should come back.
    source : Source
        The stream of input frames.
    sink : Sink
        The stream of results.
    random : random.Random
        Random choices of a scenario.
    mark : int
        The bit of a payload that marks the last beat of an input frame.
    result_mark : int
        The bit of a payload that marks the last word of a result.
    frames : list of list of int
        Payloads of the input frames.
    recording : Recording
        What is seen besides the streams.
    """

    def __init__(self, dut: Any):
        self.dut = dut
        self.stimulus = stimulus = Stimulus.load(Path(os.environ[STIMULUS]))
        stalls = stimulus.stalls
        self.source = Source(dut, "frames", lambda: self.cycle, stalls.idle_cycles())
        self.sink = Sink(dut, "results", lambda: self.cycle, stalls.busy_cycles())
        self.random = random.Random(stalls.seed)
        self.mark = 1 << (stimulus.bits * stimulus.frames.shape[2])
        self.result_mark = 1 << (stimulus.bits * stimulus.lanes)
        self.frames = [self.with_last(stimulus.to_integers(frame)) for frame in stimulus.frames]
        self.recording = Recording()
        self._origin = 0
        self._period = get_sim_steps(PERIOD, "ns")

    def with_last(self, words: list[int]) -> list[int]:
        """The words of a frame as payloads: the last one marked."""
        return [*words[:-1], words[-1] | self.mark]

    @property
    def cycle(self) -> int:
        """Clock cycles since the end of the last reset."""
        return get_sim_time() // self._period - self._origin

    async def cycles(self, count: int) -> None:
        """Wait for that many falling edges, without looking at those in between."""
        await Timer((count - 1) * PERIOD + PERIOD // 2, "ns")
        await FallingEdge(self.dut.clk)

    async def reset(self) -> None:
        """Reset for two clock cycles, with both streams at rest."""
        await FallingEdge(self.dut.clk)
        self.source.reset()
        self.sink.reset()
        self.dut.bus__write.value = 0
        self.dut.rst.value = 1
        await self.cycles(2)
        self.dut.rst.value = 0
        self.dut.bus__address.value = int(COUNTER)
        self._origin += self.cycle

    # Registers ------------------------------------------------------------------------------------------

    async def read(self, register: str) -> int:
        """Read a register, which takes a cycle; the address returns to that of the cycle counter."""
        self.dut.bus__address.value = int(Register[register])
        await ReadOnly()
        value = int(self.dut.bus__read_data.value)
        await FallingEdge(self.dut.clk)
        self.dut.bus__address.value = int(COUNTER)
        return value

    async def write(self, register: str, value: int) -> None:
        """Write a register, which takes a cycle; the address returns to that of the cycle counter."""
        self.dut.bus__address.value = int(Register[register])
        self.dut.bus__write_data.value = value
        self.dut.bus__write.value = 1
        await FallingEdge(self.dut.clk)
        self.dut.bus__write.value = 0
        self.dut.bus__address.value = int(COUNTER)

    async def expect(self, register: str, value: int, when: str) -> None:
        """Read a register, and fail if it holds something else."""
        got = await self.read(register)
        assert got == value, f"{register} {when}: expected {value:#x}, got {got:#x}"

    # Frames ---------------------------------------------------------------------------------------------

    async def record(self, count: int) -> None:
        """Receive frames, and note the cycle counter as it stands after each; and whatever comes behind them.

        Parameters
        ----------
        count : int
            Number of the frames.
        """
        length = self.stimulus.expected.shape[1]
        for _ in range(count):
            for _ in range(length):
                await self.sink.receive()
            self.recording.counters.append(defined(self.dut.bus__read_data))
            Path(os.environ[PROGRESS]).write_text(str(len(self.recording.counters)))
        more = cocotb.start_soon(self.receive_for_ever())
        await self.cycles(self.stimulus.linger)
        more.cancel()

    async def receive_for_ever(self) -> None:
        """Receive words that nobody waits for."""
        while True:
            await self.sink.receive()

    async def watch(self) -> None:
        """Record the writes of the frames that are watched."""
        dut, writes = self.dut, self.recording.writes
        words = self.stimulus.watch * self.stimulus.expected.shape[1]
        while self.sink.seen.moved < words:
            await ReadOnly()
            if defined(dut.monitor__valid):
                entry = (dut.monitor__address, dut.monitor__enable, dut.monitor__data)
                writes.append((self.cycle, *(defined(signal) for signal in entry)))
            else:
                await ValueChange(dut.monitor__valid)
            await FallingEdge(dut.clk)

    async def stopped(self) -> None:
        """Return once no word has moved for ``patience`` cycles."""
        while left := max(0, max(self.source.latest, self.sink.latest) + self.stimulus.patience - self.cycle):
            await self.cycles(left)

    # Checks ---------------------------------------------------------------------------------------------

    async def receive(self) -> list[int]:
        """Receive one output frame; fail if it breaks a rule of the stream."""
        words: list[int] = []
        length = self.stimulus.expected.shape[1]
        for index in range(length):
            payload = await self.sink.receive()
            rule = misplaced(index, length, payload >= self.result_mark)
            assert rule is None, rule
            words.append(payload & (self.result_mark - 1))
        offers = self.sink.seen.offers(self.stimulus.lanes, self.stimulus.bits)
        for index in range(len(offers.words)):
            rule = unstable(offers, index, self.cycle, self.stimulus.bits)
            assert rule is None, rule
        return words

    async def infer(self, frame: int) -> None:
        """Send a frame, and check its result."""
        sender = cocotb.start_soon(self.source.send(self.frames[frame]))
        await self.check(frame)
        assert sender.done(), f"frame {frame}: a result came before the frame was sent"

    async def check(self, frame: int) -> None:
        """Receive the result of a frame, and check its words and its cycles."""
        stimulus = self.stimulus
        got = await self.within_patience(self.receive())
        cycles = defined(self.dut.bus__read_data)
        expected = stimulus.to_integers(stimulus.expected[frame])
        compared = stimulus.to_integers(-stimulus.compared.astype("int64"))
        for index, (want, word, mask) in enumerate(zip(expected, got, compared, strict=True)):
            assert not (word ^ want) & mask, (
                f"frame {frame}, word {index}: expected {want & mask:#x}, got {word & mask:#x}"
            )
        assert cycles == stimulus.cycles, f"frame {frame}: {cycles} cycles instead of {stimulus.cycles}"

    async def within_patience(self, coroutine: Any) -> Any:
        """Await a coroutine that moves words; fail if the hardware stops."""
        task, watchdog = cocotb.start_soon(coroutine), cocotb.start_soon(self.stopped())
        await First(task, watchdog)
        assert task.done(), f"no word moved for {self.stimulus.patience} cycles"
        watchdog.cancel()
        return task.result()
