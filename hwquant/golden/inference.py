"""Running an integer network: on integers, or on the user's arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwquant import floating
from hwquant.errors import HwquantError, check_type
from hwquant.floating import finish
from hwquant.golden import fast, reference
from hwquant.graph import Graph
from hwquant.host import after, before
from hwquant.interface import Input, as_array
from hwquant.qgraph import IntArray, QGraph, Tensor
from hwquant.states import arrays_of, completed, computed, given
from hwquant.validate import validate_integers

AnyArray = NDArray[Any]


def run(
    qgraph: QGraph,
    q: Mapping[str, AnyArray] | AnyArray,
    keep: Collection[str] | None = None,
    exact: bool = False,
) -> dict[str, IntArray]:
    """Run the network on integers.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    q : ndarray of integers, shape (N, C, H, W), or mapping of them
        Integers of the input tensor, within its bits; a mapping by name where there are several.
    keep : collection of str or None, optional
        Names of the tensors to return; the outputs' where None.
    exact : bool, default False
        Run the reference, else the fast path, which gives the same integers.

    Returns
    -------
    dict of ndarray of int64, shape (N, C, H, W)
        The integers of each tensor, by name.

    Raises
    ------
    HwquantError
        The network is not valid; an input is missing, has the wrong shape, is not integer or is
        out of range; a tensor in ``keep`` is unknown.
    """
    inputs = _by_name(qgraph, q)
    for item in qgraph.inputs:
        tensor, value = qgraph.tensors[item.name], inputs[item.name]
        if value.dtype.kind not in "iu":
            raise HwquantError(f"input {item.name!r} has dtype {value.dtype}; quantize it to integers first")
        if value.shape[1:] != tensor.shape:
            raise HwquantError(
                f"input {item.name!r} has shape {value.shape}, it must be (N, {_list(tensor.shape)})"
            )
    names = _kept(qgraph, keep)

    def source(chunk: slice) -> dict[str, IntArray]:
        return {name: _within_bits(qgraph.tensors[name], value[chunk]) for name, value in inputs.items()}

    return _collect(qgraph, _count(inputs), source, names, exact)


def quantize_input(qgraph: QGraph, x: Mapping[str, AnyArray] | AnyArray) -> dict[str, IntArray]:
    """Quantize the user's arrays to the integers of the input tensors, the head on the host before it.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    x : ndarray of real numbers, shape (N, *shape), or mapping of them
        The user's arrays, of any real dtype; a mapping by input name where there are several. Where the network has
        states, and the data has none, the samples are calls one after the other, and the network computes the states.

    Returns
    -------
    dict of ndarray of int64, shape (N, C, H, W)
        The integers by input name: preprocessed, rounded half up, saturated.

    Raises
    ------
    HwquantError
        An input is missing, has the wrong shape or dtype, or holds NaN or infinity.
    """
    check_type("qgraph", qgraph, QGraph, hint="hwquant.quantize_network makes one of a float network")
    inner = completed(qgraph, before(qgraph, x), lambda one: outputs(qgraph, one))
    return _quantize(qgraph, _by_name(qgraph, inner))


def quantize_given(qgraph: QGraph, x: Mapping[str, AnyArray] | AnyArray) -> dict[str, IntArray]:
    """Quantize the user's arrays as :func:`quantize_input` does, without the states, which somebody else carries.

    Raises
    ------
    HwquantError
        An input is missing, has the wrong shape or dtype, or holds NaN or infinity.
    """
    if all(item.state is None for item in qgraph.inputs):
        return quantize_input(qgraph, x)
    inner = before(qgraph, x)
    if not isinstance(inner, Mapping):
        raise HwquantError(
            f"give an array for each of {_list([item.name for item in given(qgraph.inputs)])}, by name"
        )
    return _quantize(qgraph, arrays_of(qgraph.inputs, inner))


def quantize_states(qgraph: QGraph, states: Mapping[str, AnyArray]) -> dict[str, IntArray]:
    """Quantize the arrays of states, by input name."""
    return _quantize(qgraph, states)


def predict(
    qgraph: QGraph | Graph, x: Mapping[str, AnyArray] | AnyArray, exact: bool = False
) -> list[AnyArray]:
    """Run the whole network on the user's arrays: quantize, run, dequantize, reorder; what is on the host around it.

    Parameters
    ----------
    qgraph : QGraph or Graph
        The network; one that is still float is evaluated in float64, without the first three steps.
    x : ndarray of real numbers, shape (N, *shape), or mapping of them
        The user's arrays, of any real dtype; a mapping by input name where there are several. Where the network has
        states, and the data has none, the samples are calls one after the other.
    exact : bool, default False
        Run the reference, else the fast path, which gives the same integers.

    Returns
    -------
    list of ndarray
        For each output float64 (N, *shape), or int64 (N, *shape[1:]) where it is an arg max; what the host's part
        computes has the model's dtype.

    Raises
    ------
    HwquantError
        The network is not valid; an input is missing, has the wrong shape or dtype, or holds NaN or infinity; the
        host's part cannot be run.
    """
    if isinstance(qgraph, Graph):
        return floating.predict(qgraph, x)
    check_type("qgraph", qgraph, QGraph, Graph)
    inner = before(qgraph, x)
    return after(qgraph, inner, computed(qgraph, inner, lambda one: outputs(qgraph, one, exact)))


def outputs(
    qgraph: QGraph | Graph, x: Mapping[str, AnyArray] | AnyArray, exact: bool = False
) -> list[AnyArray]:
    """Compute the outputs of the array's part alone, from arrays of all its inputs, states included."""
    if isinstance(qgraph, Graph):
        return floating.outputs(qgraph, x)
    inputs = _by_name(qgraph, x)

    def source(chunk: slice) -> dict[str, IntArray]:
        return _quantize(qgraph, {name: value[chunk] for name, value in inputs.items()})

    return dequantized(qgraph, _collect(qgraph, _count(inputs), source, _kept(qgraph, None), exact))


