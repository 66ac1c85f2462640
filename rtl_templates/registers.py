"""The register file through which a host recognises, starts and watches the accelerator."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.registers import (
    IDENTITY,
    REGISTER_BITS,
    VERSION,
    MemoryRegister,
    Register,
    RegisterTable,
)
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.ports import BASE_BITS, FrameEvents, RegisterPort, RunPort


class RegisterFile(Component):
    """The registers through which a host recognises, starts and watches the accelerator.

    They are those of :class:`~hwquant.program.registers.Register`, and with external memory of
    :class:`~hwquant.program.registers.MemoryRegister`. Latency: reads are combinational, writes take
    effect at the clock. Throughput: an access a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Shape of the array.
    checksum : int
        Checksum of the program, 32 bits.
    loads : int
        Words that the host must send while ``missing``.
    page : int or None
        Where the accelerator's part of external memory begins from reset on, in pages; None: that must be written
        before an inference begins.

    Members
    -------
    bus : In(RegisterPort)
        The host's access.
    run : In(RunPort)
        What the sequencer does, and whether it may.
    frames : In(FrameEvents)
        What the host has sent and receives: begin and end of the cycles that are counted, and dropped frames.
    missing : In(1)
        The host has not sent all weights.
    base : Out(BASE_BITS)
        Page where the accelerator's part of external memory begins; only where there is one.
    held : In(1)
        An instruction waits for external memory; only where there is one.
    error : In(1)
        External memory answers with an error; only where there is one.
    """

    def __init__(self, config: ArrayConfig, checksum: int, loads: int = 0, page: int | None = None):
        self.config = config
        self.page = page
        self.checksum = checksum
        self.loads = loads
        super().__init__(
            {
                "bus": In(RegisterPort()),
                "run": In(RunPort()),
                "frames": In(FrameEvents()),
                "missing": In(1),
            }
            | ({"base": Out(BASE_BITS), "held": In(1), "error": In(1)} if config.external_bits else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the counters and marks, and the choice of the register that is read."""
        m = Module()
        start = Signal()
        repeat = Signal(init=1)
        busy = Signal()
        counting = Signal()
        cycles = Signal(REGISTER_BITS)
        inferences = Signal(REGISTER_BITS)
        dropped = Signal(Register.STATUS.field("dropped").width)
        enable = (start | repeat) & ~self.missing
        if self.config.external_bits:
            placed = Signal(init=self.page is not None)
            with m.If(self.bus.write & (self.bus.address == MemoryRegister.MEMORY)):
                m.d.sync += placed.eq(1)
            enable &= placed
        m.d.comb += self.run.enable.eq(enable)
        with m.If(counting):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If(self.frames.received):
            m.d.sync += [cycles.eq(0), counting.eq(1)]
        with m.If(self.frames.sending):
            m.d.sync += counting.eq(0)
        with m.If(self.run.done):
            m.d.sync += [busy.eq(0), inferences.eq(inferences + 1)]
        with m.If(self.run.begin):
            m.d.sync += [busy.eq(1), start.eq(0)]
        with m.If(self.frames.dropped):
            m.d.sync += dropped.eq(dropped + 1)
        written = {"start": start, "repeat": repeat}
        with m.If(self.bus.write & (self.bus.address == Register.CONTROL)):
            for name, register in written.items():
                field = Register.CONTROL.field(name)
                m.d.sync += register.eq(self.bus.write_data[field.low : field.high + 1])

        config = self.config
        shown: dict[RegisterTable, Mapping[str, Any]] = {
            Register.IDENTITY: {"identity": IDENTITY},
            Register.VERSION: {"version": VERSION},
            Register.CHECKSUM: {"checksum": self.checksum},
            Register.CONTROL: written,
            Register.STATUS: {"busy": busy, "illegal": self.run.illegal, "dropped": dropped},
            Register.CYCLES: {"cycles": cycles},
            Register.INFERENCES: {"inferences": inferences},
            Register.SHAPE: {
                "rows": config.rows,
                "columns": config.columns,
                "lanes": config.lanes,
                "others": config.arrays - 1,
            },
            Register.LOAD: {"words": Mux(self.missing, self.loads, 0)},
        }
        if config.external_bits:
            shown |= self._memory(m, counting)
        with m.Switch(self.bus.address):
            for register in shown:
                with m.Case(register):
                    m.d.comb += self.bus.read_data.eq(_word(register, shown[register]))
        return m

    def _memory(self, m: Module, counting: Signal) -> dict[RegisterTable, Mapping[str, Any]]:
        """Build the registers of external memory."""
        page = Signal(BASE_BITS, init=self.page or 0)
        failed = Signal()  # `error` is a port
        stalled = Signal(REGISTER_BITS)
        field = MemoryRegister.MEMORY.field("page")
        with m.If(self.bus.write & (self.bus.address == MemoryRegister.MEMORY)):
            m.d.sync += [page.eq(self.bus.write_data[field.low : field.high + 1]), failed.eq(0)]
        with m.If(self.error):
            m.d.sync += failed.eq(1)
        with m.If(counting & self.held):
            m.d.sync += stalled.eq(stalled + 1)
        with m.If(self.frames.received):
            m.d.sync += stalled.eq(0)
        m.d.comb += self.base.eq(page)
        return {
            MemoryRegister.MEMORY: {"error": failed, "page": page},
            MemoryRegister.STALLED: {"stalled": stalled},
        }

    @staticmethod
    def facts(config: ArrayConfig, *, loadable: bool = False) -> Facts:
        """Two counters of whole registers, one of a field, and four marks; with external memory one more counter."""
        memory = BASE_BITS + 2 + REGISTER_BITS if config.external_bits else 0
        dropped = Register.STATUS.field("dropped").width
        return Facts(
            registers={"counters": 2 * REGISTER_BITS + dropped, "control": 4, "memory": memory},
            gates={"control": 1, "loadable": int(loadable)},
        )


def _word(register: RegisterTable, values: Mapping[str, Any]) -> Any:
    """The value of a register: the signals and numbers of its fields at their places."""
    return reduce(
        or_,
        (values[field.name] << field.low if field.low else values[field.name] for field in register.fields),
    )
