"""The cells at the pins of an SDRAM: what is read is there when the controller's model of the chip says so."""

import shutil
import subprocess

import pytest
from amaranth.hdl import Module
from amaranth.lib.wiring import Component, In, connect, flipped

from hwquant.boards.board import load_board
from hwquant.boards.sdram_pins import SdramPins
from hwquant.rtl_templates.sdram import SdramPort
from hwquant.rtl_templates.verilog import to_verilog

pytest.importorskip("amaranth_boards", reason="pins come from amaranth-boards: pip install 'hwquant[boards]'")
pytestmark = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")

CELLS = """
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

BENCH = """
`timescale 1ns/1ps
module bench;
    reg clk = 0; always #%(half)s clk = ~clk;
    reg read = 0, write = 0; reg [15:0] written = 0; integer cycle = 0;
    wire [15:0] data; wire [12:0] address; wire [1:0] bank, mask;
    wire clock, cke, cs, ras, cas, we; wire [15:0] taken;
    top dut (.clk(clk), .rst(1'b0), .pins__cs_n(~(read | write)), .pins__ras_n(1'b1), .pins__cas_n(~(read | write)),
        .pins__we_n(~write), .pins__bank(2'd2), .pins__address(13'h155), .pins__mask(1'b0),
        .pins__write_data(written), .pins__write_enable(write), .pins__read_data(taken),
        .sdram_clock(clock), .sdram_clock_enable(cke), .sdram_cs_n(cs), .sdram_ras_n(ras), .sdram_cas_n(cas),
        .sdram_we_n(we), %(buses)s);
    // The chip: it takes commands at the rising edge of its clock, and drives a word tAC behind the edge that is
    // CAS latency - 1 later, for a cycle.
    reg [15:0] driven = 16'bz; assign data = driven;
    reg [7:0] pipeline = 0; reg [15:0] word = 16'h1000;
    always @(posedge clock) begin
        pipeline <= {pipeline[6:0], ~cs & ras & ~cas & we};
        if (~cs & ras & ~cas & ~we) $display("written %%0d %%h", cycle, data);
        if (~cs) $display("command %%0d %%h %%h %%b", cycle, bank, address, cke);
    end
    wire now = pipeline[%(cas)s - 1];
    always @(posedge clock) begin
        #2.7 if (driven !== 16'bz) driven = 16'bx;
        #3.3 driven = now ? word : 16'bz;
    end
    always @(negedge clock) if (now) word <= word + 1;
    always @(posedge clk) begin
        cycle <= cycle + 1;
        if (taken !== 16'bx && taken !== 16'bz) $display("read %%0d %%h", cycle, taken);
        read <= cycle == 9 || cycle == 10; write <= cycle == 29;
        written <= cycle == 29 ? 16'hBEEF : 16'hFFFF;
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
@pytest.mark.parametrize("megahertz", [30, 80])
def test_a_word_is_read_as_many_cycles_later_as_the_controller_counts_on(tmp_path, cas, megahertz):
    board = load_board("ulx3s-85f")
    buses = {"data": 16, "address": 13, "bank": 2, "mask": 2}
    wires = [f".sdram_{name}_{bit}({name}[{bit}])" for name, count in buses.items() for bit in range(count)]
    half = 500 / megahertz
    text = BENCH % {"half": half, "cas": cas, "buses": ", ".join(wires)}
    (tmp_path / "bench.v").write_text(text + CELLS + to_verilog(Pins(board), "top"))
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
    found = {item[2]: int(item[1]) for item in lines if item[0] == "read"}
    assert (found["1000"], found["1001"]) == (10 + cas + 2, 11 + cas + 2)
    assert [item[2] for item in lines if item[0] == "written"] == ["beef"]
    assert {tuple(item[2:]) for item in lines if item[0] == "command"} == {("2", "0155", "1")}
