"""The register description, read back against the declarations, and what PeakRDL makes of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwquant.program.registers import MemoryRegister, Register
from hwquant.rtl_templates.ip_core import IP
from hwquant.rtl_templates.register_map import RESET, register_map
from hwquant.rtl_templates.wishbone import BusRegister


def test_every_field_is_where_the_gateware_has_it(tmp_path):
    systemrdl = pytest.importorskip("systemrdl")
    (tmp_path / "registers.rdl").write_text(register_map())
    compiler = systemrdl.RDLCompiler()
    compiler.compile_file(str(tmp_path / "registers.rdl"))
    found = {}
    for register in compiler.elaborate().top.registers():
        assert register.get_property("desc")
        for field in register.fields():
            access = field.is_sw_readable, field.is_sw_writable
            found[register.inst_name, field.inst_name] = (
                register.address_offset,
                field.low,
                field.high,
                access,
            )
            assert field.get_property("reset") == RESET.get(field.inst_name)
    expected = {
        (register.name, field.name): (4 * register, field.low, field.high, (True, field.writable))
        for register in (*Register, *MemoryRegister)
        for field in register.fields
    }
    for port in BusRegister:
        access = "read" in port.access, "write" in port.access
        if port.bits:
            expected |= {(port.name, name): (4 * port, n, n, access) for n, name in enumerate(port.bits)}
        else:
            expected[port.name, "data"] = (4 * port, 0, 31, access)
    assert found == expected


def test_the_files_that_go_along_are_up_to_date(tmp_path):
    """``make registers`` writes them."""
    assert (IP / "registers.rdl").read_text() == register_map()
    pytest.importorskip("peakrdl_cheader")
    pytest.importorskip("peakrdl_markdown")
    (tmp_path / "registers.rdl").write_text(register_map())
    peakrdl = Path(sys.executable).with_name("peakrdl")
    for arguments in (["c-header", "--std", "gnu99"], ["markdown"]):
        name = "registers.h" if arguments[0] == "c-header" else "registers.md"
        command = [peakrdl, *arguments, "registers.rdl", "-o", name]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert (tmp_path / name).read_text() == (IP / name).read_text()


def test_the_header_has_a_mask_for_every_field():
    header = (IP / "registers.h").read_text()
    for register in (*Register, *MemoryRegister):
        for field in register.fields:
            mask = re.search(rf"{register.name}__{field.name.upper()}_bm (\w+)", header)
            assert int(mask[1], 0) == field.mask
