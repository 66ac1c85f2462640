"""The training loop: plain PyTorch, the same weights for the same arguments, resumable after every epoch."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, assert_never

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwquant.errors import HwquantError
from hwquant.training.checkpoint import FIT, Checkpoint
from hwquant.training.losses import Loss, named_loss
from hwquant.training.options import TrainOptions
from hwquant.training.training import Training

LabelledArrays = tuple[NDArray[Any], NDArray[Any]]
"""Samples ``x`` (N, *shape) and ``y``, labels (N,) or targets."""
TrainingData = LabelledArrays | Iterable[tuple[Tensor, Tensor]]
"""Arrays, or any loader that gives (x, y) batches each time it is iterated over."""
Evaluate = Callable[[nn.Module], float]
OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class EpochResult:
    """What came of an epoch.

    Attributes
    ----------
    epoch : int
        Its number, from 1 on.
    loss : float
        Mean loss of its batches.
    score : float or None, optional
        What ``evaluate`` said after it; None without such a function.
    """

    epoch: int
    loss: float
    score: float | None = None


def fit(
    network: nn.Module,
    training: Training,
    *,
    checkpoint: Checkpoint | None = None,
    stage: str = "train",
    span: tuple[float, float] = (0.0, 1.0),
    after_epoch: Callable[[int], None] | None = None,
) -> list[EpochResult]:
    """Train a module in place.

    Parameters
    ----------
    network : torch.nn.Module
        Any module whose parameters are to be trained.
    training : Training
        What it is trained with, and how.
    checkpoint : Checkpoint or None, optional
        One that is open already, as that of several stages; else the training's is opened. It is saved after every
        epoch; where it holds a state of this ``stage``, training goes on from there, to the same weights as if it
        had never been cut off.
    stage : str, default "train"
        Which of several trainings with one checkpoint, or one progress bar, this is.
    span : tuple of float, default (0.0, 1.0)
        Part of the learning rate's schedule that this training goes through.
    after_epoch : callable or None, optional
        Called with the number of every epoch that is done, before the checkpoint is saved.

    Returns
    -------
    list of EpochResult
        The results of all epochs.

    Raises
    ------
    HwquantError
        The loss is NaN or infinite; data are empty or do not fit the network or the loss.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    options = training.chosen
    if not parameters or options.epochs == 0:
        return []
    loss = training.loss or named_loss(options.loss)
    chosen = (training.optimizer or named_optimizer(options))(parameters)
    rates = [group.setdefault("initial_lr", group["lr"]) for group in chosen.param_groups]
    batches = _Batches(training.data, options)
    total = math.ceil(options.epochs)
    results: list[EpochResult] = []
    if checkpoint is None:
        checkpoint = training.open_checkpoint("fit", network=network)
    saved = {} if checkpoint is None else checkpoint.part("fit", FIT)
    if checkpoint is not None and saved.get("stage") == stage:
        checkpoint.restore(network, saved["network"])
        checkpoint.restore_optimizer(chosen, saved["optimizer"])
        results = [EpochResult(**item) for item in saved["results"]]
    with torch.random.fork_rng(devices=[]):
        for epoch in range(len(results), total):
            torch.manual_seed(_seed(options.seed, stage, epoch))
            share = min(1.0, options.epochs - epoch)
            losses: list[float] = []
            weights: list[int] = []
            for position, (x, y) in batches.part(share):
                done = span[0] + (span[1] - span[0]) * (epoch + position) / options.epochs
                for group, rate in zip(chosen.param_groups, rates):
                    group["lr"] = rate * _factor(options.schedule, done)
                losses.append(_step(network, loss, chosen, x, y, epoch))
                weights.append(len(y))
            if not losses:
                raise HwquantError("the training data are empty, or the loader can be read only once")
            if not all(parameter.isfinite().all() for parameter in parameters):
                raise _diverged("a weight became infinite or NaN", epoch)
            mean = float(np.average(losses, weights=weights))
            score = None if training.evaluate is None else float(training.evaluate(network))
            results.append(EpochResult(epoch + 1, mean, score))
            if training.progress:
                training.progress(stage, epoch + 1, total, loss_and_score(results[-1]))
            if after_epoch:
                after_epoch(epoch + 1)
            if checkpoint:
                _save(checkpoint, stage, results, network, chosen)
    return results


def loss_and_score(result: EpochResult) -> str:
    """Loss and score for people."""
    score = "" if result.score is None else f", accuracy {result.score:.2%}"
    return f"loss {result.loss:.4f}{score}"


