// Checks the core @NAME@ by itself: registers, the results of @FRAMES@ frames, and cycles.
//
//   $ iverilog -g2012 -o @STEM@_tb @STEM@.v @STEM@_tb.v && vvp -n @STEM@_tb
//   $ verilator --binary -Wno-fatal -Wno-lint --top-module @STEM@_tb @STEM@.v @STEM@_tb.v && obj_dir/V@STEM@_tb
//
// It ends with PASS, or with FAIL and another exit status than 0. The hex files lie where it is started: a beat or a
// word a line, and in @STEM@_mask.hex the bits of a result that belong to a channel.
// Everything that is driven changes a unit of time after the edge, whatever the simulator makes of clocks inside the core.
module @STEM@_tb;
  localparam FRAMES = @FRAMES@, BEATS = @BEATS@, BEAT = @BEAT@, WORDS = @WORDS@, WORD = @WORD@;
  localparam BEAT_BYTES = (BEAT + 7) / 8, WORD_BYTES = (WORD + 7) / 8;
  localparam RESULT_LAST = @RESULT_LAST@;
  localparam [31:0] CYCLES = @CYCLES@;  // of an inference
@REGISTERS@
  reg [BEAT-1:0] frames[0:FRAMES*BEATS-1];
  reg [WORD-1:0] expected[0:FRAMES*WORDS-1];
  reg [WORD-1:0] mask[0:WORDS-1];
  initial begin
    $readmemh("@STEM@_frames.hex", frames);
    $readmemh("@STEM@_results.hex", expected);
    $readmemh("@STEM@_mask.hex", mask);
  end

  integer received = 0;
  reg running = 0;
  reg [31:0] value = 0;
  reg [15:0] random = 16'hACE1;

  task failed(input [8*48-1:0] what);
    begin
      $display("FAIL: %0s (result %0d)", what, received);
      $fatal(0);
    end
  endtask

  task compare(input [WORD-1:0] word);
    begin
      if ((word & mask[received%WORDS]) !== (expected[received] & mask[received%WORDS])) begin
        $display("word %0d of frame %0d is %h, expected %h", received % WORDS, received / WORDS, word, expected[received]);
        failed("a result is wrong");
      end
      received = received + 1;
    end
  endtask

@BUS@
  always @(posedge clk) random <= #1 {random[14:0], random[15] ^ random[13] ^ random[12] ^ random[10]};

  initial begin
    repeat (5) @(posedge clk);
    reset <= #1 0;
    repeat (5) @(posedge clk);
    read_register(IDENTITY);
    if (value !== 32'h@IDENTITY@) failed("IDENTITY is of something else");
    read_register(CHECKSUM);
    if (value !== 32'h@CHECKSUM@) failed("CHECKSUM is of another program");
@START@    run;
    repeat (20) @(posedge clk);
    read_register(INFERENCES);
    if (value !== FRAMES) failed("INFERENCES is wrong");
    read_register(CYCLES_OF_LATEST);
    $display("%0d cycles", value);
    if (CYCLES != 0 && value !== CYCLES) failed("CYCLES is wrong");
    $display("PASS: %0d results of %0d frames", received, FRAMES);
    $finish;
  end

  initial begin
    repeat (@LIMIT@) @(posedge clk);
    failed("it takes too long");
  end
endmodule
