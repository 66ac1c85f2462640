  // Frames and results move on the bare streams, with pauses at random.
  reg clk = 0;
  always #5 clk = ~clk;
  reg reset = 1;

  reg [BEAT-1:0] beat = 0;
  reg last = 0, valid = 0;
  wire ready;
  wire [WORD:0] result;  // the top bit ends a frame
  wire result_valid;
  reg result_ready = 0;
  reg [3:0] address = 0;
  reg write = 0;
  reg [31:0] write_data = 0;
  wire [31:0] read_data;

  task read_register(input [3:0] number);
    begin
      address <= #1 number;
      @(posedge clk);
      @(posedge clk);
      value = read_data;
    end
  endtask

  task write_register(input [3:0] number, input [31:0] data);
    begin
      address <= #1 number;
      write_data <= #1 data;
      write <= #1 1;
      @(posedge clk);
      write <= #1 0;
      @(posedge clk);
    end
  endtask

  @NAME@ core (
    .clk(clk),
    .rst(reset),
    .frames__payload({last, beat}),
    .frames__valid(valid),
    .frames__ready(ready),
    .results__payload(result),
    .results__valid(result_valid),
    .results__ready(result_ready),
    .bus__address(address),
    .bus__write(write),
    .bus__write_data(write_data),
    .bus__read_data(read_data)@MEMORY@
  );
