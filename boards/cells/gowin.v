// Gowin's block RAMs (UG285) and multipliers (UG287), as far as synthesis emits them: other values of their parameters
// stop the simulation.

// 32 bytes each, of eight bits (SP, SDPB, DPB) or nine (SPX9, SDPX9B, DPX9B).
`define GOWIN_INIT_PARAMETERS \
    INIT_RAM_00 = 0, INIT_RAM_01 = 0, INIT_RAM_02 = 0, INIT_RAM_03 = 0, INIT_RAM_04 = 0, INIT_RAM_05 = 0, \
    INIT_RAM_06 = 0, INIT_RAM_07 = 0, INIT_RAM_08 = 0, INIT_RAM_09 = 0, INIT_RAM_0A = 0, INIT_RAM_0B = 0, \
    INIT_RAM_0C = 0, INIT_RAM_0D = 0, INIT_RAM_0E = 0, INIT_RAM_0F = 0, INIT_RAM_10 = 0, INIT_RAM_11 = 0, \
    INIT_RAM_12 = 0, INIT_RAM_13 = 0, INIT_RAM_14 = 0, INIT_RAM_15 = 0, INIT_RAM_16 = 0, INIT_RAM_17 = 0, \
    INIT_RAM_18 = 0, INIT_RAM_19 = 0, INIT_RAM_1A = 0, INIT_RAM_1B = 0, INIT_RAM_1C = 0, INIT_RAM_1D = 0, \
    INIT_RAM_1E = 0, INIT_RAM_1F = 0, INIT_RAM_20 = 0, INIT_RAM_21 = 0, INIT_RAM_22 = 0, INIT_RAM_23 = 0, \
    INIT_RAM_24 = 0, INIT_RAM_25 = 0, INIT_RAM_26 = 0, INIT_RAM_27 = 0, INIT_RAM_28 = 0, INIT_RAM_29 = 0, \
    INIT_RAM_2A = 0, INIT_RAM_2B = 0, INIT_RAM_2C = 0, INIT_RAM_2D = 0, INIT_RAM_2E = 0, INIT_RAM_2F = 0, \
    INIT_RAM_30 = 0, INIT_RAM_31 = 0, INIT_RAM_32 = 0, INIT_RAM_33 = 0, INIT_RAM_34 = 0, INIT_RAM_35 = 0, \
    INIT_RAM_36 = 0, INIT_RAM_37 = 0, INIT_RAM_38 = 0, INIT_RAM_39 = 0, INIT_RAM_3A = 0, INIT_RAM_3B = 0, \
    INIT_RAM_3C = 0, INIT_RAM_3D = 0, INIT_RAM_3E = 0, INIT_RAM_3F = 0
`define GOWIN_INIT { \
    INIT_RAM_3F, INIT_RAM_3E, INIT_RAM_3D, INIT_RAM_3C, INIT_RAM_3B, INIT_RAM_3A, INIT_RAM_39, INIT_RAM_38, \
    INIT_RAM_37, INIT_RAM_36, INIT_RAM_35, INIT_RAM_34, INIT_RAM_33, INIT_RAM_32, INIT_RAM_31, INIT_RAM_30, \
    INIT_RAM_2F, INIT_RAM_2E, INIT_RAM_2D, INIT_RAM_2C, INIT_RAM_2B, INIT_RAM_2A, INIT_RAM_29, INIT_RAM_28, \
    INIT_RAM_27, INIT_RAM_26, INIT_RAM_25, INIT_RAM_24, INIT_RAM_23, INIT_RAM_22, INIT_RAM_21, INIT_RAM_20, \
    INIT_RAM_1F, INIT_RAM_1E, INIT_RAM_1D, INIT_RAM_1C, INIT_RAM_1B, INIT_RAM_1A, INIT_RAM_19, INIT_RAM_18, \
    INIT_RAM_17, INIT_RAM_16, INIT_RAM_15, INIT_RAM_14, INIT_RAM_13, INIT_RAM_12, INIT_RAM_11, INIT_RAM_10, \
    INIT_RAM_0F, INIT_RAM_0E, INIT_RAM_0D, INIT_RAM_0C, INIT_RAM_0B, INIT_RAM_0A, INIT_RAM_09, INIT_RAM_08, \
    INIT_RAM_07, INIT_RAM_06, INIT_RAM_05, INIT_RAM_04, INIT_RAM_03, INIT_RAM_02, INIT_RAM_01, INIT_RAM_00 \
  }
