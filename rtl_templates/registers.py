"""The register file through which a host recognises, starts and watches the accelerator."""

from enum import IntEnum

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In, Out, Signature

from hwquant.program.config import ArrayConfig, index_bits
from hwquant.rtl_templates.facts import Facts

IDENTITY = 0x48575131
"""ASCII "HWQ1"."""

VERSION = 1


class Register(IntEnum):
    """Word addresses.

    IDENTITY, VERSION and CHECKSUM (of the program in the memories) let a driver refuse the wrong bitstream.
    CONTROL: bit 0 written starts one inference; bit 1, set after reset, starts one whenever none runs.
    STATUS: bit 0 busy; bit 1 an illegal instruction was met; bits 8.. count dropped input frames.
    CYCLES: from the last input word of an inference to its first output word may leave, of the latest one.
    INFERENCES: finished ones. SHAPE: rows in bits 0..7, columns in bits 8..15, lanes in bits 16..23.
    LOAD: words of the weight memory that the host must send before anything runs; 0 once it has, and always
    where the bitstream has the weights.
    """

    IDENTITY = 0
    VERSION = 1
    CHECKSUM = 2
    CONTROL = 3
    STATUS = 4
    CYCLES = 5
    INFERENCES = 6
    SHAPE = 7
    LOAD = 8


class RegisterFile(Component):
    """32-bit registers; see :class:`Register`. Reads are combinational, writes take effect at the clock.

    ``loads`` : words that the host must send while ``missing``.

    Members
    -------
    bus : In, the host's access
    begin, done : In, an inference begins or ends
    input_done, output_start : In, begin and end of the cycles that are counted
    illegal, framing : In, errors
    missing : In, the host has not sent all weights
    enable : Out, an inference may begin
    """

    @staticmethod
    def bus_signature() -> Signature:
        """``address``, ``write``, ``write_data`` from the host, ``read_data`` to it."""
        return Signature(
            {
                "address": Out(index_bits(len(Register))),
                "write": Out(1),
                "write_data": Out(32),
                "read_data": In(32),
            }
        )

    def __init__(self, config: ArrayConfig, checksum: int, loads: int = 0):
        self.config = config
        self.checksum = checksum
        self.loads = loads
        super().__init__(
            {
                "bus": In(self.bus_signature()),
                "begin": In(1),
                "done": In(1),
                "input_done": In(1),
                "output_start": In(1),
                "illegal": In(1),
                "framing": In(1),
                "missing": In(1),
                "enable": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        start = Signal()
        repeat = Signal(init=1)
        busy = Signal()
        counting = Signal()
        cycles = Signal(32)
        inferences = Signal(32)
        dropped = Signal(16)
        m.d.comb += self.enable.eq((start | repeat) & ~self.missing)
        with m.If(counting):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If(self.input_done):
            m.d.sync += [cycles.eq(0), counting.eq(1)]
        with m.If(self.output_start):
            m.d.sync += counting.eq(0)
        with m.If(self.done):
            m.d.sync += [busy.eq(0), inferences.eq(inferences + 1)]
        with m.If(self.begin):
            m.d.sync += [busy.eq(1), start.eq(0)]
        with m.If(self.framing):
            m.d.sync += dropped.eq(dropped + 1)
        with m.If(self.bus.write & (self.bus.address == Register.CONTROL)):
            m.d.sync += [start.eq(self.bus.write_data[0]), repeat.eq(self.bus.write_data[1])]

        shape = self.config.rows | self.config.columns << 8 | self.config.lanes << 16
        with m.Switch(self.bus.address):
            for register, value in {
                Register.IDENTITY: IDENTITY,
                Register.VERSION: VERSION,
                Register.CHECKSUM: self.checksum,
                Register.CONTROL: start | repeat << 1,
                Register.STATUS: busy | self.illegal << 1 | dropped << 8,
                Register.CYCLES: cycles,
                Register.INFERENCES: inferences,
                Register.SHAPE: shape,
                Register.LOAD: Mux(self.missing, self.loads, 0),
            }.items():
                with m.Case(register):
                    m.d.comb += self.bus.read_data.eq(value)
        return m

    @staticmethod
    def facts(*, loadable: bool = False) -> Facts:
        """Two counters of 32 bits, one of 16."""
        return Facts(
            registers={"counters": 32 + 32 + 16, "control": 4},
            gates={"control": 1, "loadable": int(loadable)},
        )
