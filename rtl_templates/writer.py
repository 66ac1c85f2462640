"""Where finished outputs go in the activation memory."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, ValueLike
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.jobs import instruction_layout
from hwquant.rtl_templates.ports import ResultPort, WriteMonitor, WritePort


class Writer(Component):
    """The addresses of finished outputs: it counts through the words of the layer that is being written.

    A plane (the pixels of one word of channels) is written once for each write group, then the next plane
    follows. Where the configuration has ``strided_writes``, the pixels of a layer may lie apart: rows of ``width``
    words ``step`` apart, with a ``jump`` from row to row and a ``skip`` from plane to plane.

    Latency: none, everything is combinational but the counters. Throughput: a word a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Shape and widths.

    Members
    -------
    start : In(1)
        A layer begins.
    layer : In(instruction_layout(config, Opcode.WRITE))
        First ``address`` of the layer, and the words of a ``plane``; with ``strided_writes`` also ``width``, ``step``,
        ``jump`` and ``skip``.
    results : In(ResultPort)
        Output channels of the next pixel.
    write : Out(WritePort)
        What is written to the activation memory, in the same cycle.
    monitor : Out(WriteMonitor)
        What is written to the activation memory, for testbenches.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "layer": In(instruction_layout(config, Opcode.WRITE)),
                "results": In(ResultPort(config)),
                "write": Out(WritePort(config)),
                "monitor": Out(WriteMonitor(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the address, and with several write groups or strides the counters of planes and rows."""
        m = Module()
        config = self.config
        address = Signal(config.activation_address_bits, reset_less=True)
        lanes = [self.results.channels[lane % config.columns] for lane in range(config.lanes)]
        m.d.comb += [
            self.write.address.eq(address),
            self.write.data.eq(Cat(*lanes)),
            self.monitor.valid.eq(self.results.valid),
            *(
                getattr(self.monitor, name).eq(getattr(self.write, name))
                for name in WritePort(config).members
            ),
        ]
        within: ValueLike = address + 1
        beyond: ValueLike = address + 1
        if config.strided_writes:
            within, beyond = self._strides(m, address)
        if config.groups == 1 and not config.strided_writes:
            m.d.comb += self.write.enable.eq(self.results.valid)
            with m.If(self.results.valid):
                m.d.sync += address.eq(within)
        else:
            self._planes(m, address, within, beyond)
        with m.If(self.start):
            m.d.sync += address.eq(self.layer.address)
        return m

    def _planes(self, m: Module, address: Signal, within: ValueLike, beyond: ValueLike) -> None:
        """Count the words of a plane, which each write group goes through from its beginning.

        The address goes on to ``within`` in a plane, and to ``beyond`` from the last word of a plane.
        """
        config = self.config
        plane = Signal(config.activation_address_bits, reset_less=True)
        left = Signal.like(plane)
        begin = Signal.like(plane)
        enable = Signal(config.groups)
        m.d.comb += self.write.enable.eq(enable & self.results.valid.replicate(config.groups))
        with m.If(self.results.valid):
            m.d.sync += [address.eq(within), left.eq(left - 1)]
            with m.If(left == 1):
                m.d.sync += [enable.eq(enable.rotate_left(1)), left.eq(plane)]
                with m.If(enable[-1]):
                    m.d.sync += begin.eq(beyond)
                    if config.strided_writes:
                        m.d.sync += address.eq(beyond)
                with m.Else():
                    m.d.sync += address.eq(begin)
        with m.If(self.start):
            m.d.sync += [
                enable.eq(1),
                plane.eq(self.layer.plane),
                left.eq(self.layer.plane),
                begin.eq(self.layer.address),
            ]

    def _strides(self, m: Module, address: Signal) -> tuple[Value, Value]:
        """Count the words of a row; return the address of the plane's next word, and of the next plane."""
        width = Signal(self.layer.width.shape(), reset_less=True)
        column = Signal.like(width)
        step, jump, skip = (
            Signal(self.config.activation_address_bits, name=name, reset_less=True)
            for name in ("step", "jump", "skip")
        )
        ends = column == 1
        with m.If(self.results.valid):
            m.d.sync += column.eq(Mux(ends, width, column - 1))
        with m.If(self.start):
            m.d.sync += [
                width.eq(self.layer.width),
                column.eq(self.layer.width),
                step.eq(self.layer.step),
                jump.eq(self.layer.jump),
                skip.eq(self.layer.skip),
            ]
        return address + Mux(ends, jump, step), address + skip

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The address and, where there are several write groups or strides, the words of planes and rows."""
        address, strided = config.activation_address_bits, config.strided_writes
        several = config.groups > 1 or strided
        return Facts(
            registers={
                "address": address,
                "groups": (3 * address + config.groups) * several,
                "strides": (2 * config.coordinate_bits + 3 * address) * strided,
            },
            adders={
                "address": address,
                "groups": 3 * address * several,
                "strides": (config.coordinate_bits + 2 * address) * strided,
            },
            gates={"enables": config.groups * several},
        )
