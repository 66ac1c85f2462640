# An overlay for Zynq-7000 with the core @NAME@ behind AXI DMA: @STEM@.bit and @STEM@.hwh, for PYNQ or any Linux.
#   vivado -mode batch -source @STEM@_design.tcl ?-tclargs PART MEGAHERTZ?
# Run it in this folder. Without arguments: the part of PYNQ-Z1 and Z2, 100 MHz. Written for Vivado 2022.1 and later;
# its commands are tested with Tcl, not with Vivado.
set part xc7z020clg400-1
set megahertz 100
if {$argc > 0} {set part [lindex $argv 0]}
if {$argc > 1} {set megahertz [lindex $argv 1]}

source @STEM@_package.tcl

create_project -force overlay vivado/overlay -part $part
set_property ip_repo_paths vivado/ip [current_project]
update_ip_catalog
create_bd_design overlay

# The processor's memory is set up by the board's boot loader.
create_bd_cell -type ip -vlnv xilinx.com:ip:processing_system7 ps
set_property -dict [list CONFIG.PCW_USE_M_AXI_GP0 1 CONFIG.PCW_USE_S_AXI_HP0 1 \
  CONFIG.PCW_EN_CLK0_PORT 1 CONFIG.PCW_EN_RST0_PORT 1 CONFIG.PCW_FPGA0_PERIPHERAL_FREQMHZ $megahertz] [get_bd_cells ps]
apply_bd_automation -rule xilinx.com:bd_rule:processing_system7 \
  -config {make_external "FIXED_IO, DDR" Master Disable Slave Disable} [get_bd_cells ps]
create_bd_cell -type ip -vlnv xilinx.com:ip:proc_sys_reset reset
create_bd_cell -type ip -vlnv hwquant:accelerators:@NAME@:1.0 core

# Simple mode: a transfer is one frame, or one result, and TLAST ends it. A beat takes a power of two of bytes in memory.
create_bd_cell -type ip -vlnv xilinx.com:ip:axi_dma dma
set_property -dict {CONFIG.c_include_sg 0 CONFIG.c_sg_length_width @LENGTH_BITS@
  CONFIG.c_m_axi_mm2s_data_width @FRAME_MEMORY_BITS@ CONFIG.c_m_axis_mm2s_tdata_width @FRAME_BITS@
  CONFIG.c_m_axi_s2mm_data_width @RESULT_MEMORY_BITS@ CONFIG.c_s_axis_s2mm_tdata_width @RESULT_BITS@} [get_bd_cells dma]

create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect control
set_property -dict {CONFIG.NUM_SI 1 CONFIG.NUM_MI 2} [get_bd_cells control]
create_bd_cell -type ip -vlnv xilinx.com:ip:smartconnect memory
set_property -dict {CONFIG.NUM_SI @MASTERS@ CONFIG.NUM_MI 1} [get_bd_cells memory]

@CONVERTERS@proc link {from to} {
  connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}
link ps/M_AXI_GP0 control/S00_AXI
link control/M00_AXI core/s_axi
link control/M01_AXI dma/S_AXI_LITE
link dma/M_AXI_MM2S memory/S00_AXI
link dma/M_AXI_S2MM memory/S01_AXI
@LINKS@link memory/M00_AXI ps/S_AXI_HP0

foreach pin {ps/M_AXI_GP0_ACLK ps/S_AXI_HP0_ACLK reset/slowest_sync_clk core/aclk dma/s_axi_lite_aclk
    dma/m_axi_mm2s_aclk dma/m_axi_s2mm_aclk control/aclk memory/aclk@CONVERTER_CLOCKS@} {
  connect_bd_net [get_bd_pins ps/FCLK_CLK0] [get_bd_pins $pin]
}
connect_bd_net [get_bd_pins ps/FCLK_RESET0_N] [get_bd_pins reset/ext_reset_in]
foreach pin {core/aresetn dma/axi_resetn control/aresetn memory/aresetn@CONVERTER_RESETS@} {
  connect_bd_net [get_bd_pins reset/peripheral_aresetn] [get_bd_pins $pin]
}
assign_bd_address
validate_bd_design
save_bd_design

add_files -norecurse [make_wrapper -files [get_files overlay.bd] -top]
set_property top overlay_wrapper [current_fileset]
update_compile_order -fileset sources_1
launch_runs impl_1
wait_on_run impl_1
open_run impl_1
report_timing_summary -file @STEM@_timing.rpt
report_utilization -file @STEM@_utilization.rpt
if {[get_property STATS.WNS [get_runs impl_1]] < 0} {
  error "the timing is not met at $megahertz MHz (@STEM@_timing.rpt): give a lower clock after the part"
}
write_bitstream -force @STEM@.bit
file copy -force vivado/overlay/overlay.gen/sources_1/bd/overlay/hw_handoff/overlay.hwh @STEM@.hwh
