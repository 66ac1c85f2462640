"""The weight memory, and the path from it to the columns of the array."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, ValueLike, signed
from amaranth.lib import stream
from amaranth.lib.data import ArrayLayout, View
from amaranth.lib.wiring import Component, In, Out, connect, flipped

from hwquant.program.array_shape import PACKINGS
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import Opcode
from hwquant.program.weight_format import WeightFormat
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.banks import choice_bits, choose
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.facts import Facts, Inside, MemoryShape
from hwquant.rtl_templates.jobs import instruction_layout
from hwquant.rtl_templates.ports import FillPort, TilePort, WeightPort, array_rows
from hwquant.rtl_templates.segments import Segments
from hwquant.rtl_templates.weight_memory import Loading, memory_words, weight_banks


@dataclass(frozen=True)
class _Reads:
    """What is read in a cycle.

    Attributes
    ----------
    pointer : Signal
        Address of the word.
    row : Signal
        A row is read.
    first : Signal
        The row is the first one of its tile.
    offsets : Signal
        The tile of the row begins with an offset row.
    form : Signal
        How the weights of the tile are packed.
    inside : Value or None
        The row before came from the same word; None where words hold one row.
    """

    pointer: Signal
    row: Signal
    first: Signal
    offsets: Signal
    form: Signal
    inside: Value | None


class WeightLoader(Component):
    """The weight memory, and the path of a tile's rows to the array: unpacked, and with the offset added.

    ::

        weight[c] = w_q[c] + offset      with the offset at the edge ("edge")
        weight[c] = w_q[c]               otherwise

    Where some tiles have odd weights, ``w_q`` of these is the stored weight with a 1 appended; where all have, that is
    left to the array (:class:`~hwquant.rtl_templates.pe.ProcessingElement`).

    The row for the bottom of the array comes first; an offset row, if the job has one, before it.

    Rows of narrow weights may share words, and several of them may leave in one cycle, for segments of the array
    (:mod:`~hwquant.program.weight_format`, :mod:`~hwquant.rtl_templates.segments`).

    A ``loadable`` memory has as many words as ``init``, but not its contents: after each reset the host sends them.
    It has one address, for reading or writing, as large RAMs that bitstreams do not fill have one port.

    Throughput: a row of each segment a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Shape, depth, widths, and how weights are packed.
    init : Sequence of int
        Contents of the memory, unsigned words; of a loadable one, only their number counts.
    loadable : bool
        The host sends the contents.

    Attributes
    ----------
    latency : int
        Cycles from the address of a row to ``weights``: memory, register, offset adder. The first address is there in
        the cycle after ``tile.start``.

    Members
    -------
    rewind : In(1)
        Go back to the first row of the memory: a new inference.
    tile : In(TilePort)
        Start of loading a tile's weights, packed as ``format`` says, after a row of ``offsets`` if the job has one. The
        ``first`` tile of a block goes back to where the last one with ``parameters`` began, unless it has them too.
    offset : In(signed(config.offset_bits))
        Offset of the layer; used with the offset at the edge without channel offsets only.
    weights : Out(WeightPort)
        Adjusted weights, into the array.
    words : In(stream.Signature(config.columns * config.slot_bits))
        Words of the memory, in order and always accepted; what comes after the last one is ignored. Only where the
        memory is loadable.
    missing : Out(1)
        Words are missing, and nothing may be read yet; only where the memory is loadable.
    fill : In(FillPort(config.weight_depth, config.columns * config.slot_bits))
        Words from external memory. Only with external memory: there the memory begins empty, and a tile's weights are
        those behind the ones of the tile before, or where the job says.
    """

    latency = 3

    def __init__(self, config: ArrayConfig, init: Sequence[int], *, loadable: bool = False):
        self.config = config
        self.init = init
        self.loadable = loadable
        self.word_bits = config.columns * config.slot_bits
        self.offset_row = array_rows(config) > config.rows
        loading = {"words": In(stream.Signature(self.word_bits)), "missing": Out(1, init=bool(init))}
        super().__init__(
            {
                "rewind": In(1),
                "tile": In(TilePort(config)),
                "offset": In(signed(config.offset_bits)),
                "weights": Out(WeightPort(config)),
            }
            | (loading if loadable else {})
            | ({"fill": In(FillPort(config.weight_depth, self.word_bits))} if config.external_bits else {})
        )
        self._loading = Loading(self.words.valid & self.missing, self.words.payload) if loadable else None

    def elaborate(self, platform: object) -> Module:
        """Build the memory, its addresses, and the path of a word to the columns."""
        m = Module()
        reads = self._read(m)

        # Alongside the memory: is this a row, the first of its tile, the offset row?
        row = delayed(m, reads.row, 2, name="row", reset_less=False)
        first_row = delayed(m, reads.first, 2, name="first_row")
        offset_row = delayed(m, reads.first & reads.offsets, 2, name="offset_row")
        form, weights = self._adjusted(m, reads, offset_row)
        m.d.comb += self.weights.weight.eq(weights[0])

        if self.config.channel_offsets and not self.offset_row:
            # The offset row is used up here: the rows behind it are the tile.
            first = delayed(m, offset_row, 1, name="after_offset") | (first_row & ~offset_row)
            self._shift_rows(m, row & ~offset_row, first, form, weights)
        else:
            self._shift_rows(m, row, first_row, form, weights)
        return m

    def _read(self, m: Module) -> _Reads:
        """Build the addresses: a row in each cycle of a load, from where its tile's weights are."""
        config, job, ready = self.config, self.tile.job, self.tile.ready
        pointer = Signal(index_bits(config.weight_depth))
        marked = Signal.like(pointer)
        left = Signal(range(config.load_cycles + 2))
        fresh = Signal()
        offsets = Signal()
        # The load takes load_cycles even where there are fewer rows: they are the first ones.
        reading = Signal()
        form = Signal(instruction_layout(config, Opcode.FORMAT))
        idle = self._by_format(
            form, lambda item: item.load_cycles(config) - config.segment_rows(item.rows_per_cycle)
        )
        m.d.comb += reading.eq(left > idle)
        m.d.sync += ready.eq(left <= 2)
        with m.If(left != 0):
            m.d.sync += [left.eq(left - 1), fresh.eq(0)]
        advance, inside = reading, None
        if config.weight_packing > 1:
            advance, inside = self._words(m, form, reading, (left == idle + 1) | (fresh & offsets))
        with m.If(advance):
            m.d.sync += pointer.eq(pointer + 1)
        taken = job["format"] if config.formatted else form
        cycles = self._by_format(taken, lambda item: item.load_cycles(config))
        with m.If(self.tile.start):
            m.d.sync += [
                left.eq(cycles + job.offsets),
                fresh.eq(1),
                offsets.eq(job.offsets),
                ready.eq(0),
            ]
            if config.formatted:
                m.d.sync += form.eq(job["format"])
            if config.external_bits:
                with m.If(job.weights.jump):
                    m.d.sync += pointer.eq(job.weights.address)
            else:
                with m.If(job.first):
                    # The pointer may still be advancing over the last row of the tile before.
                    following = Mux(reading, pointer + 1, pointer)[: len(pointer)]
                    with m.If(job.parameters):
                        m.d.sync += marked.eq(following)
                    with m.Else():
                        m.d.sync += pointer.eq(marked)
        if self._loading:
            m.d.comb += self.words.ready.eq(1)
            with m.If(self._loading.enable):
                m.d.sync += [pointer.eq(pointer + 1), self.missing.eq(pointer != len(self.init) - 1)]
        with m.If(self.rewind):
            m.d.sync += pointer.eq(0)
        return _Reads(pointer, reading, fresh, offsets, form, inside)

    def _adjusted(self, m: Module, reads: _Reads, offset_row: Signal) -> tuple[Signal, list[Signal]]:
        """Build the path of a word that was read, from the memory to its adjusted weights.

        Returns
        -------
        form : Signal
            The format of the word.
        weights : list of Signal
            The adjusted weights of each part of the word, ``columns`` of them.
        """
        config, form = self.config, reads.form
        fill = self.fill if config.external_bits else None
        words = memory_words(m, config, self.init, reads.pointer, self._loading, fill)
        if config.formatted:
            form = delayed(m, form, 1, name="format")
            if reads.inside is not None:
                with m.If(delayed(m, reads.inside, 1, name="inside")):
                    for word in words:
                        self._shift(m, form, word)
            form = delayed(m, form, 1, name="format_row")
        parts = weight_banks(config, self.loadable)
        data = View(words[0].shape(), choose(m, parts, reads.pointer, [word.as_value() for word in words]))
        fields = [self._fields(form, data, offset_row, part) for part in range(config.load_rows)]
        weights = [
            Signal(
                ArrayLayout(signed(config.field_bits(part)), config.columns),
                name=f"part{part}" if part else "weight",
                reset_less=True,
            )
            for part in range(config.load_rows)
        ]
        if config.offset == "edge":
            self._adjust(m, form, data, fields, offset_row, weights)
        else:
            for part, weight in enumerate(weights):
                m.d.sync += [weight[c].eq(fields[part][c]) for c in range(config.columns)]
        return form, weights

    def _shift_rows(self, m: Module, row: Value, first: Value, form: Signal, weights: list[Signal]) -> None:
        """Tell the rows of the array to shift: from top to bottom one cycle after the other."""
        if not self.config.entries:
            load = Signal(len(self.weights.load))
            m.d.sync += load.eq(Mux(row, Mux(first, 1, load << 1 | 1), 0))
            m.d.comb += self.weights.load.eq(load)
            return
        m.submodules.segments = segments = Segments(self.config)
        m.d.comb += [
            segments.row.eq(row),
            segments.first.eq(first),
            segments.packing.eq(form.packing),
            *(getattr(segments, f"part{n}").eq(weights[n]) for n in range(1, self.config.load_rows)),
            self.weights.load.eq(segments.load),
        ]
        connect(m, segments.entries, flipped(self.weights.entries))

    def _by_format(self, form: Signal, value: Callable[[WeightFormat], int]) -> ValueLike:
        """The ``value`` of the format that ``form`` names."""
        result: ValueLike = value(WeightFormat())
        for packing in PACKINGS[1:]:
            if packing <= self.config.weight_packing:
                other = value(WeightFormat.of(packing, self.config))
                result = Mux(_packs(form, packing), other, result)
        return result

    def _words(self, m: Module, form: Signal, reading: Signal, last: Value) -> tuple[Signal, Value]:
        """Tell whether the word is used up, and whether the row before came from it as well."""
        config = self.config
        inside = Signal(range(config.weight_packing))
        used_up = Signal(init=1)
        advance = Signal()
        for packing in PACKINGS:
            if config.load_rows < packing <= config.weight_packing:
                with m.If(_packs(form, packing)):
                    m.d.comb += used_up.eq(inside == packing // config.load_rows - 1)
        m.d.comb += advance.eq(reading & (last | used_up))
        with m.If(reading):
            m.d.sync += inside.eq(Mux(advance, 0, inside + 1))
        return advance, inside != 0

    def _shift(self, m: Module, form: Signal, data: Signal) -> None:
        """Bring the next fields of a word to where the first ones were."""
        config = self.config
        for packing in PACKINGS:
            if config.load_rows < packing <= config.weight_packing:
                shift = config.slot_bits // packing * config.load_rows
                with m.If(_packs(form, packing)):
                    m.d.sync += [data[c].eq(data[c][shift:]) for c in range(config.columns)]

    def _fields(self, form: Signal, data: Signal, offset_row: Signal, part: int) -> Signal | list[Value]:
        """The weights, one for each column, that belong to a part; an offset row has words of its own."""
        config = self.config
        if not config.formatted and config.slot_bits == config.weight_bits:
            return data
        fields = []
        for c in range(config.columns):
            slot = data[c]
            field = None if part else slot[: config.weight_bits].as_signed()
            for packing in PACKINGS[1:]:
                if part < packing <= config.weight_packing:
                    width = config.slot_bits // packing
                    packed = _packs(form, packing)
                    if self.offset_row:
                        packed &= ~offset_row
                    narrow = slot[part * width : (part + 1) * width].as_signed()
                    field = narrow if field is None else Mux(packed, narrow, field)
            if config.odd_weights == "some":
                lowest = ~offset_row if self.offset_row else Const(1)  # offsets are even
                field = Mux(form.odd, Cat(lowest, field).as_signed(), field)
            fields.append(field)
        return fields

    def _adjust(
        self,
        m: Module,
        form: Signal,
        data: Signal,
        fields: list[Signal | list[Value]],
        offset_row: Signal,
        weights: list[Signal],
    ) -> None:
        """Add the offset to the weights, ``w_q + o``: the layer's, or one for each column."""
        config = self.config
        if config.channel_offsets:
            some = config.odd_weights == "some"
            shape = signed(config.weight_bits + some)
            offsets = Signal(ArrayLayout(shape, config.columns), reset_less=True)
            unpacked: list[Value] = [data[c][: config.weight_bits].as_signed() for c in range(config.columns)]
            if some:
                unpacked = [Mux(form.odd, value << 1, value) for value in unpacked]
            with m.If(offset_row):
                m.d.sync += [offsets[c].eq(unpacked[c]) for c in range(config.columns)]
            offset = [offsets[c] for c in range(config.columns)]
        else:
            # Held from the address of the first row on; by the time its data is added it has settled.
            register = Signal(signed(config.offset_bits), name="offset", reset_less=True)
            held = delayed(m, self.offset, 1, name="offset_held")
            m.d.sync += register.eq(held)
            offset = [register] * config.columns
        for part, weight in enumerate(weights):
            m.d.sync += [weight[c].eq(fields[part][c] + offset[c]) for c in range(config.columns)]

    @staticmethod
    def facts(config: ArrayConfig, *, loadable: bool = False) -> Facts:
        """The memory, its address, and the path of a word to the columns."""
        columns, depth = config.columns, index_bits(config.weight_depth)
        word = columns * config.slot_bits
        edge, packed = config.offset == "edge", config.weight_packing > 1
        offset_row = config.offset == "sum" and config.channel_offsets
        parts = columns * sum(config.field_bits(part) for part in range(config.load_rows))
        form = instruction_layout(config, Opcode.FORMAT).size if config.formatted else 0
        some = config.odd_weights == "some"
        # The count of rows; fresh, offsets, ready; three marks alongside the memory; missing; a mark after offsets.
        control = index_bits(config.load_cycles + 2) + 3 + 3 * 2 + loadable
        control += config.channel_offsets and not offset_row
        packings = [packing for packing in PACKINGS[1:] if packing <= config.weight_packing]
        memories = [
            MemoryShape(
                *(bank.depth, word),
                writes=int(loadable or config.external_bits > 0),
                image=None if config.external_bits else "weights",
                apart=config.external_bits > 0,
                register="" if any(packing > config.load_rows for packing in packings) else "data",
                start=bank.start,
            )
            for bank in weight_banks(config, loadable)
        ]
        own_offsets = edge and config.channel_offsets
        one_offset = edge and not config.channel_offsets
        return Facts(
            registers={
                "pointer": (1 if config.external_bits else 2) * depth,
                "control": control,
                "format": 3 * form + (index_bits(config.weight_packing) + 1 if packed else 0),
                "data": len(memories) * word,
                "chosen bank": choice_bits(config.weight_depth) if len(memories) > 1 else 0,
                "adjusted": parts,
                "offsets": own_offsets * columns * (config.weight_bits + some)
                + one_offset * 2 * config.offset_bits,
                "rows": 0 if config.entries else config.rows + offset_row,
            },
            adders={"pointer": depth, "adjust": parts if edge else 0},
            muxes={
                "fields": parts * (len(packings) + some),
                "shifts": len(memories) * word * sum(packing > config.load_rows for packing in packings),
                "banks": (len(memories) - 1) * word,
            },
            gates={"control": 1, "rows": config.rows, "loadable": loadable * (word + depth)},
            memories=memories,
            inside=[Inside("segments", Segments.facts(config))] if config.entries else [],
        )


def _packs(form: Signal, packing: int) -> Value:
    """Whether a format has so many rows in a word."""
    return form.packing == packing.bit_length() - 1
