"""The registers of all cores as one SystemRDL description, from the tables that gateware and driver are made of.

Beside it in ``ip/`` lies what PeakRDL makes of it, a C header and Markdown; ``make registers`` writes all three.
(Accellera, "SystemRDL 2.0 Register Description Language", 2018.)
"""

from hwquant.program.registers import (
    IDENTITY,
    REGISTER_BITS,
    VERSION,
    MemoryRegister,
    Register,
    RegisterField,
)
from hwquant.rtl_templates.wishbone import BusRegister

PITCH = REGISTER_BITS // 8
"""Bytes from a register to the next one."""

RESET = {"identity": IDENTITY, "version": VERSION, "repeat": 1, "start": 0}
"""What fields are after reset, as far as it is the same in every core."""

HEAD = """\
addrmap hwquant {
  name = "Registers of an hwquant core";
  desc = "Registers of 32 bits; what belongs to no field reads 0. On AXI4-Lite and for a processor on Wishbone the \
addresses are these, on the pins of Wishbone (adr) and of the bare accelerator (bus__address) a quarter of them.";
  default regwidth = 32;
  default accesswidth = 32;
  default hw = rw;
  default sw = r;
"""


def register_map() -> str:
    """Describe all registers that a core may have, in SystemRDL.

    Returns
    -------
    str
        An address map with byte addresses.
    """
    parts = [HEAD]
    parts += [_register(register.name, register, register.fields, "") for register in Register]
    parts += [_stream(register) for register in BusRegister]
    where = "Only with external memory; "
    parts += [_register(register.name, register, register.fields, where) for register in MemoryRegister]
    return "\n".join([*parts, "};\n"])


def _register(name: str, number: int, fields: tuple[RegisterField, ...], where: str) -> str:
    described = " ".join(f"{field.name}: {field.meaning}." for field in fields)
    lines = []
    for field in fields:
        properties = f"desc = {_quoted(field.meaning)};"
        if field.writable:
            properties += " sw = rw;"
        reset = f" = {RESET[field.name]:#x}" if field.name in RESET else ""
        lines.append(f"    field {{ {properties} }} {field.name}[{field.high}:{field.low}]{reset};")
    return _block(name, number, where + described, lines)


def _stream(register: BusRegister) -> str:
    """A register of Wishbone alone, whose accesses move what is in the streams."""
    access = {"read": "r", "write": "w", "read, write": "rw"}[register.access]
    names = [f"{name}[{bit}:{bit}]" for bit, name in enumerate(register.bits)] or ["data[31:0]"]
    lines = [f"    field {{ sw = {access}; }} {name};" for name in names]
    return _block(register.name, register, f"Only on Wishbone: {register.meaning}.", lines)


def _block(name: str, number: int, description: str, lines: list[str]) -> str:
    head, end = f"  reg {{\n    desc = {_quoted(description)};", f"  }} {name} @ {number * PITCH:#x};"
    return "\n".join([head, *lines, end])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
