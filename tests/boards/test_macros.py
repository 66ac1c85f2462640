"""Memories of an ASIC as black boxes."""

import re

from hwquant.boards.macros import Macro, black_boxes, liberty, parse_macros

DUMP = r"""
  attribute \hdlname "weights memory"
  cell \memory_macro \weights.memory
    parameter \WIDTH 32
    parameter \SIZE 1080
    parameter \ABITS 11
    parameter \RD_PORTS 1
    parameter \WR_PORTS 0
    connect \RD_EN 1'1
  end
  cell \memory_macro \accumulator.memory
    parameter \WIDTH 21
    parameter \SIZE 64
    parameter \ABITS 6
    parameter \RD_PORTS 1
    parameter \WR_PORTS 1
    connect \RD_EN 1'1
  end
"""
ROM = Macro("weights.memory", words=1080, width=32, reads=1, writes=0, address_bits=11)
RAM = Macro("accumulator.memory", words=64, width=21, reads=1, writes=1, address_bits=6)


def test_memories_are_found_in_order_of_their_names():
    assert parse_macros(DUMP) == (RAM, ROM)
    assert parse_macros("") == ()
    assert (ROM.bits, RAM.bits) == (34560, 1344)


def test_one_black_box_a_shape():
    another = Macro("other.memory", words=64, width=21, reads=1, writes=1, address_bits=6)
    text = black_boxes([RAM, ROM, another])
    assert re.findall(r"module (\w+)\(", text) == ["memory_64x21_1r1w", "memory_1080x32_1r0w"]
    assert "output [20:0] RD_DATA, input [20:0] WR_EN, input [5:0] WR_ADDR" in text
    cells = re.findall(r"cell\((\w+)\)", liberty([RAM, ROM, another]))
    assert cells == ["memory_64x21_1r1w", "memory_1080x32_1r0w"]


def test_every_bus_of_the_library_has_its_type():
    text = liberty([RAM, ROM])
    assert set(re.findall(r"bus_type : (\w+);", text)) <= set(re.findall(r"type\((\w+)\)", text))
    assert text.count("{") == text.count("}")
