"""Loading several rows of the array at once: entries for weights at the top of each segment of rows."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import Component, In, Out

from hwquant.program.array_shape import PACKINGS
from hwquant.program.config import ArrayConfig
from hwquant.program.widths import index_bits
from hwquant.rtl_templates.delay import delayed
from hwquant.rtl_templates.facts import Facts
from hwquant.rtl_templates.ports import EntryPort


class Segments(Component):
    """The path of weights that enter the array at several rows in a cycle.

    Where ``n`` rows enter the array in a cycle, its rows are ``n`` segments. What enters at row ``r`` is late
    by ``r`` cycles, as the mark is that swaps the weights there: so loading may begin with the first pixel of the
    tile before, whatever the segments are. In a segment, rows are told to shift from top to bottom one cycle
    after the other, and to stop together.

    Throughput: a row of each segment a cycle.

    Parameters
    ----------
    config : ArrayConfig
        Shape, widths, and how many rows may enter at once.

    Members
    -------
    row : In(1)
        A row of each segment leaves.
    first : In(1)
        The rows that leave are the first ones of a tile.
    packing : In(index_bits(config.weight_packing.bit_length()))
        Binary logarithm of the rows in a word, as many of which leave at once as the array can take.
    part{n} : In(ArrayLayout)
        The row of segment n, a cycle after ``row``: ``columns`` weights of ``signed(config.field_bits(n))``. Segment 0
        has no port, because its row goes straight to the array.
    load : Out(config.rows)
        Rows of the array that shift, a bit for each.
    entries : Out(EntryPort)
        Weights for the rows of ``config.entries``.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        shapes = [
            ArrayLayout(signed(config.field_bits(part)), config.columns) for part in range(config.load_rows)
        ]
        super().__init__(
            {
                "row": In(1),
                "first": In(1),
                "packing": In(index_bits(config.weight_packing.bit_length())),
                **{f"part{part}": In(shape) for part, shape in enumerate(shapes) if part},
                "load": Out(config.rows),
                "entries": Out(EntryPort(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Build the marks of every segmentation, and the lines that lead weights to their rows."""
        m = Module()
        config = self.config
        shifts = [0] * config.rows
        load = Signal(config.rows)
        entering: dict[int, dict[tuple[int, int], Signal]] = {row: {} for row in config.entries}
        for parallel in PACKINGS:
            if parallel > config.load_rows:
                break
            segment = config.segment_rows(parallel)
            # Tiles of other segmentations may follow while the last segments still load: each has its own marks.
            own = Signal(config.rows, name=f"load_of{parallel}")
            code = parallel.bit_length() - 1
            row = self.row & (self.packing >= code if parallel == config.load_rows else self.packing == code)
            first = row & self.first
            for top in range(0, config.rows, segment):
                if top:
                    name = f"of{parallel}_at{top}"
                    row = delayed(m, row, segment, name=f"row_{name}", reset_less=False)
                    first = delayed(m, first, segment, name=f"first_{name}", reset_less=False)
                    entering[top][parallel, top // segment] = row
                for r in range(top, min(top + segment, config.rows)):
                    shift = row if r == top else row & ~first & own[r - 1]
                    m.d.sync += own[r].eq(shift)
                    shifts[r] |= shift
        m.d.sync += [load[r].eq(shift) for r, shift in enumerate(shifts)]
        m.d.comb += self.load.eq(load)
        self._lead(m, entering)
        return m

    def _lead(self, m: Module, entering: Mapping[int, Mapping[tuple[int, int], Signal]]) -> None:
        """Delay each part to its entries; where segmentations share an entry, choose between their parts."""
        config = self.config
        lines: dict[int, list[Signal]] = {}
        for index, (row, marks) in enumerate(entering.items()):
            weight: Any = None
            for (_, part), mark in marks.items():
                late = self._line(m, lines, part, row)
                # The mark is a cycle earlier than the weights.
                selected = Signal(name=f"from{part}_at{row}", reset_less=True)
                m.d.sync += selected.eq(mark)
                weight = (
                    late
                    if weight is None
                    else [Mux(selected, late[c], weight[c]) for c in range(config.columns)]
                )
            enter = Signal(name=f"enter{row}", reset_less=True)
            m.d.sync += enter.eq(reduce(or_, marks.values()))
            m.d.comb += self.entries.enter[index].eq(enter)
            m.d.comb += [
                getattr(self.entries, f"weight{row}")[c].eq(weight[c]) for c in range(config.columns)
            ]

    def _line(self, m: Module, lines: dict[int, list[Signal]], part: int, cycles: int) -> Signal:
        """Delay a part by that many cycles; the delay lines of one part share their registers."""
        if part not in lines:
            lines[part] = [getattr(self, f"part{part}")]
        line = lines[part]
        while len(line) <= cycles:
            line.append(delayed(m, line[-1], 1, name=f"part{part}_{len(line)}"))
        return line[cycles]

    @staticmethod
    def facts(config: ArrayConfig) -> Facts:
        """The marks of each segmentation, and the lines that lead parts to their rows."""
        marks, longest = 0, dict.fromkeys(range(config.load_rows), 0)
        for parallel in (packing for packing in PACKINGS if packing <= config.load_rows):
            segment = config.segment_rows(parallel)
            marks += 2 * segment * (len(range(0, config.rows, segment)) - 1)
        for row, entering in config.entries.items():
            longest |= {part: row for _, part in entering}  # the last row is the farthest
            marks += len(entering) + 1
        return Facts(
            registers={
                "segments": config.rows * (config.load_rows.bit_length() + 1),
                "marks": marks,
                "part lines": config.columns
                * sum(config.field_bits(part) * cycles for part, cycles in longest.items()),
            },
            muxes={
                "entries": config.columns
                * sum(config.entry_bits(row) * (len(parts) - 1) for row, parts in config.entries.items())
            },
            gates={"segments": config.rows * config.load_rows.bit_length()},
        )
