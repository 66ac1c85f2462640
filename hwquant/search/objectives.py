"""What a candidate is judged by: a registry, to which a new objective is one entry.

An objective takes a :class:`Trial`, in which everything expensive is computed once and only if it is asked
for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import golden
from hwquant.data import Samples
from hwquant.errors import HwquantError
from hwquant.program.compiler import compile_network
from hwquant.program.cycles import timing
from hwquant.program.memories import memory_bits
from hwquant.program.program import Program
from hwquant.qgraph import Layer, QGraph


@dataclass(frozen=True, eq=False)
class Trial:
    """A quantized candidate, and what can be known about it.

    Attributes
    ----------
    qgraph : QGraph
        The integer network.
    test : Samples
        Labelled samples that the candidate is judged by.
    exact : ndarray, shape (N, ...)
        The float network's first output for the samples.
    array : tuple of int
        Rows and columns of the array that the network is compiled for.
    """

    qgraph: QGraph
    test: Samples
    exact: NDArray[Any]
    array: tuple[int, int]

    @cached_property
    def output(self) -> NDArray[Any]:
        """The network's first output for the test samples, as the user gets it."""
        return golden.predict(self.qgraph, self.test.x)[0]

    @cached_property
    def program(self) -> Program:
        """The network compiled, every memory as small as it allows."""
        return compile_network(self.qgraph, self.array)

    @property
    def noise(self) -> float:
        """Power of the output's error over the power of the float network's output.

        Where the output is classes, the share of them, 0..1, that differs.
        """
        if self.exact.dtype.kind in "iu":
            return float((self.output != self.exact).mean())
        power = float(np.square(self.exact - self.exact.mean(axis=0)).sum())
        return float(np.square(self.output - self.exact).sum()) / max(power, np.finfo(float).tiny)


@dataclass(frozen=True)
class Objective:
    """A number that a search makes as small or as large as possible.

    Attributes
    ----------
    title : str
        What the number is, in words for people.
    measure : callable
        Function from a :class:`Trial` to the number.
    maximize : bool, default False
        Whether large is good.
    """

    title: str
    measure: Callable[[Trial], float]
    maximize: bool = False


def _accuracy(trial: Trial) -> float:
    accuracy = trial.test.accuracy(trial.output)
    if accuracy is None:
        raise HwquantError("the test data have no labels y, which the accuracy is measured with; add them")
    return accuracy


def _weight_bits(trial: Trial) -> float:
    terms = [term for node in trial.qgraph.nodes if isinstance(node, Layer) for term in node.terms]
    return sum(
        term.bits * (term.codes.size if term.mask is None else int(np.count_nonzero(term.mask)))
        for term in terms
    )


def _bytes(bits: int) -> int:
    return -(-bits // 8)


ACCURACY = "accuracy"
OBJECTIVES = {
    ACCURACY: Objective("accuracy", _accuracy, maximize=True),
    "cycles": Objective("cycles", lambda trial: timing(trial.program).cycles),
    "weight_bytes": Objective(
        "weight bytes", lambda trial: _bytes(memory_bits(trial.program.config)["weight"])
    ),
    "memory_bytes": Objective(
        "memory bytes", lambda trial: _bytes(sum(memory_bits(trial.program.config).values()))
    ),
    "weight_bits": Objective("weight bits", _weight_bits),
}
"""All objectives by name. ``accuracy``: share of right answers, 0..1. ``cycles``: cycles of one inference, exact.
``weight_bytes``: size of the compiled program's weight memory, incomplete tiles and all. ``memory_bytes``: size of all
memories. ``weight_bits``: bits of all weights that are not pruned, which do not depend on the array."""
