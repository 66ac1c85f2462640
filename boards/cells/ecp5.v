// ECP5's block RAM (Lattice FPGA-TN-02204) and multiplier (FPGA-TN-02205), as far as synthesis emits them: other
// values of their parameters stop the simulation. What synthesis leaves alone (GSR, the inverters of inputs) is left
// out.

module DP16KD(
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
  DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
  DOA1, DOA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
  DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
  DOB1, DOB0
);
  // 1, 2, 4, 9 or 18. With 36, port A writes through the data inputs of both ports, the upper half of a word through
  // those of B; B then reads its width, through its own outputs or, with 36, the lower half through those of A.
  parameter DATA_WIDTH_A = 18;
  parameter DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG";
  parameter REGMODE_B = "NOREG";
  parameter RESETMODE = "SYNC";
  parameter ASYNC_RESET_RELEASE = "SYNC";
  parameter CSDECODE_A = "0b000";
  parameter CSDECODE_B = "0b000";
  parameter WRITEMODE_A = "NORMAL";
  parameter WRITEMODE_B = "NORMAL";
  parameter CLKAMUX = "CLKA";
  parameter CLKBMUX = "CLKB";
  parameter GSR = "ENABLED";
  // 16 words of 18 bits each, 20 bits apart.
  parameter [319:0]
    INITVAL_00 = 0, INITVAL_01 = 0, INITVAL_02 = 0, INITVAL_03 = 0, INITVAL_04 = 0, INITVAL_05 = 0,
    INITVAL_06 = 0, INITVAL_07 = 0, INITVAL_08 = 0, INITVAL_09 = 0, INITVAL_0A = 0, INITVAL_0B = 0,
    INITVAL_0C = 0, INITVAL_0D = 0, INITVAL_0E = 0, INITVAL_0F = 0, INITVAL_10 = 0, INITVAL_11 = 0,
    INITVAL_12 = 0, INITVAL_13 = 0, INITVAL_14 = 0, INITVAL_15 = 0, INITVAL_16 = 0, INITVAL_17 = 0,
    INITVAL_18 = 0, INITVAL_19 = 0, INITVAL_1A = 0, INITVAL_1B = 0, INITVAL_1C = 0, INITVAL_1D = 0,
    INITVAL_1E = 0, INITVAL_1F = 0, INITVAL_20 = 0, INITVAL_21 = 0, INITVAL_22 = 0, INITVAL_23 = 0,
    INITVAL_24 = 0, INITVAL_25 = 0, INITVAL_26 = 0, INITVAL_27 = 0, INITVAL_28 = 0, INITVAL_29 = 0,
    INITVAL_2A = 0, INITVAL_2B = 0, INITVAL_2C = 0, INITVAL_2D = 0, INITVAL_2E = 0, INITVAL_2F = 0,
    INITVAL_30 = 0, INITVAL_31 = 0, INITVAL_32 = 0, INITVAL_33 = 0, INITVAL_34 = 0, INITVAL_35 = 0,
    INITVAL_36 = 0, INITVAL_37 = 0, INITVAL_38 = 0, INITVAL_39 = 0, INITVAL_3A = 0, INITVAL_3B = 0,
    INITVAL_3C = 0, INITVAL_3D = 0, INITVAL_3E = 0, INITVAL_3F = 0;

  initial begin
    if (REGMODE_A != "NOREG" && REGMODE_A != "OUTREG") $fatal(1, "%m: REGMODE_A %0s is not modelled", REGMODE_A);
    if (REGMODE_B != "NOREG" && REGMODE_B != "OUTREG") $fatal(1, "%m: REGMODE_B %0s is not modelled", REGMODE_B);
    if (DATA_WIDTH_B == 36 && REGMODE_A != REGMODE_B)
      $fatal(1, "%m: output registers of a half of a word are not modelled");
    if (CSDECODE_A != "0b000" || CSDECODE_B != "0b000") $fatal(1, "%m: chip selects are not modelled");
    if (RESETMODE != "SYNC" && RESETMODE != "ASYNC") $fatal(1, "%m: RESETMODE %0s is not modelled", RESETMODE);
    if (CLKAMUX != "CLKA" && CLKAMUX != "INV") $fatal(1, "%m: CLKAMUX %0s is not modelled", CLKAMUX);
    if (CLKBMUX != "CLKB" && CLKBMUX != "INV") $fatal(1, "%m: CLKBMUX %0s is not modelled", CLKBMUX);
    if (MODE_A < 0) $fatal(1, "%m: WRITEMODE_A %0s is not modelled", WRITEMODE_A);
    if (MODE_B < 0) $fatal(1, "%m: WRITEMODE_B %0s is not modelled", WRITEMODE_B);
    if (DATA_WIDTH_B == 36 && DATA_WIDTH_A != 36)
      $fatal(1, "%m: ports of %0d and 36 bits are not modelled", DATA_WIDTH_A);
  end

  localparam MODE_A = WRITEMODE_A == "NORMAL" ? 0 : WRITEMODE_A == "WRITETHROUGH" ? 1
    : WRITEMODE_A == "READBEFOREWRITE" ? 2 : -1;
  localparam MODE_B = WRITEMODE_B == "NORMAL" ? 0 : WRITEMODE_B == "WRITETHROUGH" ? 1
    : WRITEMODE_B == "READBEFOREWRITE" ? 2 : -1;
  wire [17:0] dia = {
    DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
    DIA1, DIA0
  };
  wire [17:0] dib = {
    DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
    DIB1, DIB0
  };
  wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [35:0] qa, qb, ra, rb;
  wire clka = CLKAMUX == "INV" ? ~CLKA : CLKA;
  wire clkb = CLKBMUX == "INV" ? ~CLKB : CLKB;
  block_ram_18k #(
    .WIDTH_A(DATA_WIDTH_A), .WIDTH_B(DATA_WIDTH_B), .MODE_A(MODE_A), .MODE_B(MODE_B),
    .ASYNC(RESETMODE == "ASYNC"), .PITCH(20),
    .INIT({
    INITVAL_3F, INITVAL_3E, INITVAL_3D, INITVAL_3C, INITVAL_3B, INITVAL_3A, INITVAL_39, INITVAL_38,
    INITVAL_37, INITVAL_36, INITVAL_35, INITVAL_34, INITVAL_33, INITVAL_32, INITVAL_31, INITVAL_30,
    INITVAL_2F, INITVAL_2E, INITVAL_2D, INITVAL_2C, INITVAL_2B, INITVAL_2A, INITVAL_29, INITVAL_28,
    INITVAL_27, INITVAL_26, INITVAL_25, INITVAL_24, INITVAL_23, INITVAL_22, INITVAL_21, INITVAL_20,
    INITVAL_1F, INITVAL_1E, INITVAL_1D, INITVAL_1C, INITVAL_1B, INITVAL_1A, INITVAL_19, INITVAL_18,
    INITVAL_17, INITVAL_16, INITVAL_15, INITVAL_14, INITVAL_13, INITVAL_12, INITVAL_11, INITVAL_10,
    INITVAL_0F, INITVAL_0E, INITVAL_0D, INITVAL_0C, INITVAL_0B, INITVAL_0A, INITVAL_09, INITVAL_08,
    INITVAL_07, INITVAL_06, INITVAL_05, INITVAL_04, INITVAL_03, INITVAL_02, INITVAL_01, INITVAL_00
    })
  ) ram(
    .clk({clkb, clka}),
    .enable({CEB, CEA}), .write({WEB, WEA}), .reset({RSTB, RSTA}), .address({adb, ada}),
    .data({18'b0, dib, DATA_WIDTH_A == 36 ? dib : 18'b0, dia}), .q({qb, qa})
  );
  output_register #(REGMODE_A == "OUTREG") register_a(clka, OCEA, RSTA, qa, ra);
  output_register #(REGMODE_B == "OUTREG") register_b(clkb, OCEB, RSTB, qb, rb);
  // The two halves of a word have registers of their own.
  always @(posedge clkb)
    if (DATA_WIDTH_B == 36 && REGMODE_B == "OUTREG" && OCEA !== OCEB)
      $fatal(1, "%m: enables of the halves of a word differ, which is not modelled");
  assign {
    DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2,
    DOA1, DOA0
  } = DATA_WIDTH_B == 36 ? rb[17:0] : ra[17:0];
  assign {
    DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2,
    DOB1, DOB0
  } = DATA_WIDTH_B == 36 ? rb[35:18] : rb[17:0];
