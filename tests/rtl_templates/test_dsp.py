"""An accelerator whose multipliers are blocks of a device, or look-up tables, computes what the golden model does."""

import shutil
from importlib import resources

import pytest
from hwquant_testing.small_networks import Net, images

from hwquant.boards.families import FAMILIES
from hwquant.boards.families.ecp5 import Ecp5Product
from hwquant.program.compiler import compile_network
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.dsp import LEAST_PRODUCT_BITS, DspBudget, array_multipliers, blocks_of
from hwquant.rtl_templates.soft_product import SoftProduct
from hwquant.rtl_templates.verilog import to_verilog
from hwquant.sim.check import verify

MODEL = resources.files("hwquant.boards") / "cells" / "ecp5.v"
CASES = [
    ("ecp5", None, (4, 3), "edge"),
    ("ecp5", None, (9, 3), "none"),
    ("ecp5", 5, (4, 4), "edge"),
    ("ecp5", 5, (3, 4), "sum"),
    ("ice40", 5, (4, 4), "edge"),
    ("ice40", 0, (9, 3), "none"),
    ("gowin", 5, (3, 4), "sum"),
]


def budget(family, multipliers=None):
    return DspBudget(FAMILIES[family].dsp, multipliers)


def multipliers(config, family, available):
    return array_multipliers(config, FAMILIES[family].dsp, available)


def network(offset):
    net = Net(x=(5, 5, 4))
    net.conv("x", 6, (2, 2), offset=0 if offset == "none" else 3)
    net.conv("layer0", 6, (3, 3), groups=6, padding=(1, 1, 1, 1))
    net.conv("layer1", 4, (4, 3))
    return net.build()


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
@pytest.mark.parametrize(("family", "multipliers", "array", "offset"), CASES)
def test_results_are_exact_whatever_multiplies(family, multipliers, array, offset):
    qgraph = network(offset)
    program = compile_network(qgraph, array, offset=offset)
    verilog = to_verilog(accelerator(program), platform=budget(family, multipliers))
    # One for each processing element; the sum column's single one is left to synthesis.
    assert ("MULT18X18D #(" in verilog) == (family == "ecp5")
    assert ("digit" in verilog) == (multipliers is not None)
    verilog += MODEL.read_text()
    result = verify(program, qgraph, images(qgraph, 3), simulator="icarus", watch=3, verilog=verilog)
    assert result.first is None, str(result.first)
    assert (result.samples, result.mismatches) == (3, 0)


def test_blocks_go_to_the_first_rows():
    def kinds(budget):
        return [budget.product(index, 8, 9) for index in range(4)]

    assert kinds(budget("ecp5", 2)) == [Ecp5Product] * 2 + [SoftProduct] * 2
    assert kinds(budget("ice40", 3)) == [None] * 3 + [SoftProduct]
    assert kinds(budget("ecp5")) == [Ecp5Product] * 4


def test_products_of_very_narrow_weights_need_no_block():
    assert budget("ecp5").product(0, 8, 2) is SoftProduct
    assert budget("ecp5").product(0, 8, 3) is Ecp5Product
    assert budget("gowin").product(0, 8, 3) is SoftProduct


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
    assert multipliers(plain, "ecp5", 28) == 16
    assert multipliers(plain, "ice40", 8) == 8
    assert multipliers(plain, "gowin", 5) == 10, "two products of 9 bits share a block"
    requantized = ArrayConfig(4, 4, accumulator_bits=24, multiplier_bits=16)
    assert multipliers(requantized, "ecp5", 18) == 18 - 4 * 2
    assert multipliers(requantized, "ice40", 8) == 0
    assert multipliers(requantized, "ice40", 2) == 0
    assert multipliers(ArrayConfig(4, 4, offset="sum"), "ecp5", 9) == 8


def test_the_offset_row_gets_blocks_after_all_other_rows():
    config = ArrayConfig(4, 4, offset="sum", channel_offsets=True)
    assert multipliers(config, "gowin", 7) == 14
    assert multipliers(config, "gowin", 10) == 16 + 2, "its products are wider than 9 bits"
    assert multipliers(config, "gowin", 99) == 20
