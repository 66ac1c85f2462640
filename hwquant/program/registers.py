"""The registers through which a host recognises, starts and watches the accelerator.

One table, from which gateware, driver, benches and the documents of a core are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from hwquant.errors import HwquantError

REGISTER_BITS = 32
"""Width of a register."""

IDENTITY = 0x48575131
"""ASCII "HWQ1"."""

VERSION = 1
"""Version of this table."""


@dataclass(frozen=True)
class RegisterField:
    """Bits of a register.

    Attributes
    ----------
    name : str
        Unique within its register.
    low : int
        Number of the lowest bit.
    width : int
        Number of bits.
    meaning : str
        What the field says, or does where it is written.
    writable : bool, default False
        Whether writes change the field; all fields can be read.
    """

    name: str
    low: int
    width: int
    meaning: str
    writable: bool = False

    @property
    def high(self) -> int:
        """Number of the highest bit."""
        return self.low + self.width - 1

    @property
    def mask(self) -> int:
        """Ones at the field's bits in the register's word."""
        return ((1 << self.width) - 1) << self.low


def _whole(name: str, meaning: str) -> RegisterField:
    return RegisterField(name, 0, REGISTER_BITS, meaning)


class RegisterTable(IntEnum):
    """Registers, as word addresses; bits that belong to no field read zero.

    Attributes
    ----------
    fields : tuple of RegisterField
        The register's fields, from the lowest bit up.
    """

    fields: tuple[RegisterField, ...]

    def __new__(cls, address: int, *fields: RegisterField) -> RegisterTable:
        """Make a member of its address and its fields."""
        member = int.__new__(cls, address)
        member._value_ = address
        member.fields = fields
        return member

    def field(self, name: str) -> RegisterField:
        """Find a field by its name.

        Raises
        ------
        HwquantError
            The register has no such field.
        """
        for field in self.fields:
            if field.name == name:
                return field
        raise HwquantError(f"the register {self.name} has no field {name!r}")

    def unpack(self, word: int) -> dict[str, int]:
        """Split a word that was read into values by name of field."""
        return {field.name: (word & field.mask) >> field.low for field in self.fields}

    def pack(self, **values: int) -> int:
        """Join values by name of field to a word; fields that are not named are 0.

        Raises
        ------
        HwquantError
            The register has no such field, or a value does not fit its field.
        """
        word = 0
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise HwquantError(f"{self.name}: {name} = {value} does not fit its {field.width} bits")
            word |= value << field.low
        return word

    @property
    def writable(self) -> bool:
        """Whether a write changes anything."""
        return any(field.writable for field in self.fields)


class Register(RegisterTable):
    """The registers of every accelerator."""

    IDENTITY = 0, _whole("identity", f"{IDENTITY:#x}, ASCII HWQ1: this is an hwquant accelerator")
    VERSION = 1, _whole("version", f"of these registers: {VERSION}")
    CHECKSUM = (
        2,
        _whole("checksum", "of the program in the memories, so that a driver refuses the wrong bitstream"),
    )
    CONTROL = (
        3,
        RegisterField(
            "start", 0, 1, "written 1: one inference may begin; reads 1 until it has begun", writable=True
        ),
        RegisterField(
            "repeat", 1, 1, "an inference may begin whenever none runs; set after reset", writable=True
        ),
    )
    STATUS = (
        4,
        RegisterField("busy", 0, 1, "an inference has begun, and waits for its frame or computes"),
        RegisterField("illegal", 1, 1, "an illegal instruction was met, and execution has stopped"),
        RegisterField("dropped", 8, 16, "input frames that were dropped because they ended early or late"),
    )
    CYCLES = (
        5,
        _whole(
            "cycles",
            "of the latest inference: from its last input word until its first output word may leave",
        ),
    )
    INFERENCES = 6, _whole("inferences", "finished ones")
    SHAPE = (
        7,
        RegisterField("rows", 0, 8, "of the array"),
        RegisterField("columns", 8, 8, "of the array"),
        RegisterField("lanes", 16, 8, "channels in a word of the activation memory, and of the results"),
        RegisterField("others", 24, 8, "arrays beside the first, which share its weights"),
    )
    LOAD = (
        8,
        _whole(
            "words",
            "of the weight memory that the host must send before an inference may begin; 0 once it has, and where the "
            "bitstream has the weights",
        ),
    )


class MemoryRegister(RegisterTable):
    """The registers of an accelerator with external memory, beside those that all have.

    Addresses between are left to what is around an accelerator on a bus.
    """

    MEMORY = (
        13,
        RegisterField(
            "error", 0, 1, "the memory has answered with an error since reset, or since this was written"
        ),
        RegisterField(
            *("page", 12, 20),
            "where the accelerator's part of the memory begins, in pages of 4 KiB; if the hardware does not know that "
            "from reset on, no inference begins before it is written",
            writable=True,
        ),
    )
    STALLED = (
        14,
        _whole(
            "stalled", "cycles, among those of the latest inference, in which instructions waited for moves"
        ),
    )
