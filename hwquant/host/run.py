"""The whole network: the head on the host, the array's part, the tail on the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant.ends import End, Ends, Port
from hwquant.errors import HwquantError, MissingPackage, Unsupported
from hwquant.graph import Graph
from hwquant.host.check import opened
from hwquant.host.numpy_part import NumpyPart, computable
from hwquant.interface import as_array
from hwquant.packages import load_package
from hwquant.qgraph import QGraph

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]


Network = Graph | QGraph
Data = Array | Mapping[str, Array]
"""Samples: an array, or one by name for each of several inputs."""


def before(network: Network, x: Data) -> Data:
    """Compute the head: what the array's part reads, beside what the user gave.

    Parameters
    ----------
    network : Graph or QGraph
        The network.
    x : ndarray or mapping of ndarray, shape (N, *shape)
        The user's samples; a mapping by input name where the network has several.

    Returns
    -------
    ndarray or mapping of ndarray
        The samples as they are where no part of the network is on the host, or the inputs of the array's part are
        among them; else a mapping with those, and with all that the user gave. A single array is that of the only
        input that is no state.

    Raises
    ------
    HwquantError
        The samples do not fit the network, or the head cannot be run.
    """
    ends = network.host
    if not isinstance(x, Mapping):
        names = [item.name for item in network.given_inputs]
        if len(names) == 1 and (ends is not None or len(network.inputs) > 1):
            x = {names[0]: x}
        elif ends is not None:
            shown = ", ".join(map(repr, names))
            raise HwquantError(f"network {network.name!r} has several inputs; give a mapping with {shown}")
    if ends is None or not isinstance(x, Mapping):
        return x
    if not ends.head or all(item.name in x for item in network.inputs if item.state is None):
        return x
    return {**x, **_run(network.name, ends, "head", ends.head, x)}


def after(network: Network, inner: Data, results: list[Array]) -> list[Array]:
    """Compute the tail: the whole network's outputs.

    Parameters
    ----------
    network : Graph or QGraph
        The network.
    inner : ndarray or mapping of ndarray, shape (N, *shape)
        What :func:`before` returned.
    results : list of ndarray, shape (N, ...)
        The outputs of the array's part, as they are without a tail.

    Returns
    -------
    list of ndarray, shape (N, ...)
        An array for each output of the whole network.

    Raises
    ------
    HwquantError
        The tail cannot be run.
    """
    ends = network.host
    if ends is None:
        return results
    values: dict[str, Array] = dict(inner) if isinstance(inner, Mapping) else {}
    values |= {item.name: result for item, result in zip(network.outputs, results)}
    if ends.tail:
        values |= _run(network.name, ends, "tail", ends.tail, values)
    return [values[name] for name in ends.outputs]


def check_runnable(data: bytes, what: str) -> None:
    """Raise where an end cannot be run here, for another reason than that onnxruntime is not installed.

    Parameters
    ----------
    data : bytes
        The end's model.
    what : str
        What messages call it.

    Raises
    ------
    Unsupported
        Onnxruntime lacks an operator, or one for numbers of this type.
    HwquantError
        The end is no valid model.
    """
    with suppress(MissingPackage):  # a network may be compiled without what runs it
        _part(data, what)


def _run(name: str, ends: Ends, end: End, data: bytes, values: Mapping[str, Array]) -> dict[str, Array]:
    """Compute an end for all samples, as many at once as its model takes."""
    what = f"the {end} of network {name!r}"
    part, batch = _part(data, what), ends.batch
    given = {port.name: port for port in ends.inputs}
    feeds = {}
    for item in part.inputs:
        if item.name not in values:
            raise HwquantError(f"{what} reads {item.name!r}, for which there is no data")
        feeds[item.name] = _feed(item, values[item.name], batch, given.get(item.name))
    counts = {name: len(array) for name, array in feeds.items()}
    count = next(iter(counts.values()))
    if set(counts.values()) != {count} or count < 1:
        raise HwquantError(f"the inputs differ in the number of samples, or have none: {counts}")
    pieces: dict[str, list[Array]] = {item.name: [] for item in part.outputs}
    for start in range(0, count, max(batch, 1)):
        indices = np.minimum(np.arange(start, start + batch), count - 1)
        chunk = {
            item.name: feeds[item.name][indices]
            if item.batched(batch)
            else np.asarray(feeds[item.name][start])
            for item in part.inputs
        }
        for item, result in zip(part.outputs, part.compute(chunk)):
            counted = item.batched(batch) and result.shape[:1] == (batch,)
            if batch > 1 and not counted:
                raise HwquantError(
                    f"{what} gives {item.name!r} without the {batch} samples that it computes at once"
                )
            pieces[item.name].append(result[: count - start] if counted else result[None])
    return {name: _joined(what, name, arrays) for name, arrays in pieces.items()}


@dataclass(frozen=True)
class _Tensor:
    """An input or output of a part; a dimension is 0 where it is open."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def batched(self, batch: int) -> bool:
        """Whether the first axis counts samples."""
        return batch > 0 and self.shape[:1] == (batch,)


