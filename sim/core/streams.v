
  integer sent = 0;

  always @(posedge clk)
    if (running && (!valid || ready)) begin
      valid <= #1 sent < FRAMES * BEATS && !random[0];
      if (sent < FRAMES * BEATS && !random[0]) begin
        beat <= #1 frames[sent];
        last <= #1 sent % BEATS == BEATS - 1;
        sent <= #1 sent + 1;
      end
    end

  always @(posedge clk) begin
    result_ready <= #1 running && !random[5];
    if (result_valid && result_ready) begin
      compare(result[WORD-1:0]);
      if (result[RESULT_LAST] !== (received % WORDS == 0)) failed("a result does not end where it should");
    end
  end

  task run;
    begin
      running <= #1 1;
      while (received < FRAMES * WORDS) @(posedge clk);
    end
  endtask
