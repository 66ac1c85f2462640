"""A loadable accelerator as one with weights: what loads it stands beside it."""

from amaranth.hdl import Module, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, connect, flipped

from hwquant.program.widths import index_bits
from hwquant.rtl_templates.build import accelerator


class SelfLoading(Component):
    """The accelerator of a program, loaded after each reset from a memory of its own; its ports are those of any."""

    def __init__(self, program):
        self.weights = program.weight_image
        self.inner = accelerator(program, loadable=True)
        super().__init__(
            {name: item for name, item in self.inner.signature.members.items() if name != "load"}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = self.inner
        memory = Memory(shape=len(inner.load.payload), depth=len(self.weights), init=self.weights)
        m.submodules.memory = memory
        port = memory.read_port()
        for name in self.signature.members:
            connect(m, flipped(getattr(self, name)), getattr(inner, name))
        index = Signal(index_bits(len(self.weights) + 1))
        valid = Signal()
        m.d.comb += [port.addr.eq(index), inner.load.payload.eq(port.data), inner.load.valid.eq(valid)]
        m.d.sync += valid.eq(index != len(self.weights))
        with m.If(index != len(self.weights)):
            m.d.sync += index.eq(index + 1)
        return m
