"""The activation memory, and the path from it to the rows of the array."""

from dataclasses import replace
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.banks import Bank, banks, choose
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.facts import Facts, MemoryShape
from hwquant.rtl_templates.ports import FillPort, LaneSelection, ReadPort, WritePort


class ActivationMemory(Component):
    """The activation memory: one read port, one write port, and words of ``lanes`` channels of a pixel.

    Several arrays have a memory each, of which the same address is read, and written, at a time: their words are side
    by side.

    Many words are several memories, each with its own register behind it (:mod:`~hwquant.rtl_templates.banks`).

    Where words move between it and external memory, its two halves have a read and a write each: the mover writes the
    first half while the array writes the second one, and reads the second half while the array reads the first one.

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
    load : In(FillPort(config.activation_depth, config.word_bits))
        Words for the first half, from external memory; only where there are halves.
    storing : In(1)
        The second half is read for external memory; only where there are halves.
    store : In(ReadPort)
        Address of the word that is read for external memory; only where there are halves.
    stored : Out(config.word_bits)
        That word, ``latency`` advancing cycles after its address; only where there are halves.
    """

    latency = 2
    write_latency = 1

    def __init__(self, config: ArrayConfig):
        self.config = config
        external = {
            "load": In(FillPort(config.activation_depth, config.word_bits)),
            "storing": In(1),
            "store": In(ReadPort(config)),
            "stored": Out(config.word_bits),
        }
        super().__init__(
            {
                "read": In(ReadPort(config)),
                "data": Out(config.arrays * config.word_bits),
                "write": In(WritePort(config)),
            }
            | (external if config.half_depth else {})
        )

    def elaborate(self, platform: object) -> Module:
        """Build the banks, and the choice of the one that was read."""
        m = Module()
        if self.config.half_depth:
            self._halves(m)
            return m
        parts = banks(self.config.activation_depth)
        words: list[Value] = []
        for bank in parts:
            data = [self._bank(m, bank, array, self.read, self.write) for array in range(self.config.arrays)]
            words.append(Cat(*data) if len(data) > 1 else data[0])
        m.d.comb += self.data.eq(choose(m, parts, self.read.address, words, self.read.advance))
        return m

    def _halves(self, m: Module) -> None:
        """Build two halves, of which the mover writes the first one and reads the second one."""
        config = self.config
        words: list[Value] = []
        second = Signal()
        m.d.comb += second.eq(self.read.address >= config.half_depth)
        for number, parts in enumerate(half_banks(config)):
            read = ReadPort(config).create(path=(f"read{number}",))
            write = WritePort(config).create(path=(f"write{number}",))
            m.d.comb += [
                read.address.eq(self.read.address),
                read.advance.eq(self.read.advance),
                write.address.eq(self.write.address),
                write.data.eq(self.write.data),
            ]
            with m.If((self.write.address >= config.half_depth) == number):
                m.d.comb += write.enable.eq(self.write.enable)
            if number:
                with m.If(self.storing):
                    m.d.comb += [read.address.eq(self.store.address), read.advance.eq(self.store.advance)]
            else:
                with m.If(self.load.enable):
                    m.d.comb += [
                        write.address.eq(self.load.address),
                        write.data.eq(self.load.data),
                        write.enable.eq(-1),
                    ]
            data: list[Value] = [self._bank(m, bank, 0, read, write) for bank in parts]
            words.append(choose(m, parts, read.address, data, read.advance))
        for stage in range(self.latency):
            register = Signal(name=f"second_{stage + 1}", reset_less=True)
            with m.If(self.read.advance):
                m.d.sync += register.eq(second)
            second = register
        m.d.comb += [self.data.eq(Mux(second, words[1], words[0])), self.stored.eq(words[1])]

    def _bank(self, m: Module, bank: Bank, array: int, read_port: Any, write_port: Any) -> Signal:
        """Build the memories of an array's bank, and the register behind them, which holds the word that was read."""
        config, bits = self.config, self.config.activation_bits
        read: list[Value] = []
        of_array = f"array{array}_" if array else ""
        written = write_port.data[array * config.word_bits :]
        writes = bank.has(write_port.address)
        if config.arrays > 1:
            writes &= write_port.enable[config.groups + array]
        # One memory a write group: families differ in what byte enables their block RAM has.
        for group in range(config.groups):
            lanes = config.group_lanes(group)
            memory = Memory(shape=len(lanes) * bits, depth=bank.depth, init=[], attrs={"no_rw_check": 1})
            m.submodules[bank.name(f"{of_array}lanes{lanes.start}")] = memory
            write = memory.write_port()
            port = memory.read_port()
            m.d.comb += [
                write.addr.eq(bank.within(write_port.address)),
                write.data.eq(written[lanes.start * bits : lanes.stop * bits]),
                write.en.eq(write_port.enable[group] & writes),
                port.addr.eq(bank.within(read_port.address)),
                port.en.eq(read_port.advance),
            ]
            read.append(port.data)
        data = Signal(config.word_bits, name=bank.name(f"{of_array}data"), reset_less=True)
        with m.If(read_port.advance):
            m.d.sync += data.eq(Cat(*read))
        return data

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """A memory for each bank and write group, a register for each bank, and the choice of a bank."""
        halves, arrays = half_banks(config), config.arrays
        parts = [bank for half in halves for bank in half]
        return Facts(
            registers={
                "data": arrays * len(parts) * config.word_bits,
                "chosen bank": sum(choice_bits_of(config, half) for half in halves),
                "chosen half": ActivationMemory.latency * (len(halves) - 1),
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


def half_banks(config: ArrayConfig) -> list[list[Bank]]:
    """The banks of each half of the memory; of one without halves, all of them."""
    if not config.half_depth:
        return [banks(config.activation_depth)]
    first, second = banks(config.half_depth), banks(config.activation_depth - config.half_depth)
    return [
        first,
        [
            replace(bank, number=bank.number + len(first), start=bank.start + config.half_depth)
            for bank in second
        ],
    ]


def choice_bits_of(config: ArrayConfig, parts: list[Bank]) -> int:
    """Bits of the registers that choose between the banks of a half."""
    if len(parts) == 1:
        return 0
    low = min(bank.address_bits for bank in parts)
    return ActivationMemory.latency * (config.activation_address_bits - low)


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
