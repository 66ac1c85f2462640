"""A sliding window over the pixels of an image: what convolutions and pools of either network have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError

Pair = tuple[int, int]
"""height, width"""
Padding = tuple[int, int, int, int]
"""top, left, bottom, right"""


@dataclass(frozen=True)
class Window:
    """A two-dimensional window, and the steps in which it moves.

    Attributes
    ----------
    kernel : tuple of int, default (1, 1)
        Height and width, in elements.
    stride : tuple of int, default (1, 1)
        Pixels from one position to the next, down and right.
    padding : tuple of int, default (0, 0, 0, 0)
        Pixels around the image: top, left, bottom, right.
    dilation : tuple of int, default (1, 1)
        Pixels from one element to the next, down and right.
    """

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: Pair = (1, 1)

    @property
    def extent(self) -> Pair:
        """Rows and columns from a window's first to its last element."""
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return dh * (kh - 1) + 1, dw * (kw - 1) + 1

    @property
    def pointwise(self) -> bool:
        """Whether every pixel is a window of its own."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and not self.padded

    @property
    def padded(self) -> bool:
        """Whether there is padding on any side."""
        return any(self.padding)

    def output_size(self, size: Pair) -> Pair:
        """Count the rows and columns of positions on an image of (height, width), rounded down as in ONNX and torch."""
        (height, width), (top, left, bottom, right) = size, self.padding
        return (
            (height + top + bottom - self.extent[0]) // self.stride[0] + 1,
            (width + left + right - self.extent[1]) // self.stride[1] + 1,
        )

    def sees_a_pixel_everywhere(self, size: Pair) -> bool:
        """Tell whether no position has only padding, of which there is no maximum (small images, dilation)."""
        for axis, count in enumerate(self.output_size(size)):
            step = self.dilation[axis]
            starts = np.arange(count) * self.stride[axis] - self.padding[axis]
            skipped = -(np.minimum(starts, 0) // step)  # elements in the padding before the first pixel
            seen = (skipped < self.kernel[axis]) & (starts + skipped * step < size[axis])
            if not seen.all():
                return False
        return True


EACH_PIXEL = Window()
"""The window of a 1x1 convolution."""


def check_kernel(where: str, window: Window, weight: NDArray[Any]) -> None:
    """Raise where a window has another kernel than the weights [..., height, width] that it moves.

    Raises
    ------
    HwquantError
        It has; the message begins with ``where``.
    """
    if window.kernel != weight.shape[2:]:
        raise HwquantError(f"{where} has a window of {window.kernel} and weights of {weight.shape[2:]}")
