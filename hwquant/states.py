"""States: inputs that take what an output gave in the call before, as recurrent layers and caches of convolutions do.

Data has no array for them. A sequence of samples begins with zeros. What an output delivered goes to the input as the
user would hand it on; where both have one scale and zero point, which the quantizer sees to, every integer stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant.errors import HwquantError
from hwquant.graph import Graph
from hwquant.host.stored import check_ends
from hwquant.interface import Input, Output
from hwquant.qgraph import QGraph

AnyArray = NDArray[Any]
Network = Graph | QGraph
Data = Mapping[str, AnyArray]
Call = Callable[[Data], list[AnyArray]]
"""One call of a network: its outputs for the arrays of all inputs, of one sample."""

AUTO = "auto"
"""In place of pairs: find them by their names and shapes."""


def with_states(graph: Graph, states: Mapping[str, str]) -> Graph:
    """Make inputs of a network states.

    Parameters
    ----------
    graph : Graph
        The network.
    states : mapping of str
        The input that an output goes to in the next call, by the output's name; other states stay.

    Returns
    -------
    Graph
        The network.

    Raises
    ------
    HwquantError
        There is no such input or output, their shapes differ, no input would be left for data, or a part that stays
        with the host computes one of them.
    """
    by_name = {item.name: item for item in graph.inputs}
    host = (
        "; what the host computes before and after the array is none of them"
        if graph.host is not None
        else ""
    )
    for output, name in states.items():
        if name not in by_name:
            raise HwquantError(
                f"there is no input {name!r} to be a state; there are {', '.join(by_name)}{host}"
            )
        if list(states.values()).count(name) > 1:
            raise HwquantError(f"two outputs are the next state of input {name!r}; name one")
        if output not in {item.name for item in graph.outputs}:
            known = ", ".join(item.name for item in graph.outputs)
            raise HwquantError(f"there is no output {output!r} to be the next state; there are {known}{host}")
    of_input = {name: output for output, name in states.items()}
    inputs = tuple(replace(item, state=of_input.get(item.name, item.state)) for item in graph.inputs)
    result = replace(graph, inputs=inputs)
    check_ends(result)
    return result


def find_states(graph: Graph) -> dict[str, str]:
    """Find outputs and inputs of one shape whose names are the same but for words such as "in", "out", "new".

    Parameters
    ----------
    graph : Graph
        The network; the states that it has already are not found again.

    Returns
    -------
    dict of str
        The input by the output's name; empty where there are none.

    Raises
    ------
    HwquantError
        A name fits several, or no input would be left for data.
    """
    pairs: dict[str, str] = {}
    inputs, taken = given(graph.inputs), {item.state for item in graph.inputs}
    for output in (output for output in graph.outputs if output.name not in taken):
        found = [item.name for item in inputs if item.shape == output.shape and _fit(item.name, output.name)]
        if len(found) > 1 or (found and found[0] in pairs.values()):
            raise HwquantError(
                f"output {output.name!r} could be the next state of {', '.join(found)}; say which with "
                f"--state {output.name}=INPUT"
            )
        if found:
            pairs[output.name] = found[0]
    if len(pairs) == len(inputs):
        raise HwquantError("every input looks like a state, and none is left for data; name the states")
    return pairs


_BEFORE = {"in", "input", "prev", "previous", "old"}
_AFTER = {"out", "output", "next", "new", "n"}


def _fit(before: str, after: str) -> bool:
    """Whether two names differ by nothing but words that tell before from after, as ``h0`` and ``hn`` do."""
    first, second = _words(before), _words(after)
    plain = tuple(word for word in first if word not in _BEFORE)
    without = tuple(word for word in second if word not in _AFTER)
    if not without:
        return False
    if plain == without:
        return True
    return plain[-1:] == ("0",) and plain[:-1] == without and "n" in second


def _words(name: str) -> tuple[str, ...]:
    """The words and numbers of a name, in small letters; the "n" of ``hn`` and ``cn`` is a word, too."""
    parts = [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name)]
    return tuple(
        word
        for part in parts
        for word in ((part[0], "n") if len(part) == 2 and part[1] == "n" and part != "in" else (part,))
    )


def given(inputs: Sequence[Input]) -> list[Input]:
    """The inputs that data has arrays for: those that are no states."""
    return [item for item in inputs if item.state is None]


def are_missing(inputs: Sequence[Input], x: Data | Any) -> bool:
    """Whether data leaves states to the network.

    Raises
    ------
    HwquantError
        It has some of them and not others.
    """
    states = [item.name for item in inputs if item.state is not None]
    if not states or not isinstance(x, Mapping):
        return False
    there = [name for name in states if name in x]
    if there and len(there) < len(states):
        raise HwquantError(
            f"the data has the state {there[0]!r}, but not all of {', '.join(states)}; leave them out"
        )
    return not there


class States:
    """What a network's states are before its next call; zeros at first.

    Parameters
    ----------
    inputs : sequence of Input
        The network's inputs.
    outputs : sequence of Output
        The network's outputs.
    """

    def __init__(self, inputs: Sequence[Input], outputs: Sequence[Output]) -> None:
        self._places = [
            (item, next(number for number, output in enumerate(outputs) if output.name == item.state))
            for item in inputs
            if item.state is not None
        ]
        self.values: dict[str, AnyArray] = {}
        self.reset()

    def reset(self) -> None:
        """Begin a new sequence."""
        self.values = {item.name: np.zeros((1, *item.shape)) for item, _ in self._places}

    def take(self, outputs: Sequence[AnyArray]) -> None:
        """Keep what a call of one sample gave."""
        self.values = {item.name: outputs[number].reshape(1, *item.shape) for item, number in self._places}

    def run(self, x: Data, call: Call) -> tuple[list[AnyArray], dict[str, AnyArray]]:
        """Call a network for one sample after the other.

        Parameters
        ----------
        x : mapping of ndarray, shape (N, ...)
            The arrays of the other inputs.
        call : callable
            The network.

        Returns
        -------
        outputs : list of ndarray, shape (N, ...)
            The outputs of all calls.
        x : dict of ndarray, shape (N, ...)
            The arrays of all inputs, the states that were used among them.
        """
        count = len(next(iter(x.values())))
        parts: list[list[AnyArray]] = []
        used: list[dict[str, AnyArray]] = []
        for index in range(count):
            one = {**{name: array[index : index + 1] for name, array in x.items()}, **self.values}
            used.append(self.values)
            parts.append(call(one))
            self.take(parts[-1])
        outputs = [np.concatenate(arrays) for arrays in zip(*parts)]
        states = {name: np.concatenate([item[name] for item in used]) for name in self.values}
        return outputs, {**x, **states}


def computed(network: Network, x: Data | Any, call: Call) -> list[AnyArray]:
    """Call a network for all samples at once, or where data leaves states to it for one after the other.

    Parameters
    ----------
    network : Graph or QGraph
        The network.
    x : ndarray or mapping of ndarray, shape (N, ...)
        What its array's part reads.
    call : callable
        The array's part.

    Returns
    -------
    list of ndarray, shape (N, ...)
        What the array's part gives.
    """
    if not are_missing(network.inputs, x):
        return call(x)
    return States(network.inputs, network.outputs).run(arrays_of(network.inputs, x), call)[0]


def completed(network: Network, x: Data | Any, call: Call) -> Data | Any:
    """Add the states that data leaves to a network; the parameters are those of :func:`computed`."""
    if not are_missing(network.inputs, x):
        return x
    states = States(network.inputs, network.outputs)
    return {**x, **states.run(arrays_of(network.inputs, x), call)[1]}


def arrays_of(inputs: Iterable[Input], x: Data) -> dict[str, AnyArray]:
    """The arrays of those inputs that data is given for, checked to be there and equally many.

    Raises
    ------
    HwquantError
        One is missing, or they differ in the number of samples.
    """
    wanted = [item.name for item in inputs if item.state is None]
    missing = [name for name in wanted if name not in x]
    if missing:
        raise HwquantError(f"there are no data for input {missing[0]!r}; the data has {', '.join(x)}")
    arrays = {name: np.asarray(x[name]) for name in wanted}
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise HwquantError(f"the inputs need as many samples each, and one at least: {counts}")
    return arrays