endmodule

// The register behind a port of a block RAM, or a wire.
module output_register(clk, enable, reset, d, q);
  parameter PRESENT = 0;
  input clk, enable, reset;
  input [35:0] d;
  output [35:0] q;

  generate
    if (!PRESENT) assign q = d;
    else begin : register
      reg [35:0] value = 0;
      always @(posedge clk) begin
        if (reset !== 1'b0) $fatal(1, "%m: resets of output registers are not modelled");
        if (enable) value <= d;
      end
      assign q = value;
    end
  endgenerate
endmodule

// P = A * B, with registers of operands and product; no cascades, no pre-adder, so that C is not used.
module MULT18X18D(
  input A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0,
  input B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0,
  input C17, C16, C15, C14, C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2, C1, C0,
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB,
  input CLK0, CLK1, CLK2, CLK3, CE0, CE1, CE2, CE3, RST0, RST1, RST2, RST3,
  output P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16,
  P15, P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
);
  parameter REG_INPUTA_CLK = "NONE";
  parameter REG_INPUTA_CE = "CE0";
  parameter REG_INPUTA_RST = "RST0";
  parameter REG_INPUTB_CLK = "NONE";
  parameter REG_INPUTB_CE = "CE0";
  parameter REG_INPUTB_RST = "RST0";
  parameter REG_INPUTC_CLK = "NONE";
  parameter REG_INPUTC_CE = "CE0";
  parameter REG_INPUTC_RST = "RST0";
  parameter REG_PIPELINE_CLK = "NONE";
  parameter REG_PIPELINE_CE = "CE0";
  parameter REG_PIPELINE_RST = "RST0";
  parameter REG_OUTPUT_CLK = "NONE";
  parameter REG_OUTPUT_CE = "CE0";
  parameter REG_OUTPUT_RST = "RST0";
  parameter RESETMODE = "SYNC";
  parameter GSR = "ENABLED";
  parameter SOURCEB_MODE = "B_SHIFT";
  parameter MULT_BYPASS = "DISABLED";
  parameter CAS_MATCH_REG = "FALSE";

  initial begin
    if (RESETMODE != "SYNC") $fatal(1, "%m: RESETMODE %0s is not modelled", RESETMODE);
    if (MULT_BYPASS != "DISABLED") $fatal(1, "%m: MULT_BYPASS %0s is not modelled", MULT_BYPASS);
  end
  always @(SOURCEA, SOURCEB)
    if (SOURCEA === 1'b1 || SOURCEB === 1'b1) $fatal(1, "%m: operands from other blocks are not modelled");

  wire [17:0] a = {A17, A16, A15, A14, A13, A12, A11, A10, A9, A8, A7, A6, A5, A4, A3, A2, A1, A0};
  wire [17:0] b = {B17, B16, B15, B14, B13, B12, B11, B10, B9, B8, B7, B6, B5, B4, B3, B2, B1, B0};
  wire [17:0] x, y;
  wire [35:0] product, inner, result;
  multiplier_register #(18, REG_INPUTA_CLK, REG_INPUTA_CE, REG_INPUTA_RST) register_a(
    {CLK3, CLK2, CLK1, CLK0}, {CE3, CE2, CE1, CE0}, {RST3, RST2, RST1, RST0}, a, x
  );
  multiplier_register #(18, REG_INPUTB_CLK, REG_INPUTB_CE, REG_INPUTB_RST) register_b(
    {CLK3, CLK2, CLK1, CLK0}, {CE3, CE2, CE1, CE0}, {RST3, RST2, RST1, RST0}, b, y
  );
  multiplier_register #(36, REG_PIPELINE_CLK, REG_PIPELINE_CE, REG_PIPELINE_RST) register_pipeline(
    {CLK3, CLK2, CLK1, CLK0}, {CE3, CE2, CE1, CE0}, {RST3, RST2, RST1, RST0}, product, inner
  );
  multiplier_register #(36, REG_OUTPUT_CLK, REG_OUTPUT_CE, REG_OUTPUT_RST) register_output(
    {CLK3, CLK2, CLK1, CLK0}, {CE3, CE2, CE1, CE0}, {RST3, RST2, RST1, RST0}, inner, result
  );
  assign product = {{18{SIGNEDA & x[17]}}, x} * {{18{SIGNEDB & y[17]}}, y};
  assign {
    P35, P34, P33, P32, P31, P30, P29, P28, P27, P26, P25, P24, P23, P22, P21, P20, P19, P18, P17, P16, P15,
    P14, P13, P12, P11, P10, P9, P8, P7, P6, P5, P4, P3, P2, P1, P0
  } = result;
