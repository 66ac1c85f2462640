"""Where finished outputs go in the activation memory."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.jobs import instruction_layout


class Writer(Component):
    """Counts through the words of the layer that is being written.

    A plane (the pixels of one word of channels) is written once for each write group, then the next plane
    follows. Everything is combinational but the counters.

    Members
    -------
    start : In, a layer begins; write : In, its first address and the words of a plane
    outputs, valid : In, ``columns`` output channels of the next pixel
    address, data, enable : Out, to the activation memory; ``enable`` has one bit a write group
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "write": In(instruction_layout(config, Opcode.WRITE)),
                "outputs": In(ArrayLayout(signed(config.activation_bits), config.columns)),
                "valid": In(1),
                "address": Out(config.activation_address_bits),
                "data": Out(config.word_bits),
                "enable": Out(config.groups),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        address = Signal(config.activation_address_bits, reset_less=True)
        lanes = [self.outputs[lane % config.columns] for lane in range(config.lanes)]
        m.d.comb += [self.address.eq(address), self.data.eq(Cat(*lanes))]
        if config.groups == 1:
            m.d.comb += self.enable.eq(self.valid)
            with m.If(self.valid):
                m.d.sync += address.eq(address + 1)
        else:
            plane = Signal(config.activation_address_bits, reset_less=True)
            left = Signal.like(plane)
            begin = Signal.like(plane)
            enable = Signal(config.groups)
            m.d.comb += self.enable.eq(enable & self.valid.replicate(config.groups))
            with m.If(self.valid):
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
                    plane.eq(self.write.plane),
                    left.eq(self.write.plane),
                    begin.eq(self.write.address),
                ]
        with m.If(self.start):
            m.d.sync += address.eq(self.write.address)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The address, and where there are several write groups, the plane that each of them writes."""
        address, several = config.activation_address_bits, config.groups > 1
        return Facts(
            registers={"address": address, "groups": (3 * address + config.groups) * several},
            adders={"address": address, "groups": 3 * address * several},
            gates={"enables": config.groups * several},
        )
