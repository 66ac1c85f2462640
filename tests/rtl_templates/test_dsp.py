"""An accelerator whose multipliers are blocks of a device, or look-up tables, computes what the golden model does."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hwquant_testing.seeds import nightly
from hwquant_testing.small_networks import Net, images

from hwquant.boards.families import FAMILIES
from hwquant.boards.families.ecp5 import Ecp5PackedProduct, Ecp5Product
from hwquant.boards.families.ice40 import Ice40PairedProduct
from hwquant.boards.netlist import with_models
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.random_networks import random_qgraph
from hwquant.random_networks.features import Features
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.dsp import LEAST_PRODUCT_BITS, DspBudget, blocks_of
from hwquant.rtl_templates.soft_product import SoftProduct
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim.check import verify

CASES = [
    ("ecp5", None, 0, (4, 3), "edge"),
    ("ecp5", 5, 0, (4, 4), "edge"),
    ("ecp5", 5, 0, (3, 4), "sum"),
    ("gowin", 5, 0, (3, 4), "sum"),
    # Pairs in some rows or in all, with a last column that has no neighbour, and beside rows of depthwise tiles.
    ("ecp5", 4, 3, (5, 4), "edge"),
    ("ecp5", 2, 6, (3, 5), "sum"),
    ("xilinx7", 3, 5, (3, 4), "sum"),
    ("ice40", 3, 2, (5, 3), "none"),
    *nightly(
        [
            ("ecp5", None, 0, (9, 3), "none"),
            ("ice40", 5, 0, (4, 4), "edge"),
            ("ice40", 0, 0, (9, 3), "none"),
            ("xilinx7", 0, 4, (5, 4), "edge"),
            ("ice40", 0, 8, (4, 4), "sum"),
        ]
    ),
]


def budget(family, multipliers=None, pairs=0):
    return DspBudget(FAMILIES[family].dsp, multipliers, pairs)


def share(config, family, available):
    budget = DspBudget.share(config, FAMILIES[family].dsp, available)
    return budget.multipliers, budget.pairs


def network(offset):
    net = Net(x=(5, 5, 4))
    net.conv("x", 6, (2, 2), offset=0 if offset == "none" else 3)
    net.conv("layer0", 6, (3, 3), groups=6, padding=(1, 1, 1, 1))
    net.conv("layer1", 4, (4, 3))
    return net.build()


@pytest.mark.one_in(2)
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize(("family", "multipliers", "pairs", "array", "offset"), CASES)
def test_results_are_exact_whatever_multiplies(family, multipliers, pairs, array, offset):
    qgraph = network(offset)
    program = compile_network(qgraph, array, offset=offset)
    verilog = to_verilog(accelerator(program), platform=budget(family, multipliers, pairs))
    # One for each processing element, or two; the sum column's single one is left to synthesis.
    assert ("MULT18X18D #(" in verilog) == (family == "ecp5")
    assert ("HWQUANT_PRODUCTS_8X8 " in verilog) == (family == "ice40" and pairs > 0)
    assert len(re.findall(r" pair_\d+_\d+ \(", verilog)) == pairs
    if FAMILIES[family].models:
        verilog = with_models(verilog, FAMILIES[family].models)
    result = verify(program, qgraph, images(qgraph, 3), simulator="icarus", watch=3, verilog=verilog)
    assert result.first is None, str(result.first)
    assert (result.samples, result.mismatches) == (3, 0)


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize("array", [(4, 3), (2, 5)])
def test_products_of_two_activations_are_exact_in_blocks_with_their_registers(array):
    net = Net(x=(5, 4, 4), y=(5, 1, 1))
    net.product(net.conv("x", 6, (3, 3)), net.conv("y", 6))
    qgraph = net.build()
    program = compile_network(qgraph, array)
    assert program.config.product_bits
    verilog = to_verilog(accelerator(program), platform=budget("ecp5"))
    assert len(re.findall(r"MULT18X18D #\(.*?\) \\?multiplier \(", verilog, re.DOTALL)) >= 1
    assert re.search(r"\bproduct0 \(", verilog), "a component, not an operator"
    result = verify(
        *(program, qgraph, images(qgraph, 3)),
        simulator="icarus",
        watch=3,
        verilog=with_models(verilog, FAMILIES["ecp5"].models),
    )
    assert result.first is None, str(result.first)


@pytest.mark.one_in(2)
@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize("bits", [18, 19, 35, 36])
def test_requantizers_are_exact_in_blocks_with_their_registers(bits):
    """Of sums for one block, for two, and for more, which synthesis makes."""
    qgraph = random_qgraph(np.random.default_rng(18), Features(layers=(2, 2), multiplier=True))
    config = compile_network(qgraph, (3, 2)).config
    assert config.multiplier_bits
    assert config.accumulator_bits <= 18
    program = compile_network(qgraph, (3, 2), config=replace(config, accumulator_bits=bits))
    verilog = to_verilog(accelerator(program), platform=budget("ecp5"))
    parts = [name for name in ("scaled", "scaled_low", "scaled_high") if f" {name} (" in verilog]
    assert parts == {18: ["scaled"], 36: []}.get(bits, ["scaled_low", "scaled_high"])
    verilog = with_models(verilog, FAMILIES["ecp5"].models)
    result = verify(program, qgraph, images(qgraph, 3), simulator="icarus", watch=3, verilog=verilog)
    assert result.first is None, str(result.first)


def test_blocks_go_to_the_first_rows():
    def kinds(budget):
        return budget.products(ArrayConfig(2, 2))

    assert kinds(budget("ecp5", 2)) == [[Ecp5Product] * 2, [SoftProduct] * 2]
    assert kinds(budget("ice40", 3)) == [[None] * 2, [None, SoftProduct]]
    assert kinds(budget("ecp5")) == [[Ecp5Product] * 2] * 2


def test_pairs_are_in_the_last_rows():
    kinds = budget("ecp5", 3, 3).products(ArrayConfig(4, 3))
    assert kinds == [
        [Ecp5Product] * 3,
        [Ecp5PackedProduct, Ecp5PackedProduct, SoftProduct],
        [Ecp5PackedProduct, Ecp5PackedProduct, SoftProduct],
        [Ecp5PackedProduct, Ecp5PackedProduct, SoftProduct],
    ]


def test_elements_whose_pixels_come_from_above_have_no_neighbour():
    config = ArrayConfig(4, 4, tap_lines=1)
    assert share(config, "ice40", 8) == (6, 2)
    kinds = budget("ice40", 6, 2).products(config)
    assert kinds == [
        [None] * 4,
        [None, None, SoftProduct, SoftProduct],
        [SoftProduct] * 4,
        [Ice40PairedProduct] * 4,
    ]


def test_products_of_very_narrow_weights_need_no_block():
    def kind(family, weight_bits):
        return budget(family).products(ArrayConfig(2, 2, offset="none", weight_bits=weight_bits))[0][0]

    assert kind("ecp5", 2) is SoftProduct
    assert kind("ecp5", 3) is Ecp5Product
    assert kind("gowin", 3) is SoftProduct


def test_products_without_blocks_are_those_that_no_family_gives_one():
    assert max(family.dsp.least_product for family in FAMILIES.values()) == LEAST_PRODUCT_BITS


def test_without_a_budget_all_products_are_left_to_synthesis():
    verilog = to_verilog(accelerator(compile_network(network("edge"), (2, 2))))
    assert "MULT18X18D" not in verilog
    assert "digit" not in verilog


@pytest.mark.parametrize(
    ("family", "a", "b", "blocks"),
    [
        ("ecp5", 8, 9, 1),
        ("ecp5", 32, 17, 2),
        ("ice40", 24, 17, 2),  # the 17th bit is not worth a block
        ("gowin", 8, 9, 0.5),
        ("gowin", 8, 10, 1),
        ("gowin", 24, 9, 1.5),
        ("gowin", 25, 10, 1.5),
        ("xilinx7", 24, 17, 1),
        ("xilinx7", 32, 17, 2),
        ("ice40", 8, 2, 0),
    ],
)
def test_a_product_takes_as_many_blocks_as_its_operands_need(family, a, b, blocks):
    dsp = FAMILIES[family].dsp
    assert blocks_of(dsp, a, b) == blocks_of(dsp, b, a) == blocks


def test_the_array_gets_the_blocks_that_other_products_leave():
    plain = ArrayConfig(4, 4, accumulator_bits=24)
    assert share(plain, "ecp5", 28) == (16, 0)
    narrow = ArrayConfig(4, 4, accumulator_bits=24, adjusted_bits=8)
    assert share(narrow, "ecp5", 12) == (8, 4), "as many share a block as have to"
    assert share(narrow, "ecp5", 6) == (0, 6)
    assert share(plain, "ecp5", 12) == (12, 0), "with 9 bits too much overlaps to be worth it"
    assert share(plain, "ice40", 8) == (0, 8)
    assert share(plain, "gowin", 5) == (10, 0), "two products of 9 bits share a block"
    requantized = ArrayConfig(4, 4, accumulator_bits=24, multiplier_bits=16)
    assert share(requantized, "ecp5", 24) == (16, 0)
    assert share(requantized, "ice40", 8) == (0, 0)
    assert share(requantized, "ice40", 2) == (0, 0)
    assert share(ArrayConfig(4, 4, offset="sum"), "ecp5", 9) == (0, 8)
    assert share(ArrayConfig(4, 4, adjusted_bits=12), "ecp5", 8) == (8, 0), "more than a block takes"


def test_the_offset_row_gets_blocks_after_all_other_rows():
    config = ArrayConfig(4, 4, offset="sum", channel_offsets=True)
    assert share(config, "gowin", 7) == (14, 0)
    assert share(config, "gowin", 10) == (16 + 2, 0), "its products are wider than 9 bits"
    assert share(config, "gowin", 99) == (20, 0)
    assert share(config, "ecp5", 17) == (17, 0)
