"""What an accelerator takes of a device, without synthesis.

DSP blocks and block RAMs follow the rules of synthesis and are exact (:mod:`hwquant.boards.memories`,
:mod:`hwquant.rtl_templates.dsp`). LUTs and flip-flops are features of the RTL (:mod:`hwquant.boards.features`) times
what one of each costs on a family. These coefficients are least squares of relative errors over synthesized
configurations: ``benchmarks/resource_model.py`` makes them, and measures the errors on others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hwquant.boards.contents import Contents, core_memories, link_memories
from hwquant.boards.families.family import Device, Family
from hwquant.boards.features import features
from hwquant.boards.large_ram import large_rams, weight_memory, weights_in_large_ram
from hwquant.boards.memories import mapped
from hwquant.errors import Unsupported
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.dsp import array_multipliers, blocks_elsewhere, blocks_of

NAMES = ("lut", "ff", "dsp", "ram", "large_ram")


@dataclass(frozen=True)
class Resources:
    """Counts, as :class:`~hwquant.boards.families.family.Device` has them.

    LUTs, flip-flops, DSP multipliers, block RAMs, and large RAMs that the bitstream does not fill.
    """

    lut: int
    ff: int
    dsp: int
    ram: int
    large_ram: int = 0


def estimate_resources(
    config: ArrayConfig, device: Device, *, link: bool, contents: Contents | None = None
) -> Resources:
    """What synthesis will count, estimated in a millisecond.

    Parameters
    ----------
    config : the accelerator
    device : products beyond its DSP blocks are LUTs
    link : with what a board's top has besides: UART and link executor
    contents : bits of the read-only memories that are hardware at all (:meth:`Contents.of_program`); None: all

    Raises
    ------
    Unsupported : nothing is known of the device's family
    """
    coefficients = _model()["coefficients"].get(device.family.name)
    if coefficients is None:
        raise Unsupported(f"there is no resource model of {device.name}", where=device.name)
    contents = contents or Contents.of(config)
    loadable = weights_in_large_ram(config, device)
    multipliers = array_multipliers(config, device.family.dsp, device.multipliers)
    parts = features(config, device.family, multipliers, link=link, contents=contents, loadable=loadable)
    sums = dict.fromkeys(coefficients, 0.0)
    for part, found in parts.items():
        for kind in sums:
            factors = coefficients[kind].get(part, {})
            for name, value in getattr(found, kind).items():
                sums[kind] += value * (1.0 if name == "known" else factors.get(name, 0.0))
    return Resources(
        lut=round(sums["lut"]),
        ff=round(sums["ff"]),
        dsp=dsp_blocks(config, device),
        ram=block_rams(config, device, link=link, contents=contents),
        large_ram=large_rams(weight_memory(config), device) if loadable else 0,
    )


def dsp_blocks(config: ArrayConfig, device: Device) -> int:
    """DSP multipliers: exact."""
    dsp = device.family.dsp
    found = array_multipliers(config, dsp, device.multipliers)
    elements = config.rows * config.columns
    total = blocks_elsewhere(config, dsp)
    total += min(found, elements) * blocks_of(dsp, config.activation_bits, config.operand_bits)
    total += max(0, found - elements) * blocks_of(dsp, config.input_sum_bits, config.operand_bits)
    return math.ceil(total)


def block_rams(config: ArrayConfig, device: Device, *, link: bool, contents: Contents | None = None) -> int:
    """Block RAMs: exact."""
    loadable = weights_in_large_ram(config, device)
    memories = core_memories(config, contents or Contents.of(config), loadable=loadable)
    return math.ceil(sum(mapped(memory, device.family).blocks for memory in memories + link_memories(link)))


def model_errors(family: Family) -> Mapping[str, Mapping[str, float]]:
    """The model's relative errors on configurations that it was not fitted to: "median" and "worst", by resource."""
    return dict(_model()["errors"].get(family.name, {}))


@cache
def _model() -> dict[str, Any]:
    text = resources.files("hwquant.boards").joinpath("resources.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
