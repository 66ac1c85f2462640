"""The activation memory, and the path from it to the rows of the array."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.ports import LaneSelection, ReadPort, WritePort

BANK = 2048
"""Words that a block RAM of the supported families holds at a useful width."""


class ActivationMemory(Component):
    """The activation memory: one read port, one write port, and words of ``lanes`` channels of a pixel.

    More than BANK words are several memories, each with its own register behind it: block RAM answers so late
    in a cycle that there is no time left to choose between several.

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
    data : Out(config.word_bits)
        The word that was read, ``latency`` advancing cycles after its address.
    write : In(WritePort)
        The word that is written, and its address.
    """

    latency = 2
    write_latency = 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "read": In(ReadPort(config)),
                "data": Out(config.word_bits),
                "write": In(WritePort(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the banks, and the choice of the one that was read."""
        m = Module()
        low = (
            self.config.activation_address_bits if self.config.activation_depth <= BANK else index_bits(BANK)
        )
        read_bank, write_bank = self.read.address[low:], self.write.address[low:]
        banks = []
        for number, start in enumerate(range(0, self.config.activation_depth, BANK)):
            depth = min(BANK, self.config.activation_depth - start)
            banks.append(self._bank(m, number, depth, low, write_bank == number))
        chosen = read_bank
        for stage in range(self.latency if len(banks) > 1 else 0):
            register = Signal(len(chosen), name=f"chosen_{stage + 1}", reset_less=True)
            with m.If(self.read.advance):
                m.d.sync += register.eq(chosen)
            chosen = register
        m.d.comb += self.data.eq(Array(banks)[chosen] if len(banks) > 1 else banks[0])
        return m

    def _bank(self, m: Module, number: int, depth: int, low: int, writes: Value) -> Signal:
        """Build the memories of a bank, and the register behind them, which holds the word that was read."""
        config, bits = self.config, self.config.activation_bits
        read = []
        # One memory a write group: families differ in what byte enables their block RAM has.
        for group in range(config.groups):
            lanes = config.group_lanes(group)
            memory = Memory(shape=len(lanes) * bits, depth=depth, init=[], attrs={"no_rw_check": 1})
            m.submodules[f"lanes{lanes.start}" + (f"_bank{number}" if number else "")] = memory
            write = memory.write_port()
            port = memory.read_port()
            m.d.comb += [
                write.addr.eq(self.write.address[:low]),
                write.data.eq(self.write.data[lanes.start * bits : lanes.stop * bits]),
                write.en.eq(self.write.enable[group] & writes),
                port.addr.eq(self.read.address[:low]),
                port.en.eq(self.read.advance),
            ]
            read.append(port.data)
        data = Signal(config.word_bits, name=f"data{number}" if number else "data", reset_less=True)
        with m.If(self.read.advance):
            m.d.sync += data.eq(Cat(*read))
        return data

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """A memory for each bank and write group, a register for each bank, and the choice of a bank."""
        depths = [
            min(BANK, config.activation_depth - start) for start in range(0, config.activation_depth, BANK)
        ]
        banks = len(depths)
        chosen = config.activation_address_bits - index_bits(BANK) if banks > 1 else 0
        return Facts(
            registers={"data": banks * config.word_bits, "chosen bank": ActivationMemory.latency * chosen},
            muxes={"banks": (banks - 1) * config.word_bits},
            gates={"control": 1, "groups": config.groups * banks},
            memories=[
                MemoryShape(depth, len(config.group_lanes(group)) * config.activation_bits, apart=True)
                for depth in depths
                for group in range(config.groups)
            ],
        )


class ActivationFeed(Component):
    """The path of a word to the rows of the array: a lane is selected for each row, or padding.

    ::

        x[r] <= outside ? pad : data[part, r]

    A word of several parts is read a part at a time. For depthwise tiles, ``part`` is the write group whose lanes
    become the first ones.

    Throughput: one word a cycle.

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
    data : In(config.word_bits)
        The word of that pixel, ``ActivationMemory.latency`` cycles later.
    x : Out(ArrayLayout)
        Activations of the ``rows`` rows, each ``signed(config.activation_bits)``.
    """

    latency = 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "selection": In(LaneSelection(config)),
                "data": In(config.word_bits),
                "x": Out(ArrayLayout(signed(config.activation_bits), config.rows)),
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
        for r in range(rows):
            lanes = [start + r for start in range(0, self.config.selections * pitch, pitch)]
            choices = [
                self.data[lane * bits : (lane + 1) * bits] for lane in lanes if lane < self.config.lanes
            ]
            lane = Array(choices)[part] if len(choices) > 1 else choices[0]
            m.d.sync += x[r].eq(Mux(outside, pad.as_unsigned(), lane))
        m.d.comb += self.x.eq(x)
        return m

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The choice of a lane or of padding, the activations, and the delays of the selection."""
        x, part = config.rows * config.activation_bits, index_bits(config.selections)
        early = ActivationMemory.latency
        return Facts(
            registers={"x": x, "early": early * (1 + config.activation_bits + part)},
            redundant={"early": 0 if config.selections > 1 else early * part},
            muxes={"pad": x, "select": x * (config.selections - 1)},
        )
