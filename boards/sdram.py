"""The SDRAM of a board: its chip, and the pins that it is at.

::

    [memory]
    chip = "MT48LC16M16A2-75"                       # those of hwquant.rtl_templates.sdram_chips
    attributes = {IO_TYPE = "LVCMOS33"}             # of all its pins

    [memory.pins]                                   # locations, those of buses from bit 0 on
    clock = "F19"
    bank = "P19 N20"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwquant.boards.families.constraints import Pin
from hwquant.boards.families.family import Family
from hwquant.boards.fields import Field, anything, check, listed, shown, text
from hwquant.boards.pins import check_pin
from hwquant.errors import DoesNotFit, HwquantError, Unsupported
from hwquant.program.config import ArrayConfig
from hwquant.program.external import ExternalMemory
from hwquant.rtl_templates.sdram import sdram_timings
from hwquant.rtl_templates.sdram_chips import SDRAMS, SdramChip

_FIELDS: Mapping[str, Field] = {
    "chip": anything(str, "a text", required=True),
    "attributes": anything(dict, 'a table, such as {IO_TYPE = "LVCMOS33"}'),
    "pins": anything(dict, "a table", required=True),
}
PREFIX = "sdram_"
"""How the functions of its pins, which are ports of the board's top, begin."""
CLOCKS = 2
"""A controller is good for its clock and those down to this part of it, so that a clock can be lowered by routing."""
WIRED = ("clock_enable", "cs_n", "mask")
"""Signals that boards may have wired to the level that they need all the time."""
_PIN = "[A-Z]{0,3}[0-9]{1,3}[A-Z]?"
_LOCATIONS = "locations of pins with a space between, such as "


@dataclass(frozen=True)
class BoardMemory:
    """The SDRAM of a board.

    Attributes
    ----------
    name : str
        Name of the chip.
    chip : SdramChip
        The chip.
    pins : mapping of str to Pin
        Pins by signal, the bits of buses with their number: ``sdram_clock``, ``sdram_address_0``, ...
    """

    name: str
    chip: SdramChip
    pins: Mapping[str, Pin]

    def external(self, hertz: float) -> ExternalMemory:
        """What the compiler may reckon with at a clock: the slowest, and the quickest, that the memory is.

        Raises
        ------
        Unsupported
            The chip does not bear the clock.
        """
        quickest, slowest = sdram_timings(self.chip, hertz, hertz / CLOCKS)
        return ExternalMemory(self.chip.data_bits, self.chip.size, slowest, quickest)

    def check(self, config: ArrayConfig, board: str) -> None:
        """Check that the memory is one that an accelerator has been made for.

        Raises
        ------
        Unsupported
            Its port is wider or narrower than the chip.
        DoesNotFit
            It needs more.
        """
        bits, size = self.chip.data_bits, 1 << config.external_address_bits
        if config.external_bits != bits:
            raise Unsupported(
                f"the network is compiled for an external memory of {config.external_bits} bits, that of {board} has "
                f"{bits}; compile it for {bits}",
                where=board,
            )
        if size > self.chip.words:
            raise DoesNotFit(
                f"the network needs {size * bits // 8} bytes of external memory, {board} has {self.chip.size}; take "
                "another board, or smaller inputs",
                resource="external memory",
                needed=size * bits // 8,
                available=self.chip.size,
                remedy="another board, or smaller inputs",
            )


def no_memory(board: str, ddr: str) -> str:
    """What to say of a board that has no memory described, but perhaps a kind of DDR, where one is needed."""
    if ddr:
        return (
            f"the {ddr} of the board {board} must be trained, and hwquant has no controller that does: put a core "
            "with an AXI4 port (hwquant compile --external axi128, hwquant core --bus axi) behind one of LiteDRAM or "
            "the vendor"
        )
    return f"the board {board} has no memory that hwquant knows"


def widths(chip: SdramChip) -> dict[str, int]:
    """Count the pins of a chip's signals."""
    single = dict.fromkeys(("clock", "clock_enable", "cs_n", "ras_n", "cas_n", "we_n"), 1)
    buses = {"bank": chip.bank_bits, "address": chip.address_bits}
    return single | buses | {"mask": chip.data_bits // 8, "data": chip.data_bits}


def read_memory(item: object, family: Family | None, where: str) -> BoardMemory:
    """Read the table ``memory`` of a board file.

    Parameters
    ----------
    item : object
        Value in the file.
    family : Family or None
        Family of the board's device; None where it has none.
    where : str
        The file and the place in it, with which messages begin.

    Raises
    ------
    HwquantError
        A field is missing, unknown or does not fit; there is no such chip; a signal has too many or too few pins.
    """
    table = check(item, _FIELDS, where)
    chip = SDRAMS.get(table["chip"])
    if chip is None:
        raise Unsupported(
            f"{where}: chip {shown(table['chip'])} is none of {listed(SDRAMS)}; use one that is no faster",
            where=where,
        )
    counts = widths(chip)
    fields = {
        name: text(
            f"{_PIN}( {_PIN}){{{count - 1}}}",
            f"{count} {_LOCATIONS}{' '.join(['G2', 'H3'][:count])!r}",
            required=name not in WIRED,
        )
        for name, count in counts.items()
    }
    places = check(table["pins"], fields, f"{where}: pins", "signal")
    attributes, pins = table.get("attributes", {}), dict[str, Pin]()
    for name, locations in places.items():
        for bit, location in enumerate(locations.split(" ")):
            function = f"{PREFIX}{name}" + (f"_{bit}" if counts[name] > 1 else "")
            pins[function] = check_pin(
                location, attributes, False, function, family, f"{where}: pin {function}"
            )
    if family is None:
        raise HwquantError(f"{where}: a board without a device has no memory; leave it out")
    return BoardMemory(table["chip"], chip, pins)
