"""Where finished outputs go in the activation memory."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.jobs import instruction_layout
from hwquant.rtl_templates.ports import ResultPort, WriteMonitor, WritePort


class Writer(Component):
    """The addresses of finished outputs: it counts through the words of the layer that is being written.

    A plane (the pixels of one word of channels) is written once for each write group, then the next plane
    follows.

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
        First ``address`` of the layer, and the words of a ``plane``.
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
        """Build the address, and with several write groups the counters of planes."""
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
        if config.groups == 1:
            m.d.comb += self.write.enable.eq(self.results.valid)
            with m.If(self.results.valid):
                m.d.sync += address.eq(address + 1)
        else:
            plane = Signal(config.activation_address_bits, reset_less=True)
            left = Signal.like(plane)
            begin = Signal.like(plane)
            enable = Signal(config.groups)
            m.d.comb += self.write.enable.eq(enable & self.results.valid.replicate(config.groups))
            with m.If(self.results.valid):
                m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
                with m.If(left == 1):
                    m.d.sync += [enable.eq(enable.rotate_left(1)), left.eq(plane)]
                    with m.If(enable[-1]):
                        m.d.sync += begin.eq(address + 1)
                    with m.Else():
                        m.d.sync += address.eq(begin)
            with m.If(self.start):
                m.d.sync += [
                    enable.eq(1),
                    plane.eq(self.layer.plane),
                    left.eq(self.layer.plane),
                    begin.eq(self.layer.address),
                ]
        with m.If(self.start):
            m.d.sync += address.eq(self.layer.address)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The address and, where there are several write groups, the plane that each of them writes."""
        address, several = config.activation_address_bits, config.groups > 1
        return Facts(
            registers={"address": address, "groups": (3 * address + config.groups) * several},
            adders={"address": address, "groups": 3 * address * several},
            gates={"enables": config.groups * several},
        )
