"""What components say of themselves is what Amaranth makes of them: every flip-flop, memory, and multiplication."""

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec

import pytest
from amaranth.back import rtlil
from hwquant_testing.seeds import nightly

from hwquant.boards.families import FAMILIES
from hwquant.boards.families.ecp5 import MULTIPLIER_BITS
from hwquant.link.protocol import LARGE, Window
from hwquant.program.config import ArrayConfig
from hwquant.program.layout import WindowPacking
from hwquant.program.raw_inputs import RawInput, single_pixels
from hwquant.rtl_templates.axi import AxiAccelerator
from hwquant.rtl_templates.board import EthernetAccelerator, SerialAccelerator, UsbAccelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.dsp import DspBudget
from hwquant.rtl_templates.ethernet import Addresses
from hwquant.rtl_templates.facts import Facts, Inside
from hwquant.rtl_templates.sdram import SdramController
from hwquant.rtl_templates.sdram_chips import SDRAMS
from hwquant.rtl_templates.wishbone import WishboneAccelerator

DIVISOR = 100
SMALL = {
    "activation_depth": 50,
    "weight_depth": 40,
    "parameter_depth": 20,
    "program_depth": 33,
    "accumulator_depth": 12,
}


def config(rows, columns, **fields):
    return ArrayConfig(rows, columns, **SMALL | fields)


WINDOW = WindowPacking((2, 6, 7), 3, 1, 2, 1, 5, rows=2, row_dilation=2, top=1, height=4)
ROW = WindowPacking((6, 2, 7), 2, 2, 1, 0, 3)
CONFIGS = {
    "channel offsets": config(3, 2, channel_offsets=True, adjusted_bits=7, weight_bits=5, offset_bits=6),
    "sum column, several offsets on their way": config(9, 2, offset="sum", offset_bits=7, weight_bits=6),
    "sum column with channel offsets": config(5, 2, offset="sum", channel_offsets=True, weight_packing=4),
    "multiplier, window sums, words of several parts": config(
        2, 4, multiplier_bits=12, window_sums=True, shift_bits=6, least_shift=3
    ),
    "products in one stage": config(4, 3, product_stages=1, offset="sum"),
    "ternary products in one stage": config(
        4, 3, product_stages=1, offset="none", weight_bits=2, adjusted_bits=2, ternary=True
    ),
    "depthwise": config(6, 3, tap_lines=2, tap_depth=20, activation_bits=5),
    "packed weights": config(3, 2, weight_packing=4, load_rows=1, channel_offsets=True, accumulator_depth=1),
    "two rows at once": config(5, 2, weight_packing=2, load_rows=2, offset="none", tap_lines=1),
    "eight rows at once, wide slots": config(
        9, 2, weight_packing=8, load_rows=8, weight_slot_bits=16, offset="sum"
    ),
    "some odd weights": config(
        3, 2, odd_weights="some", channel_offsets=True, weight_bits=5, adjusted_bits=8
    ),
    "some odd weights, packed": config(
        5, 2, odd_weights="some", offset="sum", weight_packing=2, load_rows=2, adjusted_bits=9
    ),
    "odd weights": config(
        3, 2, odd_weights="all", offset="sum", channel_offsets=True, weight_bits=3, adjusted_bits=5
    ),
    "ternary": config(3, 2, weight_bits=2, offset="none", ternary=True, activation_bits=5),
    "ternary, odd": config(
        3, 2, weight_bits=1, adjusted_bits=2, offset="none", odd_weights="all", ternary=True
    ),
    "products, beside the rows": config(5, 3, product_bits=8, tap_lines=1),
    "products of words of several parts, multiplier": config(2, 5, product_bits=6, multiplier_bits=9),
    "tables, wider than activations": config(3, 5, table_bits=9, tables=3),
    "tables": config(3, 2, table_bits=8, tables=1, multiplier_bits=9),
    "least shift": config(2, 3, least_shift=9, shift_bits=1, accumulator_bits=20),
    "strided writes": config(3, 4, strided_writes=True),
    "strided writes of several groups": config(4, 2, strided_writes=True, window_sums=True),
    "several arrays": config(
        6, 3, arrays=3, strip_bits=4, tap_lines=2, tables=2, table_bits=8, product_bits=8, window_sums=True
    ),
    "two arrays, a sum column, words of several parts": config(
        2, 5, arrays=2, strip_bits=3, offset="sum", product_bits=6, multiplier_bits=9, strided_writes=True
    ),
    "two arrays, channel offsets in a sum column, banks": config(
        3,
        2,
        arrays=2,
        strip_bits=3,
        offset="sum",
        channel_offsets=True,
        weight_packing=2,
        activation_depth=5000,
        coordinate_bits=12,
    ),
    "packer": config(3, 2, raw_inputs=(RawInput(WINDOW, -3),)),
    "packer of several inputs, one of pixels of several beats, one of a word a pixel": config(
        4, 9, raw_inputs=(RawInput(WINDOW, -3), RawInput(single_pixels((4, 1, 5)), 1), RawInput(ROW, 0))
    ),
    "packer of several arrays, one input in strips, one in all banks": config(
        *(3, 2),
        arrays=2,
        strip_bits=3,
        raw_inputs=(RawInput(WINDOW, -3, 2), RawInput(ROW, 0, ROW.packed_shape[1])),
    ),
    "external memory": config(
        *(3, 4),
        external_bits=16,
        external_address_bits=14,
        parameter_depth=32,
        weight_packing=2,
        channel_offsets=True,
    ),
    "external memory, halves": config(
        *(4, 2),
        external_bits=32,
        external_address_bits=20,
        parameter_depth=32,
        activation_depth=9000,
        half_depth=4096,
        coordinate_bits=12,
    ),
    "external memory, small halves": config(
        *(2, 5),
        external_bits=32,
        external_address_bits=20,
        parameter_depth=32,
        activation_depth=500,
        half_depth=256,
    ),
    "external memory, wide, many weights": config(
        *(2, 2), external_bits=64, external_address_bits=20, weight_depth=3100, parameter_depth=4096
    ),
    "external memory, a program from there": config(
        *(3, 2),
        external_bits=32,
        external_address_bits=20,
        parameter_depth=32,
        program_depth=64,
        program_half=32,
    ),
    "external memory, halves, a long program from there": config(
        *(2, 3),
        external_bits=16,
        external_address_bits=20,
        parameter_depth=32,
        activation_depth=500,
        half_depth=256,
        program_depth=4096,
        program_half=2048,
    ),
    "banks": config(
        *(2, 2),
        activation_depth=5000,
        weight_depth=3100,
        parameter_depth=1100,
        program_depth=2500,
        coordinate_bits=12,
        block_steps=100,
    ),
    "banks of packed weights": config(2, 3, weight_depth=1200, weight_packing=4, load_rows=1),
}