@dataclass(frozen=True, eq=False)
class _Part:
    """An end, ready to be run on what its model takes at once."""

    inputs: list[_Tensor]
    outputs: list[_Tensor]
    compute: Callable[[Mapping[str, Array]], list[Array]]


@lru_cache(maxsize=8)
def _part(data: bytes, what: str) -> _Part:
    model = opened(data, what)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [_tensor(item) for item in model.graph.input if item.name not in weights]
    outputs = [_tensor(item) for item in model.graph.output]
    compute = NumpyPart(model, what).run if computable(model) else _session(data, what)
    return _Part(inputs, outputs, compute)


def _tensor(item: onnx.ValueInfoProto) -> _Tensor:
    from onnx.helper import tensor_dtype_to_np_dtype

    kind = item.type.tensor_type
    shape = tuple(max(dim.dim_value, 0) for dim in kind.shape.dim)
    return _Tensor(item.name, shape, tensor_dtype_to_np_dtype(kind.elem_type))


def _session(data: bytes, what: str) -> Callable[[Mapping[str, Array]], list[Array]]:
    """An end in onnxruntime."""
    runtime = load_package("onnxruntime", "onnxruntime", "host", f"running {what}")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # whatever the runtime raises for a model that it cannot run
        raise Unsupported(
            f"{what} cannot be run by onnxruntime: {_line(error)}; export the model without that operator"
        ) from error

    def compute(feeds: Mapping[str, Array]) -> list[Array]:
        try:
            return [np.asarray(result) for result in session.run(None, dict(feeds))]
        except Exception as error:  # as above, for the arrays
            raise HwquantError(f"{what} cannot be computed by onnxruntime: {_line(error)}") from error

    return compute


def _line(error: Exception) -> str:
    return f"{' '.join(str(error).split()):.300}"


def _feed(item: _Tensor, value: object, batch: int, port: Port | None) -> Array:
    """The array of all samples for an input of a part, in the part's dtype."""
    array = as_array(item.name, value)
    shape = item.shape[1:] if item.batched(batch) else item.shape
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        wanted = ", ".join(map(str, ("N", *shape)))
        raise HwquantError(f"input {item.name!r} has shape ({wanted}), the data has {array.shape}")
    if array.dtype.kind not in "fiub":
        raise HwquantError(f"input {item.name!r} wants real numbers, the data is {array.dtype}")
    if port is not None and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise HwquantError(f"input {item.name!r} holds NaN or infinity; remove those samples")
    with np.errstate(all="ignore"):
        converted = array.astype(item.dtype)
    if item.dtype.kind in "iub" and not np.array_equal(converted, array):
        raise HwquantError(f"input {item.name!r} wants {item.dtype}, the data has other numbers")
    return converted


def _joined(what: str, name: str, arrays: list[Array]) -> Array:
    if len({array.shape[1:] for array in arrays}) > 1:
        raise HwquantError(
            f"{what} gives {name!r} in another size for every sample; give it one sample at a time"
        )
    return np.concatenate(arrays)
