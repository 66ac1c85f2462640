// Cells of ECP5 at an RGMII PHY, as LiteEth uses them (Lattice FPGA-TN-02035, generic DDR x1): delays are none.

module DELAYG (input A, output Z);
    parameter DEL_MODE = "";
    parameter DEL_VALUE = 0;
    assign Z = A;
endmodule

module FD1S3BX (input CK, D, PD, output reg Q);
    initial Q = 1;
    always @(posedge CK or posedge PD) if (PD) Q <= 1; else Q <= D;
endmodule

module IDDRX1F (input SCLK, D, RST, output reg Q0, Q1);
    reg rising, falling;
    always @(posedge SCLK) rising <= D;
    always @(negedge SCLK) falling <= D;
    always @(posedge SCLK) begin Q0 <= rising; Q1 <= falling; end
endmodule

module ODDRX1F (input SCLK, D0, D1, RST, output Q);
    reg first, second;
    always @(posedge SCLK) begin first <= D0; second <= D1; end
    assign Q = SCLK ? first : second;
endmodule
