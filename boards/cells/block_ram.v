// 18 Kbit of block RAM with two ports, as ECP5's (Lattice FPGA-TN-02204) and Gowin's (UG285) are inside.
//
// 2048 bytes of nine bits. Ports of 9, 18 and 36 bits see one, two or four bytes a word, those of 1, 2 and 4 bits
// parts of the lower eight bits of a byte. An address counts bits of bytes: the lowest address bits of a wide port
// address nothing, and its lowest one to four are byte enables.
//
// What one port reads while the other one writes it, at an edge of the clock that both share, is unknown (X), as the
// documents leave it open.
module block_ram_18k(clk, enable, write, reset, address, data, q);
  parameter WIDTH_A = 18;  // 1, 2, 4, 9, 18 or 36
  parameter WIDTH_B = 18;
  parameter MODE_A = 0;    // of a port's output while it writes: 0 holds its value, 1 the new word, 2 the old one
  parameter MODE_B = 0;
  parameter ASYNC = 0;     // asynchronous reset of the outputs
  parameter PITCH = 18;    // bits of INIT for each two bytes: 18, 20 (two unused), 16 (bytes of eight bits)
  parameter [1024 * PITCH - 1:0] INIT = 0;

  // Port A in the lower half of each.
  input [1:0] clk, enable, write, reset;
  input [27:0] address;
  input [71:0] data;
  output [71:0] q;

  localparam BYTE = PITCH == 16 ? 8 : 9;
  reg [8:0] memory[0:2047];
  reg [16 * PITCH - 1:0] part;
  integer i;
  initial
    for (i = 0; i < 2048; i = i + 1) begin
      // A few bits of so wide a constant take simulators long.
      if (i % 32 == 0) part = INIT[i / 2 * PITCH +: 16 * PITCH];
      memory[i] = part[i % 32 / 2 * PITCH + i % 2 * BYTE +: BYTE];
    end

  genvar p;
  generate
    for (p = 0; p < 2; p = p + 1) begin : port
      localparam WIDTH = p ? WIDTH_B : WIDTH_A;
      localparam OTHER = p ? WIDTH_A : WIDTH_B;
      localparam MODE = p ? MODE_B : MODE_A;
      localparam BYTES = WIDTH < 9 ? 1 : WIDTH / 9;
      localparam OTHER_BYTES = OTHER < 9 ? 1 : OTHER / 9;
      localparam PART = WIDTH < 9 ? WIDTH : 9;      // bits of a byte that an access touches
      localparam SPAN = WIDTH < 9 ? WIDTH : 8;      // and how many addresses those are
      localparam OTHER_SPAN = OTHER < 9 ? OTHER : 8;

      wire [13:0] own = address[14 * p +: 14];
      wire [13:0] first = own & ~(BYTES * SPAN - 1);
      wire [13:0] other = address[14 * (1 - p) +: 14];
      wire [13:0] other_first = other & ~(OTHER_BYTES * OTHER_SPAN - 1);
      wire other_writes = enable[1 - p] & write[1 - p];
      wire overlap = first[2:0] < other_first[2:0] + OTHER_SPAN && other_first[2:0] < first[2:0] + SPAN;
      reg [35:0] word, result = 0;
      integer k, j;

      initial
        if (WIDTH != 1 && WIDTH != 2 && WIDTH != 4 && WIDTH != 9 && WIDTH != 18 && WIDTH != 36)
          $fatal(1, "%m: ports of %0d bits are not modelled", WIDTH);

      task access;
        begin
          word = 0;
          for (k = 0; k < BYTES; k = k + 1) begin
            word[9 * k +: PART] = memory[first[13:3] + k] >> first[2:0];
            for (j = 0; j < OTHER_BYTES; j = j + 1)
              if (other_writes && overlap && (OTHER_BYTES == 1 || other[j])
                  && first[13:3] + k == other_first[13:3] + j)
                word[9 * k +: PART] = {PART{1'bx}};
          end
          if (MODE == 2 || !write[p]) result <= word;
          if (write[p]) begin
            for (k = 0; k < BYTES; k = k + 1)
              if (BYTES == 1 || own[k]) begin
                memory[first[13:3] + k][first[2:0] +: PART] <= data[36 * p + 9 * k +: PART];
                word[9 * k +: PART] = data[36 * p + 9 * k +: PART];
              end
            if (MODE == 1) result <= word;
          end
        end
      endtask

      if (ASYNC) begin : asynchronous
        always @(posedge clk[p]) if (enable[p]) access;
        assign q[36 * p +: 36] = reset[p] ? 36'b0 : result;
        always @(posedge reset[p]) result <= 0;
      end else begin : synchronous
        always @(posedge clk[p]) begin
          if (enable[p]) access;
          if (reset[p]) result <= 0;
        end
        assign q[36 * p +: 36] = result;
      end
    end
  endgenerate
endmodule
