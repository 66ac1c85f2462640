"""What a user can ask of a training, validated."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from hwquant.errors import HwquantError
from hwquant.options import Range, Spelling, check, option

LOSSES = ("cross_entropy", "mse", "l1", "l2")
PLAIN_RATE = 1e-3
"""Learning rate where none is given and nothing decides on one."""


def _number(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a number nor auto") from None


AUTO = Spelling(_number, lambda value: "auto" if value is None else f"{value:g}")
"""A number, or ``auto`` for None."""


@dataclass(frozen=True)
class TrainOptions:
    """Options of :func:`hwquant.training.fit`.

    Attributes
    ----------
    epochs : float, default 5.0
        Passes over the training data; a fraction stands for as large a part of the last one, 0 trains
        nothing.
    optimizer : {"adam", "sgd", "rmsprop"}, default "adam"
        The method; "adam" is AdamW.
    lr : float or None, optional
        Learning rate, the greatest of the schedule. None stands for the one that short trainings find on held-out
        samples where a network is fine-tuned to integers (:mod:`hwquant.training.rate`), and for 0.001 elsewhere.
    schedule : {"cosine", "constant", "step", "exponential", "one_cycle"}, default "cosine"
        How the learning rate changes over all epochs: from ``lr`` down to 0 along a cosine; not at all; down to
        ``lr_end`` of it in ``lr_steps`` equal factors at equal distances, or steadily; or from a 25th up to ``lr``
        (30 % of the training) and down to almost 0 (Smith and Topin, Super-convergence, 2018, without a cycle of the
        momentum).
    lr_end : float, default 0.01
        Share of ``lr`` that is left in the end of "step" and "exponential".
    lr_steps : int, default 2
        Number of times that the learning rate falls with "step".
    warmup : float, default 0.0
        Share of the training, below 1, in which the learning rate first rises in a line from a 25th of ``lr`` (Goyal
        et al., Accurate, large minibatch SGD, 2017); the schedule goes through the rest.
    batch_size : int, default 64
        Samples of a step.
    loss : str, default "cross_entropy"
        "cross_entropy", "mse", "l1", "l2" (mean Euclidean distance of a sample's outputs from its
        targets), or weighted sums: "cross_entropy+0.1*mse". Targets are one-hot where ``y`` are labels.
    weight_decay : float, default 0.0
        Weight decay of the optimizer (decoupled from the gradient for "adam").
    momentum : float, default 0.9
        Momentum of "sgd" and "rmsprop".
    seed : int, default 0
        Seed of the order of the samples.
    """

    epochs: float = option(
        5.0,
        "Passes over the training data, all stages together; may be a fraction.",
        range=Range(0, noun="a number"),
    )
    optimizer: Literal["adam", "sgd", "rmsprop"] = option(
        "adam", "adam is AdamW; sgd and rmsprop have --momentum."
    )
    lr: float | None = option(
        None,
        "Learning rate; auto finds it with short trainings where held-out samples decide, and is 0.001 elsewhere.",
        range=Range(0, noun="a number"),
        spelling=AUTO,
        metavar="RATE",
    )
    schedule: Literal["cosine", "constant", "step", "exponential", "one_cycle"] = option(
        "cosine",
        "Of the learning rate, over all epochs: down to 0; as it is; down to --lr-end of it in --lr-steps, or "
        "steadily; up and down.",
    )
    lr_end: float = option(
        0.01, "Share of the learning rate that step and exponential end with.", range=Range(0, 1, above=True)
    )
    lr_steps: int = option(
        2,
        "Times that the learning rate falls with --schedule step.",
        range=Range(1, noun="an integer", largest=1 << 30),
    )
    warmup: float = option(
        0.0, "Share of the training in which the learning rate rises first; below 1.", range=Range(0, 1)
    )
    batch_size: int = option(64, "Samples of a step.", range=Range(1, noun="an integer", largest=1 << 30))
    loss: str = option(
        "cross_entropy", f"{', '.join(LOSSES)}, or a weighted sum such as cross_entropy+0.1*mse."
    )
    weight_decay: float = option(
        0.0, "Of the optimizer; with adam apart from the gradient.", range=Range(0, noun="a number")
    )
    momentum: float = option(0.9, "Of sgd and rmsprop; below 1.", range=Range(0, noun="a number"))
    seed: int = option(0, "Of the order of the samples.", range=Range(0, noun="an integer"))

    def __post_init__(self) -> None:
        check(self)
        if self.lr == 0:
            raise HwquantError("lr must be above 0: with 0 nothing is learned")
        if self.momentum >= 1:
            raise HwquantError(f"momentum must be below 1, not {self.momentum!r}")
        if self.warmup == 1:
            raise HwquantError(
                "warmup must be below 1: nothing of the training would be left for the schedule"
            )
        if self.warmup > 0 and self.schedule == "one_cycle":
            raise HwquantError(
                "one_cycle has a warm-up of its own: leave warmup out, or choose another schedule"
            )
        parse_loss(self.loss)

    @property
    def rate(self) -> float:
        """The learning rate, or the plain one where none is given."""
        return PLAIN_RATE if self.lr is None else self.lr

    def as_json(self) -> dict[str, object]:
        """The options as plain JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class TuneOptions:
    """Options of what fine-tunes a float network to integers, besides those of training.

    Attributes
    ----------
    start : {"auto", "compensated", "direct"}, default "auto"
        What fine-tuning begins with: weights that were rounded to make up for each other's errors, or each to its
        nearest integer. "auto" takes what the short trainings find, or the compensated ones where a learning rate is
        given.
    distill : float or None, optional
        Temperature of the float network's outputs that are learned in place of labels (Hinton, Vinyals and Dean,
        2015); 0 stands for labels. None stands for 1, but for labels where the loss is a function, the network has
        several outputs, or the published method is asked for.
    returns : {"best", "trained"}, default "best"
        What is returned: the best network on the samples that decide, trained or not, or the best that was trained, for
        whoever compares it with others by other samples. All are scored in any case.
    """

    start: Literal["auto", "compensated", "direct"] = option(
        "auto",
        "What fine-tuning begins with: weights rounded to make up for each other's errors, or each to the nearest "
        "integer.",
    )
    distill: float | None = option(
        None,
        "Learn the float network's outputs, softened by this temperature, in place of the labels; 0 learns the labels, "
        "auto is 1, with --literal 0.",
        range=Range(0, noun="a number"),
        spelling=AUTO,
        metavar="TEMPERATURE",
    )
    returns: Literal["best", "trained"] = option(
        "best",
        "What is returned: the best network on the validation samples, or the best of those that were trained.",
    )

    def __post_init__(self) -> None:
        check(self)

    def as_json(self) -> dict[str, object]:
        """The options as plain JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class ProgressiveOptions:
    """Options of :func:`hwquant.training.progressive`: what becomes an integer when.

    Attributes
    ----------
    fraction : float, default 0.5
        Share of a sub-network's weights, the largest in absolute value, that it freezes; and the share of what is left
        that each round but the last one freezes.
    rounds : int or None, optional
        Number of rounds in which the remaining weights are frozen; 2 if None, 1 with ``literal``.
    subnetworks : int or None, optional
        Number of sub-networks of consecutive layers; one for each layer with weights if None.
    literal : bool, default False
        The method as published, from the float network and without additions: see :mod:`hwquant.training.stages`.
    """

    fraction: float = option(
        0.5,
        "Share of a sub-network's weights, the largest, that becomes integers first.",
        range=Range(0, 1, above=True),
    )
    rounds: int | None = option(
        None,
        "In which the remaining weights become integers, when all sub-networks are done; 2, with --literal 1.",
        range=Range(1, noun="an integer"),
        metavar="N",
    )
    subnetworks: int | None = option(
        None,
        "Number of sub-networks of consecutive layers; by default one for each layer with weights.",
        range=Range(1, noun="an integer"),
        metavar="N",
    )
    literal: bool = option(
        False,
        "The method as published: from the float network, without straight-through training, and returned even where "
        "it lost.",
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def all_rounds(self) -> int:
        """The number of rounds, where none is given the method's own."""
        return self.rounds or (1 if self.literal else 2)

    def as_json(self) -> dict[str, object]:
        """The options as plain JSON values."""
        return {**dataclasses.asdict(self), "rounds": self.all_rounds}


def parse_loss(text: str) -> dict[str, float]:
    """Read the weights of the losses: "cross_entropy+0.1*mse" is {"cross_entropy": 1.0, "mse": 0.1}."""
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
