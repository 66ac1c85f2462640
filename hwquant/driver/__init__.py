"""The host's driver: a board, or a simulated one, as a function from inputs to outputs."""

from hwquant.driver.device import Device, Identity, connect

__all__ = ["Device", "Identity", "connect"]
