
  // External memory: bursts of INCR, one read and one write at a time.
  localparam MEMORY = @MEMORY_BITS@, DEPTH = @MEMORY_DEPTH@, PAGE = 3;
  reg [MEMORY-1:0] memory[0:DEPTH-1];
  initial $readmemh("@STEM@_memory.hex", memory);

  wire [31:0] ar_addr, aw_addr;
  wire [7:0] ar_len, aw_len;
  wire ar_valid, aw_valid, w_valid, w_last, r_ready, b_ready;
  wire [MEMORY-1:0] w_data;
  reg [31:0] reading = 0, writing = 0;
  reg [8:0] left = 0;
  reg taking = 0, b_valid = 0;
  wire ar_ready = left == 0;
  wire r_valid = left != 0 && !random[3];
  wire r_last = left == 1;
  wire [MEMORY-1:0] r_data = memory[reading];
  wire aw_ready = !taking && !b_valid;
  wire w_ready = taking && !random[7];

  always @(posedge clk) begin
    if (ar_valid && ar_ready) begin
      reading <= #1 (ar_addr - PAGE * 4096) / (MEMORY / 8);
      left <= #1 ar_len + 1;
    end else if (r_valid && r_ready) begin
      reading <= #1 reading + 1;
      left <= #1 left - 1;
    end
    if (aw_valid && aw_ready) begin
      writing <= #1 (aw_addr - PAGE * 4096) / (MEMORY / 8);
      taking <= #1 1;
    end else if (w_valid && w_ready) begin
      memory[writing] <= #1 w_data;
      writing <= #1 writing + 1;
      if (w_last) begin
        taking <= #1 0;
        b_valid <= #1 1;
      end
    end
    if (b_valid && b_ready) b_valid <= #1 0;
  end
