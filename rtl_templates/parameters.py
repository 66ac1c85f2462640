"""The parameter memory: bias, shift and multiplier of each output channel, delivered as the sums appear."""

from collections.abc import Sequence

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib.wiring import Component, In

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.banks import READ_LATENCY, banks, choice_bits, read_only
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.ports import FillPort, ParameterPort


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
    fill : In(FillPort(config.parameter_depth, config.parameter_bits))
        Words from external memory, in order of use around the memory as a ring. Only with external memory: there the
        memory begins empty.
    """

    latency = READ_LATENCY

    def __init__(self, config: ArrayConfig, init: Sequence[int]):
        self.config = config
        self.init = init
        fill = {"fill": In(FillPort(config.parameter_depth, config.parameter_bits))}
        super().__init__(
            {"rewind": In(1), "port": In(ParameterPort(config))} | (fill if config.external_bits else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the memory, its address, the counter of words, and the bus."""
        m = Module()
        config = self.config
        pointer = Signal(index_bits(config.parameter_depth))
        left = Signal(range(config.columns))
        with m.If(self.port.start | (left != 0)):
            m.d.sync += [pointer.eq(pointer + 1), left.eq(Mux(self.port.start, config.columns, left) - 1)]
        with m.If(self.rewind):
            m.d.sync += pointer.eq(0)
        fill = self.fill if config.external_bits else None
        width, depth = config.parameter_bits, config.parameter_depth
        word = read_only(m, width, depth, self.init, pointer, fill=fill)
        m.d.comb += self.port.bus.as_value().eq(word)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The memory, its address, and the bus."""
        pointer, parts = index_bits(config.parameter_depth), banks(config.parameter_depth)
        return Facts(
            registers={
                "pointer": pointer,
                "control": index_bits(config.columns),
                "bus": len(parts) * config.parameter_bits,
                "chosen bank": choice_bits(config.parameter_depth),
            },
            adders={"pointer": pointer},
            muxes={"banks": (len(parts) - 1) * config.parameter_bits},
            gates={"control": 1},
            memories=[
                MemoryShape(
                    *(bank.depth, config.parameter_bits),
                    writes=int(config.external_bits > 0),
                    image=None if config.external_bits else "parameters",
                    apart=config.external_bits > 0,
                    register="bus",
                    start=bank.start,
                )
                for bank in parts
            ],
        )
