"""The resource model: exact where it follows rules, and as good as it says where it is fitted."""

import json
import re
import statistics
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from hwquant.boards.budget import dsp_budget
from hwquant.boards.contents import Contents, as_synthesized
from hwquant.boards.device import DEVICES
from hwquant.boards.families import FAMILIES as BY_NAME
from hwquant.boards.features import _of_component, facts_for, features_of, part_named
from hwquant.boards.large_ram import weights_in_large_ram
from hwquant.boards.memories import Memory, MemoryResources, memory_resources
from hwquant.boards.resources import Resources, estimate_resources, model_errors
from hwquant.boards.synthesis import part_of, synthesized
from hwquant.errors import Unsupported
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.program.isa import program_bits
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.facts import Delay, Facts, Inside, MemoryShape
from hwquant.rtl_templates.writer import Writer

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
ROWS = json.loads((RESULTS / "resource_model_data.json").read_text())["results"]
FAMILIES = {"ecp5": "ecp5-25k", "ice40": "ice40-up5k", "gowin": "gw2a-18", "xilinx7": "xc7a35t"}
KINDS = ("lut", "ff", "dsp", "ram", "cell")
LIMIT, MEDIAN = 0.15, 0.05
RESNET8 = ArrayConfig(
    rows=16,
    columns=16,
    offset_bits=9,
    accumulator_bits=22,
    accumulator_depth=512,
    window_sums=True,
    activation_depth=2304,
    weight_depth=5000,
    parameter_depth=512,
    program_depth=700,
)


def known(kind, rows):
    """Rows in which a resource was counted: cells are not where no open tool packs."""
    return [row for row in rows if kind in row["used"]]


def error(row, kind):
    """Of the estimate of a row of the data, relative to what Yosys counted."""
    model = estimate_resources(
        ArrayConfig.from_json(row["config"]),
        DEVICES[row["device"]],
        link=row["link"],
        contents=Contents(**row["contents"]),
    )
    return abs(getattr(model, kind) - row["used"][kind]) / max(1, row["used"][kind])


def of_family(family, held_out):
    """Rows of the data."""
    return [
        row for row in ROWS if row["held_out"] == held_out and DEVICES[row["device"]].family.name == family
    ]


