  // A master of Wishbone that does what a driver does, with pauses at random.
  reg clk = 0;
  always #5 clk = ~clk;
  reg reset = 1;

  reg cyc = 0, we = 0;
  reg [3:0] adr = 0;
  reg [31:0] dat_w = 0;
  wire [31:0] dat_r;
  wire ack, err;

  task access(input [3:0] number, input writes, input [31:0] data);
    begin
      while (random[1]) @(posedge clk);
      adr <= #1 number;
      dat_w <= #1 data;
      we <= #1 writes;
      cyc <= #1 1;
      @(posedge clk);
      while (!(ack || err)) @(posedge clk);
      cyc <= #1 0;
      value = dat_r;
      if (err) failed("an access was refused");
      @(posedge clk);
    end
  endtask

  task read_register(input [3:0] number);
    access(number, 0, 0);
  endtask

  task write_register(input [3:0] number, input [31:0] data);
    access(number, 1, data);
  endtask

  integer frame, n, part;
  reg [32*((WORD+31)/32)-1:0] word;
  reg [32*((BEAT+31)/32)-1:0] beat;

  task run;
    begin
      running <= #1 1;
      write_register(STREAMS, 0);
      for (frame = 0; frame < FRAMES; frame = frame + 1) begin
        for (n = 0; n < BEATS; n = n + 1) begin
          beat = frames[frame*BEATS+n];
          value = 0;
          while (!value[0]) read_register(STREAMS);
          for (part = 0; part < (BEAT + 31) / 32; part = part + 1)
            write_register(n == BEATS - 1 ? LAST : FRAME, beat[32*part+:32]);
        end
        for (n = 0; n < WORDS; n = n + 1) begin
          value = 0;
          while (!value[1]) read_register(STREAMS);
          for (part = 0; part < (WORD + 31) / 32; part = part + 1) begin
            read_register(RESULT);
            word[32*part+:32] = value;
          end
          compare(word[WORD-1:0]);
        end
      end
    end
  endtask

  @NAME@ core (
    .clk(clk),
    .rst(reset),
    .cyc(cyc),
    .stb(cyc),
    .we(we),
    .adr(adr),
    .dat_w(dat_w),
    .dat_r(dat_r),
    .ack(ack),
    .err(err)
  );
