"""The host's driver: a board, or a simulated one, as a function from inputs to outputs."""

from hwquant.driver.connection import Connection, Identity, connect

__all__ = ["Connection", "Identity", "connect"]
