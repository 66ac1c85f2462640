"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def calibration_option(command: Command) -> Command:
    """``-c CALIB.npz``."""
    return click.option(
        "-c",
        "--calibration-data",
        required=True,
        type=click.Path(path_type=Path),
        metavar="CALIB.npz",
        help="Typical inputs x (N, then the input's shape), such as a few hundred training samples. With several "
        "inputs, an array for each by its name in place of x.",
    )(command)


def output_option(command: Command) -> Command:
    """``-o NET.hwq``."""
    path = click.Path(path_type=Path)
    return click.option("-o", "--output", required=True, type=path, metavar="NET.hwq")(command)


def width_options(command: Command) -> Command:
    """``--bits`` and ``--activation-bits``."""
    weights = click.option(
        "--bits", default=8, show_default=True, type=click.IntRange(1, 8), help="Bits of a weight."
    )
    activations = click.option(
        "--activation-bits",
        default=8,
        show_default=True,
        type=click.IntRange(2, 8),
        help="Bits of an activation.",
    )
    return weights(activations(command))


def checkpoint_options(command: Command) -> Command:
    """``--checkpoint`` and ``--resume``."""
    file = click.option(
        "--checkpoint",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Written after every epoch; by default OUTPUT.checkpoint, removed in the end.",
    )
    resume = click.option("--resume", is_flag=True, help="Go on from the checkpoint.")
    return file(resume(command))


def training_options(command: Any) -> Any:
    """The options that training has in every command; their names are those of ``TrainOptions``."""
    from hwquant.training.options import OPTIMIZERS, SCHEDULES, TrainOptions

    default = TrainOptions()
    for option in reversed(
        [
            click.option(
                "--epochs",
                default=default.epochs,
                show_default=True,
                type=float,
                help="Passes over the training data, all stages together; may be a fraction.",
            ),
            click.option(
                "--optimizer",
                default=default.optimizer,
                show_default=True,
                type=click.Choice(OPTIMIZERS),
            ),
            click.option("--lr", default=default.lr, show_default=True, type=float, help="Learning rate."),
            click.option(
                "--schedule", default=default.schedule, show_default=True, type=click.Choice(SCHEDULES)
            ),
            click.option(
                "--loss",
                default=default.loss,
                show_default=True,
                help="cross_entropy, mse, l1, l2, or a weighted sum such as cross_entropy+0.1*mse.",
            ),
            click.option(
                "--batch-size",
                default=default.batch_size,
                show_default=True,
                type=click.IntRange(1, 1 << 30),
            ),
            click.option("--weight-decay", default=default.weight_decay, show_default=True, type=float),
            click.option("--momentum", default=default.momentum, show_default=True, type=float),
            click.option("--seed", default=default.seed, show_default=True, type=int),
        ]
    ):
        command = option(command)
    return command
