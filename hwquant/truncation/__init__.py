"""Truncation to fixed point, with parity tested operator by operator."""

from hwquant.truncation.limits import Miss, ParityLimits, check_parity
from hwquant.truncation.parity import Error, LayerParity, OperatorParity, ParityReport
from hwquant.truncation.truncate import Truncation, truncate

__all__ = [
    "Error",
    "LayerParity",
    "Miss",
    "OperatorParity",
    "ParityLimits",
    "ParityReport",
    "Truncation",
    "check_parity",
    "truncate",
]
