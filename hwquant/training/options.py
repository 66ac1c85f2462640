"""What a user can ask of a training, validated."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from hwquant.errors import HwquantError

OPTIMIZERS = ("adam", "sgd", "rmsprop")
SCHEDULES = ("cosine", "constant")
LOSSES = ("cross_entropy", "mse", "l1", "l2")


@dataclass(frozen=True)
class TrainOptions:
    """Options of :func:`hwquant.training.fit`.

    Attributes
    ----------
    epochs : passes over the training data; a fraction stands for as large a part of the last one, 0 trains
        nothing
    optimizer : "adam", "sgd" or "rmsprop"
    lr : learning rate, at the start where the schedule is "cosine"
    schedule : "cosine" (from ``lr`` down to 0 over the epochs) or "constant"
    batch_size : samples of a step
    loss : "cross_entropy", "mse", "l1", "l2" (mean Euclidean distance of a sample's outputs from its
        targets), or weighted sums: "cross_entropy+0.1*mse". Targets are one-hot where ``y`` are labels.
    weight_decay : of the optimizer (decoupled from the gradient for "adam", which is AdamW)
    momentum : of "sgd" and "rmsprop"
    seed : of the order of the samples
    """

    epochs: float = 5.0
    optimizer: str = "adam"
    lr: float = 1e-3
    schedule: str = "cosine"
    batch_size: int = 64
    loss: str = "cross_entropy"
    weight_decay: float = 0.0
    momentum: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        _choice("optimizer", self.optimizer, OPTIMIZERS)
        _choice("schedule", self.schedule, SCHEDULES)
        _number("epochs", self.epochs, 0)
        _number("lr", self.lr, 0)
        if self.lr == 0:
            raise HwquantError("lr must be above 0: with 0 nothing is learned")
        _number("weight_decay", self.weight_decay, 0)
        _number("momentum", self.momentum, 0)
        if self.momentum >= 1:
            raise HwquantError(f"momentum must be below 1, not {self.momentum!r}")
        for name, least in (("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise HwquantError(f"{name} must be an integer of at least {least}, not {value!r}")
        parse_loss(self.loss)

    def as_json(self) -> dict[str, object]:
        """The options as plain JSON values."""
        return dataclasses.asdict(self)


def parse_loss(text: str) -> dict[str, float]:
    """Weights by loss: "cross_entropy+0.1*mse" is {"cross_entropy": 1.0, "mse": 0.1}."""
    result: dict[str, float] = {}
    for part in text.split("+"):
        factor, star, name = part.rpartition("*")
        try:
            weight = float(factor) if star else 1.0
        except ValueError:
            weight = math.nan
        name = name.strip()
        if name not in LOSSES or name in result or not (math.isfinite(weight) and weight > 0):
            raise HwquantError(
                f"loss {text!r} is not a sum of different ones of {', '.join(LOSSES)}, each with a positive "
                "weight or none, such as cross_entropy+0.1*mse"
            )
        result[name] = weight
    return result


def _choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise HwquantError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def _number(name: str, value: float, least: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
        raise HwquantError(f"{name} must be a number of at least {least}, not {value!r}")
