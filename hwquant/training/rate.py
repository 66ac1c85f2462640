"""The start and the learning rate that suit a network, its bits and its data, found on samples that are not trained on.

Each pair that is tried trains a copy of the network for a tenth of the epochs, with a schedule of its own. From the
middle of a ladder of rates, about two to a decade, the search climbs for as long as the loss on the samples that decide
falls, or else descends. Weights that make up for each
other's errors are the better start where few steps have to be taken from it, the nearest ones where many: at 2 bits the
first steps undo what compensation did, and what is left is worse than where it came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hwquant.training.guard import Guard
from hwquant.training.loop import Diverged, fit
from hwquant.training.quantized import QuantizedNetwork
from hwquant.training.training import Training

RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
FIRST = RATES.index(1e-3)
TRIAL_SHARE = 0.1
"""Of the epochs, for each pair that is tried."""


def find_rate(
    starts: Mapping[str, QuantizedNetwork], training: Training, guard: Guard, epochs: float
) -> dict[str, Any]:
    """Find a network to begin with and a learning rate, with short trainings.

    Parameters
    ----------
    starts : mapping of QuantizedNetwork
        The networks, by name, that training could begin with; they are not changed.
    training : Training
        What is trained with.
    guard : Guard
        What measures.
    epochs : float
        Epochs of each trial.

    Returns
    -------
    dict
        "start" and "lr", after which the loss on the guard's samples is least, and "trials", dictionaries with
        "start", "lr" and "loss" of all that was tried, in order; the loss is None where training diverged.
    """
    known: dict[tuple[str, int], float] = {}

    def loss(start: str, place: int) -> float:
        if (start, place) not in known:
            known[start, place] = _try(starts[start], training, guard, epochs, RATES[place])
        return known[start, place]

    for start in starts:
        place = FIRST
        for direction in (1, -1):
            while 0 <= place + direction < len(RATES) and loss(start, place + direction) < loss(start, place):
                place += direction
    begun, place = min(known, key=lambda pair: known[pair])  # the first of equals
    trials = [
        {"start": start, "lr": RATES[at], "loss": value if math.isfinite(value) else None}
        for (start, at), value in known.items()
    ]
    return {"start": begun, "lr": RATES[place], "trials": trials}


def _try(network: QuantizedNetwork, training: Training, guard: Guard, epochs: float, rate: float) -> float:
    """The loss on the guard's samples after a short training."""
    trial = network.duplicate()
    options = replace(training.chosen, lr=rate, epochs=epochs)
    quiet = replace(training, options=options, evaluate=None, progress=None, checkpoint=None, resume=False)
    try:
        fit(trial, quiet, stage="learning rate")
    except Diverged:
        return math.inf
    loss = guard.loss(trial)
    return loss if math.isfinite(loss) else math.inf
