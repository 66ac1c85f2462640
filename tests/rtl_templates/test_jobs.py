"""The structures that engines exchange are those of the instruction set."""

import numpy as np
import pytest

from hwquant.program.config import ArrayConfig
from hwquant.program.isa import LEVELS, Instruction, Opcode, encode, fields, opcode_bits
from hwquant.rtl_templates.jobs import geometry_layout, instruction_layout, job_layout

CONFIG = ArrayConfig(
    4,
    12,
    activation_bits=5,
    offset_bits=7,
    accumulator_depth=33,
    activation_depth=700,
    product_bits=6,
    external_bits=32,
    external_address_bits=20,
)


@pytest.mark.parametrize("opcode", list(Opcode))
def test_an_instructions_layout_unpacks_what_encode_packed(opcode):
    rng = np.random.default_rng(opcode)
    formats = fields(CONFIG)
    layout = instruction_layout(CONFIG, opcode)
    for _ in range(20):
        values = {}
        for field in formats[opcode]:
            low = -(1 << (field.width - 1)) if field.signed else 0
            values[field.name] = int(rng.integers(low, low + (1 << field.width)))
        word = encode(Instruction(opcode, values), formats)
        view = layout.from_bits(word >> opcode_bits(CONFIG))
        assert {name: view[name] for name in values} == values


def test_a_job_is_a_tile_with_its_pixels_and_its_offset():
    job, tile = job_layout(CONFIG), instruction_layout(CONFIG, Opcode.TILE)
    assert {name: job[name].shape for name in tile.members} == {
        name: tile[name].shape for name in tile.members
    }
    assert set(job.members) - set(tile.members) == {"count", "offset", "weights"}
    value = job.const({"count": CONFIG.accumulator_depth, "offset": -(1 << (CONFIG.offset_bits - 1))})
    assert (value["count"], value["offset"]) == (33, -64)


def test_a_geometry_is_all_levels_and_the_plane():
    layout = geometry_layout(CONFIG)
    levels = layout["levels"].shape
    assert levels.length == LEVELS
    assert set(levels.elem_shape.members) == {"limit", "step", "y", "x"}
    assert set(layout["plane"].shape.members) == {"height", "width", "pad"}