// Words of bytes of eight bits, within those of nine.
`define GOWIN_WIDTH(bits) ((bits) < 8 ? (bits) : (bits) / 8 * 9)
`define GOWIN_SPREAD(d) {1'b0, d[31:24], 1'b0, d[23:16], 1'b0, d[15:8], 1'b0, d[7:0]}
`define GOWIN_GATHER(q) {q[34:27], q[25:18], q[16:9], q[7:0]}
`define GOWIN_CHECK_RAM(read_mode, block) \
  initial begin \
    if ((read_mode) != 0) $fatal(1, "%m: READ_MODE %0d is not modelled", read_mode); \
    if ((block) != 0) $fatal(1, "%m: BLK_SEL %0d is not modelled", block); \
    if (RESET_MODE != "SYNC" && RESET_MODE != "ASYNC") $fatal(1, "%m: RESET_MODE %0s is not modelled", RESET_MODE); \
  end \
  always @(BLKSEL) if (BLKSEL !== 0) $fatal(1, "%m: block selects are not modelled");
`define GOWIN_CHECK_MODE(mode) \
  initial if ((mode) > 2) $fatal(1, "%m: WRITE_MODE %0d is not modelled", mode);

module SP(
  input CLK, CE, OCE, RESET, WRE, input [13:0] AD, input [2:0] BLKSEL, input [31:0] DI, output [31:0] DO
);
  parameter READ_MODE = 0;
  parameter WRITE_MODE = 0;
  parameter BIT_WIDTH = 32;
  parameter BLK_SEL = 0;
  parameter RESET_MODE = "SYNC";
  parameter [255:0] `GOWIN_INIT_PARAMETERS;
  `GOWIN_CHECK_RAM(READ_MODE, BLK_SEL)
  `GOWIN_CHECK_MODE(WRITE_MODE)
  wire [71:0] q;
  block_ram_18k #(
    .WIDTH_A(`GOWIN_WIDTH(BIT_WIDTH)), .MODE_A(WRITE_MODE), .ASYNC(RESET_MODE == "ASYNC"), .PITCH(16),
    .INIT(`GOWIN_INIT)
  ) ram(
    .clk({1'b0, CLK}), .enable({1'b0, CE}), .write({1'b0, WRE}), .reset({1'b0, RESET}),
    .address({14'b0, AD}), .data({36'b0, `GOWIN_SPREAD(DI)}), .q(q)
  );
  assign DO = `GOWIN_GATHER(q);
endmodule

module SPX9(
  input CLK, CE, OCE, RESET, WRE, input [13:0] AD, input [2:0] BLKSEL, input [35:0] DI, output [35:0] DO
);
  parameter READ_MODE = 0;
  parameter WRITE_MODE = 0;
  parameter BIT_WIDTH = 36;
  parameter BLK_SEL = 0;
  parameter RESET_MODE = "SYNC";
  parameter [287:0] `GOWIN_INIT_PARAMETERS;
  `GOWIN_CHECK_RAM(READ_MODE, BLK_SEL)
  `GOWIN_CHECK_MODE(WRITE_MODE)
  wire [71:0] q;
  block_ram_18k #(
    .WIDTH_A(BIT_WIDTH), .MODE_A(WRITE_MODE), .ASYNC(RESET_MODE == "ASYNC"), .PITCH(18), .INIT(`GOWIN_INIT)
  ) ram(
    .clk({1'b0, CLK}), .enable({1'b0, CE}), .write({1'b0, WRE}), .reset({1'b0, RESET}),
    .address({14'b0, AD}), .data({36'b0, DI}), .q(q)
  );
  assign DO = q[35:0];
endmodule

// Port A writes, port B reads.
module SDPB(
  input CLKA, CEA, RESETA, CLKB, CEB, OCE, RESETB, input [13:0] ADA, ADB, input [2:0] BLKSELA, BLKSELB,
  input [31:0] DI, output [31:0] DO
);
  parameter READ_MODE = 0;
  parameter BIT_WIDTH_0 = 32;
  parameter BIT_WIDTH_1 = 32;
  parameter BLK_SEL_0 = 0;
  parameter BLK_SEL_1 = 0;
  parameter RESET_MODE = "SYNC";
  parameter [255:0] `GOWIN_INIT_PARAMETERS;
  wire [5:0] BLKSEL = {BLKSELB, BLKSELA};
  `GOWIN_CHECK_RAM(READ_MODE, {BLK_SEL_0, BLK_SEL_1})
  wire [71:0] q;
  wire [35:0] read = q[71:36];
  block_ram_18k #(
    .WIDTH_A(`GOWIN_WIDTH(BIT_WIDTH_0)), .WIDTH_B(`GOWIN_WIDTH(BIT_WIDTH_1)), .ASYNC(RESET_MODE == "ASYNC"), .PITCH(16),
    .INIT(`GOWIN_INIT)
  ) ram(
    .clk({CLKB, CLKA}), .enable({CEB, CEA}), .write(2'b01), .reset({RESETB, RESETA}), .address({ADB, ADA}),
    .data({36'b0, `GOWIN_SPREAD(DI)}), .q(q)
  );
  assign DO = `GOWIN_GATHER(read);
endmodule

// Port A writes, port B reads.
module SDPX9B(
  input CLKA, CEA, RESETA, CLKB, CEB, OCE, RESETB, input [13:0] ADA, ADB, input [2:0] BLKSELA, BLKSELB,
  input [35:0] DI, output [35:0] DO
);
  parameter READ_MODE = 0;
  parameter BIT_WIDTH_0 = 36;
  parameter BIT_WIDTH_1 = 36;
  parameter BLK_SEL_0 = 0;
  parameter BLK_SEL_1 = 0;
  parameter RESET_MODE = "SYNC";
  parameter [287:0] `GOWIN_INIT_PARAMETERS;
  wire [5:0] BLKSEL = {BLKSELB, BLKSELA};
  `GOWIN_CHECK_RAM(READ_MODE, {BLK_SEL_0, BLK_SEL_1})
  wire [71:0] q;
  block_ram_18k #(
    .WIDTH_A(BIT_WIDTH_0), .WIDTH_B(BIT_WIDTH_1), .ASYNC(RESET_MODE == "ASYNC"), .PITCH(18),
    .INIT(`GOWIN_INIT)
  ) ram(
    .clk({CLKB, CLKA}), .enable({CEB, CEA}), .write(2'b01), .reset({RESETB, RESETA}), .address({ADB, ADA}),
    .data({36'b0, DI}), .q(q)
  );
  assign DO = q[71:36];
endmodule

module DPB(
  input CLKA, CEA, OCEA, RESETA, WREA, CLKB, CEB, OCEB, RESETB, WREB, input [13:0] ADA, ADB,
  input [2:0] BLKSELA, BLKSELB, input [15:0] DIA, DIB, output [15:0] DOA, DOB
);
  parameter READ_MODE0 = 0;
  parameter READ_MODE1 = 0;
  parameter WRITE_MODE0 = 0;
  parameter WRITE_MODE1 = 0;
  parameter BIT_WIDTH_0 = 16;
  parameter BIT_WIDTH_1 = 16;
  parameter BLK_SEL_0 = 0;
  parameter BLK_SEL_1 = 0;
  parameter RESET_MODE = "SYNC";
  parameter [255:0] `GOWIN_INIT_PARAMETERS;
  wire [5:0] BLKSEL = {BLKSELB, BLKSELA};
  `GOWIN_CHECK_RAM({READ_MODE0, READ_MODE1}, {BLK_SEL_0, BLK_SEL_1})
  `GOWIN_CHECK_MODE(WRITE_MODE0)
  `GOWIN_CHECK_MODE(WRITE_MODE1)
  wire [71:0] q;
  block_ram_18k #(
    .WIDTH_A(`GOWIN_WIDTH(BIT_WIDTH_0)), .WIDTH_B(`GOWIN_WIDTH(BIT_WIDTH_1)),
    .MODE_A(WRITE_MODE0), .MODE_B(WRITE_MODE1),
    .ASYNC(RESET_MODE == "ASYNC"), .PITCH(16), .INIT(`GOWIN_INIT)
  ) ram(
    .clk({CLKB, CLKA}), .enable({CEB, CEA}), .write({WREB, WREA}), .reset({RESETB, RESETA}),
    .address({ADB, ADA}), .data({18'b0, 1'b0, DIB[15:8], 1'b0, DIB[7:0], 18'b0, 1'b0, DIA[15:8], 1'b0, DIA[7:0]}), .q(q)
  );
  assign DOA = {q[16:9], q[7:0]};
  assign DOB = {q[52:45], q[43:36]};
endmodule

module DPX9B(
  input CLKA, CEA, OCEA, RESETA, WREA, CLKB, CEB, OCEB, RESETB, WREB, input [13:0] ADA, ADB,
  input [2:0] BLKSELA, BLKSELB, input [17:0] DIA, DIB, output [17:0] DOA, DOB
);
  parameter READ_MODE0 = 0;
  parameter READ_MODE1 = 0;
  parameter WRITE_MODE0 = 0;
  parameter WRITE_MODE1 = 0;
  parameter BIT_WIDTH_0 = 18;
  parameter BIT_WIDTH_1 = 18;
  parameter BLK_SEL_0 = 0;
  parameter BLK_SEL_1 = 0;
  parameter RESET_MODE = "SYNC";
  parameter [287:0] `GOWIN_INIT_PARAMETERS;
  wire [5:0] BLKSEL = {BLKSELB, BLKSELA};
  `GOWIN_CHECK_RAM({READ_MODE0, READ_MODE1}, {BLK_SEL_0, BLK_SEL_1})
  `GOWIN_CHECK_MODE(WRITE_MODE0)
  `GOWIN_CHECK_MODE(WRITE_MODE1)
  wire [71:0] q;
  block_ram_18k #(
    .WIDTH_A(BIT_WIDTH_0), .WIDTH_B(BIT_WIDTH_1), .MODE_A(WRITE_MODE0), .MODE_B(WRITE_MODE1),
    .ASYNC(RESET_MODE == "ASYNC"), .PITCH(18), .INIT(`GOWIN_INIT)
  ) ram(
    .clk({CLKB, CLKA}), .enable({CEB, CEA}), .write({WREB, WREA}), .reset({RESETB, RESETA}),
    .address({ADB, ADA}), .data({18'b0, DIB, 18'b0, DIA}), .q(q)
  );
  assign DOA = q[17:0];
  assign DOB = q[53:36];
endmodule

// DOUT = A * B. Synthesis infers no registers in multipliers and no cascades.
`define GOWIN_MULTIPLIER(bits) \
  parameter AREG = 0; \
  parameter BREG = 0; \
  parameter ASIGN_REG = 0; \
  parameter BSIGN_REG = 0; \
  parameter PIPE_REG = 0; \
  parameter MULT_RESET_MODE = "SYNC"; \
  initial \
    if (AREG || BREG || ASIGN_REG || BSIGN_REG || PIPE_REG) $fatal(1, "%m: registers are not modelled"); \
  assign DOUT = {{bits{ASIGN & A[bits - 1]}}, A} * {{bits{BSIGN & B[bits - 1]}}, B};
`define GOWIN_OUTPUT_AND_SHIFT \
  parameter OUT_REG = 0; \
  parameter SOA_REG = 0; \
  initial if (OUT_REG || SOA_REG) $fatal(1, "%m: registers are not modelled"); \
  always @(ASEL, BSEL) \
    if (ASEL === 1'b1 || BSEL === 1'b1) $fatal(1, "%m: operands from other blocks are not modelled");

module MULT9X9(
  input CLK, CE, RESET, ASEL, BSEL, ASIGN, BSIGN, input [8:0] A, B, SIA, SIB, output [17:0] DOUT
);
  `GOWIN_MULTIPLIER(9)
  `GOWIN_OUTPUT_AND_SHIFT
endmodule

module MULT18X18(
  input CLK, CE, RESET, ASEL, BSEL, ASIGN, BSIGN, input [17:0] A, B, SIA, SIB, output [35:0] DOUT
);
  `GOWIN_MULTIPLIER(18)
  `GOWIN_OUTPUT_AND_SHIFT
endmodule

module MULT36X36(input CLK, CE, RESET, ASIGN, BSIGN, input [35:0] A, B, output [71:0] DOUT);
  `GOWIN_MULTIPLIER(36)
  parameter OUT0_REG = 0;
  parameter OUT1_REG = 0;
  initial if (OUT0_REG || OUT1_REG) $fatal(1, "%m: registers are not modelled");
endmodule
