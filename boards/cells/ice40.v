// Two products of 8 by 8 bits in one SB_MAC16 (Lattice FPGA-TN-02007), with registers of operands and products; the
// operand B stays where HOLD is. Yosys' ice40_dsp takes every SB_MAC16 for one product of 16 by 16 bits, so synthesis
// gets to see what is in here at its end only.

module HWQUANT_PRODUCTS_8X8(input CLK, input HOLD, input [15:0] A, input [15:0] B, output [31:0] O);
  SB_MAC16 #(
    .MODE_8x8(1'b1), .A_SIGNED(1'b1), .B_SIGNED(1'b1), .A_REG(1'b1), .B_REG(1'b1), .C_REG(1'b0), .D_REG(1'b0),
    .TOP_8x8_MULT_REG(1'b1), .BOT_8x8_MULT_REG(1'b1),
    .PIPELINE_16x16_MULT_REG1(1'b0), .PIPELINE_16x16_MULT_REG2(1'b0),
    .TOPOUTPUT_SELECT(2'b10), .TOPADDSUB_LOWERINPUT(2'b00), .TOPADDSUB_UPPERINPUT(1'b0), .TOPADDSUB_CARRYSELECT(2'b00),
    .BOTOUTPUT_SELECT(2'b10), .BOTADDSUB_LOWERINPUT(2'b00), .BOTADDSUB_UPPERINPUT(1'b0), .BOTADDSUB_CARRYSELECT(2'b00),
    .NEG_TRIGGER(1'b0)
  ) _TECHMAP_REPLACE_ (
    .CLK(CLK), .CE(1'b1), .A(A), .B(B), .C(16'b0), .D(16'b0), .AHOLD(1'b0), .BHOLD(HOLD), .CHOLD(1'b0), .DHOLD(1'b0),
    .IRSTTOP(1'b0), .IRSTBOT(1'b0), .ORSTTOP(1'b0), .ORSTBOT(1'b0), .OLOADTOP(1'b0), .OLOADBOT(1'b0),
    .ADDSUBTOP(1'b0), .ADDSUBBOT(1'b0), .OHOLDTOP(1'b0), .OHOLDBOT(1'b0), .CI(1'b0), .ACCUMCI(1'b0), .SIGNEXTIN(1'b0),
    .O(O), .CO(), .ACCUMCO(), .SIGNEXTOUT()
  );
endmodule
