"""Simulation of the generated hardware, and its comparison with the golden model."""

from hwquant.sim.simulators import SIMULATORS, simulate
from hwquant.sim.trace import Run, Stalls, Write

__all__ = ["SIMULATORS", "Run", "Stalls", "Write", "simulate"]
