"""The parameter memory: bias, shift and multiplier of each output channel, delivered as the sums appear."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import MEMORY_LATENCY, ArrayConfig, index_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape


def parameter_layout(config: ArrayConfig) -> StructLayout:
    """One output channel: ``bias`` (with rounding and zero points folded in), ``shift``, ``multiplier``."""
    fields = {"bias": signed(config.accumulator_bits), "shift": config.shift_bits}
    if config.multiplier_bits:
        fields["multiplier"] = signed(config.multiplier_bits)
    return StructLayout(fields)


class ParameterReader(Component):
    """Sends the next ``columns`` words of the memory over a bus, one a cycle.

    Column ``c`` needs its word ``c`` cycles after column 0, so the columns can listen to one bus in turn.
    The first word is on the bus MEMORY_LATENCY cycles after ``start``.

    Members
    -------
    rewind : In, go back to the first word (a new inference)
    start : In, begin to send (again no sooner than ``columns`` cycles later)
    bus : Out, the word
    """

    def __init__(self, config: ArrayConfig, init):
        self.config = config
        self.init = init
        super().__init__({"rewind": In(1), "start": In(1), "bus": Out(parameter_layout(config))})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.memory = memory = Memory(
            shape=config.parameter_bits, depth=config.parameter_depth, init=self.init
        )
        port = memory.read_port()
        pointer = Signal(index_bits(config.parameter_depth))
        left = Signal(range(config.columns))
        m.d.comb += port.addr.eq(pointer)
        with m.If(self.start | (left != 0)):
            m.d.sync += [pointer.eq(pointer + 1), left.eq(Mux(self.start, config.columns, left) - 1)]
        with m.If(self.rewind):
            m.d.sync += pointer.eq(0)
        bus = Signal(config.parameter_bits, reset_less=True)
        m.d.sync += bus.eq(port.data)
        m.d.comb += self.bus.as_value().eq(bus)
        assert MEMORY_LATENCY == 2
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """Memory, its address, and the bus."""
        pointer = index_bits(config.parameter_depth)
        return Facts(
            registers={
                "pointer": pointer,
                "control": index_bits(config.columns),
                "bus": config.parameter_bits,
            },
            adders={"pointer": pointer},
            gates={"control": 1},
            memories=[
                MemoryShape(config.parameter_depth, config.parameter_bits, writes=0, image="parameters")
            ],
        )
