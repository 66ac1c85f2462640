"""Sliding windows: what models say about kernel, stride, padding and rounding, brought to one form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwquant.errors import Unsupported
from hwquant.window import Pair, Window

LARGEST_STEP, LARGEST_PADDING = 1 << 24, 1 << 15
"""Beyond any image: a stride or dilation overflows in runtimes, and padding is all that would be computed."""


def same_padding(window: Window, size: Pair, upper: bool = True) -> Window:
    """Pad a window for ``ceil(size / stride)`` positions; an odd pixel goes below and right if ``upper``."""
    sides = []
    for length, extent, stride in zip(size, window.extent, window.stride):
        total = max((-(-length // stride) - 1) * stride + extent - length, 0)
        sides.append((total // 2, total - total // 2) if upper else (total - total // 2, total // 2))
    (top, bottom), (left, right) = sides
    return replace(window, padding=(top, left, bottom, right))


def ceil_padding(window: Window, size: Pair) -> Window:
    """Pad a window below and right for those that only start inside (``ceil_mode`` of ONNX and torch).

    A window that would start in the padding below or right is dropped, as both define.
    """
    top, left, bottom, right = window.padding
    after = []
    for length, extent, stride, before, behind in zip(
        size, window.extent, window.stride, (top, left), (bottom, right)
    ):
        positions = -(-(length + before + behind - extent) // stride) + 1
        dropped = (positions - 1) * stride >= length + before
        last = (positions - 1 - dropped) * stride + extent
        after.append(max(last - length - before, 0 if dropped else behind))
    return replace(window, padding=(top, left, after[0], after[1]))


def window(
    kernel: Sequence[int],
    stride: Sequence[int] | None = None,
    padding: Sequence[int] | None = None,
    dilation: Sequence[int] | None = None,
) -> Window:
    """Make a window from a model's lists, one or two axes long; a one-dimensional window has height 1.

    ``padding`` has the begins of all axes, then the ends (the order of ONNX), or one number an axis.
    """
    axes = len(kernel)
    if axes not in (1, 2):
        raise Unsupported(f"a window over {axes} axes is not supported, only one or two")
    stride, dilation = stride or [1] * axes, dilation or [1] * axes
    padding = padding or [0] * axes
    if len(padding) == axes:
        padding = [*padding, *padding]
    if len(stride) != axes or len(dilation) != axes or len(padding) != 2 * axes:
        raise Unsupported(
            f"stride {stride}, dilation {dilation} or padding {padding} do not fit kernel {kernel}"
        )
    if min(*kernel, *stride, *dilation) < 1 or min(padding) < 0:
        raise Unsupported(
            f"kernel {list(kernel)}, stride {list(stride)} and dilation {list(dilation)} must be positive "
            f"and padding {list(padding)} must not be negative"
        )
    if max(*stride, *dilation) > LARGEST_STEP or max(padding) > LARGEST_PADDING:
        raise Unsupported(
            f"stride {list(stride)}, dilation {list(dilation)} or padding {list(padding)} is beyond any image; up to "
            f"{LARGEST_STEP}, and {LARGEST_PADDING} of padding, are supported"
        )
    if axes == 1:
        return Window((1, kernel[0]), (1, stride[0]), (0, padding[0], 0, padding[1]), (1, dilation[0]))
    top, left, bottom, right = padding
    return Window(
        (kernel[0], kernel[1]), (stride[0], stride[1]), (top, left, bottom, right), (dilation[0], dilation[1])
    )
