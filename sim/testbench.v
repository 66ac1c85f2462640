// The accelerator with a clock, for cocotb in any simulator.
//
// The clock is made here because a simulator runs many times faster when it does not have to call Python
// for every edge. Only these signals are visible to Python, so that Verilator may optimize all others.
`timescale 1ns / 1ps

module testbench #(
    parameter BEAT = 8,  // bits of a beat of an input frame
    parameter WORD = 8,  // bits of an activation word
    parameter WORDS = 8,  // of those of all banks
    parameter ADDRESS = 1,
    parameter ENABLES = 1,
    parameter REGISTER = 1,  // bits of the address of a register
    parameter VALUE = 1  // bits of a register
);
  reg clk /* verilator public_flat_rw */ = 0;
  reg rst /* verilator public_flat_rw */ = 1;

  reg frames__valid /* verilator public_flat_rw */ = 0;
  wire frames__ready /* verilator public_flat_rd */;
  reg [BEAT:0] frames__payload /* verilator public_flat_rw */ = 0;  // the top bit is `last`

  wire results__valid /* verilator public_flat_rd */;
  reg results__ready /* verilator public_flat_rw */ = 0;
  wire [WORD:0] results__payload /* verilator public_flat_rd */;

  reg [REGISTER-1:0] bus__address /* verilator public_flat_rw */ = 0;
  reg bus__write /* verilator public_flat_rw */ = 0;
  reg [VALUE-1:0] bus__write_data /* verilator public_flat_rw */ = 0;
  wire [VALUE-1:0] bus__read_data /* verilator public_flat_rd */;

  wire monitor__valid /* verilator public_flat_rd */;
  wire [ADDRESS-1:0] monitor__address /* verilator public_flat_rd */;
  wire [WORDS-1:0] monitor__data /* verilator public_flat_rd */;
  wire [ENABLES-1:0] monitor__enable /* verilator public_flat_rd */;

  always #5 clk = ~clk;

`ifndef VERILATOR  // where cocotb's main program does it
  reg [8*1024:1] waves;
  initial
    if ($value$plusargs("waves=%s", waves)) begin
      $dumpfile(waves);
      $dumpvars(0, testbench);
    end
`endif

  hwquant accelerator (
      .clk(clk),
      .rst(rst),
      .frames__valid(frames__valid),
      .frames__ready(frames__ready),
      .frames__payload(frames__payload),
      .results__valid(results__valid),
      .results__ready(results__ready),
      .results__payload(results__payload),
      .bus__address(bus__address),
      .bus__write(bus__write),
      .bus__write_data(bus__write_data),
      .bus__read_data(bus__read_data),
      .monitor__valid(monitor__valid),
      .monitor__address(monitor__address),
      .monitor__data(monitor__data),
      .monitor__enable(monitor__enable)
  );
endmodule
