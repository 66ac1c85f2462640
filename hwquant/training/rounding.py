"""The quantizer's arithmetic on tensors of PyTorch, with gradients that let a network be trained through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hwquant.coding import IntArray, Step
from hwquant.qgraph import Term

Array = NDArray[Any]


class _RoundHalfUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Step) -> Tensor:
        return torch.floor(x + 0.5) if step == 1 else 2 * torch.floor(x / 2) + 1

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def round_half_up(x: Tensor, step: Step = 1) -> Tensor:
    """Round, ``floor(x + 1/2)``, or, with a step of 2, to odd integers.

    The gradient is that of ``x`` (straight-through estimator).
    """
    return _RoundHalfUp.apply(x, step)


def per_channel(values: Array, like: Tensor) -> Tensor:
    """Values [1] or [out] as a tensor that multiplies [out, ...]."""
    return torch.tensor(values).to(like).view(-1, *[1] * (like.dim() - 1))


def weight_limits(term: Term, like: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest adjusted weight that the codes of a term express, to compare with [out, ...]."""
    low, high = term.coding.limits
    return per_channel(low, like), per_channel(high, like)


def weight_steps(weight: Tensor, term: Term, rounded: bool = True) -> Tensor:
    """Real weights [out, ...] in steps of a term's scale, within what its codes express."""
    steps = weight / per_channel(term.scale, weight)
    return torch.clamp(round_half_up(steps, term.step) if rounded else steps, *weight_limits(term, weight))


def to_integers(values: Tensor) -> IntArray:
    """Floats that hold integers, as integers of numpy."""
    return values.detach().cpu().double().numpy().astype(np.int64)
