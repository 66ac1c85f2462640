"""A program becomes hardware: its images in the memories, its checksum in the register."""

from hwquant_testing.clocked import trace

from hwquant.rtl_templates.build import accelerator
from hwquant.rtl_templates.registers import Register


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
