"""Every family's synthesis makes block RAM of the accelerator's deep memories, and of shallow ones what is smaller."""

import math
import re

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, Out, connect, flipped

from hwquant.boards import tools
from hwquant.boards.contents import Contents, as_synthesized
from hwquant.boards.device import DEVICES
from hwquant.boards.memories import Memory, memory_resources
from hwquant.program.config import ArrayConfig
from hwquant.program.isa import program_bits
from hwquant.rtl_templates.accumulator import Accumulator
from hwquant.rtl_templates.activations import ActivationMemory
from hwquant.rtl_templates.parameters import ParameterReader
from hwquant.rtl_templates.sequencer import Sequencer
from hwquant.rtl_templates.tables import Lookup
from hwquant.rtl_templates.taps import LineDelay
from hwquant.rtl_templates.verilog import to_rtlil
from hwquant.rtl_templates.weights import WeightLoader

pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")

NAMES = {"ecp5": "lfe5u-25f", "ice40": "ice40up5k", "gowin": "gw2ar-18", "xilinx7": "xc7a35t"}
"""A device of each family."""
BLOCK = {"ecp5": "DP16KD", "ice40": "ICE40_RAM4K", "gowin": "GOWIN_(SP|DP|SDP)", "xilinx7": "XILINX_BLOCKRAM"}
DISTRIBUTED = {
    "ecp5": "TRELLIS_DPR16X4",
    "ice40": "ICE40_RAM4K",
    "gowin": "GOWIN_LUTRAM",
    "xilinx7": "XILINX_LUTRAM",
}
"""In Yosys' names; iCE40 has none."""
TABLES = {"weight", "parameter", "program"}
"""Memories that nothing writes."""
NIGHTLY = [pytest.param(family, marks=[] if family == "ice40" else pytest.mark.nightly) for family in NAMES]


def noise(bits, depth):
    """Contents that no synthesis can shorten."""
    return [(0x9E3779B97F4A7C15F39CC0605CEDC834 * (n + 1) >> 5) % (1 << bits) for n in range(depth)]


def components(depth):
    """Each with a memory of that depth, by what is in it."""
    names = ("activation", "weight", "accumulator", "parameter", "program")
    config = ArrayConfig(3, 3, tap_lines=1, tap_depth=depth, **{f"{name}_depth": depth for name in names})
    weights = noise(config.columns * config.slot_bits, depth)
    return {
        "activation": ActivationMemory(config),
        "weight": WeightLoader(config, weights),
        "loaded": WeightLoader(config, weights, loadable=True),
        "accumulator": Accumulator(config),
        "line": LineDelay(config),
        "parameter": ParameterReader(config, noise(config.parameter_bits, depth)),
        "program": Sequencer(config, noise(program_bits(config), depth)),
    }


class Beside(Component):
    """Components beside each other, with all their ports."""

    def __init__(self, parts):
        self.parts = parts
        super().__init__({name: Out(part.signature) for name, part in parts.items()})

    def elaborate(self, platform):
        m = Module()
        for name, part in self.parts.items():
            m.submodules[name] = part
            connect(m, flipped(getattr(self, name)), part)
        return m


def synthesize(depth, family, folder):
    """(what Yosys makes of each memory, "FF" for logic; the number of cells by resource)"""
    parts = components(depth)
    source = folder / "top.il"
    source.write_text(to_rtlil(Beside(parts), "top"))
    device = DEVICES[NAMES[family]]
    cells = tools.synthesize(source, device)
    log = (folder / "synthesis.log").read_text()
    rams = re.findall(r"^mapping memory top\.([a-z]+)\S*\.memory via \$__(\w+)_$", log, re.MULTILINE)
    rams += re.findall(r"^mapping memory top\.(activation)\S*\.lanes0 via \$__(\w+)_$", log, re.MULTILINE)
    logic = re.findall(r"^using FF mapping for memory top\.([a-z]+)\S*\.", log, re.MULTILINE)
    found = dict(rams) | dict.fromkeys(logic, "FF")
    assert set(found) == set(parts)
    return found, device.family.count(cells)


@pytest.mark.parametrize("family", NIGHTLY)
@pytest.mark.parametrize(("tables", "bits"), [(8, 8), (5, 10)])
def test_two_columns_share_the_ram_of_their_tables_where_it_has_two_ports(family, tables, bits, tmp_path):
    """And nothing but the RAM, and what chooses between several, is LUTs."""
    config = ArrayConfig(8, 8, table_bits=bits, tables=tables)
    source = tmp_path / "top.il"
    source.write_text(to_rtlil(Lookup(config, noise(8, config.table_depth), 2), "top"))
    device = DEVICES[NAMES[family]]
    used = device.family.count(tools.synthesize(source, device))
    expected = memory_resources(Memory(config.table_depth, 8, rom=True, reads=2), device.family)
    assert used["ram"] == math.ceil(expected.blocks)
    assert used["lut"] <= 2 * expected.chosen_bits, "a choice between two, and what choices are joined by"
    assert 16 <= used["ff"] <= 16 + expected.address_bits


@pytest.mark.parametrize("family", NIGHTLY)
def test_deep_memories_are_block_rams(family, tmp_path):
    """And what the host loads is large RAM where there is such."""
    mapped, used = synthesize(1024, family, tmp_path)
    if family == "ice40":
        assert mapped.pop("loaded") == "ICE40_SPRAM"
        assert used["large_ram"] == 2, "3 x 8 bits wide, less than 16384 deep"
    for name, kind in mapped.items():
        assert re.match(BLOCK[family], kind), name
    assert max(used["lut"], used["ff"]) < 1500, "the narrowest memory has 24 x 1024 bits"


@pytest.mark.nightly
@pytest.mark.parametrize("family", NAMES)
def test_shallow_memories_are_distributed_and_shallow_tables_logic(family, tmp_path):
    mapped, used = synthesize(16, family, tmp_path)
    if family == "ice40":
        assert mapped.pop("loaded") == "ICE40_SPRAM"
    else:
        assert used["ram"] == 0
    for name, kind in mapped.items():
        assert re.match("FF" if name in TABLES else DISTRIBUTED[family], kind), name


@pytest.mark.parametrize(
    "family",
    [pytest.param(family, marks=[] if family == "ecp5" else pytest.mark.nightly) for family in NAMES],
)
@pytest.mark.parametrize("depth", [32, 48, 64, 128])
def test_memories_that_are_filled_while_they_are_read_take_as_many_block_rams_as_estimated(
    family, depth, tmp_path
):
    """Depths around that from which on a block RAM is cheaper than distributed RAM."""
    port = {"external_bits": 16, "external_address_bits": 7}
    power = 1 << (depth - 1).bit_length()
    depths = {"weight_depth": depth, "parameter_depth": power, "program_depth": 2 * power}
    config = ArrayConfig(4, 4, **depths, program_half=power, **port)
    parts = {
        "weight": WeightLoader(config, []),
        "parameter": ParameterReader(config, []),
        "program": Sequencer(config, []),
    }
    source = tmp_path / "top.il"
    source.write_text(to_rtlil(Beside(parts), "top"))
    device = DEVICES[NAMES[family]]
    used = device.family.count(tools.synthesize(source, device))
    shapes = [shape for part in parts.values() for shape in part.facts(config).memories]
    made = [memory_resources(as_synthesized(shape, Contents.of(config)), device.family) for shape in shapes]
    assert used["ram"] == math.ceil(sum(item.blocks for item in made))
