  // Frames and results move on AXI4-Stream, with pauses at random; registers are behind AXI4-Lite.
  reg clk = 0;
  always #5 clk = ~clk;
  reg reset = 1;

  reg [BEAT-1:0] beat = 0;
  reg last = 0, valid = 0;
  wire ready;
  wire [WORD_BYTES*8:0] result;  // the top bit ends a frame
  wire result_valid;
  reg result_ready = 0;
  wire [BEAT_BYTES*8-1:0] tdata = beat;

  reg [5:0] awaddr = 0, araddr = 0;
  reg awvalid = 0, wvalid = 0, bready = 0, arvalid = 0, rready = 0;
  wire awready, wready, bvalid, arready, rvalid;
  wire [1:0] bresp, rresp;
  reg [31:0] wdata = 0;
  wire [31:0] rdata;

  task read_register(input [3:0] number);
    begin
      araddr <= #1 {number, 2'b00};
      arvalid <= #1 1;
      @(posedge clk);
      while (!(arvalid && arready)) @(posedge clk);
      arvalid <= #1 0;
      rready <= #1 1;
      @(posedge clk);
      while (!(rvalid && rready)) @(posedge clk);
      rready <= #1 0;
      value = rdata;
      if (rresp != 0) failed("a register cannot be read");
      @(posedge clk);
    end
  endtask

  task write_register(input [3:0] number, input [31:0] data);
    begin
      awaddr <= #1 {number, 2'b00};
      wdata <= #1 data;
      awvalid <= #1 1;
      wvalid <= #1 1;
      @(posedge clk);
      while (!(awvalid && awready && wready)) @(posedge clk);
      awvalid <= #1 0;
      wvalid <= #1 0;
      bready <= #1 1;
      @(posedge clk);
      while (!(bvalid && bready)) @(posedge clk);
      bready <= #1 0;
      if (bresp != 0) failed("a register cannot be written");
      @(posedge clk);
    end
  endtask

  @NAME@ core (
    .aclk(clk),
    .aresetn(!reset),
    .s_axi_awaddr(awaddr),
    .s_axi_awprot(3'b000),
    .s_axi_awvalid(awvalid),
    .s_axi_awready(awready),
    .s_axi_wdata(wdata),
    .s_axi_wstrb(4'b1111),
    .s_axi_wvalid(wvalid),
    .s_axi_wready(wready),
    .s_axi_bresp(bresp),
    .s_axi_bvalid(bvalid),
    .s_axi_bready(bready),
    .s_axi_araddr(araddr),
    .s_axi_arprot(3'b000),
    .s_axi_arvalid(arvalid),
    .s_axi_arready(arready),
    .s_axi_rdata(rdata),
    .s_axi_rresp(rresp),
    .s_axi_rvalid(rvalid),
    .s_axi_rready(rready),
    .s_axis_tdata(tdata),
    .s_axis_tkeep({BEAT_BYTES{1'b1}}),
    .s_axis_tlast(last),
    .s_axis_tvalid(valid),
    .s_axis_tready(ready),
    .m_axis_tdata(result[WORD_BYTES*8-1:0]),
    .m_axis_tlast(result[WORD_BYTES*8]),
    .m_axis_tvalid(result_valid),
    .m_axis_tready(result_ready)@MEMORY@
  );
