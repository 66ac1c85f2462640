"""Losses by name: how far a network's output is from labels, or from targets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hwquant.errors import HwquantError
from hwquant.training.options import parse_loss

Loss = Callable[[Tensor, Tensor], Tensor]
"""A function of the outputs and the ``y`` of a batch, whose result is a scalar."""


def named_loss(text: str) -> Loss:
    """The weighted sum of losses that a text names; see :class:`~hwquant.training.options.TrainOptions`.

    Parameters
    ----------
    text : str
        Names and weights, such as "cross_entropy+0.1*mse".

    Returns
    -------
    callable
        A function of outputs (N, ...) and ``y`` whose result is a scalar; ``y`` are labels, integer (N,), for which
        targets are one-hot, or float targets of the outputs' shape.

    Raises
    ------
    HwquantError
        The text is no weighted sum of known losses.
    """
    weights = parse_loss(text)

    def loss(output: Tensor, y: Tensor) -> Tensor:
        if not isinstance(output, Tensor):
            raise HwquantError(
                f"the loss {text!r} is for one output, the network has {len(output)}; give a function as loss"
            )
        scores = output.reshape(len(output), -1)
        targets = _targets(scores, y)
        return torch.stack([weight * _TERMS[name](scores, targets) for name, weight in weights.items()]).sum()

    return loss


def _targets(scores: Tensor, y: Tensor) -> Tensor:
    if y.is_floating_point():
        if y.numel() != scores.numel() or len(y) != len(scores):
            raise HwquantError(
                f"targets y have the shape {tuple(y.shape)}, the network's output has {scores.shape[1]} values "
                "a sample; give as many targets, or integer labels (N,)"
            )
        return y.reshape(scores.shape).to(scores.dtype)
    if y.shape != (len(scores),):
        raise HwquantError(
            f"labels y have the shape {tuple(y.shape)}; a batch of {len(scores)} needs ({len(scores)},)"
        )
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < scores.shape[1]:
        raise HwquantError(
            f"labels reach from {int(y.min())} to {int(y.max())}, the network's output has {scores.shape[1]} "
            "scores; labels count from 0"
        )
    return functional.one_hot(y.long(), scores.shape[1]).to(scores.dtype)


def _cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    return -(targets * functional.log_softmax(scores, dim=1)).sum(dim=1).mean()


def _l2(scores: Tensor, targets: Tensor) -> Tensor:
    return torch.linalg.vector_norm(scores - targets, dim=1).mean()


_TERMS: dict[str, Loss] = {
    "cross_entropy": _cross_entropy,
    "mse": functional.mse_loss,
    "l1": functional.l1_loss,
    "l2": _l2,
}
