"""The FPGA devices that boards carry: what is in them, and how their tools call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwquant.errors import Unsupported
from hwquant.program.config import ArrayConfig
from hwquant.program.sizing import DSP_OPERAND_BITS, OPERAND_BITS
from hwquant.rtl_templates.dsp import Platform, array_multipliers, blocks_of, platform_for


@dataclass(frozen=True)
class Device:
    """An FPGA.

    Attributes
    ----------
    name : as in "--target lfe5u-85f"
    family : ecp5, ice40, gowin or xilinx7; "generic" is no device at all
    luts, flip_flops : four-input look-up tables (six-input ones of Xilinx 7), flip-flops
    multipliers : DSP multipliers of 16x16 bits (ice40), 18x18 (ecp5, gowin: or two of 9x9) or 25x18 (xilinx7)
    rams : block RAMs of ``ram_bits`` bits
    large_rams, large_ram_bits : single-port RAMs that are not initialized by the bitstream (UP5K's SPRAM)
    arguments : what tells the family's place and route about the device
    series : how the family's other tools call it
    packages, speeds : what it comes in, as the tools write it; none where there is nothing to choose
    aliases : other names
    """

    name: str
    family: str
    luts: int
    flip_flops: int
    multipliers: int
    rams: int
    ram_bits: int
    large_rams: int = 0
    large_ram_bits: int = 0
    arguments: tuple[str, ...] = ()
    series: str = ""
    packages: tuple[str, ...] = ()
    speeds: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def resources(self) -> Mapping[str, int]:
        """Counts by the names that reports use; large RAMs only where there are such."""
        return {
            "lut": self.luts,
            "ff": self.flip_flops,
            "dsp": self.multipliers,
            "ram": self.rams,
            **({"large_ram": self.large_rams} if self.large_rams else {}),
        }

    @property
    def operand_bits(self) -> int:
        """Widest weight that one multiplier takes; of a generic device, what every family's does."""
        return OPERAND_BITS.get(self.family, DSP_OPERAND_BITS)

    def products(self, a_bits: int, b_bits: int) -> int | None:
        """Signed products of such widths that the DSP blocks hold; None where such products need no block."""
        each = blocks_of(self.family, a_bits, b_bits)
        return int(self.multipliers / each) if each else None

    def platform(self, config: ArrayConfig) -> Platform | None:
        """What an accelerator is told about this device: who gets a DSP block. None for a generic device."""
        if self.family == "generic":
            return None
        return platform_for(self.family, array_multipliers(config, self.family, self.multipliers))


_ECP5_SPEEDS, _ARTIX_SPEEDS = ("6", "7", "8"), ("1", "2", "3", "1L", "2L")
_SMALL_ECP5 = ("CABGA256", "CABGA381", "CSFBGA285", "TQFP144")

# Lattice FPGA-DS-02012 (ECP5), FPGA-DS-02008 (iCE40 UltraPlus); Gowin DS117 (GW1N(R)), DS226 (GW2A(R));
# AMD DS180 (7 series).
_DEVICES = (
    Device(
        "lfe5u-12f",
        "ecp5",
        *(24288, 24288, 28, 56, 18432),
        arguments=("--12k",),
        packages=_SMALL_ECP5,
        speeds=_ECP5_SPEEDS,
        aliases=("ecp5-12k",),
    ),
    Device(
        "lfe5u-25f",
        "ecp5",
        *(24288, 24288, 28, 56, 18432),
        arguments=("--25k",),
        packages=_SMALL_ECP5,
        speeds=_ECP5_SPEEDS,
        aliases=("ecp5-25k",),
    ),
    Device(
        "lfe5u-45f",
        "ecp5",
        *(43848, 43848, 72, 108, 18432),
        arguments=("--45k",),
        packages=("CABGA256", "CABGA381", "CABGA554", "CSFBGA285", "TQFP144"),
        speeds=_ECP5_SPEEDS,
        aliases=("ecp5-45k",),
    ),
    Device(
        "lfe5u-85f",
        "ecp5",
        *(83640, 83640, 156, 208, 18432),
        arguments=("--85k",),
        packages=("CABGA381", "CABGA554", "CABGA756", "CSFBGA285"),
        speeds=_ECP5_SPEEDS,
        aliases=("ecp5-85k",),
    ),
    Device(
        "ice40up5k",
        "ice40",
        *(5280, 5280, 8, 30, 4096),
        large_rams=4,
        large_ram_bits=262144,
        arguments=("--up5k",),
        packages=("sg48", "uwg30"),
        aliases=("ice40-up5k",),
    ),
    Device(
        "gw1nr-9",
        "gowin",
        *(8640, 6480, 20, 26, 18432),
        arguments=("--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C"),
        series="GW1N-9C",
        packages=("QN88P",),
        speeds=("C6/I5",),
        aliases=("gw1n-9",),
    ),
    Device(
        "gw2ar-18",
        "gowin",
        *(20736, 15552, 48, 46, 18432),
        arguments=("--device", "GW2AR-LV18QN88C8/I7", "--vopt", "family=GW2A-18C"),
        series="GW2A-18C",
        packages=("QN88",),
        speeds=("C8/I7",),
        aliases=("gw2a-18",),
    ),
    Device("generic", "generic", 0, 0, 0, 0, 0),
    Device(
        "xc7a35t",
        "xilinx7",
        *(20800, 41600, 90, 50, 36864),
        packages=("cpg236", "csg324", "csg325", "fgg484", "ftg256"),
        speeds=_ARTIX_SPEEDS,
    ),
    Device(
        "xc7a100t",
        "xilinx7",
        *(63400, 126800, 240, 135, 36864),
        packages=("csg324", "fgg484", "fgg676", "ftg256"),
        speeds=_ARTIX_SPEEDS,
    ),
)

DEVICES: Mapping[str, Device] = {name: item for item in _DEVICES for name in (item.name, *item.aliases)}
"""By name and by alias."""


def find_device(name: str) -> Device:
    """A device by one of its names.

    Raises
    ------
    Unsupported : there is no such device; says which there are
    """
    if name not in DEVICES:
        raise Unsupported(f"there is no device {name!r}; there are {', '.join(sorted(DEVICES))}")
    return DEVICES[name]
