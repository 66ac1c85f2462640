"""How far an integer network agrees with the quantized model that it was made of, as a runtime computes that one.

The oracle is onnxruntime, or torch for its own programs. Each tensor whose integers the model has is compared twice: as
the whole network gives it, and as its layer alone gives it from the runtime's integers, so that a layer that errs is
not taken for one that was handed errors. A TensorFlow Lite file is compared by the ONNX model that it becomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwquant import golden
from hwquant.agreement.runtime import of_onnx, of_program
from hwquant.agreement.tensors import TensorAgreement, Tensors
from hwquant.errors import HwquantError, Unsupported
from hwquant.frontends import with_source
from hwquant.frontends.aten_program import AtenProgram
from hwquant.host import before
from hwquant.interface import as_array
from hwquant.progress import Progress
from hwquant.qgraph import QGraph

if TYPE_CHECKING:
    import onnx
    import torch

    from hwquant.frontends.batch import BatchAxis, Shapes

Array = NDArray[Any]


@dataclass(frozen=True)
class OutputAgreement:
    """How far an output agrees.

    Attributes
    ----------
    name : str
        The output.
    largest : float
        Largest difference of its numbers.
    same : float
        Share of the samples whose greatest number is in the same place, 0..1; where the output is an index, in the same
        class.
    """

    name: str
    largest: float
    same: float


@dataclass(frozen=True)
class Agreement:
    """How far an integer network agrees with the model that it was made of.

    Attributes
    ----------
    samples : int
        What both computed.
    tensors : tuple of TensorAgreement
        The tensors that both have as integers, in the order in which they are computed.
    outputs : tuple of OutputAgreement
        The outputs, in the network's order.
    """

    samples: int
    tensors: tuple[TensorAgreement, ...]
    outputs: tuple[OutputAgreement, ...]

    @property
    def first(self) -> TensorAgreement | None:
        """The first tensor with integers that differ by more than a step; None where there is none."""
        return next((item for item in self.tensors if item.within < 1), None)

    def to_json(self) -> dict[str, Any]:
        """Give the fields as plain JSON values by name, and the name of the first tensor that parts."""
        return {**asdict(self), "first": self.first and self.first.tensor}


def compare(
    source: str | Path | onnx.ModelProto | torch.export.ExportedProgram,
    qgraph: QGraph,
    x: Array | Mapping[str, Array],
    *,
    shapes: Shapes | None = None,
    batch_axis: BatchAxis = 0,
    progress: Progress | None = None,
) -> Agreement:
    """Compare an integer network with the quantized model that it was made of.

    Parameters
    ----------
    source : str, Path, onnx.ModelProto or torch.export.ExportedProgram
        The model: ONNX with QuantizeLinear or with operators on integers, TensorFlow Lite, or what PyTorch's PT2E flow
        makes, exported.
    qgraph : QGraph
        The network that was made of it.
    x : ndarray or mapping of ndarray, shape (N, *shape)
        Samples; a mapping by input name where there are several inputs.
    shapes : mapping of sequence of int, optional
        Whole shapes of inputs with open dimensions by name, as for :func:`hwquant.load_model`.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the model's inputs is; None where they have none.
    progress : Progress or None, optional
        Told how far it is.

    Returns
    -------
    Agreement
        By tensor and by output.

    Raises
    ------
    HwquantError
        The model has no integers, or cannot be run; the network has other inputs or outputs; the package of its
        runtime is absent.
    """
    if any(item.state is not None for item in qgraph.inputs):
        raise Unsupported(
            f"network {qgraph.name!r} has states, which its source does not carry from call to call"
        )
    graph, model = with_source(source, shapes=shapes, batch_axis=batch_axis)
    if isinstance(model, AtenProgram):
        there = {name for node in model.nodes for name in node.outputs}
    else:
        there = {name for node in model.graph.node for name in node.output}
    known = {
        name: found
        for name, found in graph.given.sources.items()
        if name in there and found.tensor in qgraph.tensors
    }
    if not known:
        raise HwquantError(f"{graph.name!r} has no integers that network {qgraph.name!r} could have kept")
    if graph.network_outputs != qgraph.network_outputs:
        raise HwquantError(
            f"network {qgraph.name!r} has the outputs {', '.join(qgraph.network_outputs)}, its source has "
            f"{', '.join(graph.network_outputs)}; give the model that it was made of"
        )
    wanted, bare = [*known, *graph.network_outputs], batch_axis is None
    runtime = (
        of_program(model, wanted, bare) if isinstance(model, AtenProgram) else of_onnx(model, wanted, bare)
    )
    arrays = _arrays(qgraph, x)
    total = len(next(iter(arrays.values())))
    tensors = Tensors(qgraph, known)
    outputs: list[list[tuple[float, int]]] = [[] for _ in qgraph.network_outputs]
    for start in range(0, total, runtime.batch):
        if progress is not None:
            progress(f"compare {qgraph.name}", start, total)
        part = {name: array[start : start + runtime.batch] for name, array in arrays.items()}
        theirs, inner = runtime.run(part), before(qgraph, part)
        mine = golden.run(qgraph, golden.quantize_input(qgraph, inner), keep=list(qgraph.tensors))
        tensors.add(mine, theirs)
        for index, (name, ours) in enumerate(
            zip(qgraph.network_outputs, golden.deliver(qgraph, inner, mine), strict=True)
        ):
            real = known[name].real(theirs[name]) if name in known else theirs[name]
            outputs[index].append(_output(ours, real))
    return Agreement(
        total,
        tensors.result(),
        tuple(
            OutputAgreement(name, max(far for far, _ in parts), sum(same for _, same in parts) / total)
            for name, parts in zip(qgraph.network_outputs, outputs)
        ),
    )


def _output(ours: Array, theirs: Array) -> tuple[float, int]:
    """The largest difference of an output, and how many samples have their greatest number in the same place."""
    one, other = (np.asarray(array, np.float64).reshape(len(ours), -1) for array in (ours, theirs))
    alike = one.argmax(axis=1) == other.argmax(axis=1) if one.shape[1] > 1 else (one == other).all(axis=1)
    return float(np.abs(one - other).max(initial=0.0)), int(np.count_nonzero(alike))


def _arrays(qgraph: QGraph, x: Array | Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of all inputs, by name, in the precision that the runtime takes."""
    names = [item.name for item in qgraph.network_inputs]
    given = x if isinstance(x, Mapping) else {names[0]: x}
    if set(names) != set(given):
        raise HwquantError(f"the data has the inputs {', '.join(given)}, the network {', '.join(names)}")
    arrays = {name: as_array(name, array) for name, array in given.items()}
    if len({len(array) for array in arrays.values()}) > 1 or not len(next(iter(arrays.values()))):
        raise HwquantError("the inputs differ in the number of samples, or have none")
    return {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in arrays.items()
    }
