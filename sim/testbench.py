"""The accelerator under cocotb: reset, registers, frames in, frames out, and what it writes in between.

This module and :mod:`hwquant.sim.scenarios` run inside the simulator's process.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, First, ReadOnly, RisingEdge, Timer
from cocotb.utils import get_sim_time

from hwquant.sim.stimulus import PROGRESS, STIMULUS, Recording, Stimulus
from hwquant.sim.streams import Sink, Source

PERIOD = 10
"""Of the clock in testbench.v, in nanoseconds."""


class Testbench:
    """Driver, monitors and in-order checker of one accelerator.

    ``dut`` is the module of testbench.v. What is to be sent and what should come back are read from the
    file that the environment names.
    """

    def __init__(self, dut: Any):
        self.dut = dut
        self.stimulus = stimulus = Stimulus.load(Path(os.environ[STIMULUS]))
        stalls = stimulus.stalls
        self.source = Source(dut, "frames", stalls.idle_cycles() if stalls.idle else None)
        self.sink = Sink(dut, "results", stalls.busy_cycles() if stalls.busy else None)
        self.random = random.Random(stalls.seed)
        self.mark = 1 << (stimulus.bits * stimulus.lanes)
        self.frames = [self.with_last(stimulus.to_integers(frame)) for frame in stimulus.frames]
        self.recording = Recording()
        self._origin = 0

    def with_last(self, words: list[int]) -> list[int]:
        """The words of a frame as payloads: the last one marked."""
        return [*words[:-1], words[-1] | self.mark]

    @property
    def cycle(self) -> int:
        """Clock cycles since the end of the last reset."""
        return round(get_sim_time("ns")) // PERIOD - self._origin

    async def cycles(self, count: int) -> None:
        """Waits for that many falling edges, without looking at those in between."""
        await Timer((count - 1) * PERIOD + PERIOD // 2, "ns")
        await FallingEdge(self.dut.clk)

    async def reset(self) -> None:
        """Two clocks of reset, with both streams at rest."""
        await FallingEdge(self.dut.clk)
        self.source.stop()
        self.sink.stop()
        self.dut.bus__write.value = 0
        self.dut.rst.value = 1
        await self.cycles(2)
        self.dut.rst.value = 0
        self.dut.bus__address.value = self.stimulus.addresses["CYCLES"]
        self._origin += self.cycle

    # Registers ------------------------------------------------------------------------------------------

    async def read(self, register: str) -> int:
        """A register's value; takes a cycle. The address returns to that of the cycle counter."""
        self.dut.bus__address.value = self.stimulus.addresses[register]
        await ReadOnly()
        value = int(self.dut.bus__read_data.value)
        await FallingEdge(self.dut.clk)
        self.dut.bus__address.value = self.stimulus.addresses["CYCLES"]
        return value

    async def write(self, register: str, value: int) -> None:
        """Writes a register; takes a cycle."""
        self.dut.bus__address.value = self.stimulus.addresses[register]
        self.dut.bus__write_data.value = value
        self.dut.bus__write.value = 1
        await FallingEdge(self.dut.clk)
        self.dut.bus__write.value = 0
        self.dut.bus__address.value = self.stimulus.addresses["CYCLES"]

    async def expect(self, register: str, value: int, when: str) -> None:
        """Reads a register and fails if it holds something else."""
        got = await self.read(register)
        assert got == value, f"{register} {when}: expected {value:#x}, got {got:#x}"

    # Frames ---------------------------------------------------------------------------------------------

    async def receive(self) -> list[int]:
        """One output frame; its last word, and no other, must be marked."""
        words: list[int] = []
        for left in reversed(range(self.stimulus.expected.shape[1])):
            word = await self.sink.receive()
            assert (word >= self.mark) == (left == 0), (
                f"frame {len(self.recording.words)}: word {len(words)} comes "
                f"{'without' if word < self.mark else 'with'} the mark of the last one"
            )
            words.append(word & (self.mark - 1))
        return words

    async def record(self, count: int) -> None:
        """Receives frames into the recording, with the cycle counter as it stands after each."""
        end = self.cycle
        for _ in range(count):
            words = await self.receive()
            recording = self.recording
            recording.cycles.append(int(self.dut.bus__read_data.value))
            recording.periods.append(self.cycle - end)
            recording.words.append(words)
            end = self.cycle
            Path(os.environ[PROGRESS]).write_text(str(len(recording.words)))

    async def watch(self) -> None:
        """Records the writes of the first frames."""
        dut, recording = self.dut, self.recording
        while len(recording.words) < self.stimulus.watch:
            await ReadOnly()
            if dut.monitor__valid.value:
                entry = (dut.monitor__address, dut.monitor__enable, dut.monitor__data)
                address, enable, data = (int(signal.value) for signal in entry)
                recording.writes.append((len(recording.words), address, enable, data))
            else:
                await RisingEdge(dut.monitor__valid)
            await FallingEdge(dut.clk)

    async def stopped(self) -> None:
        """Returns once no word has moved for ``patience`` cycles."""
        moved = -1
        while moved != (moved := self.source.moved + self.sink.moved):
            await self.cycles(self.stimulus.patience)

    # Checks ---------------------------------------------------------------------------------------------

    async def infer(self, frame: int) -> None:
        """Sends a frame, and checks its result."""
        sender = cocotb.start_soon(self.source.send(self.frames[frame]))
        await self.check(frame)
        assert sender.done(), f"frame {frame}: a result came before the frame was sent"

    async def check(self, frame: int) -> None:
        """Receives the result of a frame, and checks its words and its cycles."""
        got = await self.within_patience(self.receive())
        cycles = int(self.dut.bus__read_data.value)
        stimulus = self.stimulus
        expected = stimulus.to_integers(stimulus.expected[frame])
        compared = stimulus.to_integers(-stimulus.compared.astype("int64"))
        for index, (want, word, mask) in enumerate(zip(expected, got, compared, strict=True)):
            assert not (word ^ want) & mask, (
                f"frame {frame}, word {index}: expected {want & mask:#x}, got {word & mask:#x}"
            )
        assert cycles == stimulus.cycles, f"frame {frame}: {cycles} cycles instead of {stimulus.cycles}"

    async def within_patience(self, coroutine: Any) -> Any:
        """Awaits a coroutine that moves words; fails if the hardware stops."""
        task, watchdog = cocotb.start_soon(coroutine), cocotb.start_soon(self.stopped())
        await First(task, watchdog)
        assert task.done(), f"no word moved for {self.stimulus.patience} cycles"
        watchdog.cancel()
        return task.result()