def accelerator(config, **options):
    return Accelerator(config, program=[1], weights=[1], parameters=[1], tables=[1], **options)


def made(component, budget=None):
    """What each module that Amaranth makes has, by path without indices: registers, memories, products."""
    text = rtlil.convert(component, name="top", platform=budget, emit_src=False)
    for name, body in re.findall(r"^module \\top(\S*)\n(.*?)^end\n", text, re.MULTILINE | re.DOTALL):
        path = re.sub(r"([_$]?\d+)+(?=\.|$)", "", name.lstrip("."))
        cells = re.findall(r"^  cell (\S+) \S+\n(.*?)^  end\n", body, re.MULTILINE | re.DOTALL)
        registers = [
            (re.search(r"connect \\Q \\?(\S+)", cell)[1], number(cell, "WIDTH"))
            for kind, cell in cells
            if re.fullmatch(r"\$\w*dff\w*", kind)
        ]
        ports = Counter(
            (kind, re.search(r'MEMID "\\\\(\S+)"', cell)[1])
            for kind, cell in cells
            if kind in ("$memrd_v2", "$memwr_v2")
        )
        memories = [
            (int(depth), int(width), ports["$memrd_v2", memory], ports["$memwr_v2", memory])
            for width, depth, memory in re.findall(r"^  memory width (\d+) size (\d+) \\(\S+)", body, re.M)
        ]
        products = [
            (number(cell, "A_WIDTH"), number(cell, "B_WIDTH"))
            for kind, cell in cells
            if kind == "$mul" and not is_shift(cell)  # the place of a bit in a word is one, too
        ]
        blocks = sum(kind in (r"\MULT18X18D", r"\HWQUANT_PRODUCTS_8X8") for kind, _ in cells)
        yield path, registers, memories, products + [(MULTIPLIER_BITS, MULTIPLIER_BITS)] * blocks


