// For Yosys' techmap: a memory with one clock, whose read ports have a register without reset, is a memory_macro.
(* techmap_celltype = "$mem_v2" *)
module memory_map(RD_CLK, RD_EN, RD_ARST, RD_SRST, RD_ADDR, RD_DATA, WR_CLK, WR_EN, WR_ADDR, WR_DATA);
  parameter MEMID = "";
  parameter WIDTH = 1;
  parameter SIZE = 1;
  parameter OFFSET = 0;
  parameter ABITS = 1;
  parameter INIT = 0;
  parameter RD_PORTS = 1;
  parameter RD_CLK_ENABLE = 1;
  parameter RD_CLK_POLARITY = 1;
  parameter RD_TRANSPARENCY_MASK = 0;
  parameter RD_COLLISION_X_MASK = 0;
  parameter RD_WIDE_CONTINUATION = 0;
  parameter RD_CE_OVER_SRST = 0;
  parameter RD_ARST_VALUE = 0;
  parameter RD_SRST_VALUE = 0;
  parameter RD_INIT_VALUE = 0;
  parameter WR_PORTS = 1;
  parameter WR_CLK_ENABLE = 1;
  parameter WR_CLK_POLARITY = 1;
  parameter WR_PRIORITY_MASK = 0;
  parameter WR_WIDE_CONTINUATION = 0;
  parameter _TECHMAP_CONSTMSK_RD_ARST_ = 0;
  parameter _TECHMAP_CONSTVAL_RD_ARST_ = 0;
  parameter _TECHMAP_CONSTMSK_RD_SRST_ = 0;
  parameter _TECHMAP_CONSTVAL_RD_SRST_ = 0;
  input [RD_PORTS - 1:0] RD_CLK, RD_EN, RD_ARST, RD_SRST;
  input [RD_PORTS * ABITS - 1:0] RD_ADDR;
  output [RD_PORTS * WIDTH - 1:0] RD_DATA;
  input [WR_PORTS - 1:0] WR_CLK;
  input [WR_PORTS * WIDTH - 1:0] WR_EN, WR_DATA;
  input [WR_PORTS * ABITS - 1:0] WR_ADDR;

  localparam RESETS = ~&_TECHMAP_CONSTMSK_RD_ARST_ | |_TECHMAP_CONSTVAL_RD_ARST_
    | ~&_TECHMAP_CONSTMSK_RD_SRST_ | |_TECHMAP_CONSTVAL_RD_SRST_;
  wire _TECHMAP_FAIL_ = RESETS || |RD_TRANSPARENCY_MASK || !(&RD_CLK_ENABLE) || !(&RD_CLK_POLARITY)
    || |RD_WIDE_CONTINUATION || |WR_WIDE_CONTINUATION || OFFSET != 0;
  memory_macro #(
    .WIDTH(WIDTH), .SIZE(SIZE), .ABITS(ABITS), .RD_PORTS(RD_PORTS), .WR_PORTS(WR_PORTS)
  ) _TECHMAP_REPLACE_ (
    .CLK(RD_CLK[0]), .RD_EN(RD_EN), .RD_ADDR(RD_ADDR), .RD_DATA(RD_DATA),
    .WR_EN(WR_EN), .WR_ADDR(WR_ADDR), .WR_DATA(WR_DATA)
  );
endmodule
