"""SDR SDRAM chips: how large they are, and the times of their data sheets."""

import math
from dataclasses import dataclass

from hwquant.errors import Unsupported

MODE_CYCLES = 2
"""Cycles from LOAD MODE REGISTER to the next command (tMRD), of all chips (JEDEC 21-C, 3.11.5)."""
REFRESHES = 8
"""Refreshes between power-up and LOAD MODE REGISTER: the most that a data sheet asks for."""


@dataclass(frozen=True)
class SdramChip:
    """An SDR SDRAM; times are in ns, by the names that data sheets have for them.

    Attributes
    ----------
    data_bits : int
        Width of its data.
    row_bits, column_bits : int
        Bits of a row's and of a column's address.
    t_rp : float
        PRECHARGE to ACTIVE or REFRESH of the bank.
    t_rcd : float
        ACTIVE to READ or WRITE.
    t_ras : float
        ACTIVE to PRECHARGE, at least.
    t_rc : float
        ACTIVE to ACTIVE of the bank.
    t_rfc : float
        REFRESH to any other command.
    t_wr : float
        Last data that is written to PRECHARGE of the bank.
    t_rrd : float
        ACTIVE to ACTIVE of another bank.
    t_refi : float
        REFRESH to REFRESH, on average.
    bank_bits : int, default 2
        Bits of a bank's address.
    power_up : float, default 200_000
        From stable clock and supply to the first command.
    cas : tuple of (int, float), default ((2, 100e6), (3, 133e6))
        CAS latencies in cycles, each with the fastest clock in Hz that it is good for, in ascending order.
    """

    data_bits: int
    row_bits: int
    column_bits: int
    t_rp: float
    t_rcd: float
    t_ras: float
    t_rc: float
    t_rfc: float
    t_wr: float
    t_rrd: float
    t_refi: float
    bank_bits: int = 2
    power_up: float = 200_000
    cas: tuple[tuple[int, float], ...] = ((2, 100e6), (3, 133e6))

    @property
    def address_bits(self) -> int:
        """Bits of the address pins."""
        return max(self.row_bits, self.column_bits, 11)

    @property
    def words(self) -> int:
        """Words of ``data_bits`` bits."""
        return 1 << self.bank_bits + self.row_bits + self.column_bits

    @property
    def size(self) -> int:
        """Bytes."""
        return self.words * self.data_bits // 8

    def cycles(self, time: float, hertz: float) -> int:
        """Count the cycles of a clock that last at least a time in ns."""
        return math.ceil(time * hertz / 1e9 - 1e-6)

    def refresh_cycles(self, hertz: float) -> int:
        """Count the cycles of a clock from a refresh to the next one, rounded down."""
        return int(self.t_refi * hertz / 1e9 + 1e-6)

    def cas_latency(self, hertz: float) -> int:
        """The CAS latency in cycles at a clock.

        Raises
        ------
        Unsupported
            The chip does not bear the clock.
        """
        for latency, most in self.cas:
            if hertz <= most * (1 + 1e-9):
                return latency
        raise Unsupported(
            f"the SDRAM bears {self.cas[-1][1] / 1e6:g} MHz, not {hertz / 1e6:g} MHz; ask for another clock"
        )


SDRAMS = {
    "MT48LC16M16A2-75": SdramChip(16, 13, 9, 20, 20, 44, 66, 66, 15, 15, 64e6 / 8192),
    "IS42S16160G-7": SdramChip(16, 13, 9, 15, 15, 37, 60, 60, 14, 14, 64e6 / 8192),
    "M12L64322A-5T": SdramChip(32, 11, 8, 15, 15, 40, 55, 55, 10, 10, 64e6 / 4096),
    "GW2AR-18": SdramChip(32, 11, 8, 21, 21, 49, 70, 70, 15, 14, 64e6 / 4096),
}
"""Chips by name: Micron 256Mb SDR SDRAM, ISSI IS42S16160G, ESMT M12L64322A, and the one in the package of a GW2AR-18.

Gowin (DS226) says how large that one is and how often it is refreshed, but no times: these are slow ones of such chips.
"""
