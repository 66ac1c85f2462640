"""The packer of one input: pixels, row by row, become words."""

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, ValueLike
from amaranth.lib import stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig
from hwquant.program.raw_inputs import RawInput
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.axis import Axis
from hwquant.rtl_templates.facts import Facts, Inside, MemoryShape
from hwquant.rtl_templates.ports import WritePort

AHEAD = 2
"""Columns that the line memory is read ahead: it, and a register behind it."""


class InputPacker(Component):
    """The packer of one input: lines above, the window before, and the words that are made of them.

    It goes over the rows and columns of the input with its padding. A window is a shift register for each of its rows;
    what enters at its end is the pixel that comes, and those above it, from the line memory.

    Of several arrays, one strip after the other goes to one bank after the other, at the same addresses; a single strip
    goes to all banks.

    Parameters
    ----------
    config : ArrayConfig
        Widths of beats, words and addresses.
    item : RawInput
        The input.

    Attributes
    ----------
    room : int
        Addresses that words are written to.

    Members
    -------
    begin : In(1)
        Go to the first position, whatever was before.
    address : In(config.activation_address_bits)
        Address of the first word, with ``begin``.
    run : In(1)
        Go on.
    beats : In(stream.Signature(config.frame_bits))
        Values of pixels.
    final : Out(1)
        The beat that is taken next is the last.
    done : Out(1)
        The last word is written, in this cycle at the latest; the next run begins at the first position.
    write : Out(WritePort(config))
        The word that is written, and its address.
    """

    def __init__(self, config: ArrayConfig, item: RawInput):
        self.config = config
        self.item = item
        self._planes = item.planes(config.lanes)
        self.room = self._planes * item.plane
        self._pixel_bits = item.packing.shape[0] * config.activation_bits
        super().__init__(
            {
                "begin": In(1),
                "address": In(config.activation_address_bits),
                "run": In(1),
                "beats": In(stream.Signature(config.frame_bits)),
                "final": Out(1),
                "done": Out(1),
                "write": Out(WritePort(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the position, the pixel, the window and the writing of its words."""
        m = Module()
        packing, (rows, columns) = self.item.packing, self.item.grid
        (last_y, last_x), (_, height, width) = self.item.last_window, packing.shape
        free, step, ended = Signal(), Signal(), Signal()
        y = Axis(rows, packing.top, height, last_y, packing.row_stride, packing.packed_shape[1])
        x = Axis(columns, packing.left, width, last_x, packing.stride, packing.packed_shape[2])
        m.submodules.y, m.submodules.x = y, x
        inside = y.inside & x.inside
        pixel, whole = self._pixel(m, inside, self.beats.valid & self.beats.ready)
        m.d.comb += [
            self.beats.ready.eq(inside & free),
            self.final.eq(whole & y.ends & x.ends),
            step.eq(free & (~inside | (self.beats.valid & whole))),
            x.step.eq(step),
            y.step.eq(step & x.wraps),
            x.begin.eq(self.begin),
            y.begin.eq(self.begin),
        ]
        with m.If(self.begin | self.done):
            m.d.sync += ended.eq(0)
        with m.Elif(step & y.wraps & x.wraps):
            m.d.sync += ended.eq(1)
        window = self._window(m, step, self._lines(m, x, step, pixel))
        moves = self._write(m, step & y.due & x.due, window)
        m.d.comb += [free.eq(self.run & moves & ~ended), self.done.eq(self.run & moves & ended)]
        return m

    def _pixel(self, m: Module, inside: Value, taken: Value) -> tuple[Value, Value]:
        """The pixel whose last beat comes, or padding; and whether that beat is the last of a pixel."""
        size, beat = self._pixel_bits, self.beats.payload
        count = size // len(beat)
        padding = Cat(
            Const(self.item.zero_point, self.config.activation_bits)
            for _ in range(size // self.config.activation_bits)
        )
        if count == 1:
            return Mux(inside, beat, padding), Const(1)
        early = Signal(size - len(beat), reset_less=True)
        number = Signal(range(count))
        whole = number == count - 1
        with m.If(self.begin):
            m.d.sync += number.eq(0)
        with m.Elif(taken):
            m.d.sync += [number.eq(Mux(whole, 0, number + 1)), early.eq(Cat(early, beat)[len(beat) :])]
        return Mux(inside, Cat(early, beat), padding), whole

    def _lines(self, m: Module, x: Axis, step: Value, pixel: Value) -> list[Value]:
        """The pixels of a window's column, the uppermost first: one that comes, below others from the line memory."""
        packing, size = self.item.packing, self._pixel_bits
        if packing.rows == 1:
            return [pixel]
        above, columns = self.item.line_pixels, self.item.grid[1]
        memory = Memory(shape=above * size, depth=columns, init=[], attrs={"no_rw_check": 1})
        m.submodules.lines = memory
        write, read = memory.write_port(), memory.read_port()
        ahead = Signal(range(columns), init=AHEAD)
        lines = Signal(above * size, reset_less=True)
        m.d.comb += [
            write.addr.eq(x.position),
            write.data.eq(Cat(pixel, lines)[: above * size]),
            write.en.eq(step),
            read.addr.eq(ahead),
            read.en.eq(step),
        ]
        with m.If(self.begin):
            m.d.sync += ahead.eq(AHEAD)
        with m.Elif(step):
            m.d.sync += [ahead.eq(Mux(ahead == columns - 1, 0, ahead + 1)), lines.eq(read.data)]
        column = Cat(pixel, lines)
        return [
            column[distance * size : (distance + 1) * size]
            for distance in range(above, -1, -packing.row_dilation)
        ]

    def _window(self, m: Module, step: Value, column: list[Value]) -> Value:
        """The values of the window that the latest step has completed, in the order of a word's channels."""
        packing, size = self.item.packing, self._pixel_bits
        reach = (packing.kernel - 1) * packing.dilation + 1
        parts = []
        for row, entering in enumerate(column):
            pixels = Signal(reach * size, name=f"row{row}", reset_less=True)
            with m.If(step):
                m.d.sync += pixels.eq(Cat(pixels, entering)[size:])
            parts += [
                pixels[start * size : (start + 1) * size] for start in range(0, reach, packing.dilation)
            ]
        return Cat(*parts)

    def _write(self, m: Module, complete: Value, window: Value) -> Value:
        """Write a window's words, from the cycle after it is complete on; returns whether that is done."""
        config, bits = self.config, self.config.activation_bits
        empty = Const(self.item.zero_point, bits)
        padding = Cat(empty for _ in range(self._planes * config.lanes - self.item.positions))
        words = Cat(window, padding)
        writing = Signal()
        address = Signal(config.activation_address_bits, reset_less=True)
        m.d.comb += [
            self.write.address.eq(address),
            self.write.enable.eq(writing.replicate(config.groups)),
        ]
        if self._planes == 1:
            onward = self._strips(m, writing, writing)
            m.d.comb += self.write.data.eq(words.replicate(config.arrays))
            m.d.sync += writing.eq(complete & ~self.begin)
            with m.If(self.begin):
                m.d.sync += address.eq(self.address)
            with m.Elif(writing):
                m.d.sync += address.eq(address + onward)
            return Const(1)
        plane = Signal(range(self._planes))
        first = Signal(config.activation_address_bits, reset_less=True)  # of the window's words
        moves = Signal(init=1)  # no window is written, or its last word
        parts = Array(
            words[start : start + config.word_bits] for start in range(0, len(words), config.word_bits)
        )
        onward = self._strips(m, writing, moves & writing)
        m.d.comb += self.write.data.eq(parts[plane].replicate(config.arrays))
        with m.If(self.begin):
            m.d.sync += [
                *(writing.eq(0), moves.eq(1), plane.eq(0)),
                address.eq(self.address),
                first.eq(self.address),
            ]
        with m.Elif(moves):
            m.d.sync += [writing.eq(complete), moves.eq(~complete), plane.eq(0)]
            with m.If(writing):
                m.d.sync += [address.eq(first + onward), first.eq(first + onward)]
        with m.Else():
            m.d.sync += [
                *(plane.eq(plane + 1), moves.eq(plane == self._planes - 2)),
                address.eq(address + self.item.plane),
            ]
        return moves

    def _strips(self, m: Module, writing: Value, written: Value) -> ValueLike:
        """Choose the banks of the words; return what leads from one window's address to the next one's."""
        config, words = self.config, self.item.plane
        if config.arrays == 1:
            return 1
        groups, everywhere = writing.replicate(config.groups), ~Const(0, config.arrays)
        if self.item.strips == 1:
            m.d.comb += self.write.enable.eq(Cat(groups, everywhere))
            return 1
        banks = Signal(config.arrays, init=1)
        left = Signal(index_bits(words), init=words - 1)
        m.d.comb += self.write.enable.eq(Cat(groups, banks))
        with m.If(self.begin):
            m.d.sync += [banks.eq(1), left.eq(words - 1)]
        with m.Elif(written):
            m.d.sync += left.eq(left - 1)
            with m.If(left == 0):
                m.d.sync += [banks.eq(banks.rotate_left(1)), left.eq(words - 1)]
        return Mux(left == 0, 1 - words, 1)

    @staticmethod
    def facts(config: ArrayConfig, item: RawInput) -> Facts:
        """Two axes, the beats of a pixel, the lines and their address, the window, and the writing of its words."""
        packing, (rows, columns), planes = item.packing, item.grid, item.planes(config.lanes)
        pixel, address = packing.shape[0] * config.activation_bits, config.activation_address_bits
        beats = pixel // config.frame_bits
        lines = item.line_pixels * pixel
        several, divided = planes > 1, config.arrays > 1 and item.strips > 1
        return Facts(
            registers={
                "early": pixel - config.frame_bits + (index_bits(beats) if beats > 1 else 0),
                "lines": lines + (index_bits(columns) if lines else 0),
                "window": item.window_pixels * pixel,
                "words": address + 1 + (address + index_bits(planes) + 1 if several else 0),
                "strips": (config.arrays + index_bits(item.plane)) * divided,
                "control": 1,
            },
            adders={
                "address": (2 if several else 1) * address,
                "lines": index_bits(columns) if lines else 0,
                "strips": index_bits(item.plane) * divided,
            },
            muxes={"pixel": pixel, "plane": (planes - 1) * config.word_bits, "address": address},
            gates={"control": 1},
            memories=[MemoryShape(columns, lines)] if lines else [],
            inside=[
                Inside("y", Axis.facts(rows)),
                Inside("x", Axis.facts(columns)),
            ],
        )
