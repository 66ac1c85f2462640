"""The testbench must notice hardware that breaks the rules of a stream; here it is a few lines of Verilog."""

import pytest

from hwquant.errors import HwquantError
from hwquant.sim import Stalls, simulate

MODULE = """
module hwquant(input clk, input rst,
  input frames__valid, output frames__ready, input [{word}:0] frames__payload,
  output reg results__valid, input results__ready, output [{word}:0] results__payload,
  input [2:0] bus__address, input bus__write, input [31:0] bus__write_data, output [31:0] bus__read_data,
  output monitor__valid, output monitor__address, output monitor__data, output monitor__enable);
  reg [{word}:0] count = 0;
  initial results__valid = 0;
  assign frames__ready = 1;
  assign monitor__valid = 0;
  assign bus__read_data = 0;
  {body}
endmodule
"""

BODIES = {
    "withdrawn": """assign results__payload = 0;
        always @(posedge clk) results__valid <= !results__valid;""",
    "changed": """assign results__payload = count;
        always @(posedge clk) begin results__valid <= 1; count <= count + 1; end""",
    "undefined valid": """assign results__payload = 0;
        always @(posedge clk) results__valid <= frames__valid ? 1'bx : results__valid;""",
    "undefined payload": """assign results__payload = 'bx;
        always @(posedge clk) results__valid <= 1;""",
    "marked": """assign results__payload = {1'b1, {WORD{1'b0}}};
        always @(posedge clk) results__valid <= 1;""",
    "silent": "assign results__payload = 0;",
}


def run(case, build_dir, body):
    program = case.program
    text = MODULE.replace("{word}", str(program.config.word_bits))
    text = text.replace("{body}", body.replace("WORD", str(program.config.word_bits)))
    stalls = Stalls(busy=0.5, seed=5)
    return simulate(
        program, case.frames, simulator="icarus", verilog=text, stalls=stalls, build_dir=build_dir
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("withdrawn", "icarus, seed 5: frame 0: its result comes before all of it was taken"),
        ("changed", "icarus, inferences, seed 5: the offered word changed from 0x[0-9a-f]+ to 0x[0-9a-f]+"),
        ("undefined valid", "icarus, inferences, seed 5: Cannot convert Logic"),
        ("undefined payload", "icarus, inferences, seed 5: Can't convert LogicArray to int"),
        ("marked", "icarus, inferences, seed 5: frame 0: word 0 comes with the mark of the last one"),
    ],
)
def test_a_breach_of_the_rules_is_an_error(plain_case, build_dir, body, message):
    assert plain_case.expected.shape[1] > 1, "the case must have several output words"
    with pytest.raises(HwquantError, match=message):
        run(plain_case, build_dir, BODIES[body])


def test_hardware_that_says_nothing_gives_an_empty_run(plain_case, build_dir):
    result = run(plain_case, build_dir, BODIES["silent"])
    assert result.words.shape == (0, *plain_case.expected.shape[1:])
