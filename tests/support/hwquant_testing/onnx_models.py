"""Nodes and weights of small ONNX models."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_node


def weights(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    """The same numbers for the same shape."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def conv(out: str = "y", **attributes: Any) -> onnx.NodeProto:
    """A convolution of ``x`` with the weights ``w``."""
    return make_node("Conv", ["x", "w"], [out], name="conv", **attributes)


W = {"w": weights(4, 2, 3, 3)}
"""Weights for `conv` of two channels to four."""
