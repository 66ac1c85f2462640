"""Which of an accelerator's products get the DSP blocks of a device."""

from __future__ import annotations

from functools import cache

from hwquant.boards.clock_estimate import FREE
from hwquant.boards.contents import block_rams
from hwquant.boards.families.family import Device
from hwquant.boards.large_ram import weights_in_large_ram
from hwquant.program.config import ArrayConfig
from hwquant.rtl_templates.core import Accelerator
from hwquant.rtl_templates.dsp import DspBudget


@cache
def dsp_budget(config: ArrayConfig, device: Device) -> DspBudget:
    """The budget of an accelerator on a device.

    Where block RAMs and DSP blocks stand side by side, a device that is full of both is slow, or is not routed at all:
    where some products are made of look-up tables in any case, more of them are
    (:attr:`~hwquant.boards.families.family.Family.crowded`).

    Parameters
    ----------
    config : ArrayConfig
        Configuration of the accelerator.
    device : Device
        The FPGA.
    """
    dsp, crowded = device.family.dsp, device.family.crowded
    budget = DspBudget.share(config, dsp, device.multipliers)
    alike = budget.multipliers is None or budget.multipliers >= config.arrays * config.rows * config.columns
    if crowded is None or alike:
        return budget
    loadable = weights_in_large_ram(config, device)
    rams = block_rams(Accelerator.facts(config, budget, loadable=loadable), config, device.family)
    crowd = max(0.0, rams / device.rams - FREE)
    return DspBudget.share(config, dsp, int(device.multipliers * max(0.0, 1 - crowded * crowd)))
