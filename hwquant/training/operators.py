"""The nodes of a :class:`~hwquant.graph.Graph` on torch tensors (N, C, H, W)."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hwquant.copies import element_index
from hwquant.errors import HwquantError
from hwquant.expression import Expression
from hwquant.graph import AveragePool, Conv, Graph, Rearrange
from hwquant.interface import Input, Output
from hwquant.window import Padding, Window


def pad(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """Pad height and width with a number."""
    top, left, bottom, right = padding
    return functional.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


def convolve(x: Tensor, weight: Tensor, window: Window, groups: int) -> Tensor:
    """Cross-correlation with zero padding, without bias."""
    top, left, bottom, right = window.padding
    if (top, left) != (bottom, right):
        x, top, left = pad(x, window.padding), 0, 0
    return functional.conv2d(x, weight, None, window.stride, (top, left), window.dilation, groups)


def max_pool(x: Tensor, window: Window) -> Tensor:
    """Maximum over a window; padding never wins."""
    x = pad(x, window.padding, -math.inf)
    return functional.max_pool2d(x, window.kernel, window.stride, 0, window.dilation)


def average_pool(x: Tensor, node: AveragePool) -> Tensor:
    """Mean over a window."""
    window = node.window
    mean = functional.avg_pool2d(pad(x, window.padding), window.kernel, window.stride)
    if node.count_include_pad or not window.padded:
        return mean
    real = pad(x.new_ones((1, 1, *x.shape[2:])), window.padding)
    return mean / functional.avg_pool2d(real, window.kernel, window.stride)


def rearrange(inputs: Sequence[Tensor], node: Rearrange) -> Tensor:
    """Copy pixels and channels to other places."""
    shapes = [(x.shape[1], x.shape[2], x.shape[3]) for x in inputs]
    index = torch.as_tensor(element_index(node.shape, shapes, node.copies), device=inputs[0].device)
    elements = torch.cat([x.flatten(1) for x in inputs], dim=1)
    return functional.pad(elements, (0, 1))[:, index]  # behind the last element there is a zero


def clip(x: Tensor, low: float, high: float) -> Tensor:
    """``min(max(x, low), high)``; ReLU lets no gradient through at 0."""
    if low == 0 and high == math.inf:
        return functional.relu(x)
    return torch.clamp(x, low, high)


def function(x: Tensor, expression: Expression) -> Tensor:
    """A function of each element; where it has no value, none comes back through it either."""
    made = expression.evaluate(x, _FUNCTIONS)
    return made.expand_as(x) if isinstance(made, Tensor) else torch.full_like(x, made)


def _choose(compare: Callable[[Any, Any], Tensor]) -> Callable[..., Tensor]:
    """``compare(a, b) ? c : d``."""

    def choose(a: Any, b: Any, c: Any, d: Any) -> Tensor:
        like = next(item for item in (a, b, c, d) if isinstance(item, Tensor))
        a, b, c, d = (torch.as_tensor(item, dtype=like.dtype, device=like.device) for item in (a, b, c, d))
        return torch.where(compare(a, b), c, d)

    return choose


def _both(combine: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], Tensor]:
    """A function of two tensors, of which one may be a number."""

    def both(a: Any, b: Any) -> Tensor:
        like = a if isinstance(a, Tensor) else b
        return combine(*(torch.as_tensor(item, dtype=like.dtype, device=like.device) for item in (a, b)))

    return both


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: _both(getattr(torch, name)) for name in ("minimum", "maximum")},
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "power": torch.pow,
    "negative": torch.neg,
    "absolute": torch.abs,
    "softplus": functional.softplus,
    "if_greater": _choose(torch.gt),
    "if_equal": _choose(torch.eq),
    **{
        name: getattr(torch, name) for name in ("sign", "floor", "ceil", "round", "exp", "log", "sqrt", "erf")
    },
    **{name: getattr(torch, name) for name in ("tanh", "sigmoid", "sin", "cos", "tan", "sinh", "cosh")},
    **{name: getattr(torch, name) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
}
"""How torch computes operations, by operator."""


def convolution(x: Tensor, weight: Tensor, bias: Tensor, node: Conv) -> Tensor:
    """Compute a Conv with other weights and another bias than its own."""
    y = convolve(x, weight, node.window, node.groups)
    return y + bias.view(-1, 1, 1)


class Border:
    """The user's side of a network: arrays to the tensors that the first layers read, and outputs back.

    Preprocessing is done in float64, as the integer network does it.

    Parameters
    ----------
    graph : Graph
        The network whose inputs and outputs these are.
    """

    def __init__(self, graph: Graph) -> None:
        self._name, self._inputs, self._outputs = graph.name, graph.inputs, graph.outputs
        # Not buffers of a module: a change of its dtype must not round them.
        self._scales = [torch.tensor(item.scale, dtype=torch.float64) for item in graph.inputs]
        self._shifts = [torch.tensor(item.shift, dtype=torch.float64) for item in graph.inputs]
        self._input_orders = [_order(item) for item in graph.inputs]
        self._output_orders = [_order(item) for item in graph.outputs]

    def prepare(self, xs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """Float64 (N, C, H, W) by input name, from tensors (N, *shape) of any real dtype."""
        if len(xs) != len(self._inputs):
            names = ", ".join(item.name for item in self._inputs)
            raise HwquantError(f"network {self._name!r} takes {names}; {len(xs)} tensors were given")
        result = {}
        for item, x, scale, shift, order in zip(
            self._inputs, xs, self._scales, self._shifts, self._input_orders
        ):
            if tuple(x.shape[1:]) != item.shape:
                wanted = ", ".join(map(str, ("N", *item.shape)))
                raise HwquantError(f"input {item.name!r} has shape ({wanted}), the data has {tuple(x.shape)}")
            real = (x.double() * scale.to(x.device) + shift.to(x.device)).reshape(len(x), -1)
            result[item.name] = _reorder(real, order).reshape(len(x), *item.tensor_shape)
        return result

    def deliver(self, tensors: Mapping[str, Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Bring the outputs into the user's layout: one tensor, or a tuple. Host functions are not applied."""
        results = []
        for output, order in zip(self._outputs, self._output_orders):
            x = tensors[output.tensor]
            results.append(_reorder(x.reshape(len(x), -1), order).reshape(len(x), *output.shape))
        return results[0] if len(results) == 1 else tuple(results)


def _order(item: Input | Output) -> Tensor | None:
    return None if item.order is None else torch.tensor(item.order)


def _reorder(x: Tensor, order: Tensor | None) -> Tensor:
    return x if order is None else x[:, order.to(x.device)]
