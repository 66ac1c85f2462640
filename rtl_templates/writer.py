"""Where finished outputs go in the activation memory."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike
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

    Several arrays write to a bank each; or, where array 0 works ``alone``, its outputs go to all banks, or to one bank
    after the other, ``words`` of a plane each.

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
        ``jump`` and ``skip``; of several arrays also ``words``, ``alone`` and ``spread``.
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
        several = config.arrays > 1
        m.d.comb += [
            self.write.address.eq(address),
            self.write.data.eq(self._words(m) if several else Cat(*lanes)),
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
        if several:
            self._strips(m, address, within, beyond)
        elif config.groups == 1 and not config.strided_writes:
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

    def _words(self, m: Module) -> Value:
        """The word for each bank: of its own array, or of array 0 where that works alone."""
        config = self.config
        alone = Signal(reset_less=True)
        with m.If(self.start):
            m.d.sync += alone.eq(self.layer.alone)
        words = [
            Cat(
                self.results.channels[k * config.columns + lane % config.columns]
                for lane in range(config.lanes)
            )
            for k in range(config.arrays)
        ]
        return Cat(Mux(alone, words[0], word) if k else word for k, word in enumerate(words))

    def _strips(self, m: Module, address: Signal, within: ValueLike, beyond: ValueLike) -> None:
        """Count the words of a plane, as :meth:`_planes` does, and those of its strips.

        Where strips are in one bank after the other, each begins at the address of the plane.
        """
        config = self.config
        plane, words = (
            Signal(self.layer.plane.shape(), name=name, reset_less=True) for name in ("plane", "words")
        )
        left, room = Signal.like(plane, name="left"), Signal.like(plane, name="room")
        begin = Signal(config.activation_address_bits, reset_less=True)
        first, banks = (Signal(config.arrays, name=name, reset_less=True) for name in ("first", "banks"))
        enable = Signal(config.groups)
        valid = self.results.valid
        m.d.comb += self.write.enable.eq(Cat(enable & valid.replicate(config.groups), banks))
        following = beyond if config.strided_writes else begin + words
        with m.If(valid):
            m.d.sync += [address.eq(within), left.eq(left - 1), room.eq(room - 1)]
            with m.If(room == 1):
                m.d.sync += [address.eq(begin), room.eq(words), banks.eq(banks.rotate_left(1))]
            with m.If(left == 1):
                m.d.sync += [
                    enable.eq(enable.rotate_left(1)),
                    left.eq(plane),
                    room.eq(words),
                    banks.eq(first),
                ]
                with m.If(enable[-1]):
                    m.d.sync += [begin.eq(following), address.eq(following)]
                with m.Else():
                    m.d.sync += address.eq(begin)
        with m.If(self.start):
            several = Mux(self.layer.spread, 1, ~Const(0, config.arrays))
            m.d.sync += [
                enable.eq(1),
                plane.eq(self.layer.plane),
                left.eq(self.layer.plane),
                words.eq(self.layer.words),
                room.eq(self.layer.words),
                begin.eq(self.layer.address),
                first.eq(several),
                banks.eq(several),
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
        several, strips = config.groups > 1 or strided, config.arrays > 1
        plane = instruction_layout(config, Opcode.WRITE)["plane"].width
        planes = 4 * plane + address + config.groups if strips else (3 * address + config.groups) * several
        return Facts(
            registers={
                "address": address,
                "groups": planes,
                "strides": (2 * config.coordinate_bits + 3 * address) * strided,
                "banks": (1 + 2 * config.arrays) * strips,
            },
            adders={
                "address": address,
                "groups": 4 * plane + address if strips else 3 * address * several,
                "strides": (config.coordinate_bits + 2 * address) * strided,
            },
            muxes={"banks": (config.arrays - 1) * config.word_bits},
            gates={"enables": config.groups * (several or strips)},
        )
