"""Files become networks: a `Graph` of a model, the `QGraph` of what hwquant wrote; their content says what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hwquant import hwq
from hwquant.errors import HwquantError, Unsupported
from hwquant.export.embedded import embedded, is_embedded
from hwquant.files.reading import open_ordinary
from hwquant.frontends.aten import translate
from hwquant.frontends.aten_program import AtenProgram
from hwquant.frontends.batch import BatchAxis, Shapes
from hwquant.frontends.models import Reading, from_onnx, translated
from hwquant.frontends.onnx_file import load
from hwquant.frontends.pt2 import read_pt2
from hwquant.frontends.tflite_file import IDENTIFIER
from hwquant.frontends.tflite_onnx import tflite_as_onnx, tflite_with_states
from hwquant.frontends.torch_export import read_exported
from hwquant.frontends.torch_onnx import as_onnx
from hwquant.frontends.torch_program import as_exported
from hwquant.graph import Graph
from hwquant.packages import load_package
from hwquant.qgraph import QGraph
from hwquant.states import with_states

if TYPE_CHECKING:
    import onnx
    import torch


def load_model(
    path: str | Path,
    *,
    shapes: Shapes | None = None,
    batch_axis: BatchAxis = 0,
    states: Mapping[str, str] | None = None,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    host: bool = True,
) -> Graph:
    """Read a float network from a file: ONNX, ``torch.export.save``'s .pt2, or TensorFlow Lite.

    TensorFlow Lite files say that they are; between the others the suffix decides, else the content. Nothing in the
    file is executed or unpickled. What the array cannot do at the beginning and the end stays with the host
    (``Graph.host``).

    Parameters
    ----------
    path : str or Path
        The file.
    shapes : mapping of sequence of int, optional
        Whole shapes, batch included, of inputs with open dimensions by name: ``{"x": (1, 3, 48, 192)}``. Open
        dimensions of one name have one size.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none, and are one sample each.
    states : mapping of str, optional
        The input that takes an output of the call before, by the output's name (see :mod:`hwquant.states`);
        variables of TensorFlow Lite files are states without it.
    inputs, outputs : sequence of str, optional
        Tensors by name that the array's part begins and ends with; by default its part is the largest.
    host : bool, default True
        Whether the host may do a part; else what the array cannot do is refused.

    Returns
    -------
    Graph
        The network.

    Raises
    ------
    HwquantError
        If the file cannot be read, is damaged or of another kind, or holds something unsupported.
    """
    path = Path(path)
    kind = _kind(path)
    cut: Reading = {
        "shapes": shapes,
        "batch_axis": batch_axis,
        "inputs": inputs,
        "outputs": outputs,
        "host": host,
    }
    if kind == ".pt2":
        program = read_pt2(path)
        graph = translated(lambda: program, lambda refusal: as_exported(program, shapes or {}, refusal), cut)
    else:
        model, kept = tflite_with_states(path) if kind == ".tflite" else (path, {})
        graph = from_onnx(model, **cut)
        states = {**kept, **(states or {})}
    return with_states(graph, states) if states else graph


def load_network(path: str | Path) -> QGraph:
    """Read an integer network from a ``.hwq`` file, or from the ONNX model that one was exported to.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    QGraph
        The network.

    Raises
    ------
    Damaged
        The file is damaged, was changed since it was exported, or has numbers out of range.
    HwquantError
        The file is absent, of a newer version, or no network that hwquant exported.
    """
    path = Path(path)
    if path.suffix.lower() != ".onnx":
        return hwq.load(path)
    qgraph = read_back(path)
    if qgraph is None:
        raise HwquantError(f"{str(path)!r} is no integer network that hwquant exported; quantize it")
    return qgraph


def read_back(path: str | Path) -> QGraph | None:
    """Read the integer network that a file was exported from; None where it is any other model.

    Raises
    ------
    HwquantError
        The file cannot be read, or was changed since it was exported.
    """
    path = Path(path)
    if _kind(path) != ".onnx":
        return None
    load_package("onnx", "onnx", "onnx", "reading ONNX models")
    model = load(path)
    return embedded(model, path.name) if is_embedded(model) else None


def with_source(
    source: str | Path | onnx.ModelProto | torch.export.ExportedProgram,
    *,
    shapes: Shapes | None = None,
    batch_axis: BatchAxis = 0,
) -> tuple[Graph, onnx.ModelProto | AtenProgram]:
    """Read a model, and give what the network is made of as well: the tensors of ``Graph.given.sources`` are there.

    Parameters
    ----------
    source : str, Path, onnx.ModelProto or torch.export.ExportedProgram
        A file, or a model in memory.
    shapes : mapping of sequence of int, optional
        Whole shapes of inputs with open dimensions by name, as for `load_model`.
    batch_axis : {0, None}, default 0
        Where the batch dimension of the inputs is; None where they have none.

    Returns
    -------
    graph : Graph
        The network.
    model : onnx.ModelProto or AtenProgram
        An ONNX model; a program of torch.export where the array can do all of it.

    Raises
    ------
    HwquantError
        The file cannot be read or is damaged, or the model has something unsupported.
    """
    model = _as_model(source)
    if isinstance(model, AtenProgram):
        try:
            return translate(model, shapes, batch_axis), model
        except Unsupported as refusal:
            model = as_onnx(as_exported(model, shapes or {}, refusal), refusal)
    return from_onnx(model, shapes=shapes, batch_axis=batch_axis), model


def _as_model(source: str | Path | onnx.ModelProto | torch.export.ExportedProgram) -> Any:
    """A model in memory: of ONNX, or a program as plain data."""
    if not isinstance(source, str | Path):
        return read_exported(source) if hasattr(source, "graph_signature") else source
    path = Path(source)
    kind = _kind(path)
    if kind == ".pt2":
        return read_pt2(path)
    load_package("onnx", "onnx", "onnx", "reading ONNX models")
    return tflite_as_onnx(path) if kind == ".tflite" else load(path)


def _kind(path: Path) -> Literal[".onnx", ".pt2", ".tflite"]:
    """Which of the formats a file is of, by the suffix that is usual for it."""
    suffix = path.suffix.lower()
    if suffix == ".hwq":
        raise HwquantError(
            f"{str(path)!r} is an integer network already: compile and evaluate take it; give the model that it was "
            "made of"
        )
    if suffix in (".pt", ".pth"):
        raise HwquantError(
            f"{str(path)!r} is a pickle of PyTorch, which hwquant does not load; "
            "write torch.export.export(module.eval(), (example,)) with torch.export.save to a .pt2 file"
        )
    try:
        with open_ordinary(path) as file:
            head = file.read(8)
    except OSError as error:
        raise HwquantError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    if head[4:] == IDENTIFIER or suffix == ".tflite":
        return ".tflite"
    if suffix == ".pt2" or (suffix != ".onnx" and head[:4] == b"PK\x03\x04"):
        return ".pt2"
    return ".onnx"
