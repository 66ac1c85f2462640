"""The learning rate over a training, as a share of ``lr``.

Functions of the share of the training that is done, not of steps: a training may have fractions of epochs, several
stages, and batches that nobody can count beforehand.
"""

from __future__ import annotations

import math
from typing import assert_never

from hwquant.training.options import TrainOptions

START, END, PEAK = 1 / 25, 1e-4 / 25, 0.3
"""Where "one_cycle" starts and ends, and when it is at its peak: the defaults of PyTorch's OneCycleLR. A warm-up starts
there as well."""
_ROUNDING = 1e-9
"""By which a position may be off that is a sum of floats and begins the next step."""


def rate_factor(options: TrainOptions, done: float) -> float:
    """Share of the learning rate after a part of the training.

    Parameters
    ----------
    options : TrainOptions
        The schedule, and what it is told.
    done : float
        The part that is done, 0..1.

    Returns
    -------
    float
        What ``lr`` is multiplied by.
    """
    if done < options.warmup:
        return START + (1 - START) * done / options.warmup
    left = (min(done, 1.0) - options.warmup) / (1 - options.warmup)
    match options.schedule:
        case "cosine":
            return _cosine(1.0, 0.0, left)
        case "constant":
            return 1.0
        case "step":
            fallen = min(math.floor(left * (options.lr_steps + 1) + _ROUNDING), options.lr_steps)
            return float(options.lr_end ** (fallen / options.lr_steps))
        case "exponential":
            return float(options.lr_end**left)
        case "one_cycle":
            if left < PEAK:
                return _cosine(START, 1.0, left / PEAK)
            return _cosine(1.0, END, (left - PEAK) / (1 - PEAK))
        case _:
            assert_never(options.schedule)


def _cosine(first: float, last: float, part: float) -> float:
    """From one number to another along half a cosine."""
    return last + 0.5 * (first - last) * (1 + math.cos(math.pi * part))
