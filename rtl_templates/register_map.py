"""The documentation of a core's registers, from the tables that gateware and driver are made of."""

from hwquant.program.registers import MemoryRegister, Register, RegisterField
from hwquant.rtl_templates.wishbone import BusRegister

ADDRESSES = {
    "axi": ("byte address", 4),
    "wishbone": ("word address (ADR)", 1),
    "stream": ("bus__address", 1),
}
"""What addresses a register, and how far two registers are apart, by bus."""


def register_map(name: str, bus: str, *, external: bool = False) -> str:
    """Describe registers and their fields in Markdown.

    Parameters
    ----------
    name : str
        Name of the core's module.
    bus : str
        A key of :data:`~hwquant.rtl_templates.ip_core.BUSES`.
    external : bool, default False
        Whether there is external memory.

    Returns
    -------
    str
        A heading, and a table with a row for each field.
    """
    title, pitch = ADDRESSES[bus]
    lines = [
        f"# Registers of {name}",
        "",
        "Each has 32 bits; those that are not named read 0.",
        "",
        f"| {title} | register | bits | field | access | meaning |",
        "|---|---|---|---|---|---|",
    ]
    for register in (*Register, *(MemoryRegister if external else ())):
        for field in register.fields:
            access = "read, write" if field.writable else "read"
            cells = (
                f"{register * pitch:#04x}",
                register.name,
                _bits(field),
                field.name,
                access,
                field.meaning,
            )
            lines.append(f"| {' | '.join(cells)} |")
    if bus == "wishbone":
        lines += (
            f"| {port:#04x} | {port.name} | 31..0 | | {port.access} | {port.meaning} |"
            for port in BusRegister
        )
    return "\n".join(lines) + "\n"


def _bits(field: RegisterField) -> str:
    return str(field.low) if field.width == 1 else f"{field.high}..{field.low}"
