# Packages the core @NAME@ as an IP for Vivado's catalog, in the folder vivado/ip:
#   vivado -mode batch -source @STEM@_package.tcl ?-tclargs PART?
# Run it in this folder. Written for Vivado 2022.1 and later; its commands are tested with Tcl, not with Vivado.
if {![info exists part]} {
  set part xc7z020clg400-1
  if {$argc > 0} {set part [lindex $argv 0]}
}

create_project -force package vivado/package -part $part
add_files -norecurse @VERILOG@
set_property top @NAME@ [current_fileset]
update_compile_order -fileset sources_1

# Interfaces are recognised by the names of their ports: s_axi, s_axis, m_axis@MEMORY_NAMED@, aclk, aresetn.
ipx::package_project -root_dir vivado/ip -vendor hwquant -library accelerators -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property name @NAME@ $core
set_property version 1.0 $core
set_property core_revision @REVISION@ $core
set_property display_name "@NAME@: neural network accelerator" $core
set_property description "@ROWS@x@COLUMNS@ array, program @CHECKSUM@" $core
foreach bus {@BUSES@} {
  ipx::associate_bus_interfaces -busif $bus -clock aclk $core
}
# A page of the address map; registers repeat in it.
set blocks [ipx::get_address_blocks -of_objects [ipx::get_memory_maps s_axi -of_objects $core]]
set_property range 4096 $blocks
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity $core
ipx::save_core $core
close_project
