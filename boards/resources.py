"""What an accelerator takes of a device, without synthesis.

DSP blocks and block RAMs follow the rules of synthesis and are exact (:mod:`hwquant.boards.memories`,
:mod:`hwquant.rtl_templates.dsp`). LUTs and flip-flops are features of the RTL (:mod:`hwquant.boards.features`) times
what one of each costs on a family. These coefficients are least squares of relative errors over synthesized
configurations: ``benchmarks/resource_model.py`` makes them, and measures the errors on others. Cells are LUTs and what
place and route adds to them (:mod:`hwquant.boards.packing`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from hwquant.boards.contents import Contents
from hwquant.boards.families.family import Device, Family
from hwquant.boards.features import Features, facts_for, features_of
from hwquant.boards.large_ram import large_rams, weight_memory, weights_in_large_ram
from hwquant.boards.pins import LinkKind
from hwquant.errors import Unsupported
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.facts import KNOWN

UNFITTED = {"lut": 0.0, "ff": 1.0}
"""Cost of a bit of what the fit has not seen: registers are counted, logic is too various for a guess."""


@dataclass(frozen=True)
class Resources:
    """What an accelerator takes of a device.

    Resources are counted as those of a :class:`~hwquant.boards.families.family.Device`.

    Attributes
    ----------
    lut : int
        Number of LUTs.
    ff : int
        Number of flip-flops.
    dsp : int
        Number of DSP multipliers.
    ram : int
        Number of block RAMs.
    large_ram : int
        Number of large RAMs, which the bitstream does not fill.
    cell : int
        Number of cells that place and route packs them in; 0 where no open tool does.
    """

    lut: int
    ff: int
    dsp: int
    ram: int
    large_ram: int = 0
    cell: int = 0


def estimate_resources(
    config: ArrayConfig,
    device: Device,
    *,
    link: bool,
    contents: Contents | None = None,
    kind: LinkKind = "uart",
) -> Resources:
    """Estimate in a millisecond what synthesis will count.

    Parameters
    ----------
    config : ArrayConfig
        Configuration of the accelerator.
    device : Device
        The FPGA; products beyond its DSP blocks become LUTs.
    link : bool
        Whether to count what a board's top has besides: the link and its executor.
    contents : Contents or None, optional
        Bits of the read-only memories that are hardware at all (:meth:`Contents.of_program`); None for all of them.
    kind : {"uart", "usb", "ethernet"}
        The link.

    Raises
    ------
    Unsupported
        No coefficients were fitted for the device's family.
    """
    coefficients = resource_model()["coefficients"].get(device.family.name)
    if coefficients is None:
        raise Unsupported(f"there is no resource model of {device.name}", where=device.name)
    contents = contents or Contents.of(config)
    parts = features_of(facts_for(config, device, link=link, kind=kind), config, device.family, contents)
    sums = dict.fromkeys(coefficients, 0.0)
    for part, found in parts.items():
        for kind in sums:
            factors = {**coefficients[kind].get(part, {}), KNOWN: 1.0}
            for name, value in getattr(found, kind).items():
                sums[kind] += value * factors.get(name, UNFITTED[kind])
    lut, ff = round(sums["lut"]), round(sums["ff"])
    beside = resource_model()["cells"].get(device.family.name)
    added = beside and sum(beside[name] * value for name, value in cell_features(parts, ff).items())
    return Resources(
        lut=lut,
        ff=ff,
        dsp=math.ceil(sum(found.dsp for found in parts.values())),
        ram=math.ceil(sum(found.ram for found in parts.values())),
        large_ram=large_rams(weight_memory(config), device) if weights_in_large_ram(config, device) else 0,
        cell=0 if added is None else lut + round(added),
    )


def cell_features(parts: Mapping[str, Features], flip_flops: int) -> dict[str, float]:
    """What place and route adds cells for, beside the LUTs: carry chains, distributed RAMs, flip-flops."""
    return {
        "chains": sum(part.chains for part in parts.values()),
        "distributed": sum(part.distributed for part in parts.values()),
        "ff": float(flip_flops),
    }


def model_errors(family: Family) -> Mapping[str, Mapping[str, float]]:
    """The model's relative errors, "median" and "worst" by resource, where it was not fitted."""
    return dict(resource_model()["errors"].get(family.name, {}))


@cache
def resource_model() -> dict[str, Any]:
    """The fitted ``coefficients``, ``cells`` and their ``errors``, each by family, from ``boards/resources.json``."""
    text = resources.files("hwquant.boards").joinpath("resources.json").read_text(encoding="utf-8")
    return dict(json.loads(text))
