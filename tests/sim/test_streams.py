"""Icarus knows that a bit is neither 0 nor 1, and the testbench says so; the hardware is a few lines of Verilog."""

import re

import pytest

from hwquant.errors import HwquantError
from hwquant.sim import Stalls, simulate

MODULE = """
module hwquant(input clk, input rst,
  input frames__valid, output frames__ready, input [{word}:0] frames__payload,
  output results__valid, input results__ready, output [{word}:0] results__payload,
  input [3:0] bus__address, input bus__write, input [31:0] bus__write_data, output [31:0] bus__read_data,
  output monitor__valid, output monitor__address, output monitor__data, output monitor__enable);
  reg begun = 0;
  always @(posedge clk) begun <= begun | frames__valid;
  assign frames__ready = {frames__ready};
  assign results__valid = {results__valid};
  assign results__payload = {results__payload};
  assign bus__read_data = 0;
  assign monitor__valid = {monitor__valid};
  assign monitor__address = {monitor__address};
  assign {{monitor__data, monitor__enable}} = 0;
endmodule
"""
SILENT = {
    "frames__ready": "1",
    "results__valid": "0",
    "results__payload": "0",
    "monitor__valid": "0",
    "monitor__address": "0",
}
UNDEFINED = "1'bx & begun"


def run(case, build_dir, **outputs):
    text = MODULE.format(word=case.program.config.word_bits, **SILENT | outputs)
    stalls = Stalls(busy=0.5, seed=5)
    return simulate(
        *(case.program, case.frames),
        simulator="icarus",
        verilog=text,
        stalls=stalls,
        watch=1,
        build_dir=build_dir,
    )


@pytest.mark.parametrize(
    "outputs",
    [
        {"frames__ready": f"!({UNDEFINED})"},
        {"results__valid": UNDEFINED},
        {"results__payload": UNDEFINED, "results__valid": "begun"},
        {"monitor__valid": UNDEFINED},
        {"monitor__address": UNDEFINED, "monitor__valid": "begun"},
    ],
    ids=lambda outputs: next(iter(outputs)),
)
def test_an_undefined_bit_is_an_error(plain_case, build_dir, outputs):
    message = re.escape(f"icarus, inferences, seed 5: {next(iter(outputs))} is undefined: ") + "0*X"
    with pytest.raises(HwquantError, match=message):
        run(plain_case, build_dir, **outputs)


def test_hardware_that_says_nothing_gives_an_empty_run(plain_case, build_dir):
    result = run(plain_case, build_dir)
    assert result.words.shape == (0, *plain_case.expected.shape[1:])
    assert (result.breach, result.writes) == (None, ((),))
