"""The cells at the pins of an SDRAM: what is read is there when the controller's model of the chip says so."""

import shutil
import subprocess

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, connect, flipped

from hwquant.boards.board import load_board
from hwquant.boards.sdram import widths
from hwquant.boards.sdram_pins import SdramPins
from hwquant.rtl_templates.sdram import SdramPort
from hwquant.rtl_templates.verilog import to_verilog

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")
pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")

ECP5 = """
module OB (input I, output O); assign #2 O = I; endmodule
module BB (input I, T, output O, inout B); assign #2 B = T ? 1'bz : I; assign #1 O = B; endmodule
module OFS1P3DX (input SCLK, SP, CD, D, output reg Q);
    initial Q = 0;
    always @(posedge SCLK) if (SP) Q <= #1 D;
endmodule
module OFS1P3BX (input SCLK, SP, PD, D, output reg Q);
    initial Q = 1;
    always @(posedge SCLK) if (SP) Q <= #1 D;
endmodule
module ODDRX1F (input SCLK, RST, D0, D1, output Q);
    reg first = 0, second = 0;
    always @(posedge SCLK) begin first <= D0; second <= D1; end
    assign #1 Q = SCLK ? first : second;
endmodule
// As Lattice's own model has it: both edges are taken, and again at the rising one.
module IDDRX1F (input SCLK, RST, D, output reg Q0, Q1);
    reg rising, falling;
    always @(posedge SCLK) begin rising <= D; Q0 <= rising; Q1 <= falling; end
    always @(negedge SCLK) falling <= D;
endmodule
"""

# As Gowin's own models have them.
GOWIN = """
module OBUF (input I, output O); assign #2 O = I; endmodule
module IOBUF (input I, OEN, output O, inout IO); assign #2 IO = OEN ? 1'bz : I; assign #1 O = IO; endmodule
module DFFR (input CLK, D, RESET, output reg Q);
    initial Q = 0;
    always @(posedge CLK) Q <= #1 RESET ? 1'b0 : D;
endmodule
module DFFS (input CLK, D, SET, output reg Q);
    initial Q = 1;
    always @(posedge CLK) Q <= #1 SET ? 1'b1 : D;
endmodule
module ODDR (input D0, D1, TX, CLK, output Q0, Q1);
    reg [2:0] first = 0, second = 0;
    always @(posedge CLK) begin first[1:0] <= {first[0], D0}; second <= {second[1:0], D1}; end
    always @(negedge CLK) first[2] <= first[1];
    assign #1 Q0 = CLK ? first[2] : second[2];
endmodule
module IDDR (input D, CLK, output reg Q0, Q1);
    reg rising, falling;
    always @(posedge CLK) begin rising <= D; Q0 <= rising; Q1 <= falling; end
    always @(negedge CLK) falling <= D;
endmodule
"""

CELLS = {"ecp5": ECP5, "gowin": GOWIN}

BENCH = """
`timescale 1ns/1ps
module bench;
    reg clk = 0; always #%(half)s clk = ~clk;
    reg read = 0, write = 0; reg [%(data)d - 1:0] written = 0; integer cycle = 0;
    wire [%(data)d - 1:0] data; wire [%(address)d - 1:0] address; wire [1:0] bank;
    wire [%(mask)d - 1:0] mask;
    wire clock, cke, cs, ras, cas, we; wire [%(data)d - 1:0] taken;
    top dut (.clk(clk), .rst(1'b0), .pins__cs_n(~(read | write)), .pins__ras_n(1'b1), .pins__cas_n(~(read | write)),
        .pins__we_n(~write), .pins__bank(2'd2), .pins__address(%(address)d'h155), .pins__mask(1'b0),
        .pins__write_data(written), .pins__write_enable(write), .pins__read_data(taken),
        .sdram_clock(clock), .sdram_clock_enable(cke), .sdram_cs_n(cs), .sdram_ras_n(ras), .sdram_cas_n(cas),
        .sdram_we_n(we), %(buses)s);
    // The chip: it takes commands at the rising edge of its clock, and drives a word tAC behind the edge that is
    // CAS latency - 1 later, for a cycle.
    reg [%(data)d - 1:0] driven = %(data)d'bz; assign data = driven;
    reg [7:0] pipeline = 0; reg [%(data)d - 1:0] word = 'h1000;
    always @(posedge clock) begin
        pipeline <= {pipeline[6:0], ~cs & ras & ~cas & we};
        if (~cs & ras & ~cas & ~we) $display("written %%0d %%h", cycle, data);
        if (~cs) $display("command %%0d %%h %%h %%b", cycle, bank, address, cke);
    end
    wire now = pipeline[%(cas)s - 1];
    always @(posedge clock) begin
        #2.7 if (driven !== %(data)d'bz) driven = %(data)d'bx;
        #3.3 driven = now ? word : %(data)d'bz;
    end
    always @(negedge clock) if (now) word <= word + 1;
    always @(posedge clk) begin
        cycle <= cycle + 1;
        if (taken !== %(data)d'bx && taken !== %(data)d'bz) $display("read %%0d %%h", cycle, taken);
        read <= cycle == 9 || cycle == 10; write <= cycle == 29;
        written <= cycle == 29 ? 'hBEEF : 'hFFFF;
        if (cycle == 40) $finish;
    end
endmodule
"""


class Pins(Component):
    def __init__(self, board):
        self.board = board
        self.inner = SdramPort(board.memory.chip).create()
        super().__init__({"pins": In(SdramPort(board.memory.chip))})

    def elaborate(self, platform):
        m = Module()
        memory, family = self.board.memory, self.board.device.family
        controller = type("Controller", (), {"pins": self.inner})()
        connect(m, flipped(self.pins), flipped(self.inner))
        m.submodules.sdram = SdramPins(family.sdram, memory, controller)
        return m


@pytest.mark.parametrize("cas", [2, 3])
@pytest.mark.parametrize(
    ("name", "megahertz"),
    [("ulx3s-85f", 30), ("ulx3s-85f", 80), ("tang-nano-20k", 30), ("tang-nano-20k", 66)],
)
def test_a_word_is_read_as_many_cycles_later_as_the_controller_counts_on(tmp_path, cas, name, megahertz):
    board = load_board(name)
    counts = widths(board.memory.chip)
    wires = [
        f".sdram_{signal}_{bit}({signal}[{bit}])"
        for signal in ("data", "address", "bank", "mask")
        for bit in range(counts[signal])
    ]
    half = 500 / megahertz
    text = BENCH % {"half": half, "cas": cas, "buses": ", ".join(wires), **counts}
    cells = CELLS[board.device.family.name]
    (tmp_path / "bench.v").write_text(text + cells + to_verilog(Pins(board), "top"))
    made = subprocess.run(
        ["iverilog", "-g2005", "-s", "bench", "-o", "bench", "bench.v"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    said = subprocess.run(["vvp", "bench"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in said.splitlines()]
    # A command that the controller has in cycle t; the registers' latency is that of SdramPort.
    found = {item[2].lstrip("0"): int(item[1]) for item in lines if item[0] == "read"}
    assert (found["1000"], found["1001"]) == (10 + cas + 2, 11 + cas + 2)
    assert [item[2].lstrip("0") for item in lines if item[0] == "written"] == ["beef"]
    assert {(item[2], int(item[3], 16), item[4]) for item in lines if item[0] == "command"} == {
        ("2", 0x155, "1")
    }