def accuracy(network: nn.Module, x: NDArray[Any], y: NDArray[Any], batch_size: int = 500) -> float:
    """Share of samples, 0..1, whose greatest output is the label; ``x`` (N, *shape), ``y`` integer (N,)."""
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    correct = 0
    with torch.no_grad():
        for start in range(0, len(x), batch_size):
            scores = network(torch.tensor(x[start : start + batch_size]))
            scores = scores.reshape(len(scores), -1)
            correct += int((scores.argmax(dim=1) == torch.tensor(y[start : start + batch_size])).sum())
    return correct / len(x)


def count_batches(training: Training) -> int | None:
    """Batches of an epoch; None for a loader without a length."""
    return _Batches(training.data, training.chosen).count


def _save(
    checkpoint: Checkpoint,
    stage: str,
    results: Sequence[EpochResult],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    # A copy: what is saved must not change with the next steps.
    state = copy.deepcopy({"network": network.state_dict(), "optimizer": optimizer.state_dict()})
    finished = [dataclasses.asdict(item) for item in results]
    checkpoint.save(fit={"stage": stage, "results": finished, **state})


def _step(
    network: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, epoch: int
) -> float:
    optimizer.zero_grad()
    value = loss(network(x), y)
    result = float(value.detach())
    if not math.isfinite(result):
        raise _diverged(f"the loss became {result}", epoch)
    value.backward()
    optimizer.step()
    return result


class Diverged(HwquantError):
    """A training whose loss or weights are not finite any more."""


def _diverged(what: str, epoch: int) -> Diverged:
    return Diverged(
        f"{what} in epoch {epoch + 1}; choose a lower learning rate (lr), or look for unusual values in the training "
        "data"
    )


def named_optimizer(options: TrainOptions) -> OptimizerFactory:
    """The optimizer that options name, as a function of the parameters."""
    decay, momentum = options.weight_decay, options.momentum

    def make(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        match options.optimizer:
            case "adam":
                return torch.optim.AdamW(parameters, lr=options.rate, weight_decay=decay)
            case "sgd":
                return torch.optim.SGD(parameters, lr=options.rate, weight_decay=decay, momentum=momentum)
            case "rmsprop":
                return torch.optim.RMSprop(parameters, lr=options.rate, weight_decay=decay, momentum=momentum)
            case _:
                assert_never(options.optimizer)

    return make


def _factor(schedule: Literal["cosine", "constant"], done: float) -> float:
    """Share of the learning rate after a share ``done`` of the training."""
    match schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        case "constant":
            return 1.0
        case _:
            assert_never(schedule)


def _seed(seed: int, stage: str, epoch: int) -> int:
    """A seed of its own for every epoch of every stage."""
    return int(np.random.SeedSequence([seed, epoch, *stage.encode()]).generate_state(1)[0])


class _Batches:
    """One epoch after the other, as batches with their position (0..1) in the epoch."""

    def __init__(self, data: TrainingData, options: TrainOptions) -> None:
        self._size = options.batch_size
        self._arrays: tuple[Tensor, Tensor] | None = None
        self._loader: Any = data
        if isinstance(data, tuple):
            x, y = (np.ascontiguousarray(array) for array in data)  # PyTorch takes no negative strides
            if len(x) != len(y) or len(x) == 0:
                raise HwquantError(
                    f"training data have {len(x)} samples x and {len(y)} labels y; give as many"
                )
            self._arrays = torch.tensor(x), torch.tensor(y)

    @property
    def count(self) -> int | None:
        """Batches of an epoch; None for a loader without a length."""
        if self._arrays is not None:
            return -(-len(self._arrays[0]) // self._size)
        return len(self._loader) if hasattr(self._loader, "__len__") else None

    def part(self, share: float) -> Iterator[tuple[float, tuple[Tensor, Tensor]]]:
        """The first ``share`` of an epoch, at least one batch."""
        if self._arrays is not None:
            x, y = self._arrays
            chosen = torch.randperm(len(x)).split(self._size)
            batches: Iterable[tuple[Tensor, Tensor]] = ((x[rows], y[rows]) for rows in chosen)
        else:
            batches = self._loader
        count = self.count
        if count is None and share < 1:
            raise HwquantError(
                "a loader without a length cannot be cut: give whole epochs, or a loader that has __len__"
            )
        limit = None if count is None else max(1, round(share * count))
        for index, batch in enumerate(islice(batches, limit)):
            yield (index / count if count else 0.0), batch
