"""A program becomes hardware: its images in the memories, its checksum in the register."""

import pytest
from hwquant_testing.clocked import trace

from hwquant.program.config import ArrayConfig
from hwquant.program.registers import Register
from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.verilog import to_verilog


def test_the_accelerator_has_the_programs_images(digits_program):
    dut = accelerator(digits_program)
    assert dut.config == digits_program.config
    assert dut.images["program"] == list(digits_program.words)
    assert dut.images["weights"] == digits_program.weight_image
    assert dut.images["parameters"] == digits_program.parameter_image
    trace(dut, [{}], [])  # a component that is made must be used


def test_the_register_holds_the_programs_checksum(digits_program):
    seen = trace(accelerator(digits_program), [{"bus.address": int(Register.CHECKSUM)}], ["bus.read_data"])
    assert seen[0]["bus.read_data"] == digits_program.checksum


def test_the_verilog_of_a_loadable_accelerator_has_no_weights(digits_program):
    loaded, whole = (to_verilog(accelerator(digits_program, loadable=flag)) for flag in (True, False))

    def contents(verilog):
        text = verilog[verilog.index("module hwquant__weights(") :].partition("endmodule")[0]
        assert f"memory [{digits_program.config.weight_depth - 1}:0];" in text
        return "memory[1] = " in text

    assert contents(whole)
    assert not contents(loaded)


@pytest.mark.parametrize("words", [0, 1, 5])
def test_a_loadable_accelerator_says_how_many_words_it_wants_until_it_has_them(words):
    dut = Accelerator(ArrayConfig(2, 2, weight_depth=8), weights=[0] * words, loadable=True)
    rows = [{"bus.address": int(Register.LOAD), "load.valid": 1}] * (words + 3)
    seen = trace(dut, rows, ["bus.read_data", "load.ready"])
    assert [row["bus.read_data"] for row in seen] == [words] * words + [0] * 3
    assert all(row["load.ready"] for row in seen)