def dequantized(qgraph: QGraph, q: Mapping[str, IntArray]) -> list[AnyArray]:
    """Turn the integers of the output tensors into the outputs of the array's part alone."""
    return [
        finish(output, qgraph.tensors[output.tensor].dequantize(q[output.tensor]))
        for output in qgraph.outputs
    ]


def deliver(
    qgraph: QGraph, x: Mapping[str, AnyArray] | AnyArray, q: Mapping[str, IntArray]
) -> list[AnyArray]:
    """Turn the integers of the output tensors into the whole network's outputs, as :func:`predict` does.

    Parameters
    ----------
    qgraph : QGraph
        The network.
    x : ndarray or mapping of ndarray, shape (N, *shape)
        The samples that the integers are of: the part of the network on the host may read them.
    q : mapping of ndarray of int64, shape (N, C, H, W)
        Integers by output tensor, as :func:`run` returns them.

    Returns
    -------
    list of ndarray
        An array for each output, as of :func:`predict`.

    Raises
    ------
    HwquantError
        The host's part cannot be run.
    """
    return after(qgraph, before(qgraph, x), dequantized(qgraph, q))


def _collect(
    qgraph: QGraph, count: int, source: fast.Source, names: Collection[str], exact: bool
) -> dict[str, IntArray]:
    """Stream all images through the network, and put the chunks of the named tensors together."""
    validate_integers(qgraph)  # the fast path is exact for valid networks
    result = {name: np.empty((count, *qgraph.tensors[name].shape), np.int64) for name in names}

    def sink(chunk: slice, values: Mapping[str, IntArray]) -> None:
        for name in names:
            result[name][chunk] = values[name]

    (_stream_reference if exact else fast.stream)(qgraph, count, source, names, sink)
    return result


def _stream_reference(
    qgraph: QGraph, count: int, source: fast.Source, keep: Collection[str], sink: fast.Sink
) -> None:
    for start in range(0, count, fast.IMAGES):
        chunk = slice(start, min(start + fast.IMAGES, count))
        integers = {name: value.astype(np.int64) for name, value in source(chunk).items()}
        values = reference.run(qgraph, integers)
        sink(chunk, {name: values[name] for name in keep})


def _within_bits(tensor: Tensor, q: AnyArray) -> AnyArray:
    low, high = tensor.limits
    if q.min() < low or q.max() > high:
        raise HwquantError(
            f"input {tensor.name!r} holds {q.min()}..{q.max()}, its {tensor.bits} bits hold {low}..{high}"
        )
    return q


def _by_name(qgraph: QGraph, x: Mapping[str, AnyArray] | AnyArray) -> dict[str, AnyArray]:
    check_type("qgraph", qgraph, QGraph, hint="hwquant.quantize_network makes one of a float network")
    names = [item.name for item in qgraph.inputs]
    if not isinstance(x, Mapping):
        if len(names) != 1:
            raise HwquantError(f"the network has the inputs {_list(names)}; give an array for each, by name")
        x = {names[0]: x}
    if not set(names) <= set(x):  # a model can declare inputs that nothing reads
        raise HwquantError(f"the data has the inputs {_list(x)}, the network {_list(names)}")
    arrays = {name: as_array(name, x[name]) for name in names}
    for name, array in arrays.items():
        if array.ndim == 0:
            raise HwquantError(
                f"input {name!r} is a single number; give an array whose first axis counts the samples"
            )
    return arrays


def _count(arrays: Mapping[str, AnyArray]) -> int:
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise HwquantError(f"the inputs differ in the number of samples: {counts}")
    return next(iter(counts.values()))


def _kept(qgraph: QGraph, keep: Collection[str] | None) -> list[str]:
    names = [output.tensor for output in qgraph.outputs] if keep is None else list(keep)
    for name in names:
        if name not in qgraph.tensors:
            raise HwquantError(f"the network has no tensor {name!r}; it has {_list(qgraph.tensors)}")
    return list(dict.fromkeys(names))


def _quantize(qgraph: QGraph, x: Mapping[str, AnyArray]) -> dict[str, IntArray]:
    return {
        item.name: qgraph.tensors[item.name].quantize(_prepare(item, x[item.name]))
        for item in qgraph.inputs
        if item.name in x
    }


def _prepare(item: Input, x: AnyArray) -> NDArray[np.float64]:
    if x.dtype.kind not in "biuf":
        raise HwquantError(f"input {item.name!r} has dtype {x.dtype}; give real numbers")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise HwquantError(f"input {item.name!r} holds NaN or infinity; remove those samples")
    return item.prepare(x)


def _list(names: Collection[object]) -> str:
    return ", ".join(map(str, names))
