"""The guard of every training: its result is returned only where it measures better than what costs nothing.

Samples that are not trained on decide between integer networks, by the mean of a loss. One takes the lead from another
only where its loss is lower by more than chance, sample by sample (1.64 standard errors of the mean difference: one
time in twenty it is chance nevertheless), and its accuracy, where there are labels, is not lower by more than one
standard error of that difference. So a single sample never makes a winner. Loss comes first since it changes with every
sample, accuracy only with those at the edge. Among equals the one that was given first stays, the cheapest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwquant import golden
from hwquant.advice import Advice
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.qgraph import QGraph
from hwquant.training.losses import named_loss
from hwquant.training.training import Training

TRAINED = "trained"
"""What the names of networks that were trained begin with."""
BETTER, WORSE = 1.64, 1.0
"""Standard errors by which a loss must be lower, and beyond which an accuracy must not be lower."""
_CHUNK = 500
"""Samples of a forward pass."""
Values = NDArray[np.float64]


def hold_out(training: Training) -> tuple[Training, str]:
    """Make sure that there are samples that decide.

    Parameters
    ----------
    training : Training
        What is trained with.

    Returns
    -------
    training : Training
        The same where it has validation samples; else a tenth of its training samples, at most 5,000, drawn with the
        seed of its options, is taken out and decides.
    source : str
        Where the samples that decide come from, for people.

    Raises
    ------
    HwquantError
        There are no validation samples, and the training data are a loader or a single sample.
    """
    if training.validation is not None:
        return training, f"{len(training.validation[0])} validation samples"
    if not isinstance(training.data, tuple):
        raise HwquantError("no share of a loader can be held back: give validation samples, arrays x and y")
    x, y = training.data
    rest, held = Samples(x, y).hold_out(training.chosen.seed)
    apart = replace(training, data=rest.pair(), validation=held.pair())
    return apart, f"{len(held)} of the {len(x)} training samples, which are not trained on"


@dataclass(frozen=True)
class Score:
    """How a network did on the samples that decide.

    Attributes
    ----------
    name : str
        What it is called, such as "compensated".
    loss : float
        Mean loss.
    accuracy : float or None
        Share of samples, 0..1, whose greatest output is the label; None without labels.
    """

    name: str
    loss: float
    accuracy: float | None

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.2%}"
        return f"{self.name} (loss {self.loss:.4f}{accuracy})"


@dataclass(frozen=True)
class Verdict:
    """Which of some networks is the best, and by how much.

    Attributes
    ----------
    best : str
        Name of the best one.
    returned : str
        Name of the one that the method returns: the best, unless it was asked for what was trained.
    samples : str
        On what samples they were measured, for people.
    scores : tuple of Score
        Scores of all, in the order in which they were given.
    """

    best: str
    returned: str
    samples: str
    scores: tuple[Score, ...]

    def __str__(self) -> str:
        others = ", ".join(str(score) for score in self.scores if score.name != self.best)
        (best,) = (score for score in self.scores if score.name == self.best)
        return f"best on {self.samples}: {best}" + (f"; {others}" if others else "")

    def as_json(self) -> dict[str, Any]:
        """The verdict as plain JSON values."""
        return {**vars(self), "scores": [dict(vars(score)) for score in self.scores]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Verdict:
        """Read what :meth:`as_json` gave."""
        return cls(**{**values, "scores": tuple(Score(**score) for score in values["scores"])})

    def advice(self, network: str) -> tuple[Advice, ...]:
        """Say so where training lost, as a warning on a network."""
        if self.best.startswith(TRAINED):
            return ()
        text = (
            f"training did not make the network better ({self}); it is the {self.returned} one that is returned: train "
            "on more samples, with a smaller --lr or for more --epochs"
        )
        return (Advice("training_hurts", network, text, "--lr"),)


class Guard:
    """Samples that decide between networks.

    Parameters
    ----------
    training : Training
        Its validation samples decide, with the loss that it names.
    source : str, optional
        Where they come from, for people.
    """

    def __init__(self, training: Training, source: str = "validation samples") -> None:
        if training.validation is None:
            raise HwquantError("a guard needs validation samples: call hwquant.training.hold_out first")
        x, y = (np.ascontiguousarray(array) for array in training.validation)
        if len(x) != len(y) or len(x) == 0:
            raise HwquantError(f"validation data have {len(x)} samples x and {len(y)} y; give as many")
        self.source = source
        self._x, self._y = x, torch.tensor(y)
        self._loss = training.loss or named_loss(training.chosen.loss)

    def loss(self, network: nn.Module) -> float:
        """Measure the mean loss of a module that PyTorch computes."""
        with torch.no_grad():
            parts = [
                _tuple(network(torch.tensor(self._x[start : start + _CHUNK])))
                for start in range(0, len(self._x), _CHUNK)
            ]
            outputs = tuple(torch.cat(part) for part in zip(*parts))
            return float(self._loss(_single(outputs), self._y))

    def choose(self, candidates: Mapping[str, QGraph], returned: str | None = None) -> Verdict:
        """Choose the best of some integer networks.

        Parameters
        ----------
        candidates : mapping of QGraph
            The networks by name, those that were trained last, with names that begin with "trained"; the first leads
            until another one is better by more than chance.
        returned : str, optional
            The one that is returned whichever is the best.

        Returns
        -------
        Verdict
            The best, and all scores.
        """
        scores: list[Score] = []
        best, lead = "", (np.zeros(0), np.zeros(0))
        for name, qgraph in candidates.items():
            losses, hits = self._measure(qgraph)
            accuracy = float(hits.mean()) if len(hits) else None
            scores.append(Score(name, float(losses.mean()), accuracy))
            if not best or (_above(lead[0], losses) > BETTER and not _above(lead[1], hits) > WORSE):
                best, lead = name, (losses, hits)
        return Verdict(best, returned or best, self.source, tuple(scores))

    def _measure(self, qgraph: QGraph) -> tuple[Values, Values]:
        """Losses (N,), and hits (N,) of {0, 1} where there are labels, else (0,)."""
        bare = replace(qgraph, outputs=tuple(replace(output, host=()) for output in qgraph.outputs))
        outputs = tuple(torch.from_numpy(np.asarray(value)) for value in golden.predict(bare, self._x))
        samples = range(len(self._x))
        with torch.no_grad():
            losses = [
                float(self._loss(_single(tuple(value[i : i + 1] for value in outputs)), self._y[i : i + 1]))
                for i in samples
            ]
        if len(outputs) > 1 or self._y.is_floating_point():
            return np.array(losses), np.zeros(0)
        hits = outputs[0].reshape(len(self._x), -1).argmax(dim=1) == self._y
        return np.array(losses), hits.double().numpy()


def _above(first: Values, second: Values) -> float:
    """By how many standard errors of the mean difference the first values are above the second ones."""
    difference = first - second
    if len(difference) < 2 or not difference.any():
        return 0.0
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    return float(difference.mean()) / error if error > 0 else math.copysign(math.inf, difference.mean())


def _tuple(outputs: Any) -> tuple[Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _single(outputs: tuple[Tensor, ...]) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs
