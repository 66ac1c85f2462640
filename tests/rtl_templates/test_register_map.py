"""The register map, read back against the declarations."""

import re

import pytest

from hwquant.program.registers import Register
from hwquant.rtl_templates.ip_core import BUSES
from hwquant.rtl_templates.register_map import ADDRESSES, register_map
from hwquant.rtl_templates.wishbone import BusRegister

ROW = re.compile(r"\| (0x[0-9a-f]+) \| (\w+) \| (\d+)(?:\.\.(\d+))? \| (\w*) ?\| (.+?) \| (.+) \|")


@pytest.mark.parametrize("bus", BUSES)
def test_every_field_is_where_the_gateware_has_it(bus):
    text = register_map("mine", bus)
    assert text.startswith("# Registers of mine\n")
    rows = [ROW.fullmatch(line) for line in text.splitlines() if line.startswith("| 0x")]
    assert all(rows), text
    pitch = {"axi": 4, "wishbone": 1, "stream": 1}[bus]
    found = {}
    for address, register, high, low, field, access, meaning in (row.groups() for row in rows):
        assert meaning
        found[register, field] = (int(address, 16), int(low or high), int(high), access)
    expected = {
        (register.name, field.name): (
            register * pitch,
            field.low,
            field.high,
            "read, write" if field.writable else "read",
        )
        for register in Register
        for field in register.fields
    }
    if bus == "wishbone":
        expected |= {(port.name, ""): (int(port), 0, 31, port.access) for port in BusRegister}
    assert found == expected


def test_every_bus_has_its_addresses():
    assert set(ADDRESSES) == set(BUSES)


def test_registers_of_external_memory_are_described_where_there_is_one():
    assert "MEMORY" not in register_map("core", "axi")
    text = register_map("core", "axi", external=True)
    assert "| 0x34 | MEMORY | 31..12 | page | read, write |" in text
    assert "| 0x38 | STALLED | 31..0 |" in text