def is_shift(cell):
    """Whether what multiplies is a constant, and a power of two: all else takes a DSP block from the array."""
    factor = re.search(r"connect \\B \d+'([01]+)$", cell, re.MULTILINE)
    return factor is not None and factor[1].count("1") == 1


def number(cell, parameter):
    return int(re.search(rf"parameter \\{parameter} (\d+)", cell)[1])


def said(facts: Facts, blocks):
    """What each module has by the facts of its component: registers, memories, products.

    A block that is an instance, whatever its operands, counts as wide as ECP5's.
    """
    for path, count, own in facts.walk():
        memories = [(memory.depth, memory.width, memory.reads, memory.writes) for memory in own.memories]
        products = list(own.products)
        if path.endswith(blocks):
            products = [(MULTIPLIER_BITS, MULTIPLIER_BITS)] * len(products)
        for _ in range(count):
            yield path, own.flip_flops, memories, products


BLOCKS = (
    "pe.product",
    "products.product",
    *(f"requantize.{part}" for part in ("scaled", "scaled_low", "scaled_high")),
)
"""Products that are instances of blocks."""


def check(component, facts, budget=None, blocks=BLOCKS):
    """Component by component; those of one name may differ, so all of them are counted."""
    registers, netlist, claimed = {}, {}, {}
    for path, cells, *others in made(component, budget):
        bits = sum(width for _, width in cells)
        registers.setdefault(path, {})[bits] = dict(cells)
        add(netlist, path, bits, *others)
    for item in said(facts, blocks):
        add(claimed, *item)
    wrong = {
        path: {"facts": claimed.get(path), "netlist": netlist.get(path), "registers": registers.get(path)}
        for path in netlist | claimed
        if netlist.get(path) != claimed.get(path)
    }
    assert wrong == {}


def add(found, path, bits, memories, products):
    if bits or memories or products:
        found.setdefault(path, Counter())[bits, tuple(sorted(memories)), tuple(sorted(products))] += 1


@pytest.mark.parametrize("name", CONFIGS)
def test_flip_flops_memories_and_products_of_every_component_are_those_of_the_netlist(name):
    check(accelerator(CONFIGS[name]), Accelerator.facts(CONFIGS[name]))


@pytest.mark.parametrize("arrays", [1, 2])
@pytest.mark.parametrize(
    ("family", "bits"), [("ecp5", 8), ("ice40", 8), ("ice40", 4)], ids=["blocks", "inferred blocks", "none"]
)
def test_an_array_is_what_is_elaborated_for_a_budget(family, bits, arrays):
    """Where some of the elements have a DSP block, or only the last row has, whose operands are wider."""
    several = {"arrays": arrays, "strip_bits": 3 * (arrays > 1)}
    size = config(3, 2, offset="sum", channel_offsets=True, weight_bits=5, activation_bits=bits, **several)
    budget = DspBudget(FAMILIES[family].dsp, multipliers=3 if bits == 8 else 6 * arrays + 2)
    check(accelerator(size), Accelerator.facts(size, budget), budget)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", [8, 2])
def test_products_of_activations_are_what_is_elaborated_for_a_budget(family, bits):
    size = config(5, 3, product_bits=bits)
    budget = DspBudget.share(size, FAMILIES[family].dsp, 100)
    check(accelerator(size), Accelerator.facts(size, budget), budget)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bits", [12, 18, 19, 30, 36])
def test_multipliers_of_requantizers_are_what_is_elaborated_for_a_budget(family, bits):
    size = config(3, 2, accumulator_bits=bits, multiplier_bits=12, shift_bits=5)
    budget = DspBudget.share(size, FAMILIES[family].dsp, 100)
    check(accelerator(size), Accelerator.facts(size, budget), budget)


PAIRED = {
    "odd columns": config(4, 5, adjusted_bits=9),
    "depthwise rows, which have none": config(5, 4, tap_lines=1, weight_packing=2, load_rows=2),
    "sum column": config(4, 3, offset="sum", weight_bits=7),
    "sum column with channel offsets": config(3, 4, offset="sum", channel_offsets=True, weight_bits=5),
    "odd weights": config(3, 2, odd_weights="all", weight_bits=3, adjusted_bits=5),
}


