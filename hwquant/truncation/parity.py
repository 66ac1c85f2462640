"""How close a truncated network is to the float network: the numbers of a parity report."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Error:
    """Differences between values and what they should be.

    Attributes
    ----------
    largest, mean : float
        The largest and the mean absolute difference.
    sqnr_db : float or None
        Signal to quantization noise ratio, ``10 log10(sum x^2 / sum (x' - x)^2)``; None where there is
        no difference at all, or no signal.
    """

    largest: float
    mean: float
    sqnr_db: float | None


class ErrorSum:
    """An :class:`Error` that is collected from parts of the data."""

    def __init__(self) -> None:
        self._largest, self._total, self._signal, self._noise, self._count = 0.0, 0.0, 0.0, 0.0, 0

    def add(self, exact: Array, got: Array) -> None:
        """Add another part: what values should be and what they are, arrays of one shape."""
        difference = np.abs(got.astype(np.float64) - exact)
        self._largest = max(self._largest, float(difference.max(initial=0.0)))
        self._total += float(difference.sum())
        self._signal += float(np.square(exact, dtype=np.float64).sum())
        self._noise += float(np.square(difference).sum())
        self._count += difference.size

    def result(self) -> Error:
        """The error of all parts together."""
        measurable = self._signal > 0 and self._noise > 0
        ratio = 10 * math.log10(self._signal / self._noise) if measurable else None
        return Error(self._largest, self._total / max(self._count, 1), ratio)


@dataclass(frozen=True)
class OperatorParity:
    """One operator alone: the float one against the truncated one, between conversions, on the same input.

    Attributes
    ----------
    name : str
        Name of the operator in the float network; "into NAME" for the reshape to the vector that NAME reads.
    kind : str
        What people call it, such as "matrix product".
    error : Error
        Differences between the results.
    """

    name: str
    kind: str
    error: Error


@dataclass(frozen=True)
class LayerParity:
    """The network whose layers are truncated up to this one, and float after it.

    After fine-tuning, truncated layers make up for one another: rows in between, whose float layers were not
    trained for them, can be worse than the last.

    Attributes
    ----------
    name : str
        The layer, which is also its tensor.
    operators : tuple of str
        Names of the float operators that the layer is made of; none for the inputs.
    tensor : Error
        Errors of its tensor: what the layers up to here have added up to.
    output : Error
        Errors of the network's outputs (before functions that stay on the host).
    accuracy : float or None
        Accuracy of the first output, 0..1; None without labels.
    """

    name: str
    operators: tuple[str, ...]
    tensor: Error
    output: Error
    accuracy: float | None


@dataclass(frozen=True)
class ParityReport:
    """Parity of a truncated network with the float network.

    Attributes
    ----------
    to : str
        "float16", "int8" or "binary".
    samples : int
        Number of inputs that it was measured on.
    operators : tuple of OperatorParity
        Every operator alone, truncated after training (before any fine-tuning).
    layers : tuple of LayerParity
        The network as it is in the end, truncated layer after layer; the first row has the inputs alone
        truncated, the last one everything.
    float_accuracy : float or None
        Accuracy of the float network, 0..1; None without labels.
    """

    to: str
    samples: int
    operators: tuple[OperatorParity, ...]
    layers: tuple[LayerParity, ...]
    float_accuracy: float | None

    @property
    def accuracy(self) -> float | None:
        """The accuracy of the truncated network, 0..1; None without labels."""
        return self.layers[-1].accuracy

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return dataclasses.asdict(self) | {"accuracy": self.accuracy}
