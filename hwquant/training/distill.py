"""Learning the outputs of the float network in place of labels.

Distillation (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015): the targets of the cross
entropy are the float network's probabilities at a temperature ``T``, and the integer network's outputs are divided by
``T`` too, with the loss times ``T^2``, so that its gradients keep their size. Of other losses the targets are the
outputs themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.training.losses import Loss, named_loss
from hwquant.training.network import TrainableNetwork
from hwquant.training.options import parse_loss
from hwquant.training.training import Training

TEMPERATURE = 1.0
"""Where none is given."""
_CHUNK = 500


def distilled(training: Training, graph: Graph) -> Training:
    """Make a training whose targets are the outputs of a float network.

    Parameters
    ----------
    training : Training
        What is trained with; its ``tuning`` says at which temperature.
    graph : Graph
        The float network.

    Returns
    -------
    Training
        The training with other targets; the labels of its validation samples stay. The same where labels are asked
        for, or nothing else suits.

    Raises
    ------
    HwquantError
        A temperature is given, but the loss is a function or the network has several outputs.
    """
    options = training.chosen
    suits = training.loss is None and len(graph.outputs) == 1
    asked = training.tuned.distill
    if asked == 0 or (asked is None and not suits):
        return training
    if not suits:
        raise HwquantError("distill needs a network with one output, and a loss by its name")
    temperature = TEMPERATURE if asked is None else asked
    probabilities = "cross_entropy" in parse_loss(options.loss)
    teacher = _Teacher(TrainableNetwork(graph), temperature if probabilities else None)
    data: Any
    if isinstance(training.data, tuple):
        x = training.data[0]
        parts = [teacher.targets(torch.tensor(x[i : i + _CHUNK])) for i in range(0, len(x), _CHUNK)]
        data = (x, torch.cat(parts).numpy() if parts else training.data[1])
    else:
        kind = _SizedLoader if hasattr(training.data, "__len__") else _Loader
        data = kind(training.data, teacher)
    loss = _softened(named_loss(options.loss), temperature) if probabilities and temperature != 1 else None
    return replace(training, data=data, loss=loss)


@dataclass(frozen=True)
class _Teacher:
    network: TrainableNetwork
    temperature: float | None

    def targets(self, x: Tensor) -> Tensor:
        """What the float network's outputs are for samples (N, *shape)."""
        with torch.no_grad():
            outputs: Any = self.network(x)
            if self.temperature is None:
                return outputs
            return torch.softmax(outputs.reshape(len(outputs), -1) / self.temperature, dim=1)


@dataclass(frozen=True)
class _Loader:
    """The batches of a loader with other targets."""

    batches: Any
    teacher: _Teacher

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for x, _ in self.batches:
            yield x, self.teacher.targets(x)


class _SizedLoader(_Loader):
    def __len__(self) -> int:
        return len(self.batches)


def _softened(loss: Loss, temperature: float) -> Loss:
    return lambda outputs, targets: temperature**2 * loss(outputs / temperature, targets)