@pytest.mark.parametrize("family", ["ecp5", "ice40", *nightly(["xilinx7"])])
@pytest.mark.parametrize("name", PAIRED)
def test_an_array_whose_elements_share_blocks_is_what_is_elaborated(family, name):
    budget = DspBudget(FAMILIES[family].dsp, multipliers=3, pairs=2)
    blocks = ("pe.product",) if family == "xilinx7" else ("pe.product", "array.pair")
    check(accelerator(PAIRED[name]), Accelerator.facts(PAIRED[name], budget), budget, blocks)


@pytest.mark.parametrize(
    ("size", "divisor", "window", "loadable"),
    [
        (config(2, 2, weight_slot_bits=16), DIVISOR, LARGE, True),
        (config(2, 2), Fraction(127, 16), Window(2, 64), False),
        (CONFIGS["packer"], DIVISOR, LARGE, False),
    ],
    ids=["loadable", "small window", "packer"],
)
def test_a_board_is_the_accelerator_and_its_link(size, divisor, window, loadable):
    board = SerialAccelerator(accelerator(size, loadable=loadable), divisor, window)
    check(board, SerialAccelerator.facts(size, divisor, window, loadable=loadable))


@pytest.mark.parametrize("name", ["external memory", "external memory, small halves"])
def test_a_board_with_external_memory_is_the_accelerator_its_link_and_what_fills_it(name):
    size = CONFIGS[name]
    board = SerialAccelerator(accelerator(size, page=0, hosted_beats=100), DIVISOR)
    check(board, SerialAccelerator.facts(size, DIVISOR))


@pytest.mark.parametrize("chip", SDRAMS.values(), ids=SDRAMS)
def test_a_controller_of_an_sdram_is_what_initializes_it(chip):
    """LiteDRAM's core is a black box."""
    facts = SdramController.facts(chip, 80e6)
    check(SdramController(chip, 80e6), replace(facts, inside=()))


@pytest.mark.skipif(find_spec("luna") is None, reason="luna-usb is not installed")
def test_a_board_with_a_usb_cable_is_the_accelerator_and_its_link(monkeypatch):
    """LUNA's device is one component; its tables are logic."""
    size = config(2, 2)
    parts = list(made(UsbAccelerator(accelerator(size)), None))
    inside = [part for part in parts if part[0].startswith("port.device")]
    registers = [("device", sum(width for _, items, *_ in inside for _, width in items))]
    memories = [memory for _, _, items, _ in inside for memory in items if memory[3]]
    whole = [("port.device", registers, memories, []), *(part for part in parts if part not in inside)]
    monkeypatch.setitem(globals(), "made", lambda component, budget: whole)
    check(None, UsbAccelerator.facts(size))


def test_a_board_on_a_network_is_the_accelerator_and_its_link():
    """LiteEth's core is a black box."""
    size = config(2, 2)
    facts = EthernetAccelerator.facts(size)
    (port,) = (item for item in facts.inside if item.name == "port")
    without = [item for item in port.facts.inside if item.name != "core"]
    inside = [
        replace(item, facts=replace(item.facts, inside=without)) if item is port else item
        for item in facts.inside
    ]
    check(EthernetAccelerator(accelerator(size), Addresses()), replace(facts, inside=inside))


@pytest.mark.parametrize("wrapper", [AxiAccelerator, WishboneAccelerator])
def test_a_core_is_the_accelerator_and_its_bus(wrapper):
    """No offset, no lane for the last column, and words of more than a bus' 32 bits."""
    size = config(2, 7, offset="none", weight_bits=3, shift_bits=2)
    check(wrapper(accelerator(size)), wrapper.facts(size))


def test_what_is_redundant_is_part_of_the_registers():
    for size in CONFIGS.values():
        for path, _, own in SerialAccelerator.facts(
            size, DIVISOR, LARGE, DspBudget(FAMILIES["ecp5"].dsp, 3)
        ).walk():
            for name, bits in own.redundant.items():
                assert 0 <= bits <= own.registers[name], (path, name)


def test_parents_have_what_their_parts_have():
    inner = Facts(registers={"value": 3}, inside=[Inside("leaf", Facts(registers={"bit": 1}), 2)])
    outer = Facts(registers={"own": 5}, inside=[Inside("inner", inner, 4)])
    assert [(path, count, own.flip_flops) for path, count, own in outer.walk()] == [
        ("", 1, 5),
        ("inner", 4, 3),
        ("inner.leaf", 8, 1),
    ]