@pytest.mark.parametrize(
    ("family", "kind"),
    [(family, kind) for family in FAMILIES for kind in KINDS if (family, kind) != ("xilinx7", "cell")],
)
def test_on_configurations_that_it_was_not_fitted_to_the_model_is_as_good_as_it_says(family, kind):
    rows = known(kind, of_family(family, held_out=True))
    errors = [error(row, kind) for row in rows]
    assert max(errors) <= LIMIT
    assert statistics.median(errors) <= MEDIAN
    published = model_errors(BY_NAME[family])[kind]
    assert published["configurations"] == len(rows)
    assert published["worst"] == pytest.approx(max(errors), abs=1e-4)
    assert published["median"] == pytest.approx(statistics.median(errors), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_over_all_families_half_of_the_estimates_are_within_a_twentieth(kind):
    errors = [error(row, kind) for row in known(kind, ROWS) if row["held_out"]]
    assert statistics.median(errors) <= MEDIAN
    assert sum(value > LIMIT for value in errors) <= (1 if kind in ("lut", "cell") else 0)


def test_dsp_blocks_and_rams_are_exact_on_all_data():
    wrong = [(row["name"], kind) for row in ROWS for kind in ("dsp", "ram") if error(row, kind)]
    wrong += [
        (row["name"], "large_ram") for row in ROWS if "large_ram" in row["used"] and error(row, "large_ram")
    ]
    assert wrong == []


def test_the_data_have_enough_that_was_held_out_in_every_family_with_links_and_without():
    held_out = [row for row in ROWS if row["held_out"]]
    assert len(held_out) >= 24
    for family in FAMILIES:
        own = of_family(family, held_out=True)
        assert {row["link"] for row in own} == {False, True}
        assert len({(row["config"]["rows"], row["config"]["columns"]) for row in own}) >= 4
        assert len({row["config"]["activation_bits"] for row in own}) >= 3


def core(config, family):
    """An accelerator with random words in its memories."""
    rng = np.random.default_rng(5)

    def image(depth, bits):
        return [int.from_bytes(rng.bytes(-(-bits // 8)), "little") % (1 << bits) for _ in range(depth)]

    return Accelerator(
        config,
        program=image(config.program_depth, program_bits(config)),
        weights=image(config.weight_depth, config.columns * config.slot_bits),
        parameters=image(config.parameter_depth, config.parameter_bits),
        loadable=weights_in_large_ram(config, DEVICES[FAMILIES[family]]),
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_model_still_describes_the_rtl(family, tmp_path):
    """When this fails, the RTL has moved away from the model: benchmarks/resource_model.py fits it anew."""
    pytest.importorskip("pyosys", reason="synthesis is not here: pip install 'hwquant[boards]'")
    config = ArrayConfig(
        rows=2,
        columns=2,
        activation_bits=6,
        weight_bits=5,
        adjusted_bits=6,
        offset_bits=5,
        accumulator_bits=18,
        accumulator_depth=64,
        coordinate_bits=6,
        block_steps=256,
        activation_depth=700,
        weight_depth=300,
        parameter_depth=128,
        program_depth=128,
    )
    device = DEVICES[FAMILIES[family]]
    made = core(config, family)
    found = synthesized(made, device, dsp_budget(config, device), tmp_path)
    used = found.used(device.family)
    model = estimate_resources(config, device, link=False)
    assert (model.dsp, model.ram) == (used["dsp"], used["ram"])
    for kind in ("lut", "ff"):
        assert getattr(model, kind) == pytest.approx(used[kind], rel=LIMIT), kind
    assert synthesized(made, device, dsp_budget(config, device), tmp_path) == found, "kept"
    total = sum(sum(cells.values()) for cells in found.parts.values())
    assert total == sum(found.cells.values()), "every cell belongs to one part"


def test_estimates_take_no_synthesis(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyosys", None)
    small, large = (estimate_resources(RESNET8, DEVICES["ecp5-85k"], link=link) for link in (False, True))
    assert small.dsp == 156
    assert large.lut > small.lut > 10_000
    assert large.ram == small.ram + 2


@pytest.mark.parametrize("device", sorted({device.name for device in DEVICES.values()}))
def test_every_device_has_a_model_and_more_hardware_costs_more(device):
    counts = [
        estimate_resources(ArrayConfig(rows=side, columns=side), DEVICES[device], link=False)
        for side in (2, 4, 8, 16, 32)
    ]
    for less, more in pairwise(counts):
        assert more.lut > less.lut
        assert more.ff > less.ff
        assert more.ram >= less.ram
        assert less.dsp <= more.dsp or DEVICES[device].family.crowded, (
            "block RAMs may take the place of DSP blocks"
        )
        assert more.dsp <= DEVICES[device].multipliers


def test_weights_in_large_ram_are_no_block_ram():
    device = DEVICES["ice40-up5k"]
    config = ArrayConfig(rows=4, columns=4, activation_depth=1024, weight_depth=8192)
    assert weights_in_large_ram(config, device)
    found = estimate_resources(config, device, link=True)
    assert found.large_ram == 2
    assert found.ram < 64


def test_a_device_of_a_family_that_nothing_was_fitted_to_is_refused():
    known = DEVICES["ecp5-25k"]
    device = replace(known, name="mine", family=replace(known.family, name="unfitted"))
    with pytest.raises(Unsupported, match="there is no resource model of mine"):
        estimate_resources(ArrayConfig(rows=2, columns=2), device, link=False)


@pytest.mark.parametrize(
    ("memory", "family", "expected"),
    [
        (Memory(1024, 18), "ecp5", MemoryResources(blocks=1, registered=True)),
        (Memory(1024, 19), "ecp5", MemoryResources(blocks=2, registered=True)),
        (Memory(512, 36, rom=True), "ecp5", MemoryResources(blocks=1, registered=True)),
        (Memory(2048, 64), "ecp5", MemoryResources(blocks=8, registered=True)),
        (Memory(16, 8), "ecp5", MemoryResources(luts=12, output_bits=8)),
        (Memory(64, 8, rom=True), "ecp5", MemoryResources(table_bits=512, output_bits=8)),
        (Memory(256, 16), "ice40", MemoryResources(blocks=1)),
        (Memory(2048, 2), "ice40", MemoryResources(blocks=1)),
        (Memory(4, 12), "ice40", MemoryResources(register_bits=48, output_bits=12)),
        (Memory(512, 32), "gowin", MemoryResources(blocks=1)),
        (Memory(16, 4), "gowin", MemoryResources(luts=6, output_bits=4)),
        (Memory(512, 36), "xilinx7", MemoryResources(blocks=0.5)),
        (Memory(512, 72), "xilinx7", MemoryResources(blocks=1)),
        (Memory(32, 6), "xilinx7", MemoryResources(luts=4, output_bits=6)),
        (Memory(128, 0, rom=True), "ecp5", MemoryResources()),
    ],
)
def test_memories_become_what_the_geometry_of_the_rams_says(memory, family, expected):
    assert memory_resources(memory, BY_NAME[family]) == expected


@pytest.mark.parametrize(
    ("shape", "flip_flops"),
    [
        (MemoryShape(1024, 18, apart=True, register="word"), 0),
        (MemoryShape(1024, 18, apart=True), 18),
        (MemoryShape(1100, 48, apart=True, register="word"), 18),  # with a choice between two before it
        (MemoryShape(16, 8, apart=True, register="word"), 18),
    ],
)
def test_registers_behind_block_rams_of_ecp5_are_none(shape, flip_flops):
    contents = Contents.of(ArrayConfig(2, 2))
    found = _of_component(Facts({"word": 18}, memories=[shape]), BY_NAME["ecp5"], contents)
    assert found.ff["word"] == flip_flops
    assert _of_component(Facts({"word": 18}, memories=[shape]), BY_NAME["gowin"], contents).ff["word"] == 18


def test_a_bank_is_as_wide_as_what_changes_in_it():
    """Of 1,100 words two banks, 1,024 and 76; the upper bits are all zero in the second."""
    config = ArrayConfig(2, 2, program_depth=1100)
    images = {"program": [n % 1024 for n in range(1024)] + [1, 2] * 38, "weights": [], "parameters": []}
    contents = Contents.of_images(config, images)
    assert contents.program == 10
    assert [bits for _, bits, _ in contents.banks["program"]] == [10, 2]
    widths = {
        start: as_synthesized(MemoryShape(depth, 42, writes=0, image="program", start=start), contents).width
        for start, depth in ((0, 1024), (1024, 76))
    }
    assert widths == {0: 10, 1024: 2}
    assert Contents.of(config).of_bank("program", 1024)[0] == program_bits(config), "not known"


def test_arrays_beside_the_first_have_no_weights_of_their_own():
    one, four = (
        features_of(
            facts_for(config, DEVICES["ice40-up5k"], link=False),
            config,
            BY_NAME["ice40"],
            Contents.of(config),
        )
        for config in (ArrayConfig(4, 4), ArrayConfig(4, 4, arrays=4, strip_bits=3))
    )

    def registers(parts, name):
        """Of elements with a DSP block, and of the others."""
        return sum(parts["array.pe"].ff.get(f"{kind}{name}", 0) for kind in ("", "block "))

    for name in ("shadow", "swap"):
        assert registers(four, name) == registers(one, name) > 0
    assert registers(four, "sum") == 4 * registers(one, "sum")


def test_bits_that_never_change_are_no_hardware():
    config = ArrayConfig(2, 2, accumulator_bits=8, weight_depth=4, parameter_depth=2, program_depth=20)
    images = {"program": [0b101, 0b111] * 10, "weights": [3, 1], "parameters": [0b101_00000111] * 2}
    found = Contents.of_images(config, images)
    assert (found.program, found.weights, found.parameters) == (1, 2, 0)
    assert found.program_table == 2 * 16, "the last four words of the second piece are filled up with zeros"
    assert found.weights_table == 2 * 16
    assert found.parameters_table == 0
    assert found.shift == 0, "a shift that is always the same needs no shifter"
    assert Contents.of(config).shift == 0b11111


def test_pieces_of_a_table_that_are_the_same_are_made_once():
    config = ArrayConfig(2, 2, program_depth=64)
    images = {"program": list(range(16)) * 4, "weights": [0, 1], "parameters": [0, 1]}
    assert Contents.of_images(config, images).program_table == 4 * 16


def test_cells_belong_to_the_part_whose_name_they_bear():
    assert part_of("accelerator.array.pe_3_12.sum_reg_SB_LUT4_O") == "array.pe"
    assert part_of("collector.requantize11.coarse_TRELLIS_FF_Q") == "collector.requantize"
    assert part_of("memory.lanes0_bank1.0.2") == "memory.lanes_bank"
    assert part_of("clamp_LUT4_Z") == "top"
    assert part_of("board.accelerator.array_2.pe_0_1.sum_LUT4_Z") == "array.pe"
    assert part_named("collector.align") == "collector"
    assert part_named("accelerator.host.packer.input") == "host.packer"
    assert part_named("board.accelerator.banks") == "banks"
    assert part_named("framer.check") == "link"
    assert part_named("frames__payload$") == "top"


def test_the_model_has_the_parts_of_the_hierarchy():
    for row in ROWS:
        config, device = ArrayConfig.from_json(row["config"]), DEVICES[row["device"]]
        facts = facts_for(config, device, link=row["link"])
        parts = features_of(facts, config, device.family, Contents(**row["contents"]))
        assert {part_named(path) for path in row["parts"]} <= set(parts), row["name"]
        assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", path) or "$" in path for path in row["parts"])


@pytest.mark.parametrize(("family", "luts", "ffs"), [("xilinx7", 8 + 16, 16), ("ecp5", 0, 16 + 24 + 160)])
def test_delays_are_shift_registers_where_a_family_has_such(family, luts, ffs):
    delays = [Delay(8, 2), Delay(8, 3), Delay(8, 20)]
    facts = Facts(inside=[Inside("array", Facts(delays=delays, inside=[Inside("pe", Facts())]))])
    found = features_of(facts, RESNET8, BY_NAME[family], Contents.of(RESNET8))["array"]
    assert (found.lut.get("delays", 0), found.ff["delays"]) == (luts, ffs)


def test_a_register_that_was_not_there_when_the_model_was_fitted_counts_as_what_it_is(monkeypatch):
    device = DEVICES["ecp5-25k"]
    before = estimate_resources(RESNET8, device, link=False)
    writer = Writer.facts(RESNET8)
    registers = {**writer.registers, "something new": 100}
    monkeypatch.setattr(Writer, "facts", lambda config: replace(writer, registers=registers))
    after = estimate_resources(RESNET8, device, link=False)
    assert (after.lut, after.ff) == (before.lut, before.ff + 100)


def test_estimated_counts_are_integers():
    found = estimate_resources(ArrayConfig(rows=3, columns=5), DEVICES["gw1n-9"], link=True)
    assert isinstance(found, Resources)
    assert all(isinstance(value, int) for value in (found.lut, found.ff, found.dsp, found.ram))


def test_multipliers_of_two_activations_are_counted_with_what_is_around_them():
    """Yosys takes 52 LUTs and 26 flip-flops a column of an 8x8 array more for ECP5, and a DSP block."""
    config = ArrayConfig(8, 8)
    without, products = (
        estimate_resources(replace(config, product_bits=bits), DEVICES["ecp5-85k"], link=False)
        for bits in (0, 8)
    )
    assert products.dsp - without.dsp == 8
    assert products.lut - without.lut == pytest.approx(8 * 52, rel=0.15)
    assert products.ff - without.ff == pytest.approx(8 * 26, rel=0.15)


@pytest.mark.parametrize("family", FAMILIES)
def test_tables_are_ram_for_two_columns_each_and_next_to_no_luts(family):
    device = DEVICES[FAMILIES[family]]
    without, beside = (
        estimate_resources(replace(RESNET8, table_bits=bits, tables=tables), device, link=False)
        for bits, tables in ((0, 0), (8, 4))
    )
    for_two = memory_resources(Memory(1024, 8, rom=True, reads=2), device.family)
    assert beside.ram - without.ram == 8 * for_two.blocks
    assert abs(beside.lut - without.lut) < 20 * RESNET8.columns
    assert beside.ff - without.ff < 40 * RESNET8.columns


def test_a_port_to_external_memory_costs_about_what_synthesis_counts(digits_qgraph):
    """Yosys counted 3,465 LUTs for ECP5 without a port, 4,522 with one of 16 bits, 4,503 with one of 64."""
    device, limits = DEVICES["ecp5-85k"], {"weight_depth": 1024, "activation_depth": 256}
    used = {}
    for memory in (None, ExternalMemory(16), ExternalMemory(64)):
        program = compile_network(digits_qgraph, (8, 8), limits=limits, external=memory)
        contents = Contents.of_program(program)
        resources = estimate_resources(program.config, device, link=False, contents=contents)
        used[memory and memory.data_bits] = resources.lut
    assert used[16] - used[None] == pytest.approx(4522 - 3465, rel=0.15)
    assert used[64] - used[None] == pytest.approx(4503 - 3465, rel=0.15)


def test_what_external_memory_fills_is_no_table(digits_qgraph):
    program = compile_network(digits_qgraph, (4, 4), external=ExternalMemory(16), limits={"weight_depth": 64})
    contents, anything = Contents.of_program(program), Contents.of(program.config)
    assert contents.weights == anything.weights
    assert contents.parameters == anything.parameters
    assert contents.program <= anything.program
    assert contents.shift == anything.shift
