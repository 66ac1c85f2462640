"""Simulation of the generated hardware, and its comparison with the golden model.

Names are loaded when they are first used, so that a command line may ask which simulators there are.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hwquant.sim.registry import BOARD_SIMULATORS, LICENSED, SIMULATORS, VERILOG_SIMULATORS

if TYPE_CHECKING:
    from hwquant.sim.simulators import simulate
    from hwquant.sim.trace import Run, Stalls, Write

_MODULES = {
    "simulate": "hwquant.sim.simulators",
    "Run": "hwquant.sim.trace",
    "Stalls": "hwquant.sim.trace",
    "Write": "hwquant.sim.trace",
}

__all__ = [
    "BOARD_SIMULATORS",
    "LICENSED",
    "SIMULATORS",
    "VERILOG_SIMULATORS",
    "Run",
    "Stalls",
    "Write",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'hwquant.sim' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
