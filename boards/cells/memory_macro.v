// What a memory is in an ASIC: a macro, which somebody else makes. Read by Yosys as a black box.
module memory_macro(CLK, RD_EN, RD_ADDR, RD_DATA, WR_EN, WR_ADDR, WR_DATA);
  parameter WIDTH = 1;
  parameter SIZE = 1;
  parameter ABITS = 1;
  parameter RD_PORTS = 1;
  parameter WR_PORTS = 1;
  input CLK;
  input [RD_PORTS - 1:0] RD_EN;
  input [RD_PORTS * ABITS - 1:0] RD_ADDR;
  output [RD_PORTS * WIDTH - 1:0] RD_DATA;
  input [WR_PORTS * WIDTH - 1:0] WR_EN, WR_DATA;
  input [WR_PORTS * ABITS - 1:0] WR_ADDR;
endmodule
