"""The activation memory, and the path from it to the rows of the array."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.banks import Bank, banks, choice_bits, choose
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.ports import LaneSelection, ReadPort, WritePort


class ActivationMemory(Component):
    """The activation memory: one read port, one write port, and words of ``lanes`` channels of a pixel.

    Several arrays have a memory each, of which the same address is read, and written, at a time: their words are side
    by side.

    Many words are several memories, each with its own register behind it (:mod:`~hwquant.rtl_templates.banks`).

    Throughput: a read and a write in every cycle. What is read from an address that is written in the same cycle is
    undefined.

    Parameters
    ----------
    config : ArrayConfig
        Depth and widths.

    Attributes
    ----------
    latency : int
        Advancing cycles from the address of a read to its data: the memory, then a register.
    write_latency : int
        Cycles from a write to the first read that may have its address.

    Members
    -------
    read : In(ReadPort)
        Address of the word that is read.
    data : Out(config.arrays * config.word_bits)
        The word of each array's memory that was read, ``latency`` advancing cycles after its address.
    write : In(WritePort)
        What is written, and its address.
    """

    latency = 2
    write_latency = 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "read": In(ReadPort(config)),
                "data": Out(config.arrays * config.word_bits),
                "write": In(WritePort(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the banks, and the choice of the one that was read."""
        m = Module()
        parts = banks(self.config.activation_depth)
        words: list[Value] = []
        for bank in parts:
            data = [self._bank(m, bank, array) for array in range(self.config.arrays)]
            words.append(Cat(*data) if len(data) > 1 else data[0])
        m.d.comb += self.data.eq(choose(m, parts, self.read.address, words, self.read.advance))
        return m

    def _bank(self, m: Module, bank: Bank, array: int) -> Signal:
        """Build the memories of an array's bank, and the register behind them, which holds the word that was read."""
        config, bits = self.config, self.config.activation_bits
        read: list[Value] = []
        of_array = f"array{array}_" if array else ""
        written = self.write.data[array * config.word_bits :]
        writes = bank.has(self.write.address)
        if config.arrays > 1:
            writes &= self.write.enable[config.groups + array]
        # One memory a write group: families differ in what byte enables their block RAM has.
        for group in range(config.groups):
            lanes = config.group_lanes(group)
            memory = Memory(shape=len(lanes) * bits, depth=bank.depth, init=[], attrs={"no_rw_check": 1})
            m.submodules[bank.name(f"{of_array}lanes{lanes.start}")] = memory
            write = memory.write_port()
            port = memory.read_port()
            m.d.comb += [
                write.addr.eq(bank.within(self.write.address)),
                write.data.eq(written[lanes.start * bits : lanes.stop * bits]),
                write.en.eq(self.write.enable[group] & writes),
                port.addr.eq(bank.within(self.read.address)),
                port.en.eq(self.read.advance),
            ]
            read.append(port.data)
        data = Signal(config.word_bits, name=bank.name(f"{of_array}data"), reset_less=True)
        with m.If(self.read.advance):
            m.d.sync += data.eq(Cat(*read))
        return data

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """A memory for each bank and write group, a register for each bank, and the choice of a bank."""
        parts, arrays = banks(config.activation_depth), config.arrays
        return Facts(
            registers={
                "data": arrays * len(parts) * config.word_bits,
                "chosen bank": choice_bits(config.activation_depth),
            },
            muxes={"banks": arrays * (len(parts) - 1) * config.word_bits},
            gates={"control": 1, "groups": arrays * config.groups * len(parts)},
            memories=[
                MemoryShape(
                    bank.depth,
                    len(config.group_lanes(group)) * config.activation_bits,
                    apart=True,
                    register="data",
                )
                for bank in parts
                for _ in range(arrays)
                for group in range(config.groups)
            ],
        )


class ActivationFeed(Component):
    """The path of a word to the rows of the array: a lane is selected for each row, or padding.

    ::

        x[r] <= outside ? pad : data[part, r]

    A word of several parts is read a part at a time. For depthwise tiles, ``part`` is the write group whose lanes
    become the first ones. Of several arrays, each has a word, and padding where its pixel is outside.

    Throughput: one word of each array a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Shape and widths.

    Attributes
    ----------
    latency : int
        Cycles from ``data`` to ``x``.

    Members
    -------
    selection : In(LaneSelection)
        Selection for the pixel whose address is presented in this cycle.
    data : In(config.arrays * config.word_bits)
        The word of that pixel, for each array, ``ActivationMemory.latency`` cycles later.
    x : Out(ArrayLayout)
        Activations of the ``rows`` rows of each array, each ``signed(config.activation_bits)``.
    """

    latency = 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "selection": In(LaneSelection(config)),
                "data": In(config.arrays * config.word_bits),
                "x": Out(ArrayLayout(signed(config.activation_bits), config.arrays * config.rows)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build a multiplexer and a register for each row, and the delays of the selection."""
        m = Module()
        rows, bits = self.config.rows, self.config.activation_bits
        pitch = rows if self.config.reads_per_word > 1 else self.config.columns
        part = delayed(m, self.selection.part, ActivationMemory.latency, name="part")
        outside = delayed(m, self.selection.outside, ActivationMemory.latency, name="outside")
        pad = delayed(m, self.selection.pad, ActivationMemory.latency, name="pad")
        x = Signal(self.x.shape(), reset_less=True)
        for k, r in ((k, r) for k in range(self.config.arrays) for r in range(rows)):
            lanes = [start + r for start in range(0, self.config.selections * pitch, pitch)]
            word = self.data[k * self.config.word_bits :]
            choices = [word[lane * bits : (lane + 1) * bits] for lane in lanes if lane < self.config.lanes]
            lane = Array(choices)[part] if len(choices) > 1 else choices[0]
            m.d.sync += x[k * rows + r].eq(Mux(outside[k], pad.as_unsigned(), lane))
        m.d.comb += self.x.eq(x)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The choice of a lane or of padding, the activations, and the delays of the selection."""
        x, part = config.arrays * config.rows * config.activation_bits, index_bits(config.selections)
        early = ActivationMemory.latency
        return Facts(
            registers={"x": x, "early": early * (config.arrays + config.activation_bits + part)},
            redundant={"early": 0 if config.selections > 1 else early * part},
            muxes={"pad": x, "select": x * (config.selections - 1)},
        )
