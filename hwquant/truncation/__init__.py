"""Truncation to fixed point, with parity tested operator by operator."""

from hwquant.truncation.parity import Error, LayerParity, OperatorParity, ParityReport
from hwquant.truncation.truncate import Truncation, truncate

__all__ = ["Error", "LayerParity", "OperatorParity", "ParityReport", "Truncation", "truncate"]
