"""Claims of the weights' way into the array."""

from __future__ import annotations

from amaranth.hdl import Mux, Signal, Value

from hwquant.program.array_shape import PACKINGS
from hwquant.program.config import ArrayConfig
from hwquant.prove.harness import Claim, Harness, Method
from hwquant.rtl_templates.segments import Segments


def segments(config: ArrayConfig) -> Claim:
    """Rows that leave together come to their segments, and these shift as thermometers."""

    def build(harness: Harness) -> None:
        dut = harness.component(Segments(config))
        m = harness.m
        # Rows of a tile leave one after the other, all packed alike.
        goes_on = dut.row & ~dut.first
        same = harness.before(dut.packing) == dut.packing
        harness.assume(~goes_on | (harness.before(dut.row) & same))
        number, count = Signal(range(config.rows)), Signal(range(config.rows))
        m.d.comb += number.eq(Mux(dut.first, 0, count))
        with m.If(dut.row & (number != config.rows - 1)):
            m.d.sync += count.eq(number + 1)
        loads: list[Value] = [Value.cast(0)] * config.rows
        enters: dict[int, Value] = {}
        for parallel in (packing for packing in PACKINGS if packing <= config.load_rows):
            code = parallel.bit_length() - 1
            leaves = dut.row & (dut.packing >= code if parallel == config.load_rows else dut.packing == code)
            segment = config.segment_rows(parallel)
            for row in range(config.rows):
                part, place = divmod(row, segment)
                top = part * segment
                loads[row] |= harness.before(leaves & (number >= place), top + 1)
                if place == 0 and part:
                    enter = harness.before(leaves, top + 1)
                    enters[top] = enters.get(top, Value.cast(0)) | enter
                    weight = getattr(dut.entries, f"weight{top}")
                    late = harness.before(getattr(dut, f"part{part}"), top)
                    shape = weight.shape().elem_shape
                    for c in range(config.columns):
                        width = config.field_bits(part)
                        lane = late[c * width : (c + 1) * width].as_signed()
                        expected = Signal(shape, name=f"entry{parallel}_{top}_{c}")
                        m.d.comb += expected.eq(lane)
                        harness.always(~enter | (weight[c] == expected))
        for row, load in enumerate(loads):
            harness.always(dut.load[row] == load)
        for index, row in enumerate(config.entries):
            harness.always(dut.entries.enter[index] == enters[row])

    return Claim(
        f"Segments: {config.rows} rows, {config.load_rows} at once",
        "in each segmentation the weights of row r enter r cycles late, and row r shifts from the cycle on in which "
        "its word can have come so far, until the tile's last; given that a tile's rows leave without a pause",
        build,
        Method.REACHABILITY,
        config.rows + 2,
    )


CLAIMS = (
    segments(ArrayConfig(4, 2, weight_bits=2, weight_slot_bits=4, weight_packing=2, load_rows=2)),
    segments(ArrayConfig(4, 2, weight_bits=2, weight_slot_bits=4, weight_packing=4, load_rows=4)),
)
"""Two and three segmentations."""
