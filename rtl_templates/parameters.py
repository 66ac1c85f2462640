"""The parameter memory: bias, shift and multiplier of each output channel, delivered as the sums appear."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.ports import ParameterPort


class ParameterReader(Component):
    """The parameter memory, which sends its next ``columns`` words over a bus.

    Column ``c`` needs its word ``c`` cycles after column 0, so the columns can listen to one bus in turn.

    Throughput: a word a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Depth and widths.
    init : Sequence of int
        Contents of the memory, unsigned words.

    Attributes
    ----------
    latency : int
        Cycles from ``start`` to the first word: the memory, then a register.

    Members
    -------
    rewind : In(1)
        Go back to the first word: a new inference.
    port : In(ParameterPort)
        Request for the next words, and the bus on which they come.
    """

    latency = 2

    def __init__(self, config: ArrayConfig, init: Sequence[int]):
        self.config = config
        self.init = init
        super().__init__({"rewind": In(1), "port": In(ParameterPort(config))})

    def elaborate(self, platform: object) -> Module:
        """Build the memory, its address, the counter of words, and the bus."""
        m = Module()
        config = self.config
        m.submodules.memory = memory = Memory(
            shape=config.parameter_bits, depth=config.parameter_depth, init=self.init
        )
        port = memory.read_port()
        pointer = Signal(index_bits(config.parameter_depth))
        left = Signal(range(config.columns))
        m.d.comb += port.addr.eq(pointer)
        with m.If(self.port.start | (left != 0)):
            m.d.sync += [pointer.eq(pointer + 1), left.eq(Mux(self.port.start, config.columns, left) - 1)]
        with m.If(self.rewind):
            m.d.sync += pointer.eq(0)
        bus = Signal(config.parameter_bits, reset_less=True)
        m.d.sync += bus.eq(port.data)
        m.d.comb += self.port.bus.as_value().eq(bus)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The memory, its address, and the bus."""
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