endmodule

// One of the registers of a multiplier, or a wire.
module multiplier_register(clk, ce, rst, d, q);
  parameter WIDTH = 18;
  parameter CLK = "NONE";
  parameter CE = "CE0";
  parameter RST = "RST0";
  input [3:0] clk, ce, rst;
  input [WIDTH-1:0] d;
  output [WIDTH-1:0] q;

  generate
    if (CLK == "NONE") assign q = d;
    else begin : register
      localparam C = CLK == "CLK0" ? 0 : CLK == "CLK1" ? 1 : CLK == "CLK2" ? 2 : CLK == "CLK3" ? 3 : -1;
      localparam E = CE == "CE0" ? 0 : CE == "CE1" ? 1 : CE == "CE2" ? 2 : CE == "CE3" ? 3 : -1;
      localparam R = RST == "RST0" ? 0 : RST == "RST1" ? 1 : RST == "RST2" ? 2 : RST == "RST3" ? 3 : -1;
      reg [WIDTH-1:0] value = 0;
      initial
        if (C < 0 || E < 0 || R < 0) $fatal(1, "%m: %0s, %0s and %0s are not modelled", CLK, CE, RST);
      always @(posedge clk[C])
        if (rst[R]) value <= 0;
        else if (ce[E]) value <= d;
      assign q = value;
    end
  endgenerate
endmodule
