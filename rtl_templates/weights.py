"""The weight memory, and the path from it to the columns of the array."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.config import ArrayConfig, index_bits
from hwquant.rtl_templates.delay import delayed


class WeightLoader(Component):
    """Reads a tile's weight rows in sequence, adds the integer offset, and shifts them into the array.

    The row for the bottom of the array comes first; an offset row, if the job has one, before it. A read
    reaches the array's edge FEED_LATENCY cycles after its address: memory, register, offset adder.

    Members
    -------
    rewind : In, go back to the first row of the memory (a new inference)
    take : In, load the tile of ``offsets``, ``mark``, ``first`` and ``offset`` (only while ``ready``)
    offsets : In, the tile begins with an offset row
    first, mark : In, the first tile of a block starts where the last ``mark``ed one did, or marks
    offset : In, the layer's offset
    ready : Out, the last row is read in this cycle, or none is
    weight : Out, adjusted weights; load : Out, which rows of the array shift
    """

    def __init__(self, config: ArrayConfig, init):
        self.config = config
        self.init = init
        self.offset_row = config.offset == "sum" and config.channel_offsets
        super().__init__(
            {
                "rewind": In(1),
                "take": In(1),
                "offsets": In(1),
                "first": In(1),
                "mark": In(1),
                "offset": In(signed(config.offset_bits)),
                "ready": Out(1),
                "weight": Out(ArrayLayout(signed(config.operand_bits), config.columns)),
                "load": Out(config.rows + (1 if self.offset_row else 0)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, rows = self.config, self.config.rows
        m.submodules.memory = memory = Memory(
            shape=config.columns * config.weight_bits, depth=config.weight_depth, init=self.init
        )
        port = memory.read_port()

        pointer = Signal(index_bits(config.weight_depth))
        marked = Signal.like(pointer)
        left = Signal(range(config.load_cycles + 2))
        fresh = Signal()
        offsets = Signal()
        # The load takes load_cycles even where there are fewer rows: they are the first ones.
        reading = Signal()
        idle = config.load_cycles - rows
        m.d.comb += [reading.eq(left > idle), port.addr.eq(pointer)]
        m.d.sync += self.ready.eq(left <= 2)
        with m.If(left != 0):
            m.d.sync += [left.eq(left - 1), fresh.eq(0)]
        with m.If(reading):
            m.d.sync += pointer.eq(pointer + 1)
        with m.If(self.take):
            m.d.sync += [
                left.eq(config.load_cycles + self.offsets),
                fresh.eq(1),
                offsets.eq(self.offsets),
                self.ready.eq(0),
            ]
            with m.If(self.first):
                # The pointer may still be advancing over the last row of the tile before.
                following = Mux(reading, pointer + 1, pointer)[: len(pointer)]
                with m.If(self.mark):
                    m.d.sync += marked.eq(following)
                with m.Else():
                    m.d.sync += pointer.eq(marked)
        with m.If(self.rewind):
            m.d.sync += pointer.eq(0)

        # Alongside the memory: is this a row, the first of its tile, the offset row?
        row = delayed(m, reading, 2, name="row", reset_less=False)
        first_row = delayed(m, fresh, 2, name="first_row")
        offset_row = delayed(m, fresh & offsets, 2, name="offset_row")
        data = Signal(ArrayLayout(signed(config.weight_bits), config.columns), reset_less=True)
        m.d.sync += data.as_value().eq(port.data)

        weight = Signal(self.weight.shape(), reset_less=True)
        chained = row if self.offset_row or not config.channel_offsets else row & ~offset_row
        load = Signal(len(self.load))
        shift_first = (
            first_row
            if not (config.channel_offsets and not self.offset_row)
            else (delayed(m, offset_row, 1, name="after_offset") | (first_row & ~offset_row))
        )
        m.d.sync += load.eq(Mux(chained, Mux(shift_first, 1, load << 1 | 1), 0))
        if config.offset == "edge":
            self._adjust(m, data, offset_row, weight)
        else:
            m.d.sync += [weight[c].eq(data[c]) for c in range(config.columns)]
        m.d.comb += [self.weight.eq(weight), self.load.eq(load)]
        return m

    def _adjust(self, m: Module, data, offset_row, weight):
        """``w_q + o``, with the layer's offset or one for each column."""
        config = self.config
        if config.channel_offsets:
            offsets = Signal(ArrayLayout(signed(config.weight_bits), config.columns), reset_less=True)
            with m.If(offset_row):
                m.d.sync += offsets.eq(data)
            m.d.sync += [weight[c].eq(data[c] + offsets[c]) for c in range(config.columns)]
        else:
            # Held from the address of the first row on; by the time its data is added it has settled.
            offset = Signal(signed(config.offset_bits), reset_less=True)
            held = delayed(m, self.offset, 1, name="offset_held")
            m.d.sync += offset.eq(held)
            m.d.sync += [weight[c].eq(data[c] + offset) for c in range(config.columns)]
