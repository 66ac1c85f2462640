"""Refusals that importers tell from others."""

from __future__ import annotations

from hwquant.errors import Unsupported


class Invalid(Unsupported):
    """What a node cannot have or be given: no host computes it either."""


class Misfit(Invalid):
    """Shapes do not fit each other: every runtime refuses a model's node for as many samples."""


class NotFinite(Invalid):
    """Weights that hold NaN or infinity, or come to it: no host makes numbers of them."""
