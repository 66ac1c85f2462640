"""An accelerator that breaks the rules, as it is told: for testbenches that must notice."""

from enum import IntEnum, auto

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, connect, flipped

from hwquant.program.program import Program
from hwquant.program.registers import Register
from hwquant.rtl_templates.build import accelerator

AT = 1
"""The word of a result that is spoiled."""


class Fault(IntEnum):
    """What happens in a frame whose first word has this number in its last lane."""

    NONE = 0
    UNMARKED = auto()  # the last word has no mark
    MARKED = auto()  # another one has it
    CHANGED = auto()  # a word changes while the host is busy
    WITHDRAWN = auto()  # or goes away for a cycle
    LOST = auto()
    DOUBLED = auto()
    HUNG = auto()  # nothing comes any more
    EXTRA = auto()  # a word behind the last one
    EARLY = auto()  # a word before the frame was taken
    COUNTER = auto()  # a cycle too many
    LATE = auto()  # the next frame has to wait for a cycle
    WRITE = auto()  # to the address behind


class Faulty(Component):
    """The accelerator of a program, and between it and its ports a fault that the frames ask for.

    The program's input must leave the last lane free. All faults are in one design, so that a simulator is built once.
    """

    def __init__(self, program: Program):
        self.inner = accelerator(program)
        self.program = program
        super().__init__(self.inner.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.accelerator = inner = self.inner
        program = self.program
        bits, lanes = program.config.activation_bits, program.config.lanes
        words_in = sum(item.words for item in program.inputs)
        words_out = sum(item.words for item in program.outputs)
        outer, results = self.results, inner.results

        # Which word moves, and the fault of the frame that came last.
        fault, received = Signal(bits), Signal(range(words_in))
        number = self.frames.payload.data[(lanes - 1) * bits : lanes * bits]
        with m.If(self.frames.valid & self.frames.ready):
            m.d.sync += received.eq(received + 1)
            with m.If(received == 0):
                m.d.sync += fault.eq(number)
            with m.If(received == words_in - 1):
                m.d.sync += received.eq(0)
        word, written = Signal(range(words_out)), Signal(16)
        with m.If(results.valid & results.ready):
            m.d.sync += word.eq(word + 1)
            with m.If(word == words_out - 1):
                m.d.sync += word.eq(0)
        with m.If(inner.monitor.valid):
            m.d.sync += written.eq(written + 1)
        with m.If(received != 0):
            m.d.sync += written.eq(0)
        here = word == AT
        waited = Signal()  # a word was offered, and the host was busy
        m.d.sync += waited.eq(outer.valid & ~outer.ready)

        m.d.comb += inner.bus.address.eq(self.bus.address)
        m.d.comb += inner.bus.write.eq(self.bus.write)
        m.d.comb += inner.bus.write_data.eq(self.bus.write_data)
        m.d.comb += self.bus.read_data.eq(inner.bus.read_data)
        m.d.comb += [getattr(self.monitor, name).eq(getattr(inner.monitor, name)) for name in MONITOR]
        connect(m, flipped(self.frames), inner.frames)
        m.d.comb += [outer.valid.eq(results.valid), outer.payload.eq(results.payload)]
        m.d.comb += results.ready.eq(outer.ready)

        done, pause, more = Signal(), Signal(), Signal()
        with m.Switch(fault):
            with m.Case(Fault.UNMARKED):
                m.d.comb += outer.payload.last.eq(0)
            with m.Case(Fault.MARKED), m.If(here):
                m.d.comb += outer.payload.last.eq(1)
            with m.Case(Fault.CHANGED), m.If(waited):
                m.d.comb += outer.payload.data.eq(results.payload.data ^ 1)
            with m.Case(Fault.WITHDRAWN), m.If(waited):
                m.d.comb += [outer.valid.eq(0), results.ready.eq(0)]
            with m.Case(Fault.LOST), m.If(here):
                m.d.comb += [outer.valid.eq(0), results.ready.eq(1)]
            with m.Case(Fault.DOUBLED), m.If(here & ~done):
                m.d.comb += results.ready.eq(0)
                m.d.sync += done.eq(outer.valid & outer.ready)
            with m.Case(Fault.HUNG), m.If(here):
                m.d.comb += [outer.valid.eq(0), results.ready.eq(0)]
            with m.Case(Fault.EXTRA):
                with m.If(results.valid & results.ready & results.payload.last):
                    m.d.sync += more.eq(1)
                with m.If(more):
                    m.d.comb += [outer.valid.eq(1), results.ready.eq(0)]
                    m.d.sync += more.eq(~outer.ready)
            with m.Case(Fault.EARLY):
                with m.If(self.frames.valid & self.frames.ready & (received == 1)):
                    m.d.sync += more.eq(1)
                with m.If(more):
                    m.d.comb += [outer.valid.eq(1), outer.payload.eq(0), results.ready.eq(0)]
                    m.d.sync += more.eq(~outer.ready)
            with m.Case(Fault.COUNTER), m.If(self.bus.address == Register.CYCLES):
                m.d.comb += self.bus.read_data.eq(inner.bus.read_data + 1)
            with m.Case(Fault.LATE), m.If((received == 0) & ~pause):
                # In the first cycle in which the next frame could begin.
                m.d.comb += [self.frames.ready.eq(0), inner.frames.valid.eq(0)]
                m.d.sync += pause.eq(self.frames.valid & inner.frames.ready)
            with m.Case(Fault.WRITE), m.If(written == AT):
                m.d.comb += self.monitor.address.eq(inner.monitor.address + 1)
        with m.If(self.frames.valid & self.frames.ready):
            m.d.sync += [done.eq(0), pause.eq(0)]
        return m


MONITOR = ("valid", "address", "data", "enable")
