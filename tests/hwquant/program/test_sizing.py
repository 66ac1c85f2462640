"""Where offsets are added, by the width of the target's multipliers."""

import pytest
from hwquant_testing.small_networks import Net

from hwquant.boards.families import FAMILIES
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.sizing import DSP_OPERAND_BITS
from hwquant.report import make_report


@pytest.fixture(scope="module")
def wide():
    """8-bit weights and an offset of 200: adjusted weights of 10 bits."""
    net = Net(x=(3, 3, 3))
    net.conv("x", 4, (2, 2), offset=200)
    return net.build()


@pytest.mark.parametrize(
    ("family", "offset"), [("gowin", "sum"), ("ice40", "edge"), ("ecp5", "edge"), ("xilinx7", "edge")]
)
def test_offsets_are_added_where_weights_enter_if_multipliers_are_wide_enough(wide, family, offset):
    program = compile_network(wide, (2, 2), operand_bits=FAMILIES[family].dsp.operand_bits)
    assert (program.config.adjusted_bits, program.config.offset) == (10, offset)
    assert "10" in make_report(program).offset_reason
    assert (family in make_report(program).offset_reason) == (offset == "edge")


def test_without_a_target_every_familys_multipliers_must_do(wide):
    assert DSP_OPERAND_BITS == min(family.dsp.operand_bits for family in FAMILIES.values()) == 9
    assert compile_network(wide, (2, 2)).config.offset == "sum"


def test_an_offset_mode_that_is_asked_for_is_not_changed(wide):
    assert compile_network(wide, (2, 2), offset="edge").config.operand_bits == 10
    assert compile_network(wide, (2, 2), offset="sum", operand_bits=18).config.offset == "sum"


@pytest.mark.parametrize("bits", [0, 19])
def test_operand_bits_beyond_the_widest_multiplier_are_refused(wide, bits):
    with pytest.raises(HwquantError, match=f"operand_bits must be 1..18, not {bits}"):
        compile_network(wide, (2, 2), operand_bits=bits)
