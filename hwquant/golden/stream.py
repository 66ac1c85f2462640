"""A network that is called for one part of a sequence after the other, and keeps its states in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from hwquant.golden.inference import outputs, predict
from hwquant.graph import Graph
from hwquant.host import after, before
from hwquant.qgraph import QGraph
from hwquant.states import States, arrays_of

AnyArray = NDArray[Any]


class Stream:
    """A network with its states: what it gives depends on the calls before.

    Parameters
    ----------
    network : QGraph or Graph
        The network; one without states may be one, too.
    """

    def __init__(self, network: QGraph | Graph) -> None:
        self.network = network
        self._states = States(network.inputs, network.outputs)

    def predict(self, x: Mapping[str, AnyArray] | AnyArray) -> list[AnyArray]:
        """Run the network for the next samples, one call after the other, as :func:`hwquant.golden.predict` does.

        Parameters
        ----------
        x : ndarray or mapping of ndarray, shape (N, *shape)
            Samples for the inputs that are no states, of any real dtype; by name where there are several.

        Returns
        -------
        list of ndarray, shape (N, ...)
            An array for each output.

        Raises
        ------
        HwquantError
            As for :func:`hwquant.golden.predict`.
        """
        network = self.network
        inner = before(network, x)
        if not self._states.values or not isinstance(inner, Mapping):
            return predict(network, x)
        results = self._states.run(arrays_of(network.inputs, inner), lambda one: outputs(network, one))[0]
        return after(network, inner, results)

    def reset(self) -> None:
        """Begin a new sequence, with states of zero."""
        self._states.reset()
