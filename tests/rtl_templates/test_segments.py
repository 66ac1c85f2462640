"""Loading several rows at once, against the sentence that says when and where each row enters and shifts."""

import numpy as np
import pytest
from hwquant_testing.clocked import trace

from hwquant.program.config import ArrayConfig
from hwquant.program.weight_format import WeightFormat
from hwquant.rtl_templates.ports import EntryPort
from hwquant.rtl_templates.segments import Segments


def tiles(rng, config, count):
    """(first cycle, format): as close to each other as loads may be, or later."""
    cycle = 2
    for _ in range(count):
        form = WeightFormat.of(1 << int(rng.integers(config.weight_packing.bit_length())), config)
        yield cycle, form
        cycle += form.load_cycles(config) + int(rng.choice([0, 0, 0, 3]))


@pytest.mark.parametrize(
    ("rows", "packing", "load_rows"), [(8, 2, 2), (7, 4, 4), (12, 8, 2), (16, 8, 8), (5, 4, 4)]
)
def test_every_row_enters_as_late_as_it_is_far_down_and_shifts_with_its_segment(rows, packing, load_rows):
    config = ArrayConfig(rows, 2, weight_packing=packing, load_rows=load_rows)
    rng = np.random.default_rng((rows, packing))
    plan = list(tiles(rng, config, 40))
    end = plan[-1][0] + 2 * rows + 10
    parts = {
        part: rng.integers(0, 1 << config.field_bits(part), (end, 2)) - (1 << (config.field_bits(part) - 1))
        for part in range(1, load_rows)
    }
    cycles = [
        {"row": 0, "first": int(rng.integers(0, 2)), "packing": 0}
        | {f"part{part}": values[cycle].tolist() for part, values in parts.items()}
        for cycle in range(end)
    ]
    load = [0] * (end + rows)
    enters = {}  # (cycle, row): the part's value, or None where the row loads its upper neighbour's
    for start, form in plan:
        segment = config.segment_rows(form.rows_per_cycle)
        for n in range(segment):
            cycles[start + n] |= {
                "row": 1,
                "first": int(n == 0),
                "packing": form.rows_per_word.bit_length() - 1,
            }
        for row in range(rows):
            part, below = divmod(row, segment)
            top = part * segment
            for n in range(below, segment):
                # What leaves in a cycle has a register before it is there.
                cycle = start + 1 + top + n
                load[cycle] |= 1 << row
                enters[cycle, row] = parts[part][start + 1 + n].tolist() if part and not below else None
    names = ["load", *(f"entries.{name}" for name in EntryPort(config).members)]
    for cycle, seen in enumerate(trace(Segments(config), cycles, names)):
        assert seen["load"] == load[cycle], cycle
        for index, row in enumerate(config.entries):
            if load[cycle] >> row & 1:
                value = enters[cycle, row]
                assert seen["entries.enter"] >> index & 1 == (value is not None), (cycle, row)
                assert value is None or seen[f"entries.weight{row}"] == value, (cycle, row)
